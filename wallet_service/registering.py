"""A new wallet: the browser makes the roots, the service adds a layer and can open nothing.

What a browser carries between the two calls is sealed to it, so nothing is stored until a passkey
has shown that it verifies its user and has PRF. Recovery and revocation code are made in the
browser too; here arrives only what is derived from them, and is kept as a MAC.

Specification: WALLET_SECURITY, sections 2 and 6 (registration, second passkey).
"""

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, update

from shared.encoding import JsonValue, b64url_decode, b64url_encode, start_of_day, to_numeric_date
from shared.errors import Conflict, InvalidInput
from shared.runtime.database import insert_once, once

from . import logbook, passkeys, sessions
from .context import Wallet
from .leaving import BEGUN, erase
from .tables import codes, unlockers, wallets
from .vault import Purpose, add_wraps, make_share, unlockers_mac, unlockers_of

LIFETIME = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class NewUnlocker:
    """Public keys of an unlocker and the roots sealed to them, all made in the browser."""

    read_key: bytes
    act_key: bytes
    wraps: Mapping[Purpose, bytes]

    def __post_init__(self) -> None:
        if self.read_key == self.act_key:
            raise InvalidInput("unlocker: one key for both purposes")


@dataclass(frozen=True, slots=True)
class Registration:
    """What the browser sends to finish: two gestures of one passkey, and what it made itself."""

    token: str
    creation: Mapping[str, JsonValue]
    assertion: Mapping[str, JsonValue]
    passkey: NewUnlocker
    recovery: NewUnlocker
    recovery_lookup: bytes
    revocation_lookup: bytes
    k_read: bytes
    locale: str


def begin(wallet: Wallet, *, now: datetime) -> dict[str, JsonValue]:
    """Options for the two gestures, and the ids that the browser's wraps are bound to."""
    recovery = new_id(wallet, "unl")
    offered = passkey_options(
        wallet, new_id(wallet, "wal"), "registration", now=now, more={"recovery": recovery}
    )
    return {**offered, "recovery_unlocker": recovery}


def passkey_options(
    wallet: Wallet,
    wallet_id: str,
    purpose: str,
    *,
    now: datetime,
    exclude: Collection[bytes] = (),
    more: Mapping[str, JsonValue] | None = None,
) -> dict[str, JsonValue]:
    """Options to create a passkey and use it once with both inputs, and their ticket."""
    create, use = wallet.random_bytes(32), wallet.random_bytes(32)
    ticket: dict[str, JsonValue] = {
        "wallet": wallet_id,
        "passkey": new_id(wallet, "unl"),
        "create": b64url_encode(create),
        "use": b64url_encode(use),
        "until": to_numeric_date(now + LIFETIME),
        **(more or {}),
    }
    return {
        "wallet": wallet_id,
        "passkey_unlocker": ticket["passkey"],
        "registration": seal_ticket(wallet, purpose, ticket),
        "creation": passkeys.creation_options(
            wallet.settings, challenge=create, user_handle=wallet_id.encode(), exclude=exclude
        ),
        "assertion": passkeys.request_options(
            wallet.settings, challenge=use, purposes=("read", "act")
        ),
    }


