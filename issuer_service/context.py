"""What every act of this service needs: made once for each process, frozen, passed along."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.crypto.keys import Signer
from shared.crypto.sealing import TimedNonces, hkdf
from shared.crypto.software import SoftwareKey
from shared.encoding import Clock, RandomBytes, b64url_encode
from shared.errors import NotFound
from shared.oauth.messages import NonceSource
from shared.runtime.client_credentials import ApiClients
from shared.runtime.database import Database
from shared.runtime.documents import DocumentCache
from shared.runtime.openid import OpenIdProvider
from shared.runtime.staff_pages import StaffEntrance
from shared.runtime.trust_list import TrustSource

from .catalogue import Configuration
from .indexes import Indexes
from .metadata import Documents
from .registers import Register
from .request_keys import RequestKeys
from .settings import IssuerSettings
from .status_tokens import PublishedLists
from .tenants import TenantFile

ID_LENGTH = 22
"""Characters of an id behind its prefix: 128 bits."""
NONCE_LIFE = timedelta(minutes=5)  # I-34, I-61
CHALLENGE_LIFE = timedelta(minutes=15)  # from PAR over a slow login to the token endpoint


def row_id(prefix: str, secret: str, place: int = 0) -> str:
    """The id of a row that *secret*, a code or token, says it belongs to (the *place*-th of them).

    What cannot be an id of ours is none: no database is asked what its text cannot hold.
    """
    random = secret[place * ID_LENGTH : (place + 1) * ID_LENGTH]
    return f"{prefix}_{random}" if random.isascii() and random.isprintable() else prefix


class Secrets:
    """Symmetric keys, derived from one secret of the installation, each for one purpose (C-10)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.offers = hkdf(secret, "issuer", "offer content")
        self.authorizations = hkdf(secret, "issuer", "authorization requests")
        self.desk = hkdf(secret, "issuer", "desk codes")
        self.logins = hkdf(secret, "issuer", "logins")
        self.staff = hkdf(secret, "issuer", "staff")
        self.handles = hkdf(secret, "issuer", "handles of people")
        self.indexes = hkdf(secret, "issuer", "status indexes")
        self._people = hkdf(secret, "issuer", "people")
        self.deferrals = hkdf(secret, "issuer", "deferred requests")
        self.request_keys = hkdf(secret, "issuer", "request keys")
        self._claims = hkdf(secret, "issuer", "claims")
        self._records = hkdf(secret, "issuer", "records")
        self._answers = hkdf(secret, "issuer", "answers")
        self._tx_codes = hkdf(secret, "issuer", "transaction codes")

    def person(self, tenant: str, reference: str) -> bytes:
        """A reference to a person as it is stored: useless without the key or in another tenant."""
        return _keyed(self._people, tenant, reference)

    def claims(self, tenant: str, canonical: bytes) -> bytes:
        """The fingerprint of claims that are not kept."""
        return _keyed(self._claims, tenant, canonical)

    def record(self, tenant: str, *parts: bytes | str) -> str:
        """The random part of an id that always belongs to the same *parts*."""
        return b64url_encode(_keyed(self._records, tenant, *parts)[:16])

    def answer_code(self, purpose: str, tenant: str, delivery_id: str) -> str:
        """A code that an answer gives, found by the delivery's id and never stored (S-01)."""
        code = b64url_encode(_keyed(self._answers, purpose, tenant, delivery_id))
        return f"{delivery_id[-ID_LENGTH:]}{code}"

    def tx_code(self, code_hash: bytes, tx_code: str) -> bytes:
        """A Transaction Code as it is stored: the offer's code is its salt (S-01)."""
        return _keyed(self._tx_codes, code_hash, tx_code)

    def desk_code(self, tenant: str, desk_code_id: str, secret: str) -> bytes:
        """The secret half of a desk code as it is stored (S-01)."""
        return _keyed(self.desk, "secret", tenant, desk_code_id, secret)

    def audit_key(self, tenant: str) -> SoftwareKey:
        """The key that signs the heads of the tenant's audit trail."""
        return SoftwareKey.from_scalar(hkdf(self._secret, "issuer", "audit", tenant))

    def nonces(self, purpose: str, tenant: str, life: timedelta = NONCE_LIFE) -> TimedNonces:
        """Nonces of one *purpose* and tenant; those of another do not check."""
        return TimedNonces(hkdf(self._secret, "issuer", "nonces"), f"{purpose} of {tenant}", life)


def _keyed(key: bytes, *parts: bytes | str) -> bytes:
    raw = [part.encode() if isinstance(part, str) else part for part in parts]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in raw)
    return hmac.digest(key, message, "sha256")


@dataclass(frozen=True, slots=True)
class Tenant:
    """One agency: what its files say, its keys, its register.

    Attributes:
        identifier: the Credential Issuer Identifier and issuer of the Authorization Server.
        documents: its metadata as served.
        c_nonces, as_nonces, rs_nonces, challenges: of the Nonce Endpoint; for DPoP at the token
            endpoint
            and at resources; for client attestations. None passes for another (I-34, S-04).
    """

    identifier: str
    file: TenantFile
    configurations: Mapping[str, Configuration]
    documents: Documents
    register: Register
    provider: OpenIdProvider | None
    credential_key: Signer
    status_key: Signer
    metadata_key: Signer | None
    c_nonces: TimedNonces
    as_nonces: TimedNonces
    rs_nonces: TimedNonces
    challenges: TimedNonces

    @property
    def name(self) -> str:
        """Its name in paths and keys."""
        return self.file.tenant

    @property
    def constants(self) -> Mapping[str, str]:
        """Fields that rules may use beside the register's."""
        return self.file.constants

    @property
    def longest_validity(self) -> timedelta:
        """Of all configurations: so long a status list may be needed."""
        return max(each.validity for each in self.configurations.values())

    def status_uri(self, number: int) -> str:
        """Where status list *number* is served."""
        return f"{self.identifier}/statuslists/{number}"


@dataclass(frozen=True, slots=True)
class Issuer:
    """The context of issuer_service."""

    settings: IssuerSettings
    database: Database
    tenants: Mapping[str, Tenant]
    secrets: Secrets
    api_clients: ApiClients
    staff: StaffEntrance
    trust: TrustSource
    documents: DocumentCache
    indexes: Indexes
    lists: PublishedLists
    request_keys: RequestKeys
    clock: Clock
    random_bytes: RandomBytes

    def tenant(self, name: str) -> Tenant:
        """The tenant *name*; raises NotFound."""
        found = self.tenants.get(name)
        if found is None:
            raise NotFound("tenant: unknown")
        return found

    def new_id(self, prefix: str) -> str:
        """A typed random id of 128 bits, such as "off_…"."""
        return f"{prefix}_{b64url_encode(self.random_bytes(16))}"

    def new_code(self, *owners: str) -> str:
        """A code or token: ids of what it belongs to, to find it by, and 256 bits (S-01)."""
        return "".join(each[-ID_LENGTH:] for each in owners) + b64url_encode(self.random_bytes(32))

    def nonce_source(self, nonces: TimedNonces, now: datetime) -> NonceSource:
        """*nonces* as the library asks for them."""
        return NonceSource(
            check=lambda value: nonces.check(value, now),
            fresh=lambda: nonces.make(now, self.random_bytes),
        )
