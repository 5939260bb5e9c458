"""A real browser before real TLS: Chromium with a virtual authenticator, and servers on localhost.

The authenticator has PRF and user verification, as a phone's has; nothing of the wallet is
bypassed. The browser believes the one certificate of the test by its key, so that passkeys work as
they do on a site whose certificate is good.
"""

import base64
import hashlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

import httpcore2
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.runtime.connections import FetchPolicy, GuardedBackend, tls_client
from shared.runtime.serving import BoundedHttp, tls_context

from .asgi import App, AsgiClient, neighbours
from .components import missing
from .tls import TlsFiles

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
)


class TlsServer:
    """An ASGI app under uvicorn on localhost, with TLS as the services speak it."""

    def __init__(self, app: App, tls: TlsFiles, listener: socket.socket) -> None:
        self._listener = listener
        config = uvicorn.Config(
            app,
            http=BoundedHttp,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            ssl_certfile=tls.certificate,
            ssl_keyfile=tls.key,
            ssl_context_factory=tls_context,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        end = time.monotonic() + 60
        while not self._server.started:
            assert self._thread.is_alive(), "the server ended"
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=120)
        self._listener.close()


def listen() -> tuple[socket.socket, str]:
    """A free port of localhost, and the URL of what will be served there."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"https://localhost:{listener.getsockname()[1]}"


class MixedTransport(httpcore2.ConnectionInterface):
    """Some hosts are in process, all others over TLS through the guarded client's own checks."""

    def __init__(self, services: dict[str, AsgiClient], tls: TlsFiles, urls: Sequence[str]) -> None:
        self.inside = neighbours(services)
        self.seen = self.inside.seen
        ports = [int(each.rpartition(":")[2]) for each in urls]
        policy = FetchPolicy(
            permitted_private_hosts=frozenset({"localhost"}),
            permitted_ports=frozenset({443, *ports}),
            ca_bundle=Path(tls.authority),
        )
        self.policy = policy
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls_client(policy.ca_bundle), network_backend=GuardedBackend(policy)
        )

    def handle_request(self, request: httpcore2.Request) -> httpcore2.Response:
        if request.url.host == b"localhost":
            return self._pool.handle_request(request)
        return self.inside.handle_request(request)

    def close(self) -> None:
        self._pool.close()


@contextmanager
def chromium(tls: TlsFiles | None = None, *further: str) -> Iterator[Any]:
    """A headless browser that believes the certificate of *tls*; skips where there is none.

    Args:
        tls: of the servers; None if they speak plain HTTP.
        further: arguments, for example to find host names elsewhere.
    """
    if not CHROMIUM.is_file():
        missing("no Chromium at /usr/bin/chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    with sync_playwright() as playwright, _started(playwright.chromium, tls, *further) as browser:
        yield browser


def another(browser: Any, tls: TlsFiles) -> AbstractContextManager[Any]:
    """A second browser beside *browser*: processes, cookies, keys and caches of its own."""
    return _started(browser.browser_type, tls)


@contextmanager
def _started(kind: Any, tls: TlsFiles | None, *further: str) -> Iterator[Any]:
    arguments = [*_ARGUMENTS, *further]
    if tls is not None:
        pin = _spki_hash(Path(tls.certificate))
        arguments.append(f"--ignore-certificate-errors-spki-list={pin}")
    browser = kind.launch(executable_path=str(CHROMIUM), args=arguments, timeout=120_000)
    try:
        yield browser
    finally:
        browser.close()


def authenticators(page: Any) -> Any:
    """What holds passkeys for *page*: a session that `add_key` adds to."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable", {"enableUI": False})
    return session


def add_key(session: Any, transport: str = "internal", *, prf: bool = True) -> str:
    """One authenticator: resident, user verified, with PRF; answers by itself. Its id."""
    options = {
        "protocol": "ctap2",
        "ctap2Version": "ctap2_1",
        "transport": transport,
        "hasResidentKey": True,
        "hasUserVerification": True,
        "hasPrf": prf,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return str(made["authenticatorId"])


def add_authenticator(page: Any, *, prf: bool = True) -> Any:
    """A phone's passkeys for *page*."""
    session = authenticators(page)
    add_key(session, prf=prf)
    return session


def _spki_hash(certificate: Path) -> str:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    key = loaded.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()
