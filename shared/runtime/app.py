"""Makes the app of a service: routers, one outermost middleware, health, metrics.

The public base URL is a setting; nothing is ever built from `Host` or `X-Forwarded-*` (C-53).
"""

import gc
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from ..errors import ExpectedError, InvalidInput, NotFound, TooManyRequests
from . import logs
from .errors import (
    Face,
    TooLarge,
    bug_answer,
    page_answer,
    problem_answer,
    protocol_answer,
)
from .limits import RateLimit
from .metrics import Metrics
from .openapi import with_problems
from .pages import Pages
from .published import FromMemory
from .routes import ApiRouter, MalformedRequest, PageRouter, ProtocolRouter, page_files
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

_OPERATIONS = ("/health/", "/metrics")
_NOT_PLAIN = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})

Readiness = Callable[[], Mapping[str, bool]]


class _MethodNotAllowed(ExpectedError):
    """The path is known, the method is not."""

    public = "This method is not allowed here."
    status = 405
    code = "method_not_allowed"


class _HeadersTooLarge(TooLarge):
    status = 431


@dataclass(frozen=True, slots=True)
class AppState:
    """What a protocol route needs of its app."""

    context: object
    threads: Threads


def _face(scope: Scope) -> Face:
    known: Face | None = scope.get("face")
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
        return page_answer(error, route=route, support_id=support_id, scope=scope)
    return protocol_answer(error, malformed=MalformedRequest, route=route)


class _ClientGone(Exception):
    """The other side has closed the connection before its answer."""


