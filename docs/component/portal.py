# ruff: noqa: INP001  # a script
"""A public service's own web server, with the web component on its page: the whole of it.

    VERIFIER=https://verifier.example TENANT=counter CLIENT=portal SECRET=… python portal.py

The page is at ORIGIN (http://localhost:8090), one of the tenant's `return_origins`. The browser
gets the address of each request and no more; secret and answer stay in the session here.
"""

import os
import secrets
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

HERE = Path(__file__).parent
VERIFIER = os.environ["VERIFIER"]
ORIGIN = os.environ.get("ORIGIN", "http://localhost:8090")
API = f"{VERIFIER}/api/v1/{os.environ['TENANT']}"
POLICY = (
    f"default-src 'none'; script-src 'self' {VERIFIER}; connect-src 'self' {VERIFIER}; "
    "style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
http = httpx2.Client(timeout=10)
sessions: dict[str, dict[str, Any]] = {}


def verifier(method: str, path: str, session: dict[str, Any], body: object = None) -> Any:
    """A call of the agency API; a token lives ten minutes, a fresh one each time is simplest."""
    login = (os.environ["CLIENT"], os.environ["SECRET"])
    form = {"grant_type": "client_credentials"}
    token = http.post(f"{API}/token", data=form, auth=login).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Transaction-Secret": session.get("secret", "")}
    answer = http.request(method, f"{API}/{path}", json=body, headers=headers)
    return answer.json()


def session_of(request: Request) -> dict[str, Any]:
    """What this browser has begun; empty if nothing."""
    return sessions.get(request.cookies.get("session", ""), {})


def page(request: Request) -> Response:
    """The page with the component, and a session."""
    name = request.cookies.get("session") or secrets.token_urlsafe(32)
    sessions.setdefault(name, {})
    text = (HERE / "index.html").read_text(encoding="utf-8").replace("VERIFIER", VERIFIER)
    answer = HTMLResponse(text, headers={"Content-Security-Policy": POLICY})
    answer.set_cookie("session", name, httponly=True, samesite="lax", secure="https" in ORIGIN)
    return answer


async def start(request: Request) -> Response:
    """Begins a request; only its address goes to the browser."""
    session, flow = session_of(request), (await request.json())["flow"]
    asked = {"query": "over_18", "flow": flow}
    if flow == "same_device":
        asked["return_url"] = f"{ORIGIN}/back"
    if wallet := os.environ.get("WALLET"):  # one web wallet instead of any wallet app
        asked["wallet_endpoint"] = wallet
    session.clear()
    session |= verifier("POST", "transactions", {}, asked)
    return JSONResponse({"page": session["page"]})


def back(request: Request) -> Response:
    """The browser is back from its wallet: its code counts in the session that began, once."""
    session, code = session_of(request), request.query_params.get("response_code", "")
    if session and code:
        path = f"transactions/{session['transaction_id']}/return"
        verifier("POST", path, session, {"response_code": code})
    return RedirectResponse("/reserve", 303)


def reserve(request: Request) -> Response:
    """What only somebody who is 18 may do: decided here, by what the verifier says."""
    session = session_of(request)
    path = f"transactions/{session.get('transaction_id')}"
    result = verifier("GET", path, session) if session else {}
    if result.get("state") != "verified":
        return RedirectResponse("/", 303)
    return HTMLResponse("<!doctype html><title>Reserved</title><h1>The hall is yours.</h1>")


def file(name: str) -> Response:
    """A file beside this one."""
    kind = "text/css" if name.endswith(".css") else "text/javascript"
    return Response((HERE / name).read_bytes(), media_type=kind)


app = Starlette(
    routes=[
        Route("/", page),
        Route("/page.css", lambda _: file("page.css")),
        Route("/page.js", lambda _: file("page.js")),
        Route("/wallet/start", start, methods=["POST"]),
        Route("/back", back),
        Route("/reserve", reserve),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(ORIGIN.rpartition(":")[2]), log_level="warning")
