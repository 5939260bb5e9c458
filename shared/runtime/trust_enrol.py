"""How an agency joins: a request file with its keys' proofs, a response file with certificates.

The agency makes its keys itself and signs its request with each of them; the publisher certifies
them with authorities that belong to this entity alone, so that a chain names one entity. Only files
travel, so the publisher's machine may stay off line. What a request asks for is in force only when
it is published.

Specification: DESIGN section 4; PROFILE C-10, C-21, C-22.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ..crypto.authority import make_certificate, make_root
from ..crypto.keys import PublicKey, Signer
from ..crypto.software import SoftwareKey
from ..crypto.x509 import Profile, parse_x5c
from ..encoding import (
    JsonValue,
    RandomBytes,
    b64url_encode,
    canonical_json,
    dump_json,
    parse_json_object,
    to_numeric_date,
)
from ..errors import InvalidInput, NotFound, VerificationError
from ..jose.jws import parse_jws, sign_jwt, verify_jwt
from ..trust import Role
from .trust_files import write, write_key
from .trust_publish import Repository

REQUEST = "citizen-wallet-enrolment-request/1"
RESPONSE = "citizen-wallet-enrolment-response/1"

# The purpose of a key (the name of its file) and the role its chain has in the list.
ROLES = {
    "credential": Role.CREDENTIAL,
    "status": Role.STATUS,
    "metadata": Role.METADATA,
    "access": Role.ACCESS,
    "wallet_provider": Role.WALLET_PROVIDER,
    "key_attestation": Role.WALLET_PROVIDER,
}

_TYP = "citizen-wallet-enrolment+jwt"
_MAX_BYTES = 512 * 1024
_ASKED = frozenset({"names", "contacts", "credential_issuers", "issues", "asks"})
_ROOT_DAYS = 3650


@dataclass(frozen=True, slots=True)
class RequestedKey:
    """A key whose possession was proven, and what its certificate shall say."""

    purpose: str
    public: PublicKey
    dns: tuple[str, ...]
    country: str | None


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """A request whose proofs verify. Who sent it is for people to find out, by `fingerprint`."""

    entity: Mapping[str, JsonValue]
    entity_id: str | None
    keys: tuple[RequestedKey, ...]
    fingerprint: str


def make_request(
    *,
    entity: Mapping[str, JsonValue],
    keys: Mapping[str, Signer],
    dns: Sequence[str],
    now: datetime,
    country: str | None = None,
    entity_id: str | None = None,
) -> bytes:
    """The file an agency sends to the publisher.

    Args:
        entity: its entry as wished: names, contacts, credential_issuers, issues, asks.
        keys: its keys by purpose, a key of its own for each (C-10).
        dns: host names of its service.
        now: aware.
        country: ISO 3166-1 alpha-2; mdocs that show `issuing_country` need it in the certificate
            (F-MD-07).
        entity_id: its id, if it is listed already and wants new certificates or a changed entry.

    Raises:
        InvalidInput: an unknown purpose, or a member of *entity* that only the publisher grants.
    """
    _check_entity(entity)
    if not keys or not ROLES.keys() >= keys.keys():
        raise InvalidInput(f"purposes: some of {', '.join(ROLES)}")
    proofs: list[JsonValue] = [
        sign_jwt(
            {
                "purpose": purpose,
                "dns": list(dns),
                "country": country,
                "entity_digest": _digest(entity, entity_id),
                "iat": to_numeric_date(now),
            },
            typ=_TYP,
            signer=_Bare(signer),
            header={"jwk": signer.public.to_jwk()},
        )
        for purpose, signer in keys.items()
    ]
    request: dict[str, JsonValue] = {"format": REQUEST, "entity": entity, "proofs": proofs}
    return dump_json(request if entity_id is None else request | {"entity_id": entity_id})


def read_request(data: bytes) -> EnrolmentRequest:
    """Verify that the sender holds every key it asks a certificate for.

    Raises:
        InvalidInput: not such a file, a purpose or a key twice, members an agency cannot ask for.
        VerificationError: a proof does not verify, or is for another entry.
    """
    request = parse_json_object(data, max_bytes=_MAX_BYTES)
    entity, entity_id, proofs = (request.get(each) for each in ("entity", "entity_id", "proofs"))
    if request.get("format") != REQUEST or not isinstance(entity, dict):
        raise InvalidInput("this is no enrolment request")
    if not isinstance(entity_id, str | None) or not isinstance(proofs, list) or not proofs:
        raise InvalidInput("enrolment request: entity_id or proofs are malformed")
    _check_entity(entity)
    keys = tuple(_read_proof(proof, _digest(entity, entity_id)) for proof in proofs)
    if len({key.purpose for key in keys}) < len(keys) or len({key.public for key in keys}) < len(
        keys
    ):
        raise InvalidInput("enrolment request: a purpose or a key occurs twice (C-10)")
    return EnrolmentRequest(entity, entity_id, keys, fingerprint(data))


def fingerprint(data: bytes) -> str:
    """What both sides read to each other, in groups of four."""
    digest = hashlib.sha256(data).hexdigest()[:32]
    return " ".join(digest[i : i + 4] for i in range(0, 32, 4))


def enrol(
    repository: Repository,
    request: EnrolmentRequest,
    *,
    now: datetime,
    days: int = 730,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> bytes:
    """Certify the keys, put the entry into the working copy; returns the response file.

    A listed entity keeps its id, authorities, revocations and dates, and what it does not mention.
    Nothing is in force before `repository.publish`.

    Raises:
        NotFound: the request names an entity that is not listed.
        InvalidInput: services would refuse the entry.
    """
    if request.entity_id is None:
        entry: dict[str, Any] = {"id": f"ent_{random_bytes(10).hex()}"}
    else:
        known = repository.document()["entities"]
        entry = next((each for each in known if each["id"] == request.entity_id), {})
        if not entry:
            raise NotFound(f"no entity {request.entity_id}: `wallet-trust show` lists them")
    entry |= request.entity
    anchors: dict[str, list[str]] = entry.setdefault("anchors", {})
    certificates: dict[str, JsonValue] = {}
    for key in request.keys:
        role = ROLES[key.purpose]
        name = _name(entry, "")
        anchor, authority = _authority(repository, entry, role, now, country=key.country)
        if (encoded := _base64(anchor)) not in anchors.setdefault(role.value, []):
            anchors[role.value].append(encoded)
        leaf = make_certificate(
            subject=name,
            public=key.public,
            issuer_certificate=anchor,
            issuer_key=authority,
            profile=Profile(role),
            now=now,
            days=days,
            dns=key.dns,
            country=key.country,
        )
        certificates[key.purpose] = [_base64(leaf)]
    repository.put_entity(entry)
    return dump_json({"format": RESPONSE, "entity_id": entry["id"], "certificates": certificates})


def read_response(
    data: bytes, *, keys: Mapping[str, PublicKey]
) -> tuple[str, dict[str, tuple[bytes, ...]]]:
    """The entity's id, and the chains (DER, leaf first) by purpose.

    Args:
        data: the response file.
        keys: the agency's own public keys by purpose.

    Raises:
        InvalidInput: not such a file, or a certificate is for another key.
    """
    response = parse_json_object(data, max_bytes=_MAX_BYTES)
    entity_id, certificates = response.get("entity_id"), response.get("certificates")
    if (
        response.get("format") != RESPONSE
        or not isinstance(entity_id, str)
        or not isinstance(certificates, dict)
    ):
        raise InvalidInput("this is no enrolment response")
    chains = {purpose: parse_x5c(chain) for purpose, chain in certificates.items()}
    for purpose, chain in chains.items():
        leaf = x509.load_der_x509_certificate(chain[0]).public_key()
        if purpose not in keys or leaf != keys[purpose].to_crypto():
            raise InvalidInput(f"enrolment response: the {purpose} certificate is for another key")
    return entity_id, chains


class _Bare:
    """A signer without its certificates: the proof carries the naked key."""

    certificates: tuple[bytes, ...] = ()

    def __init__(self, signer: Signer) -> None:
        self.kid, self.public, self.sign = signer.kid, signer.public, signer.sign


def _check_entity(entity: Mapping[str, JsonValue]) -> None:
    if not {"names", "contacts"} <= entity.keys() <= _ASKED:
        raise InvalidInput(
            f"entity: names and contacts, and nothing beyond {', '.join(sorted(_ASKED))}"
        )


def _digest(entity: Mapping[str, JsonValue], entity_id: str | None) -> str:
    covered = canonical_json({"entity": entity, "entity_id": entity_id})
    return b64url_encode(hashlib.sha256(covered).digest())


def _read_proof(proof: JsonValue, digest: str) -> RequestedKey:
    if not isinstance(proof, str):
        raise InvalidInput("enrolment request: a proof is no JWT")
    unverified = parse_jws(proof, max_bytes=_MAX_BYTES)
    public = PublicKey.from_jwk(unverified.header.get("jwk"))
    claims = verify_jwt(unverified, key=public, typ=_TYP, algorithms={"ES256"}).claims
    purpose, dns, country = (claims.get(each) for each in ("purpose", "dns", "country"))
    if claims.get("entity_digest") != digest:
        raise VerificationError("enrolment request: a proof is for another entry")
    if not isinstance(purpose, str) or purpose not in ROLES or not isinstance(dns, list):
        raise InvalidInput("enrolment request: a proof without a known purpose")
    if not isinstance(country, str | None):
        raise InvalidInput("enrolment request: country is no text")
    return RequestedKey(purpose, public, tuple(str(each) for each in dns), country)


def _authority(
    repository: Repository,
    entry: Mapping[str, Any],
    role: Role,
    now: datetime,
    *,
    country: str | None,
) -> tuple[bytes, SoftwareKey]:
    """The entity's own authority for *role*: made when first needed."""
    folder = repository.path / "list" / "authorities" / entry["id"]
    key_file, certificate_file = folder / f"{role}.pem", folder / f"{role}.crt"
    password = repository.passwords("list")
    if key_file.exists():
        key = SoftwareKey.from_pem(key_file.read_bytes(), password=password)
        return _read_certificate(certificate_file), key
    key = SoftwareKey.generate()
    der = make_root(_name(entry, f" {role}"), key, now=now, days=_ROOT_DAYS, country=country)
    write_key(key_file, key, password)
    write(certificate_file, x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    return der, key


def _read_certificate(path: Path) -> bytes:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
    except (OSError, ValueError) as error:
        raise NotFound(f"{path} is not readable: restore it from the backup") from error


def _name(entry: Mapping[str, Any], suffix: str) -> str:
    names: Mapping[str, str] = entry["names"]
    name = names.get("en") or next(iter(names.values()))
    room = 64 - len(suffix)  # a common name holds 64 bytes
    return name.encode()[:room].decode(errors="ignore") + suffix


def _base64(der: bytes) -> str:
    return base64.b64encode(der).decode()
