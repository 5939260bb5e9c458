"""A live issuer process over TLS, with its trust list on a TLS server beside it.

with LiveIssuer.start(folder) as live:
    live.offer("pid_sd_jwt", subject="AV-000001", grant="authorization_code")
    live.desk_code("AV-000001")                    # what a clerk hands out, to log in with
    live.age("authorizations", seconds=90)         # as if so much time had passed
"""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import httpx2
from sqlalchemy import select, update

from issuer_service import tables
from issuer_service.app import PURPOSES, SECRETS
from issuer_service.catalogue import BUILT_IN
from issuer_service.routes.agency import ROLES
from shared.runtime.client_credentials import ApiClients
from shared.runtime.clock import utc_now
from shared.runtime.database import Database
from shared.runtime.keys import KeyDirectory
from shared.runtime.migrations import migrate
from shared.trust import Role

from .clock import FixedClock
from .databases import sqlite_url
from .issuer import sample_register
from .live_verifier import free_port
from .servers import Server, answer
from .tls import TlsFiles
from .trust import DemoTrust, demo_trust
from .tuf import published

PASSWORD = "a password for tests"
TENANTS: dict[str, dict[str, Any]] = {"haip": {}, "nonces": {"dpop_nonce": True}}


@dataclass
class LiveIssuer:
    """The process and its neighbours."""

    url: str
    folder: Path
    tls: TlsFiles
    trust: DemoTrust
    files: Server
    http: httpx2.Client
    secrets: dict[str, str]
    process: subprocess.Popen[bytes]
    database: Database
    tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    def start(cls, folder: Path) -> Self:
        now = utc_now()
        tls = TlsFiles.make(folder, now=now)
        url = f"https://localhost:{free_port()}"
        trust = demo_trust(now=now, credential_issuer=f"{url}/haip")
        publisher = published(folder, trust=trust, clock=FixedClock(now))

        def serve(connection: socket.socket, request: bytes) -> None:
            file = publisher.served / request.split(b" ")[1].decode().lstrip("/")
            if file.is_file():
                answer(file.read_bytes())(connection, request)
            else:
                answer(b"", status="404 Not Found")(connection, request)

        files = Server(serve, tls=tls.server())
        files.__enter__()
        (folder / "root.json").write_bytes(publisher.initial_root)
        database_url = sqlite_url(folder)
        _write_files(folder, trust)
        migrate(database_url, package="issuer_service")
        keys = KeyDirectory(folder / "keys", PASSWORD.encode())
        keys.ensure_secrets(SECRETS)
        database = Database(database_url)
        clients = ApiClients(
            database, tables.metadata, key=keys.secret("api_tokens"), clock=utc_now
        )
        secrets = {each: clients.register(each, "suite", ROLES) for each in TENANTS}
        with (folder / "issuer.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "issuer_service", "serve"],
                env=_environment(folder, url, files.port, tls, database_url),
                stdout=log,
                stderr=log,
            )
        http = httpx2.Client(verify=tls.client(), timeout=30)
        live = cls(url, folder, tls, trust, files, http, secrets, process, database)
        live._await_ready()
        return live

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        self.http.close()
        self.files.__exit__()
        self.database.close()

    def _await_ready(self) -> None:
        end = time.monotonic() + 60
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
        return (self.folder / "issuer.log").read_text()

    def api(self, tenant: str, path: str, body: Any) -> Any:
        """A call of the agency's software, with a new token when the old one has ended."""
        found = self._call(tenant, path, body)
        if found.status_code == 401:
            del self.tokens[tenant]
            found = self._call(tenant, path, body)
        assert found.status_code < 300, found.text
        return found.json()

    def _call(self, tenant: str, path: str, body: Any) -> httpx2.Response:
        if tenant not in self.tokens:
            found = self.http.post(
                f"{self.url}/api/v1/{tenant}/token",
                data={"grant_type": "client_credentials"},
                auth=("suite", self.secrets[tenant]),
            )
            self.tokens[tenant] = found.json()["access_token"]
        return self.http.post(
            f"{self.url}/api/v1/{tenant}{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.tokens[tenant]}"},
        )

    def offer(self, *credentials: str, tenant: str = "haip", **members: Any) -> Any:
        return self.api(tenant, "/offers", {"credentials": list(credentials), **members})

    def desk_code(self, subject: str, *, tenant: str = "haip") -> str:
        return str(self.api(tenant, "/desk-codes", {"subject": subject})["code"])

    def age(self, table: str, *, seconds: int) -> None:
        """Let every row of *table* end so much earlier."""
        found = tables.metadata.tables[table]
        with self.database.transaction() as connection:
            for row in connection.execute(select(found)).all():
                here = [each == getattr(row, each.name) for each in found.primary_key.columns]
                ends = row.expires_at - timedelta(seconds=seconds)
                connection.execute(update(found).where(*here).values(expires_at=ends))


def _write_attested(folder: Path) -> None:
    """Two more types, of which the issuer wants keys that their wallet provider vouches for."""
    (folder / "credentials").mkdir()
    for base, own in (("pid_sd_jwt", "attested_sd_jwt"), ("pid_mdoc", "attested_mdoc")):
        content = json.loads((BUILT_IN / f"{base}.json").read_text())
        content |= {"id": own, "scope": own, "proofs": {"jwt": {"key_storage": ["iso_18045_high"]}}}
        (folder / "credentials" / f"{own}.json").write_text(json.dumps(content))


def _write_files(folder: Path, trust: DemoTrust) -> None:
    register = sample_register(folder)
    _write_attested(folder)
    (folder / "tenants").mkdir()
    keys = KeyDirectory(folder / "keys", PASSWORD.encode())
    for name, members in TENANTS.items():
        content = {
            "tenant": name,
            "names": {"en": "Civil Registry of Avelonia", "de": "Standesamt von Avelonien"},
            "country": "AV",
            "register": {"database_url": f"sqlite:///{register}"},
            **members,
        }
        (folder / "tenants" / f"{name}.json").write_text(json.dumps(content))
        for purpose in PURPOSES:
            signer = trust.registry.signer(
                Role(purpose), now=utc_now(), dns=["localhost"], country="AV"
            )
            file = folder / "keys" / name / f"{purpose}.pem"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(signer.to_pem(password=PASSWORD.encode()))
            keys.install(name, purpose, signer.certificates)


def _environment(
    folder: Path, url: str, files: int, tls: TlsFiles, database_url: str
) -> dict[str, str]:
    settings = {
        "PUBLIC_URL": url,
        "PORT": url.rpartition(":")[2],
        "DATABASE_URL": database_url,
        "TLS_CERTIFICATE": tls.certificate,
        "TLS_KEY": tls.key,
        "CA_BUNDLE": tls.authority,
        "PERMITTED_PRIVATE_HOSTS": f"localhost:{files}",
        "TRUST_URL": f"https://localhost:{files}",
        "TRUST_ROOT": str(folder / "root.json"),
        "KEY_DIRECTORY": str(folder / "keys"),
        "KEY_PASSWORD": PASSWORD,
        "TENANTS_DIRECTORY": str(folder / "tenants"),
        "CREDENTIALS_DIRECTORY": str(folder / "credentials"),
        "REQUESTS_PER_SECOND": "0",
    }
    own = {f"ISSUER_{name}": value for name, value in settings.items()}
    others = {name: each for name, each in os.environ.items() if not name.startswith("ISSUER_")}
    return others | own
