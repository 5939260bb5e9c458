"""Attacks by whoever can put back what was: the whole, a moment, one row.

Each begins with the stores as they are and leaves them so.
"""

from shared.demo.phone import Phone

from .inside import outcome, succeeded, told
from .report import Report
from .scene import Scene


def bring_back(scene: Scene, report: Report) -> None:
    """All of a backup, all of the moment before the approval, and one row."""
    _older(scene, report)
    _before_the_approval(scene, report)
    _one_row(scene, report)


def _older(scene: Scene, report: Report) -> None:
    alice, said = scene.alice, {}
    alice.open()
    with scene.altered("before"):
        said["rolled back"] = outcome(alice.open)
        twin = Phone(alice.client, alice.origin)  # a device of hers that remembers nothing
        twin.passkey = alice.passkey
        twin.open()
        for _ in range(4):
            link = scene.world.counter.ask("over_18")["link"]
            twin.refuse(twin.resolve(link, cross_device=True))
        said["forked"] = outcome(alice.open)
    said["as it was"] = outcome(alice.open)
    report.add(
        "Bring the stores back to an older backup; then let history go on from there",
        held="write access to both stores, backups",
        gained={each for each in ("rolled back", "forked") if said[each] != "noticed"},
        note=told(said),
    )


def _before_the_approval(scene: Scene, report: Report) -> None:
    with scene.altered("during"):
        path = scene.approved.path.removeprefix("/api/v1")
        again = scene.call("POST", path, scene.approved.body, token=scene.token)
        state = scene.world.counter.result(scene.asked)["state"]
    report.add(
        "Bring back the moment before the captured approval, and send it again",
        held="write access to both stores, backups, everything of one captured approval",
        gained={"a verifier's yes"} if again.is_success else (),
        note=f"the same answer goes to the same place, where it was {state} before: "
        f"{again.json().get('code', again.status_code)}",
    )


def _one_row(scene: Scene, report: Report) -> None:
    """A single old row is a genuine row; the list of shown copies says which version it is not."""
    old = {row["id"]: row for row in scene.loot.moments["before"]["copies"]}[scene.copy]
    before = {row["id"]: row for row in scene.loot.moments["before"]["wallets"]}
    said = {}
    for what in ("the row", "the row and the old list"):
        with scene.altered():
            change = "UPDATE copies SET sealed = ?, uses = ?, state = ? WHERE id = ?"
            scene.write("database.db", change, old["sealed"], old["uses"], old["state"], scene.copy)
            if what != "the row":
                spent = before[scene.alice.wallet]["spent"]
                change = "UPDATE wallets SET spent = ? WHERE id = ?"
                scene.write("database.db", change, spent, scene.alice.wallet)
            link = scene.world.counter.ask("over_18")["link"]
            consent = scene.alice.resolve(link, cross_device=True)
            path = f"/presentations/{consent.id}/select"
            said[what] = outcome(lambda: scene.alice._post(path, {}))  # noqa: B023
    report.add(
        "Bring back one row, so that a shown copy looks unused, without and with the old list",
        held="write access to both stores, backups",
        gained=succeeded(said),
        note=told(said),
    )
