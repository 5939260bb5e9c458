"""Whole flows over HTTP against a running system.

The client speaks the protocols with the library; what is measured is the CPU time of the server
processes, read from the system.
"""

import http.client
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson

from shared.crypto.software import SoftwareKey
from shared.demo.system import COUNTER, REGISTRY, System
from shared.formats import credential, device_response, kb_jwt
from shared.formats.values import Held, Session, Trusted
from shared.jose.jws import parse_jws
from shared.oauth import dpop
from shared.oauth.encryption import EncryptionKey
from shared.oid4vci import proofs
from shared.oid4vp import response
from shared.trust import Role, TrustList

PRE_AUTHORIZED = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
PID = "urn:eudi:pid:1"
# Beside a demo that runs on its own ports.
PORTS = {
    "issuer_service": 18100,
    "wallet_service": 18200,
    "verifier_service": 18300,
    "trust": 18400,
}


@dataclass
class Server:
    """One connection to one service, kept open."""

    url: str
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)

    def call(
        self, method: str, url: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Status and body; raises on anything that is not 2xx."""
        target = url.removeprefix(self.url)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self.connection.request(method, target, body, named)
            answer = self.connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):  # closed while it was idle
            self.connection.close()
            self.connection.request(method, target, body, named)
            answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            message = f"{method} {target}: {answer.status}: {content[:300]!r}"
            raise RuntimeError(message)
        return answer.status, content

    def json(self, method: str, url: str, body: Any = None, **headers: str) -> Any:
        """As `call`, JSON both ways."""
        data = None if body is None else orjson.dumps(body)
        headers.setdefault("Content_Type", "application/json")
        return orjson.loads(self.call(method, url, data, **headers)[1])

    def form(self, url: str, fields: dict[str, str], **headers: str) -> Any:
        """Post a form, read JSON."""
        body = urlencode(fields).encode()
        kind = "application/x-www-form-urlencoded"
        return orjson.loads(self.call("POST", url, body, Content_Type=kind, **headers)[1])

    def token(self, tenant: str, client_id: str, client_secret: str) -> str:
        """An access token for the agency API."""
        fields = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
        }
        return f"Bearer {self.form(f'{self.url}/api/v1/{tenant}/token', fields)['access_token']}"


@dataclass
class _HolderProof:
    key: SoftwareKey
    session: Session

    def device_signature(self, doctype: str) -> bytes:
        return device_response.sign(doctype, session=self.session, signer=self.key)

    def kb_jwt(self, presented: str, *, hash_algorithm: str) -> str:
        return kb_jwt.make(
            presented,
            signer=self.key,
            audience=self.session.audience,
            nonce=self.session.nonce,
            now=datetime.now(UTC),
            hash_algorithm=hash_algorithm,
        )


@dataclass(frozen=True)
class Kind:
    """What is issued and shown: the identity card in one of its formats."""

    configuration: str
    format: str
    type: str
    query: str
    shown: tuple[str, ...]


SD_JWT = Kind("pid_sd_jwt", "dc+sd-jwt", PID, "pid", ("age_equal_or_over", "18"))
MDOC = Kind(
    "pid_mdoc",
    "mso_mdoc",
    "eu.europa.ec.eudi.pid.1",
    "pid_mdoc",
    ("eu.europa.ec.eudi.pid.1", "age_over_18"),
)


class Flows:
    """A wallet, an agency and a counter in one client."""

    def __init__(self, system: System, kind: Kind = SD_JWT) -> None:
        self.kind = kind
        self._anchors = _anchors(system)
        self.issuer_id = system.issuer
        self.issuer = Server(system.urls["issuer_service"])
        self.verifier = Server(system.urls["verifier_service"])
        self._agency = system.clients["issuer_service"]
        self._counter = system.clients["verifier_service"]
        self.sign_in()

    def close(self) -> None:
        """End the connections."""
        self.issuer.connection.close()
        self.verifier.connection.close()

    def sign_in(self) -> None:
        """Tokens of the agency APIs live ten minutes."""
        agency, counter = self._agency, self._counter
        self._issuing = self.issuer.token(REGISTRY, agency.client_id, agency.client_secret)
        self._asking = self.verifier.token(COUNTER, counter.client_id, counter.client_secret)

    def offer(self, subject: str) -> Any:
        """Step 1 of issuance: the agency creates an offer."""
        return self.issuer.json(
            "POST",
            f"{self.issuer.url}/api/v1/{REGISTRY}/offers",
            {"credentials": [self.kind.configuration], "subject": subject},
            Authorization=self._issuing,
        )

    def issue(self, subject: str) -> tuple[str, SoftwareKey]:
        """Whole issuance: offer, token, nonce, credential with status."""
        return self.credential(*self.token_of(self.offer(subject)))

    def token_of(self, offer: Any) -> tuple[str, SoftwareKey]:
        """Step 2 of issuance: an access token, and the key it is bound to."""
        grant = offer["credential_offer"]["grants"][PRE_AUTHORIZED]
        client = SoftwareKey.generate()
        url = f"{self.issuer_id}/token"
        token = self.issuer.form(
            url,
            {
                "grant_type": PRE_AUTHORIZED,
                "pre-authorized_code": grant["pre-authorized_code"],
                "tx_code": offer["tx_code"],
            },
            DPoP=self._proof(client, url),
        )["access_token"]
        return token, client

    def credential(self, token: str, client: SoftwareKey) -> tuple[str, SoftwareKey]:
        """Steps 3 and 4 of issuance: a nonce, and the credential with its holder key."""
        nonce = self.issuer.json("POST", f"{self.issuer_id}/nonce")["c_nonce"]
        key = SoftwareKey.generate()
        proof = proofs.make_jwt_proof(
            signer=key, audience=self.issuer_id, nonce=nonce, now=datetime.now(UTC)
        )
        url = f"{self.issuer_id}/credential"
        answer = self.issuer.json(
            "POST",
            url,
            {"credential_configuration_id": self.kind.configuration, "proofs": {"jwt": [proof]}},
            Authorization=f"DPoP {token}",
            DPoP=self._proof(client, url, access_token=token),
        )
        return answer["credentials"][0]["credential"], key

    def verify(self, held: Held, key: SoftwareKey) -> Any:
        """Whole verification: create, fetch the request, post the response, read the result."""
        base = f"{self.verifier.url}/api/v1/{COUNTER}/transactions"
        started = self.verifier.json("POST", base, {"query": "over_18"}, Authorization=self._asking)
        request_uri = parse_qs(urlsplit(started["link"]).query)["request_uri"][0]
        _, token = self.verifier.call("GET", request_uri)
        request = parse_jws(token.decode(), max_bytes=64 * 1024).unverified_claims()
        metadata: Any = request["client_metadata"]
        to = EncryptionKey.from_jwk(metadata["jwks"]["keys"][0])
        session = Session(
            str(request["client_id"]),
            str(request["nonce"]),
            str(request["response_uri"]),
            to.public.thumbprint(),
        )
        shown = credential.present(held, paths=[self.kind.shown], proof=_HolderProof(key, session))
        body = response.encrypt(
            response.presentations({self.kind.query: [shown]}, state=str(request["state"])),
            to=to,
            enc="A128GCM",
        )
        kind = "application/x-www-form-urlencoded"
        self.verifier.call("POST", str(request["response_uri"]), body, Content_Type=kind)
        result = self.verifier.json(
            "GET",
            f"{base}/{started['transaction_id']}",
            Authorization=self._asking,
            Transaction_Secret=started["secret"],
        )
        if not result["verdict"]["accepted"]:
            message = f"not accepted: {result['verdict']['reason']}"
            raise RuntimeError(message)
        return result

    def held(self, text: str, key: SoftwareKey) -> Held:
        """*text* as a wallet holds it, verified."""
        return credential.receive(
            self.kind.format,
            text,
            expected_type=self.kind.type,
            keys=[key.public],
            trusted=Trusted(self._anchors),
            now=datetime.now(UTC),
            algorithms=("ES256",),
        ).held

    @staticmethod
    def _proof(key: SoftwareKey, url: str, access_token: str | None = None) -> str:
        return dpop.make_proof(
            signer=key,
            method="POST",
            url=url,
            now=datetime.now(UTC),
            access_token=access_token,
            random_bytes=secrets.token_bytes,
        )


def _anchors(system: System) -> frozenset[bytes]:
    """Who may sign credentials, after the trust list of *system*."""
    listed = TrustList.parse((system.folder / "trust" / "trust-list.json").read_bytes(), version=1)
    return listed.anchors(Role.CREDENTIAL, now=datetime.now(UTC))


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def user_seconds(pids: Iterable[int]) -> float:
    """User CPU time of processes so far."""
    return sum(int(_stat(pid)[11]) for pid in pids) / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system CPU time of the living threads of processes so far, to the nanosecond."""
    found = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                found += int(task.read_text().split()[0])
    return found / 1e9


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process now."""
    status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    line = next(each for each in status.splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def children(pid: int) -> list[int]:
    """*pid* and its child processes."""
    found = [pid]
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                if int(_stat(int(path.name))[1]) == pid:
                    found.append(int(path.name))
    return found
