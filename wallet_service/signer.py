"""The signer: typed calls only, each with its approval; there is no "sign these bytes".

A holder key is stored as AES-GCM(`K_copy`, scalar) and `K_copy` comes with one approval, for the
copies that one names. What is signed is built here from the approved payload, never handed in.

Specification: WALLET_SECURITY, sections 2, 4 and 5; PROFILE S-31, HB-01 to HB-04, W-30, W-32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.crypto.keys import HolderKeys, Signer
from shared.crypto.sealing import open_sealed
from shared.encoding import b64url_decode
from shared.errors import Forbidden
from shared.formats import credential as formats
from shared.formats import device_response, kb_jwt
from shared.formats.credential import Held, Session
from shared.formats.kb_jwt import TransactionDataHashes

from .approving import Approved


def present(
    store: HolderKeys,
    approved: Approved,
    *,
    copy: str,
    k_copy: bytes,
    key_blob: bytes,
    held: Held,
    now: datetime,
) -> str:
    """The presentation of one copy: the approved claims, for the approved audience and nonce.

    Args:
        store: opens the holder key once its seal is off.
        approved: an approval of type *present*.
        copy: must be named in the payload.
        k_copy: came with this approval.
        key_blob: the sealed holder key.
        held: the credential of this copy, as it was verified when it came.
        now: becomes `iat`.

    Returns:
        SD-JWT+KB: sd_hash is computed here, over the Disclosures that the payload names.

    Raises:
        Forbidden: the payload does not name this copy, or the credential is not bound to this key.
        VerificationError: *k_copy* is not the key of this copy.

    Specification: WALLET_SECURITY, section 5; RFC 9901, section 4.3; PROFILE HB-01 to HB-04, Q-24.
    """
    must_be(approved, "present")
    item = _item(approved, copy)
    key = store.open(open_sealed(k_copy, key_blob, aad=holder_key_aad(approved, copy)))
    if held.holder != key.public:
        raise Forbidden("signer: the credential is not bound to the key of this copy")
    paths = [tuple(path) for path in item["claims"]]
    return formats.present(held, paths=paths, proof=_Proof(approved, item, key, now))


@dataclass(frozen=True, slots=True)
class _Proof:
    """Signs for the audience and nonce of the approved payload, and nothing else."""

    approved: Approved
    item: Mapping[str, Any]
    key: Signer
    now: datetime

    def kb_jwt(self, presented: str, *, hash_algorithm: str) -> str:
        request = self.approved.payload["request"]
        return kb_jwt.make(
            presented,
            signer=self.key,
            audience=request["audience"],
            nonce=request["nonce"],
            now=self.now,
            hash_algorithm=hash_algorithm,
            transaction_data=self._transactions(),
        )

    def device_signature(self, doctype: str) -> bytes:
        """Over the transcript of the approved session, made here (HB-20, HB-22)."""
        request = self.approved.payload["request"]
        if doctype != self.item["type"]:
            raise Forbidden("signer: approved for another type")
        key = request["encryption_key"]
        session = Session(
            request["audience"],
            request["nonce"],
            request["response_uri"],
            None if key is None else b64url_decode(key),
        )
        return device_response.sign(doctype, session=session, signer=self.key)

    def _transactions(self) -> TransactionDataHashes | None:
        confirms = self.item.get("transaction_data")
        if confirms is None:
            return None
        return TransactionDataHashes(tuple(confirms["hashes"]), confirms["algorithm"])


def must_be(approved: Approved, kind: str) -> None:
    """Every call names the type of approval it needs; raises Forbidden for another."""
    if approved.type != kind or approved.payload["type"] != kind:
        raise Forbidden("signer: approved for something else")


def _item(approved: Approved, copy: str) -> dict[str, Any]:
    for item in approved.payload["items"]:
        if item["copy"] == copy:
            found: dict[str, Any] = item
            return found
    raise Forbidden("signer: the approval does not name this copy")


def holder_key_aad(approved: Approved, copy: str) -> bytes:
    """What a sealed holder key is bound to: its wallet and its copy."""
    return f"citizen-wallet/holder-key/v1\x00{approved.payload['wallet']}\x00{copy}".encode()
