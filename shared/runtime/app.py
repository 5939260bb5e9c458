"""Makes the app of a service: routers, one outermost middleware, health, metrics.

The middleware is pure ASGI and one function: request id, security headers, header limit, metrics,
and the answer to what nobody foresaw. The public base URL is a setting; nothing is ever built from
`Host` or `X-Forwarded-*` (C-53).
"""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import ExpectedError, InvalidInput, NotFound
from . import logs
from .errors import (
    TooLarge,
    bug_answer,
    page_answer,
    problem_answer,
    protocol_answer,
)
from .metrics import Metrics
from .routes import DEFAULT_LIMIT, MalformedRequest, ProtocolRouter
from .threads import Threads

log = logs.get_log(__name__)

_HEADERS_LIMIT = 16 * 1024  # S-20
_CLOSED = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_PAGE = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_FIXED = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
_HSTS = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")

Readiness = Callable[[], Mapping[str, bool]]


class _MethodNotAllowed(ExpectedError):
    """The path is known, the method is not."""

    public = "This method is not allowed here."
    status = 405
    code = "method_not_allowed"


def _face(scope: Scope) -> Literal["protocol", "problem", "page"]:
    known: Literal["protocol", "problem", "page"] | None = scope.get("face")
    if known is not None:
        return known
    if scope["path"].startswith("/api/"):
        return "problem"
    accept = next((value for key, value in scope["headers"] if key == b"accept"), b"")
    return "page" if b"text/html" in accept else "protocol"


def answer(scope: Scope, error: ExpectedError) -> Response:
    """*error* with the face that the place of *scope* has."""
    face = _face(scope)
    route, support_id = scope.get("route_template", "other"), scope.get("request_id", "")
    if face == "problem":
        return problem_answer(error, route=route, support_id=support_id)
    if face == "page":
        return page_answer(error, route=route, support_id=support_id)
    return protocol_answer(error, malformed=MalformedRequest, route=route)


class _Outermost:
    """Around everything of one service."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, https: bool) -> None:
        self._app = app
        self._metrics = metrics
        closed = [*_FIXED, *([_HSTS] if https else [])]
        self._closed = [*closed, (b"content-security-policy", _CLOSED)]
        self._page = [*closed, (b"content-security-policy", _PAGE)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = request_id = secrets.token_hex(8)
        logs.request_id.set(request_id)
        begun = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                names = dict(headers)
                page = names.get(b"content-type", b"").startswith(b"text/html")
                added = self._page if page else self._closed
                if b"content-security-policy" in names:  # a page with its own policy
                    added = added[:-1]
                message["headers"] = [*headers, *added, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            size = sum(len(name) + len(value) for name, value in scope["headers"])
            if size > _HEADERS_LIMIT:
                refused = TooLarge("headers: too large")
                refused.status = 431  # type: ignore[attr-defined]
                await answer(scope, refused)(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("bug", support_id=request_id, route=_template(scope))
            if status:  # the answer has begun: let the server cut the connection
                raise
            response = bug_answer(_face(scope), support_id=request_id)
            await response(scope, receive, send_with_headers)
        finally:
            self._metrics.observe(
                _template(scope), scope["method"], status, time.perf_counter() - begun
            )


def _template(scope: Scope) -> str:
    found = scope.get("route_template")
    if found is None:
        route = scope.get("route")
        found = getattr(route, "path_format", None) or "other"
    return str(found)


def make_app(
    *,
    title: str,
    service: str,
    public_url: str,
    context: object,
    routers: Sequence["ProtocolRouter[object] | APIRouter"],
    ready: Readiness,
    on_start: Sequence[Callable[[], None]] = (),
    on_stop: Sequence[Callable[[], None]] = (),
    threads: int = 32,
) -> FastAPI:
    """The ASGI application of one service.

    Args:
        title: for OpenAPI.
        service: the label in metrics, e.g. "issuer".
        public_url: the base URL of the settings; https switches HSTS on.
        context: the service's frozen context; acts and dependencies get it.
        routers: of `protocol_router`, `api_router` and `page_router`.
        ready: name of a part -> whether it works, for /health/ready (in a thread; keep it short).
        on_start: called in each worker process before the first request, e.g. `jobs.start`.
        on_stop: called at the end, in the order given.
        threads: how many acts may run at once in a process.
    """
    pool = Threads(threads)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        for each in on_start:
            each()
        try:
            yield
        finally:
            for each in on_stop:
                await pool.run(each)
            pool.stop()

    app = FastAPI(
        title=title,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        max_body_size=DEFAULT_LIMIT,
    )
    metrics = Metrics(service)
    app.state.context = context
    app.state.threads = pool
    app.state.metrics = metrics
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_middleware(_Outermost, metrics=metrics, https=public_url.startswith("https://"))
    for router in routers:
        if isinstance(router, ProtocolRouter):
            app.router.routes.extend(router.routes)
    for router in routers:
        if isinstance(router, APIRouter):
            app.include_router(router)
    app.include_router(_operations(ready, metrics))
    return app


async def _http_exception(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: unknown paths, methods, bodies beyond the limit."""
    status = getattr(error, "status_code", 500)
    refused: ExpectedError = InvalidInput(f"http: {status}")
    if status == 404:
        refused = NotFound("route: unknown")
    elif status == 405:
        refused = _MethodNotAllowed("route: method not allowed")
    elif status == 413:
        refused = TooLarge("body: too large")
    response = answer(request.scope, refused)
    response.headers.update(getattr(error, "headers", None) or {})
    return response


def _operations(ready: Readiness, metrics: Metrics) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/health/live")
    async def live() -> JSONResponse:
        """The process answers."""
        return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

    @router.get("/health/ready")
    def readiness() -> JSONResponse:
        """The process can do its work: each part by name."""
        parts = dict(ready())
        fine = all(parts.values())
        return JSONResponse(
            {"status": "ok" if fine else "unavailable", "parts": parts},
            200 if fine else 503,
            {"Cache-Control": "no-store"},
        )

    @router.get("/metrics")
    async def measured() -> Response:
        """Prometheus text: route templates, no ids."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router
