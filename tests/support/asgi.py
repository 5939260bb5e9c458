"""A service in process, called as a client would: ASGI on a loop of its own thread.

`AsgiClient` sends one request and reads the whole answer; `neighbours` is a transport for `Fetcher`
that finds services under their public URLs instead of on the network.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import httpcore2
import orjson

App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    status: int
    raw_headers: tuple[tuple[str, str], ...]
    body: bytes
    headers: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", dict(self.raw_headers))

    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class AsgiClient:
    """Use as a context manager: the app's on_start and on_stop run too."""

    def __init__(self, app: App, *, base_url: str = "https://service.example") -> None:
        self.app = app
        self.base_url = base_url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._events: asyncio.Queue[Any] | None = None
        self._lifespan: Any = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=60)
        self._loop.close()

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        return self.request("POST", path, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.request("DELETE", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        json: Any = None,
        form: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        body: bytes | Iterable[bytes] = b"",
    ) -> Answer:
        """*path* may carry a query; an iterable *body* arrives in pieces without Content-Length."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if json is not None:
            body = orjson.dumps(json)
            pairs.append(("Content-Type", "application/json"))
        elif form is not None:
            body = (
                urlencode(form).encode()
                if isinstance(form, Mapping)
                else urlencode(list(form)).encode()
            )
            pairs.append(("Content-Type", "application/x-www-form-urlencoded"))
        parts = urlsplit(path)
        if isinstance(body, bytes):
            pieces = [body]
            if body or method == "POST":
                pairs.append(("Content-Length", str(len(body))))
        else:
            pieces = list(body)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [
                (b"host", urlsplit(self.base_url).netloc.encode()),
                *((name.lower().encode(), value.encode("latin-1")) for name, value in pairs),
            ],
            "client": ("198.51.100.7", 40000),
            "server": ("127.0.0.1", 443),
            "state": {},
        }
        answer: Answer = self._run(self._call(scope, pieces))
        return answer

    async def _call(self, scope: dict[str, Any], pieces: list[bytes]) -> Answer:
        waiting = list(pieces)
        ended = asyncio.Event()
        start: dict[str, Any] = {}
        content: list[bytes] = []

        async def receive() -> dict[str, Any]:
            if waiting:
                piece = waiting.pop(0)
                return {"type": "http.request", "body": piece, "more_body": bool(waiting)}
            await ended.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                content.append(message.get("body", b""))
                if not message.get("more_body", False):
                    ended.set()

        await self.app(scope, receive, send)
        headers = tuple((name.decode(), value.decode()) for name, value in start["headers"])
        return Answer(start["status"], headers, b"".join(content))

    async def _start(self) -> None:
        self._events = asyncio.Queue()
        answers: asyncio.Queue[Any] = asyncio.Queue()
        self._answers = answers
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._lifespan = asyncio.ensure_future(self.app(scope, self._events.get, answers.put))
        await self._events.put({"type": "lifespan.startup"})
        answer = await answers.get()
        assert answer["type"] == "lifespan.startup.complete", answer

    async def _stop(self) -> None:
        assert self._events is not None
        await self._events.put({"type": "lifespan.shutdown"})
        answer = await self._answers.get()
        assert answer["type"] == "lifespan.shutdown.complete", answer
        await self._lifespan

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)


class _Neighbours(httpcore2.ConnectionInterface):
    def __init__(self, services: Mapping[str, AsgiClient]) -> None:
        self.services = dict(services)
        self.seen: list[tuple[str, str]] = []

    def handle_request(self, request: httpcore2.Request) -> httpcore2.Response:
        url = request.url
        origin = f"{url.scheme.decode()}://{url.host.decode()}"
        if url.port is not None:
            origin += f":{url.port}"
        path = url.target.decode()
        self.seen.append((request.method.decode(), origin + path))
        service = self.services.get(origin)
        if service is None:
            raise httpcore2.ConnectError("nobody listens there")
        assert isinstance(request.stream, Iterable)
        answer = service.request(
            request.method.decode(),
            path,
            headers=[
                (name.decode(), value.decode())
                for name, value in request.headers
                if name.lower() not in {b"host", b"content-length"}
            ],
            body=b"".join(request.stream),
        )
        return httpcore2.Response(
            answer.status,
            headers=[(name.encode(), value.encode()) for name, value in answer.raw_headers],
            content=answer.body,
        )

    def close(self) -> None:
        """There is nothing to close."""


def neighbours(services: Mapping[str, AsgiClient]) -> _Neighbours:
    """`Fetcher(FetchPolicy(), transport=neighbours({"https://issuer.example": client}))`.

    `.services` may be changed while a test runs (a neighbour goes down); `.seen` is every request.
    """
    return _Neighbours(services)
