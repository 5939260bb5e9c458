"""Routers: which face their errors have, and the lean path of hot endpoints.

A lean endpoint is `def act(call, context) -> Answer`: the body is read within its limit (S-20)
before the act starts, the act runs in a thread, whatever `ExpectedError` it raises is answered with
the face of its router. There is no dependency machinery on this path, so it costs a third of a
FastAPI route (ADR 0008). Protocol endpoints, pages and the hot ones of `/api/v1` use it; the
rest of `/api/v1` is FastAPI as usual.
"""

import inspect
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

from fastapi import APIRouter, Header
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from ..errors import ExpectedError, InvalidInput, ProtocolError
from . import logs
from .calls import Answer, Call, json_answer, read_body
from .errors import Face, page_answer, problem_answer, protocol_answer
from .pages import Pages
from .threads import Threads

__all__ = [
    "Answer",
    "ApiRouter",
    "Call",
    "PageRouter",
    "ProtocolRouter",
    "api_router",
    "hot_api_router",
    "json_answer",
    "page_files",
    "page_router",
    "protocol_router",
    "service",
]

KIB = 1024
DEFAULT_LIMIT = 64 * KIB  # S-20: form and JSON

Context = TypeVar("Context")
Act: TypeAlias = Callable[[Call, Context], Answer]
Query: TypeAlias = Mapping[str, object]
NO_QUERY: Query = MappingProxyType({})
_KEY = Annotated[str | None, Header(description="One key, one execution: send it again to repeat.")]


class MalformedRequest(ProtocolError):
    """RFC 6749, section 5.2; for places where no protocol has a word of its own."""

    error = "invalid_request"
    public = "The request is malformed."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Endpoint(Generic[Context]):
    """An act as an ASGI application."""

    act: Act[Context]
    path: str
    face: Face
    refuse: Callable[[ExpectedError, Scope], Response]
    max_bytes: int = DEFAULT_LIMIT
    cors: bool = False
    cache: str = "no-store"
    status: int = 200
    waits: bool = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["face"] = self.face
        scope["route_template"] = self.path
        try:
            body = b""
            if scope["method"] != "GET":
                body = await read_body(scope, receive, self.max_bytes)
            state = scope["app"].state
            threads: Threads = state.threads
            call = Call(scope, body, self.max_bytes)
            context: Context = state.context
            if self.waits:
                response = await threads.run(lambda: self._answer(call, context))
            else:
                response = self._answer(call, context)
        except ExpectedError as error:
            response = self.refuse(error, scope)
        if self.cors:  # C-52
            response.headers["Access-Control-Allow-Origin"] = "*"
        await response(scope, receive, send)

    def _answer(self, call: Call, context: Context) -> Response:
        logs.request_id.set(call.request_id)
        answer = self.act(call, context)
        if isinstance(answer, Response):
            return answer
        if answer is None:
            return Response(None, 204, {"Cache-Control": self.cache})
        return json_answer(answer, status=self.status, cache=self.cache)


class ProtocolRouter(Generic[Context]):
    """Routes of one protocol; see `protocol_router`."""

    def __init__(self, malformed: type[ProtocolError]) -> None:
        self.malformed = malformed
        self.routes: list[Route] = []

    def get(
        self, path: str, *, cors: bool = False, cache: str = "no-store"
    ) -> Callable[[Act[Context]], Act[Context]]:
        """Decorate the act that answers GET (and HEAD) at *path*.

        Args:
            path: Starlette's syntax, e.g. `/{tenant}/offers/{offer}`.
            cors: pages of any origin may read the answer (C-52).
            cache: the Cache-Control of answers that are not a Response.
        """

        def decorate(act: Act[Context]) -> Act[Context]:
            self._add("GET", path, act, cors=cors, cache=cache)
            return act

        return decorate

    def post(
        self,
        path: str,
        *,
        max_bytes: int = DEFAULT_LIMIT,
        cors: bool = False,
        waits: bool = True,
    ) -> Callable[[Act[Context]], Act[Context]]:
        """Decorate the act that answers POST at *path*; bodies beyond *max_bytes* get 413.

        With *waits* False it runs in the event loop: never for an act that asks a database, a key
        store or another service, since everybody would wait with it.
        """

        def decorate(act: Act[Context]) -> Act[Context]:
            self._add("POST", path, act, max_bytes=max_bytes, cors=cors, waits=waits)
            return act

        return decorate

    def _add(self, method: str, path: str, act: Act[Context], **options: Any) -> None:
        def refuse(error: ExpectedError, _scope: Scope) -> Response:
            return protocol_answer(error, malformed=self.malformed, route=path)

        endpoint = _Endpoint(act=act, path=path, face="protocol", refuse=refuse, **options)
        self.routes.append(Route(path, endpoint, methods=[method], name=_name(act)))


