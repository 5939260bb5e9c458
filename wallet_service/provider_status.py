"""The wallet provider's own Status Lists: a place for each client instance, and what became of it.

A client instance is what one issuance presents to one agency, so no two agencies ever see the same
place (WALLET_SECURITY 7). Whoever blocks or deletes a wallet revokes all its instances at once. A
job writes what changed into the lists, together with places that belong to nobody (ST-33).

Specification: TS3 (wallet unit attestation), sections 2.4 and 2.5; Token Status List; PROFILE
ST-10, ST-31 to ST-33, ST-40 to ST-42, E-03.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from shared.crypto.keys import Signer
from shared.crypto.sealing import hkdf
from shared.encoding import RandomBytes
from shared.errors import NotFound, Unavailable
from shared.formats.index_permutation import IndexPermutation
from shared.formats.status_dates import dated, misdated
from shared.formats.status_list import (
    DEFAULT_SIZE,
    MEDIA_TYPE,
    StatusList,
    StatusReference,
    sign_token,
)
from shared.formats.status_states import Status
from shared.runtime.database import Database, insert_once
from shared.runtime.published import Published, form, pack

from .tables import attestation_lists, attestation_status

KEPT = timedelta(days=400)  # TS3 2.4.2: at least 31 days whenever an attestation is presented
_SHORTEST, _LONGEST = timedelta(days=31), timedelta(days=3650)
_MANY_SECONDS = 10**9
KEYSTORE = "keystore"
_BITS = 2
_TTL = timedelta(seconds=300)  # ST-42
_EXPIRES = timedelta(hours=24)
_RENEW = timedelta(hours=12)
_RESERVED = 64  # one in so many places is never given out: those change as cover
_ATTEMPTS = 20
_STATES = {"suspended": Status.SUSPENDED, "revoked": Status.INVALID}


@dataclass(frozen=True, slots=True)
class ProviderLists:
    """The lists of this wallet provider.

    Attributes:
        places_key: 32 secret bytes; each list is filled in an order of its own under it.
        url: where the lists lie, `<url>/<number>`.
    """

    database: Database
    signer: Signer
    places_key: bytes
    url: str
    random_bytes: RandomBytes
    size: int = DEFAULT_SIZE

    def take(self, wallet: str, *, now: datetime) -> StatusReference:
        """A place of its own for one client instance of *wallet* (ST-31)."""
        until = _day(now + KEPT)
        for _ in range(_ATTEMPTS):
            with self.database.transaction() as connection:
                found = self._next(connection, until)
                if found is not None:
                    number, place = found
                    connection.execute(
                        insert(attestation_status).values(
                            list=number, idx=place, wallet=wallet, state="valid", needed_until=until
                        )
                    )
                    return StatusReference(place, f"{self.url}/{number}")
                highest = connection.execute(select(func.max(attestation_lists.c.number))).scalar()
                self._begin(connection, (highest or 0) + 1, until, now)
        raise Unavailable("attestation status: no place could be taken")

    def of_keystore(self, kind: str, *, now: datetime) -> StatusReference:
        """The one place that all key attestations of a kind of key store share (TS3 2.5.2)."""
        owner = f"{KEYSTORE}/{kind}"
        statement = (
            select(attestation_status.c.list, attestation_status.c.idx)
            .where(attestation_status.c.wallet == owner)
            .order_by(attestation_status.c.list, attestation_status.c.idx)
            .limit(1)
        )
        with self.database.reading() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            self.take(owner, now=now)
            with self.database.reading() as connection:  # of two processes both take the first one
                row = connection.execute(statement).one()
        return StatusReference(row.idx, f"{self.url}/{row.list}")

    def state(self, place: StatusReference) -> str:
        """What became of the client instance at *place*; `revoked` once it is forgotten."""
        number = int(place.uri.rpartition("/")[2])
        statement = select(attestation_status.c.state).where(
            attestation_status.c.list == number, attestation_status.c.idx == place.index
        )
        with self.database.reading() as connection:
            return str(connection.execute(statement).scalar_one_or_none() or "revoked")

    def keep(self, place: StatusReference, *, seconds: int | None, now: datetime) -> datetime:
        """Until when it is promised that the status at *place* is maintained.

        The place is kept at least as long, and longer while it is in use.

        Args:
            place: of a client instance, or of a kind of key store.
            seconds: how long its issuer prefers that to be; the promise is the next day's begin
                after it, never below what TS3 demands, and ten years at the most.
            now: the promise begins.

        Specification: TS3, section 2.4.2.
        """
        number, until = int(place.uri.rpartition("/")[2]), _day(now + KEPT)
        promised = until
        if seconds is not None:
            wished = min(timedelta(seconds=min(seconds, _MANY_SECONDS)), _LONGEST)
            promised = _day(now + max(wished, _SHORTEST)) + timedelta(days=1)
            until = max(until, promised)
        with self.database.transaction() as connection:
            connection.execute(
                update(attestation_status)
                .where(
                    attestation_status.c.list == number,
                    attestation_status.c.idx == place.index,
                    attestation_status.c.needed_until < until,
                )
                .values(needed_until=until)
            )
            connection.execute(
                update(attestation_lists)
                .where(
                    attestation_lists.c.number == number, attestation_lists.c.needed_until < until
                )
                .values(needed_until=until)
            )
        return promised

    def publish(self, now: datetime) -> None:
        """Sign every list in which something changed, or that grows old."""
        with self.database.reading() as connection:
            lists = connection.execute(
                select(attestation_lists).where(attestation_lists.c.needed_until > now)
            ).all()
        for each in lists:
            self._publish(each, now)

    def published(self, number: int) -> Published:
        """The token of list *number* as it was published last; raises NotFound."""
        statement = select(attestation_lists.c.version, attestation_lists.c.token).where(
            attestation_lists.c.number == number
        )
        with self.database.reading() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            raise NotFound("status list: unknown")
        return _packed(row.version, row.token)

    def _next(self, connection: Connection, until: datetime) -> tuple[int, int] | None:
        lists = attestation_lists.c
        newest = select(func.max(lists.number)).scalar_subquery()
        taken = (
            update(attestation_lists)
            .where(lists.number == newest, lists.taken < self.size - self.size // _RESERVED)
            .values(taken=lists.taken + 1, needed_until=until)
            .returning(lists.number, lists.taken)
        )
        row = connection.execute(taken).one_or_none()
        return None if row is None else (row[0], self._order(row[0]).index(row[1] - 1))

    def _begin(self, connection: Connection, number: int, until: datetime, now: datetime) -> None:
        row = {
            "number": number,
            "taken": 0,
            "covers": 0,
            "needed_until": until,
            "published_at": now,
            "version": 1,
            "digest": b"",
            "token": self._sign(number, StatusList.empty(_BITS, self.size), now),
        }
        insert_once(connection, attestation_lists, row)

    def _publish(self, row: Row[Any], now: datetime) -> None:
        number = row.number
        places = self._places(number)
        digest = hashlib.sha256(repr(places).encode()).digest() if places else b""
        fresh = now - row.published_at < _RENEW and not misdated(now, row.published_at)
        if digest == row.digest and fresh:
            return
        statuses = StatusList.empty(_BITS, self.size)
        order = self._order(number)
        covers = min(row.covers + 1 + self.random_bytes(1)[0] % 3, self.size // _RESERVED)
        cover = [order.index(self.size - 1 - each) for each in range(covers)]
        statuses.set_all(cover, Status.INVALID)
        for place, state in places:
            statuses.set(place, _STATES[state])
        at = dated(now, row.published_at)
        stored = (
            update(attestation_lists)
            .where(attestation_lists.c.number == number, attestation_lists.c.version == row.version)
            .values(
                token=self._sign(number, statuses, at),
                covers=covers,
                digest=digest,
                published_at=at,
                version=row.version + 1,
            )
        )
        with self.database.single() as connection:  # another replica may have been faster
            connection.execute(stored)

    def _places(self, number: int) -> Sequence[tuple[int, str]]:
        statuses = attestation_status.c
        statement = (
            select(statuses.idx, statuses.state)
            .where(statuses.list == number, statuses.state != "valid")
            .order_by(statuses.idx)
        )
        with self.database.reading() as connection:
            return [(row.idx, row.state) for row in connection.execute(statement)]

    def _order(self, number: int) -> IndexPermutation:
        return IndexPermutation(hkdf(self.places_key, "attestations", str(number)), self.size)

    def _sign(self, number: int, statuses: StatusList, now: datetime) -> str:
        return sign_token(
            statuses,
            uri=f"{self.url}/{number}",
            signer=self.signer,
            now=now,
            ttl=_TTL,
            expires_in=_EXPIRES,
        )


def revoke(connection: Connection, wallet: str) -> None:
    """End every client instance of *wallet*, for ever (WALLET_SECURITY 6: lost phone, deletion)."""
    _move(connection, wallet, ("valid", "suspended"), "revoked")


def let_go(connection: Connection, wallet: str) -> None:
    """Forget whose the instances of a deleted *wallet* were; their places stay revoked."""
    mine = attestation_status.c.wallet == wallet
    connection.execute(update(attestation_status).where(mine).values(wallet=""))


def suspend(connection: Connection, wallet: str) -> None:
    """Stop every client instance of *wallet* until `reinstate`."""
    _move(connection, wallet, ("valid",), "suspended")


def reinstate(connection: Connection, wallet: str) -> None:
    """Undo `suspend`; what was revoked stays so."""
    _move(connection, wallet, ("suspended",), "valid")


def _move(connection: Connection, wallet: str, before: tuple[str, ...], after: str) -> None:
    statuses = attestation_status.c
    connection.execute(
        update(attestation_status)
        .where(statuses.wallet == wallet, statuses.state.in_(before))
        .values(state=after)
    )


@lru_cache(maxsize=16)
def _packed(version: int, token: str) -> Published:
    content = token.encode()
    forms = (form(MEDIA_TYPE, content, packed=pack(content)),)
    return Published(version, forms, int(_TTL.total_seconds()))


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
