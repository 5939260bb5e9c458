"""This service as Wallet Provider: it vouches for client instances and for holder keys.

A client instance is a key made for one issuance: the attestation of it says which wallet this is,
the same for all of them, and where its status stands, and nothing else. Key attestations say only
what is true of the key store: without a certificate no level at all (WALLET_SECURITY 5).

Specification: attestation-based client authentication, section 5; OpenID4VCI 1.0, appendices D and
E; TS3, section 2; PROFILE W-22, W-23, W-33, E-03.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.crypto.keys import PublicKey, Signer
from shared.encoding import JsonValue, to_numeric_date
from shared.errors import Forbidden
from shared.formats.status_list import StatusReference
from shared.oauth import attestation
from shared.oid4vci import key_attestation
from shared.oid4vci.key_attestation import Level
from shared.oid4vci.metadata import KeyAttestationsRequired

from .provider_status import ProviderLists

PROVIDER = "provider"
"""The directory of the provider's keys: `wallet_provider`, `key_attestation` and `status`."""
LIFETIME = timedelta(hours=1)  # W-22
_KEYS_LIFETIME = timedelta(minutes=10)  # used at once, and once


class InstanceEnded(Forbidden):
    """The wallet was blocked or left: nothing vouches for it any more."""

    code = "wallet_frozen"
    public = "This wallet was blocked with its revocation code. It can be read, not used."
    next_step = "Use the recovery code to add a new passkey, then ask for the document again."


@dataclass(frozen=True, slots=True)
class Provider:
    """Who vouches, and with which keys.

    Attributes:
        client_id: of the wallet as a type, `sub` of every attestation (W-22).
        name: for people.
        link: where more about the wallet stands.
        clients: signs wallet attestations.
        keys: signs key attestations.
        lists: where statuses stand.
        keystore: "software" or "pkcs11".
        level: the certified resistance of that key store, None if nobody certified it.
        version: of the wallet solution.
        certification: where the wallet solution's own certification stands, if it has one.
        storage_certification: where that of the key store stands.
    """

    client_id: str
    name: str
    link: str
    clients: Signer
    keys: Signer
    lists: ProviderLists
    keystore: str
    level: Level | None
    version: str
    certification: str | None = None
    storage_certification: str | None = None

    def attest_client(
        self, key: PublicKey, place: StatusReference, *, seconds: int | None, now: datetime
    ) -> str:
        """The Wallet Attestation of one client instance; its status is kept for *seconds*.

        Raises:
            InstanceEnded: its wallet was blocked, suspended or deleted.

        Specification: OpenID4VCI 1.0, appendix E; TS3 2.3.1; PROFILE W-22, E-03.
        """
        if self.lists.state(place) != "valid":
            raise InstanceEnded("attestation: the client instance has ended")
        kept_until = self.lists.keep(place, seconds=seconds, now=now)
        return attestation.make_attestation(
            signer=self.clients,
            client_id=self.client_id,
            key=key,
            now=now,
            lifetime=LIFETIME,
            issuer=self.link,
            wallet_name=self.name,
            wallet_version=self.version,
            wallet_link=self.link,
            certification=self.certification,
            status=place.to_claim(),
            client_status=_kept(place, kept_until),
        )

    def attest_keys(
        self, keys: Sequence[PublicKey], *, nonce: str, seconds: int | None, now: datetime
    ) -> str:
        """A key attestation for one credential request: all *keys*, and nothing untrue.

        Specification: OpenID4VCI 1.0, appendix D.1; TS3 2.3.2; PROFILE W-33.
        """
        place = self.lists.of_keystore(self.keystore, now=now)
        kept_until = self.lists.keep(place, seconds=seconds, now=now)
        return key_attestation.make(
            signer=self.keys,
            keys=keys,
            nonce=nonce,
            now=now,
            lifetime=_KEYS_LIFETIME,
            key_storage=() if self.level is None else (self.level,),
            certification=self.storage_certification,
            status=place.to_claim(),
            key_storage_status=_kept(place, kept_until),
        )

    def meets(self, required: KeyAttestationsRequired | None) -> bool:
        """Whether what is true of the key store is enough for an issuer (W-33)."""
        if required is None:
            return True
        storage, people = required.key_storage, required.user_authentication
        return people is None and (storage is None or self.level in storage)


def _kept(place: StatusReference, until: datetime) -> dict[str, JsonValue]:
    return {"status": place.to_claim(), "exp": to_numeric_date(until)}
