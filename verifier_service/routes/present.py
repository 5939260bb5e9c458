"""The page of one transaction, for the browser that started it (V-50, V-70, V-71)."""

import re
from collections.abc import Mapping
from typing import TypeVar

from starlette.responses import Response

from shared.encoding import JsonValue, parse_json_object
from shared.errors import InvalidInput
from shared.oauth.errors import InvalidRequest
from shared.oid4vp.response import MAX_FORM_BYTES
from shared.runtime.pages import Pages, cookie, redirect
from shared.runtime.routes import (
    Call,
    PageRouter,
    ProtocolRouter,
    json_answer,
    page_router,
    protocol_router,
)

from ..browsers import (
    SIGNED,
    UNSIGNED,
    answer_browser,
    ask_browser,
    ask_embedded,
    check_origin,
    come_back,
    look,
    open_page,
)
from ..context import Verifier
from ..transactions import OPEN, timestamp

COOKIE = "__Host-present"
_TICKET = re.compile(r"[A-Za-z0-9_-]{43}")
pages: PageRouter[Verifier] = page_router()
answers: ProtocolRouter[Verifier] = protocol_router(malformed=InvalidRequest)

_HERE = "/{tenant}/present/{transaction_id}"
_FALLBACK = "en"

T = TypeVar("T")


def _place(call: Call) -> tuple[str, str, str | None]:
    return call.path["tenant"], call.path["transaction_id"], cookie(call.scope, COOKIE)


def _in(texts: Mapping[str, T], language: str) -> T:
    return next(texts[each] for each in (language, _FALLBACK, *texts) if each in texts)


@pages.get(_HERE)
def get_page(call: Call, verifier: Verifier) -> Response:
    """Asks the browser's wallet, or leads to another one."""
    opened = open_page(verifier, *_place(call))
    frame: Pages = call.scope["pages"]
    language = frame.language(call.scope)
    text = _in(opened.query.texts, language)
    headers = {}
    if opened.cookie is not None:
        # Lax: the way back from a wallet is a link from another site.
        headers["Set-Cookie"] = f"{COOKIE}={opened.cookie}; Path=/; Secure; HttpOnly; SameSite=Lax"
    return call.page(
        "present.html",
        scripts=opened.state in OPEN,
        headers=headers,
        title=text.title,
        description=text.description,
        asker=_in(opened.asker, language) if opened.asker else "",
        open=opened.state in OPEN,
        link=opened.link,
        crossing=opened.crossing,
    )


@pages.get(_HERE + "/state")
def get_state(call: Call, verifier: Verifier) -> Response:
    """For the web component, on pages of the origins that the tenant names (C-52)."""
    seen = look(verifier, *_place(call)[:2])
    content: dict[str, JsonValue] = {
        "state": seen.state.value,
        "expires_at": timestamp(seen.expires_at),
    }
    if seen.link is not None:
        content["link"] = seen.link
    return _for_pages_of_the_tenant(call, verifier, content)


@answers.post(_HERE + "/embedded/request")
def post_embedded_request(call: Call, verifier: Verifier) -> Response:
    """As `/request`, for the web component: what its page gives to `navigator.credentials.get`."""
    place, ticket, origin = _embedded(call, verifier, call.form())
    content = ask_embedded(verifier, *place, ticket, origin=origin)
    return _for_pages_of_the_tenant(call, verifier, content)


@answers.post(_HERE + "/embedded/answer", max_bytes=MAX_FORM_BYTES)
def post_embedded_answer(call: Call, verifier: Verifier) -> Response:
    """As `/answer`, for the web component: the JWE that its page was given."""
    form = call.form()
    place, ticket, _ = _embedded(call, verifier, form)
    if "response" not in form:
        raise InvalidInput("answer: not encrypted")
    content = answer_browser(verifier, *place, ticket, form["response"])
    return _for_pages_of_the_tenant(call, verifier, content)


def _embedded(
    call: Call, verifier: Verifier, form: Mapping[str, str]
) -> tuple[tuple[str, str], str, str]:
    """Which page, the ticket instead of a cookie, and the origin, which the tenant names."""
    place, origin = _place(call)[:2], call.header("origin") or ""
    check_origin(verifier, place[0], origin)
    ticket = form.get("ticket", "")
    if not _TICKET.fullmatch(ticket):
        raise InvalidInput("ticket: not 32 random bytes in base64url")
    return place, ticket, origin


def _for_pages_of_the_tenant(
    call: Call, verifier: Verifier, content: Mapping[str, JsonValue]
) -> Response:
    """An answer that scripts may read at the origins that the tenant names, and nowhere else."""
    answer = json_answer(content)
    answer.headers["Vary"] = "Origin"
    origin = call.header("origin")
    if origin in verifier.tenant(call.path["tenant"]).return_origins:
        answer.headers["Access-Control-Allow-Origin"] = str(origin)
    return answer


@pages.get(_HERE + "/return")
def get_return(call: Call, verifier: Verifier) -> Response:
    """Back from the wallet: on to the asker, with a code that counts in its session."""
    code = call.query.get("response_code", "")
    return redirect(come_back(verifier, *_place(call), code))


@answers.post(_HERE + "/request")
def post_request(call: Call, verifier: Verifier) -> Mapping[str, JsonValue]:
    """What to give to `navigator.credentials.get` as `digital`."""
    call.json()  # JSON only: no form of another site can say that
    return ask_browser(verifier, *_place(call))


@answers.post(_HERE + "/answer", max_bytes=MAX_FORM_BYTES)
def post_answer(call: Call, verifier: Verifier) -> Mapping[str, JsonValue]:
    """What `navigator.credentials.get` gave: protocol and data."""
    if call.media_type != "application/json":
        raise InvalidInput("answer: not application/json")
    answer = parse_json_object(call.body, max_bytes=MAX_FORM_BYTES, max_string=MAX_FORM_BYTES)
    data = answer.get("data")
    if answer.get("protocol") not in (SIGNED, UNSIGNED) or not isinstance(data, Mapping):
        raise InvalidInput("answer: not of a protocol that was asked for")
    token = data.get("response")
    if not isinstance(token, str):
        raise InvalidInput("answer: not encrypted")
    return answer_browser(verifier, *_place(call), token)
