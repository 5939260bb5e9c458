"""Wallet Attestation: attestation-based client authentication (draft -07).

The wallet provider attests the client instance key (`cnf`); the client shows that it holds that key
with a PoP JWT made for one authorization server. OpenID4VCI 1.0, appendix E; PROFILE I-28 to I-32,
W-22, W-23.
Later drafts dropped `iss`: its absence is tolerated, its presence checked (N-50).
Whoever verifies records `use` once and evaluates `status`; both need more than this module has.
"""

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..crypto.keys import PublicKey, Signer
from ..crypto.x509 import Profile, VerifiedChain
from ..encoding import JsonValue, RandomBytes, b64url_encode, from_numeric_date, to_numeric_date
from ..errors import InvalidInput, VerificationError, WrongAudience, WrongNonce
from ..jose import jws
from .errors import InvalidClient, UseAttestationChallenge, UseFreshAttestation
from .messages import NonceSource

HEADER = "OAuth-Client-Attestation"
POP_HEADER = "OAuth-Client-Attestation-PoP"
TYP = "oauth-client-attestation+jwt"
POP_TYP = "oauth-client-attestation-pop+jwt"
AUTH_METHOD = "attest_jwt_client_auth"
POP_WINDOW = timedelta(seconds=120)  # C-41
_LEEWAY = timedelta(seconds=30)  # C-40
_FUTURE = timedelta(seconds=60)  # C-40
_MAX_BYTES = 16 * 1024
_MAX_JTI = 256
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class ClientAttestation:
    """An authenticated client. `use` is the hash under which the PoP is recorded once.

    `status` is the claim as it came; `chain` says which wallet provider vouches. `wallet_name` is
    for people.
    """

    client_id: str
    key: PublicKey
    chain: VerifiedChain
    expires_at: datetime
    issued_at: datetime | None
    status: JsonValue
    wallet_name: str | None
    use: bytes


def make_attestation(
    *,
    signer: Signer,
    client_id: str,
    key: PublicKey,
    now: datetime,
    lifetime: timedelta,
    issuer: str | None = None,
    wallet_name: str | None = None,
    wallet_version: str | None = None,
    wallet_link: str | None = None,
    certification: str | None = None,
    status: JsonValue = None,
    client_status: JsonValue = None,
) -> str:
    """Attest *key* as an instance of the wallet *client_id*, as wallet provider.

    Args:
        signer: the wallet provider's key with its certificates.
        client_id: the wallet type, the same for all instances (W-22).
        key: the client instance key.
        now: becomes `iat`.
        lifetime: under 24 hours (E-03).
        issuer: becomes `iss`, if said.
        wallet_name: for people, of the wallet solution.
        wallet_version: of the same.
        wallet_link: where more about it stands.
        certification: where it stands who certified the wallet solution, and for what.
        status: the claim, if the attestation can be revoked.
        client_status: the same with the time until which it is maintained (E-03).

    Specification: ABCA, section 5.1; OpenID4VCI 1.0, appendix E; HAIP 4.4.1; TS3 2.3.1.
    """
    claims: dict[str, JsonValue] = {
        "sub": client_id,
        "iat": to_numeric_date(now),
        "exp": to_numeric_date(now + lifetime),
        "cnf": {"jwk": key.to_jwk()},
    }
    optional = {
        "iss": issuer,
        "wallet_name": wallet_name,
        "wallet_version": wallet_version,
        "wallet_link": wallet_link,
        "wallet_solution_certification_information": certification,
        "status": status,
        "client_status": client_status,
    }
    claims |= {name: value for name, value in optional.items() if value is not None}
    return jws.sign_jwt(claims, typ=TYP, signer=signer)


