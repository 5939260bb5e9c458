"""runtime/errors.py: one mapping, three faces."""

from collections.abc import Iterator
from typing import Any, ClassVar

import orjson
import pytest

from shared import errors
from shared.errors import (
    Conflict,
    ExpectedError,
    Forbidden,
    InvalidInput,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    VerificationError,
)
from shared.oauth.errors import InvalidDpopProof, InvalidRequest, UseDpopNonce
from shared.runtime.errors import (
    PAGE_MARKER,
    TooLarge,
    describe,
    page_answer,
    problem_answer,
    protocol_answer,
    refusal,
)


def _every(kind: type[ExpectedError] = ExpectedError) -> Iterator[type[ExpectedError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _every(each)


def _problem(error: ExpectedError) -> tuple[int, dict[str, Any]]:
    answer = problem_answer(error, route="/api/v1/x", support_id="0123")
    return answer.status_code, orjson.loads(bytes(answer.body))


def _protocol(error: ExpectedError) -> tuple[int, dict[str, Any], dict[str, str]]:
    answer = protocol_answer(error, malformed=InvalidRequest, route="/token")
    return answer.status_code, orjson.loads(bytes(answer.body)), dict(answer.headers)


@pytest.mark.parametrize(
    ("error", "status", "code", "fault"),
    [
        (InvalidInput("x"), 400, "invalid_input", "you"),
        (TooLarge("x"), 413, "too_large", "you"),
        (VerificationError("x"), 422, "invalid", "you"),
        (errors.Revoked("x"), 422, "revoked", "you"),
        (Unauthenticated("x"), 401, "unauthenticated", "you"),
        (Forbidden("x"), 403, "forbidden", "you"),
        (NotFound("x"), 404, "not_found", "you"),
        (Conflict("x"), 409, "conflict", "you"),
        (TooManyRequests("x"), 429, "too_many_requests", "you"),
        (Unavailable("x"), 503, "unavailable", "us"),
        (InvalidRequest("x"), 400, "invalid_request", "you"),
        (ExpectedError("x"), 400, "refused", "you"),
    ],
)
def test_each_kind_of_error_has_its_status_code_and_fault(
    error: ExpectedError, status: int, code: str, fault: str
) -> None:
    found, body = _problem(error)
    assert (found, body["status"]) == (status, status)
    assert (body["code"], body["whose_fault"]) == (code, fault)
    assert body["support_id"] == "0123"
    assert body["next_step"]


def test_an_error_may_carry_its_own_words_and_members() -> None:
    class OfferEnded(Conflict):
        code = "offer_ended"
        next_step = "Create a new offer."
        members: ClassVar = {"state": "expired", "allowed": ["renew"], "status": 200}

    status, body = _problem(OfferEnded("offer: ended"))
    assert (status, body["code"], body["next_step"]) == (409, "offer_ended", "Create a new offer.")
    assert (body["state"], body["allowed"], body["status"]) == ("expired", ["renew"], 409)


def test_trying_later_says_when() -> None:
    class Soon(Unavailable):
        retry_after = 2

    assert refusal(Unavailable("x")).headers["Retry-After"] == "5"
    assert refusal(Soon("x")).headers["Retry-After"] == "2"
    assert refusal(TooManyRequests("x")).headers["Retry-After"] == "30"


def test_what_has_no_registered_code_gets_the_nearest_one_of_oauth() -> None:
    """RFC 6749, sections 4.1.2.1 and 5.2."""
    expected = {
        NotFound: (404, "invalid_request"),
        Conflict: (409, "invalid_request"),
        Forbidden: (403, "access_denied"),
        Unauthenticated: (401, "invalid_token"),
        TooManyRequests: (429, "temporarily_unavailable"),
        Unavailable: (503, "temporarily_unavailable"),
        TooLarge: (413, "invalid_request"),
        InvalidInput: (400, "invalid_request"),
    }
    for kind, (status, code) in expected.items():
        found, body, headers = _protocol(kind("x"))
        assert (found, body["error"]) == (status, code)
        assert headers["cache-control"] == "no-store"


def test_headers_that_belong_to_a_code_are_sent_with_it() -> None:
    """RFC 9449, section 8: the nonce travels beside `use_dpop_nonce`."""
    error = UseDpopNonce("dpop: no nonce", fresh="fresh-nonce")
    status, body, headers = _protocol(error)
    assert (status, body["error"]) == (400, "use_dpop_nonce")
    assert headers["dpop-nonce"] == "fresh-nonce"
    assert "dpop-nonce" not in _protocol(InvalidDpopProof("dpop: bad"))[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text.", "plain text."),
        ('say "no"', "say 'no'"),
        ("back\\slash", "back/slash"),
        ("tab\tnew\nline", "tab?new?line"),
        ("zürich \U0001f600", "z?rich ?"),
        ("del\x7f", "del?"),
    ],
)
def test_a_description_has_only_the_characters_that_oauth_allows(text: str, expected: str) -> None:
    """RFC 6749, section 5.2: %x20-21 / %x23-5B / %x5D-7E."""
    assert describe(text) == expected


def test_every_error_has_all_three_faces_and_never_shows_its_message() -> None:
    """S-30: the message is for the log; every public text keeps to OAuth's characters."""
    for kind in set(_every()):
        if kind.__init__ is not ExpectedError.__init__:
            continue  # made with arguments of its own, tested where it stands
        error = kind("SECRET-DETAIL")
        for answer in (
            problem_answer(error, route="/x", support_id="0"),
            protocol_answer(error, malformed=InvalidRequest, route="/x"),
            page_answer(error, route="/x", support_id="0"),
        ):
            assert 400 <= answer.status_code < 600
            assert b"SECRET-DETAIL" not in bytes(answer.body)
            assert answer.headers["cache-control"] == "no-store"
        assert describe(kind.public) == kind.public


def test_pages_escape_what_they_show() -> None:
    class Odd(NotFound):
        public = "<script>alert('x')</script>"

    text = bytes(page_answer(Odd("x"), route="/x", support_id="0").body).decode()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert text.count(PAGE_MARKER) == 3
    for name in ("error-title", "error-detail", "error-next-step", "error-support-id"):
        assert f'id="{name}"' in text
