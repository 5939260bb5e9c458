"""Which wallet is asking: client authentication by Wallet Attestation, its status included.

Wallet providers come from the trust list alone. A revoked attestation is refused; while its status
list cannot be had, nobody knows, so the wallet is asked to come again. ABCA, sections 6 to 9;
OpenID4VCI 1.0, appendix E; HAIP 4.4.1; PROFILE I-26 to I-32.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from shared.errors import InvalidInput, VerificationError
from shared.oauth import attestation, dpop
from shared.oauth.attestation import ClientAttestation
from shared.oauth.dpop import DpopProof
from shared.oauth.errors import (
    InvalidClient,
    InvalidDpopProof,
    UseAttestationChallenge,
    UseDpopNonce,
)
from shared.trust import Role

from .access import Headers, use_once
from .context import Issuer, Tenant
from .provider_status import check_status

_POP_KEPT = 2 * attestation.POP_WINDOW


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a token request: the wallet, and the DPoP key it proved.

    Attributes:
        attested: None for a wallet that proves nothing about itself, where that is accepted.
        client_id: as attested, or as it says.
    """

    attested: ClientAttestation | None
    client_id: str | None
    proof: DpopProof
    now: datetime


def caller(
    issuer: Issuer, tenant: Tenant, headers: Headers, client_id: str | None, *, endpoint: str
) -> Caller:
    """Who calls *endpoint*, authenticated and with a DPoP proof.

    Raises:
        ProtocolError: as `authenticate` and `proof_of_possession`.
    """
    now = issuer.clock()
    attested = authenticate(issuer, tenant, headers, client_id, now)
    proof = proof_of_possession(issuer, tenant, headers, endpoint=endpoint, now=now)
    return Caller(attested, client_id if attested is None else attested.client_id, proof, now)


def authenticate(
    issuer: Issuer, tenant: Tenant, headers: Headers, client_id: str | None, now: datetime
) -> ClientAttestation | None:
    """Who the wallet is; None only where the tenant accepts wallets that do not say.

    Raises:
        InvalidClient, UseAttestationChallenge, UseFreshAttestation: as ABCA, section 6.2.
        Unavailable: nobody knows now whether the attestation was revoked.

    Specification: ABCA, section 9; HAIP 4.4.1; PROFILE I-28 to I-32.
    """
    if not headers.attestation and not headers.attestation_pop:
        if tenant.file.wallets_without_attestation:
            return None
        raise InvalidClient("client attestation: missing")
    trust = issuer.trust.current()
    seconds = issuer.settings.attestation_max_age_seconds
    found = attestation.verify(
        headers.attestation,
        headers.attestation_pop,
        audience=tenant.identifier,
        client_id=client_id,
        anchors=trust.anchors(Role.WALLET_PROVIDER, now=now),
        now=now,
        challenges=issuer.nonce_source(tenant.challenges, now),
        revoked=trust.revoked,
        pinned=trust.pinned(Role.WALLET_PROVIDER, now=now),
        max_age=None if seconds is None else timedelta(seconds=seconds),
    )
    try:
        check_status(issuer, found.status, found.chain, now=now)
    except (VerificationError, InvalidInput) as error:
        raise InvalidClient(f"client attestation: {error}") from error
    return found


def proof_of_possession(
    issuer: Issuer, tenant: Tenant, headers: Headers, *, endpoint: str, now: datetime
) -> DpopProof:
    """The DPoP proof for *endpoint* of the Authorization Server; to whichever key, the caller sees.

    Raises:
        InvalidDpopProof, UseDpopNonce: 400.

    Specification: RFC 9449, sections 5, 8 and 10.1; PROFILE I-33 to I-35.
    """
    return dpop.verify(
        headers.dpop,
        method="POST",
        url=f"{tenant.identifier}/{endpoint}",
        now=now,
        access_token=None,
        expected_jkt=None,
        nonces=issuer.nonce_source(tenant.as_nonces, now) if tenant.file.dpop_nonce else None,
    )


def use(
    connection: Connection,
    tenant: Tenant,
    client: ClientAttestation | None,
    proof: DpopProof | None,
    now: datetime,
) -> None:
    """Record what authenticated a request, in the transaction of its act: each is good once.

    Raises:
        InvalidDpopProof, InvalidClient: used already.

    Specification: RFC 9449, section 11.1; ABCA, section 12.1; PROFILE I-32, I-33, S-02.
    """
    if proof is not None:
        use_once(connection, tenant, proof.use, now + 2 * dpop.WINDOW, InvalidDpopProof)
    if client is not None:
        use_once(connection, tenant, client.use, now + _POP_KEPT, InvalidClient)


def fresh(issuer: Issuer, tenant: Tenant) -> dict[str, str]:
    """Headers for the next request: a challenge, and a DPoP nonce where one is demanded.

    Specification: ABCA, section 8.1; RFC 9449, section 8.2; PROFILE I-26, I-34.
    """
    now = issuer.clock()
    headers = {
        UseAttestationChallenge.header: tenant.challenges.make(now, issuer.random_bytes),
    }
    if tenant.file.dpop_nonce:
        headers[UseDpopNonce.header] = tenant.as_nonces.make(now, issuer.random_bytes)
    return headers
