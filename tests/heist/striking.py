"""Bob's tablet is stolen with its PIN, and he strikes its passkey off: what is it good for then?"""

from shared.demo.phone import Phone
from shared.runtime.keys import KeyDirectory

from .erasing import inside, with_keys
from .inside import outcome
from .report import Report
from .scene import Scene, prf_of

_BOB = "Bob's content and keys"


def strike(scene: Scene, report: Report) -> tuple[bytes, ...]:
    """The tablet's own PRF outputs are in hand, with backups from when it still opened the wallet.

    Returns:
        those PRF outputs, for what is tried later.
    """
    loot, bob = scene.loot, scene.bob
    bob.open()
    tablet = Phone(bob.client, bob.origin)
    bob.add_passkey(tablet)
    tablet.open()
    stolen = prf_of(tablet.passkey)
    [its] = [each["id"] for each in tablet.overview()["unlockers"] if each["this_one"]]
    loot.take("stolen")
    share = next(r["blob"] for r in loot.moments["stolen"]["shares"] if r["wallet"] == bob.wallet)
    approval = bob._post(f"/unlockers/{its}/removal")["approval"]
    bob._post(f"/approvals/{approval}/approve", bob.gesture(bob.approval(approval)))
    loot.take("struck")
    report.add(
        "Open a wallet, live, with a passkey that was struck off",
        held="the stolen tablet with its PIN, and the session it had",
        gained={
            what
            for what, act in (("an opening", tablet.open), ("a look", tablet.overview))
            if outcome(act) == "yes"
        },
    )
    burglar = with_keys(loot, bob.wallet, loot.keys("struck"), without=share)
    burglar.use(stolen)
    report.add(
        "Open the wraps of a struck passkey in a backup, with the share of today",
        held="the tablet's PRF outputs, backups of the main store, today's shares store, all keys",
        gained=inside(burglar, bob.wallet, _BOB),
        note="the share that made their outer layers went with the passkey",
    )
    burglar = with_keys(loot, bob.wallet, loot.keys("struck"))
    burglar.use(stolen)
    report.add(
        "The same with a backup of the shares store, while the share key is what it was",
        held="the tablet's PRF outputs, backups of both stores, all keys",
        gained=inside(burglar, bob.wallet, _BOB),
        allowed={_BOB},
        note="said in docs/threats.md: for 35 days at most, and the roots stay (ADR 0018)",
    )
    report.add(
        "Who strikes a passkey off goes on with the wallet",
        held="Bob's own passkey",
        gained={f"Bob opens: {outcome(bob.open)}"},
        allowed={"Bob opens: yes"},
    )
    return stolen


def after_rotation(
    scene: Scene, report: Report, stolen: tuple[bytes, ...], rotated: KeyDirectory
) -> None:
    """The share key has rotated, and the old one is destroyed: backups of shares are noise."""
    burglar = with_keys(scene.loot, scene.bob.wallet, rotated)
    burglar.use(stolen)
    report.add(
        "The wraps of a struck passkey after the share key was rotated and the old one destroyed",
        held="the tablet's PRF outputs, backups of both stores, today's keys",
        gained=inside(burglar, scene.bob.wallet, _BOB),
    )
