"""Attacks by whoever can put back what was: the whole, a moment, one row.

Each begins with the stores as they are and leaves them so.
"""

from shared.demo.phone import Phone

from .inside import outcome, told
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
    """A single old row is a genuine row: nothing in it says which version it is."""
    old = {row["id"]: row for row in scene.loot.moments["before"]["copies"]}[scene.copy]
    with scene.altered():
        change = "UPDATE copies SET sealed = ?, uses = ?, state = ? WHERE id = ?"
        scene.write("database.db", change, old["sealed"], old["uses"], old["state"], scene.copy)
        others = "UPDATE copies SET uses = uses + 1 WHERE wallet = ? AND id <> ?"
        scene.write("database.db", others, scene.alice.wallet, scene.copy)
        link = scene.world.counter.ask("over_18")["link"]
        consent = scene.alice.resolve(link, cross_device=True)
        approval = scene.alice._post(f"/presentations/{consent.id}/select", {})["approval"]
        payload = scene.alice.approval(approval)["payload"]
    reused = payload["items"][0]["copy"] == scene.copy and "copy_reused" not in payload["warnings"]
    report.add(
        "Bring back one row: a shown copy looks unused, and is shown to a second verifier",
        held="write access to both stores, backups",
        gained={"linkability: a shown copy offered as new"} if reused else (),
        allowed={"linkability: a shown copy offered as new"},
        note="no key and no claim is gained, but two verifiers could know each other's visitor; "
        "the citizen's log has both. Open: rows carry no version",
    )
