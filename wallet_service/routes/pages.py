"""Pages that a browser opens: the two endpoints other parties know, the way back, the first page.

The first four are one document, so that what is open stays open; its views are chosen in the page.

A cookie of the wallet is never sent when another site brings the browser here (SameSite=Strict), so
none of these pages asks who it is: scripts of ours open the wallet by its passkey and use
`/api/v1` like every app. A request at `/authorize` is fetched and verified before that, and a bad
one is answered by an error page and by nothing else.

Specification: OpenID4VP 1.0, section 5; OpenID4VCI 1.0, section 12.1; CERTIFICATION 2.3.6, 2.4 and
3; WALLET_SECURITY 6; PROFILE W-02, W-12, W-50, W-63.
"""

from urllib.parse import urlsplit

import orjson
from starlette.responses import Response

from shared.oid4vci.offer import parse_offer_parameters
from shared.runtime.calls import Answer, Call
from shared.runtime.pages import Pages
from shared.runtime.routes import PageRouter, page_router

from .. import installing, presenting, seeing
from ..context import Wallet

router: PageRouter[Wallet] = page_router()

_FROM_A_PAGE = frozenset({"cross-site", "same-site", "same-origin"})


@router.get("/")
def start(call: Call, _wallet: Wallet) -> Answer:
    """Open a wallet, or begin one."""
    return _app(call, "start")


@router.get("/authorize")
def authorize(call: Call, wallet: Wallet) -> Answer:
    """The authorization endpoint of this wallet: the request is good, or this is a page of 4xx."""
    elsewhere = _from_elsewhere(call)
    ticket = presenting.prepare(
        wallet,
        call.query,
        cross_device=elsewhere,
        website=None if elsewhere else _website(call),
        now=wallet.clock(),
    )
    return _app(call, "authorize", ticket=ticket)


@router.get("/offer")
def offer(call: Call, _wallet: Wallet) -> Answer:
    """The credential offer endpoint; what is offered is looked at once a wallet is open."""
    parse_offer_parameters(call.query)
    return _app(call, "offer")


@router.get("/callback")
def callback(call: Call, _wallet: Wallet) -> Answer:
    """Back from an agency: the page hands the answer to the session that began it (W-12)."""
    return _app(call, "callback")


@router.get("/lost")
def lost(call: Call, _wallet: Wallet) -> Answer:
    """Block a wallet by its revocation code, from any device."""
    return call.page("lost.html", scripts=True)


@router.get("/seen")
def seen(call: Call, _wallet: Wallet) -> Answer:
    """What the operator can see of a wallet, from the tables themselves."""
    return call.page("seen.html", seen=seeing.seen())


@router.get("/offline")
def offline(call: Call, _wallet: Wallet) -> Answer:
    """What the service worker shows when nothing answers."""
    return call.page("offline.html")


@router.get("/manifest.webmanifest")
def manifest(call: Call, _wallet: Wallet) -> Answer:
    """What the app is called on a home screen; browsers ask for it without cookies."""
    pages: Pages = call.scope["pages"]
    asked = call.query.get("language", "")
    language = asked if asked in pages.languages.tags else pages.language(call.scope)
    content = orjson.dumps(installing.manifest(pages, language))
    headers = {"Cache-Control": "no-cache", "Vary": "Accept-Language"}
    return Response(content, 200, headers, "application/manifest+json")


@router.get("/service-worker.js")
def service_worker(call: Call, _wallet: Wallet) -> Answer:
    """At the root, so that it may keep the first page; asked for anew by browsers themselves."""
    pages: Pages = call.scope["pages"]
    answer = pages.asset("service-worker.js")
    answer.headers["Content-Security-Policy"] = "default-src 'none'; connect-src 'self'"
    return answer


def _app(call: Call, entry: str, *, ticket: str = "") -> Answer:
    """The one document of the wallet; *entry* is what led to it."""
    pages: Pages = call.scope["pages"]
    return call.page(
        "app.html",
        scripts=True,
        installable=True,
        entry=entry,
        ticket=ticket,
        version=pages.version,
    )


def _from_elsewhere(call: Call) -> bool:
    """Whether no page of this browser led here: a scanned code, a mail, an address typed in.

    The browser says so, and no page can make it say something else (Fetch Metadata); one that says
    nothing is taken for elsewhere.
    """
    return call.header("sec-fetch-site") not in _FROM_A_PAGE


def _website(call: Call) -> str | None:
    """The host of the page that led here, if its browser says so; no page can name another one."""
    parts = urlsplit(call.header("referer") or "")
    return parts.netloc if parts.scheme in {"https", "http"} and parts.netloc else None
