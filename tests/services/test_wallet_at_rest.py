"""What stands in the wallet's database, and what an old backup of it is good for."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from shared.crypto.sealing import Keyring
from shared.errors import TooManyRequests, VerificationError
from shared.runtime.database import UtcDateTime
from shared.runtime.keys import KeyDirectory
from tests.support.clock import NOW
from tests.support.trust import PID
from tests.support.wallet import OVER_18, TX_CODE, WalletWorld, refused
from wallet_service import guessing, rotating
from wallet_service.shares.tables import shares
from wallet_service.tables import (
    approvals,
    callbacks,
    copies,
    guesses,
    issuances,
    presentations,
    sessions,
    used_challenges,
    wallets,
)

# -- Deadlines ---------------------------------------------------------------------------------


def test_no_time_of_use_stands_in_the_clear(world: WalletWorld) -> None:
    """WALLET_SECURITY 2: coarse dates; not when somebody opened, scanned or showed something."""
    world.clock.advance(minutes=7, seconds=13)
    phone = world.phone_with(PID)
    consent = phone.resolve(world.verifier.ask(OVER_18))
    phone._post(f"/presentations/{consent.id}/select", {})
    tables = (sessions, used_challenges, approvals, callbacks, issuances, presentations)
    with world.wallet.database.reading() as connection:
        for table in tables:
            columns = [each for each in table.c if isinstance(each.type, UtcDateTime)]
            for row in connection.execute(select(*columns)):
                assert all((each.minute, each.second) == (0, 0) for each in row), table.name
        for table in (approvals, issuances, presentations):
            found = connection.execute(select(table.c.expires_at)).scalars()
            assert all(each.hour == 0 for each in found)


def test_deadlines_are_exact_all_the_same(world: WalletWorld) -> None:
    """The sealed deadline decides: a flow, an approval, a session end when they end."""
    phone = world.phone_with(PID)
    consent = phone.resolve(world.verifier.ask(OVER_18))
    place = f"/presentations/{consent.id}"
    approval = phone._post(f"{place}/select", {})["approval"]
    found = phone.approval(approval)
    assert found["expires_at"] == int((world.clock() + timedelta(minutes=10)).timestamp())
    world.clock.advance(minutes=4, seconds=59)
    assert phone._get("/wallet")["under_way"] != []
    world.clock.advance(seconds=1)
    assert phone._get("/wallet")["under_way"] == []  # so long the agency waited
    world.clock.advance(minutes=5)
    approve = f"/approvals/{approval}/approve"
    assert refused(lambda: phone._post(approve, phone.gesture(found))) == "approval_used"
    assert refused(lambda: phone._post(f"{place}/select", {})) == "request_expired"
    world.clock.advance(minutes=10)
    assert refused(phone.overview) == "unauthenticated"


# -- A row of a backup ---------------------------------------------------------------------------


def test_the_old_row_of_a_shown_copy_is_noticed(world: WalletWorld) -> None:
    """WALLET_SECURITY 1, A9, and 10: a shown copy never looks unused again."""
    phone = world.phone_with(PID)
    mine = (copies.c.wallet == phone.wallet,)
    with world.wallet.database.reading() as connection:
        before = {
            row["id"]: dict(row)
            for row in connection.execute(select(copies).where(*mine)).mappings()
        }
    phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    assert phone.approve(phone.resolve(world.verifier.ask(OVER_18))).outcome == "shared"
    with world.wallet.database.transaction() as connection:
        for name, row in before.items():
            connection.execute(update(copies).where(copies.c.id == name).values(**row))
    consent = phone.resolve(world.verifier.ask(OVER_18))
    assert refused(lambda: phone.approve(consent)) == "wallet_altered"


def test_the_list_of_shown_copies_cannot_be_put_back_alone(world: WalletWorld) -> None:
    """It is sealed for one version of the wallet, and that one the citizen's device knows."""
    phone = world.phone_with(PID)
    of_it = wallets.c.id == phone.wallet
    with world.wallet.database.reading() as connection:
        old = connection.execute(select(wallets.c.spent).where(of_it)).scalar_one()
    phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    for forged in (old, b""):
        with world.wallet.database.single() as connection:
            connection.execute(update(wallets).where(of_it).values(spent=forged))
        consent, offer = phone.resolve(world.verifier.ask(OVER_18)), world.issuer.offer(PID)
        assert refused(partial(phone.approve, consent)) == "wallet_altered"
        assert refused(partial(phone.receive, offer, TX_CODE)) == "wallet_altered"


# -- Guesses -------------------------------------------------------------------------------------


