"""Keys that wallets encrypt their requests to: one for each period, shared by all replicas.

A key is made when it is first needed, sealed under the installation's secret, published for one
period and good for a while longer, until every request that knows it is over; then it is erased.
Of replicas that make one at once, one wins. OpenID4VCI 1.0, section 10; PROFILE I-80, C-10, S-30.
"""

import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, select

from shared.crypto.sealing import open_row, seal_row
from shared.crypto.software import SoftwareKey
from shared.encoding import RandomBytes
from shared.errors import Unavailable
from shared.oid4vci.errors import InvalidEncryptionParameters
from shared.runtime.database import Database
from shared.runtime.prepared import Prepared, PreparedInsert

from .tables import request_keys

OVERLAP = timedelta(hours=1)
"""Beyond its period: metadata is kept for five minutes, a token lives for ten, then the answer."""
_SCHEMA = 1

_OF_PERIOD = Prepared(
    select(request_keys.c.period, request_keys.c.sealed, request_keys.c.ends_at).where(
        request_keys.c.tenant == bindparam("of_tenant"),
        request_keys.c.period == bindparam("of_period"),
    )
)
_BY_KID = Prepared(
    select(request_keys.c.period, request_keys.c.sealed, request_keys.c.ends_at).where(
        request_keys.c.tenant == bindparam("of_tenant"),
        request_keys.c.kid == bindparam("by_kid"),
        request_keys.c.ends_at > bindparam("now"),
    )
)
_MAKE = PreparedInsert(request_keys, ["tenant", "period", "kid", "sealed", "ends_at"])


class RequestKeys:
    """The request encryption keys of all tenants.

    Args:
        key: 32 secret bytes that the private keys are sealed under.
        period: how long each is published.
    """

    def __init__(
        self, database: Database, *, key: bytes, period: timedelta, random_bytes: RandomBytes
    ) -> None:
        self._database = database
        self._key = key
        self._period = period
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], tuple[datetime, SoftwareKey]] = {}

    def current(self, tenant: str, now: datetime) -> SoftwareKey:
        """The key that *tenant* publishes now."""
        period = int(now.timestamp() // self._period.total_seconds())
        known = self._known.get((tenant, period))
        if known is not None:
            return known[1]
        with self._lock:
            known = self._known.get((tenant, period))
            return known[1] if known is not None else self._made(tenant, period, now)

    def by_kid(self, tenant: str, kid: object, now: datetime) -> SoftwareKey:
        """The key of *tenant* that is named *kid*, as long as it is good.

        Raises:
            InvalidEncryptionParameters: unknown or over; the metadata names a good one.
        """
        for (owner, _), (ends_at, key) in list(self._known.items()):
            if owner == tenant and key.kid == kid and ends_at > now:
                return key
        row = None
        if isinstance(kid, str):
            values = {"of_tenant": tenant, "by_kid": kid, "now": now}
            row = _BY_KID.row(self._database, values)
        if row is None:
            raise InvalidEncryptionParameters("encrypted request: made to a key that is not ours")
        return self._opened(tenant, row.period, row.sealed, row.ends_at, now)

    def _made(self, tenant: str, period: int, now: datetime) -> SoftwareKey:
        fresh = SoftwareKey.generate()
        ends_at = datetime.fromtimestamp((period + 1) * self._period.total_seconds(), UTC)
        values = {"of_tenant": tenant, "of_period": period}
        row = _OF_PERIOD.row(self._database, values)
        if row is None:
            sealed = seal_row(
                self._key,
                fresh.scalar(),
                table="request_keys",
                row=str(period),
                owner=tenant,
                schema=_SCHEMA,
                random_bytes=self._random_bytes,
            )
            _MAKE.once(
                self._database,
                {
                    "tenant": tenant,
                    "period": period,
                    "kid": fresh.kid,
                    "sealed": sealed,
                    "ends_at": ends_at + OVERLAP,
                },
            )
            row = _OF_PERIOD.row(self._database, values)
        if row is None:
            raise Unavailable("request keys: the key of this period is not readable")
        return self._opened(tenant, row.period, row.sealed, row.ends_at, now)

    def _opened(
        self, tenant: str, period: int, sealed: bytes, ends_at: datetime, now: datetime
    ) -> SoftwareKey:
        scalar = open_row(
            self._key,
            sealed,
            table="request_keys",
            row=str(period),
            owner=tenant,
            schema=_SCHEMA,
        )
        key = SoftwareKey.from_scalar(scalar)
        self._known = {
            **{name: each for name, each in self._known.items() if each[0] > now},
            (tenant, period): (ends_at, key),
        }
        return key
