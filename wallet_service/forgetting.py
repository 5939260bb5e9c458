"""Deleting an entry of the log: what it said goes, that it was there stays.

Its hashes remain, so that the chain still holds, and the deletion is an entry itself.
Specification: WALLET_SECURITY, sections 4 and 8; PAIN_POINTS 18.
"""

from datetime import datetime

from sqlalchemy import Connection, select, update

from shared.encoding import JsonValue
from shared.errors import NotFound
from shared.runtime.database import once

from . import approving, logbook
from .approving import Approved
from .context import Wallet
from .tables import log_entries
from .vault import OpenWallet


def propose(wallet: Wallet, opened: OpenWallet, seq: int, *, now: datetime) -> str:
    """Ask the citizen to approve that entry *seq* is forgotten; returns the approval's id."""
    body: dict[str, JsonValue] = {"entry": seq}
    with wallet.database.transaction() as connection:
        _check(connection, opened, seq)
        return approving.propose(
            wallet, connection, opened, kind="delete_log_entry", body=body, now=now
        )


def forget(wallet: Wallet, opened: OpenWallet, approved: Approved, *, now: datetime) -> None:
    """Remove the body of the approved entry."""
    seq = approved.payload["entry"]
    emptied = (
        update(log_entries)
        .where(
            log_entries.c.wallet == opened.id,
            log_entries.c.seq == seq,
            log_entries.c.body.is_not(None),
        )
        .values(body=None)
    )
    with wallet.database.transaction() as connection:
        if not once(connection, emptied):
            raise NotFound("log: no such entry with content")
        logbook.append(
            connection,
            opened,
            kind="entry_deleted",
            result="done",
            body={"seq": seq, **approved.receipt()},
            now=now,
        )


def _check(connection: Connection, opened: OpenWallet, seq: int) -> None:
    statement = select(log_entries.c.seq).where(
        log_entries.c.wallet == opened.id,
        log_entries.c.seq == seq,
        log_entries.c.body.is_not(None),
    )
    if connection.execute(statement).one_or_none() is None:
        raise NotFound("log: no such entry with content")
