"""Certificates: what `x5c` may hold, the path to an anchor of the right role, and making our own.

Path building and validation are `cryptography`'s; around it stands what HAIP adds: the anchor is
never in the chain, the leaf never signed by itself (C-21), the anchor comes from the caller's list
alone (C-22). Verified paths are remembered by their bytes; each use checks their validity window
again, and a refusal is never remembered. Specification: RFC 5280; RFC 7515, section 4.1.6; PROFILE
C-20 to C-24.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from threading import Lock
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from ..encoding import b64_decode
from ..errors import InvalidInput, Untrusted
from .keys import PublicKey

MAX_CERTIFICATES = 5  # S-21
_MAX_BYTES = 8 * 1024
_REMEMBERED = 2048


class Profile(StrEnum):
    """What a leaf certificate is for; the first five are the roles of the trust list (C-22)."""

    CREDENTIAL = "credential"
    STATUS = "status"
    ACCESS = "access"
    WALLET_PROVIDER = "wallet_provider"
    METADATA = "metadata"
    MDOC_SIGNER = "mdoc_signer"
    TLS = "tls"


# C-24: only mdoc demands an extended key usage; for status signing none is assigned.
EXTENDED_KEY_USAGES = {
    Profile.MDOC_SIGNER: x509.ObjectIdentifier("1.0.18013.5.1.2"),
    Profile.TLS: ExtendedKeyUsageOID.SERVER_AUTH,
}


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """A leaf that may be believed: its key, and what its chain says."""

    public: PublicKey
    leaf: bytes
    certificates: tuple[bytes, ...]
    """DER as carried: leaf first, without the anchor."""
    anchor: bytes
    """DER of the anchor; of the leaf itself if *pinned*."""
    not_before: datetime
    """When the whole path, anchor included, became valid."""
    not_after: datetime
    subject_name: str
    """RFC 4514."""
    dns_names: tuple[str, ...]
    uris: tuple[str, ...]
    authority_key_ids: frozenset[bytes]
    """The keyIdentifiers of all authorityKeyIdentifiers in the carried chain (Q-12)."""
    thumbprints: frozenset[str]
    """`thumbprint` and SHA-256 fingerprint of the whole path, anchor included."""
    pinned: bool = False
    """Believed because this very leaf was named, for tests and pilots only (DESIGN 4)."""


def thumbprint(certificate: bytes) -> str:
    """By which a trust list revokes: SHA-256 over the signed part (tbsCertificate), hexadecimal.

    Not over the whole DER, which anybody can rewrite: beside (r, s) stands (r, n - s).

    Raises:
        InvalidInput: the certificate cannot be read.

    Specification: RFC 5280, section 4.1.1.
    """
    return hashlib.sha256(_load(certificate).tbs_certificate_bytes).hexdigest()


def parse_x5c(value: object) -> tuple[bytes, ...]:
    """The DER certificates of an `x5c` header member, leaf first.

    Raises:
        InvalidInput: not an array of one to five strings in padded standard base64, or one of them
            is no certificate.

    Specification: RFC 7515, section 4.1.6; PROFILE C-20, S-21.
    """
    if not isinstance(value, list):
        raise InvalidInput("x5c: not an array")
    try:
        return _decode_x5c(tuple(value))
    except TypeError as error:  # not hashable
        raise InvalidInput("x5c: a member is not a string") from error


@lru_cache(maxsize=512)
def _decode_x5c(members: tuple[object, ...]) -> tuple[bytes, ...]:
    if not 1 <= len(members) <= MAX_CERTIFICATES:
        raise InvalidInput("x5c: not one to five certificates")
    chain = tuple(
        b64_decode(each) for each in members if isinstance(each, str) and len(each) <= _MAX_BYTES
    )
    if len(chain) != len(members):
        raise InvalidInput("x5c: a member is not a string, or too long")
    for each in chain:
        _load(each)
    return chain


def verify_chain(
    chain: Sequence[bytes],
    *,
    anchors: Collection[bytes],
    profile: Profile,
    now: datetime,
    revoked: Collection[str] = frozenset(),
    pinned: Collection[bytes] = frozenset(),
) -> VerifiedChain:
    """Believe the leaf of *chain* because a path leads from it to one of *anchors*.

    Args:
        chain: DER, leaf first, each certified by the next, the anchor left out.
        anchors: DER of the anchors of exactly this role; pass a frozenset to be fast.
        profile: what the leaf signs.
        now: the time at which every certificate of the path must be valid, aware.
        revoked: thumbprints that are refused anywhere in the path.
        pinned: DER of leaves that are believed without a path, for tests and pilots.

    Raises:
        Untrusted: no such path, with the check that failed.
        InvalidInput: a certificate cannot be read.

    Specification: RFC 5280, section 6; HAIP 1.0, sections 4.1, 4.4.1, 5 and 6.1.1; PROFILE C-21,
    C-22, C-24.
    """
    carried = tuple(chain)
    key = (carried, frozenset(anchors), profile, frozenset(pinned))
    found = _remembered.get(key)
    if found is None or not found.not_before <= now <= found.not_after:
        found = _verify(carried, key[1], profile, key[3], now)
        _remember(key, found)
    if not found.thumbprints.isdisjoint(revoked):
        raise Untrusted("certificate: revoked by the trust list")
    return found


def _verify(
    chain: tuple[bytes, ...],
    anchors: frozenset[bytes],
    profile: Profile,
    pinned: frozenset[bytes],
    now: datetime,
) -> VerifiedChain:
    # 1. One to five certificates, all of them readable.
    if not 1 <= len(chain) <= MAX_CERTIFICATES:
        raise InvalidInput("certificate chain: not one to five certificates")
    loaded = [_load(each) for each in chain]
    leaf = loaded[0]
    # 2. Pinned, that is named one by one: its key and its validity are all that counts.
    if chain[0] in pinned:
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            raise Untrusted("certificate: the pinned leaf is not valid at this time")
        return _result(chain, loaded, anchor=leaf, pinned=True)
    # 3. The leaf is a signer of this profile.
    _check_leaf(leaf, profile)
    # 4. No anchor in the chain, and no leaf that vouches for itself (C-21).
    if not anchors.isdisjoint(chain):
        raise Untrusted("certificate chain: carries a trust anchor")
    if _signed_by_itself(leaf):
        raise Untrusted("certificate: the leaf is self-signed")
    # 5. A path: signatures, names, validity, CA flags and usages, path lengths, name constraints.
    if not anchors:
        raise Untrusted("certificate chain: no anchor for this role")
    verifier = (
        verification.PolicyBuilder()
        .store(_store(anchors))
        .time(now)
        .max_chain_depth(MAX_CERTIFICATES)
        .extension_policies(ca_policy=_CA_POLICY, ee_policy=_LEAF_POLICY)
        .build_client_verifier()
    )
    try:
        path = verifier.verify(leaf, loaded[1:]).chain
    except verification.VerificationError as error:
        raise Untrusted("certificate chain: no valid path to an anchor") from error
    # 6. Exactly the certificates carried, in their order, then the anchor.
    if path[:-1] != loaded:
        raise Untrusted("certificate chain: not in order, or carries strangers")
    return _result(chain, loaded, anchor=path[-1], pinned=False)


def check_leaf(certificate: bytes, profile: Profile) -> None:
    """Raise Untrusted unless *certificate* (DER) may sign what *profile* says (C-24)."""
    _check_leaf(_load(certificate), profile)


def _check_leaf(leaf: x509.Certificate, profile: Profile) -> None:
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise Untrusted("certificate: the leaf is a CA")
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise Untrusted("certificate: the leaf may not sign (keyUsage)")
    demanded = EXTENDED_KEY_USAGES.get(profile)
    if demanded is not None:
        extended = _extension(leaf, x509.ExtendedKeyUsage)
        if extended is None or demanded not in extended:
            raise Untrusted("certificate: the leaf lacks the extended key usage")


def _public_key(leaf: x509.Certificate) -> PublicKey:
    try:
        public = leaf.public_key()
    except _UNREADABLE as error:
        raise InvalidInput("certificate: the key is not readable") from error
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise InvalidInput("certificate: not an elliptic curve key")
    return PublicKey.from_crypto(public)


def _signed_by_itself(leaf: x509.Certificate) -> bool:
    if leaf.issuer == leaf.subject:
        return True
    algorithm = leaf.signature_algorithm_parameters
    if not isinstance(algorithm, ec.ECDSA):
        return False
    try:
        key = _public_key(leaf).to_crypto()
        key.verify(leaf.signature, leaf.tbs_certificate_bytes, algorithm)
    except InvalidSignature:
        return False
    return True


def _result(
    chain: tuple[bytes, ...],
    loaded: list[x509.Certificate],
    *,
    anchor: x509.Certificate,
    pinned: bool,
) -> VerifiedChain:
    names = _extension(loaded[0], x509.SubjectAlternativeName)
    authorities = [_extension(each, x509.AuthorityKeyIdentifier) for each in loaded]
    path = [*loaded, anchor]
    anchor_der = anchor.public_bytes(Encoding.DER)
    return VerifiedChain(
        public=_public_key(loaded[0]),
        leaf=chain[0],
        certificates=chain,
        anchor=anchor_der,
        not_before=max(each.not_valid_before_utc for each in path),
        not_after=min(each.not_valid_after_utc for each in path),
        subject_name=loaded[0].subject.rfc4514_string(),
        dns_names=tuple(names.get_values_for_type(x509.DNSName)) if names else (),
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)) if names else (),
        authority_key_ids=frozenset(
            each.key_identifier for each in authorities if each and each.key_identifier
        ),
        thumbprints=frozenset(
            hashlib.sha256(each).hexdigest()
            for each in (*(c.tbs_certificate_bytes for c in path), *chain, anchor_der)
        ),
        pinned=pinned,
    )


_ExtensionType = TypeVar("_ExtensionType", bound=x509.ExtensionType)


def _extension(certificate: x509.Certificate, kind: type[_ExtensionType]) -> _ExtensionType | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,  # where warnings are errors
)


@lru_cache(maxsize=1024)
def _load(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.extensions, certificate.subject, certificate.issuer
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except _UNREADABLE as error:
        raise InvalidInput("certificate: not readable") from error
    if certificate.serial_number <= 0:
        raise InvalidInput("certificate: the serial number is not positive")
    if der[-len(certificate.signature) - 1] != 0:
        raise InvalidInput("certificate: the signature is not whole bytes")
    return certificate


@lru_cache(maxsize=256)
def _store(anchors: frozenset[bytes]) -> verification.Store:
    return verification.Store([_load(each) for each in anchors])


_CA_POLICY = verification.ExtensionPolicy.webpki_defaults_ca()
_LEAF_POLICY = verification.ExtensionPolicy.permit_all()  # `_leaf_key` asks what we ask of leaves

_Key = tuple[tuple[bytes, ...], frozenset[bytes], Profile, frozenset[bytes]]
_remembered: dict[_Key, VerifiedChain] = {}
_lock = Lock()


def _remember(key: _Key, found: VerifiedChain) -> None:
    with _lock:
        _remembered[key] = found
        if len(_remembered) > _REMEMBERED:  # the eldest goes, so that reading needs no lock
            del _remembered[next(iter(_remembered))]


def validity(certificate: bytes) -> tuple[datetime, datetime]:
    """From when until when *certificate* (DER) is valid, aware UTC. Raises InvalidInput."""
    loaded = _load(certificate)
    return loaded.not_valid_before_utc, loaded.not_valid_after_utc


def key_identifier(certificate: bytes) -> bytes:
    """The subjectKeyIdentifier: what a query names an anchor by (V-30, Q-12).

    Raises:
        InvalidInput: the certificate has none.

    Specification: OpenID4VP 1.0, section 6.1.1.1.
    """
    found = _extension(_load(certificate), x509.SubjectKeyIdentifier)
    if found is None:
        raise InvalidInput("certificate: no subjectKeyIdentifier")
    return found.digest


def parse_pem(pem: bytes) -> tuple[bytes, ...]:
    """The DER of each certificate of a PEM file, in its order.

    Raises:
        InvalidInput: no certificate in it, or one that cannot be read.

    Specification: RFC 7468, section 5.
    """
    try:
        loaded = x509.load_pem_x509_certificates(pem)
    except _UNREADABLE as error:
        raise InvalidInput("certificate: not PEM") from error
    chain = tuple(each.public_bytes(Encoding.DER) for each in loaded)
    for each in chain:
        _load(each)
    return chain


def to_pem(chain: Sequence[bytes]) -> bytes:
    """The PEM file of *chain*, in its order (RFC 7468, section 5)."""
    return b"".join(_load(each).public_bytes(Encoding.PEM) for each in chain)
