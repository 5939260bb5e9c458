"""Attacks by whoever can write both stores: exchanged rows, keys and roots.

Each begins with the stores as they are and leaves them so.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.crypto.sealing import hkdf, hpke_seal, seal
from shared.demo.phone import Deceived, Phone, Refused
from shared.encoding import b64url_decode, b64url_encode, canonical_json
from shared.errors import InvalidInput, VerificationError
from wallet_service.tables import wallets
from wallet_service.vault import OpenWallet, unlockers_mac

from .burglar import Burglar
from .loot import locks_of
from .report import Report
from .scene import Scene

_WRITES = "write access to both stores, the service's keys"
_EVIL = b"root that only the thief knows :)"[:32]


def tamper(scene: Scene, report: Report, burglar: Burglar) -> None:
    """Everything that changes the citizens' stores, one after the other."""
    _swap_rows(scene, report)
    _swap_unlockers(scene, report)
    _own_passkey(scene, report)
    # Her K_read, by the stolen session.
    alices = next(root for name, root in burglar.opened.items() if name.startswith("session "))
    _own_passkey_with_session(scene, report, alices)
    _plant(scene, report, alices)


def _swap_rows(scene: Scene, report: Report) -> None:
    said = {}
    bob, mallory = scene.bob.wallet, scene.mallory.wallet
    with scene.altered():
        for table in ("credentials", "copies", "presentations", "approvals", "log_entries"):
            scene.write("database.db", f"DELETE FROM {table} WHERE wallet = ?", mallory)  # noqa: S608
            change = f"UPDATE {table} SET wallet = ? WHERE wallet = ?"  # noqa: S608
            scene.write("database.db", change, mallory, bob)
        said["cards"] = outcome(scene.mallory.cards)
        said["log"] = outcome(scene.mallory.log)
    with scene.altered():  # the whole of Bob's wallet, under the name of Mallory's
        scene.write("shares.db", "DELETE FROM shares WHERE wallet = ?", mallory)
        change = "UPDATE shares SET wallet = ? WHERE wallet = ?"
        scene.write("shares.db", change, mallory, bob)
        said["share"] = outcome(scene.mallory.open)
    report.add(
        "Put Bob's rows, then Bob's share, into Mallory's wallet",
        held=_WRITES,
        gained=succeeded(said),
        note=told(said),
    )


def _swap_unlockers(scene: Scene, report: Report) -> None:
    theirs = _unlocker(scene, scene.mallory)
    said = {}
    for column in ("read_key", "act_key", "credential_key"):
        with scene.altered():
            change = f"UPDATE unlockers SET {column} = ? WHERE id = ?"  # noqa: S608
            scene.write("database.db", change, theirs[column], _unlocker(scene, scene.bob)["id"])
            said[f"{column}, open"] = outcome(scene.bob.open)
            said[f"{column}, approve"] = outcome(lambda: scene.world.check(scene.bob))
    report.add(
        "Exchange a public key of Bob's passkey for one of the thief's",
        held=_WRITES,
        gained=succeeded(said),
        note=told(said),
    )


@contextmanager
def _moved_in(scene: Scene, phone: Phone, k_read: bytes) -> Iterator[Phone]:
    """The thief's passkey as an unlocker of *phone*'s wallet, with a MAC under *k_read*."""
    mine = _unlocker(scene, scene.mallory)
    with scene.altered():
        scene.write("database.db", "DELETE FROM unlockers WHERE id = ?", mine["id"])
        row = {**mine, "wallet": phone.wallet}
        places = ", ".join("?" * len(row))
        insert = f"INSERT INTO unlockers ({', '.join(row)}) VALUES ({places})"  # noqa: S608
        scene.write("database.db", insert, *row.values())
        scene.write("database.db", "DELETE FROM wraps WHERE unlocker = ?", mine["id"])
        for purpose, root in (("read", k_read), ("act", _EVIL)):
            public = mine[f"{purpose}_key"]
            plant_wrap(scene, phone.wallet, mine["id"], purpose, public, root, k_read)
        _sign_unlockers(scene, phone.wallet, k_read)
        thief = Phone(phone.client, phone.origin)
        thief.passkey = scene.mallory.passkey
        yield thief


