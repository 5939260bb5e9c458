"""The signatures of one delivery: a copy for each key, each at its own place."""

from collections.abc import Sequence

from shared.crypto.keys import PublicKey
from shared.formats import credential
from shared.formats.status_list import StatusReference
from shared.oid4vci.messages import IssuedCredential

from .catalogue import Configuration
from .context import Issuer, Tenant
from .datasets import Dataset
from .recording import Recorded


def sign(
    issuer: Issuer,
    tenant: Tenant,
    configuration: Configuration,
    data: Dataset,
    *,
    keys: Sequence[PublicKey],
    recorded: Recorded,
) -> tuple[IssuedCredential, ...]:
    """Copies of *data*, one bound to each of *keys*, that share nothing but the data (I-111)."""
    uri = tenant.status_uri(recorded.number)
    return tuple(
        IssuedCredential(
            credential=credential.issue(
                configuration.file.format,
                data.claims,
                metadata=configuration.type,
                holder=key,
                status=StatusReference(index, uri),
                issued_at=recorded.issued_at,
                expires_at=recorded.expires_at,
                signer=tenant.credential_key,
                random_bytes=issuer.random_bytes,
            )
        )
        for key, index in zip(keys, recorded.indexes, strict=True)
    )
