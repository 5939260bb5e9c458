"""A citizen has left: what do stores, files and backups still open, and for whom?"""

import os
from datetime import timedelta

from shared.runtime.database import Database
from shared.runtime.keys import KeyDirectory
from tests.e2e.world import eventually, now
from wallet_service import rotating

from .burglar import Burglar
from .inside import outcome
from .loot import Loot
from .report import Report
from .scene import Scene, prf_of

_CAROL = "Carol's content and keys"


def erase(scene: Scene, report: Report) -> KeyDirectory:
    """Carol deletes her wallet. All is tried with her own gesture: nobody could have more.

    Returns:
        the keys after the share key has rotated.
    """
    loot, carol = scene.loot, scene.carol
    gestures = prf_of(carol.passkey)
    share = next(r["blob"] for r in loot.moments["after"]["shares"] if r["wallet"] == carol.wallet)
    carol.delete_wallet()

    # 1. The live stores.
    live = scene.stores()
    rows = {
        table
        for table, listed in live.items()
        if any(carol.wallet in (row.get("wallet"), row.get("id")) for row in listed)
    }
    report.add(
        "Look for rows of a deleted wallet",
        held="both stores, live",
        gained={f"row in {table}" for table in rows},
    )
    left = {file.name for file in loot.home.glob("shares.db*") if share in file.read_bytes()}
    report.add(
        "Look for the deleted share in free pages and write-ahead logs of its store",
        held="the files of the shares store, live",
        gained={"share under the share key"} if left else (),
        allowed={"share under the share key"},
        note=f"in {', '.join(sorted(left))}. Open: like a backup, until the share key rotates",
    )

    # 2. The live main store is gone, but a backup has it; the share is gone with its store.
    burglar = with_keys(loot, carol.wallet, loot.keys("after"), without=share)
    burglar.use(gestures)
    report.add(
        "Open a backup of the main store after the share was destroyed, with Carol's own passkey",
        held="backups of the main store, all keys, Carol's PRF outputs",
        gained=inside(burglar, carol.wallet, _CAROL),
        note="destroying S closes the wallet for everyone, its owner included",
    )
    burglar = with_keys(loot, carol.wallet, loot.keys("after"))
    burglar.use(gestures)
    report.add(
        "The same with a backup of the shares store, while the share key is what it was",
        held="backups of both stores, all keys, Carol's PRF outputs",
        gained=inside(burglar, carol.wallet, _CAROL),
        allowed={_CAROL},
        note="so a backup is closed by Carol's own secret alone, until the share key rotates",
    )

    # 3. The share key rotates, and the old one is destroyed.
    rotated = _rotate(scene)
    burglar = with_keys(loot, carol.wallet, rotated)
    burglar.use(gestures)
    gained = inside(burglar, carol.wallet, _CAROL)
    report.add(
        "The same after the share key was rotated and the old one destroyed",
        held="backups of both stores, today's keys, Carol's PRF outputs",
        gained=gained,
        note="by the job that does it every month, its clock set forward; nothing was stopped",
    )
    said = eventually(lambda: outcome(scene.bob.open))
    report.add(
        "Those who stayed still open their wallets",
        held="Bob's own passkey",
        gained={f"Bob opens: {said}"},
        allowed={"Bob opens: yes"},
    )
    return rotated


def with_keys(
    loot: Loot, wallet: str, keys: KeyDirectory, *, without: bytes | None = None
) -> Burglar:
    """A burglar with every secret of *keys*, and perhaps without one blob of the shares store."""
    burglar = Burglar(loot, wallet)
    if without is not None:
        burglar.closed = {
            place: lock
            for place, lock in burglar.closed.items()
            if lock.kind != "share" or not without.endswith(lock.blob)
        }
    burglar.use(key for ring in keys._open_rings().values() for key in ring.keys.values())
    return burglar


def inside(burglar: Burglar, wallet: str, told: str) -> set[str]:
    """Whether anything below the service's own layer came open; *told* is what it is called."""
    kinds = {"row", "key"}
    opened = [
        lock
        for lock in burglar.loot.locks().values()
        if lock.wallet == wallet and lock.kind in kinds and lock.name in burglar.opened
    ]
    roots = [name for name in burglar.opened if name.startswith(f"root {wallet}/")]
    return {told} if opened or roots else set()


def _rotate(scene: Scene) -> KeyDirectory:
    """The service's own job, run a month ahead and then five weeks; the service goes on."""
    keys = KeyDirectory(scene.loot.home / "keys", scene.loot.password)
    database = Database(f"sqlite:///{scene.loot.home / 'shares.db'}")
    for days in (31, 36):
        later = now() + timedelta(days=days)
        rotating.rotate(database, keys, now=later, random_bytes=os.urandom)
    database.close()
    return KeyDirectory(keys.path, scene.loot.password)
