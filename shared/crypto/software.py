"""Private keys in memory, and at rest as encrypted PEM files (S-30).

`SoftwareKey` is the `Signer` and the `Decrypter` used wherever no HSM is configured. P-256 alone
(C-01). Nothing here prints a key: neither `repr` nor an error message shows more than its `kid`.
"""

import hashlib
from collections.abc import Sequence
from typing import ClassVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ..encoding import b64url_encode
from ..errors import InvalidInput
from .keys import PublicKey, signature_from_der

_CURVE = ec.SECP256R1()
_ES256 = ec.ECDSA(Prehashed(hashes.SHA256()))  # hashlib costs less than OpenSSL's own way
_ECDH = ec.ECDH()
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class SoftwareKey:
    """A P-256 private key in this process: signs, agrees, and carries its certificates."""

    __slots__ = ("_private", "certificates", "kid", "public")

    def __init__(
        self,
        private: ec.EllipticCurvePrivateKey,
        *,
        kid: str | None = None,
        certificates: Sequence[bytes] = (),
        public: PublicKey | None = None,
    ) -> None:
        self._private = private
        self.public = public or PublicKey.from_crypto(private.public_key())
        self.kid = kid if kid is not None else b64url_encode(self.public.thumbprint())
        self.certificates = tuple(certificates)

    def __repr__(self) -> str:
        return f"SoftwareKey(kid={self.kid!r})"

    @classmethod
    def generate(cls, *, kid: str | None = None) -> "SoftwareKey":
        """A new key; *kid* defaults to its RFC 7638 thumbprint."""
        return cls(ec.generate_private_key(_CURVE), kid=kid)

    @classmethod
    def from_scalar(cls, scalar: bytes, *, kid: str | None = None) -> "SoftwareKey":
        """From the 32 bytes of `scalar()`, big-endian.

        Raises:
            InvalidInput: not 32 bytes, or not between 1 and the order of the group.
        """
        value = int.from_bytes(scalar, "big")
        if len(scalar) != 32 or not 0 < value < _ORDER:
            raise InvalidInput("private key: not a P-256 scalar")
        return cls(ec.derive_private_key(value, _CURVE), kid=kid)

    @classmethod
    def from_pair(
        cls, scalar: bytes, public: PublicKey, *, kid: str | None = None
    ) -> "SoftwareKey":
        """As `from_scalar`, at half the price, because its *public* key lay beside it.

        Raises:
            InvalidInput: the two do not belong together.
        """
        x, y, value = (int.from_bytes(each, "big") for each in (public.x, public.y, scalar))
        point = ec.EllipticCurvePublicNumbers(x, y, _CURVE)
        try:
            private = ec.EllipticCurvePrivateNumbers(value, point).private_key()
        except ValueError as error:
            raise InvalidInput("private key: not the one of this public key") from error
        return cls(private, kid=kid, public=public)

    @classmethod
    def from_pem(
        cls,
        pem: bytes,
        *,
        password: bytes | None,
        certificates: Sequence[bytes] = (),
        kid: str | None = None,
    ) -> "SoftwareKey":
        """Read a PKCS #8 file.

        Args:
            pem: the file's content.
            password: of the encrypted file; None only for a key that is not encrypted.
            certificates: DER, leaf first, without the anchor.
            kid: as in `generate`.

        Raises:
            InvalidInput: another kind of key, a wrong password, or not PEM.

        Specification: RFC 5958.
        """
        try:
            private = load_pem_private_key(pem, password)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInput("private key: the file cannot be opened") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise InvalidInput("private key: not an elliptic curve key")
        return cls(private, kid=kid).with_certificates(certificates)

    def scalar(self) -> bytes:
        """The private scalar, 32 bytes: only to be sealed at once (WALLET_SECURITY 2)."""
        return self._private.private_numbers().private_value.to_bytes(32, "big")

    def to_pem(self, *, password: bytes) -> bytes:
        """Encrypted PKCS #8."""
        return self._private.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
        )

    def to_crypto(self) -> ec.EllipticCurvePrivateKey:
        """The `cryptography` object, for certificates this key signs."""
        return self._private

    def with_certificates(self, chain: Sequence[bytes]) -> "SoftwareKey":
        """The same key with *chain*: DER, leaf first, without the anchor (C-21)."""
        return SoftwareKey(self._private, kid=self.kid, certificates=chain)

    def sign(self, data: bytes) -> bytes:
        """ES256 over *data*: raw `r||s`, 64 bytes (C-06)."""
        return signature_from_der(self._private.sign(hashlib.sha256(data).digest(), _ES256))

    def agree(self, peer: PublicKey) -> bytes:
        """The ECDH shared secret with *peer*, 32 bytes (C-05: a `PublicKey` is on the curve)."""
        return self._private.exchange(_ECDH, peer.to_crypto())


class SoftwareHolderKeys:
    """Holder keys in this process: what opens one again is its scalar."""

    kind: ClassVar[str] = "software"
    certifiable = False

    @staticmethod
    def generate() -> tuple[SoftwareKey, bytes]:
        """A new key and its 32 bytes."""
        key = SoftwareKey.generate()
        return key, key.scalar()

    @staticmethod
    def open(material: bytes) -> SoftwareKey:
        """The key of these 32 bytes."""
        return SoftwareKey.from_scalar(material)
