"""Routers: which face their errors have, and the lean path of protocol endpoints.

A protocol endpoint is `def act(call, context) -> Answer`: the body is read within its limit (S-20)
before the act starts, the act runs in a thread, whatever `ExpectedError` it raises is answered as its
protocol wants. There is no dependency machinery on this path: it costs a third of a FastAPI route
(docs/performance.md). `/api/v1` and pages are FastAPI as usual.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Generic, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..encoding import JsonValue, parse_json_object
from ..errors import ExpectedError, InvalidInput, ProtocolError
from . import logs
from .errors import TooLarge, page_answer, problem_answer, protocol_answer
from .threads import Threads

KIB = 1024
DEFAULT_LIMIT = 64 * KIB  # S-20: form and JSON

Context = TypeVar("Context")
Model = TypeVar("Model", bound=BaseModel)
Answer: TypeAlias = Response | Mapping[str, JsonValue] | BaseModel
Act: TypeAlias = "Callable[[Call, Context], Answer]"


def json_answer(
    content: Mapping[str, JsonValue] | BaseModel,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    cache: str = "no-store",
) -> Response:
    """JSON that nobody keeps (C-51), unless *cache* says otherwise; models leave out what is None."""
    if isinstance(content, BaseModel):
        body = content.model_dump_json(exclude_none=True, by_alias=True).encode()
    else:
        body = orjson.dumps(content)
    return Response(body, status, {"Cache-Control": cache, **(headers or {})}, "application/json")


class MalformedRequest(ProtocolError):
    """RFC 6749, section 5.2; for places where no protocol has a word of its own."""

    error = "invalid_request"
    public = "The request is malformed."


class Call:
    """One request at a protocol endpoint. Everything read from it is strict and raises InvalidInput."""

    __slots__ = ("_limit", "_scope", "body", "path", "request_id")

    def __init__(self, scope: Scope, body: bytes, limit: int) -> None:
        self._scope = scope
        self._limit = limit
        self.body = body
        self.path: dict[str, str] = scope.get("path_params", {})
        self.request_id: str = scope.get("request_id", "")

    @property
    def method(self) -> str:
        """GET, POST, …"""
        return str(self._scope["method"])

    @property
    def client(self) -> str:
        """The address of the other side, for rate limits only; never logged, never stored."""
        return str((self._scope.get("client") or ("",))[0])

    def header(self, name: str) -> str | None:
        """The value of a header that must not come twice (a second DPoP proof, a second token)."""
        found = self.headers(name)
        if len(found) > 1:
            raise InvalidInput(f"header {name}: occurs twice")
        return found[0] if found else None

    def headers(self, name: str) -> list[str]:
        """Every value of a header, for checks of "exactly one" that belong to a specification."""
        wanted = name.lower().encode("latin-1")
        found = [value for key, value in self._scope["headers"] if key == wanted]
        return [each.decode("latin-1").strip() for each in found]

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, each at most once."""
        return _pairs(self._scope.get("query_string", b""), "query")

    def form(self) -> dict[str, str]:
        """The fields of an application/x-www-form-urlencoded body, each at most once."""
        if self.media_type != "application/x-www-form-urlencoded":
            raise InvalidInput("body: not application/x-www-form-urlencoded")
        return _pairs(self.body, "form")

    def json(self) -> dict[str, JsonValue]:
        """The JSON object in an application/json body; duplicate names and deep input refused (C-31)."""
        if self.media_type != "application/json":
            raise InvalidInput("body: not application/json")
        return parse_json_object(self.body, max_bytes=self._limit)

    def message(self, model: type[Model]) -> Model:
        """`json()` as a *model*; unknown members are ignored where the model says so (C-32)."""
        return _validated(model, self.json())

    def form_message(self, model: type[Model]) -> Model:
        """`form()` as a *model*."""
        return _validated(model, self.form())


def _pairs(data: bytes, what: str) -> dict[str, str]:
    try:
        found = parse_qsl(
            data.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(data),
            errors="strict",
            max_num_fields=200,
        )
    except ValueError as error:
        raise InvalidInput(f"{what}: not urlencoded") from error
    fields = dict(found)
    if len(fields) != len(found):
        raise InvalidInput(f"{what}: a parameter occurs twice")
    return fields


def _validated(model: type[Model], content: Mapping[str, object]) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        places = [".".join(str(part) for part in each["loc"]) for each in error.errors()[:5]]
        raise InvalidInput(f"message {model.__name__}: {', '.join(places)}") from error


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body; cut off as soon as it passes *limit* bytes, announced or not (S-20).

    Raises:
        TooLarge: it is larger.
        InvalidInput: the other side went away, or the Content-Length is not a number.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > limit):
            if not value.isdigit():
                raise InvalidInput("body: Content-Length is not a number")
            raise TooLarge("body: announced as too large")
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        parts, size = [body], len(body)
        while message.get("more_body", False) and size <= limit:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise InvalidInput("body: the connection was closed")
    if len(body) > limit:
        raise TooLarge("body: too large")
    return body