def _own_passkey(scene: Scene, report: Report) -> None:
    said = {}
    with _moved_in(scene, scene.bob, _EVIL) as thief:
        _open_blindly(thief)
        said = {"cards": outcome(thief.cards), "log": outcome(thief.log)}
        said["present"] = outcome(lambda: scene.world.check(thief))
    report.add(
        "Move a passkey of one's own into Bob's wallet, with a root and a MAC of one's own",
        held=_WRITES,
        gained=succeeded(said),
        note=told(said),
    )


def _own_passkey_with_session(scene: Scene, report: Report, k_read: bytes) -> None:
    """With Alice's K_read the MAC is right: the thief's gesture counts, and opens no holder key."""
    captured = b64url_decode(scene.approved.body["copy_keys"][scene.copy])
    gained, said = set(), {}
    with _moved_in(scene, scene.alice, k_read) as thief:
        _open_blindly(thief)
        for which in ("other", "captured"):
            sign = "=" if which == "captured" else "<>"
            scene.write("database.db", "UPDATE copies SET uses = 1, state = 'spent'")
            change = f"UPDATE copies SET uses = 0, state = 'fresh' WHERE id {sign} ?"  # noqa: S608
            scene.write("database.db", change, scene.copy)
            _forget_shown(scene, scene.alice.wallet, k_read)
            started = scene.world.counter.ask("over_18")
            consent = thief.resolve(started["link"], cross_device=True)
            approval = thief._post(f"/presentations/{consent.id}/select", {})["approval"]
            found = thief.approval(approval)
            gesture = thief.passkey.get(found["options"]).response
            keys = {item["copy"]: b64url_encode(captured) for item in found["payload"]["items"]}
            body = {"assertion": gesture, "copy_keys": keys}
            path = f"/approvals/{approval}/approve"
            said[which] = outcome(lambda: thief._post(path, body))  # noqa: B023
            if said[which] == "yes":
                gained.add(f"a verifier's yes with the {which} copy")
    report.add(
        "The same in Alice's wallet, and present: the captured copy again, then another one",
        held=f"{_WRITES}, Alice's K_read and one copy key from the captured approval",
        gained=gained,
        allowed={"a verifier's yes with the captured copy"},
        note=told(said),
    )


def _plant(scene: Scene, report: Report, alices: bytes) -> None:
    """HPKE to a public key asks nobody who sealed: put in roots that the thief made."""
    usual, other = "the device used before", "a device that remembers nothing"
    for name, phone, roots, k_read, device in (
        ("Bob's", scene.bob, "act", _EVIL, usual),
        ("Bob's", scene.bob, "act", _EVIL, other),
        ("Bob's, emptied", scene.bob, "read and act", _EVIL, usual),
        ("Bob's, emptied", scene.bob, "read and act", _EVIL, other),
        ("Alice's, whose K_read is known", scene.alice, "act", alices, usual),
        ("Alice's, whose K_read is known", scene.alice, "act", alices, other),
    ):
        with scene.altered():
            gained, said = _planted(scene, phone, roots, k_read, memory=device == usual)
        allowed = set()
        if device == other and (roots, k_read) != ("act", _EVIL):
            allowed.add("holder key accepted afterwards")
            if "read" in roots:
                allowed.add("row written afterwards")
        report.add(
            f"Seal a root of the thief's ({roots}) into a wallet ({name}), and wait: {device}",
            held=_WRITES + (", her K_read" if k_read is alices else ""),
            gained=gained,
            allowed=allowed,
            note=f"it is opened: {said}"
            + (". Open: a new device has nothing to know its wallet by" if allowed else ""),
        )