def protocol_router(malformed: type[ProtocolError]) -> ProtocolRouter[Context]:
    """A router whose errors are its protocol's: `InvalidInput` becomes the code of *malformed*."""
    return ProtocolRouter(malformed)


class ApiRouter(Generic[Context]):
    """Hot routes of `/api/v1`; see `hot_api_router`. *query* is what OpenAPI says may be there."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.routes: list[Route] = []
        self.described = APIRouter(prefix=prefix)  # what OpenAPI says of them; never called

    def get(
        self, path: str, *, answer: type[BaseModel] | None = None, query: Query = NO_QUERY
    ) -> Callable[[Act[Context]], Act[Context]]:
        """Decorate the act that answers GET at *path* with *answer*; None: with what is no JSON."""
        return self._route("GET", path, answer=answer, query=query)

    def post(
        self,
        path: str,
        *,
        body: type[BaseModel] | None = None,
        answer: type[BaseModel] | None = None,
        status: int = 200,
        max_bytes: int = DEFAULT_LIMIT,
        query: Query = NO_QUERY,
        keyed: bool = False,
    ) -> Callable[[Act[Context]], Act[Context]]:
        """Decorate the act that answers POST at *path*; it reads `call.message(body)` itself.

        With *keyed* it takes an Idempotency-Key, too.
        """
        return self._route(
            "POST",
            path,
            body=body,
            answer=answer,
            status=status,
            max_bytes=max_bytes,
            query={**query, "idempotency_key": _KEY} if keyed else query,
        )

    def delete(
        self, path: str, *, answer: type[BaseModel] | None = None
    ) -> Callable[[Act[Context]], Act[Context]]:
        """Decorate the act that answers DELETE at *path*; None is answered as 204."""
        return self._route("DELETE", path, answer=answer, status=204 if answer is None else 200)

    def _route(
        self,
        method: str,
        path: str,
        *,
        body: type[BaseModel] | None = None,
        answer: type[BaseModel] | None = None,
        status: int = 200,
        max_bytes: int = DEFAULT_LIMIT,
        query: Query = NO_QUERY,
    ) -> Callable[[Act[Context]], Act[Context]]:
        template = self.prefix + path

        def refuse(error: ExpectedError, scope: Scope) -> Response:
            return problem_answer(error, route=template, support_id=scope["request_id"])

        def decorate(act: Act[Context]) -> Act[Context]:
            endpoint = _Endpoint(
                act=act,
                path=template,
                face="problem",
                refuse=refuse,
                max_bytes=max_bytes,
                status=status,
            )
            self.routes.append(Route(template, endpoint, methods=[method], name=_name(act)))
            self.described.add_api_route(
                path,
                _description(act, path, body, query),
                methods=[method],
                response_model=answer,
                status_code=status,
            )
            return act

        return decorate


class PageRouter(Generic[Context]):
    """Routes of pages for people; see `page_router`."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def get(self, path: str) -> Callable[[Act[Context]], Act[Context]]:
        """Decorate the act that answers GET (and HEAD) at *path* with a page or a redirect."""
        return self._route("GET", path, DEFAULT_LIMIT)

    def post(
        self, path: str, *, max_bytes: int = DEFAULT_LIMIT
    ) -> Callable[[Act[Context]], Act[Context]]:
        """Decorate the act that answers a form sent to *path*."""
        return self._route("POST", path, max_bytes)

    def _route(
        self, method: str, path: str, max_bytes: int
    ) -> Callable[[Act[Context]], Act[Context]]:
        def refuse(error: ExpectedError, scope: Scope) -> Response:
            support_id = scope["request_id"]
            return page_answer(error, route=path, support_id=support_id, scope=scope)

        def decorate(act: Act[Context]) -> Act[Context]:
            endpoint = _Endpoint(
                act=act, path=path, face="page", refuse=refuse, max_bytes=max_bytes
            )
            self.routes.append(Route(path, endpoint, methods=[method], name=_name(act)))
            return act

        return decorate


