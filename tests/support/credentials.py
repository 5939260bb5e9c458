"""A credential type, people and signers for tests of the formats."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import b64url_encode
from shared.formats import device_response, kb_jwt, type_metadata
from shared.formats.type_metadata import TypeMetadata
from shared.formats.values import Session, Trusted

from .certificates import Authority
from .clock import NOW

VCT = "urn:example:membership:1"
ES256 = frozenset({"ES256"})
AUTHORITY = Authority.make("Credential Root")
ISSUER = AUTHORITY.signer(Profile.CREDENTIAL, subject="Club", dns=["club.example"])
TRUSTED = Trusted(AUTHORITY.anchors)
SESSION = Session(
    audience="x509_hash:verifier",
    nonce="n-0S6_WzA2Mj",
    response_uri="https://verifier.example/response",
    key_thumbprint=bytes(32),
)
IN_A_YEAR = NOW + timedelta(days=300)

CLAIMS: dict[str, Any] = {
    "given_name": "Erika",
    "family_name": "Möbius",
    "birthdate": "1964-08-12",
    "address": {"locality": "Köln", "country": "DE", "street_address": "Heidestraße 17"},
    "nationalities": ["DE", "FR", "IS"],
    "level": 3,
}


def document(vct: str = VCT, **members: Any) -> bytes:
    """A Type Metadata document."""
    return json.dumps({"vct": vct, **members}, ensure_ascii=False).encode()


def metadata(*claims: Mapping[str, Any], vct: str = VCT) -> TypeMetadata:
    """Metadata with these `claims` rules."""
    return type_metadata.parse(document(vct, claims=list(claims)), vct=vct)


MEMBERSHIP = metadata(
    {"path": ["given_name"], "sd": "always"},
    {"path": ["family_name"], "sd": "always", "mandatory": True},
    {"path": ["birthdate"], "sd": "always"},
    {"path": ["address"], "sd": "always"},
    {"path": ["address", "locality"], "sd": "always"},
    {"path": ["address", "country"], "sd": "always"},
    {"path": ["address", "street_address"], "sd": "always"},
    {"path": ["nationalities"], "sd": "never"},
    {"path": ["nationalities", None], "sd": "always"},
    {"path": ["level"], "sd": "never"},
)


@dataclass(frozen=True)
class SessionProof:
    """A `HolderProof` for one session, as a wallet's signer makes it after approval."""

    signer: SoftwareKey
    session: Session = SESSION
    now: datetime = NOW
    transaction_data: kb_jwt.TransactionDataHashes | None = None

    def kb_jwt(self, presented: str, *, hash_algorithm: str) -> str:
        return kb_jwt.make(
            presented,
            signer=self.signer,
            audience=self.session.audience,
            nonce=self.session.nonce,
            now=self.now,
            hash_algorithm=hash_algorithm,
            transaction_data=self.transaction_data,
        )

    def device_signature(self, doctype: str) -> bytes:
        return device_response.sign(doctype, session=self.session, signer=self.signer)


def disclosure(*parts: Any) -> str:
    """The text of any Disclosure, well-formed or not."""
    return b64url_encode(json.dumps(list(parts), ensure_ascii=False).encode())


def compact(*parts: str | Sequence[str]) -> str:
    """`<JWT>~<D>~…~`."""
    return "~".join([*(str(each) for each in parts), ""])