def _planted(
    scene: Scene, phone: Phone, roots: str, k_read: bytes, *, memory: bool
) -> tuple[set[str], str]:
    before = {row["id"] for row in scene.stores()["copies"]}
    if not memory:
        known, phone = phone, Phone(phone.client, phone.origin)
        phone.passkey, phone.wallet = known.passkey, known.wallet
    for row in scene.stores()["unlockers"]:
        if row["wallet"] == phone.wallet:
            for purpose in roots.split(" and "):
                key = row[f"{purpose}_key"]
                plant_wrap(scene, phone.wallet, row["id"], purpose, key, _EVIL, k_read)
    if "read" in roots:
        for table in ("credentials", "copies", "presentations", "issuances", "log_entries"):
            emptied = f"DELETE FROM {table} WHERE wallet = ?"  # noqa: S608
            scene.write("database.db", emptied, phone.wallet)
        anew = "UPDATE wallets SET version = 0, log_head = ?, spent = ? WHERE id = ?"
        scene.write("database.db", anew, bytes(32), b"", phone.wallet)
        _sign_unlockers(scene, phone.wallet, _EVIL)
    said = outcome(phone.open)
    if said == "yes":
        said = outcome(lambda: scene.world.receive(phone, scene.world.person()))
    rows = scene.stores()
    new = [row for row in rows["copies"] if row["id"] not in before]
    what = {"row": "row written afterwards", "key": "holder key accepted afterwards"}
    opened = {
        what[lock.kind]
        for lock in locks_of({**rows, "copies": new})
        if lock.wallet == phone.wallet and lock.kind in what
        if lock.open(AESGCM(hkdf(_EVIL, *lock.recipe))) is not None
    }
    return opened, said


# -- Tools ----------------------------------------------------------------------------------------


def plant_wrap(
    scene: Scene,
    wallet: str,
    unlocker: str,
    purpose: str,
    public: bytes,
    root: bytes,
    k_read: bytes,
) -> None:
    """What an operator can make alone: *root* sealed to *public*, in the service's layer."""
    blob = next(row["blob"] for row in scene.stores()["shares"] if row["wallet"] == wallet)
    share = scene.loot.keys("after").keyring("shares").open(blob, aad=wallet.encode())
    info = f"citizen-wallet/wrap/v1\x00{wallet}\x00{unlocker}\x00{purpose}".encode()
    if purpose == "act":
        info += b"\x00" + hkdf(k_read, "citizen-wallet/act-wrap/v1", wallet)
    key = hkdf(share, "citizen-wallet/outer/v1", wallet, unlocker, purpose)
    inner = hpke_seal(public, root, info=info)
    outer = seal(key, inner, aad=canonical_json([wallet, unlocker, purpose]))
    where = "WHERE unlocker = ? AND purpose = ?"
    scene.write("database.db", f"DELETE FROM wraps {where}", unlocker, purpose)  # noqa: S608
    insert = "INSERT INTO wraps (unlocker, purpose, wallet, blob) VALUES (?, ?, ?, ?)"
    scene.write("database.db", insert, unlocker, purpose, wallet, outer)


def _forget_shown(scene: Scene, wallet: str, k_read: bytes) -> None:
    """The list of shown copies anew, empty: whoever knows `K_read` can seal one."""
    version = next(row["version"] for row in scene.stores()["wallets"] if row["id"] == wallet)
    blob = OpenWallet(wallet, "", "", k_read).seal(wallets, f"spent/{version}", {"copies": ""})
    scene.write("database.db", "UPDATE wallets SET spent = ? WHERE id = ?", blob, wallet)


def outcome(act: Callable[[], Any]) -> str:
    """`yes`, `noticed` (the device refused), or the service's code."""
    try:
        act()
    except Deceived:
        return "noticed"
    except Refused as error:
        if error.status == 429 or error.status >= 500:
            raise  # a service that does not answer proves nothing
        return error.code
    except (VerificationError, InvalidInput, StopIteration):
        return "noticed"
    return "yes"


def succeeded(said: dict[str, str]) -> set[str]:
    return {what for what, how in said.items() if how == "yes"}


def told(said: dict[str, str]) -> str:
    return ", ".join(f"{what}: {how}" for what, how in said.items())


def _open_blindly(thief: Phone) -> None:
    """Open, and look away when the first screen fails."""
    outcome(thief.open)
    assert thief._token is not None


def _unlocker(scene: Scene, phone: Phone) -> dict[str, Any]:
    rows = scene.stores()["unlockers"]
    return next(r for r in rows if r["wallet"] == phone.wallet and r["kind"] == "passkey")


def _sign_unlockers(scene: Scene, wallet: str, k_read: bytes) -> None:
    rows: list[Any] = [row for row in scene.stores()["unlockers"] if row["wallet"] == wallet]
    mac = unlockers_mac(k_read, wallet, rows)
    scene.write("database.db", "UPDATE wallets SET unlockers_mac = ? WHERE id = ?", mac, wallet)
