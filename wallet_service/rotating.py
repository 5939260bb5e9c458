"""The share key rotates: a deleted `S` that a backup still holds becomes noise within 35 days.

Once a month a new key seals every `S` anew; rows of wallets are not touched. The old key is
destroyed five days later, when backups made before are at most as old as they may get. A key's id
is the day it was made; one without a day (the first of an installation) is replaced at once. All
replicas read the key file again when it changes, and a key is destroyed a day after its successor
came at the earliest, so nothing is ever sealed under a key that goes.

Specification: WALLET_SECURITY, section 2 (share key); DESIGN 5.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from shared.crypto.sealing import Keyring
from shared.encoding import RandomBytes
from shared.runtime.database import Database
from shared.runtime.doctor import Finding
from shared.runtime.keys import KeyDirectory

from .shares.tables import shares

SHARES = "shares"
ROTATES_AFTER = timedelta(days=30)
DESTROYED_AFTER = timedelta(days=35)
_READ_BY_ALL_AFTER = timedelta(days=1)


def rotate(
    database: Database, keys: KeyDirectory, *, now: datetime, random_bytes: RandomBytes
) -> None:
    """Do what is due: a new key, every share under the newest one, old keys destroyed.

    Args:
        database: the shares store.
        keys: with the keyring of the shares; its file is written when a key comes or goes.
        now: decides what is due.
        random_bytes: for the new key.
    """
    ring = keys.latest_keyring(SHARES)
    today = f"{now:%F}"
    if _age(ring.current, now) >= ROTATES_AFTER and today not in ring.keys:
        ring = ring.rotated(today, random_bytes(32))
        keys.store_keyring(SHARES, ring)
    olders = sorted(ring.keys.keys() - {ring.current})
    if olders:
        _seal_again(database, ring)
    for old in olders:
        due = _age(old, now) >= DESTROYED_AFTER and _age(ring.current, now) >= _READ_BY_ALL_AFTER
        if due and not _under(database, ring, old):
            ring = ring.without(old)
            keys.store_keyring(SHARES, ring)


def look(settings: Any) -> Iterator[Finding]:
    """For `doctor`: how old the share key is, and whether an old one should be gone."""
    keys = KeyDirectory.from_settings(settings)
    ring = keys.keyring(SHARES)
    now = datetime.now(UTC)  # noqa: TID251  # a command of its own: there is no context here
    ages = {each: _age(each, now) for each in ring.keys}
    oldest = max(ages.values())
    step = (
        "Let the wallet run with a key directory it may write: it rotates the key by itself."
        if oldest > DESTROYED_AFTER + _READ_BY_ALL_AFTER
        else ""
    )
    days = "unknown" if oldest == timedelta.max else f"{oldest.days} days"
    yield Finding(f"share key: {len(ring.keys)} in use, the oldest is of age {days}", step)


def _age(key_id: str, now: datetime) -> timedelta:
    """Since the day in the id; without a day, as old as can be."""
    try:
        return now.date() - date.fromisoformat(key_id)
    except ValueError:
        return timedelta.max


def _seal_again(database: Database, ring: Keyring) -> None:
    """Each `S` that another key sealed, under the current one, unless its wallet goes meanwhile."""
    for wallet, blob in _rows(database):
        if ring.is_current(blob):
            continue
        aad = wallet.encode()
        anew = ring.seal(ring.open(blob, aad=aad), aad=aad)
        unchanged = (shares.c.wallet == wallet, shares.c.blob == blob)
        with database.single() as connection:
            connection.execute(update(shares).where(*unchanged).values(blob=anew))


def _under(database: Database, ring: Keyring, old: str) -> bool:
    """Whether a share is still sealed under the key *old*."""
    return any(ring.key_id(blob) == old for _, blob in _rows(database))


def _rows(database: Database) -> Iterator[tuple[str, bytes]]:
    """All shares, in pieces, by the wallet's id."""
    last = ""
    while True:
        statement = (
            select(shares.c.wallet, shares.c.blob)
            .where(shares.c.wallet > last)
            .order_by(shares.c.wallet)
            .limit(1000)
        )
        with database.reading() as connection:
            rows = connection.execute(statement).all()
        if not rows:
            return
        yield from ((row.wallet, row.blob) for row in rows)
        last = rows[-1].wallet
