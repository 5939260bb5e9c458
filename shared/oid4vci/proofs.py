"""Key proofs and key attestations (OpenID4VCI 1.0, appendices D and F; PROFILE I-67 to I-70, W-32, W-33).

`verify` answers one question: which public keys are proven for this request? Nonces come back as the
hashes under which their use is recorded; the status of a key attestation is the caller's to evaluate.
"""

import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cryptography import x509

from ..crypto.keys import PublicKey, Signer
from ..crypto.x509 import Profile, VerifiedChain, parse_x5c
from ..encoding import JsonValue, from_numeric_date, to_numeric_date
from ..errors import InvalidInput, VerificationError, WrongAudience, WrongNonce
from ..jose import jws
from .errors import InvalidCredentialRequest, InvalidNonce, InvalidProof
from .messages import Proofs
from .metadata import KeyAttestationsRequired, ProofType

TYP = "openid4vci-proof+jwt"
ATTESTATION_TYP = "key-attestation+jwt"
WINDOW = timedelta(seconds=300)  # C-41
Level = Literal[
    "iso_18045_high", "iso_18045_moderate", "iso_18045_enhanced-basic", "iso_18045_basic"
]
_FUTURE = timedelta(seconds=60)  # C-40
_LEEWAY = timedelta(seconds=30)  # C-40
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class KeyAttestation:
    """A verified key attestation: what *chain* says about *keys*. `status` is the claim as it came."""

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


@dataclass(frozen=True, slots=True)
class Proven:
    """What the proofs of one request prove.

    Attributes:
        keys: distinct, at most one credential each.
        nonce_uses: what `check_nonce` returned for each distinct nonce: to be recorded as used, all.
        attestations: the key attestations that came along.
    """

    keys: tuple[PublicKey, ...]
    nonce_uses: tuple[bytes, ...]
    attestations: tuple[KeyAttestation, ...]


def make_jwt_proof(
    *,
    signer: Signer,
    audience: str,
    nonce: str,
    now: datetime,
    client_id: str | None = None,
    key_attestation: str | None = None,
) -> str:
    """Prove possession of the key that a credential shall be bound to.

    Args:
        audience: the Credential Issuer Identifier, not an endpoint.
        client_id: as `iss`; None for anonymous pre-authorized access.
        key_attestation: a JWT that attests this key.

    Specification: OpenID4VCI 1.0, appendix F.1; PROFILE W-32, W-33.
    """
    header: dict[str, JsonValue] = {"jwk": signer.public.to_jwk()}
    if key_attestation is not None:
        header["key_attestation"] = key_attestation
    claims: dict[str, JsonValue] = {
        "aud": audience,
        "iat": to_numeric_date(now),
        "nonce": nonce,
    }
    if client_id is not None:
        claims["iss"] = client_id
    return jws.sign_jwt(claims, typ=TYP, signer=signer, header=header)