def make_pop(
    *,
    signer: Signer,
    client_id: str,
    audience: str,
    now: datetime,
    challenge: str | None = None,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> str:
    """Prove possession of the attested key to the authorization server *audience*.

    Args:
        signer: the client instance key.
        client_id: `sub` of the attestation.
        audience: the issuer identifier of the authorization server, not an endpoint.
        now: becomes `iat`.
        random_bytes: for `jti`.
        challenge: of its challenge endpoint or header; required once it publishes one (W-23).

    Specification: ABCA, section 5.2.
    """
    claims: dict[str, JsonValue] = {
        "iss": client_id,
        "aud": audience,
        "jti": b64url_encode(random_bytes(32)),
        "iat": to_numeric_date(now),
        "exp": to_numeric_date(now + POP_WINDOW),  # earlier drafts demand it
    }
    if challenge is not None:
        claims["challenge"] = challenge
    return jws.sign_jwt(claims, typ=POP_TYP, signer=signer)


def verify(
    attestations: Sequence[str],
    pops: Sequence[str],
    *,
    audience: str,
    client_id: str | None,
    anchors: Collection[bytes],
    now: datetime,
    challenges: NonceSource | None,
    revoked: Collection[str] = frozenset(),
    pinned: Collection[bytes] = frozenset(),
    max_age: timedelta | None = None,
    window: timedelta = POP_WINDOW,
) -> ClientAttestation:
    """Authenticate the client of one request.

    Args:
        attestations: every value of `OAuth-Client-Attestation`, as received.
        pops: every value of `OAuth-Client-Attestation-PoP`.
        audience: our issuer identifier.
        client_id: the `client_id` parameter of the request, None if it has none.
        anchors: of wallet providers.
        now: aware.
        revoked: thumbprints of revoked certificates.
        pinned: leaves that are believed without a path.
        window: how old a PoP may be.
        challenges: what we demand as `challenge`, None for nothing.
        max_age: after which an attestation is no longer fresh, None for any age.

    Raises:
        InvalidClient: any fault; the log's text says which.
        UseAttestationChallenge: the challenge is missing, unknown or expired.
        UseFreshAttestation: older than *max_age*.

    Specification: ABCA, section 9; HAIP 4.4.1; PROFILE I-28 to I-32.
    """
    try:
        # 1. Each header is there exactly once (I-29).
        if len(attestations) != 1 or len(pops) != 1:
            raise InvalidInput("not exactly one of each header")
        # 2. The attestation: typ, alg, x5c to a wallet provider's anchor, signature (I-30).
        attested = jws.verify_x5c_jwt(
            jws.parse_jws(attestations[0], max_bytes=_MAX_BYTES),
            typ=TYP,
            algorithms=("ES256",),
            anchors=anchors,
            profile=Profile.WALLET_PROVIDER,
            now=now,
            revoked=revoked,
            pinned=pinned,
        )
        # 3. exp is there and not passed; nbf and iat are not ahead.
        jws.check_times(attested.claims, now=now, leeway=_LEEWAY, require=("exp",))
        # 4. sub names the client; cnf holds its public key.
        subject = attested.claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_NAME:
            raise InvalidInput("attestation: sub is missing or too long")
        cnf = attested.claims.get("cnf")
        key = PublicKey.from_jwk(cnf.get("jwk") if isinstance(cnf, dict) else None)
        # 5. The PoP: typ, alg, signature by that key, times, audience (I-31).
        pop = _verified_pop(
            pops[0], key=key, subject=subject, audience=audience, now=now, window=window
        )
        # 6. client_id of the request is sub (I-32).
        if client_id is not None and client_id != subject:
            raise InvalidInput("client_id is not sub")
    except (InvalidInput, VerificationError) as error:
        raise InvalidClient(f"client attestation: {error}") from error
    # 7. The challenge is one of ours and fresh.
    if challenges is not None:
        _check_challenge(pop.get("challenge"), challenges)
    # 8. The attestation is young enough.
    issued_at = _optional_time(attested.claims.get("iat"))
    if max_age is not None and (issued_at is None or now - issued_at > max_age):
        raise UseFreshAttestation("client attestation: older than the policy allows")
    use = hashlib.sha256(key.thumbprint() + str(pop["jti"]).encode()).digest()
    name = attested.claims.get("wallet_name")
    return ClientAttestation(
        client_id=subject,
        key=key,
        chain=attested.chain,
        expires_at=from_numeric_date(attested.claims["exp"]),
        issued_at=issued_at,
        status=attested.claims.get("status"),
        wallet_name=name if isinstance(name, str) and 0 < len(name) <= _MAX_NAME else None,
        use=use,
    )


def _verified_pop(
    text: str, *, key: PublicKey, subject: str, audience: str, now: datetime, window: timedelta
) -> dict[str, JsonValue]:
    unverified = jws.parse_jws(text, max_bytes=_MAX_BYTES)
    claims = dict(jws.verify_jwt(unverified, key=key, typ=POP_TYP, algorithms=("ES256",)).claims)
    if claims.get("iss", subject) != subject:
        raise InvalidInput("PoP: iss is not the attested client")
    if claims.get("aud") != audience:
        raise WrongAudience("PoP: aud is not this authorization server as one string")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= _MAX_JTI:
        raise InvalidInput("PoP: jti is missing or malformed")
    jws.check_freshness(claims, now=now, past=window, future=_FUTURE)
    return claims


def _check_challenge(value: JsonValue, challenges: NonceSource) -> None:
    try:
        if not isinstance(value, str):
            raise InvalidInput("no challenge")
        challenges.check(value)
    except (InvalidInput, WrongNonce) as error:
        raise UseAttestationChallenge(f"PoP: {error}", fresh=challenges.fresh()) from error


def _optional_time(value: JsonValue) -> datetime | None:
    return None if value is None else from_numeric_date(value)
