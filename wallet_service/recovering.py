"""The second way in and the emergency brake: recovery code and revocation code.

The recovery code is an unlocker of its own, whose keys the browser derives; it opens *recover* and
*add a passkey*, and nothing can be presented with it. The revocation code freezes a wallet from
any device and reads nothing. Both are known here by a MAC only.

Specification: WALLET_SECURITY, sections 2 and 6.
"""

import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, delete, select, update

from shared.encoding import JsonValue, b64url_encode
from shared.errors import Conflict, NotFound
from shared.runtime.database import once

from . import logbook, provider_status, sessions
from .context import Wallet
from .registering import (
    NewUnlocker,
    add_unlocker,
    code_mac,
    open_ticket,
    passkey_options,
    verify_passkey,
)
from .tables import codes, unlockers, wallets
from .tables import sessions as session_rows
from .vault import (
    OpenWallet,
    WalletAltered,
    check_unlockers,
    hold_unlockers,
    inner_wraps,
    renew_unlockers_mac,
    share_of,
)


class TooEarly(Conflict):
    """The waiting period after a recovery code was typed, so that its owner may notice a thief."""

    code = "recovery_waiting"
    public = "Recovery has begun. For your safety it can be finished only after the waiting period."
    next_step = "Come back at the time given in not_before."


# -- Proof that the code was kept ---------------------------------------------------------------


def begin_proof(wallet: Wallet, opened: OpenWallet, lookup: bytes) -> dict[str, JsonValue]:
    """The inner wrap for the recovery code that was typed back; it opens with that code only."""
    with wallet.database.reading() as connection:
        if _code(connection, wallet, "recovery", lookup)["wallet"] != opened.id:
            raise NotFound("recovery: not the code of this wallet")
        unlocker = recovery_unlocker(connection, opened.id)
        wraps = inner_wraps(wallet, connection, opened.id, "read")
    return {"unlocker": unlocker, "read_wrap": b64url_encode(wraps[unlocker])}


def finish_proof(wallet: Wallet, opened: OpenWallet, k_read: bytes, *, now: datetime) -> None:
    """The recovery code has worked once: it opened the root that is open here.

    Raises:
        WalletAltered: it opened something else.
    """
    if not hmac.compare_digest(k_read, opened.k_read):
        raise WalletAltered("recovery: the code opened another root")
    with wallet.database.transaction() as connection:
        mark = (
            update(wallets)
            .where(wallets.c.id == opened.id, wallets.c.backed_up.is_(False))
            .values(backed_up=True)
        )
        if once(connection, mark):
            logbook.append(
                connection, opened, kind="second_unlocker_proven", result="done", body={}, now=now
            )


# -- Recovery: the code, a waiting period, a new passkey -----------------------------------------


def begin_recovery(wallet: Wallet, lookup: bytes, *, now: datetime) -> datetime:
    """The code was typed on a new device: from *the returned time* on it may be finished."""
    not_before = now + timedelta(hours=wallet.settings.recovery_hours)
    with wallet.database.transaction() as connection:
        row = _code(connection, wallet, "recovery", lookup)
        if row["not_before"] is not None:
            found: datetime = row["not_before"]
            return found
        connection.execute(
            update(codes).where(codes.c.mac == row["mac"]).values(not_before=not_before)
        )
    return not_before


def cancel_recovery(wallet: Wallet, opened: OpenWallet) -> None:
    """The citizen, in an open wallet, says it was not they who began it."""
    statement = (
        update(codes)
        .where(codes.c.wallet == opened.id, codes.c.kind == "recovery")
        .values(not_before=None)
    )
    with wallet.database.single() as connection:
        connection.execute(statement)


def open_recovery(wallet: Wallet, lookup: bytes, *, now: datetime) -> dict[str, JsonValue]:
    """After the waiting period: the code's inner wraps, and options for a new passkey."""
    with wallet.database.reading() as connection:
        row = _due(connection, wallet, lookup, now=now)
        unlocker = recovery_unlocker(connection, row["wallet"])
        read = inner_wraps(wallet, connection, row["wallet"], "read")[unlocker]
        act = inner_wraps(wallet, connection, row["wallet"], "act")[unlocker]
    return {
        "unlocker": unlocker,
        "read_wrap": b64url_encode(read),
        "act_wrap": b64url_encode(act),
        **passkey_options(wallet, row["wallet"], "recover", now=now),
    }


def finish_recovery(
    wallet: Wallet,
    lookup: bytes,
    *,
    token: str,
    creation: Mapping[str, JsonValue],
    assertion: Mapping[str, JsonValue],
    new: NewUnlocker,
    k_read: bytes,
    now: datetime,
) -> sessions.NewSession:
    """The new passkey opens the old wallet; a frozen wallet is in use again.

    Raises:
        WalletAltered: *k_read* is not this wallet's root.
    """
    ticket = open_ticket(wallet, "recover", token, now=now)
    credential = verify_passkey(wallet, ticket, creation, assertion)
    wallet_id = ticket["wallet"]
    with wallet.database.transaction() as connection:
        hold_unlockers(connection, wallet_id)
        if _due(connection, wallet, lookup, now=now)["wallet"] != wallet_id:
            raise NotFound("recovery: begun for another wallet")
        check_unlockers(connection, wallet_id, k_read)
        add_unlocker(
            connection,
            new,
            unlocker=ticket["passkey"],
            wallet_id=wallet_id,
            share=share_of(wallet, wallet_id),
            credential=credential,
        )
        renew_unlockers_mac(connection, wallet_id, k_read)
        connection.execute(
            update(codes)
            .where(codes.c.wallet == wallet_id, codes.c.kind == "recovery")
            .values(not_before=None)
        )
        connection.execute(
            update(wallets).where(wallets.c.id == wallet_id).values(state="active", backed_up=True)
        )
        provider_status.reinstate(connection, wallet_id)
        session = sessions.start_session(
            wallet,
            connection,
            wallet_id=wallet_id,
            unlocker=ticket["passkey"],
            k_read=k_read,
            now=now,
        )
        logbook.append(
            connection,
            session.opened,
            kind="recovered",
            result="done",
            body={"unlocker": ticket["passkey"]},
            now=now,
        )
    return session


def revoke(wallet: Wallet, lookup: bytes) -> None:
    """Lost phone: sessions dropped, signing frozen, attestations suspended until it is recovered.

    Reads nothing, and can be repeated.
    """
    with wallet.database.transaction() as connection:
        wallet_id = _code(connection, wallet, "revocation", lookup)["wallet"]
        connection.execute(update(wallets).where(wallets.c.id == wallet_id).values(state="frozen"))
        connection.execute(delete(session_rows).where(session_rows.c.wallet == wallet_id))
        provider_status.suspend(connection, wallet_id)


def _code(connection: Connection, wallet: Wallet, kind: str, lookup: bytes) -> RowMapping:
    statement = select(codes).where(
        codes.c.kind == kind, codes.c.mac == code_mac(wallet, kind, lookup)
    )
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise NotFound("code: unknown")
    return row


def _due(connection: Connection, wallet: Wallet, lookup: bytes, *, now: datetime) -> RowMapping:
    row = _code(connection, wallet, "recovery", lookup)
    if row["not_before"] is None or now < row["not_before"]:
        raise TooEarly("recovery: before its time")
    return row


def recovery_unlocker(connection: Connection, wallet_id: str) -> str:
    """The id of the recovery code as an unlocker."""
    statement = select(unlockers.c.id).where(
        unlockers.c.wallet == wallet_id, unlockers.c.kind == "recovery"
    )
    return str(connection.execute(statement).scalar_one())
