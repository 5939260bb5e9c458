"""Calls to the wallet's API, and its refusals as exceptions: the line a phone speaks through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import ExpectedError

_API = "/api/v1"


class Answer(Protocol):
    """What the HTTP client gives back: of httpx2, or of a test client over ASGI."""

    @property
    def status_code(self) -> int:
        """As in HTTP."""
        ...

    @property
    def content(self) -> bytes:
        """The body."""
        ...

    def json(self) -> Any:
        """The body, parsed."""
        ...


class Client(Protocol):
    """The part of an httpx2 client (with `base_url` at the wallet) that a phone needs."""

    def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request."""
        ...


class Refused(ExpectedError):
    """The wallet said no; `problem` is its problem+json, `code` the stable code in it."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"wallet: {status} {problem.get('code')}: {problem.get('detail')}")
        self.status = status
        self.problem = dict(problem)
        self.code = str(problem.get("code"))


@dataclass(slots=True)
class WalletClient:
    """A client of one wallet service. With `_token` it speaks for an open wallet."""

    client: Client
    _token: str | None = field(default=None, kw_only=True)

    def _get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path)

    def _post(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        return self._call("POST", path, body, headers)

    def _call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        sent = dict(headers or {})
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        if body is None:
            answer = self.client.request(method, _API + path, headers=sent)
        else:
            answer = self.client.request(method, _API + path, json=body, headers=sent)
        content: dict[str, Any] = answer.json() if answer.content else {}
        if answer.status_code >= 400:
            raise Refused(answer.status_code, content)
        return content
