"""Where a wallet's user lands who was not sent elsewhere: the answer is at the counter."""

from starlette.responses import Response

from shared.runtime.routes import Call, PageRouter, page_router

from ..context import Verifier

router: PageRouter[Verifier] = page_router()


@router.get("/{tenant}/done")
def done(call: Call, _verifier: Verifier) -> Response:
    """The same for everybody: this page knows no transaction."""
    return call.page("done.html")