def page_router() -> PageRouter[Context]:
    """A router for pages: errors are HTML with a fixed marker text and stable ids."""
    return PageRouter()


def page_files(pages: Pages) -> PageRouter[object]:
    """What every service with *pages* serves beside them: their files, the choice of a language."""
    router: PageRouter[object] = page_router()

    @router.get("/static/{name:path}")
    def asset(call: Call, _context: object) -> Answer:
        return pages.asset(call.path["name"], call.headers("accept-encoding"))

    @router.get("/language/{tag}")
    def language(call: Call, _context: object) -> Answer:
        return pages.choose_language(call.path["tag"], call.query.get("to", "/"))

    return router


def hot_api_router(prefix: str = "/api/v1") -> ApiRouter[Context]:
    """A router for hot endpoints of `/api/v1`: lean, problem+json, and still in OpenAPI."""
    return ApiRouter(prefix)


def _name(act: Callable[..., object]) -> str:
    return getattr(act, "__name__", "act")


def _description(
    act: Callable[..., object], path: str, body: type[BaseModel] | None, query: Query
) -> Callable[..., None]:
    """A function with the signature that FastAPI reads into OpenAPI."""

    def described(**_: object) -> None:
        raise HTTPException(404)  # only its signature is read: `ServiceApp` finds the lean route

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(name, keyword, annotation=str) for name in re.findall(r"{(\w+)}", path)
    ]
    if body is not None:
        parameters.append(inspect.Parameter("body", keyword, annotation=body))
    parameters += [
        inspect.Parameter(name, keyword, annotation=kind, default=None)
        for name, kind in query.items()
    ]
    described.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # PEP 362
    described.__name__ = _name(act)
    described.__doc__ = act.__doc__
    return described


_Handler: TypeAlias = Callable[[Request], Coroutine[None, None, Response]]


def _as_expected(error: RequestValidationError) -> InvalidInput:
    places = [".".join(str(part) for part in each["loc"]) for each in error.errors()[:5]]
    refused = InvalidInput(f"request: {', '.join(places)}")
    # The names of fields are ours, their values are not repeated.
    refused.public = f"The request is malformed: {', '.join(places)}."
    return refused


def _route_class(max_bytes: int) -> type[APIRoute]:
    """FastAPI's route with the face of `/api/v1`, and the body limit of S-20."""

    class FacedRoute(APIRoute):
        def get_route_handler(self) -> _Handler:
            handler = super().get_route_handler()

            async def handle(request: Request) -> Response:
                request.scope["face"] = "problem"
                support_id = request.scope.get("request_id", "")
                try:
                    return await handler(await _read_within(request, max_bytes))
                except RequestValidationError as error:
                    refused: ExpectedError = _as_expected(error)
                except ExpectedError as error:
                    refused = error
                return problem_answer(refused, route=self.path, support_id=support_id)

            return handle

    return FacedRoute


async def _read_within(request: Request, max_bytes: int) -> Request:
    """The same request, its body read already; afterwards `receive` tells of disconnects."""
    if request.method in {"GET", "HEAD"}:
        return request
    body = await read_body(request.scope, request.receive, max_bytes)
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await request.receive()

    return Request(request.scope, receive)


def api_router(prefix: str = "/api/v1", *, max_bytes: int = DEFAULT_LIMIT) -> APIRouter:
    """A FastAPI router for `/api/v1`: errors are problem+json; *max_bytes* for bodies (S-20)."""
    return APIRouter(prefix=prefix, route_class=_route_class(max_bytes))


async def service(request: Request) -> object:
    """The service's context, for `Annotated[Issuer, Depends(service)]` in API routes."""
    context: object = request.app.state.context
    return context
