"""A live verifier process over TLS, with its trust list and status list on a TLS server beside it.

with LiveVerifier.start(folder) as live:
    started = live.start_presentation("pid_sd_jwt", tenant="haip", wallet_endpoint=…)
    live.get(url); live.post_form(url, fields); live.result(started)
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from shared.formats import status_list
from shared.formats.status_list import StatusList
from shared.runtime.clock import utc_now
from shared.trust import Role
from verifier_service import tables
from verifier_service.app import SECRETS
from verifier_service.routes.asking import ROLES

from .live import Live, free_port, install, trust_files
from .servers import Script, answer
from .tls import TlsFiles
from .trust import ASKS, MDOC, PID, PID_MDOC, DemoTrust, ask, demo_trust, issue

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


@dataclass(kw_only=True)
class LiveVerifier(Live):
    """The process and its neighbours; `fetched` is what came to the server beside it."""

    documents: DocumentSigner
    fetched: list[str]

    @classmethod
    def start(cls, folder: Path, *, origins: Sequence[str] = (PORTAL,)) -> Self:
        now = utc_now()
        tls = TlsFiles.make(folder, now=now)
        trust, documents = _trust(folder), DocumentSigner.make()
        fetched: list[str] = []

        def status(name: str) -> Script | None:
            fetched.append(name)
            if name != "statuslists/1":
                return None
            token = status_list.sign_token(
                StatusList.empty(1, 1024),
                uri=f"https://localhost:{files.port}/{name}",
                signer=trust.registry.signer(Role.STATUS, now=now, dns=["issuer.example"]),
                now=utc_now(),
                ttl=timedelta(minutes=5),
            )
            return answer(token.encode(), content_type=status_list.MEDIA_TYPE)

        entries = (
            trust.registry.entry(pinned=[documents.pinned()]),
            trust.counter.entry(),
            trust.provider.entry(),
        )
        files = trust_files(folder, tls, trust, more=status, entries=entries)
        _write_files(folder, trust, origins)
        return cls.launch(
            "verifier_service",
            url=f"https://localhost:{free_port()}",
            folder=folder,
            tls=tls,
            trust=trust,
            files=files,
            metadata=tables.metadata,
            purposes=SECRETS,
            roles=ROLES,
            tenants=TENANTS,
            settings={"QUERIES_DIRECTORY": str(folder / "queries")},
            documents=documents,
            fetched=fetched,
        )

    @property
    def status_uri(self) -> str:
        return f"https://localhost:{self.files.port}/statuslists/1"

    def start_presentation(self, query: str, *, tenant: str = "haip", **asked: Any) -> Any:
        """The caller names the wallet's endpoint, as the suite's operator does."""
        content = {"query": query, "wallet_endpoint": ENDPOINT} | asked
        return self.api("POST", tenant, "/transactions", content) | {"tenant": tenant}

    def result(self, started: Mapping[str, Any]) -> Any:
        place = f"/transactions/{started['transaction_id']}"
        secret = {"Transaction-Secret": started["secret"]}
        return self.api("GET", started["tenant"], place, **secret)


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
    for name, members in TENANTS.items():
        content = {"queries": [each["id"] for each in QUERIES], "return_origins": [*origins]}
        (folder / "tenants" / f"{name}.json").write_text(json.dumps(content | members))
        signer = trust.counter.signer(Role.ACCESS, now=utc_now(), dns=["localhost"])
        install(folder, name, "access", signer)
