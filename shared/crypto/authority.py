"""Making certificates: a root for each role, and the leaves it certifies.

What is made here passes `x509.verify_chain` and the certification tests: P-256, explicit usages, a
key identifier on both sides. Each starts 48 h in the past, so that a clock that lags believes it
too, and none outlives its issuer. Specification: RFC 5280; CERTIFICATION 2.1; DESIGN 4.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ..errors import InvalidInput
from .keys import PublicKey
from .software import SoftwareKey
from .x509 import EXTENDED_KEY_USAGES, Profile

_HEAD_START = timedelta(hours=48)
# One key signs an agency's credentials in every format; of these only mdocs ask for a usage (C-24).
_USAGES = EXTENDED_KEY_USAGES | {Profile.CREDENTIAL: EXTENDED_KEY_USAGES[Profile.MDOC_SIGNER]}


def make_root(
    name: str, key: SoftwareKey, *, now: datetime, days: int, country: str | None = None
) -> bytes:
    """A self-signed root that certifies leaves only (path length 0).

    Args:
        name: common name, 64 characters at most.
        key: becomes the anchor's key.
        now: aware; validity starts 48 h before.
        days: validity from *now* on.
        country: ISO 3166-1 alpha-2.

    Returns:
        DER.

    Specification: RFC 5280, sections 4.1 and 4.2.
    """
    subject = _name(name, country)
    builder = (
        _builder(subject, key.public, subject, now - _HEAD_START, now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
    )
    return _signed(builder, key)


def make_certificate(
    *,
    subject: str,
    public: PublicKey,
    issuer_certificate: bytes,
    issuer_key: SoftwareKey,
    profile: Profile,
    now: datetime,
    days: int,
    country: str | None = None,
    dns: Sequence[str] = (),
    uri: Sequence[str] = (),
) -> bytes:
    """A leaf for *public* that may do what *profile* says, and nothing else.

    Args:
        subject: common name, 64 characters at most.
        public: the key that is certified.
        issuer_certificate: DER of the root.
        issuer_key: the root's.
        profile: what the leaf signs.
        now: aware; validity starts 48 h before, but not before the root's.
        days: validity from *now* on, cut to the root's.
        country: ISO 3166-1 alpha-2.
        dns: host names for subjectAltName; CERTIFICATION 2.1 wants the service's host here.
        uri: for subjectAltName.

    Returns:
        DER.

    Raises:
        InvalidInput: *issuer_key* is not the key of *issuer_certificate*, which must be valid
            *now*; or a name cannot be written.

    Specification: RFC 5280, sections 4.1 and 4.2; PROFILE C-21, C-24.
    """
    try:
        issuer = x509.load_der_x509_certificate(issuer_certificate)
    except ValueError as error:
        raise InvalidInput("certificate: not DER") from error
    if issuer.public_key() != issuer_key.public.to_crypto():
        raise InvalidInput("certificate: the issuer's key is another one")
    if not issuer.not_valid_before_utc <= now <= issuer.not_valid_after_utc:
        raise InvalidInput("certificate: the issuer's is not valid now")
    start = max(now - _HEAD_START, issuer.not_valid_before_utc)
    end = min(now + timedelta(days=days), issuer.not_valid_after_utc)
    builder = (
        _builder(_name(subject, country), public, issuer.subject, start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public.to_crypto()),
            critical=False,
        )
    )
    demanded = _USAGES.get(profile)
    if demanded is not None:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([demanded]), critical=profile is Profile.MDOC_SIGNER
        )
    try:
        names = [
            *(x509.DNSName(each) for each in dns),
            *(x509.UniformResourceIdentifier(each) for each in uri),
        ]
    except ValueError as error:
        raise InvalidInput("certificate: a name is not ASCII") from error
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _signed(builder, issuer_key)


def _name(common: str, country: str | None) -> x509.Name:
    try:
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
        if country is not None:
            parts.insert(0, x509.NameAttribute(NameOID.COUNTRY_NAME, country))
    except ValueError as error:
        raise InvalidInput("certificate: the subject cannot be written") from error
    return x509.Name(parts)


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, public: PublicKey, issuer: x509.Name, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public.to_crypto())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public.to_crypto()), critical=False
        )
    )


def _signed(builder: x509.CertificateBuilder, key: SoftwareKey) -> bytes:
    return builder.sign(key.to_crypto(), hashes.SHA256()).public_bytes(Encoding.DER)
