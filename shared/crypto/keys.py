"""Public keys and the two things private keys do: sign and agree.

P-256 alone (C-01). A private key is always behind `Signer` or `Decrypter`, so that a file, an HSM
or a KMS can stand there. Specification: RFC 7517, RFC 7518 section 6.2, RFC 7638.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from ..encoding import JsonValue, b64url_decode, b64url_encode
from ..errors import BadSignature, InvalidInput

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_ES256 = ec.ECDSA(Prehashed(hashes.SHA256()))  # hashlib costs less than OpenSSL's own way


@lru_cache(maxsize=1024)
def _on_curve(x: bytes, y: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
    except ValueError as error:
        raise InvalidInput("public key: the point is not on P-256") from error


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A point on P-256: *x* and *y* are 32 bytes each, big-endian. Equal by value, hashable."""

    x: bytes
    y: bytes

    @classmethod
    def from_jwk(cls, jwk: object) -> "PublicKey":
        """Read a public JWK; members beyond `kty,crv,x,y` are neither needed nor minded (C-08).

        Raises:
            InvalidInput: not a P-256 JWK, not on the curve, or it carries private members (C-07).
        """
        if not isinstance(jwk, dict):
            raise InvalidInput("JWK: not an object")
        if not _PRIVATE_MEMBERS.isdisjoint(jwk):
            raise InvalidInput("JWK: carries private members")
        if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
            raise InvalidInput("JWK: not a P-256 key")
        x, y = jwk.get("x"), jwk.get("y")
        if not isinstance(x, str) or not isinstance(y, str):
            raise InvalidInput("JWK: coordinates missing")
        return _from_text(x, y)

    @classmethod
    def from_coordinates(cls, x: bytes, y: bytes) -> "PublicKey":
        """From two 32-byte coordinates; raises InvalidInput if the point is not on the curve."""
        return _from_coordinates(x, y)

    @classmethod
    def from_crypto(cls, key: ec.EllipticCurvePublicKey) -> "PublicKey":
        """From the `cryptography` object; raises InvalidInput on another curve."""
        if not isinstance(key.curve, ec.SECP256R1):
            raise InvalidInput("public key: not on P-256")
        numbers = key.public_numbers()
        return cls(numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))

    def to_crypto(self) -> ec.EllipticCurvePublicKey:
        """The `cryptography` object (cached by value)."""
        return _on_curve(self.x, self.y)

    def to_jwk(self) -> dict[str, JsonValue]:
        """The JWK with its required members only."""
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": b64url_encode(self.x),
            "y": b64url_encode(self.y),
        }

    def thumbprint(self) -> bytes:
        """RFC 7638, SHA-256: 32 bytes."""
        x, y = b64url_encode(self.x), b64url_encode(self.y)
        return hashlib.sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest()

    def verify(self, signature: bytes, data: bytes) -> None:
        """ES256 over *data*; *signature* is raw `r||s`, 64 bytes, never DER (C-06).

        Raises:
            BadSignature: it does not verify.
        """
        if len(signature) != 64:
            raise BadSignature("signature: not 64 bytes")
        try:
            _on_curve(self.x, self.y).verify(
                signature_to_der(signature), hashlib.sha256(data).digest(), _ES256
            )
        except InvalidSignature as error:
            raise BadSignature("signature: does not verify") from error


@lru_cache(maxsize=1024)
def _from_coordinates(x: bytes, y: bytes) -> PublicKey:
    if len(x) != 32 or len(y) != 32:
        raise InvalidInput("public key: a coordinate is not 32 bytes")
    _on_curve(x, y)
    return PublicKey(x, y)


@lru_cache(maxsize=1024)
def _from_text(x: str, y: str) -> PublicKey:
    return PublicKey.from_coordinates(b64url_decode(x), b64url_decode(y))


# Of two integers without leading zeros, by the highest bit of the first and of the second.
_DER = (
    (b"0D\x02 %b\x02 %b", b"0E\x02 %b\x02!\0%b"),
    (b"0E\x02!\0%b\x02 %b", b"0F\x02!\0%b\x02!\0%b"),
)


def signature_to_der(signature: bytes) -> bytes:
    """`r||s`, 64 bytes, as the DER that OpenSSL reads (RFC 3279, section 2.2.3).

    By hand, as the way back: two integers of 32 bytes are short work, and this is every signature.
    """
    if signature[0] and signature[32]:  # as 65 in 66 are: no zeros to take away
        return _DER[signature[0] >> 7][signature[32] >> 7] % (signature[:32], signature[32:])
    r = signature[:32].lstrip(b"\0") or b"\0"
    s = signature[32:].lstrip(b"\0") or b"\0"
    if r[0] & 0x80:
        r = b"\0" + r
    if s[0] & 0x80:
        s = b"\0" + s
    return b"0%c\x02%c%b\x02%c%b" % (len(r) + len(s) + 4, len(r), r, len(s), s)


def signature_from_der(der: bytes) -> bytes:
    """The DER that OpenSSL wrote for P-256 as `r||s`, 64 bytes."""
    end = 4 + der[3]
    return der[4:end][-32:].rjust(32, b"\0") + der[end + 2 :][-32:].rjust(32, b"\0")


class Signer(Protocol):
    """A private key with one purpose (C-10)."""

    @property
    def kid(self) -> str:
        """Its name, unique among the keys of its owner (C-11)."""
        ...

    @property
    def public(self) -> PublicKey:
        """The key its signatures verify with."""
        ...

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """DER, leaf first, without the anchor (C-21); empty if the key is known otherwise."""
        ...

    def sign(self, data: bytes) -> bytes:
        """ES256: the raw `r||s` signature, 64 bytes."""
        ...


class ServiceKey(Signer, Protocol):
    """A `Signer` whose certificates can be exchanged: what a key directory opens."""

    def with_certificates(self, chain: Sequence[bytes]) -> "ServiceKey":
        """The same key with *chain*: DER, leaf first, without the anchor (C-21)."""
        ...


class Decrypter(Protocol):
    """A private key for ECDH-ES."""

    @property
    def kid(self) -> str:
        """Its name, as published in the JWK Set."""
        ...

    @property
    def public(self) -> PublicKey:
        """The key to encrypt to."""
        ...

    def agree(self, peer: PublicKey) -> bytes:
        """The ECDH shared secret Z, 32 bytes."""
        ...


class HolderKeys(Protocol):
    """A store that makes holder keys and lets them out only sealed by the caller (WALLET_SECURITY).

    What `generate` gives beside the key is secret: the scalar itself, or the key wrapped by an HSM.
    *kind* names the store in attestations; *certifiable* whether a level may be said of it.
    """

    kind: ClassVar[str]

    @property
    def certifiable(self) -> bool:
        """False for anything in software."""
        ...

    def generate(self) -> tuple[Signer, bytes]:
        """A new key for the length of one request, and what opens it again."""
        ...

    def open(self, material: bytes) -> Signer:
        """The key in what `generate` gave; raises InvalidInput if it was made elsewhere."""
        ...
