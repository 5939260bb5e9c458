"""A live verifier process over TLS, with its trust list and status list on a TLS server beside it.

with LiveVerifier.start(folder) as live:
    started = live.start_presentation("pid_sd_jwt", tenant="haip", wallet_endpoint=…)
    live.get(url); live.post_form(url, fields); live.result(started)
"""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared.formats import status_list
from shared.formats.status_list import StatusList
from shared.runtime.client_credentials import ApiClients
from shared.runtime.clock import utc_now
from shared.runtime.database import Database
from shared.runtime.keys import KeyDirectory
from shared.runtime.migrations import migrate
from shared.trust import Role
from verifier_service import tables
from verifier_service.app import SECRETS
from verifier_service.routes.asking import ROLES

from .clock import FixedClock
from .databases import sqlite_url
from .servers import Server, answer
from .tls import TlsFiles
from .trust import ASKS, MDOC, PID, PID_MDOC, DemoTrust, ask, demo_trust, issue
from .tuf import published

PASSWORD = "a password for tests"
ENDPOINT = "https://suite.example/test/a/citizen/authorize"
PORTAL = "https://portal.example"
CLAIMS = ("given_name", "family_name", "birthdate", "nationalities", "place_of_birth")
ELEMENTS = ("given_name", "family_name", "birth_date")


def query(name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A query file of one credential, as the official tests want it."""
    text = {"title": "Identity", "description": "Who the person is."}
    return {
        "id": name,
        "purpose": "identification",
        "texts": {"en": text, "de": text},
        "dcql": {"credentials": [asked]},
        "flows": ["same_device", "cross_device"],
        "lifetime_seconds": 300,
        "retention_seconds": 600,
        "status_unknown": "refuse",
        "transaction_data": [],
        "show": [],
    }


QUERIES = [
    query(
        "pid_sd_jwt",
        {
            "id": "pid",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [PID]},
            "claims": [{"path": [name]} for name in CLAIMS],
        },
    ),
    query(
        "pid_mdoc",
        {
            "id": "pid",
            "format": MDOC,
            "meta": {"doctype_value": PID_MDOC},
            "claims": [{"path": [PID_MDOC, name]} for name in ELEMENTS],
        },
    ),
]
TENANTS: dict[str, dict[str, Any]] = {
    "counter": {"queries": ["over_18"]},
    "haip": {},
    "dns": {"client_id_prefix": "x509_san_dns"},
    "plain": {"response_mode": "direct_post"},
    "unsigned": {"client_id_prefix": "redirect_uri", "response_mode": "direct_post"},
}


@dataclass(frozen=True)
class DocumentSigner:
    """The suite's mdoc signer: self-signed, a CA, keyUsage of a CA; only a pin makes it count."""

    key: ec.EllipticCurvePrivateKey
    certificate: bytes

    @classmethod
    def make(cls) -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "certification.example")])
        now = utc_now()
        usage = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=300))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, made.public_bytes(Encoding.DER))

    def pinned(self) -> dict[str, Any]:
        """An entry of `pinned` in the trust list."""
        return {
            "certificate": base64.b64encode(self.certificate).decode(),
            "role": "credential",
            "type": PID_MDOC,
            "expires": f"{(utc_now() + timedelta(days=100)).isoformat()[:19]}Z",
        }


