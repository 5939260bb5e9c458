"""A new recovery or revocation code in the place of one that is lost, or that somebody has seen.

The browser makes it and has it typed back before anything is asked for; the approval's gesture ends
the old one in the same guarded statement, with a recovery that was begun by it. As at the
beginning, here arrives only what is derived from a code, and is kept as a MAC; the new recovery
code's keys are another unlocker, to which the browser seals both roots.

Specification: WALLET_SECURITY, sections 2, 4 and 6; DESIGN 2.6.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, delete, exists, select, update

from shared.encoding import JsonValue, b64url_decode, b64url_encode
from shared.errors import Conflict, InvalidInput
from shared.runtime.database import once

from . import approving, logbook, share_renewing
from .approving import Approved
from .context import Wallet
from .recovering import recovery_unlocker
from .registering import NewUnlocker, add_unlocker, code_mac, new_id
from .tables import codes, unlockers, wallets, wraps
from .vault import (
    PURPOSES,
    OpenWallet,
    Purpose,
    check_unlockers,
    hold_unlockers,
    renew_unlockers_mac,
    share_of,
)

Kind = Literal["recovery", "revocation"]


class CodeTaken(Conflict):
    """Another new code came first, or somebody has this one."""

    code = "code_taken"
    public = (
        "This new code cannot be used: another one came first. The code that counts is unchanged."
    )
    next_step = "Make another new code."


def propose(
    wallet: Wallet,
    opened: OpenWallet,
    kind: Kind,
    *,
    lookup: bytes,
    keys: tuple[bytes, bytes] | None,
    now: datetime,
) -> str:
    """Ask the citizen to approve the new code; returns the approval's id.

    Args:
        wallet: the service.
        opened: whose wallet.
        kind: which of the two codes.
        lookup: what is derived from the new code; the payload names its hash, as it finds a wallet.
        keys: public keys (read, act) of a recovery code.
        now: of the approval.
    """
    new: dict[str, JsonValue] = {
        "kind": kind,
        "lookup_hash": b64url_encode(hashlib.sha256(lookup).digest()),
        "mac": b64url_encode(code_mac(wallet, kind, lookup)),
    }
    if keys is not None:
        read_key, act_key = keys
        new |= {
            "unlocker": new_id(wallet, "unl"),
            "read_key": b64url_encode(read_key),
            "act_key": b64url_encode(act_key),
        }
    mine = (codes.c.wallet == opened.id) & (codes.c.kind == kind)
    with wallet.database.transaction() as connection:
        new["replaces"] = b64url_encode(
            connection.execute(select(codes.c.mac).where(mine)).scalar_one()
        )
        return approving.propose(
            wallet, connection, opened, kind="replace_code", body={"code": new}, now=now
        )


def replace(
    wallet: Wallet,
    opened: OpenWallet,
    approved: Approved,
    wraps_of_new: Mapping[Purpose, bytes],
    *,
    now: datetime,
) -> None:
    """The new code counts from now on, and the old one opens and blocks nothing any more.

    Raises:
        CodeTaken: the old one was replaced by another meanwhile.
    """
    if approved.type != "replace_code":
        raise approving.ApprovalUsed("code: approved for something else")
    new = approved.payload["code"]
    kind, mac = new["kind"], b64url_decode(new["mac"])
    inner = None
    if kind == "recovery":
        if set(wraps_of_new) != set(PURPOSES):
            raise InvalidInput("code: both roots must be sealed to the new keys")
        inner = NewUnlocker(
            b64url_decode(new["read_key"]), b64url_decode(new["act_key"]), wraps_of_new
        )
    other = codes.alias()
    guarded = (
        update(codes)
        .where(
            codes.c.wallet == opened.id,
            codes.c.kind == kind,
            codes.c.mac == b64url_decode(new["replaces"]),
            ~exists().where(other.c.mac == mac),
        )
        .values(mac=mac, not_before=None)
    )

    def exchange(connection: Connection) -> None:
        check_unlockers(connection, opened.id, opened.k_read)
        if not once(connection, guarded):
            raise CodeTaken("code: replaced meanwhile, or the same as another")
        if inner is not None:
            former = recovery_unlocker(connection, opened.id)
            connection.execute(delete(wraps).where(wraps.c.unlocker == former))
            connection.execute(delete(unlockers).where(unlockers.c.id == former))
            share = share_of(wallet, opened.id)
            add_unlocker(
                connection, inner, unlocker=new["unlocker"], wallet_id=opened.id, share=share
            )
            renew_unlockers_mac(connection, opened.id, opened.k_read)
            proven = update(wallets).where(wallets.c.id == opened.id).values(backed_up=True)
            connection.execute(proven)
        logbook.append(
            connection,
            opened,
            kind="code_replaced",
            result=kind,
            body={"unlocker": approved.unlocker, **approved.receipt()},
            now=now,
        )

    if kind == "recovery":
        share_renewing.removing(
            wallet,
            opened.id,
            exchange,
            unlocker=lambda connection: recovery_unlocker(connection, opened.id),
        )
        return
    with wallet.database.transaction() as connection:
        hold_unlockers(connection, opened.id)
        exchange(connection)
