"""A request and an answer on the lean path: read within limits, strictly, once."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope

from ..encoding import JsonValue, parse_json_object
from ..errors import InvalidInput
from .errors import TooLarge
from .pages import Pages

Model = TypeVar("Model", bound=BaseModel)
Answer: TypeAlias = Response | Mapping[str, JsonValue] | BaseModel | None


def json_answer(
    content: Mapping[str, JsonValue] | BaseModel,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    cache: str = "no-store",
) -> Response:
    """JSON that nobody keeps (C-51) unless *cache* says so; models leave out what is None."""
    if isinstance(content, BaseModel):
        body = content.model_dump_json(exclude_none=True, by_alias=True).encode()
    else:
        body = orjson.dumps(content)
    return Response(body, status, {"Cache-Control": cache, **(headers or {})}, "application/json")


class Call:
    """One request. Everything read from it is strict and raises InvalidInput."""

    __slots__ = ("_limit", "_scope", "body", "path", "request_id")

    def __init__(self, scope: Scope, body: bytes, limit: int) -> None:
        self._scope = scope
        self._limit = limit
        self.body = body
        self.path: dict[str, str] = scope.get("path_params", {})
        self.request_id: str = scope.get("request_id", "")

    @property
    def scope(self) -> Scope:
        """What the server knows of the request, for `Pages`."""
        return self._scope

    def page(
        self,
        template: str,
        *,
        status: int = 200,
        scripts: bool = False,
        installable: bool = False,
        forms_to: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> Response:
        """A page of this service in the reader's language; see `Pages.answer`."""
        pages: Pages = self._scope["pages"]
        return pages.answer(
            self._scope,
            template,
            status=status,
            scripts=scripts,
            installable=installable,
            forms_to=forms_to,
            headers=headers,
            **values,
        )

    @property
    def method(self) -> str:
        """GET, POST and so on."""
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
        return [
            value.decode("latin-1").strip()
            for key, value in self._scope["headers"]
            if key == wanted
        ]

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
        """The object in an application/json body; duplicate names and deep input refused (C-31)."""
        if self.media_type != "application/json":
            raise InvalidInput("body: not application/json")
        return parse_json_object(self.body, max_bytes=self._limit)

    def message(self, model: type[Model]) -> Model:
        """`json()` as a *model*; unknown members are ignored where the model says so (C-32)."""
        return _validated(model, self.json())


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
