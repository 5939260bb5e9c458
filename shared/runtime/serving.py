"""Runs an app under uvicorn: TLS as the certification tests want it, workers as processes.

TLS 1.2 with the suites that BCP 195 recommends, and TLS 1.3; the list is set by hand because the
defaults let CBC suites through (C-50, CERTIFICATION 2.1).
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from tempfile import TemporaryDirectory

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .settings import ServiceSettings

TLS_1_2_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
)
_STOP_SECONDS = 10
_REQUEST_SECONDS = 60.0
_GOODBYE_SECONDS = 0.5
_HEAD_LIMIT = 32 * 1024  # the app refuses from 16 KiB on (S-20) and says so; this bounds the memory


class BoundedHttp(HttpToolsProtocol):
    """Cuts a connection whose request does not end, or that outlives its server.

    A head may be so long and no longer; a request, or the first one of a connection, has to be
    there whole within a minute, so that silent or slow clients hold nothing for long (S-20).

    TLS waits for the client's goodbye before it closes, and an idle client does not listen.
    What the app holds ready in memory is sent as soon as the head was read (`ServiceApp.at_once`).
    """

    _in_head = True
    _head_bytes = 0
    _begun: float | None = None  # the request that is not there whole
    _watch: asyncio.TimerHandle | None = None
    _at_once = False  # whether the request that is being read was answered from memory

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The clock runs."""
        super().connection_made(transport)
        self._begun = self.loop.time()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Now and then, rather than a timer for each request."""
        if self._begun is not None and self.loop.time() - self._begun > _REQUEST_SECONDS:
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(_REQUEST_SECONDS / 4, self._look)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head that is not complete yet."""
        super().data_received(data)
        if self._at_once and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        if self._in_head and self.parser is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_LIMIT and not self.transport.is_closing():
                self.send_400_response("The headers are too large.")

    def on_message_begin(self) -> None:
        """A new head."""
        self._in_head, self._begun = True, self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._in_head, self._head_bytes = False, 0
        self._at_once = self._answered_at_once()
        if not self._at_once:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Body and all; what was answered from memory has none."""
        self._begun = None
        if not self._at_once:
            super().on_message_complete()

    def _answered_at_once(self) -> bool:
        behind_proxy = isinstance(self.app, ProxyHeadersMiddleware)
        app = self.app.app if isinstance(self.app, ProxyHeadersMiddleware) else self.app
        at_once = getattr(app, "at_once", None)
        parser = self.parser
        if (
            at_once is None
            or parser.get_method() != b"GET"
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
            or not (self.cycle is None or self.cycle.response_complete)  # answers keep their order
            or self.pipeline
            or self.flow.write_paused  # the usual way waits until the client has read
            or self.transport.is_closing()
        ):
            return False
        client = None if behind_proxy or not self.client else self.client[0]
        found = at_once(self.url, self.headers, client=client)
        if found is None:
            return False
        head, body = found
        lines = [b"%b: %b\r\n" % each for each in self.server_state.default_headers]
        self.transport.writelines((b"".join((head, *lines, b"\r\n")), body))
        self.server_state.total_requests += 1
        return True

    def shutdown(self) -> None:
        """The server stops: what is under way may end, what is idle ends now."""
        super().shutdown()
        self.loop.call_later(_GOODBYE_SECONDS, self._cut)

    def _cut(self) -> None:
        if self not in self.connections:
            return
        answered = self.cycle is None or self.cycle.response_complete
        if answered and not self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.loop.call_later(_GOODBYE_SECONDS, self._cut)


def tls_context(
    _config: uvicorn.Config, make_default: Callable[[], ssl.SSLContext]
) -> ssl.SSLContext:
    """The server side of TLS, from uvicorn's own context with the certificate in it."""
    context = make_default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS_1_2_SUITES)
    return context


def run(app: str, settings: ServiceSettings) -> None:
    """Serve until a signal ends it; requests under way may finish.

    Args:
        app: "package.module:function", a factory without arguments, called in each worker.
        settings: where to listen, how many workers, TLS.
    """
    tls = settings.tls_certificate is not None
    with TemporaryDirectory(prefix="metrics-") as counters:
        if settings.workers > 1:  # read by prometheus-client when a worker imports it
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = counters
        _serve(app, settings, tls=tls)


def _serve(app: str, settings: ServiceSettings, *, tls: bool) -> None:
    uvicorn.run(
        app,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http=BoundedHttp,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=_STOP_SECONDS,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        ssl_context_factory=tls_context if tls else None,
    )
