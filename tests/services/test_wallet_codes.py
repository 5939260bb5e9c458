"""New codes for an old wallet: by approval, in the place of the old ones, each for itself."""

import threading
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from shared.demo import browser
from shared.demo.browser import Roots, UnlockerKeys
from shared.demo.phone import Phone, Refused
from shared.encoding import b64url_encode
from tests.support.trust import PID
from tests.support.wallet import OVER_18, TX_CODE, WALLET, WalletWorld, refused
from wallet_service.tables import codes, unlockers, wraps


def another(phone: Phone) -> Phone:
    """A phone with a connection of its own to the same service."""
    return Phone(TestClient(phone.client.app, base_url=WALLET), WALLET)  # type: ignore[attr-defined]


def test_a_new_recovery_code_opens_and_the_old_one_opens_nothing(world: WalletWorld) -> None:
    """DESIGN 2.6, WALLET_SECURITY 2: both roots under the new code, no row of the old one left."""
    phone = world.phone_with(PID)
    old = phone.recovery_code
    [before] = [each for each in phone.overview()["unlockers"] if each["kind"] == "recovery"]
    new = phone.replace_code("recovery")
    assert phone.log()[-1]["type"] == "code_replaced"
    assert phone.log()[-1]["result"] == "recovery"
    with world.wallet.database.reading() as connection:
        for column in (unlockers.c.id, wraps.c.unlocker):
            rows = connection.execute(select(column).where(column == before["id"])).all()
            assert rows == []
    tablet = another(phone)
    assert refused(lambda: tablet.begin_recovery(old)) == "not_found"
    assert refused(lambda: phone.prove_recovery(old)) == "not_found"
    phone.prove_recovery(new)
    tablet.begin_recovery(new)
    world.clock.advance(hours=24)
    tablet.recover(phone)
    consent = tablet.resolve(world.verifier.ask(OVER_18))
    assert tablet.approve(consent).outcome == "shared"


def test_a_recovery_begun_with_the_old_code_ends_with_it(world: WalletWorld) -> None:
    """WALLET_SECURITY 6: a thief who waits with the paper waits in vain."""
    phone = world.phone_with(PID)
    thief, found = another(phone), another(phone)
    found.recovery_code = phone.recovery_code
    thief.begin_recovery(found.recovery_code)
    phone.replace_code("recovery")
    assert all(each["code"] != "recovery_begun" for each in phone.overview()["notices"])
    world.clock.advance(hours=25)
    assert refused(lambda: thief.recover(found)) == "not_found"


def test_a_new_revocation_code_blocks_and_the_old_one_does_not(world: WalletWorld) -> None:
    """WALLET_SECURITY 6: both codes for themselves; the recovery code goes on."""
    phone = world.phone_with(PID)
    old = phone.revocation_code
    phone.replace_code("revocation")
    stranger = another(phone)
    stranger.revocation_code = old
    assert refused(stranger.revoke) == "not_found"
    phone.prove_recovery()
    stranger.revocation_code = phone.revocation_code
    stranger.revoke()
    assert refused(phone.overview) == "unauthenticated"


def test_whoever_lost_the_code_before_it_was_proven_gets_documents_with_a_new_one(
    world: WalletWorld,
) -> None:
    """ADR 0007: a code that is lost after the page is closed cannot be seen again."""
    phone = another(world.new_phone())
    phone.create_wallet()
    assert [each["code"] for each in phone.overview()["notices"]] == ["second_unlocker_needed"]
    phone.replace_code("recovery")
    assert phone.overview()["notices"] == []
    phone.receive(world.issuer.offer(PID), TX_CODE)
    assert len(phone.cards()) == 1


def test_other_devices_are_told_and_this_one_is_not(world: WalletWorld) -> None:
    phone = world.phone_with(PID)
    tablet = another(phone)
    phone.add_passkey(tablet)
    tablet.open()
    tablet.replace_code("revocation")
    told, itself = (
        [notice["code"] for notice in each.overview()["notices"]] for each in (phone, tablet)
    )
    assert "code_replaced" in told
    assert "code_replaced" not in itself


