"""runtime/serving.py: what memory holds is sent without ASGI, and is the same as with it."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from shared.oauth.errors import InvalidRequest
from shared.runtime import serving
from shared.runtime.app import ServiceApp, make_app
from shared.runtime.calls import Answer
from shared.runtime.published import Form, FromMemory, Prepared, form, stored
from shared.runtime.routes import Call, ProtocolRouter, protocol_router
from shared.runtime.serving import BoundedHttp

_SLOW = 0.4
_FORM = form("text/plain", b"kept", packed=None)
_LARGE = form("text/plain", b"x" * 1_000_000, packed=None)
GET = b"GET /kept/1 HTTP/1.1\r\nhost: a\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"


def _sent(found: Form, headers: Mapping[bytes, bytes]) -> Prepared:
    known = (headers[b"if-none-match"].decode(),) if b"if-none-match" in headers else ()
    return stored(found, 300, if_none_match=known, accept_encoding=())


def _find(target: bytes, headers: Mapping[bytes, bytes]) -> Prepared | None:
    if target == b"/kept/bug":
        raise RuntimeError
    places = {b"/kept/1": _FORM, b"/kept/large": _LARGE}
    return _sent(places[target], headers) if target in places else None


def _app(**options: Any) -> ServiceApp:
    router: ProtocolRouter[object] = protocol_router(InvalidRequest)

    @router.get("/kept/{number}")
    def kept(_call: Call, _context: object) -> Answer:
        return _sent(_FORM, {})

    @router.get("/slow")
    def slow(_call: Call, _context: object) -> Answer:
        time.sleep(_SLOW)
        return {"slow": True}

    return make_app(
        title="Test",
        service="test",
        public_url="https://test.example",
        context=None,
        routers=[router],
        ready=dict,
        from_memory=FromMemory("/kept/{number}", b"/kept/", _find),
        **options,
    )


@contextmanager
def _serving(app: Any, **options: Any) -> Iterator[int]:
    config = uvicorn.Config(
        app, port=0, loop="uvloop", http=BoundedHttp, ws="none", log_config=None, **options
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def _exchange(port: int, request: bytes, *, answers: int) -> list[tuple[dict[bytes, bytes], bytes]]:
    """The head (its first line under "") and the body of each of *answers*."""
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            for _ in range(answers):
                head = {b"": stream.readline().strip()}
                while line := stream.readline().strip():
                    name, _, value = line.partition(b": ")
                    head[name] = value
                length = 0 if request.startswith(b"HEAD") else head.get(b"content-length", b"0")
                found.append((head, stream.read(int(length))))
    return found


def _counted(app: ServiceApp) -> float:
    labels = {"service": "test", "route": "/kept/{number}", "method": "GET", "status": "200"}
    return app.metrics.registry.get_sample_value("http_requests_total", labels) or 0.0


def test_the_answer_is_the_one_of_the_usual_way() -> None:
    """ST-41, S-44, C-53: every header but the request's own id, and it is counted."""
    app = _app()
    with _serving(app) as port:
        ((quick, body),) = _exchange(port, GET, answers=1)
        ((usual, same),) = _exchange(port, GET.replace(b"/1 ", b"/other "), answers=1)
    assert (body, same) == (b"kept", b"kept")
    assert len(quick.pop(b"x-request-id")) == len(usual.pop(b"x-request-id")) == 16
    assert len(quick.pop(b"date")) == len(usual.pop(b"date"))
    assert quick == usual
    assert _counted(app) == 2


def test_it_stays_out_of_what_is_not_plain() -> None:
    """What ASGI has to look at goes there, and a bug in the look-up is nobody's refusal."""
    headers: Sequence[tuple[bytes, bytes]] = [(b"host", b"a")]
    app = _app()
    assert app.at_once(b"/kept/1", headers, client="a") is not None
    for more in (
        [(b"host", b"b")],
        [(b"content-length", b"1")],
        [(b"transfer-encoding", b"chunked")],
        [(b"expect", b"100-continue")],
        [(b"upgrade", b"h2c")],
        [(b"x", b"x" * 17_000)],
    ):
        assert app.at_once(b"/kept/1", [*headers, *more], client="a") is None
    for target in (b"/kept/2", b"/elsewhere", b"/kept/bug"):
        assert app.at_once(target, headers, client="a") is None


