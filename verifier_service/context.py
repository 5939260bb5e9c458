"""What every act of the verifier needs, made once; nothing in it is exchanged later."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.crypto.sealing import Keyring, hkdf
from shared.crypto.software import SoftwareKey
from shared.encoding import Clock, RandomBytes, b64url_encode
from shared.errors import NotFound
from shared.runtime.client_credentials import ApiClients
from shared.runtime.database import Database
from shared.runtime.staff_pages import StaffEntrance
from shared.runtime.trust_list import TrustSource

from .events import Poller
from .settings import VerifierSettings
from .statuses import StatusLists
from .tenants import Tenant


@dataclass(frozen=True, slots=True)
class Verifier:
    """The verifier service.

    `keys` seals what must survive until a transaction is answered; `idempotency_key` turns an
    Idempotency-Key into the names of its transaction; `records` makes the keys that sign what this
    service attests of its own records; `webhooks` those that sign messages to agencies.
    """

    settings: VerifierSettings
    database: Database
    clients: ApiClients
    staff: StaffEntrance
    keys: Keyring
    idempotency_key: bytes
    records: bytes
    webhooks: Keyring
    tenants: Mapping[str, Tenant]
    trust: TrustSource
    statuses: StatusLists
    events: Poller
    clock: Clock
    random_bytes: RandomBytes

    def tenant(self, tenant_id: str) -> Tenant:
        """The tenant with this id; raises NotFound."""
        if tenant_id not in self.tenants:
            raise NotFound("tenant: unknown")
        return self.tenants[tenant_id]

    def has_webhook(self, tenant_id: str) -> bool:
        """Whether somebody wants to be told what ends for this tenant."""
        return tenant_id in self.tenants and self.tenants[tenant_id].webhook_url is not None

    def records_key(self, tenant_id: str) -> SoftwareKey:
        """Signs the heads of the tenant's audit trail and its deletion receipts."""
        scalar = hkdf(self.records, "verifier", "records", tenant_id)
        key = SoftwareKey.from_scalar(scalar)
        return SoftwareKey.from_scalar(scalar, kid=b64url_encode(key.public.thumbprint()))

    @property
    def origin(self) -> str:
        """Of our own pages, as browsers say it (V-71)."""
        parts = urlsplit(self.settings.public_url)
        return f"{parts.scheme}://{parts.netloc}"
