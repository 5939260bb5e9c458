"""Where a wallet's user lands who was not sent elsewhere: the answer is at the counter."""

from starlette.responses import HTMLResponse

from shared.runtime.routes import Call, PageRouter, page_router

from ..context import Verifier

router: PageRouter[Verifier] = page_router()

_TEXTS = {
    "en": ("Thank you", "Your answer has been sent. Please go on where you were asked."),
    "fr": (
        "Merci",
        "Votre réponse a été envoyée. Veuillez continuer auprès du service qui vous a interrogé.",
    ),
}
_PAGE = (
    '<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<title>{title}</title></head><body><main><h1 id="done-title">{title}</h1>'
    '<p id="done-text">{text}</p></main></body></html>'
)


@router.get("/{tenant}/done")
def done(call: Call, _verifier: Verifier) -> HTMLResponse:
    """The same for everybody: this page knows no transaction."""
    wanted = call.header("accept-language") or ""
    language = "fr" if wanted.strip().lower().startswith("fr") else "en"
    title, text = _TEXTS[language]
    page = _PAGE.format(language=language, title=title, text=text)
    return HTMLResponse(page, headers={"Cache-Control": "no-store", "Vary": "Accept-Language"})
