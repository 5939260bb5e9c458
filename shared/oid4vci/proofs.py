"""Key proofs (OpenID4VCI 1.0, appendix F; PROFILE I-67 to I-70, W-32, W-33).

`verify` answers one question: which public keys are proven for this request? Nonces come back as
the hashes under which their use is recorded, once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from ..crypto.keys import PublicKey, Signer
from ..crypto.x509 import parse_x5c
from ..encoding import JsonValue, to_numeric_date
from ..errors import InvalidInput, VerificationError, WrongAudience, WrongNonce
from ..jose import jws
from . import key_attestation
from .errors import InvalidCredentialRequest, InvalidNonce, InvalidProof
from .key_attestation import KeyAttestation
from .messages import Proofs
from .metadata import ProofType

TYP = "openid4vci-proof+jwt"
WINDOW = timedelta(seconds=300)  # C-41
_FUTURE = timedelta(seconds=60)  # C-40
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Proven:
    """What the proofs of one request prove.

    Attributes:
        keys: distinct, at most one credential each.
        nonce_uses: what `check_nonce` returned for each distinct nonce; all become used.
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
        signer: that key.
        audience: the Credential Issuer Identifier, not an endpoint.
        nonce: the c_nonce.
        now: becomes `iat`.
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
        proofs: of the request, None if it has none.
        audience: our Credential Issuer Identifier.
        client_id: of the access token, None if it was obtained anonymously.
        check_nonce: returns the hash under which the use of a c_nonce is recorded, or raises
            `WrongNonce`.
        accept: `proof_types_supported` of the configuration, None if it is not bound to keys.
        max_keys: the batch size.
        anchors: of wallet providers, for key attestations.
        now: aware.
        revoked: thumbprints of revoked certificates.
        pinned: leaves that are believed without a path.

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
        # 1. One well-formed JWT; its key attestation, if any, is good, with exp and nonce (I-69).
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
        if claims.get("aud") != self.audience:
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
        attestation = key_attestation.verify(
            token,
            anchors=self.anchors,
            algorithms=_algorithms(accept),
            now=self.now,
            revoked=self.revoked,
            pinned=self.pinned,
        )
        key_attestation.check_levels(attestation, accept.key_attestations_required)
        return attestation

    def _use(self, nonce: str) -> bytes:
        try:
            return self.check_nonce(nonce)
        except (InvalidInput, WrongNonce) as error:
            raise InvalidNonce(f"proof: {error}") from error


def _algorithms(accept: ProofType) -> tuple[str, ...]:
    return tuple(alg for alg in ("ES256",) if alg in accept.proof_signing_alg_values_supported)


def _header_key(header: Mapping[str, JsonValue], attestation: KeyAttestation | None) -> PublicKey:
    if sum(name in header for name in ("jwk", "x5c", "kid")) != 1:
        raise InvalidInput("not exactly one of jwk, x5c and kid")
    if "jwk" in header:
        return PublicKey.from_jwk(header["jwk"])
    if "x5c" in header:
        return _certified_key(parse_x5c(header["x5c"])[0])
    if attestation is None:
        raise InvalidInput("kid without a key attestation")
    return attestation.named(header["kid"])


def _certified_key(leaf: bytes) -> PublicKey:
    """The key in a certificate. Nothing is believed of it but that the proof is signed with it."""
    try:
        public = x509.load_der_x509_certificate(leaf).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput("x5c: the leaf has no readable key") from error
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise InvalidInput("x5c: the leaf's key is not on P-256")
    return PublicKey.from_crypto(public)
