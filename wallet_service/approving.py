"""The approval: what is approved, in full; the gesture that approves it; used once.

The payload is built here, its hash is the WebAuthn challenge, and the citizen's device recomputes
that hash from what it showed. `consume` is the only maker of `Approved`, and every privileged act
takes an `Approved`: nothing of that kind happens by session alone.

Specification: WALLET_SECURITY, section 4; RFC 8785.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, insert, select, update

from shared.encoding import (
    JsonValue,
    b64url_encode,
    canonical_json,
    from_numeric_date,
    to_numeric_date,
)
from shared.errors import Conflict, Forbidden, InvalidInput, NotFound
from shared.runtime.database import once
from shared.runtime.prepared import Prepared

from . import coarse, logbook, passkeys
from .context import Wallet
from .tables import approvals, unlockers, wallets
from .vault import OpenWallet, WalletAltered, check_unlockers, inner_wraps

LIFETIME = timedelta(minutes=10)
_PREFIX = b"citizen-wallet/approve/v1\x00"
_FOUND = Prepared(
    select(
        approvals.c.type, approvals.c.state, approvals.c.payload, approvals.c.payload_hash
    ).where(
        approvals.c.id == bindparam("of_approval"), approvals.c.wallet == bindparam("of_wallet")
    )
)
_USED = Prepared(
    update(approvals)
    .where(approvals.c.id == bindparam("of_approval"), approvals.c.state == "pending")
    .values(state="consumed")
)
_PASSKEY = Prepared(
    select(unlockers.c.id, unlockers.c.credential_key, unlockers.c.sign_count).where(
        unlockers.c.wallet == bindparam("of_wallet"),
        unlockers.c.kind == "passkey",
        unlockers.c.credential_id == bindparam("of_credential"),
    )
)
_STATE = Prepared(select(wallets.c.state).where(wallets.c.id == bindparam("of_wallet")))

ApprovalType = Literal[
    "accept",
    "present",
    "delete_credential",
    "delete_log_entry",
    "add_unlocker",
    "remove_unlocker",
    "replace_code",
    "export",
    "delete_wallet",
]


class ApprovalUsed(Conflict):
    """Consumed, refused or expired: an approval is good for one act."""

    code = "approval_used"
    public = "This was already decided, or took too long."
    next_step = "Start the step again and look at what is asked."


class WalletFrozen(Forbidden):
    """The citizen stopped this wallet with the revocation code."""

    code = "wallet_frozen"
    public = "This wallet was blocked with its revocation code. It can be read, not used."
    next_step = "Use the recovery code to add a new passkey."


@dataclass(frozen=True, slots=True)
class Pending:
    """An approval as the citizen's device gets it."""

    id: str
    type: str
    state: str
    payload: dict[str, Any]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Approved:
    """What one gesture approved, consumed. Made by `consume` alone."""

    id: str
    type: str
    payload: dict[str, Any]
    payload_hash: bytes
    assertion: Mapping[str, JsonValue]
    unlocker: str  # whose gesture it was

    def receipt(self) -> dict[str, JsonValue]:
        """For the log: the citizen's own proof of what was approved."""
        return {
            "payload_hash": b64url_encode(self.payload_hash),
            "assertion": self.assertion,
        }


def challenge_of(payload: Mapping[str, JsonValue]) -> bytes:
    """SHA-256("citizen-wallet/approve/v1" ‖ 0x00 ‖ RFC 8785 form of *payload*)."""
    return hashlib.sha256(_PREFIX + canonical_json(payload)).digest()


def propose(
    wallet: Wallet,
    connection: Connection,
    opened: OpenWallet,
    *,
    kind: ApprovalType,
    body: Mapping[str, JsonValue],
    now: datetime,
    flow: str | None = None,
) -> str:
    """Store what the citizen is to approve; returns the approval's id.

    Args:
        wallet: the service.
        connection: of the transaction it belongs to.
        opened: whose wallet.
        kind: the type of the approval.
        body: what *kind* says beyond version, type, wallet, log head, nonce and expiry.
        now: it is good for ten minutes from then.
        flow: the issuance or presentation it belongs to.
    """
    approval = f"apr_{b64url_encode(wallet.random_bytes(16))}"
    expires_at = now + LIFETIME
    payload: dict[str, JsonValue] = {
        "version": 1,
        "type": kind,
        "approval": approval,
        "flow": flow,
        "wallet": opened.id,
        **logbook.head(connection, opened.id).as_json(),
        "nonce": b64url_encode(wallet.random_bytes(32)),
        "expires": to_numeric_date(expires_at),
        **body,
    }
    connection.execute(
        insert(approvals).values(
            id=approval,
            wallet=opened.id,
            type=kind,
            state="pending",
            payload=opened.seal(approvals, approval, payload),
            payload_hash=challenge_of(payload),
            expires_at=coarse.by_day(expires_at),
        )
    )
    return approval


def read(wallet: Wallet, opened: OpenWallet, approval: str) -> Pending:
    """The approval with its payload; raises NotFound if it is another wallet's."""
    with wallet.database.reading() as connection:
        row = _row(connection, opened, approval)
    payload = opened.open(approvals, approval, row.payload)
    return Pending(approval, row.type, row.state, payload, _end(payload))


