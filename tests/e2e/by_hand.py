"""A wallet made of the library alone: every message can be sent twice, late or altered."""

import http.client
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from shared.crypto.software import SoftwareKey
from shared.formats import credential, kb_jwt
from shared.formats.status_list import StatusReference, status_reference
from shared.formats.values import Held
from shared.jose.jws import parse_jws
from shared.oauth import dpop
from shared.oauth.encryption import EncryptionKey
from shared.oid4vci import proofs
from shared.oid4vp import response

PRE_AUTHORIZED = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
FORM = "application/x-www-form-urlencoded"
_MAX = 64 * 1024


def now() -> datetime:
    """The services run on the real clock, so their clients do."""
    return datetime.now(UTC)  # noqa: TID251


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of one HTTP exchange."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The status, and the protocol's or the API's own code."""
        found = self.json if self.body else {}
        return f"{self.status} {found.get('error') or found.get('code')}"


def send(
    method: str, url: str, body: bytes | Mapping[str, str] | None = None, **headers: str
) -> Answer:
    """One request on a connection of its own, so that any worker may get it."""
    parts = urlsplit(url)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, Mapping):
        body = urlencode(body).encode()
        named.setdefault("Content-Type", FORM)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, named)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


@dataclass
class HandWallet:
    """A wallet made of the library alone: every message can be sent twice, late or altered."""

    issuer: str
    client: SoftwareKey = field(default_factory=SoftwareKey.generate)

    def dpop(self, path: str, token: str | None = None) -> str:
        return dpop.make_proof(
            signer=self.client,
            method="POST",
            url=f"{self.issuer}/{path}",
            now=now(),
            access_token=token,
            random_bytes=secrets.token_bytes,
        )

    def redeem(
        self, offer: Mapping[str, Any], *, tx_code: str | None = None, proof: str | None = None
    ) -> Answer:
        fields = {
            "grant_type": PRE_AUTHORIZED,
            "pre-authorized_code": code_of(offer),
            "tx_code": tx_code or offer["tx_code"],
        }
        return send("POST", f"{self.issuer}/token", fields, DPoP=proof or self.dpop("token"))

    def token(self, offer: Mapping[str, Any]) -> str:
        answer = self.redeem(offer)
        assert answer.status == 200, answer.error
        return str(answer.json["access_token"])

    def nonce(self) -> str:
        return str(send("POST", f"{self.issuer}/nonce").json["c_nonce"])

    def key_proof(self, key: SoftwareKey, nonce: str) -> str:
        return proofs.make_jwt_proof(signer=key, audience=self.issuer, nonce=nonce, now=now())

    def ask(
        self,
        token: str,
        key_proofs: Sequence[str],
        *,
        configuration: str = "pid_sd_jwt",
        proof: str | None = None,
    ) -> Answer:
        wanted = {
            "credential_configuration_id": configuration,
            "proofs": {"jwt": list(key_proofs)},
        }
        return send(
            "POST",
            f"{self.issuer}/credential",
            as_json(wanted),
            Content_Type="application/json",
            Authorization=f"DPoP {token}",
            DPoP=proof or self.dpop("credential", token),
        )

    def receive(
        self, offer: Mapping[str, Any], *, copies: int = 1, configuration: str = "pid_sd_jwt"
    ) -> list[tuple[str, SoftwareKey]]:
        """A whole issuance: the copies with their keys."""
        token, nonce = self.token(offer), self.nonce()
        keys = [SoftwareKey.generate() for _ in range(copies)]
        answer = self.ask(
            token, [self.key_proof(key, nonce) for key in keys], configuration=configuration
        )
        assert answer.status == 200, answer.error
        found = [each["credential"] for each in answer.json["credentials"]]
        return list(zip(found, keys, strict=True))


def status_of(issued: str) -> StatusReference:
    """Where an issued credential has its status."""
    claims = parse_jws(issued.split("~", 1)[0], max_bytes=_MAX).unverified_claims()
    found = status_reference(claims)
    assert found is not None
    return found


def code_of(offer: Mapping[str, Any]) -> str:
    return str(offer["credential_offer"]["grants"][PRE_AUTHORIZED]["pre-authorized_code"])


@dataclass(frozen=True)
class AskedByHand:
    """A Request Object as any wallet gets it, and answers to it."""

    claims: dict[str, Any]

    @classmethod
    def fetch(cls, link: str) -> "AskedByHand":
        answer = send("GET", parse_qs(urlsplit(link).query)["request_uri"][0])
        assert answer.status == 200, answer.status
        request = parse_jws(answer.body.decode(), max_bytes=_MAX)
        return cls(dict(request.unverified_claims()))

    def presentation(self, held: Held, key: SoftwareKey, paths: Sequence[Any]) -> str:
        proof = _Proof(key, self.claims["client_id"], self.claims["nonce"])
        return credential.present(held, paths=paths, proof=proof)

    def body(self, presentations: Mapping[str, Sequence[str]]) -> bytes:
        content = {query: list(each) for query, each in presentations.items()}
        return response.encrypt(
            response.presentations(content, state=self.claims["state"]),
            to=EncryptionKey.from_jwk(self.claims["client_metadata"]["jwks"]["keys"][0]),
            enc="A128GCM",
        )

    def post(self, body: bytes) -> Answer:
        return send("POST", self.claims["response_uri"], body, Content_Type=FORM)


@dataclass(frozen=True)
class _Proof:
    key: SoftwareKey
    audience: str
    nonce: str

    def kb_jwt(self, presented: str, *, hash_algorithm: str) -> str:
        return kb_jwt.make(
            presented,
            signer=self.key,
            audience=self.audience,
            nonce=self.nonce,
            now=now(),
            hash_algorithm=hash_algorithm,
        )
