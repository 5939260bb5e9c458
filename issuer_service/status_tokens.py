"""Status List Tokens: what changed is put into the lists in ticks, signed, and served from memory.

A job that one replica holds at a time applies the changes of the last tick to the lists it keeps in
memory, changes a few places that belong to nobody as cover (ST-33), signs and stores the token.
Every process serves what is stored from its memory and looks for a newer version at most once a
second, so a change is seen within five seconds everywhere.
"""

import gzip
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import bindparam, select, update

from shared.crypto.keys import Signer
from shared.encoding import RandomBytes
from shared.errors import NotFound
from shared.formats.status_list import StatusList, sign_token
from shared.formats.status_states import Status
from shared.runtime.database import Database, once

from .indexes import RESERVED, Indexes
from .tables import copies, issuances, status_lists

BITS = 2  # valid, revoked and suspended; all types share the lists
EXPIRES = timedelta(hours=24)  # ST-42
_RENEW = timedelta(hours=12)
_OVERLAP = timedelta(seconds=60)  # clocks of replicas differ, and transactions take their time
_LOOK_AGAIN = timedelta(seconds=1)
STATES: Mapping[str, Status] = {
    "valid": Status.VALID,
    "suspended": Status.SUSPENDED,
    "revoked": Status.INVALID,
}

_LISTS = select(
    status_lists.c.tenant,
    status_lists.c.number,
    status_lists.c.ttl,
    status_lists.c.covers,
    status_lists.c.published_at,
    status_lists.c.version,
).where(status_lists.c.needed_until > bindparam("now"))
_PLACES = select(copies.c.tenant, copies.c.list, copies.c.idx, issuances.c.state).join_from(
    issuances,
    copies,
    (copies.c.tenant == issuances.c.tenant) & (copies.c.issuance_id == issuances.c.id),
)
_NOT_VALID = _PLACES.where(issuances.c.state != "valid")
_CHANGED = _PLACES.where(issuances.c.changed_at >= bindparam("since"))
_STORE = (
    update(status_lists)
    .where(
        status_lists.c.tenant == bindparam("of_tenant"),
        status_lists.c.number == bindparam("of_number"),
        status_lists.c.version == bindparam("of_version"),
    )
    .values(
        token=bindparam("new_token"),
        covers=bindparam("new_covers"),
        published_at=bindparam("at"),
        version=bindparam("new_version"),
    )
)
_STORED = select(status_lists.c.version, status_lists.c.token, status_lists.c.ttl).where(
    status_lists.c.tenant == bindparam("of_tenant"),
    status_lists.c.number == bindparam("of_number"),
)


class Publisher(Protocol):
    """Whose lists are published."""

    @property
    def status_key(self) -> Signer:
        """Signs its lists."""
        ...

    def status_uri(self, number: int) -> str:
        """Where list *number* lies."""
        ...


def sign_list(
    publisher: Publisher, number: int, statuses: StatusList, *, ttl: int, now: datetime
) -> str:
    """The Status List Token of list *number* (ST-10, ST-42)."""
    return sign_token(
        statuses,
        uri=publisher.status_uri(number),
        signer=publisher.status_key,
        now=now,
        ttl=timedelta(seconds=ttl),
        expires_in=EXPIRES,
    )


@dataclass(slots=True)
class _Built:
    statuses: StatusList
    covers: int
    version: int


