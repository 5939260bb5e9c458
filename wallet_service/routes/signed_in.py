"""Whose wallet is open: a `__Host-` cookie in browsers, a bearer token in apps.

A cookie alone must not let another site act: with it, a request that changes something must name an
origin of ours (and the cookie is SameSite=Strict).
"""

from http.cookies import CookieError, SimpleCookie

from starlette.responses import Response

from shared.encoding import JsonValue, b64url_decode, to_numeric_date
from shared.errors import Forbidden, Unauthenticated
from shared.runtime.routes import Call, json_answer

from ..context import Wallet
from ..sessions import NewSession, resume_session
from ..vault import OpenWallet

COOKIE = "__Host-wallet"


def open_wallet(call: Call, wallet: Wallet) -> OpenWallet:
    """The wallet that this request may look into.

    Raises:
        Unauthenticated: no session, or it ended.
        Forbidden: the cookie came with a request from another site.
    """
    token = _bearer(call)
    if token is None:
        token = _cookie(call)
        if call.method != "GET" and call.header("origin") not in wallet.settings.allowed_origins:
            raise Forbidden("session: the cookie came from another origin")
    return resume_session(wallet, token, now=wallet.clock())


def session_token(call: Call) -> bytes:
    """The value behind the session that `open_wallet` found."""
    return b64url_decode(_bearer(call) or _cookie(call))


def former_token(call: Call) -> str | None:
    """What the cookie of this browser still says while a wallet is opened."""
    try:
        return _cookie(call)
    except Unauthenticated:
        return None


def session_answer(
    session: NewSession, *, bearer: bool, more: dict[str, JsonValue] | None = None
) -> Response:
    """A new session: its token in a cookie, or in the answer for apps that ask for that.

    It says how long it lasts, unused and in any case, so that nobody is surprised (WCAG 2.2.1).
    """
    content: dict[str, JsonValue] = {
        "wallet": session.opened.id,
        "session": session.id,
        "ends_at": to_numeric_date(session.ends_at),
        "idle_seconds": session.idle_seconds,
        "seconds": session.seconds,
        **(more or {}),
    }
    if bearer:
        return json_answer({**content, "token": session.token}, status=201)
    cookie = f"{COOKIE}={session.token}; Path=/; Secure; HttpOnly; SameSite=Strict"
    return json_answer(content, status=201, headers={"Set-Cookie": cookie})


def ended_answer() -> Response:
    """Signed out: the browser forgets its cookie."""
    cookie = f"{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"
    return Response(None, 204, {"Cache-Control": "no-store", "Set-Cookie": cookie})


def _bearer(call: Call) -> str | None:
    authorization = call.header("authorization")
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("session: not a bearer token")
    return token.strip()


def _cookie(call: Call) -> str:
    try:
        found = SimpleCookie(call.header("cookie") or "").get(COOKIE)
    except CookieError as error:
        raise Unauthenticated("session: not a cookie") from error
    if found is None:
        raise Unauthenticated("session: none")
    return found.value