@dataclass
class LiveVerifier:
    """The process and its neighbours."""

    url: str
    folder: Path
    trust: DemoTrust
    documents: DocumentSigner
    files: Server
    http: httpx2.Client
    secrets: dict[str, str]
    process: subprocess.Popen[bytes]
    fetched: list[str]
    database_url: str
    tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    def start(cls, folder: Path, *, origins: Sequence[str] = (PORTAL,)) -> Self:
        now = utc_now()
        tls = TlsFiles.make(folder, now=now)
        trust = _trust(folder)
        documents = DocumentSigner.make()
        status_uri: list[str] = []
        fetched: list[str] = []

        def serve(connection: socket.socket, request: bytes) -> None:
            name = request.split(b" ")[1].decode().lstrip("/")
            fetched.append(name)
            file = publisher.served / name
            if name == "statuslists/1":
                token = status_list.sign_token(
                    StatusList.empty(1, 1024),
                    uri=status_uri[0],
                    signer=trust.registry.signer(Role.STATUS, now=now, dns=["issuer.example"]),
                    now=utc_now(),
                    ttl=timedelta(minutes=5),
                )
                answer(token.encode(), content_type=status_list.MEDIA_TYPE)(connection, request)
            elif file.is_file():
                answer(file.read_bytes())(connection, request)
            else:
                answer(b"", status="404 Not Found")(connection, request)

        entries = (
            trust.registry.entry(pinned=[documents.pinned()]),
            trust.counter.entry(),
            trust.provider.entry(),
        )
        publisher = published(folder, trust=trust, clock=FixedClock(now), entries=entries)
        files = Server(serve, tls=tls.server())
        files.__enter__()
        status_uri.append(f"https://localhost:{files.port}/statuslists/1")
        url = f"https://localhost:{free_port()}"
        environment = _environment(folder, url, files.port, tls)
        keys = KeyDirectory(folder / "keys", PASSWORD.encode())
        (folder / "root.json").write_bytes(publisher.initial_root)
        _write_files(folder, trust, origins)
        database_url = environment["VERIFIER_DATABASE_URL"]
        migrate(database_url, package="verifier_service")
        keys.ensure_secrets(SECRETS)
        with closing(Database(database_url)) as database:
            clients = ApiClients(
                database, tables.metadata, key=keys.secret("api_tokens"), clock=utc_now
            )
            secrets = {each: clients.register(each, "suite", ROLES) for each in TENANTS}
        with (folder / "verifier.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "verifier_service", "serve"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        http = httpx2.Client(verify=tls.client(), timeout=30)
        live = cls(
            url,
            folder,
            trust,
            documents,
            files,
            http,
            secrets,
            process,
            fetched,
            database_url,
        )
        live._await_ready()
        return live

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        self.http.close()
        self.files.__exit__()

    @property
    def status_uri(self) -> str:
        return f"https://localhost:{self.files.port}/statuslists/1"

    def _await_ready(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self.process.poll() is None, (self.folder / "verifier.log").read_text()
            try:
                if self.http.get(f"{self.url}/health/ready").status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError((self.folder / "verifier.log").read_text())

    def token(self, tenant: str) -> str:
        if tenant not in self.tokens:
            found = self.http.post(
                f"{self.url}/api/v1/{tenant}/token",
                data={"grant_type": "client_credentials"},
                auth=("suite", self.secrets[tenant]),
            )
            self.tokens[tenant] = found.json()["access_token"]
        return self.tokens[tenant]

    def start_presentation(self, query: str, *, tenant: str = "haip", **asked: Any) -> Any:
        """The caller names the wallet's endpoint, as the suite's operator does."""
        found = self.http.post(
            f"{self.url}/api/v1/{tenant}/transactions",
            json={"query": query, "wallet_endpoint": ENDPOINT} | asked,
            headers={"Authorization": f"Bearer {self.token(tenant)}"},
        )
        assert found.status_code == 201, found.text
        return found.json() | {"tenant": tenant}

    def result(self, started: Mapping[str, Any]) -> Any:
        found = self.http.get(
            f"{self.url}/api/v1/{started['tenant']}/transactions/{started['transaction_id']}",
            headers={
                "Authorization": f"Bearer {self.token(started['tenant'])}",
                "Transaction-Secret": started["secret"],
            },
        )
        assert found.status_code == 200, found.text
        return found.json()


def free_port() -> int:
    """One that nobody listened on just now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        port: int = found.getsockname()[1]
        return port


def _trust(folder: Path) -> DemoTrust:
    claims = [[name] for name in CLAIMS]
    asked = ask("identification", PID, *claims)
    asked["credentials"].append(
        {"format": MDOC, "type": PID_MDOC, "claims": [[PID_MDOC, name] for name in ELEMENTS]}
    )
    return demo_trust(
        now=utc_now(),
        issues=(issue(PID), issue(PID_MDOC) | {"format": MDOC}),
        asks=[asked, ASKS[0]],
    )


def _write_files(folder: Path, trust: DemoTrust, origins: Sequence[str]) -> None:
    for name in ("tenants", "queries"):
        (folder / name).mkdir()
    for each in QUERIES:
        (folder / "queries" / f"{each['id']}.json").write_text(json.dumps(each))
    keys = KeyDirectory(folder / "keys", PASSWORD.encode())
    for name, members in TENANTS.items():
        content = {"queries": [each["id"] for each in QUERIES], "return_origins": [*origins]}
        (folder / "tenants" / f"{name}.json").write_text(json.dumps(content | members))
        signer = trust.counter.signer(Role.ACCESS, now=utc_now(), dns=["localhost"])
        file = folder / "keys" / name / "access.pem"
        file.parent.mkdir(parents=True)
        file.write_bytes(signer.to_pem(password=PASSWORD.encode()))
        keys.install(name, "access", signer.certificates)


def _environment(folder: Path, url: str, files: int, tls: TlsFiles) -> dict[str, str]:
    settings = {
        "PUBLIC_URL": url,
        "PORT": url.rpartition(":")[2],
        "DATABASE_URL": sqlite_url(folder),
        "TLS_CERTIFICATE": tls.certificate,
        "TLS_KEY": tls.key,
        "CA_BUNDLE": tls.authority,
        "PERMITTED_PRIVATE_HOSTS": f"localhost:{files}",
        "TRUST_URL": f"https://localhost:{files}",
        "TRUST_ROOT": str(folder / "root.json"),
        "KEY_DIRECTORY": str(folder / "keys"),
        "KEY_PASSWORD": PASSWORD,
        "TENANTS_DIRECTORY": str(folder / "tenants"),
        "QUERIES_DIRECTORY": str(folder / "queries"),
        "REQUESTS_PER_SECOND": "0",
    }
    own = {f"VERIFIER_{name}": value for name, value in settings.items()}
    others = {name: each for name, each in os.environ.items() if not name.startswith("VERIFIER_")}
    return others | own
