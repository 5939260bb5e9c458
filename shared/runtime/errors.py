"""Exceptions to responses, the only place; three faces of one mapping.

Protocol endpoints answer `{"error", "error_description"}` with the code their specification
registers (RFC 6749, section 5.2; OpenID4VCI 1.0, section 8.3.1), `/api/v1` answers problem+json
(RFC 9457) with `code`, `whose_fault`, `next_step` and `support_id`, pages answer HTML. The log gets
the precise reason, the other party `public`. Nothing of the request is repeated in an answer (S-30,
C-51).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import orjson
from starlette.responses import Response
from starlette.types import Scope

from ..encoding import JsonValue
from ..errors import (
    Conflict,
    ExpectedError,
    Forbidden,
    InvalidInput,
    NotFound,
    ProtocolError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    VerificationError,
)
from .logs import get_log
from .pages import HERE, Pages, redirect

log = get_log(__name__)

WhoseFault = Literal["you", "issuer", "verifier", "us"]
Face = Literal["protocol", "problem", "page"]

PAGE_MARKER = "This step could not be completed"
"""Fixed text on every error page, for tests that drive a browser (CERTIFICATION 3)."""

_DESCRIPTION = str.maketrans({'"': "'", "\\": "/"})


class TooLarge(ExpectedError):
    """The request is larger than this endpoint takes (S-20)."""

    public = "The request is too large."


@dataclass(frozen=True, slots=True)
class Refusal:
    """What any face says about an error. An error may carry its own values as attributes."""

    status: int
    code: str
    title: str
    whose_fault: WhoseFault = "you"
    next_step: str = "Correct the request and send it again."
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, JsonValue] = field(default_factory=dict)


_MAPPING: tuple[tuple[type[ExpectedError], Refusal], ...] = (
    (InvalidInput, Refusal(400, "invalid_input", "The request is malformed")),
    (TooLarge, Refusal(413, "too_large", "The request is too large")),
    (VerificationError, Refusal(422, "invalid", "The data could not be verified")),
    (
        Unauthenticated,
        Refusal(
            401,
            "unauthenticated",
            "Sign in first",
            next_step="Get a new token or sign in, then send the request again.",
            headers={"WWW-Authenticate": "Bearer"},
        ),
    ),
    (
        Forbidden,
        Refusal(403, "forbidden", "Not allowed", next_step="Ask an administrator for this right."),
    ),
    (NotFound, Refusal(404, "not_found", "Not found", next_step="Check the identifier.")),
    (
        Conflict,
        Refusal(
            409,
            "conflict",
            "The state does not allow that",
            next_step="Read the current state, then decide again.",
        ),
    ),
    (
        TooManyRequests,
        Refusal(
            429,
            "too_many_requests",
            "Too many requests",
            next_step="Wait, then send the request again.",
            headers={"Retry-After": "30"},
        ),
    ),
    (
        Unavailable,
        Refusal(
            503,
            "unavailable",
            "A service that is needed does not answer",
            whose_fault="us",
            next_step="Send the same request again in a few seconds.",
            headers={"Retry-After": "5"},
        ),
    ),
    (ProtocolError, Refusal(400, "invalid_request", "The request was refused")),
    (ExpectedError, Refusal(400, "refused", "The request could not be completed")),
)

# What an error that has no registered code is called at a protocol endpoint.
_PROTOCOL_CODES = {
    401: "invalid_token",
    403: "access_denied",
    429: "temporarily_unavailable",
    503: "temporarily_unavailable",
}


def refusal(error: ExpectedError) -> Refusal:
    """What *error* means to the other party; its own attributes have the last word.

    An error class or instance may carry `code`, `status`, `whose_fault`, `next_step`, `retry_after`
    (seconds), `headers` and `members` (further members of a problem document, RFC 9457, section
    3.2); a ProtocolError's `error` is its code, a VerificationError's `reason`.
    """
    base = next(each for kind, each in _MAPPING if isinstance(error, kind))
    headers = {**base.headers, **getattr(error, "headers", {})}
    if (retry_after := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(retry_after)
    own = getattr(error, "error", getattr(error, "reason", base.code))
    return Refusal(
        status=getattr(error, "status", base.status),
        code=getattr(error, "code", own),
        title=base.title,
        whose_fault=getattr(error, "whose_fault", base.whose_fault),
        next_step=getattr(error, "next_step", base.next_step),
        headers=headers,
        members=getattr(error, "members", base.members),
    )


def describe(text: str) -> str:
    """*text* as an `error_description`: %x20-21 / %x23-5B / %x5D-7E (RFC 6749, section 5.2)."""
    plain = text.translate(_DESCRIPTION)
    return "".join(each if " " <= each <= "~" else "?" for each in plain)


def _json(
    content: Mapping[str, object], status: int, headers: Mapping[str, str], media_type: str
) -> Response:
    return Response(
        orjson.dumps(content),
        status,
        {"Cache-Control": "no-store", **headers},
        media_type,
    )


def protocol_answer(
    error: ExpectedError, *, malformed: type[ProtocolError], route: str
) -> Response:
    """The face of protocol endpoints; InvalidInput becomes the code of *malformed*."""
    found = refusal(error)
    status, public = found.status, error.public
    if isinstance(error, ProtocolError):
        code = error.error
    elif isinstance(error, InvalidInput):
        code, status, public = malformed.error, malformed.status, malformed.public
    else:
        code = _PROTOCOL_CODES.get(status, "invalid_request")
    log.info("refused", route=route, status=status, code=code, reason=str(error))
    content = {"error": code, "error_description": describe(public)}
    return _json(content, status, found.headers, "application/json")


def problem_answer(error: ExpectedError, *, route: str, support_id: str) -> Response:
    """The face of `/api/v1`: RFC 9457 with `code`, `whose_fault`, `next_step`, `support_id`."""
    found = refusal(error)
    log.info("refused", route=route, status=found.status, code=found.code, reason=str(error))
    return problem(found, detail=error.public, support_id=support_id)


def problem(found: Refusal, *, detail: str, support_id: str) -> Response:
    """A problem document from its parts."""
    content = {
        **found.members,
        "type": f"urn:citizen-wallet:problem:{found.code}",
        "title": found.title,
        "status": found.status,
        "detail": detail,
        "code": found.code,
        "whose_fault": found.whose_fault,
        "next_step": found.next_step,
        "support_id": support_id,
    }
    return _json(content, found.status, found.headers, "application/problem+json")


def page_answer(
    error: ExpectedError, *, route: str, support_id: str, scope: Scope | None = None
) -> Response:
    """The face for people, in the language and frame of the service that *scope* came to.

    An error that knows the page which helps (its `location`, such as a sign-in) leads there.
    """
    found = refusal(error)
    log.info("refused", route=route, status=found.status, code=found.code, reason=str(error))
    if location := getattr(error, "location", ""):
        return redirect(location)
    return page(found, detail=error.public, support_id=support_id, scope=scope)


def page(found: Refusal, *, detail: str, support_id: str, scope: Scope | None) -> Response:
    """An error page with stable ids and PAGE_MARKER, whatever the language."""
    scope = scope or {"path": "/", "headers": ()}
    pages: Pages = scope.get("pages") or _PLAIN
    say = partial(pages.text, scope)
    return pages.answer(
        scope,
        "error.html",
        status=found.status,
        headers=found.headers,
        marker=PAGE_MARKER,
        code=found.code,
        detail=say(detail),
        next_step=say(found.next_step),
        support_id=support_id,
    )


_PLAIN = Pages(HERE)

BUG = Refusal(
    500,
    "server_error",
    "Something went wrong on our side",
    whose_fault="us",
    next_step="Try again; if it stays, tell support the support_id.",
)
BUG_DETAIL = "An unexpected error occurred."


def bug_answer(face: Face, *, support_id: str, scope: Scope | None = None) -> Response:
    """The answer to what nobody foresaw: the reference number outside, the traceback in the log."""
    if face == "problem":
        return problem(BUG, detail=BUG_DETAIL, support_id=support_id)
    if face == "page":
        return page(BUG, detail=BUG_DETAIL, support_id=support_id, scope=scope)
    content = {
        "error": "server_error",
        "error_description": describe(f"{BUG_DETAIL} Reference: {support_id}"),
    }
    return _json(content, 500, {}, "application/json")
