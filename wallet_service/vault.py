"""The sealed wallet: roots, the two layers of a wrap, sealed rows, the MAC over all unlockers.

The browser makes `K_read` and `K_act`. `K_act` never comes here; `K_read` comes for the length of
a session. Each root is wrapped twice for each unlocker: the inner layer (HPKE to the unlocker's
public key) opens only with the citizen's secret, the outer only with `S` from the shares store. So
neither a database, nor both of them with the service's keys, open a wallet whose citizen is
absent.

Specification: WALLET_SECURITY, sections 2, 3 and 6; PROFILE W-44.
"""

import hmac
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, RowMapping, Table, bindparam, delete, insert, select, update

from shared.crypto.sealing import hkdf, open_row, open_sealed, seal, seal_row
from shared.encoding import (
    JsonValue,
    b64url_encode,
    canonical_json,
    dump_json,
)
from shared.errors import Conflict, NotFound, VerificationError
from shared.runtime.database import insert_once

from .context import Wallet
from .shares.tables import shares
from .tables import unlockers, wallets, wraps

SCHEMA = 1
_SHARE = 32

Purpose = Literal["read", "act"]
PURPOSES: tuple[Purpose, ...] = ("read", "act")
_UNLOCKERS = select(unlockers).where(unlockers.c.wallet == bindparam("of_wallet"))
# With the MAC over them: two looks would not agree while somebody adds or removes one.
_VOUCHED_FOR = (
    select(unlockers, wallets.c.unlockers_mac)
    .join(wallets, wallets.c.id == unlockers.c.wallet)
    .where(unlockers.c.wallet == bindparam("of_wallet"))
)


class WalletAltered(VerificationError):
    """What is stored is not what the citizen's key vouches for: wrong root, or a swapped key."""

    reason = "wallet_altered"
    public = "This wallet is not as its citizen left it. It stays closed."


@dataclass(frozen=True, slots=True)
class OpenWallet:
    """A wallet for the length of one request: `K_read` and what is derived from it."""

    id: str
    session: str
    unlocker: str
    k_read: bytes = field(repr=False)
    _row_keys: dict[str, bytes] = field(default_factory=dict, repr=False)

    def seal(self, table: Table, row: str, value: Mapping[str, JsonValue]) -> bytes:
        """*value* for *row* of *table* of this wallet alone, padded to a size class."""
        key = self._row_key(table.name)
        return seal_row(
            key, dump_json(value), table=table.name, row=row, owner=self.id, schema=SCHEMA
        )

    def open(self, table: Table, row: str, blob: bytes) -> dict[str, Any]:
        """What `seal` sealed; raises if the blob belongs to another row, table or wallet."""
        key = self._row_key(table.name)
        plain = open_row(key, blob, table=table.name, row=row, owner=self.id, schema=SCHEMA)
        value: dict[str, Any] = orjson.loads(plain)  # sealed by us: names are known unique
        return value

    @property
    def pseudonym(self) -> str:
        """The wallet's name inside its log: tells nothing, and only `K_read` makes it."""
        return b64url_encode(hkdf(self.k_read, "citizen-wallet/log/v1", self.id, length=16))

    def _row_key(self, table: str) -> bytes:
        key = self._row_keys.get(table)
        if key is None:
            key = self._row_keys[table] = hkdf(self.k_read, "citizen-wallet/row/v1", table)
        return key


# -- S, the server's half --------------------------------------------------------------------


def make_share(wallet: Wallet, wallet_id: str) -> bytes:
    """Make and store `S` of a new wallet: created first, destroyed first."""
    share = wallet.random_bytes(_SHARE)
    blob = wallet.share_keys().seal(share, aad=wallet_id.encode())
    with wallet.shares.single() as connection:
        if not insert_once(connection, shares, {"wallet": wallet_id, "blob": blob}):
            raise Conflict("vault: this wallet exists already")
    return share


def share_of(wallet: Wallet, wallet_id: str) -> bytes:
    """The `S` to seal with; for new wraps it is read while `hold_unlockers` holds.

    Raises:
        NotFound: it is destroyed.
    """
    return shares_of(wallet, wallet_id)[-1]


def shares_of(wallet: Wallet, wallet_id: str, blob: bytes | None = None) -> tuple[bytes, ...]:
    """`S`; behind it the next one, while an unlocker is removed (`share_renewing.py`)."""
    if blob is None:
        with wallet.shares.reading() as connection:
            blob = connection.execute(
                select(shares.c.blob).where(shares.c.wallet == wallet_id)
            ).scalar_one_or_none()
    if blob is None:
        raise NotFound("vault: this wallet has no share")
    held = wallet.share_keys().open(blob, aad=wallet_id.encode())
    return tuple(held[at : at + _SHARE] for at in range(0, len(held), _SHARE))


