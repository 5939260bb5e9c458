"""The attacker at home: every key they can make, at every lock they have, until nothing more opens.

A secret is tried as it is and through every derivation that the source names, for every wallet,
unlocker, copy and table; what opens gives new secrets, and they are tried in turn. The same loop
that opens nothing with the whole loot opens everything once it is given the passkey's PRF outputs.

`try_windows` takes every 32 bytes in a row, at every offset of rows and traffic, for a root or key.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.crypto.sealing import hkdf, hpke_open
from shared.errors import InvalidInput, VerificationError

from .loot import Lock, Loot, derivation_names

_KEY = 32


@dataclass
class Burglar:
    """Locks still closed, and what is open: by name, what was inside."""

    loot: Loot
    wallet: str = ""  # the locks of this one alone
    opened: dict[str, bytes] = field(default_factory=dict)
    closed: dict[tuple[str, bytes], Lock] = field(default_factory=dict)
    secrets: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.closed = {
            place: lock
            for place, lock in self.loot.locks().items()
            if self.wallet in {"", lock.wallet}
        }
        self._names = derivation_names()
        self._contexts = tuple(self._every_context())
        self._publics: dict[bytes, tuple[str, str, str]] = {}
        for rows in self.loot.moments.values():
            for row in rows["unlockers"]:
                for purpose in ("read", "act"):
                    where = (row["wallet"], row["id"], purpose)
                    self._publics[row[f"{purpose}_key"]] = where
        self._privates: dict[tuple[str, str, str], bytes] = {}
        self._inner: dict[tuple[str, str, str], set[bytes]] = {}
        self._reads: dict[str, set[bytes]] = {}

    def _every_context(self) -> Iterator[tuple[str, ...]]:
        yield ()
        found: dict[tuple[str, ...], None] = {}
        for rows in self.loot.moments.values():
            for row in rows["unlockers"]:
                if self.wallet in {"", row["wallet"]}:
                    found[row["wallet"],] = None
                    for purpose in ("read", "act"):
                        found[row["wallet"], row["id"], purpose] = None
            for row in [*rows["copies"], *rows.get("spare_keys", [])]:
                if self.wallet in {"", row["wallet"]}:
                    found[row["id"],] = None
            for table, listed in rows.items():
                if listed:
                    found[table,] = None
        yield from found

    # -- Secrets ---------------------------------------------------------------------------

    def use(self, secrets: Iterable[bytes]) -> set[str]:
        """Try *secrets* and all that follows from them; the names of what opened by that."""
        before = set(self.opened)
        waiting = [each for each in dict.fromkeys(secrets) if each not in self.secrets]
        while waiting:
            secret = waiting.pop()
            self.secrets.add(secret)
            for key in self._keys_from(secret):
                waiting += [each for each in self._try(key) if each not in self.secrets]
        return set(self.opened) - before

    def _keys_from(self, secret: bytes) -> Iterator[bytes]:
        if len(secret) == _KEY:
            yield secret
        for name, context in product(self._names, self._contexts):
            yield hkdf(secret, name, *context)

    def _try(self, key: bytes) -> Iterator[bytes]:
        """*key* at every lock; what it opens may hold the next secret."""
        aead = AESGCM(key)
        for place, lock in list(self.closed.items()):
            inside = lock.open(aead)
            if inside is not None:
                del self.closed[place]
                yield from self._found(lock, inside)
        where = self._publics.get(_public(key))
        if where is not None:
            self._privates[where] = key
            yield from self._open_inner(where)

    def _found(self, lock: Lock, inside: bytes) -> Iterator[bytes]:
        if lock.kind == "session":
            inside = inside[:_KEY]  # behind the root stand the ends of the session
        self.opened[lock.name] = inside
        if lock.kind == "outer":
            wallet, unlocker, purpose = lock.recipe[1:]
            self._inner.setdefault((wallet, unlocker, purpose), set()).add(inside)
            yield from self._open_inner((wallet, unlocker, purpose))
        elif lock.kind != "row":  # of shares perhaps two, the old and the new one
            yield from (inside[at : at + _KEY] for at in range(0, len(inside), _KEY))
        if lock.kind == "session":
            yield from self._read_root(lock.wallet, inside)

    def _open_inner(self, where: tuple[str, str, str]) -> Iterator[bytes]:
        private, (wallet, _, purpose) = self._privates.get(where), where
        if private is None:
            return
        info = "\x00".join(("citizen-wallet/wrap/v1", *where)).encode()
        known = self._reads.get(wallet, ())
        bound = (
            info + b"\x00" + hkdf(each, "citizen-wallet/act-wrap/v1", wallet) for each in known
        )
        for inner, said in product(self._inner.get(where, ()), (info, *bound)):
            try:
                root = hpke_open(private, inner, info=said)
            except (InvalidInput, VerificationError):
                continue
            self.opened[f"root {wallet}/{purpose}"] = root
            yield root
            if purpose == "read":
                yield from self._read_root(wallet, root)

    def _read_root(self, wallet: str, root: bytes) -> Iterator[bytes]:
        """`K_read` is known: wraps of `K_act` are bound to it."""
        if root not in self._reads.setdefault(wallet, set()):
            self._reads[wallet].add(root)
            for where in list(self._inner):
                if (where[0], where[2]) == (wallet, "act"):
                    yield from self._open_inner(where)

    # -- Windows ---------------------------------------------------------------------------

    def try_windows(self, wallet: str, data: Iterable[bytes]) -> tuple[int, set[str]]:
        """Every 32 bytes in a row of *data* as row key, copy key, session, or root of *wallet*.

        One lock of each kind is enough to notice a key; what is noticed goes through `use`.

        Returns:
            how many were tried, and the names of what opened by them.
        """
        targets = [each for each in self.closed.values() if each.wallet == wallet]
        direct = list(
            {(each.kind, each.recipe[:2]): each for each in _short_first(targets)}.values()
        )
        derived = list(
            {(each.kind, each.recipe[0]): each for each in direct if each.recipe}.values()
        )
        tokens = {
            row["token_hash"] for rows in self.loot.moments.values() for row in rows["sessions"]
        }
        seen: set[bytes] = set()
        hits = []
        for each in data:
            for at in range(len(each) - _KEY + 1):
                window = each[at : at + _KEY]
                if window in seen or window in self.secrets:
                    continue
                seen.add(window)
                aead = AESGCM(window)
                if (
                    any(lock.open(aead) for lock in direct)
                    or any(lock.open(AESGCM(hkdf(window, *lock.recipe))) for lock in derived)
                    or hashlib.sha256(window).digest() in tokens
                ):
                    hits.append(window)
        return len(seen), self.use(hits)

    def try_unlockers(self, data: Iterable[bytes]) -> tuple[int, set[str]]:
        """Every 32 bytes in a row as an unlocker's secret or private key: by its public key."""
        seen: set[bytes] = set()
        hits = []
        for each in data:
            for at in range(len(each) - _KEY + 1):
                window = each[at : at + _KEY]
                if window not in seen:
                    seen.add(window)
                    derived = hkdf(window, "citizen-wallet/x25519/v1")
                    if _public(window) in self._publics or _public(derived) in self._publics:
                        hits.append(window)
        return len(seen), self.use(hits)


def _public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _short_first(locks: Iterable[Lock]) -> list[Lock]:
    return sorted(locks, key=lambda each: -len(each.blob))  # a dict keeps the last of each kind
