"""Which place of which Status List a new credential gets.

A process leases counters of a list in blocks and permutes each under a secret key: no row is
touched per issuance, the places look random, none is given twice (ST-31; DESIGN, "Decided"). What a
process leased and did not use before it ended is lost, which costs nothing. The unique key of the
table `copies` is the backstop.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, select, update

from shared.crypto.sealing import hkdf
from shared.errors import Unavailable
from shared.formats.index_permutation import IndexPermutation
from shared.runtime.database import Database, insert_once

from .tables import status_lists

RESERVED = 64  # one in so many places is never given out: those change as cover (ST-33)
_LEASE_LIFE = timedelta(hours=12)
_ATTEMPTS = 20

_LEASE = (
    update(status_lists)
    .where(
        status_lists.c.tenant == bindparam("of_tenant"),
        status_lists.c.number == bindparam("of_number"),
        status_lists.c.taken + bindparam("block") <= bindparam("limit"),
    )
    .values(
        taken=status_lists.c.taken + bindparam("block"),
        needed_until=bindparam("until"),
    )
    .returning(status_lists.c.taken)
)
_NEWEST = (
    select(status_lists.c.number)
    .where(
        status_lists.c.tenant == bindparam("of_tenant"),
        status_lists.c.ttl == bindparam("of_ttl"),
    )
    .order_by(status_lists.c.number.desc())
    .limit(1)
)
_HIGHEST = select(func.max(status_lists.c.number)).where(
    status_lists.c.tenant == bindparam("of_tenant")
)


@dataclass(frozen=True, slots=True)
class Taken:
    """Places of one list: the copies of a batch stay together (ST-31)."""

    tenant: str
    ttl: int
    number: int
    indexes: tuple[int, ...]


@dataclass(slots=True)
class _Lease:
    number: int
    permutation: IndexPermutation
    next: int
    end: int
    until: datetime
    returned: list[int] = field(default_factory=list)


class Indexes:
    """The places that this process may give out.

    Args:
        key: 32 secret bytes; every list has its own permutation under it.
        size: entries of a list.
        block: how many places are leased at a time; at least the largest batch.
    """

    def __init__(self, database: Database, *, key: bytes, size: int, block: int) -> None:
        self._database = database
        self._key = key
        self._size = size
        self._block = block
        self._lock = threading.Lock()
        self._leases: dict[tuple[str, int], _Lease] = {}

    @property
    def size(self) -> int:
        """Entries of a list."""
        return self._size

    def permutation(self, tenant: str, number: int) -> IndexPermutation:
        """The order in which list *number* of *tenant* is filled."""
        return IndexPermutation(hkdf(self._key, tenant, str(number)), self._size)

    def cover(self, tenant: str, number: int, first: int, last: int) -> list[int]:
        """Places that are never given out, from the *first* to before the *last* one (ST-33)."""
        permutation = self.permutation(tenant, number)
        return [permutation.index(self._size - 1 - each) for each in range(first, last)]

    def take(
        self,
        tenant: str,
        *,
        ttl: int,
        count: int,
        now: datetime,
        needed_until: datetime,
        first_token: Callable[[int], Mapping[str, object]],
    ) -> Taken:
        """*count* places of one list whose `ttl` is *ttl*.

        Args:
            tenant: whose lists.
            ttl: in seconds; configurations of one ttl share lists.
            count: at most the size of a block.
            now: a lease ends after half a day.
            needed_until: when the last credential that may get a place of this block expires.
            first_token: signs the empty list of that number, in columns of its row; called when a
                new list is begun, so that no credential ever points to a list that is not
                published.

        Raises:
            Unavailable: the database cannot lease now.
        """
        with self._lock:
            lease = self._leases.get((tenant, ttl))
            if lease is not None and len(lease.returned) >= count:
                returned = tuple(lease.returned.pop() for _ in range(count))
                return Taken(tenant, ttl, lease.number, returned)
            if lease is None or lease.end - lease.next < count or lease.until <= now:
                lease = self._lease(tenant, ttl, now, needed_until, first_token)
                self._leases[tenant, ttl] = lease
            first, lease.next = lease.next, lease.next + count
        return Taken(
            tenant,
            ttl,
            lease.number,
            tuple(lease.permutation.index(each) for each in range(first, first + count)),
        )

    def give_back(self, taken: Taken) -> None:
        """Take back what was certainly not used, so that refused requests do not fill lists."""
        with self._lock:
            lease = self._leases.get((taken.tenant, taken.ttl))
            if lease is not None and lease.number == taken.number:
                lease.returned.extend(taken.indexes)

    def _lease(
        self,
        tenant: str,
        ttl: int,
        now: datetime,
        needed_until: datetime,
        first_token: Callable[[int], Mapping[str, object]],
    ) -> _Lease:
        for _ in range(_ATTEMPTS):
            with self._database.transaction() as connection:
                number = connection.execute(
                    _NEWEST, {"of_tenant": tenant, "of_ttl": ttl}
                ).scalar_one_or_none()
                end = self._extend(connection, tenant, number, needed_until + _LEASE_LIFE)
                highest = connection.execute(_HIGHEST, {"of_tenant": tenant}).scalar_one_or_none()
            if number is not None and end is not None:
                permutation = self.permutation(tenant, number)
                return _Lease(number, permutation, end - self._block, end, now + _LEASE_LIFE)
            begun = (highest or 0) + 1
            row = {
                "tenant": tenant,
                "number": begun,
                "ttl": ttl,
                "taken": 0,
                "covers": 0,
                "needed_until": needed_until,
                "published_at": now,
                "version": 1,
                **first_token(begun),
            }
            with self._database.single() as connection:
                insert_once(connection, status_lists, row)
        raise Unavailable("status list: no block could be leased")

    def _extend(
        self, connection: Connection, tenant: str, number: int | None, until: datetime
    ) -> int | None:
        if number is None:
            return None
        return connection.execute(
            _LEASE,
            {
                "of_tenant": tenant,
                "of_number": number,
                "block": self._block,
                "limit": self._size - self._size // RESERVED,
                "until": until,
            },
        ).scalar_one_or_none()
