"""What the thief carries away: every database at several moments, keys, password, settings, logs.

Each sealed value in them becomes a `Lock` with what anyone who read the source knows about it:
where it stands (its associated data) and how its key is made from its root.
"""

import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.crypto.sealing import _joined
from shared.encoding import canonical_json
from shared.runtime.keys import KeyDirectory

Rows = dict[str, list[dict[str, Any]]]

SEALED = {
    ("approvals", "payload"): "{id}",
    ("copies", "sealed"): "{id}",
    ("credentials", "sealed"): "{id}",
    ("credentials", "labels"): "{id}/labels",
    ("issuances", "sealed"): "{id}",
    ("presentations", "sealed"): "{id}",
    ("renewals", "sealed"): "{credential}",
    ("spare_keys", "sealed"): "{id}",
    ("wallets", "spent"): "spent/{version}",
    ("log_entries", "head"): "{seq}/head",
    ("log_entries", "body"): "{seq}/body",
}
"""Columns under row keys of `K_read`, and what each says of itself in its associated data."""
OTHER_LOCKS = {
    ("copies", "key_blob"),
    ("sessions", "sealed_key"),
    ("spare_keys", "key_blob"),
    ("shares", "blob"),
    ("wraps", "blob"),
}
OPENLY = {
    ("attestation_lists", "digest"),
    ("callbacks", "hash"),
    ("approvals", "payload_hash"),
    ("codes", "mac"),
    ("guesses", "bucket"),
    ("issuances", "request_key"),
    ("log_entries", "body_hash"),
    ("log_entries", "entry_hash"),
    ("log_entries", "previous_hash"),
    ("presentations", "request_key"),
    ("sessions", "token_hash"),
    ("unlockers", "act_key"),
    ("unlockers", "credential_id"),
    ("unlockers", "credential_key"),
    ("unlockers", "read_key"),
    ("used_challenges", "hash"),
    ("wallets", "log_head"),
    ("wallets", "unlockers_mac"),
}
"""Hashes, MACs and public keys: readable, and meant to tell nothing."""
PUBLIC_TABLES = {"trust_state", "alembic_version"}  # the trust list: the same for everybody
STORES = ("database.db", "shares.db")
_SCHEMA = 1
_SOURCE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Lock:
    """A sealed value. *root* says whose 32 bytes make its key, *recipe* how."""

    kind: str
    name: str
    wallet: str
    blob: bytes
    aad: bytes
    recipe: tuple[str, ...]

    def open(self, key: AESGCM) -> bytes | None:
        """What is inside, if *key* is the one."""
        try:
            return key.decrypt(self.blob[1:13], self.blob[13:], b"\x01" + self.aad)
        except InvalidTag:
            return None


@dataclass
class Loot:
    """Backups by moment (each a folder as the operator has it), and what lay beside them."""

    folder: Path
    home: Path
    password: bytes
    settings: Mapping[str, str]
    log: Path
    moments: dict[str, Rows] = field(default_factory=dict)

    def take(self, moment: str) -> None:
        """Copy both stores as they lie there now, with their write-ahead logs, and all keys."""
        target = self.folder / moment
        shutil.copytree(self.home, target)
        self.moments[moment] = read_stores(target)

    def keys(self, moment: str) -> KeyDirectory:
        """The key directory of that moment, open: the thief has its password."""
        return KeyDirectory(self.folder / moment / "keys", self.password)

    def locks(self) -> dict[tuple[str, bytes], Lock]:
        """Every sealed value of every moment, each once."""
        found = (lock for rows in self.moments.values() for lock in locks_of(rows))
        return {(lock.name, lock.blob): lock for lock in found}

    def unknown_columns(self) -> set[tuple[str, str]]:
        """Columns of bytes that nobody has told this program about: it would miss them."""
        known = SEALED.keys() | OTHER_LOCKS | OPENLY
        return {
            (table, column)
            for rows in self.moments.values()
            for table, listed in rows.items()
            for row in listed
            for column, value in row.items()
            if isinstance(value, bytes) and table not in PUBLIC_TABLES
        } - known

    def clear(self) -> bytes:
        """What is readable without a key: open columns, settings, logs."""
        found = [f"{name}={value}".encode() for name, value in self.settings.items()]
        found.append(self.log.read_bytes())
        for rows in self.moments.values():
            for table, listed in rows.items():
                if table not in PUBLIC_TABLES:
                    for row in listed:
                        found += [
                            value if isinstance(value, bytes) else str(value).encode()
                            for column, value in row.items()
                            if (table, column) not in SEALED.keys() | OTHER_LOCKS
                        ]
        return b"\n".join(dict.fromkeys(found))

    def files(self) -> bytes:
        """Every byte of every file of every moment, free pages and write-ahead logs included."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return b"\n".join([*(path.read_bytes() for path in paths), self.log.read_bytes()])


def locks_of(rows: Rows) -> Iterator[Lock]:
    for each in rows.get("shares", []):
        blob: bytes = each["blob"]
        head = blob[: 2 + blob[1]]  # of the keyring: version, length and id of its key
        aad = head + each["wallet"].encode()
        yield Lock("share", f"share {each['wallet']}", each["wallet"], blob[len(head) :], aad, ())
    for each in rows.get("wraps", []):
        where = (each["wallet"], each["unlocker"], each["purpose"])
        recipe = ("citizen-wallet/outer/v1", *where)
        name = f"outer layer {'/'.join(where[1:])}"
        yield Lock("outer", name, where[0], each["blob"], canonical_json(list(where)), recipe)
    for each in rows.get("sessions", []):
        aad, recipe = each["id"].encode(), ("citizen-wallet/session/v1",)
        name = f"session {each['id']}"
        yield Lock("session", name, each["wallet"], each["sealed_key"], aad, recipe)
    for each in rows.get("copies", []) + rows.get("spare_keys", []):
        aad = f"citizen-wallet/holder-key/v1\x00{each['wallet']}\x00{each['id']}".encode()
        recipe = ("citizen-wallet/copy/v1", each["id"])
        name = f"holder key {each['id']}"
        yield Lock("key", name, each["wallet"], each["key_blob"], aad, recipe)
    for (table, column), place in SEALED.items():
        for each in rows.get(table, []):
            if each[column]:
                row, owner = place.format(**each), each.get("wallet", each.get("id"))
                aad = _joined("row", table, row, owner, str(_SCHEMA))
                name = f"row of {table} {owner}:{row}"
                recipe = ("citizen-wallet/row/v1", table)
                yield Lock("row", name, owner, each[column], aad, recipe)


def derivation_names() -> tuple[str, ...]:
    """Every name of a derivation in the public source: attackers read it as well."""
    files = [*(_SOURCE / "wallet_service").rglob("*.py"), _SOURCE / "shared/demo/browser.py"]
    text = "".join(each.read_text() for each in files)
    names = set(re.findall(r'"(citizen-wallet/[a-z0-9/-]+)', text))
    codes = {name + each for name in names if name.endswith("/") for each in ("read", "act")}
    return tuple(sorted(name for name in names | codes if not name.endswith("/")))


def read_stores(folder: Path) -> Rows:
    """All rows of both stores, by table."""
    return {name: rows for store in STORES for name, rows in _rows(folder / store).items()}


def _rows(file: Path) -> Rows:
    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: [dict(row) for row in database.execute(f'SELECT * FROM "{name}"')]  # noqa: S608
            for (name,) in tables.fetchall()
        }
