"""Status List Tokens: what changed is put into the lists in ticks, signed, and served from memory.

A job that one replica holds at a time applies the changes of the last tick to the lists it keeps in
memory, changes a few places that belong to nobody as cover (ST-33), signs and stores the token.
Every process serves what is stored from its memory and looks for a newer version at most once a
second, so a change is seen within five seconds everywhere.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, Row, bindparam, select, update

from shared.crypto.keys import Signer
from shared.encoding import RandomBytes
from shared.errors import NotFound, Unavailable
from shared.formats import status_cwt, status_list
from shared.formats.status_dates import dated, misdated
from shared.formats.status_list import StatusList
from shared.formats.status_states import Status
from shared.runtime.database import Database, once
from shared.runtime.logs import get_log
from shared.runtime.published import Published, form, pack

from .indexes import RESERVED, Indexes
from .tables import copies, issuances, status_lists

log = get_log(__name__)

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
    status_lists.c.cwt.is_(None).label("incomplete"),
).where(status_lists.c.needed_until > bindparam("now"))
_PLACES = select(
    copies.c.tenant, copies.c.list, copies.c.idx, issuances.c.state, issuances.c.changed_at
).join_from(
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
        packed=bindparam("new_packed"),
        cwt=bindparam("new_cwt"),
        covers=bindparam("new_covers"),
        published_at=bindparam("at"),
        version=bindparam("new_version"),
    )
)
_THIS = (status_lists.c.tenant == bindparam("of_tenant")) & (
    status_lists.c.number == bindparam("of_number")
)
_VERSION = select(status_lists.c.version).where(_THIS)
_STORED = select(
    status_lists.c.version,
    status_lists.c.token,
    status_lists.c.packed,
    status_lists.c.cwt,
    status_lists.c.ttl,
).where(_THIS)


class Publisher(Protocol):
    """Whose lists are published."""

    @property
    def status_key(self) -> Signer:
        """Signs its lists."""
        ...

    def status_uri(self, number: int) -> str:
        """Where list *number* lies."""
        ...


@dataclass(frozen=True, slots=True)
class Forms:
    """One version of a list as it is stored: JWT, the same in gzip, CWT."""

    token: str
    packed: bytes
    cwt: bytes


class _Packed(StatusList):
    """A list as it is now, compressed once for both forms."""

    __slots__ = ("_packed",)

    def __init__(self, statuses: StatusList) -> None:
        super().__init__(statuses.bits, b"")
        self._packed = statuses.compress()

    def compress(self) -> bytes:
        """What was packed when this was made."""
        return self._packed


def sign_list(
    publisher: Publisher, number: int, statuses: StatusList, *, ttl: int, now: datetime
) -> Forms:
    """The Status List Token of list *number*, in both forms (ST-10, ST-20, ST-42)."""
    packed = _Packed(statuses)
    uri, signer, kept = publisher.status_uri(number), publisher.status_key, timedelta(seconds=ttl)
    token = status_list.sign_token(
        packed, uri=uri, signer=signer, now=now, ttl=kept, expires_in=EXPIRES
    )
    cwt = status_cwt.sign_token(
        packed, uri=uri, signer=signer, now=now, ttl=kept, expires_in=EXPIRES
    )
    return Forms(token, pack(token.encode()), cwt)


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
        """Publish every list that changed or grows old; returns how many.

        Raises:
            Unavailable: some could not be published; the next run does it.
        """
        with self._database.reading() as connection:
            rows = {
                (row.tenant, row.number): row for row in connection.execute(_LISTS, {"now": now})
            }
            changed = self._read(connection, rows, now)
        self._seen = now
        published, left = 0, 0
        for key, row in rows.items():
            age = now - row.published_at
            old = row.incomplete or age >= _RENEW or misdated(now, row.published_at)
            if (key in changed or old) and (publisher := tenants.get(row.tenant)) is not None:
                try:
                    stored = self._publish(
                        publisher, row.number, key, row.ttl, row.published_at, now
                    )
                except Exception:  # the key of one tenant holds up nobody else
                    log.exception("status_list_not_published", tenant=row.tenant, list=row.number)
                    stored = False
                    left += 1
                published += stored
                if not stored:  # or another replica was faster: begin this list anew
                    del self._lists[key]
        if left:
            raise Unavailable("status lists: some could not be published")
        return published

    def _read(
        self, connection: Connection, rows: Mapping[tuple[str, int], Row[Any]], now: datetime
    ) -> set[tuple[str, int]]:
        """Bring memory to what the database says; returns the lists that are to be published.

        For a list that memory does not hold it counts what changed since its token was signed:
        what is valid again is not to be seen otherwise.
        """
        fresh = rows.keys() - self._lists.keys()
        since = min([self._seen or now, *(rows[key].published_at for key in fresh)])
        not_valid = list(connection.execute(_NOT_VALID)) if fresh else []
        moved = connection.execute(_CHANGED, {"since": since - _OVERLAP}).all()
        for key in self._lists.keys() - rows.keys():
            del self._lists[key]
        for key, row in rows.items():
            self._keep_up(key, row.covers, row.version)
        for place in not_valid:
            if (key := (place.tenant, place.list)) in fresh:
                self._lists[key].statuses.set(place.idx, STATES[place.state])
        changed = set()
        for place in moved:
            key, status = (place.tenant, place.list), STATES[place.state]
            built = self._lists.get(key)
            if built is None:
                continue
            late = key in fresh and place.changed_at >= rows[key].published_at - _OVERLAP
            if late or built.statuses.get(place.idx) != status:
                built.statuses.set(place.idx, status)
                changed.add(key)
        return changed

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
        at = dated(now, published_at)
        signed = sign_list(publisher, number, built.statuses, ttl=ttl, now=at)
        with self._database.single() as connection:
            return once(
                connection,
                _STORE,
                {
                    "of_tenant": key[0],
                    "of_number": number,
                    "of_version": built.version,
                    "new_token": signed.token,
                    "new_packed": signed.packed,
                    "new_cwt": signed.cwt,
                    "new_covers": covers,
                    "at": at,
                    "new_version": built.version + 1,
                },
            )


class PublishedLists:
    """The tokens as this process serves them: from memory, looked up again after a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._served: dict[tuple[str, int], tuple[datetime, Published]] = {}

    def fresh(self, tenant: str, number: int, *, now: datetime) -> Published | None:
        """What memory holds, if it was looked up within the last second."""
        held = self._served.get((tenant, number))
        if held is not None and abs(now - held[0]) < _LOOK_AGAIN:
            return held[1]
        return None

    def get(self, tenant: str, number: int, *, now: datetime) -> Published:
        """The token of list *number*.

        Raises:
            NotFound: there is no such list.
        """
        if (held := self.fresh(tenant, number, now=now)) is not None:
            return held
        with self._lock:
            if (held := self.fresh(tenant, number, now=now)) is not None:
                return held
            before = self._served.get((tenant, number))
            served = self._newer(tenant, number, before[1] if before else None)
            self._served[tenant, number] = now, served
            return served

    def _newer(self, tenant: str, number: int, known: Published | None) -> Published:
        this = {"of_tenant": tenant, "of_number": number}
        with self._database.reading() as connection:
            version = connection.execute(_VERSION, this).scalar_one_or_none()
            if known is not None and known.version == version:
                return known
            row = connection.execute(_STORED, this).one_or_none()
        if row is None:
            raise NotFound("status list: unknown")
        token = row.token.encode()
        forms = [form(status_list.MEDIA_TYPE, token, packed=row.packed or pack(token))]
        if row.cwt is not None:
            forms.append(form(status_cwt.MEDIA_TYPE, row.cwt, packed=None))
        return Published(row.version, tuple(forms), row.ttl)


def all_lists(database: Database, tenant: str, *, now: datetime) -> list[int]:
    """The numbers of all lists of *tenant* that some credential may still point to (ST-43)."""
    with database.reading() as connection:
        rows = connection.execute(_LISTS.where(status_lists.c.tenant == tenant), {"now": now})
        return sorted(row.number for row in rows)
