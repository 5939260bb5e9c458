"""For people who cannot scan: type the short code, see who asks, go on to a wallet (ADR 0022)."""

from starlette.responses import Response

from shared.runtime.calls import Call
from shared.runtime.errors import refusal
from shared.runtime.languages import choose
from shared.runtime.pages import Pages, cookie
from shared.runtime.routes import PageRouter, page_router

from ..codes import WrongCode, open_code, typed
from ..context import Verifier
from ..counter import question

COOKIE = "__Host-code"
router: PageRouter[Verifier] = page_router()


@router.get("/c")
def get_form(call: Call, _verifier: Verifier) -> Response:
    """Where the code is typed."""
    return _form(call, "")


@router.get("/c/{code}")
def get_filled_form(call: Call, _verifier: Verifier) -> Response:
    """The same with the code in it; looking is no use of it."""
    return _form(call, typed(call.path["code"]))


@router.post("/c")
def post_code(call: Call, verifier: Verifier) -> Response:
    """Opens what the code stands for, for this browser alone."""
    code = call.form().get("code", "")
    try:
        opened = open_code(verifier, code, cookie=cookie(call.scope, COOKIE))
    except WrongCode as error:
        return _form(call, typed(code), error)
    pages: Pages = call.scope["pages"]
    language = pages.language(call.scope)
    kept = f"{COOKIE}={opened.cookie}; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Strict"
    return call.page(
        "code.html",
        scripts=True,
        headers={"Set-Cookie": kept},
        asker=choose(opened.asker, language),
        desk=opened.desk,
        link=opened.link,
        question=question(opened.query, language),
    )


def _form(call: Call, code: str, error: WrongCode | None = None) -> Response:
    pages: Pages = call.scope["pages"]
    found = None if error is None else refusal(error)
    return call.page(
        "code-form.html",
        status=200 if found is None else found.status,
        headers={} if found is None else found.headers,
        code=code,
        problem=pages.text(call.scope, error.public) if error else "",
        problem_step=pages.text(call.scope, found.next_step) if found else "",
    )
