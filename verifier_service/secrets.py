"""The random values of a transaction, and what is derived from its secret.

Three unrelated values (V-02): `transaction_id` is known to the asker, `request_id` to the wallet,
`secret` to the asker alone. With an Idempotency-Key they follow from it under a key of this
service, so a repeated request finds its own transaction and gets the same answer, and no secret has
to be stored for that. The secret is kept as a hash. Claims are sealed under a key that follows from
it; until the wallet has answered that key lies sealed beside the others of the request, and goes
with them (DESIGN section 6).
"""

import hashlib
from dataclasses import dataclass

from shared.crypto.sealing import hkdf, open_row, seal_row
from shared.encoding import RandomBytes, b64url_encode

_BYTES = 32  # 43 characters: CERTIFICATION 2.1
_SCHEMA = 1  # of sealed claims: JSON by Credential Query id


@dataclass(frozen=True, slots=True)
class Names:
    """Of one transaction."""

    transaction_id: str
    request_id: str
    secret: str


def draw(random_bytes: RandomBytes) -> Names:
    """Fresh values."""
    return _names(random_bytes(3 * _BYTES))


def derive(key: bytes, *, tenant: str, client: str, idempotency_key: str) -> Names:
    """The values that belong to *idempotency_key* of this client; *key* is this service's."""
    return _names(hkdf(key, "transaction", tenant, client, idempotency_key, length=3 * _BYTES))


def _names(drawn: bytes) -> Names:
    first, second, third = (drawn[at : at + _BYTES] for at in range(0, 3 * _BYTES, _BYTES))
    return Names(f"trx_{b64url_encode(first)}", b64url_encode(second), b64url_encode(third))


def secret_hash(secret: str) -> bytes:
    """As the secret is stored; it has 256 bits, so no salt and no slow hash."""
    return hashlib.sha256(b"transaction secret:" + secret.encode()).digest()


def response_code_hash(code: str) -> bytes:
    """As a response code is stored (S-01)."""
    return hashlib.sha256(b"response code:" + code.encode()).digest()


def result_key(secret: str) -> bytes:
    """The key that claims are sealed under; it follows from the secret alone."""
    return hashlib.sha256(b"transaction result:" + secret.encode()).digest()


def seal_claims(
    key: bytes, claims: bytes, *, tenant: str, transaction_id: str, random_bytes: RandomBytes
) -> bytes:
    """Seal *claims* so that only the secret opens them, and only in their own transaction."""
    return seal_row(
        key,
        claims,
        table="transactions",
        row=transaction_id,
        owner=tenant,
        schema=_SCHEMA,
        random_bytes=random_bytes,
    )


def open_claims(secret: str, sealed: bytes, *, tenant: str, transaction_id: str) -> bytes:
    """What `seal_claims` sealed."""
    return open_row(
        result_key(secret),
        sealed,
        table="transactions",
        row=transaction_id,
        owner=tenant,
        schema=_SCHEMA,
    )