class ListBuilder:
    """The lists as the publishing job keeps them. One for each process; used by one thread."""

    def __init__(self, database: Database, indexes: Indexes, random_bytes: RandomBytes) -> None:
        self._database = database
        self._indexes = indexes
        self._random_bytes = random_bytes
        self._lists: dict[tuple[str, int], _Built] = {}
        self._seen: datetime | None = None

    def publish(self, tenants: Mapping[str, Publisher], *, now: datetime) -> int:
        """Publish every list that changed or grows old; returns how many."""
        with self._database.reading() as connection:
            rows = {
                (row.tenant, row.number): row for row in connection.execute(_LISTS, {"now": now})
            }
            if self._seen is None:
                places = list(connection.execute(_NOT_VALID))
            else:
                since = self._seen - _OVERLAP
                places = list(connection.execute(_CHANGED, {"since": since}))
        fresh = {key for key in rows if key not in self._lists}
        if self._seen is not None and fresh:
            with self._database.reading() as connection:
                places += [
                    place
                    for place in connection.execute(_NOT_VALID)
                    if (place.tenant, place.list) in fresh
                ]
        for key, row in rows.items():
            self._keep_up(key, row.covers, row.version)
        changed = set()
        for place in places:
            built = self._lists.get((place.tenant, place.list))
            status = STATES[place.state]
            if built is not None and built.statuses.get(place.idx) != status:
                built.statuses.set(place.idx, status)
                changed.add((place.tenant, place.list))
        self._seen = now
        published = 0
        for key, row in rows.items():
            old = now - row.published_at >= _RENEW
            if (key in changed or old) and (publisher := tenants.get(row.tenant)) is not None:
                published += self._publish(
                    publisher, row.number, key, row.ttl, row.published_at, now
                )
        for key in set(self._lists) - set(rows):
            del self._lists[key]
        return published

    def _keep_up(self, key: tuple[str, int], covers: int, version: int) -> None:
        built = self._lists.get(key)
        if built is None:
            built = _Built(StatusList.empty(BITS, self._indexes.size), 0, version)
            self._lists[key] = built
        if covers > built.covers:
            built.statuses.set_all(self._indexes.cover(*key, built.covers, covers), Status.INVALID)
        built.covers, built.version = covers, version

    def _publish(  # noqa: PLR0917 - one caller
        self,
        publisher: Publisher,
        number: int,
        key: tuple[str, int],
        ttl: int,
        published_at: datetime,
        now: datetime,
    ) -> bool:
        built = self._lists[key]
        covers = min(
            built.covers + 1 + self._random_bytes(1)[0] % 3, self._indexes.size // RESERVED
        )
        cover = self._indexes.cover(*key, built.covers, covers)
        built.statuses.set_all(cover, Status.INVALID)
        built.covers = covers
        # A newer list is never dated as an older one: who remembers the newest iat takes it.
        at = max(now, published_at + timedelta(seconds=1))
        token = sign_list(publisher, number, built.statuses, ttl=ttl, now=at)
        with self._database.single() as connection:
            stored = once(
                connection,
                _STORE,
                {
                    "of_tenant": key[0],
                    "of_number": number,
                    "of_version": built.version,
                    "new_token": token,
                    "new_covers": covers,
                    "at": at,
                    "new_version": built.version + 1,
                },
            )
        if not stored:  # another replica was faster: begin this list anew at the next tick
            del self._lists[key]
            self._seen = None
        return stored


@dataclass(frozen=True, slots=True)
class Served:
    """One token, ready to send."""

    version: int
    token: bytes
    packed: bytes
    etag: str
    max_age: int


class PublishedLists:
    """The tokens as this process serves them: from memory, looked up again after a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._served: dict[tuple[str, int], tuple[datetime, Served]] = {}

    def fresh(self, tenant: str, number: int, *, now: datetime) -> Served | None:
        """What memory holds, if it was looked up within the last second."""
        held = self._served.get((tenant, number))
        if held is not None and abs(now - held[0]) < _LOOK_AGAIN:
            return held[1]
        return None

    def get(self, tenant: str, number: int, *, now: datetime) -> Served:
        """The token of list *number*.

        Raises:
            NotFound: there is no such list.
        """
        if (held := self.fresh(tenant, number, now=now)) is not None:
            return held
        with self._lock:
            if (held := self.fresh(tenant, number, now=now)) is not None:
                return held
            with self._database.reading() as connection:
                row = connection.execute(
                    _STORED, {"of_tenant": tenant, "of_number": number}
                ).one_or_none()
            if row is None:
                raise NotFound("status list: unknown")
            before = self._served.get((tenant, number))
            if before is not None and before[1].version == row.version:
                served = before[1]
            else:
                served = _served(row.version, row.token.encode(), row.ttl)
            self._served[tenant, number] = now, served
            return served


def _served(version: int, token: bytes, ttl: int) -> Served:
    return Served(
        version=version,
        token=token,
        packed=gzip.compress(token, 9, mtime=0),
        etag=f'"{hashlib.sha256(token).hexdigest()[:32]}"',
        max_age=ttl,
    )


def all_lists(database: Database, tenant: str, *, now: datetime) -> list[int]:
    """The numbers of all lists of *tenant* that some credential may still point to (ST-43)."""
    with database.reading() as connection:
        rows = connection.execute(_LISTS.where(status_lists.c.tenant == tenant), {"now": now})
        return sorted(row.number for row in rows)
