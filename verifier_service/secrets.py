"""The random values of a transaction, and what is derived from its secret.

Three unrelated values (V-02): `transaction_id` is known to the asker, `request_id` to the wallet,
`secret` to the asker alone. With an Idempotency-Key they follow from it under a key of this
service, so a repeated request finds its own transaction and gets the same answer, and no secret has
to be stored for that. The secret is kept as a hash; results are sealed to an X25519 key that
follows from it (DESIGN section 6).
"""

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared.crypto.sealing import hkdf, hpke_open, hpke_seal
from shared.encoding import RandomBytes, b64url_encode

_BYTES = 32  # 43 characters: CERTIFICATION 2.1


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


def _private(secret: str) -> bytes:
    return hashlib.sha256(b"transaction result:" + secret.encode()).digest()


def seal_to(secret: str) -> bytes:
    """The public key that results are sealed to."""
    return X25519PrivateKey.from_private_bytes(_private(secret)).public_key().public_bytes_raw()


def seal_claims(public: bytes, claims: bytes, *, tenant: str, transaction_id: str) -> bytes:
    """Seal *claims* so that only the secret opens them, and only in their own transaction."""
    return hpke_seal(public, claims, info=_info(tenant, transaction_id))


def open_claims(secret: str, sealed: bytes, *, tenant: str, transaction_id: str) -> bytes:
    """What `seal_claims` sealed."""
    return hpke_open(_private(secret), sealed, info=_info(tenant, transaction_id))


def _info(tenant: str, transaction_id: str) -> bytes:
    return f"citizen-wallet transaction claims 1:{tenant}:{transaction_id}".encode()
