"""Attacks that need no service: keys at locks, and a search for anything readable."""

import base64
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from shared.encoding import b64url_decode, b64url_encode, parse_json_object
from shared.formats.values import Held

from .burglar import Burglar
from .report import Report
from .scene import Scene, prf_of, spoken

_FINE = 19  # characters of a time to the second, in SQLite


def break_in(scene: Scene, report: Report) -> Burglar:
    """Open what opens, with more and more in hand; returns the burglar as far as they came."""
    loot = scene.loot
    burglar = Burglar(loot)
    report.add(
        "Know every column of bytes",
        held="the schema of both stores",
        gained=[f"unknown column {'.'.join(each)}" for each in loot.unknown_columns()],
        note="a new one must be told to this program, or it would be missed",
    )

    # 1. Databases, backups, key files, settings: A1 to A3.
    service = {f"service share {each}" for each in _wallets(scene)}
    service |= {f"outer layer {each}" for each in _wraps(scene)}
    gained = burglar.use(_keys_of_the_service(scene))
    report.add(
        f"Every key of the service, and {len(burglar._names)} derivations of each, at every lock",
        held="both stores at three moments, keyring, key files, password, settings",
        gained=_told(scene, gained),
        allowed=service,
        note="the service's own layer is its own; the citizen's lies below it",
    )
    alice = scene.alice.wallet
    rows = [blob for (_, blob), lock in burglar.closed.items() if lock.wallet == alice]
    count, gained = burglar.try_windows(alice, [*rows, loot.clear(), *burglar.opened.values()])
    report.add(
        f"{count:,} runs of 32 bytes of rows, logs and settings as keys and roots",
        held="the same",
        gained=_told(scene, gained),
    )
    count, gained = burglar.try_unlockers([loot.clear()])
    report.add(
        f"{count:,} runs of 32 readable bytes as an unlocker's secret or private key",
        held="the same",
        gained=_told(scene, gained),
    )

    # 2. One captured approval, as bodies: A4 without the session.
    heard = spoken(scene.capture, headers=False)
    count, gained = burglar.try_windows(alice, heard)
    report.add(
        f"{count:,} runs of 32 bytes of the captured approval as keys and roots, and what follows",
        held="all that, and the bodies of one approval: payload, wraps, assertion, copy key",
        gained=_told(scene, gained | burglar.use(each for each in heard if len(each) == 32)),
        allowed=[f"the captured holder key of {scene.name(alice)}"],
        note="keys of other copies, by every derivation from the captured one, are among the tried",
    )
    count, gained = burglar.try_unlockers(heard)
    report.add(
        f"{count:,} runs of 32 bytes of the captured approval as an unlocker's secret",
        held="the same",
        gained=_told(scene, gained),
    )

    # 3. The same with the headers: the session's token, so K_read, for good.
    session = [b64url_decode(scene.token)]
    gained = burglar.use(session)
    report.add(
        "The session of the captured approval, against the backup that holds its row",
        held="all that, and the token in the headers, as in the memory of the process",
        gained=_told(scene, gained),
        allowed={"content of alice"},
        note="a session can look: Alice's rows, past and future, until her root is rotated. "
        "No key of another copy, and nothing of anybody else",
    )
    return burglar


def control(scene: Scene, report: Report) -> None:
    """The same program with the citizens' gestures opens everything: it is not just broken."""
    burglar = Burglar(scene.loot)
    burglar.use(_keys_of_the_service(scene))
    people = (scene.alice, scene.bob, scene.carol, scene.mallory)
    secrets = [prf for phone in people for prf in prf_of(phone.passkey)]
    burglar.try_unlockers([b"?" + secrets[0] + b"?"])  # hidden in other bytes, it is found too
    if secrets[0] not in burglar.secrets:
        raise AssertionError("the search for secrets finds nothing at all")
    burglar.use(secrets)
    left = {lock.name for lock in burglar.closed.values() if lock.kind != "session"}
    every = {
        *(f"root {phone.wallet}/{purpose}" for phone in people for purpose in ("read", "act")),
        *(lock.name for lock in scene.loot.locks().values() if lock.kind != "session"),
    }
    report.add(
        "Positive control: the same with the PRF outputs of the passkeys",
        held="both stores, keys, and what only the citizens' gestures give",
        gained=burglar.opened.keys(),
        allowed=every,
        note="everything opens: rows, roots, holder keys" if not left else "",
    )


