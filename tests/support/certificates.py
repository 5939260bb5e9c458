"""Anchors and certified signers for tests, made by the product's own functions.

    registry = Authority.make("Registry Root")
    signer = registry.signer(Profile.CREDENTIAL, dns=["issuer.example"])  # x5c = [leaf]
    verify(…, anchors=registry.anchors, now=NOW)

`certificate` makes the bad ones: every part of a certificate can be said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from shared.crypto.authority import make_certificate, make_root
from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile

from .clock import NOW


@dataclass(frozen=True)
class Authority:
    """A root certificate and its key."""

    key: SoftwareKey
    certificate: bytes

    @classmethod
    def make(
        cls,
        name: str = "Test Root",
        *,
        now: datetime = NOW,
        days: int = 3650,
        country: str | None = None,
    ) -> "Authority":
        key = SoftwareKey.generate()
        return cls(key, make_root(name, key, now=now, days=days, country=country))

    @property
    def anchors(self) -> frozenset[bytes]:
        return frozenset({self.certificate})

    def signer(
        self,
        profile: Profile,
        *,
        subject: str = "Test Signer",
        now: datetime = NOW,
        days: int = 365,
        country: str | None = None,
        dns: Sequence[str] = (),
        uri: Sequence[str] = (),
        key: SoftwareKey | None = None,
    ) -> SoftwareKey:
        """A key with `certificates == (leaf,)`; *key* to certify an existing one."""
        key = key if key is not None else SoftwareKey.generate()
        leaf = make_certificate(
            subject=subject,
            public=key.public,
            issuer_certificate=self.certificate,
            issuer_key=self.key,
            profile=profile,
            now=now,
            days=days,
            country=country,
            dns=dns,
            uri=uri,
        )
        return key.with_certificates((leaf,))


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def usage(*allowed: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{each: each in allowed for each in every})


DIGITAL_SIGNATURE = usage("digital_signature")
CERTIFICATE_SIGN = usage("key_cert_sign", "crl_sign")


def certificate(
    subject: str | x509.Name,
    public: SoftwareKey | CertificatePublicKeyTypes,
    issuer: str,
    issuer_key: SoftwareKey | ec.EllipticCurvePrivateKey,
    *,
    start: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=365),
    constraints: x509.BasicConstraints | None = None,
    key_usage: x509.KeyUsage | None = DIGITAL_SIGNATURE,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """Any certificate at all: DER. *extensions* are pairs of value and criticality."""
    crypto = public.public.to_crypto() if isinstance(public, SoftwareKey) else public
    signing = issuer_key.to_crypto() if isinstance(issuer_key, SoftwareKey) else issuer_key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject) if isinstance(subject, str) else subject)
        .issuer_name(name(issuer))
        .public_key(crypto)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(crypto), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
        )
    )
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    if key_usage is not None:
        builder = builder.add_extension(key_usage, critical=True)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(signing, hashes.SHA256()).public_bytes(Encoding.DER)


def authority_certificate(
    subject: str,
    public: SoftwareKey,
    issuer: str,
    issuer_key: SoftwareKey,
    *,
    path_length: int | None = None,
    start: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=365),
) -> bytes:
    """A CA certificate, root (issued by itself) or intermediate: DER."""
    return certificate(
        subject,
        public,
        issuer,
        issuer_key,
        start=start,
        end=end,
        constraints=x509.BasicConstraints(ca=True, path_length=path_length),
        key_usage=CERTIFICATE_SIGN,
    )
