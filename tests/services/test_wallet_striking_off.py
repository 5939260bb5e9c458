"""A lost passkey is struck off: it opens nothing any more, and one always stays."""

import threading
from functools import partial
from typing import Any

from sqlalchemy import func, select
from starlette.testclient import TestClient

from shared.demo.phone import Phone, Refused
from tests.support.trust import PID
from tests.support.wallet import OVER_18, WALLET, WalletWorld, refused
from wallet_service.tables import sessions, unlockers, wraps


def two(world: WalletWorld) -> tuple[Phone, Phone]:
    """A phone with a document, and a tablet that opens the same wallet; both are open."""
    phone = world.phone_with(PID)
    connection = TestClient(world.client.app, base_url=WALLET)  # of its own: both act at once
    tablet = Phone(connection, WALLET)
    phone.add_passkey(tablet)
    tablet.open()
    return phone, tablet


def unlocker(phone: Phone) -> str:
    """The unlocker this phone's session was opened with."""
    [own] = [each for each in phone.overview()["unlockers"] if each["this_one"]]
    return str(own["id"])


def propose(phone: Phone, struck: str) -> str:
    return str(phone._post(f"/unlockers/{struck}/removal")["approval"])


def approve(phone: Phone, approval: str) -> dict[str, Any]:
    """The gesture that approved it."""
    gesture = phone.gesture(phone.approval(approval))
    phone._post(f"/approvals/{approval}/approve", gesture)
    return gesture


def rows_of(world: WalletWorld, struck: str) -> list[int]:
    tables = (unlockers.c.id, wraps.c.unlocker, sessions.c.unlocker)
    with world.wallet.database.reading() as connection:
        return [
            connection.execute(select(func.count()).where(column == struck)).scalar_one()
            for column in tables
        ]


def opens(phone: Phone) -> bool:
    try:
        phone.open()
    except Refused as refused:
        return refused.code != "passkey_refused"
    return True


def test_a_struck_passkey_opens_nothing_and_its_sessions_end(world: WalletWorld) -> None:
    """DESIGN 2.6, ADR 0018: no row of it is left; what stays opens and shares as before."""
    phone, tablet = two(world)
    lost = unlocker(tablet)
    approval = propose(phone, lost)
    assert rows_of(world, lost) == [1, 2, 1]  # nothing happens by session alone
    gesture = approve(phone, approval)
    assert rows_of(world, lost) == [0, 0, 0]
    assert refused(tablet.overview) == "unauthenticated"
    assert refused(tablet.open) == "passkey_refused"
    assert phone.log()[-1]["type"] == "unlocker_removed"
    phone.close()
    phone.open()
    consent = phone.resolve(world.verifier.ask(OVER_18))
    assert phone.approve(consent).outcome == "shared"
    again = partial(phone._post, f"/approvals/{approval}/approve", gesture)
    assert refused(again) == "approval_used"


def test_no_passkey_approves_its_own_end(world: WalletWorld) -> None:
    """ADR 0018: one that stays has to; so whoever is left has proven that they can go on."""
    phone, tablet = two(world)
    own = unlocker(tablet)
    assert refused(partial(approve, tablet, propose(tablet, own))) == "passkey_refused"
    assert rows_of(world, own) == [1, 2, 1]
    approve(phone, propose(tablet, own))
    assert rows_of(world, own) == [0, 0, 0]


def test_the_last_passkey_stays(world: WalletWorld) -> None:
    phone = world.phone_with(PID)
    assert refused(lambda: propose(phone, unlocker(phone))) == "last_passkey"
    [recovery] = [e["id"] for e in phone.overview()["unlockers"] if e["kind"] == "recovery"]
    stranger = unlocker(world.new_phone())
    for other in (recovery, stranger, "unl_nothing"):
        assert refused(partial(propose, phone, other)) == "not_found"


def test_of_two_that_strike_each_other_off_one_stays(world: WalletWorld) -> None:
    """Two approved removals at once: exactly one passkey is left, and it opens the wallet."""
    phone, tablet = two(world)
    pairs = [(phone, tablet), (tablet, phone)]
    gestures: list[tuple[Phone, str, dict[str, Any]]] = []
    for by, other in pairs:
        approval = propose(by, unlocker(other))
        gestures.append((by, approval, by.gesture(by.approval(approval))))
    barrier = threading.Barrier(2)
    results: list[str] = []

    def act(by: Phone, approval: str, gesture: dict[str, Any]) -> None:
        barrier.wait()
        try:
            by._post(f"/approvals/{approval}/approve", gesture)
            results.append("done")
        except Refused as refused:
            results.append(refused.code)

    threads = [threading.Thread(target=act, args=each) for each in gestures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("done") == 1
    opening = [each for each in (phone, tablet) if opens(each)]
    [left] = opening
    assert [each["kind"] for each in left.overview()["unlockers"]].count("passkey") == 1