def proposed(phone: Phone, kind: str, code: str) -> tuple[str, dict[str, Any]]:
    """An approval for *code*, and the gesture that would approve it."""
    keys = UnlockerKeys.of_code(code)
    more = keys.public() if kind == "recovery" else {}
    body = {"lookup": browser.lookup(code), **more}
    approval = str(phone._post(f"/codes/{kind}", body)["approval"])
    found = phone.approval(approval)
    assertion, k_act = phone._act(found)
    gesture: dict[str, Any] = {"assertion": assertion}
    if kind == "recovery":
        roots = Roots(phone._k_read, k_act)
        unlocker = found["payload"]["code"]["unlocker"]
        sealed = keys.body(roots, wallet=phone.wallet, unlocker=unlocker)
        gesture["wraps"] = {"read": sealed["read_wrap"], "act": sealed["act_wrap"]}
    return approval, gesture


def test_nothing_changes_without_the_gesture_and_what_came_with_it(world: WalletWorld) -> None:
    """WALLET_SECURITY 4: no privileged act by session alone; a code counts once, for one wallet."""
    phone = world.phone_with(PID)
    code = browser.make_code()
    approval, gesture = proposed(phone, "recovery", code)
    phone.prove_recovery()  # still the old one
    half = {**gesture, "wraps": {"read": gesture["wraps"]["read"]}}
    assert refused(lambda: phone._post(f"/approvals/{approval}/approve", half)) == "invalid_input"
    again = refused(lambda: phone._post(f"/approvals/{approval}/approve", gesture))
    assert again == "approval_used"
    phone.prove_recovery()
    assert refused(lambda: phone.prove_recovery(code)) == "not_found"
    stranger = world.phone_with(PID)
    for taken, kind in ((phone.recovery_code, "recovery"), (phone.revocation_code, "revocation")):
        approval, gesture = proposed(stranger, kind, taken)
        place = f"/approvals/{approval}/approve"
        assert refused(partial(stranger._post, place, gesture)) == "code_taken"
    stranger.prove_recovery()


def test_the_payload_says_nothing_that_finds_the_wallet(world: WalletWorld) -> None:
    """A session that reads an approval cannot block the wallet with what stands in it."""
    phone = world.phone_with(PID)
    code = browser.make_code()
    approval, _ = proposed(phone, "revocation", code)
    assert browser.lookup(code) not in str(phone.approval(approval))


@pytest.mark.parametrize("kind", ["recovery", "revocation"])
def test_of_two_new_codes_at_once_one_counts(world: WalletWorld, kind: str) -> None:
    """One guarded UPDATE decides; the wallet opens afterwards, with one code of the kind."""
    phone = world.phone_with(PID)
    tablet = another(phone)
    phone.add_passkey(tablet)
    tablet.open()
    pairs = [(each, browser.make_code()) for each in (phone, tablet)]
    ready = [(each, *proposed(each, kind, code)) for each, code in pairs]
    barrier, results = threading.Barrier(2), dict[int, str]()

    def act(number: int, by: Phone, approval: str, gesture: dict[str, Any]) -> None:
        barrier.wait()
        try:
            by._post(f"/approvals/{approval}/approve", gesture)
            results[number] = "done"
        except Refused as error:
            results[number] = error.code

    threads = [threading.Thread(target=act, args=(n, *each)) for n, each in enumerate(ready)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results.values()) == ["code_taken", "done"]
    [winner] = [pairs[number][1] for number, result in results.items() if result == "done"]
    with world.wallet.database.reading() as connection:
        rows = connection.execute(
            select(codes.c.mac).where(codes.c.wallet == phone.wallet, codes.c.kind == kind)
        ).all()
        assert len(rows) == 1
    phone.close()
    phone.open()  # the MAC over all unlockers is right
    if kind == "recovery":
        phone.prove_recovery(winner)


def test_two_passkeys_added_at_once_leave_a_wallet_that_opens(world: WalletWorld) -> None:
    """WALLET_SECURITY 3: the MAC over the unlockers covers both, or one came to nothing."""
    phone = world.phone_with(PID)
    tablet = another(phone)
    phone.add_passkey(tablet)
    tablet.open()
    barrier, results = threading.Barrier(2), list[str]()

    def act(by: Phone, new: Phone) -> None:
        barrier.wait()
        by.add_passkey(new)
        results.append("done")

    pairs = [(phone, another(phone)), (tablet, another(phone))]
    threads = [threading.Thread(target=act, args=each) for each in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["done", "done"]
    for _, new in pairs:
        new.open()
    kinds = [each["kind"] for each in phone.overview()["unlockers"]]
    assert sorted(kinds) == ["passkey"] * 4 + ["recovery"]
    assert b64url_encode(phone._k_read) == b64url_encode(pairs[0][1]._k_read)
