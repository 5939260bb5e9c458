"""What every act of the verifier needs, made once; nothing in it is exchanged later."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.crypto.sealing import Keyring
from shared.encoding import Clock, RandomBytes
from shared.errors import NotFound
from shared.runtime.client_credentials import ApiClients
from shared.runtime.database import Database
from shared.runtime.trust_list import TrustSource

from .events import Poller
from .settings import VerifierSettings
from .statuses import StatusLists
from .tenants import Tenant


@dataclass(frozen=True, slots=True)
class Verifier:
    """The verifier service.

    `keys` seals what must survive until a transaction is answered; `idempotency_key` turns an
    Idempotency-Key into the names of its transaction.
    """

    settings: VerifierSettings
    database: Database
    clients: ApiClients
    keys: Keyring
    idempotency_key: bytes
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
