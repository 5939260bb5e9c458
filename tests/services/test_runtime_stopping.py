"""runtime/serving.py: a server that stops keeps its word and does not wait for the idle."""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from shared.runtime.serving import BoundedHttp, tls_context
from tests.support.clock import NOW
from tests.support.tls import TlsFiles

_SLOW = 1.0


async def _app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(_SLOW)
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def _serving(files: TlsFiles) -> Iterator[tuple[uvicorn.Server, threading.Thread, int]]:
    config = uvicorn.Config(
        _app,
        port=0,
        loop="uvloop",
        http=BoundedHttp,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=600,
        ssl_certfile=files.certificate,
        ssl_keyfile=files.key,
        ssl_context_factory=tls_context,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield server, thread, server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return TlsFiles.make(tmp_path, now=NOW)


def _connection(port: int) -> HTTPSConnection:
    """It checks nothing: the certificate is of the fixed clock's time."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return HTTPSConnection("localhost", port, timeout=120, context=context)


def test_an_idle_tls_connection_does_not_delay_the_end(files: TlsFiles) -> None:
    """C-50: the client is not reading, so it never answers the server's goodbye."""
    with _serving(files) as (server, thread, port):
        idle = _connection(port)
        idle.request("GET", "/")
        assert idle.getresponse().read() == b"ok"
        server.should_exit = True
        thread.join(60)
        waits = thread.is_alive()
        idle.close()
        assert not waits


def test_what_is_under_way_is_answered_before_the_end(files: TlsFiles) -> None:
    with _serving(files) as (server, thread, port):
        busy = _connection(port)
        busy.request("GET", "/slow")
        time.sleep(_SLOW / 4)
        server.should_exit = True
        answer = busy.getresponse()
        assert (answer.read(), answer.getheader("connection")) == (b"ok", "close")
        busy.close()
        thread.join()
