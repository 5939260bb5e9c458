"""Which keys a credential request proves, and whether their wallet provider still stands by them.

OpenID4VCI 1.0, appendices D and F; PROFILE I-67 to I-70.
"""

from collections.abc import Collection
from datetime import datetime

from shared.errors import InvalidInput, VerificationError
from shared.oid4vci import proofs
from shared.oid4vci.errors import InvalidProof
from shared.oid4vci.messages import CredentialRequest
from shared.oid4vci.proofs import Proven
from shared.trust import Role

from .access import AccessGrant
from .catalogue import Configuration
from .context import Issuer, Tenant
from .metadata import BATCH_SIZE
from .provider_status import check_status


def prove(
    issuer: Issuer,
    tenant: Tenant,
    grant: AccessGrant,
    configuration: Configuration,
    request: CredentialRequest,
    *,
    now: datetime,
) -> Proven:
    """The keys that *request* proves for *configuration*.

    Raises:
        InvalidProof, InvalidNonce, InvalidCredentialRequest: as `proofs.verify`; a key attestation
            that its provider has revoked is an invalid proof.
        Unavailable: the status of a key attestation cannot be had now.

    Specification: OpenID4VCI 1.0, section 8.2 and appendix F.4; PROFILE I-67 to I-70.
    """
    accept = configuration.proof_types
    anchors: Collection[bytes] = frozenset()
    pinned: Collection[bytes] = frozenset()
    revoked: Collection[str] = frozenset()
    attesting = request.proofs is not None and request.proofs.attestation is not None
    if grant.attested or attesting or any(each for each in configuration.file.proofs.values()):
        trust = issuer.trust.current()
        anchors = trust.anchors(Role.WALLET_PROVIDER, now=now)
        pinned = trust.pinned(Role.WALLET_PROVIDER, now=now)
        revoked = trust.revoked
    proven = proofs.verify(
        request.proofs,
        audience=tenant.identifier,
        client_id=grant.client_id,
        check_nonce=lambda value: tenant.c_nonces.check(value, now),
        accept=accept,
        max_keys=BATCH_SIZE,
        anchors=anchors,
        now=now,
        revoked=revoked,
        pinned=pinned,
    )
    for attestation in proven.attestations:
        try:
            check_status(issuer, attestation.status, attestation.chain, now=now)
        except (InvalidInput, VerificationError) as error:
            raise InvalidProof(f"key attestation: {error}") from error
    return proven