def make_key_attestation(
    *,
    signer: Signer,
    keys: Sequence[PublicKey],
    nonce: str | None,
    now: datetime,
    lifetime: timedelta,
    key_storage: Sequence[Level] = (),
    user_authentication: Sequence[Level] = (),
    status: JsonValue = None,
) -> str:
    """Attest *keys* as wallet provider.

    Args:
        signer: the key-attestation key with its certificates.
        nonce: the c_nonce of the issuer it is for (W-33).
        key_storage, user_authentication: what is true of all *keys*.

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
    if nonce is not None:
        claims["nonce"] = nonce
    if status is not None:
        claims["status"] = status
    return jws.sign_jwt(claims, typ=ATTESTATION_TYP, signer=signer)


def verify_key_attestation(
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
        jws.parse_jws(token, max_bytes=_MAX_BYTES),
        typ=ATTESTATION_TYP,
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


def verify(
    proofs: Proofs | None,
    *,
    audience: str,
    client_id: str | None,
    check_nonce: Callable[[str], bytes],
    accept: Mapping[str, ProofType] | None,
    max_keys: int,
    anchors: Collection[bytes],
    now: datetime,
    revoked: Collection[str] = frozenset(),
    pinned: Collection[bytes] = frozenset(),
) -> Proven:
    """The keys that a credential request proves; any failing proof fails the request.

    Args:
        audience: our Credential Issuer Identifier.
        client_id: of the access token, None if it was obtained anonymously.
        check_nonce: returns the hash under which the use of a c_nonce is recorded; raises `WrongNonce`.
        accept: `proof_types_supported` of the configuration, None if it is not bound to keys.
        max_keys: the batch size.
        anchors: of wallet providers, for key attestations.

    Raises:
        InvalidProof: missing though required, or one of them is not good.
        InvalidNonce: a nonce is there but wrong, expired or of another service.
        InvalidCredentialRequest: more keys than the batch size.

    Specification: OpenID4VCI 1.0, section 8.2 and appendix F.4; PROFILE I-67 to I-70.
    """
    if accept is None:
        return Proven((), (), ())
    if proofs is None:
        raise InvalidProof("proofs: missing")
    verifier = _Verifier(audience, client_id, check_nonce, anchors, now, revoked, pinned)
    if proofs.jwt is not None and "jwt" in accept:
        if len(proofs.jwt) > max_keys:
            raise InvalidCredentialRequest("proofs: more than the batch size")
        proven = verifier.jwt_proofs(proofs.jwt, accept["jwt"])
    elif proofs.attestation is not None and "attestation" in accept:
        proven = verifier.attestation_proof(proofs.attestation[0], accept["attestation"])
    else:
        raise InvalidProof("proofs: of a type that the configuration does not list")
    if len(proven.keys) > max_keys:
        raise InvalidCredentialRequest("proofs: more keys than the batch size")
    return proven


@dataclass(frozen=True, slots=True)
class _Verifier:
    audience: str
    client_id: str | None
    check_nonce: Callable[[str], bytes]
    anchors: Collection[bytes]
    now: datetime
    revoked: Collection[str]
    pinned: Collection[bytes]

    def jwt_proofs(self, tokens: Sequence[str], accept: ProofType) -> Proven:
        proven: list[PublicKey] = []
        keys: dict[PublicKey, None] = {}
        attestations: list[KeyAttestation] = []
        nonces: dict[str, bytes] = {}
        for token in tokens:
            try:
                key, nonce, attestation = self._jwt_proof(token, accept)
            except (InvalidInput, VerificationError) as error:
                raise InvalidProof(f"proof: {error}") from error
            for value in (nonce, attestation.nonce if attestation else None):
                if value is not None and value not in nonces:
                    nonces[value] = self._use(value)
            proven.append(key)
            if attestation is not None:
                attestations.append(attestation)
            keys.update(dict.fromkeys(attestation.keys if attestation else (key,)))
        if len(set(proven)) != len(proven):
            raise InvalidProof("proofs: a key is proven twice")  # I-70
        return Proven(tuple(keys), tuple(nonces.values()), tuple(attestations))

    def attestation_proof(self, token: str, accept: ProofType) -> Proven:
        try:
            attestation = self._attestation(token, accept)
            if attestation.nonce is None:
                raise InvalidInput("key attestation: nonce is missing")
        except (InvalidInput, VerificationError) as error:
            raise InvalidProof(f"proof: {error}") from error
        return Proven(attestation.keys, (self._use(attestation.nonce),), (attestation,))

    def _jwt_proof(
        self, token: str, accept: ProofType
    ) -> tuple[PublicKey, str, KeyAttestation | None]:
        # 1. One well-formed JWT; its key attestation, if any, is good and has exp and a nonce (I-69).
        unverified = jws.parse_jws(token, max_bytes=_MAX_BYTES)
        attestation = self._header_attestation(unverified.header, accept)
        # 2. The key is in the header by exactly one of jwk, x5c and kid, without private parts.
        key = _header_key(unverified.header, attestation)
        # 3. typ, alg and the signature by that key.
        claims = jws.verify_jwt(unverified, key=key, typ=TYP, algorithms=_algorithms(accept)).claims
        # 4. The key is attested, where a key attestation came along.
        if attestation is not None and key not in attestation.keys:
            raise InvalidInput("the proof key is not attested")
        # 5. aud is this issuer, as one string.
        aud = claims.get("aud")
        if not isinstance(aud, str) or not hmac.compare_digest(
            aud.encode(), self.audience.encode()
        ):
            raise WrongAudience("aud is not this issuer")
        # 6. iss, if there, is the client; there is none in anonymous access.
        if "iss" in claims and (self.client_id is None or claims["iss"] != self.client_id):
            raise InvalidInput("iss is not the client")
        # 7. iat is inside the window.
        jws.check_freshness(claims, now=self.now, past=WINDOW, future=_FUTURE)
        # 8. The nonce is there; whether it is good is said with its own code.
        nonce = claims.get("nonce")
        if not isinstance(nonce, str):
            raise InvalidInput("nonce is missing")
        return key, nonce, attestation

    def _header_attestation(
        self, header: Mapping[str, JsonValue], accept: ProofType
    ) -> KeyAttestation | None:
        token = header.get("key_attestation")
        if token is None:
            if accept.key_attestations_required is not None:
                raise InvalidInput("key attestation: missing though required")
            return None
        if not isinstance(token, str):
            raise InvalidInput("key attestation: not a string")
        attestation = self._attestation(token, accept)
        if attestation.expires_at is None or attestation.nonce is None:
            raise InvalidInput("key attestation: exp or nonce is missing")
        return attestation

    def _attestation(self, token: str, accept: ProofType) -> KeyAttestation:
        attestation = verify_key_attestation(
            token,
            anchors=self.anchors,
            algorithms=_algorithms(accept),
            now=self.now,
            revoked=self.revoked,
            pinned=self.pinned,
        )
        check_levels(attestation, accept.key_attestations_required)
        return attestation

    def _use(self, nonce: str) -> bytes:
        try:
            return self.check_nonce(nonce)
        except (InvalidInput, WrongNonce) as error:
            raise InvalidNonce(f"proof: {error}") from error


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


def _algorithms(accept: ProofType) -> tuple[str, ...]:
    return tuple(alg for alg in ("ES256",) if alg in accept.proof_signing_alg_values_supported)


def _header_key(header: Mapping[str, JsonValue], attestation: KeyAttestation | None) -> PublicKey:
    if sum(name in header for name in ("jwk", "x5c", "kid")) != 1:
        raise InvalidInput("not exactly one of jwk, x5c and kid")
    if "jwk" in header:
        return PublicKey.from_jwk(header["jwk"])
    if "x5c" in header:
        leaf = x509.load_der_x509_certificate(parse_x5c(header["x5c"])[0])
        return PublicKey.from_crypto(leaf.public_key())
    if attestation is None:
        raise InvalidInput("kid without a key attestation")
    return attestation.named(header["kid"])


def _strings(value: JsonValue) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise InvalidInput("key attestation: not a non-empty array of strings")
    return tuple(value)