def search(scene: Scene, report: Report, burglar: Burglar) -> None:
    """Look for words in every byte of the loot, as they are and in the usual encodings."""
    everything = scene.loot.files()
    wallet = scene.alice.wallet
    secret = {
        **{f"claim {n}": each for n, each in enumerate(_claims(scene))},
        **{f"public key {n}": each for n, each in enumerate(_public_keys(burglar, wallet))},
        "session token": scene.token.encode(),
        "recovery code": scene.alice.recovery_code.encode(),
        "nonce of the request": scene.asked["transaction_id"].encode(),
    }
    found = {name for name, word in secret.items() if _contains(everything, word)}
    report.add(
        f"Search {len(everything):,} bytes of files for {len(secret)} claims, keys and tokens",
        held="every file of three moments with free pages, logs",
        gained=found,
    )
    listed = b"\n".join(_cells(scene))
    hosts = {name: url.partition("//")[2] for name, url in scene.world.system.urls.items()}
    del hosts["wallet_service"]
    public = [*hosts.values(), *_entities(scene), "urn:eudi:pid:1", "dc+sd-jwt", "Avelonia"]
    found = {f"word {word}" for word in public if _contains(listed, word.encode())}
    if not _contains(listed, wallet.encode()) or not _contains(
        b64url_encode(listed).encode(), wallet.encode()
    ):
        raise AssertionError("the search for words finds nothing at all")
    report.add(
        f"Search rows and logs for {len(public)} names and hosts of issuers, verifiers and types",
        held="all tables but the trust list's, logs",
        gained=found,
    )
    report.add(
        "Look for times to the second: when somebody shows something is half of to whom",
        held="all tables",
        gained=set(_fine_times(scene)),
        note="deadlines in the clear are full hours and days; the exact ones are sealed",
    )


def _told(scene: Scene, names: Iterable[str]) -> set[str]:
    """Names of locks in the words of the report: whose, and what it means."""
    told = set()
    for name in names:
        kind, _, where = name.rpartition(" ")
        owner = scene.name(where.partition("/")[0].partition(":")[0])
        if kind == "share":
            told.add(f"service share {where}")
        elif kind == "holder key" and where == scene.copy:
            told.add(f"the captured holder key of {scene.name(scene.alice.wallet)}")
        elif kind == "session" or kind.startswith("row of "):
            told.add(f"content of {owner}" if kind != "session" else "content of alice")
        else:
            told.add(name)
    return told


def _wallets(scene: Scene) -> set[str]:
    return {row["wallet"] for rows in scene.loot.moments.values() for row in rows["shares"]}


def _wraps(scene: Scene) -> set[str]:
    wraps = (row for rows in scene.loot.moments.values() for row in rows["wraps"])
    return {f"{row['unlocker']}/{row['purpose']}" for row in wraps}


def _keys_of_the_service(scene: Scene) -> Iterator[bytes]:
    loot = scene.loot
    yield loot.password
    for moment in loot.moments:
        keys = loot.keys(moment)
        for ring in keys._open_rings().values():
            yield from ring.keys.values()
        for tenant in keys.tenants():
            yield from (keys.signer(tenant, each).scalar() for each in keys.purposes(tenant))


def _claims(scene: Scene) -> list[bytes]:
    [card] = scene.alice.cards()
    shown = scene.alice.card(card["id"])["claims"]
    words: set[str] = {word for each in shown for word in _words(each["value"])}
    public = (scene.world.system.folder / "trust" / "trust-list.json").read_text()
    return sorted(word.encode() for word in words if word not in public)


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _words(each)
    elif isinstance(value, str) and len(value) > 4:
        yield value


def _public_keys(burglar: Burglar, wallet: str) -> Iterator[bytes]:
    """Holder keys of Alice's copies, whose rows her session opens."""
    for name, inside in burglar.opened.items():
        if name.startswith(f"row of copies {wallet}:"):
            holder = held_in(inside).holder
            if holder is not None:
                yield b64url_decode(str(holder.to_jwk()["x"]))


def held_in(row: bytes) -> Held:
    """The credential in an opened row of *copies*."""
    size = int.from_bytes(row[:4], "big")
    content = parse_json_object(row[4 : 4 + size], max_bytes=len(row))
    return Held.load(str(content["held"]).encode())


def _contains(haystack: bytes, word: bytes) -> bool:
    """Raw, in hex, or in base64 of either alphabet at any of the three alignments."""
    forms = {word, word.hex().encode(), word.hex().upper().encode()}
    for shift in range(3):
        encoded = base64.urlsafe_b64encode(bytes(shift) + word)[(0, 2, 3)[shift] :]
        core = encoded.rstrip(b"=")[: len(word) * 4 // 3 - 2]
        forms |= {core, core.replace(b"-", b"+").replace(b"_", b"/")} if len(core) > 5 else set()
    return any(form in haystack for form in forms)


def _cells(scene: Scene) -> Iterator[bytes]:
    yield scene.loot.log.read_bytes()
    for rows in scene.loot.moments.values():
        for table, listed in rows.items():
            if table not in {"trust_state", "attestation_lists"}:  # both are public
                for row in listed:
                    for value in row.values():
                        yield value if isinstance(value, bytes) else str(value).encode()


def _entities(scene: Scene) -> list[str]:
    path = scene.world.system.folder / "trust" / "trust-list.json"
    found = parse_json_object(path.read_bytes(), max_bytes=1 << 20)["entities"]
    return (
        [str(each["id"]) for each in found if isinstance(each, dict)]
        if isinstance(found, list)
        else []
    )


def _fine_times(scene: Scene) -> Iterator[str]:
    with closing(sqlite3.connect(scene.loot.folder / "after" / "database.db")) as database:
        tables = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        for table, sql in tables.fetchall():
            if "wallet" not in sql and table != "used_challenges":
                continue
            for _, column, kind, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
                if kind != "DATETIME":
                    continue
                values = database.execute(f'SELECT "{column}" FROM "{table}"').fetchall()  # noqa: S608
                if any(v and not str(v)[14:].startswith("00:00") for (v,) in values):
                    yield f"time in {table}.{column}"
