"""A new `S` when an unlocker goes: old backups of its wraps open with nothing that is left."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Row, select
from starlette.testclient import TestClient

from shared.demo.phone import Phone, Refused
from shared.errors import VerificationError
from tests.support.trust import PID
from tests.support.wallet import OVER_18, WALLET, WalletWorld, refused
from wallet_service import share_renewing, vault
from wallet_service.cleaning import clean
from wallet_service.tables import wraps


def two(world: WalletWorld) -> tuple[Phone, Phone]:
    """A phone with a document, and a tablet that opens the same wallet; both are open."""
    phone = world.phone_with(PID)
    tablet = another(phone)
    phone.add_passkey(tablet)
    tablet.open()
    return phone, tablet


def another(phone: Phone) -> Phone:
    return Phone(TestClient(phone.client.app, base_url=WALLET), WALLET)  # type: ignore[attr-defined]


def unlocker(phone: Phone) -> str:
    [own] = [each for each in phone.overview()["unlockers"] if each["this_one"]]
    return str(own["id"])


def approved(phone: Phone, struck: str) -> Callable[[], Any]:
    """The last step of striking off: all that is left is to send it."""
    approval = phone._post(f"/unlockers/{struck}/removal")["approval"]
    gesture = phone.gesture(phone.approval(approval))
    return partial(phone._post, f"/approvals/{approval}/approve", gesture)


def secrets_of(world: WalletWorld, phone: Phone) -> tuple[bytes, ...]:
    return vault.shares_of(world.wallet, phone.wallet)


def backup(world: WalletWorld, phone: Phone) -> list[Row[Any]]:
    """The wraps of a wallet, as a backup has them."""
    with world.wallet.database.reading() as connection:
        return list(connection.execute(select(wraps).where(wraps.c.wallet == phone.wallet)).all())


def opens(secrets: tuple[bytes, ...], row: Row[Any]) -> bool:
    try:
        vault.open_outer(secrets, row.wallet, row.unlocker, row.purpose, row.blob)
    except VerificationError:
        return False
    return True


def works(world: WalletWorld, phone: Phone) -> None:
    """It opens, shows something, and its recovery code is right."""
    phone.open()
    assert phone.approve(phone.resolve(world.verifier.ask(OVER_18))).outcome == "shared"
    phone.prove_recovery()


def test_a_backup_of_a_struck_passkey_opens_with_nothing_that_is_left(world: WalletWorld) -> None:
    """WALLET_SECURITY 2, ADR 0018: its outer layers were made by a secret that is no more."""
    phone, tablet = two(world)
    lost, saved, before = unlocker(tablet), backup(world, phone), secrets_of(world, phone)
    assert all(opens(before, row) for row in saved)
    approved(phone, lost)()
    after = secrets_of(world, phone)
    assert len(after) == 1
    assert after != before
    assert not any(opens(after, row) for row in saved)
    assert all(opens(after, row) for row in backup(world, phone))
    assert refused(tablet.open) == "passkey_refused"
    works(world, phone)


def test_a_backup_of_a_replaced_recovery_code_opens_with_nothing_either(world: WalletWorld) -> None:
    """ADR 0028: somebody who has the old paper and a backup has nothing; its wraps went alike."""
    phone = world.phone_with(PID)
    saved, before = backup(world, phone), secrets_of(world, phone)
    phone.replace_code("revocation")
    assert secrets_of(world, phone) == before  # no unlocker went
    phone.replace_code("recovery")
    after = secrets_of(world, phone)
    assert len(after) == 1
    assert not any(opens(after, row) for row in saved)
    works(world, phone)


def halfway(world: WalletWorld, phone: Phone, *, sealed: bool) -> tuple[bytes, ...]:
    """As a removal leaves it that was cut off: begun, and perhaps all layers made anew."""
    share_renewing._begin(world.wallet, phone.wallet)
    pair = secrets_of(world, phone)
    if sealed:
        with world.wallet.database.transaction() as connection:
            share_renewing._seal_anew(connection, phone.wallet, pair)
    assert len(pair) == 2
    return pair


def test_a_removal_that_was_cut_off_loses_nobody_and_is_gone_on_with(world: WalletWorld) -> None:
    """Between the two stores is no transaction: either secret opens, and the job ends it."""
    for sealed in (False, True):
        phone, tablet = two(world)
        pair = halfway(world, phone, sealed=sealed)
        for each in (phone, tablet):
            works(world, each) if each is phone else each.open()
        third = another(phone)
        phone.add_passkey(third)
        third.open()
        clean(world.wallet, now=world.clock())
        assert secrets_of(world, phone) == pair[1:]
        for each in (tablet, third):
            each.open()
        works(world, phone)


def test_a_removal_after_one_that_was_cut_off_takes_a_secret_of_its_own(world: WalletWorld) -> None:
    """No wrap of who goes was ever in a layer of the secret that stays."""
    for sealed in (False, True):
        phone, tablet = two(world)
        lost = unlocker(tablet)
        pair = halfway(world, phone, sealed=sealed)
        saved = backup(world, phone)
        approved(phone, lost)()
        after = secrets_of(world, phone)
        assert len(after) == 1
        assert after[0] != pair[0]
        assert (after[0] != pair[1]) is sealed
        assert not any(opens(after, row) for row in saved if row.unlocker == lost)
        works(world, phone)


def at_once(*acts: Callable[[], Any]) -> list[str]:
    barrier, results = threading.Barrier(len(acts)), [""] * len(acts)

    def run(number: int, act: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            act()
            results[number] = "done"
        except Refused as error:
            results[number] = error.code

    threads = [threading.Thread(target=run, args=each) for each in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_what_happens_at_the_same_time_as_a_removal_counts(world: WalletWorld) -> None:
    """Another removal, a new passkey, an opening and the job: all is done, all that stay open."""
    phone, tablet = two(world)
    third, new = another(phone), another(phone)
    phone.add_passkey(third)
    third.open()
    saved = backup(world, phone)
    strikes = [approved(phone, unlocker(each)) for each in (tablet, third)]
    fourth = another(phone)  # a connection of its own, with the phone's passkey
    fourth.passkey, fourth._marks = phone.passkey, phone._marks
    job = partial(share_renewing.finish_all, world.wallet)
    results = at_once(*strikes, partial(phone.add_passkey, new), fourth.open, job)
    assert results == ["done"] * 5
    share_renewing.finish_all(world.wallet)
    after = secrets_of(world, phone)
    assert len(after) == 1
    assert not any(opens(after, row) for row in saved)
    assert all(opens(after, row) for row in backup(world, phone))
    new.open()
    works(world, phone)
    kinds = [each["kind"] for each in phone.overview()["unlockers"]]
    assert sorted(kinds) == ["passkey", "passkey", "recovery"]
