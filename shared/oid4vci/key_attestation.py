"""Key Attestation: a wallet provider vouches for holder keys (OpenID4VCI 1.0, appendix D).

Lines I-69 and W-33. The status of an attestation is the caller's to evaluate.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ..crypto.keys import PublicKey, Signer
from ..crypto.x509 import Profile, VerifiedChain
from ..encoding import JsonValue, from_numeric_date, to_numeric_date
from ..errors import InvalidInput
from ..jose import jws
from .metadata import KeyAttestationsRequired

TYP = "key-attestation+jwt"
MAX_BYTES = 64 * 1024
Level = Literal[
    "iso_18045_high", "iso_18045_moderate", "iso_18045_enhanced-basic", "iso_18045_basic"
]
_LEEWAY = timedelta(seconds=30)  # C-40


@dataclass(frozen=True, slots=True)
class KeyAttestation:
    """What the wallet provider of *chain* says about *keys*; `status` is the claim as it came."""

    keys: tuple[PublicKey, ...]
    kids: tuple[str | None, ...]
    nonce: str | None
    expires_at: datetime | None
    key_storage: tuple[str, ...]
    user_authentication: tuple[str, ...]
    status: JsonValue
    chain: VerifiedChain

    def named(self, kid: object) -> PublicKey:
        """The attested key that *kid* names, by its own `kid` or by its decimal index (I-69).

        Raises:
            InvalidInput: none or several.
        """
        hits = [key for key, name in zip(self.keys, self.kids, strict=True) if name == kid]
        if len(hits) == 1 and isinstance(kid, str):
            return hits[0]
        indexes = {str(index): key for index, key in enumerate(self.keys)}
        if not hits and isinstance(kid, str) and kid in indexes:
            return indexes[kid]
        raise InvalidInput("kid names no attested key")


def make(
    *,
    signer: Signer,
    keys: Sequence[PublicKey],
    nonce: str | None,
    now: datetime,
    lifetime: timedelta,
    key_storage: Sequence[Level] = (),
    user_authentication: Sequence[Level] = (),
    certification: str | None = None,
    status: JsonValue = None,
    key_storage_status: JsonValue = None,
) -> str:
    """Attest *keys* as wallet provider.

    Args:
        signer: the key-attestation key with its certificates.
        keys: what it attests, of one key storage.
        nonce: the c_nonce of the issuer it is for (W-33).
        now: becomes `iat`.
        lifetime: gives `exp`.
        key_storage: the resistance that is true of all *keys*.
        user_authentication: likewise of the ways to use them.
        certification: where the certification of the key storage stands.
        status: the claim, if the attestation can be revoked.
        key_storage_status: the status of the key storage and until when it is maintained (E-03).

    Specification: OpenID4VCI 1.0, appendix D.1; HAIP 4.5.1.
    """
    claims: dict[str, JsonValue] = {
        "iat": to_numeric_date(now),
        "exp": to_numeric_date(now + lifetime),
        "attested_keys": [key.to_jwk() for key in keys],
    }
    if key_storage:
        claims["key_storage"] = list(key_storage)
    if user_authentication:
        claims["user_authentication"] = list(user_authentication)
    if certification is not None:
        claims["certification"] = certification
    if nonce is not None:
        claims["nonce"] = nonce
    if status is not None:
        claims["status"] = status
    if key_storage_status is not None:
        claims["key_storage_status"] = key_storage_status
    return jws.sign_jwt(claims, typ=TYP, signer=signer)


def verify(
    token: str,
    *,
    anchors: Collection[bytes],
    algorithms: Collection[str],
    now: datetime,
    revoked: Collection[str] = frozenset(),
    pinned: Collection[bytes] = frozenset(),
) -> KeyAttestation:
    """A key attestation by a wallet provider we trust.

    Raises:
        InvalidInput, VerificationError: malformed, untrusted or out of time.

    Specification: OpenID4VCI 1.0, appendix D.1; HAIP 4.5.1; PROFILE I-69.
    """
    jwt = jws.verify_x5c_jwt(
        jws.parse_jws(token, max_bytes=MAX_BYTES),
        typ=TYP,
        algorithms=algorithms,
        anchors=anchors,
        profile=Profile.WALLET_PROVIDER,
        now=now,
        revoked=revoked,
        pinned=pinned,
    )
    claims = jwt.claims
    jws.check_times(claims, now=now, leeway=_LEEWAY, require=("iat",))
    jwks = claims.get("attested_keys")
    if not isinstance(jwks, list) or not jwks:
        raise InvalidInput("key attestation: attested_keys is missing or empty")
    keys = tuple(PublicKey.from_jwk(jwk) for jwk in jwks)
    if len(set(keys)) != len(keys):
        raise InvalidInput("key attestation: a key is attested twice")
    nonce = claims.get("nonce")
    if nonce is not None and not isinstance(nonce, str):
        raise InvalidInput("key attestation: nonce is not a string")
    exp = claims.get("exp")
    return KeyAttestation(
        keys=keys,
        kids=tuple(kid if isinstance(kid := jwk.get("kid"), str) else None for jwk in jwks),
        nonce=nonce,
        expires_at=None if exp is None else from_numeric_date(exp),
        key_storage=_strings(claims.get("key_storage")),
        user_authentication=_strings(claims.get("user_authentication")),
        status=claims.get("status"),
        chain=jwt.chain,
    )


def check_levels(attestation: KeyAttestation, required: KeyAttestationsRequired | None) -> None:
    """The attestation names at least one accepted value where values are required.

    Raises:
        InvalidInput: it does not.

    Specification: OpenID4VCI 1.0, section 12.2.4 and appendix D.2; PROFILE I-69.
    """
    if required is None:
        return
    for stated, accepted in (
        (attestation.key_storage, required.key_storage),
        (attestation.user_authentication, required.user_authentication),
    ):
        if accepted is not None and set(stated).isdisjoint(accepted):
            raise InvalidInput("key attestation: not the resistance that is required")


def _strings(value: JsonValue) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise InvalidInput("key attestation: not a non-empty array of strings")
    return tuple(value)
