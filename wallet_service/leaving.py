"""Goodbye: `S` destroyed first, then every row of the wallet; its attestations are revoked.

From the first statement on nothing opens any more, whatever a backup still holds; the share key
that sealed `S` there is destroyed within 35 days. Specification: WALLET_SECURITY, sections 2 and
6; DESIGN 2.8.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from shared.encoding import JsonValue, start_of_day

from . import approving, logbook, provider_status
from .approving import Approved
from .context import Wallet
from .logbook import Head
from .tables import (
    NOT_ACTIVE,
    approvals,
    callbacks,
    codes,
    copies,
    credentials,
    issuances,
    log_entries,
    pictures,
    presentations,
    renewals,
    sessions,
    spare_keys,
    unlockers,
    wallets,
    wraps,
)
from .vault import OpenWallet, destroy_share

BEGUN = "begun"
"""The state of a wallet whose registration has not ended."""
_LEAVING = "leaving"
_ABANDONED = timedelta(days=1)  # no registration takes so long
_OF_A_WALLET = (
    wraps,
    unlockers,
    sessions,
    approvals,
    copies,
    credentials,
    issuances,
    presentations,
    callbacks,
    renewals,
    spare_keys,
    pictures,
    log_entries,
    codes,
)


def propose(wallet: Wallet, opened: OpenWallet, *, now: datetime) -> str:
    """Ask the citizen to approve the end of the wallet; returns the approval's id."""
    body: dict[str, JsonValue] = {"warnings": ["everything_is_deleted"]}
    with wallet.database.transaction() as connection:
        return approving.propose(
            wallet, connection, opened, kind="delete_wallet", body=body, now=now
        )


def delete_wallet(wallet: Wallet, opened: OpenWallet, approved: Approved, *, now: datetime) -> Head:
    """Delete the wallet; the answer is its last log head, the citizen's receipt."""
    if approved.type != "delete_wallet":
        raise approving.ApprovalUsed("leaving: approved for something else")
    with wallet.database.transaction() as connection:
        last = logbook.append(
            connection,
            opened,
            kind="wallet_deleted",
            result="done",
            body=approved.receipt(),
            now=now,
        )
        connection.execute(update(wallets).where(wallets.c.id == opened.id).values(state=_LEAVING))
    erase(wallet, opened.id)
    return last


def finish(wallet: Wallet, *, now: datetime) -> None:
    """End what was interrupted: an approved deletion, and a registration that came to no end."""
    abandoned = (wallets.c.state == BEGUN) & (wallets.c.created_on < start_of_day(now - _ABANDONED))
    with wallet.database.reading() as connection:
        over = select(wallets.c.id).where(NOT_ACTIVE, (wallets.c.state == _LEAVING) | abandoned)
        found = connection.execute(over).scalars().all()
    for wallet_id in found:
        erase(wallet, wallet_id)


def erase(wallet: Wallet, wallet_id: str) -> None:
    """`S` first, then all rows."""
    destroy_share(wallet, wallet_id)
    with wallet.database.transaction() as connection:
        provider_status.revoke(connection, wallet_id)
        provider_status.let_go(connection, wallet_id)
        for table in _OF_A_WALLET:
            connection.execute(delete(table).where(table.c.wallet == wallet_id))
        connection.execute(delete(wallets).where(wallets.c.id == wallet_id))
