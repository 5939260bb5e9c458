"""A lost passkey is struck off, by approval of one that stays: it opens nothing any more.

Its wraps, its public keys and the sessions it opened go in one transaction, and `S` with them, so
that a backup of its wraps opens no more than they do; the roots stay as they are (ADR 0018). The
last passkey cannot be struck off: the way out is to delete the wallet.

Specification: WALLET_SECURITY, sections 2 and 4; DESIGN 2.6.
"""

from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from shared.encoding import JsonValue
from shared.errors import Conflict, NotFound
from shared.runtime.database import once

from . import approving, logbook, passkeys, share_renewing
from .approving import Approved
from .context import Wallet
from .tables import sessions, unlockers, wraps
from .vault import (
    OpenWallet,
    check_unlockers,
    renew_unlockers_mac,
    unlockers_of,
)


class LastPasskey(Conflict):
    """Without it nobody could approve anything."""

    code = "last_passkey"
    public = "This is the only passkey of the wallet."
    next_step = "Add another passkey first, or delete the wallet."


def propose(wallet: Wallet, opened: OpenWallet, unlocker: str, *, now: datetime) -> str:
    """Ask the citizen to approve that *unlocker* goes; returns the approval's id."""
    with wallet.database.transaction() as connection:
        found = unlockers_of(connection, opened.id)
        known = [str(each["id"]) for each in found if each["kind"] == "passkey"]
        if unlocker not in known:
            raise NotFound("unlocker: not a passkey of this wallet")
        if len(known) == 1:
            raise LastPasskey("unlocker: the only passkey")
        body: dict[str, JsonValue] = {"unlocker": {"id": unlocker, "kind": "passkey"}}
        return approving.propose(
            wallet, connection, opened, kind="remove_unlocker", body=body, now=now
        )


def strike_off(wallet: Wallet, opened: OpenWallet, approved: Approved, *, now: datetime) -> None:
    """Remove the passkey with everything that it opens.

    Raises:
        LastPasskey: the others were struck off meanwhile.
        NotApproved: the passkey approved its own end; one that stays has to.
    """
    if approved.type != "remove_unlocker":
        raise approving.ApprovalUsed("unlocker: approved for something else")
    unlocker = approved.payload["unlocker"]["id"]

    def remove(connection: Connection) -> None:
        left = select(func.count()).where(
            unlockers.c.wallet == opened.id, unlockers.c.kind == "passkey"
        )
        if connection.execute(left).scalar_one() < 2:  # it, and one that stays
            raise LastPasskey("unlocker: the only passkey")
        check_unlockers(connection, opened.id, opened.k_read)
        used = select(unlockers.c.id).where(
            unlockers.c.credential_id == passkeys.credential_id(approved.assertion)
        )
        if connection.execute(used).scalar_one_or_none() in {unlocker, None}:
            raise passkeys.NotApproved("unlocker: not approved by one that stays")
        gone = delete(unlockers).where(unlockers.c.id == unlocker, unlockers.c.wallet == opened.id)
        if not once(connection, gone):
            raise NotFound("unlocker: struck off already")
        connection.execute(delete(wraps).where(wraps.c.unlocker == unlocker))
        connection.execute(
            delete(sessions).where(sessions.c.wallet == opened.id, sessions.c.unlocker == unlocker)
        )
        renew_unlockers_mac(connection, opened.id, opened.k_read)
        logbook.append(
            connection,
            opened,
            kind="unlocker_removed",
            result="done",
            body={"unlocker": unlocker, **approved.receipt()},
            now=now,
        )

    share_renewing.removing(wallet, opened.id, remove, unlocker=lambda _: str(unlocker))