def test_guesses_are_counted_exactly_by_address_and_hour(world: WalletWorld) -> None:
    """DESIGN "Decided": guesses of secrets are counted in the database; exact under a race."""

    def one(address: str = "192.0.2.7") -> bool:
        try:
            guessing.count(world.wallet, address, now=world.clock())
        except TooManyRequests:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda _: one(), range(guessing.LIMIT + 40)))
    assert sum(found) == guessing.LIMIT
    assert one("192.0.2.8")
    with ThreadPoolExecutor(16) as threads:
        network = (f"2001:db8::{each:x}" for each in range(guessing.LIMIT + 5))
        assert sum(threads.map(one, network)) == guessing.LIMIT
    assert one("2001:db8:0:1::1")
    world.clock.advance(hours=1)
    assert one()
    with world.wallet.database.reading() as connection:
        stored = connection.execute(select(guesses.c.bucket)).scalars().all()
    assert all(b"192.0.2" not in each and len(each) == 32 for each in stored)


def test_wrong_revocation_codes_end_in_too_many_requests(world: WalletWorld) -> None:
    """WALLET_SECURITY 10: guessing codes; the right one freezes the wallet, also twice."""
    phone, thief = world.phone_with(PID), world.phone()
    thief.revocation_code = "0000-" * 7 + "0000"
    world.clock.advance(hours=1)
    phone.open()
    phone.revoke()
    phone.revoke()
    answers = [refused(thief.revoke) for _ in range(guessing.LIMIT)]
    assert answers[: guessing.LIMIT - 2] == ["not_found"] * (guessing.LIMIT - 2)
    assert answers[-1] == "too_many_requests"
    world.clock.advance(hours=1)
    assert refused(phone.overview) == "unauthenticated"


# -- The share key -------------------------------------------------------------------------------


class Files:
    """A key directory whose replicas see each other's changes."""

    def __init__(self, folder: Path) -> None:
        self.one, self.other = (KeyDirectory(folder, b"password") for _ in range(2))
        self.one.ensure_secrets(("shares",))


def test_the_share_key_rotates_and_backups_become_noise(world: WalletWorld, tmp_path: Path) -> None:
    """WALLET_SECURITY 2: monthly, the old one destroyed; within 35 days a deleted S is nobody's."""
    files = Files(tmp_path)
    database = world.wallet.shares
    with database.transaction() as connection:
        connection.execute(shares.delete())
        for name in ("wal_stays", "wal_goes"):
            blob = files.one.keyring("shares").seal(name.encode().ljust(32), aad=name.encode())
            connection.execute(shares.insert().values(wallet=name, blob=blob))

    def run(day: int) -> Keyring:
        now = NOW + timedelta(days=day)
        rotating.rotate(database, files.one, now=now, random_bytes=lambda n: bytes([day % 250] * n))
        return files.other.latest_keyring("shares")

    def blob_of(name: str) -> bytes:
        with database.reading() as connection:
            found: bytes = connection.execute(
                select(shares.c.blob).where(shares.c.wallet == name)
            ).scalar_one()
        return found

    def day(number: int) -> str:
        return f"{NOW + timedelta(days=number):%F}"

    assert sorted(run(0).keys) == sorted(["1", day(0)])  # the first key has no day
    backup = blob_of("wal_goes")
    assert run(1).keys.keys() == {day(0)}
    with database.single() as connection:
        connection.execute(shares.delete().where(shares.c.wallet == "wal_goes"))
    assert run(29).current == day(0)
    assert sorted(run(30).keys) == sorted([day(0), day(30)])
    ring = run(34)
    assert ring.open(backup, aad=b"wal_goes")  # a backup is not noise yet …
    ring = run(35)
    assert ring.keys.keys() == {day(30)}
    with pytest.raises(VerificationError):
        ring.open(backup, aad=b"wal_goes")  # … and now it is, for whoever holds every key
    assert ring.open(blob_of("wal_stays"), aad=b"wal_stays").startswith(b"wal_stays")


def test_doctor_says_when_the_share_key_is_too_old(tmp_path: Path) -> None:
    """WALLET_SECURITY 2: whoever's files cannot be written learns it."""
    files = Files(tmp_path)

    settings = SimpleNamespace(
        key_directory=tmp_path,
        key_password=SecretStr("password"),
        pkcs11_module=None,
        pkcs11_token="",
        pkcs11_pin=None,
    )
    [finding] = rotating.look(settings)
    assert "unknown" in finding.what
    assert finding.next_step
    today = datetime.now(NOW.tzinfo)  # noqa: TID251  # the command reads the real clock
    ring = Keyring(f"{today:%F}", {f"{today:%F}": bytes(32)})
    files.one.store_keyring("shares", ring)
    [finding] = rotating.look(settings)
    assert finding.next_step == ""