def gesture(wallet: Wallet, opened: OpenWallet, pending: Pending) -> dict[str, JsonValue]:
    """What one gesture needs: options with the `act` input, and wraps of `K_act`."""
    with wallet.database.reading() as connection:
        wraps = inner_wraps(wallet, connection, opened.id, "act")
        rows = connection.execute(
            select(unlockers.c.id, unlockers.c.credential_id).where(
                unlockers.c.wallet == opened.id, unlockers.c.kind == "passkey"
            )
        ).all()
    options = passkeys.request_options(
        wallet.settings,
        challenge=challenge_of(pending.payload),
        purposes=("act",),
        allowed=[credential_id for _, credential_id in rows],
    )
    return {
        "options": options,
        "act_wraps": [
            {
                "unlocker": unlocker,
                "credential_id": b64url_encode(credential_id),
                "wrap": b64url_encode(wraps[unlocker]),
            }
            for unlocker, credential_id in rows
        ],
    }


def consume(
    wallet: Wallet,
    opened: OpenWallet,
    approval: str,
    *,
    assertion: Mapping[str, JsonValue],
    copies: frozenset[str],
    now: datetime,
) -> Approved:
    """Believe the gesture and use the approval up.

    Args:
        wallet: the service.
        opened: the wallet of this session.
        approval: its id.
        assertion: AuthenticationResponseJSON of the passkey.
        copies: the ids whose keys came along: exactly those the payload names.
        now: the approval must not have expired.

    Raises:
        NotFound: no such approval of this wallet.
        ApprovalUsed: not pending any more, also if another request was first.
        NotApproved: the assertion is not for this payload, or not by a passkey of this wallet.
        WalletAltered: the payload or a passkey was exchanged in the database.
        WalletFrozen: the revocation code was used.

    Specification: WALLET_SECURITY, section 4, step 4.
    """
    with wallet.database.reading() as connection:
        row = _row(connection, opened, approval)
        check_unlockers(connection, opened.id, opened.k_read)
        key = _passkey(connection, opened, assertion)
    # 1. Pending and unexpired, of this session's wallet.
    payload = opened.open(approvals, approval, row.payload)
    if row.state != "pending" or now >= _end(payload):
        raise ApprovalUsed("approval: not pending")
    # 2. The challenge, recomputed from the stored payload.
    challenge = challenge_of(payload)
    if not hmac.compare_digest(challenge, row.payload_hash):
        raise WalletAltered("approval: the payload was exchanged")
    # 3. Exactly the keys that the payload names.
    if copies != named_copies(payload):
        raise InvalidInput("approval: not the keys of exactly the named copies")
    # 4. The assertion.
    count = passkeys.verify_assertion(
        wallet.settings,
        assertion,
        challenge=challenge,
        credential_key=key.credential_key,
        sign_count=key.sign_count,
    )
    # 5. One guarded UPDATE; zero rows = stop.
    with wallet.database.transaction() as connection:
        if _state(connection, opened.id) != "active":
            raise WalletFrozen("approval: the wallet is frozen")
        if not _USED.changed(connection, {"of_approval": approval}):
            raise ApprovalUsed("approval: another request was first")
        if count != key.sign_count:
            connection.execute(
                update(unlockers).where(unlockers.c.id == key.id).values(sign_count=count)
            )
    return Approved(approval, row.type, payload, challenge, assertion, key.id)


def refuse(wallet: Wallet, opened: OpenWallet, approval: str) -> None:
    """The citizen said no to this approval."""
    refused = (
        update(approvals)
        .where(
            approvals.c.id == approval,
            approvals.c.wallet == opened.id,
            approvals.c.state == "pending",
        )
        .values(state="refused")
    )
    with wallet.database.single() as connection:
        if not once(connection, refused):
            raise ApprovalUsed("approval: not pending")


def named_copies(payload: Mapping[str, Any]) -> frozenset[str]:
    """The copies whose keys this approval opens, or makes."""
    return frozenset(each["copy"] for each in payload.get("items", []))


def _end(payload: Mapping[str, Any]) -> datetime:
    """The exact end stands in the payload; in the clear stands the day."""
    return from_numeric_date(payload["expires"])


def _row(connection: Connection, opened: OpenWallet, approval: str) -> Any:
    row = _FOUND.row(connection, {"of_approval": approval, "of_wallet": opened.id})
    if row is None:
        raise NotFound("approval: not one of this wallet")
    return row


def _passkey(connection: Connection, opened: OpenWallet, assertion: Mapping[str, JsonValue]) -> Any:
    """Recovery codes never present: only a passkey of this wallet approves."""
    named = {"of_wallet": opened.id, "of_credential": passkeys.credential_id(assertion)}
    row = _PASSKEY.row(connection, named)
    if row is None:
        raise passkeys.NotApproved("approval: not a passkey of this wallet")
    return row


def _state(connection: Connection, wallet_id: str) -> str | None:
    row = _STATE.row(connection, {"of_wallet": wallet_id})
    return None if row is None else str(row.state)
