"""Whom to encrypt to: choosing among published keys and `enc` values.

ECDH-ES with P-256 alone; keys that we cannot use are skipped, never an error (C-04, C-08).
Specification: RFC 7517; OpenID4VP 1.0, section 8.3; OpenID4VCI 1.0, section 10.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import JsonValue as JsonMember

from ..crypto.keys import PublicKey
from ..encoding import JsonValue
from ..errors import InvalidInput
from .messages import ProtocolModel, Several


class Jwks(ProtocolModel):
    """RFC 7517, section 5. The keys stay as received: unusable ones are skipped (C-08)."""

    keys: Several[dict[str, JsonMember]]


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """A key to encrypt to; `kid` is copied to the JWE when there is one."""

    public: PublicKey
    kid: str | None

    @classmethod
    def from_jwk(cls, jwk: object) -> Self:
        """From a JWK that must say `alg` ECDH-ES and be on P-256 (C-04).

        Raises:
            InvalidInput: another algorithm or curve, meant for signatures, or private (C-07).
        """
        public = PublicKey.from_jwk(jwk)
        if not isinstance(jwk, Mapping) or jwk.get("alg") != "ECDH-ES":
            raise InvalidInput("encryption key: alg is not ECDH-ES")
        if jwk.get("use", "enc") != "enc":
            raise InvalidInput("encryption key: not meant for encryption")
        kid = jwk.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise InvalidInput("encryption key: kid is not a string")
        return cls(public, kid)

    def to_jwk(self) -> dict[str, JsonValue]:
        """The public JWK as published: with `use`, `alg` and `kid` (V-21)."""
        named = {} if self.kid is None else {"kid": self.kid}
        return {**self.public.to_jwk(), "use": "enc", "alg": "ECDH-ES", **named}


def choose_encryption_key(jwks: Jwks) -> EncryptionKey:
    """The first usable key; those of unknown kind or for another use are skipped (C-08, W-61).

    Raises:
        InvalidInput: none is usable.
    """
    for jwk in jwks.keys:
        try:
            return EncryptionKey.from_jwk(jwk)
        except InvalidInput:
            continue
    raise InvalidInput("JWKS: no usable encryption key")


def choose_enc(offered: Iterable[str]) -> str:
    """The `enc` to use of those *offered*: A256GCM before A128GCM (C-04, W-61).

    Raises:
        InvalidInput: neither is offered.
    """
    values = set(offered)
    for enc in ("A256GCM", "A128GCM"):
        if enc in values:
            return enc
    raise InvalidInput("encryption: no common enc value")