def destroy_share(wallet: Wallet, wallet_id: str) -> None:
    """After this nothing opens the wallet again, whatever is kept elsewhere."""
    with wallet.shares.single() as connection:
        connection.execute(delete(shares).where(shares.c.wallet == wallet_id))


# -- Wraps -----------------------------------------------------------------------------------


def add_wraps(
    connection: Connection,
    *,
    share: bytes,
    wallet_id: str,
    unlocker: str,
    inner: Mapping[Purpose, bytes],
) -> None:
    """Put the outer layer around the browser's wraps and store them."""
    for purpose in PURPOSES:
        key, aad = outer_layer(share, wallet_id, unlocker, purpose)
        connection.execute(
            insert(wraps).values(
                unlocker=unlocker,
                purpose=purpose,
                wallet=wallet_id,
                blob=seal(key, inner[purpose], aad=aad),
            )
        )


def inner_wraps(
    wallet: Wallet, connection: Connection, wallet_id: str, purpose: Purpose
) -> dict[str, bytes]:
    """The inner layer of the root for *purpose*, by unlocker: opens with the citizen's secret."""
    mine = select(wraps.c.unlocker, wraps.c.blob).where(
        wraps.c.wallet == wallet_id, wraps.c.purpose == purpose
    )
    for last in (False, True):
        secrets = shares_of(wallet, wallet_id)
        try:
            return {
                unlocker: open_outer(secrets, wallet_id, unlocker, purpose, blob)
                for unlocker, blob in connection.execute(mine).all()
            }
        except VerificationError:
            if last:  # else they were sealed anew between the two looks
                raise
    raise AssertionError


def open_outer(
    secrets: tuple[bytes, ...], wallet_id: str, unlocker: str, purpose: Purpose, blob: bytes
) -> bytes:
    """The inner wrap, by whichever of *secrets* opens it; raises VerificationError."""
    *olders, newest = secrets
    for share in olders:
        with suppress(VerificationError):
            key, aad = outer_layer(share, wallet_id, unlocker, purpose)
            return open_sealed(key, blob, aad=aad)
    key, aad = outer_layer(newest, wallet_id, unlocker, purpose)
    return open_sealed(key, blob, aad=aad)


def outer_layer(
    share: bytes, wallet_id: str, unlocker: str, purpose: Purpose
) -> tuple[bytes, bytes]:
    """Key and associated data of the outer layer of one wrap."""
    key = hkdf(share, "citizen-wallet/outer/v1", wallet_id, unlocker, purpose)
    return key, canonical_json([wallet_id, unlocker, purpose])


# -- The set of unlockers ---------------------------------------------------------------------


def unlockers_mac(k_read: bytes, wallet_id: str, rows: Iterable[RowMapping]) -> bytes:
    """A MAC under `K_read` over every public key that opens or approves, so that a swap shows."""
    listed: list[JsonValue] = [
        {
            name: b64url_encode(value) if isinstance(value := row[name], bytes) else value
            for name in ("id", "kind", "credential_id", "credential_key", "read_key", "act_key")
        }
        for row in sorted(rows, key=lambda each: str(each["id"]))
    ]
    key = hkdf(k_read, "citizen-wallet/unlockers/v1", wallet_id)
    return hmac.digest(key, canonical_json(listed), "sha256")


def unlockers_of(connection: Connection, wallet_id: str) -> list[RowMapping]:
    """All unlockers of a wallet."""
    return list(connection.execute(_UNLOCKERS, {"of_wallet": wallet_id}).mappings())


def hold_unlockers(connection: Connection, wallet_id: str) -> None:
    """Of two that change the unlockers at once the second waits here, and sees what the first did.

    Else each would renew the MAC over a set that lacks the other's change.
    """
    own = wallets.c.id == wallet_id
    connection.execute(update(wallets).where(own).values(backed_up=wallets.c.backed_up))


def check_unlockers(connection: Connection, wallet_id: str, k_read: bytes) -> None:
    """The root is right and no public key was swapped, added or removed behind the citizen's back.

    Raises:
        WalletAltered: one of these.

    Specification: WALLET_SECURITY, section 3.
    """
    rows = connection.execute(_VOUCHED_FOR, {"of_wallet": wallet_id}).mappings().all()
    expected = unlockers_mac(k_read, wallet_id, rows)
    if not rows or not hmac.compare_digest(rows[0]["unlockers_mac"], expected):
        raise WalletAltered("vault: the unlockers are not those the root vouches for")


def renew_unlockers_mac(connection: Connection, wallet_id: str, k_read: bytes) -> None:
    """After a change that the citizen approved."""
    mac = unlockers_mac(k_read, wallet_id, unlockers_of(connection, wallet_id))
    connection.execute(update(wallets).where(wallets.c.id == wallet_id).values(unlockers_mac=mac))