class _Endpoint(Generic[Context]):
    """An act as an ASGI application."""

    def __init__(
        self,
        act: "Act[Context]",
        *,
        path: str,
        malformed: type[ProtocolError],
        max_bytes: int,
        cors: bool,
        cache: str,
    ) -> None:
        self._act = act
        self._path = path
        self._malformed = malformed
        self._max_bytes = max_bytes
        self._cors = cors
        self._cache = cache
        self.__name__ = getattr(act, "__name__", "act")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["face"] = "protocol"
        scope["route_template"] = self._path
        try:
            body = b""
            if scope["method"] != "GET":
                body = await read_body(scope, receive, self._max_bytes)
            state = scope["app"].state
            threads: Threads = state.threads
            call = Call(scope, body, self._max_bytes)
            context: Context = state.context
            response = await threads.run(lambda: self._answer(call, context))
        except ExpectedError as error:
            response = protocol_answer(error, malformed=self._malformed, route=self._path)
        if self._cors:  # C-52
            response.headers["Access-Control-Allow-Origin"] = "*"
        await response(scope, receive, send)

    def _answer(self, call: Call, context: Context) -> Response:
        logs.request_id.set(call.request_id)
        answer = self._act(call, context)
        if isinstance(answer, Response):
            return answer
        return json_answer(answer, cache=self._cache)


class ProtocolRouter(Generic[Context]):
    """Routes of one protocol; see `protocol_router`."""

    def __init__(self, malformed: type[ProtocolError]) -> None:
        self.malformed = malformed
        self.routes: list[Route] = []

    def add(
        self,
        act: "Act[Context]",
        path: str,
        *,
        methods: Iterable[str],
        max_bytes: int = DEFAULT_LIMIT,
        cors: bool = False,
        cache: str = "no-store",
    ) -> None:
        """Answer *methods* at *path* (Starlette's syntax, e.g. `/{tenant}/token`) with *act*."""
        endpoint = _Endpoint(
            act,
            path=path,
            malformed=self.malformed,
            max_bytes=max_bytes,
            cors=cors,
            cache=cache,
        )
        self.routes.append(Route(path, endpoint, methods=list(methods), name=endpoint.__name__))

    def get(
        self, path: str, *, cors: bool = False, cache: str = "no-store"
    ) -> "Callable[[Act[Context]], Act[Context]]":
        """Decorate the act that answers GET (and HEAD) at *path*; *cors* as in C-52."""

        def decorate(act: "Act[Context]") -> "Act[Context]":
            self.add(act, path, methods=["GET"], cors=cors, cache=cache)
            return act

        return decorate

    def post(
        self, path: str, *, max_bytes: int = DEFAULT_LIMIT
    ) -> "Callable[[Act[Context]], Act[Context]]":
        """Decorate the act that answers POST at *path*; bodies beyond *max_bytes* get 413."""

        def decorate(act: "Act[Context]") -> "Act[Context]":
            self.add(act, path, methods=["POST"], max_bytes=max_bytes)
            return act

        return decorate


def protocol_router(malformed: type[ProtocolError]) -> "ProtocolRouter[Context]":
    """A router whose errors are its protocol's: `InvalidInput` becomes the code of *malformed*."""
    return ProtocolRouter(malformed)


_Handler: TypeAlias = Callable[[Request], Coroutine[None, None, Response]]


def _as_expected(error: RequestValidationError) -> InvalidInput:
    places = [".".join(str(part) for part in each["loc"]) for each in error.errors()[:5]]
    refused = InvalidInput(f"request: {', '.join(places)}")
    # The names of fields are ours, their values are not repeated.
    refused.public = f"The request is malformed: {', '.join(places)}."  # type: ignore[misc]
    return refused


class _ProblemRoute(APIRoute):
    """A route whose errors are problem+json."""

    def get_route_handler(self) -> _Handler:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            request.scope["face"] = "problem"
            support_id = request.scope.get("request_id", "")
            try:
                return await handler(request)
            except RequestValidationError as error:
                return problem_answer(_as_expected(error), route=self.path, support_id=support_id)
            except ExpectedError as error:
                return problem_answer(error, route=self.path, support_id=support_id)

        return handle


class _PageRoute(APIRoute):
    """A route whose errors are pages for people."""

    def get_route_handler(self) -> _Handler:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            request.scope["face"] = "page"
            support_id = request.scope.get("request_id", "")
            try:
                return await handler(request)
            except RequestValidationError as error:
                return page_answer(_as_expected(error), route=self.path, support_id=support_id)
            except ExpectedError as error:
                return page_answer(error, route=self.path, support_id=support_id)

        return handle


def api_router(prefix: str = "/api/v1") -> APIRouter:
    """A FastAPI router for `/api/v1`: errors are problem+json, answers are not kept."""
    return APIRouter(prefix=prefix, route_class=_ProblemRoute)


def page_router() -> APIRouter:
    """A FastAPI router for pages: errors are HTML with a fixed marker text and stable ids."""
    return APIRouter(route_class=_PageRoute, include_in_schema=False)


async def service(request: Request) -> object:
    """The service's context, for `Annotated[Issuer, Depends(service)]` in API and page routes."""
    context: object = request.app.state.context
    return context
