"""The citizen's log: sealed entries in a hash chain, whose head every approval names.

entry_hash = SHA-256 over the RFC 8785 form of wallet pseudonym, seq, previous hash, time, type,
result and the hash of the sealed body. Deleting an entry removes its body and leaves its hashes,
and is itself an entry. Bodies name claim paths, never values. Specification: WALLET_SECURITY,
section 8.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from shared.encoding import JsonValue, b64url_encode, canonical_json, to_numeric_date
from shared.errors import NotFound, VerificationError
from shared.runtime.prepared import Prepared

from .context import Wallet
from .tables import log_entries, wallets
from .vault import OpenWallet, WalletAltered

_SHORT = 8
_GLANCE = 40
_MINE = wallets.c.id == bindparam("of_wallet")
_HEAD = Prepared(select(wallets.c.version, wallets.c.log_head).where(_MINE))
_STANDS = select(wallets.c.version, wallets.c.log_head, wallets.c.spent).where(_MINE)
_LOCKED = Prepared(_STANDS.with_for_update())
_ADDED = Prepared(insert(log_entries))
_MOVED = Prepared(
    update(wallets)
    .where(_MINE)
    .values(
        version=bindparam("new_version"),
        log_head=bindparam("new_head"),
        spent=bindparam("new_spent"),
    )
)


@dataclass(frozen=True, slots=True)
class Head:
    """The wallet's version (how many entries there are) and the hash of the newest one."""

    version: int
    hash: bytes

    def as_json(self) -> dict[str, JsonValue]:
        """As payloads and answers carry it."""
        return {"wallet_version": self.version, "log_head": b64url_encode(self.hash)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, opened; *body* is None once it was deleted."""

    seq: int
    time: int
    type: str
    result: str
    body: dict[str, Any] | None
    body_hash: bytes
    entry_hash: bytes


def head(connection: Connection, wallet_id: str) -> Head:
    """Where the log stands; raises NotFound if the wallet is gone."""
    row = _HEAD.row(connection, {"of_wallet": wallet_id})
    if row is None:
        raise NotFound("log: no such wallet")
    return Head(*row)


def append(
    connection: Connection,
    opened: OpenWallet,
    *,
    kind: str,
    result: str,
    body: Mapping[str, JsonValue],
    now: datetime,
    spent: Collection[str] = (),
) -> Head:
    """Add an entry inside the transaction of the act it records, which showed the copies *spent*.

    The list of all copies that were ever shown is sealed anew for the new version, so neither it
    nor a copy's row can be put back alone.
    """
    row = _LOCKED.row(connection, {"of_wallet": opened.id})
    if row is None:
        raise NotFound("log: no such wallet")
    version, previous, ledger = row
    known = _open_spent(opened, version, ledger)
    seq = version + 1
    sealed = opened.seal(log_entries, f"{seq}/body", body)
    meta: dict[str, JsonValue] = {"time": to_numeric_date(now), "type": kind, "result": result}
    body_hash = hashlib.sha256(sealed).digest()
    entry_hash = _entry_hash(opened, seq, previous, meta, body_hash)
    entry = {
        "wallet": opened.id,
        "seq": seq,
        "head": opened.seal(log_entries, f"{seq}/head", meta),
        "body": sealed,
        "body_hash": body_hash,
        "previous_hash": previous,
        "entry_hash": entry_hash,
    }
    _ADDED.changed(connection, entry)
    moved = {
        "of_wallet": opened.id,
        "new_version": seq,
        "new_head": entry_hash,
        "new_spent": _seal_spent(opened, seq, known, spent),
    }
    _MOVED.changed(connection, moved)
    return Head(seq, entry_hash)


def spent_copies(connection: Connection, opened: OpenWallet) -> Callable[[str], bool]:
    """Whether a copy was ever shown, as the newest state of the wallet vouches for it.

    Raises:
        WalletAltered: the list is missing, or of another version.
    """
    columns = select(wallets.c.version, wallets.c.spent).where(wallets.c.id == opened.id)
    row = connection.execute(columns).one_or_none()
    if row is None:
        raise NotFound("log: no such wallet")
    shown = _split(_open_spent(opened, *row))
    return lambda copy: _short(copy) in shown


def _open_spent(opened: OpenWallet, version: int, ledger: bytes) -> str:
    if version == 0:
        return ""
    if not ledger:
        raise WalletAltered("log: the list of shown copies is missing")
    try:
        found: str = opened.open(wallets, f"spent/{version}", ledger)["copies"]
    except VerificationError as error:
        raise WalletAltered("log: the list of shown copies is of another version") from error
    return found


def _seal_spent(opened: OpenWallet, version: int, known: str, more: Collection[str]) -> bytes:
    new = {_short(each) for each in more} - _split(known)
    return opened.seal(wallets, f"spent/{version}", {"copies": known + "".join(sorted(new))})


def _split(known: str) -> set[str]:
    return {known[at : at + _SHORT] for at in range(0, len(known), _SHORT)}


def _short(copy: str) -> str:
    """Eight characters of a copy's random id: enough to tell those of one wallet apart."""
    return copy.partition("_")[2][:_SHORT]


def read(wallet: Wallet, opened: OpenWallet) -> list[Entry]:
    """All entries, oldest first, each checked against its hash and the chain.

    Raises:
        WalletAltered: an entry is missing, was changed or moved, or the head is another one.
    """
    with wallet.database.reading() as connection:
        stands = head(connection, opened.id)  # first: whatever is added meanwhile lies behind it
        statement = (
            select(log_entries)
            .where(log_entries.c.wallet == opened.id, log_entries.c.seq <= stands.version)
            .order_by(log_entries.c.seq)
        )
        # Fetched to the end: a refusal halfway would leave the connection in an old snapshot.
        rows = connection.execute(statement).mappings().all()
        previous, entries = bytes(32), []
        for seq, row in enumerate(rows, 1):
            entries.append(_opened(opened, row, seq, previous))
            previous = row["entry_hash"]
    if (len(entries), previous) != (stands.version, stands.hash):
        raise WalletAltered("log: the head is not the newest entry")
    return entries


def recent(
    wallet: Wallet, opened: OpenWallet, *, kinds: Collection[str], since: datetime
) -> list[tuple[int, int, str, dict[str, Any]]]:
    """Of the newest entries those of some *kinds*: seq, time, type, body; newest first.

    A glance for the first screen: the chain is not checked, what was forgotten is left out.
    """
    statement = (
        select(log_entries.c.seq, log_entries.c.head, log_entries.c.body)
        .where(log_entries.c.wallet == opened.id)
        .order_by(log_entries.c.seq.desc())
        .limit(_GLANCE)
    )
    with wallet.database.reading() as connection:
        rows = connection.execute(statement).all()
    found = []
    for row in rows:
        meta = opened.open(log_entries, f"{row.seq}/head", row.head)
        if meta["time"] < to_numeric_date(since):
            break
        if meta["type"] in kinds and row.body is not None:
            body = opened.open(log_entries, f"{row.seq}/body", row.body)
            found.append((row.seq, meta["time"], meta["type"], body))
    return found


def _opened(opened: OpenWallet, row: RowMapping, seq: int, previous: bytes) -> Entry:
    meta = opened.open(log_entries, f"{row['seq']}/head", row["head"])
    sealed = row["body"]
    expected = _entry_hash(opened, seq, previous, meta, row["body_hash"])
    if (row["seq"], row["previous_hash"], row["entry_hash"]) != (seq, previous, expected):
        raise WalletAltered("log: the chain is broken")
    if sealed is not None and hashlib.sha256(sealed).digest() != row["body_hash"]:
        raise WalletAltered("log: a body was changed")
    body = None if sealed is None else opened.open(log_entries, f"{seq}/body", sealed)
    return Entry(seq, meta["time"], meta["type"], meta["result"], body, row["body_hash"], expected)


def _entry_hash(
    opened: OpenWallet,
    seq: int,
    previous: bytes,
    meta: Mapping[str, JsonValue],
    body_hash: bytes,
) -> bytes:
    return hashlib.sha256(
        canonical_json(
            {
                "wallet": opened.pseudonym,
                "seq": seq,
                "prev_hash": b64url_encode(previous),
                **meta,
                "body_hash": b64url_encode(body_hash),
            }
        )
    ).digest()
