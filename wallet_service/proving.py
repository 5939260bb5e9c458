"""The signer's calls for issuance: keys made and sealed at once, and the proofs of them.

A holder key is stored as AES-GCM(`K_copy`, what the key store lets out of it), and `K_copy` comes
with the approval that accepts the copy. Spare keys are made at the same gesture and proven later
without being opened: the wallet provider vouches for their public halves (`Spares`). Key
attestations are made here, for the approved issuer's nonce, and only where they are required.

Specification: WALLET_SECURITY, sections 2 and 5; OpenID4VCI 1.0, appendices D and F; PROFILE S-31,
W-30, W-32, W-33.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.crypto.keys import HolderKeys, PublicKey, Signer
from shared.crypto.sealing import seal
from shared.encoding import JsonValue, b64url_encode
from shared.oid4vci import proofs

from .approving import Approved
from .attesting import Provider
from .signer import holder_key_aad, must_be


@dataclass(frozen=True, slots=True)
class NewKey:
    """A holder key for the length of one issuance request, and its sealed form for ever after."""

    key: Signer
    blob: bytes


def create_keys(
    store: HolderKeys, approved: Approved, copy_keys: Mapping[str, bytes]
) -> dict[str, NewKey]:
    """A new P-256 key for each copy and spare that the citizen accepted, sealed at once (W-30)."""
    must_be(approved, "accept")
    keys = {}
    for item in approved.payload["items"]:
        copy = item["copy"]
        key, material = store.generate()
        keys[copy] = NewKey(
            key, seal(copy_keys[copy], material, aad=holder_key_aad(approved, copy))
        )
    return keys


def sealed_keys(approved: Approved, keys: Mapping[str, NewKey]) -> dict[str, Any]:
    """What is stored of new keys: their public halves and sealed forms, copies and spares apart."""
    found: dict[str, dict[str, Any]] = {"copies": {}, "spares": {}}
    for item in approved.payload["items"]:
        new = keys[item["copy"]]
        found["spares" if item["spare"] else "copies"][item["copy"]] = {
            "configuration": item["configuration"],
            "jwk": new.key.public.to_jwk(),
            "key_blob": b64url_encode(new.blob),
        }
    return found


@dataclass(frozen=True, slots=True)
class Proofs:
    """Proofs by the keys of one approval, for the issuer it names."""

    provider: Provider
    approved: Approved
    keys: Mapping[str, NewKey]

    def prove(
        self, part: Mapping[str, Any], *, client_id: str | None, nonce: str, now: datetime
    ) -> dict[str, JsonValue]:
        """The `proofs` of one configuration: of every copy, not of the spares (W-32, W-33)."""
        must_be(self.approved, "accept")
        signers = [
            self.keys[item["copy"]].key
            for item in self.approved.payload["items"]
            if item["configuration"] == part["configuration"] and not item["spare"]
        ]
        publics = [each.public for each in signers]
        if part["proof"] == "attestation":
            return {"attestation": [_attested(self.provider, publics, part, nonce, now)]}
        attestation = None
        if part["proof"] == "attested_jwt":
            # One proof by the first attested key stands for all of them (E-03).
            attestation = _attested(self.provider, publics, part, nonce, now)
            signers = signers[:1]
        return {
            "jwt": [
                proofs.make_jwt_proof(
                    signer=each,
                    audience=self.approved.payload["issuer"]["identifier"],
                    nonce=nonce,
                    now=now,
                    client_id=client_id,
                    key_attestation=attestation,
                )
                for each in signers
            ]
        }


@dataclass(frozen=True, slots=True)
class Spares:
    """Proofs of keys that stay sealed: their provider attests them, nobody signs with them."""

    provider: Provider
    keys: Sequence[PublicKey]

    def prove(
        self,
        part: Mapping[str, Any],
        *,
        client_id: str | None,  # noqa: ARG002  # an attestation names no client
        nonce: str,
        now: datetime,
    ) -> dict[str, JsonValue]:
        """One attestation of all keys, for *nonce* (OpenID4VCI 1.0, appendix F.3)."""
        return {"attestation": [_attested(self.provider, self.keys, part, nonce, now)]}


def _attested(
    provider: Provider,
    keys: Sequence[PublicKey],
    part: Mapping[str, Any],
    nonce: str,
    now: datetime,
) -> str:
    seconds = part.get("status_seconds")  # TS3 2.4.2
    return provider.attest_keys(keys, nonce=nonce, seconds=seconds, now=now)
