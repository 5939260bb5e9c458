"""One service as a live process over TLS, with its trust list on a TLS server beside it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2
from sqlalchemy import MetaData

from shared.crypto.software import SoftwareKey
from shared.runtime.client_credentials import ApiClients
from shared.runtime.clock import utc_now
from shared.runtime.database import Database
from shared.runtime.keys import KeyDirectory
from shared.runtime.migrations import migrate

from .clock import FixedClock
from .databases import sqlite_url
from .servers import Script, Server, answer
from .tls import TlsFiles
from .trust import DemoTrust
from .tuf import published

_PASSWORD = "a password for tests"


@dataclass(kw_only=True)
class Live:
    """The process and its neighbours; a context manager that ends them."""

    url: str
    folder: Path
    tls: TlsFiles
    trust: DemoTrust
    files: Server
    http: httpx2.Client
    secrets: dict[str, str]
    process: subprocess.Popen[bytes]
    database_url: str
    tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    def launch(
        cls,
        module: str,
        *,
        url: str,
        folder: Path,
        tls: TlsFiles,
        trust: DemoTrust,
        files: Server,
        metadata: MetaData,
        purposes: Collection[str],
        roles: Collection[str],
        tenants: Iterable[str],
        settings: Mapping[str, str],
        **own: Any,
    ) -> Self:
        """Up, with a client of the API in each of *tenants*, whose files stand in *folder*.

        Args:
            module: the service.
            url: where it shall be.
            folder: has its files, and its keys by `install`.
            tls: of both servers.
            trust: everybody's keys.
            files: by `trust_files`.
            metadata: its tables.
            purposes: of its secrets.
            roles: of the clients.
            tenants: their names.
            settings: beside those that every service has.
            own: further fields.
        """
        database_url, keys = sqlite_url(folder), _keys(folder)
        migrate(database_url, package=module)
        keys.ensure_secrets(purposes)
        with closing(Database(database_url)) as database:
            clients = ApiClients(database, metadata, key=keys.secret("api_tokens"), clock=utc_now)
            secrets = {each: clients.register(each, "suite", roles) for each in tenants}
        settings = {
            "PUBLIC_URL": url,
            "PORT": url.rpartition(":")[2],
            "DATABASE_URL": database_url,
            "TLS_CERTIFICATE": tls.certificate,
            "TLS_KEY": tls.key,
            "CA_BUNDLE": tls.authority,
            "PERMITTED_PRIVATE_HOSTS": f"localhost:{files.port}",
            "TRUST_URL": f"https://localhost:{files.port}",
            "TRUST_ROOT": str(folder / "root.json"),
            "KEY_DIRECTORY": str(folder / "keys"),
            "KEY_PASSWORD": _PASSWORD,
            "TENANTS_DIRECTORY": str(folder / "tenants"),
            "REQUESTS_PER_SECOND": "0",
            **settings,
        }
        prefix = f"{module.removesuffix('_service').upper()}_"
        others = {name: each for name, each in os.environ.items() if not name.startswith(prefix)}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, "serve"],
                env=others | {prefix + name: value for name, value in settings.items()},
                stdout=log,
                stderr=log,
            )
        live = cls(
            url=url,
            folder=folder,
            tls=tls,
            trust=trust,
            files=files,
            http=httpx2.Client(verify=tls.client(), timeout=60),
            secrets=secrets,
            process=process,
            database_url=database_url,
            **own,
        )
        live._await_ready()
        return live

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)
        self.http.close()
        self.files.__exit__()

    def _await_ready(self) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log
            try:
                if self.http.get(f"{self.url}/health/ready").status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(self.log)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def api(self, method: str, tenant: str, path: str, body: Any = None, **headers: str) -> Any:
        """A call of the agency's software, with a new token when the old one has ended."""
        found = self._call(method, tenant, path, body, headers)
        if found.status_code == 401:
            del self.tokens[tenant]
            found = self._call(method, tenant, path, body, headers)
        assert found.status_code < 300, found.text
        return found.json()

    def _call(
        self, method: str, tenant: str, path: str, body: Any, headers: Mapping[str, str]
    ) -> httpx2.Response:
        return self.http.request(
            method,
            f"{self.url}/api/v1/{tenant}{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.token(tenant)}", **headers},
        )

    def token(self, tenant: str) -> str:
        if tenant not in self.tokens:
            found = self.http.post(
                f"{self.url}/api/v1/{tenant}/token",
                data={"grant_type": "client_credentials"},
                auth=("suite", self.secrets[tenant]),
            )
            self.tokens[tenant] = found.json()["access_token"]
        return self.tokens[tenant]


def free_port() -> int:
    """One that nobody listened on just now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        port: int = found.getsockname()[1]
        return port


def trust_files(
    folder: Path,
    tls: TlsFiles,
    trust: DemoTrust,
    *,
    more: Callable[[str], Script | None] = lambda _: None,
    **published_with: Any,
) -> Server:
    """The server of the trust list, started; what *more* says of a path comes first."""
    publisher = published(folder, trust=trust, clock=FixedClock(utc_now()), **published_with)
    (folder / "root.json").write_bytes(publisher.initial_root)

    def serve(connection: socket.socket, request: bytes) -> None:
        name = request.split(b" ")[1].decode().lstrip("/")
        script, file = more(name), publisher.served / name
        if script is None:
            found = file.is_file()
            script = answer(file.read_bytes()) if found else answer(b"", status="404 Not Found")
        script(connection, request)

    return Server(serve, tls=tls.server()).__enter__()


def install(folder: Path, tenant: str, purpose: str, signer: SoftwareKey) -> None:
    """A key with its certificates, as `wallet-trust accept` leaves them."""
    file = folder / "keys" / tenant / f"{purpose}.pem"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(signer.to_pem(password=_PASSWORD.encode()))
    _keys(folder).install(tenant, purpose, signer.certificates)


def _keys(folder: Path) -> KeyDirectory:
    return KeyDirectory(folder / "keys", _PASSWORD.encode())