def finish(wallet: Wallet, registration: Registration, *, now: datetime) -> sessions.NewSession:
    """Make the wallet and open it.

    Raises:
        PrfMissing, NotApproved: the passkey is not good enough; nothing was stored.
        Conflict: this registration was finished before.

    Specification: WALLET_SECURITY, section 6.
    """
    ticket = open_ticket(wallet, "registration", registration.token, now=now)
    # 1. The passkey: creation with PRF, then one assertion of the same credential.
    credential = verify_passkey(wallet, ticket, registration.creation, registration.assertion)
    # 2. The wallet as begun, so that whoever cleans up finds it; then S, in its own database.
    wallet_id, passkey, recovery = ticket["wallet"], ticket["passkey"], ticket["recovery"]
    row = {
        "id": wallet_id,
        "state": BEGUN,
        "locale": registration.locale,
        "created_on": start_of_day(now),
        "version": 0,
        "log_head": bytes(32),
        "unlockers_mac": b"",
        "backed_up": False,
    }
    with wallet.database.single() as connection:
        if not insert_once(connection, wallets, row):
            raise Conflict("registration: this wallet exists already")
    try:
        share = make_share(wallet, wallet_id)
        with wallet.database.transaction() as connection:
            # 3. The unlockers, and a MAC under the citizen's root over all their keys.
            add_unlocker(
                connection,
                registration.passkey,
                unlocker=passkey,
                wallet_id=wallet_id,
                share=share,
                credential=credential,
            )
            add_unlocker(
                connection,
                registration.recovery,
                unlocker=recovery,
                wallet_id=wallet_id,
                share=share,
            )
            mac = unlockers_mac(registration.k_read, wallet_id, unlockers_of(connection, wallet_id))
            begun = update(wallets).where(wallets.c.id == wallet_id, wallets.c.state == BEGUN)
            if not once(connection, begun.values(state="active", unlockers_mac=mac)):
                raise Conflict("registration: took too long")
            # 4. The codes, by MAC.
            for kind, lookup in (
                ("recovery", registration.recovery_lookup),
                ("revocation", registration.revocation_lookup),
            ):
                new = {"wallet": wallet_id, "kind": kind, "mac": code_mac(wallet, kind, lookup)}
                if not insert_once(connection, codes, {**new, "not_before": None}):
                    raise Conflict("registration: a code is taken")
            session = sessions.start_session(
                wallet,
                connection,
                wallet_id=wallet_id,
                unlocker=passkey,
                k_read=registration.k_read,
                now=now,
            )
            logbook.append(
                connection, session.opened, kind="wallet_created", result="done", body={}, now=now
            )
    except BaseException:
        erase(wallet, wallet_id)
        raise
    return session


def verify_passkey(
    wallet: Wallet,
    ticket: Mapping[str, Any],
    creation: Mapping[str, JsonValue],
    assertion: Mapping[str, JsonValue],
) -> dict[str, Any]:
    """The columns of a passkey that was created and used once for the challenges of *ticket*."""
    created = passkeys.verify_creation(
        wallet.settings, creation, challenge=b64url_decode(ticket["create"])
    )
    if passkeys.credential_id(assertion) != created.credential_id:
        raise passkeys.NotApproved("passkey: the assertion is by another credential")
    count = passkeys.verify_assertion(
        wallet.settings,
        assertion,
        challenge=b64url_decode(ticket["use"]),
        credential_key=created.credential_public_key,
        sign_count=0,
    )
    return {
        "credential_id": created.credential_id,
        "credential_key": created.credential_public_key,
        "sign_count": count,
    }


def add_unlocker(
    connection: Connection,
    new: NewUnlocker,
    *,
    unlocker: str,
    wallet_id: str,
    share: bytes,
    credential: Mapping[str, Any] | None = None,
) -> None:
    """Store an unlocker with its wraps; without *credential* it is the recovery code."""
    values = {
        "id": unlocker,
        "wallet": wallet_id,
        "kind": "recovery" if credential is None else "passkey",
        "credential_id": None,
        "credential_key": None,
        "sign_count": 0,
        "read_key": new.read_key,
        "act_key": new.act_key,
        **(credential or {}),
    }
    if not insert_once(connection, unlockers, values):
        raise Conflict("unlocker: it exists already")
    add_wraps(connection, share=share, wallet_id=wallet_id, unlocker=unlocker, inner=new.wraps)


def code_mac(wallet: Wallet, kind: str, lookup: bytes) -> bytes:
    """How a code is indexed: a MAC of what the browser derived from it."""
    return hmac.digest(wallet.mac_key, kind.encode() + b"\x00" + lookup, "sha256")


def new_id(wallet: Wallet, prefix: str) -> str:
    """A typed random id."""
    return f"{prefix}_{b64url_encode(wallet.random_bytes(16))}"


def seal_ticket(wallet: Wallet, purpose: str, ticket: Mapping[str, JsonValue]) -> str:
    """What a browser carries from one call to the next and cannot read or change."""
    return b64url_encode(wallet.ceremony_keys.seal(orjson.dumps(ticket), aad=purpose.encode()))


def open_ticket(wallet: Wallet, purpose: str, token: str, *, now: datetime) -> dict[str, Any]:
    """The ticket in *token*; raises Conflict once it is too old."""
    plain = wallet.ceremony_keys.open(b64url_decode(token), aad=purpose.encode())
    ticket: dict[str, Any] = orjson.loads(plain)
    if to_numeric_date(now) >= ticket["until"]:
        raise Conflict("ticket: took too long")
    return ticket