def test_a_condition_is_answered_without_a_body() -> None:
    tag = b"if-none-match: " + _FORM.etag.encode() + b"\r\n\r\n"
    with _serving(_app()) as port:
        found = _exchange(port, GET[:-2] + tag + GET, answers=2)
    assert [(head[b""], body) for head, body in found] == [
        (b"HTTP/1.1 304 Not Modified", b""),
        (b"HTTP/1.1 200 OK", b"kept"),
    ]


@pytest.mark.parametrize(
    "request_line", [b"HEAD /kept/1 HTTP/1.1", b"GET /kept/1 HTTP/1.0", b"GET /kept/1?a HTTP/1.1"]
)
def test_other_requests_are_answered_by_the_route(request_line: bytes) -> None:
    with _serving(_app()) as port:
        ((head, _),) = _exchange(port, request_line + b"\r\nhost: a\r\n\r\n", answers=1)
    assert head[b""] == b"HTTP/1.1 200 OK"


def test_answers_keep_the_order_of_the_requests() -> None:
    """RFC 9112, section 9.3.2: one that takes long is not overtaken; nor cut by an idle timer."""
    with _serving(_app(), timeout_keep_alive=_SLOW / 4) as port:
        found = _exchange(port, GET + GET + SLOW + GET + GET + SLOW, answers=6)
    kept, slow = b"kept", b'{"slow":true}'
    assert [body for _, body in found] == [kept, kept, slow, kept, kept, slow]


def test_an_idle_connection_is_closed() -> None:
    with (
        _serving(_app(), timeout_keep_alive=0.1) as port,
        socket.create_connection(("127.0.0.1", port), timeout=60) as connection,
    ):
        connection.sendall(GET)
        while connection.recv(65_536):
            pass


def test_a_client_that_does_not_read_is_waited_for() -> None:
    """S-20: a thousand requests for a megabyte each do not become a gigabyte in memory."""
    waiting = []

    class Watched(BoundedHttp):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            waiting.append(self.transport.get_write_buffer_size())

    app = _app()
    config = uvicorn.Config(app, loop="uvloop", http=Watched, log_config=None, port=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(GET.replace(b"/1 ", b"/large ") * 1000)
        time.sleep(_SLOW)
    server.should_exit = True
    thread.join()
    assert 0 < max(waiting) < 10_000_000


def test_an_address_is_limited_and_an_unknown_one_is_told_by_the_proxy() -> None:
    """S-22: behind a proxy the address is known only after its header was read."""
    app = _app(requests_per_second=1)
    assert app.at_once(b"/kept/1", [], client=None) is None
    with _serving(app) as port:
        found = _exchange(port, GET * 12, answers=12)
    assert [head[b""][9:12] for head, _ in found].count(b"429") >= 1
    inner: Any = _app()
    behind = ProxyHeadersMiddleware(inner, trusted_hosts=["127.0.0.1"])
    with _serving(behind, proxy_headers=False) as port:
        ((_, body),) = _exchange(port, GET, answers=1)
    assert body == b"kept"


def test_a_request_that_does_not_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-20: silent, or slow with its head or its body; one that is waited for is answered."""
    monkeypatch.setattr(serving, "_REQUEST_SECONDS", _SLOW / 2)
    head = b"POST /slow HTTP/1.1\r\nhost: a\r\n"
    parts = (b"", head, head + b"content-length: 9\r\n\r\nhalf", GET + head)
    with _serving(_app()) as port:
        for each in parts:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.sendall(each)
                with connection.makefile("rb") as stream, suppress(ConnectionResetError):
                    stream.read()  # ends, in time
        assert len(_exchange(port, SLOW + SLOW, answers=2)) == 2