class ServiceApp:
    """The ASGI application of one service; `api` is the FastAPI part of it.

    Outermost is one function: request id, header limit, security headers, metrics, and the answer
    to what nobody foresaw. Protocol routes are found here; everything else goes on to FastAPI.
    """

    def __init__(
        self,
        api: FastAPI,
        *,
        routes: Sequence[Route],
        state: AppState,
        metrics: Metrics,
        https: bool,
        rate_limit: RateLimit,
        pages: Pages | None = None,
        from_memory: FromMemory | None = None,
    ) -> None:
        self.api = api
        self.state = state
        self.metrics = metrics
        self._routes = tuple(routes)
        self._by_depth = _by_depth(routes)
        self._rate_limit = rate_limit
        self._pages = pages
        closed = [*_FIXED, *([_HSTS] if https else [])]
        self._closed = [*closed, (b"content-security-policy", _CLOSED)]
        self._page = [*closed, (b"content-security-policy", _PAGE)]
        self._from_memory = from_memory
        self._lines = b"".join(b"%b: %b\r\n" % each for each in self._closed)

    def at_once(
        self, target: bytes, headers: Sequence[tuple[bytes, bytes]], *, client: str | None
    ) -> tuple[bytes, bytes] | None:
        """Head and body of the answer to a plain GET that memory holds: no scope, task or thread.

        Args:
            target: as it stands in the request line.
            headers: their names in lower case.
            client: the address of the other side; None where only a proxy knows it.

        Returns:
            The head without its last lines (`Date`, the empty one); None if the request goes the
            usual way, which also says what is wrong with it.
        """
        known = self._from_memory
        if known is None or known.mark not in target:
            return None
        begun = time.perf_counter()
        named = dict(headers)
        if (
            len(named) != len(headers)
            or not _NOT_PLAIN.isdisjoint(named)
            or sum(map(len, named)) + sum(map(len, named.values())) > _HEADERS_LIMIT
        ):
            return None
        try:
            found = known.find(target, named)
        except Exception:
            log.exception("bug", route=known.route)
            return None
        if found is None or not self._rate_limit.allows(client):
            return None
        request_id = secrets.token_hex(8).encode()
        head = b"%b%bx-request-id: %b\r\n" % (found.head, self._lines, request_id)
        seconds = time.perf_counter() - begun
        self.metrics.observe(known.route, "GET", found.status_code, seconds)
        return head, bytes(found.body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        scope["request_id"] = request_id = secrets.token_hex(8)
        scope["pages"] = self._pages
        logs.request_id.set(request_id)
        begun = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    *self._added(message["headers"]),
                    (b"x-request-id", request_id.encode()),
                ]
            try:
                await send(message)
            except (RuntimeError, OSError) as error:  # of a transport that is closed
                raise _ClientGone from error

        try:
            if sum(len(name) + len(value) for name, value in scope["headers"]) > _HEADERS_LIMIT:
                await answer(scope, _HeadersTooLarge("headers: too large"))(
                    scope, receive, send_with_headers
                )
            else:
                await self._dispatch(scope, receive, send_with_headers)
        except _ClientGone:
            status = 499  # as nginx counts it; there is nobody to answer
        except Exception:
            log.exception("bug", support_id=request_id, route=_template(scope))
            if not status:
                response = bug_answer(_face(scope), support_id=request_id, scope=scope)
                await response(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - begun
            self.metrics.observe(_template(scope), scope["method"], status, seconds)

    def _within_limit(self, scope: Scope) -> bool:
        if scope["path"].startswith(_OPERATIONS):
            return True
        return self._rate_limit.allows((scope.get("client") or ("",))[0])

    def _added(self, headers: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
        added = self._closed
        for name, value in headers:
            if name == b"content-type" and value.startswith(b"text/html"):
                added = self._page
            elif name == b"content-security-policy":  # a page with a policy of its own
                return self._closed[:-1]
        return added

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._within_limit(scope):
            refused = TooManyRequests("rate: too many from one address")
            await answer(scope, refused)(scope, receive, send)
            return
        wrong_method = False
        for route in self._by_depth[min(scope["path"].count("/"), len(self._by_depth) - 1)]:
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                scope["app"] = self
                await route.app(scope, receive, send)
                return
            wrong_method = wrong_method or match is Match.PARTIAL
        if wrong_method:
            await answer(scope, _MethodNotAllowed("route: method"))(scope, receive, send)
            return
        await self.api(scope, receive, send)


def _by_depth(routes: Sequence[Route]) -> Sequence[Sequence[Route]]:
    """At each place those for paths of so many slashes, the last for all that are longer.

    So that a request is held against a few of them and not, one regular expression after the other,
    against all.
    """
    depths = range(max((each.path.count("/") for each in routes), default=0) + 2)
    return [
        [each for each in routes if ":path}" in each.path or each.path.count("/") == depth]
        for depth in depths
    ]


def _template(scope: Scope) -> str:
    found = scope.get("route_template")
    if found is None:
        found = getattr(scope.get("route"), "path_format", None)
    return str(found or "other")


def make_app(
    *,
    title: str,
    service: str,
    public_url: str,
    context: object,
    routers: Sequence[ProtocolRouter[Any] | ApiRouter[Any] | PageRouter[Any] | APIRouter],
    ready: Readiness,
    on_start: Sequence[Callable[[], None]] = (),
    on_stop: Sequence[Callable[[], None]] = (),
    threads: int = 32,
    requests_per_second: int = 0,
    pages: Pages | None = None,
    from_memory: FromMemory | None = None,
) -> ServiceApp:
    """The ASGI application of one service.

    Args:
        title: for OpenAPI.
        service: the label in metrics, e.g. "issuer".
        public_url: the base URL of the settings; https switches HSTS on.
        context: the service's frozen context; acts and dependencies get it.
        routers: of `protocol_router`, `hot_api_router`, `api_router` and `page_router`.
        ready: name of a part -> whether it works, for /health/ready (in a thread; keep it short).
        on_start: called in each worker process before the first request, e.g. `jobs.start`.
        on_stop: called at the end, in the order given.
        threads: how many acts of protocol routes may run at once in a process.
        requests_per_second: of one address to one process, 0 for no limit (S-22).
        pages: the service's pages for people; their files and languages get routes of their own.
        from_memory: what the server may answer without these routes, see `ServiceApp.at_once`.
    """
    state = AppState(context=context, threads=Threads(threads))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        for each in on_start:
            await state.threads.run(each)
        gc.collect()
        gc.freeze()  # what a worker starts with stays: no need to walk it again and again
        try:
            yield
        finally:
            for each in on_stop:
                await state.threads.run(each)
            state.threads.stop()

    api = FastAPI(
        title=title,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    metrics = Metrics(service)
    api.state.context = context
    api.add_exception_handler(HTTPException, _http_exception)
    api.add_exception_handler(Exception, _bug)
    routes: list[Route] = []
    for router in [*routers, *([page_files(pages)] if pages else [])]:
        if isinstance(router, APIRouter):
            api.include_router(router)
            continue
        routes += router.routes
        if isinstance(router, ApiRouter):
            api.include_router(router.described)
    api.include_router(_operations(ready, metrics))
    api.openapi = with_problems(api)  # type: ignore[method-assign]  # as FastAPI's manual has it
    return ServiceApp(
        api,
        routes=routes,
        state=state,
        metrics=metrics,
        https=public_url.startswith("https://"),
        rate_limit=RateLimit(requests_per_second),
        pages=pages,
        from_memory=from_memory,
    )


async def _bug(request: Request, _error: Exception) -> Response:
    """The answer; Starlette raises the error again and `ServiceApp` logs it."""
    scope = request.scope
    return bug_answer(_face(scope), support_id=scope.get("request_id", ""), scope=scope)


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
