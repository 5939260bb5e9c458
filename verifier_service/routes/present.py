"""The page of one transaction, for the browser that started it (V-50, V-70, V-71)."""

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

from ..browsers import SIGNED, UNSIGNED, answer_browser, ask_browser, come_back, look, open_page
from ..context import Verifier
from ..transactions import OPEN, timestamp

COOKIE = "__Host-present"
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
