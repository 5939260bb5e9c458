"""A second passkey, from an open wallet: created, tried once, approved by a passkey that is there.

The new one only contributes public keys. The browser that approves holds both roots for that
moment and seals them to the new keys, so that the service never sees `K_act`.

Specification: WALLET_SECURITY, sections 2 and 6 (second passkey).
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import update

from shared.encoding import JsonValue, b64url_decode, b64url_encode
from shared.errors import InvalidInput, NotFound

from . import approving, logbook
from .approving import Approved
from .context import Wallet
from .registering import (
    NewUnlocker,
    add_unlocker,
    open_ticket,
    passkey_options,
    verify_passkey,
)
from .tables import wallets
from .vault import (
    PURPOSES,
    OpenWallet,
    Purpose,
    check_unlockers,
    hold_unlockers,
    renew_unlockers_mac,
    share_of,
    unlockers_of,
)


def begin(wallet: Wallet, opened: OpenWallet, *, now: datetime) -> dict[str, JsonValue]:
    """Options for a further passkey of an open wallet."""
    with wallet.database.reading() as connection:
        known = [each["credential_id"] for each in unlockers_of(connection, opened.id)]
    return passkey_options(
        wallet, opened.id, "add", now=now, exclude=[each for each in known if each]
    )


def propose(
    wallet: Wallet,
    opened: OpenWallet,
    *,
    token: str,
    creation: Mapping[str, JsonValue],
    assertion: Mapping[str, JsonValue],
    read_key: bytes,
    act_key: bytes,
    now: datetime,
) -> str:
    """Ask the citizen to approve the new passkey with one they have; returns the approval's id."""
    ticket = open_ticket(wallet, "add", token, now=now)
    if ticket["wallet"] != opened.id:
        raise NotFound("passkey: begun for another wallet")
    credential = verify_passkey(wallet, ticket, creation, assertion)
    body: dict[str, JsonValue] = {
        "unlocker": {
            "id": ticket["passkey"],
            "kind": "passkey",
            "credential_id": b64url_encode(credential["credential_id"]),
            "credential_key": b64url_encode(credential["credential_key"]),
            "sign_count": credential["sign_count"],
            "read_key": b64url_encode(read_key),
            "act_key": b64url_encode(act_key),
        }
    }
    with wallet.database.transaction() as connection:
        return approving.propose(
            wallet, connection, opened, kind="add_unlocker", body=body, now=now
        )


def add(
    wallet: Wallet,
    opened: OpenWallet,
    approved: Approved,
    wraps: Mapping[Purpose, bytes],
    *,
    now: datetime,
) -> None:
    """Store the approved passkey with the roots that the browser sealed to it."""
    new = approved.payload["unlocker"]
    if set(wraps) != set(PURPOSES):
        raise InvalidInput("passkey: both roots must be sealed to the new keys")
    inner = NewUnlocker(b64url_decode(new["read_key"]), b64url_decode(new["act_key"]), wraps)
    with wallet.database.transaction() as connection:
        hold_unlockers(connection, opened.id)
        check_unlockers(connection, opened.id, opened.k_read)
        add_unlocker(
            connection,
            inner,
            unlocker=new["id"],
            wallet_id=opened.id,
            share=share_of(wallet, opened.id),
            credential={
                "credential_id": b64url_decode(new["credential_id"]),
                "credential_key": b64url_decode(new["credential_key"]),
                "sign_count": new["sign_count"],
            },
        )
        renew_unlockers_mac(connection, opened.id, opened.k_read)
        connection.execute(update(wallets).where(wallets.c.id == opened.id).values(backed_up=True))
        logbook.append(
            connection,
            opened,
            kind="unlocker_added",
            result="done",
            body={"unlocker": new["id"], **approved.receipt()},
            now=now,
        )
