"""Each service is killed at every step boundary, starts again, and people simply go on.

DESIGN, "Decided": "nothing lost" means nothing acknowledged; codes are strictly once, even if their
answer was lost; a credential request may be repeated; the wallet stores keys and step before each
call and sends the same bytes again. A first run of each journey lists the boundaries it has; then
it is run again for each of them with a kill there. Boundaries with the same state of the world on
both sides are tried once; CRASHES=all tries every one.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from shared.demo import browser
from shared.demo.phone import Phone, Refused
from shared.demo.visitor import Visitor, over_http
from shared.formats.status_list import StatusReference
from shared.formats.status_states import Status
from wallet_service.shares.tables import ONE_SECRET

from .striking import (
    Crashes,
    Presenting,
    Receiving,
    check_list,
    check_revocable,
    check_struck,
    crashes_of,
    entries_of,
    go_on,
    ids_of,
    numbers,
    start_mortal,
    suppress_code,
)
from .world import PORTAL, SERVICES, HandWallet, World, eventually, status_of


@pytest.fixture(scope="module")
def crashes(sqlite_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashes]:
    """The world on SQLite, one process for each service."""
    system, folder = sqlite_world.system, tmp_path_factory.mktemp("crashes")
    for module in SERVICES:
        system.processes.stop(module)
        start_mortal(system, module, folder)
    for module in SERVICES:
        system.processes.wait_until_ready(module, f"{system.urls[module]}/health/ready")
    made = crashes_of(sqlite_world, folder)
    yield made
    for module in SERVICES:
        made.armed[module].disarm()
        sqlite_world.restart(module)


@pytest.fixture(scope="module")
def phone(crashes: Crashes) -> Phone:
    return crashes.world.phone()


# -- Receiving ---------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["wallet_service", "issuer_service"])
def test_a_citizen_receives_one_card_wherever_a_service_dies(
    crashes: Crashes, phone: Phone, module: str, subtests: pytest.Subtests
) -> None:
    """W-13, W-31, I-51, I-70, ST-31: one card, one log entry, and every copy can be revoked."""
    world, subject = crashes.world, crashes.world.person()
    crashes.people.append(subject)

    def new() -> Receiving:
        if module == "issuer_service":
            crashes.kill(module)  # the first request of a process leases places
        return Receiving(crashes, phone, subject)

    rehearsal = new()
    for point in crashes.boundaries("receiving", module, " /", rehearsal.go):
        with subtests.test(str(point)):
            case, cards, entries = new(), ids_of(phone), entries_of(phone, "issuance")
            crashes.strike(module, point, case.go)
            case.go()
            [new_card] = ids_of(phone) - cards
            assert case.kept == [new_card]
            assert entries_of(phone, "issuance") == entries + 1
            assert phone.card(new_card)["copies_left"] == 10
            grants = world.rows(
                "issuer_service",
                "SELECT issued FROM grants WHERE offer_id = :id AND revoked_at IS NULL",
                id=case.offer["offer_id"],
            )
            assert len(grants) == 1
            state = world.registry.call("GET", f"offers/{case.offer['offer_id']}")["state"]
            assert state == "collected"


# -- Signing in --------------------------------------------------------------------------------


@dataclass
class SigningIn:
    """A citizen who asks an agency for a document, signs in there, and does what the pages say."""

    crashes: Crashes
    phone: Phone
    subject: str
    flow: str = ""
    kept: list[str] = field(default_factory=list)

    def go(self) -> None:
        """From wherever it stands to the card."""
        phone, issuer = self.phone, self.crashes.world.system.issuer
        if not self.flow:
            self.flow = phone.ask(issuer, "residence_sd_jwt")["id"]
        for _ in range(8):
            flow = phone._get(f"/issuances/{self.flow}")
            if flow["step"] == "stored":
                self.kept = flow["credentials"]
                return
            with suppress_code("code_refused", "foreign_callback"):  # so one signs in again
                self._step(flow)
        raise AssertionError(f"never stored, now at {flow['step']}")

    def _step(self, flow: dict[str, Any]) -> None:
        if "authorize" in flow["allowed_actions"] and flow["accepted"]:
            self.phone.sign_in(flow, self._agree)
        else:
            go_on(self.phone, flow)

    def _agree(self, url: str) -> dict[str, str]:
        """The agency's pages, with a new code of the clerk's: one is good once."""
        world = self.crashes.world
        code = world.registry.desk_code(self.subject)
        with httpx2.Client(timeout=60) as http:
            browser = Visitor(over_http(http), (world.system.urls["issuer_service"],))
            page = browser.press(browser.open(url), "login-submit", code=code)
            page = browser.press(page, "consent-accept")
        assert page.leaves is not None
        return dict(parse_qsl(urlsplit(page.leaves).query))


@pytest.mark.parametrize("module", ["wallet_service", "issuer_service"])
def test_a_citizen_who_signs_in_gets_one_card_wherever_a_service_dies(
    crashes: Crashes, phone: Phone, module: str, subtests: pytest.Subtests
) -> None:
    """I-41, I-48, I-55, W-12, W-13: a code whose answer was lost is no dead end."""
    subject = crashes.world.person()
    crashes.people.append(subject)

    def new() -> SigningIn:
        if module == "issuer_service":
            crashes.kill(module)  # the first request of a process leases places
        return SigningIn(crashes, phone, subject)

    rehearsal = new()
    where = "/issuances" if module == "wallet_service" else "/registry/"
    for point in crashes.boundaries("signing in", module, where, rehearsal.go):
        with subtests.test(str(point)):
            case, cards, entries = new(), ids_of(phone), entries_of(phone, "issuance")
            crashes.strike(module, point, case.go)
            case.go()
            [new_card] = ids_of(phone) - cards
            assert case.kept == [new_card]
            assert entries_of(phone, "issuance") == entries + 1
            assert phone.card(new_card)["copies_left"] == 10


# -- Presenting --------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["wallet_service", "verifier_service"])
def test_a_citizen_shows_one_copy_once_wherever_a_service_dies(
    crashes: Crashes, phone: Phone, module: str, subtests: pytest.Subtests
) -> None:
    """W-62, V-03, V-42: one answer leaves the wallet, always the same bytes, and it is judged."""
    world, person = crashes.world, crashes.world.person()
    crashes.people.append(person)
    [card] = world.receive(phone, person)
    for each in ids_of(phone) - {card}:
        phone.delete_card(each)

    def new() -> Presenting:
        if module == "verifier_service":  # the first answer to a process fetches the status list
            world.execute(module, "DELETE FROM fetched_document")
            crashes.kill(module)
        return Presenting(crashes, phone)

    rehearsal = new()
    for point in crashes.boundaries("presenting", module, " /", rehearsal.go):
        with subtests.test(str(point)):
            if not phone.card(card)["copies_left"]:
                phone.delete_card(card)
                [card] = world.receive(phone, person)
            case, left = new(), phone.card(card)["copies_left"]
            entries = entries_of(phone, "presentation")
            crashes.strike(module, point, case.go)
            case.go()
            result = world.counter.result(case.started)
            assert (result["state"], result["verdict"]["accepted"]) == ("verified", True)
            assert result["claims"]
            assert case.outcome in {"shared", "unconfirmed"}  # the latter: its receipt was lost
            assert len(case.sent) == 1
            assert phone.card(card)["copies_left"] == left - 1
            assert entries_of(phone, "presentation") == entries + 1


def test_a_browser_that_comes_back_is_served_wherever_the_verifier_dies(
    crashes: Crashes, phone: Phone, subtests: pytest.Subtests
) -> None:
    """V-50, V-52: the answer is released or waits on; whoever lost it reads it again."""
    world, person = crashes.world, crashes.world.person()
    crashes.people.append(person)
    world.receive(phone, person)

    def answered() -> Callable[[], None]:
        started.update(
            world.counter.ask("over_18", flow="same_device", return_url=f"{PORTAL}/back")
        )
        outcome = phone.approve(phone.resolve(started["link"]))
        code = str(outcome.redirect_uri).partition("response_code=")[2]
        secret = {"Transaction-Secret": started["secret"]}
        path = f"transactions/{started['transaction_id']}/return"
        return lambda: world.counter.call("POST", path, {"response_code": code}, **secret)

    started: dict[str, Any] = {}
    for point in crashes.boundaries("coming back", "verifier_service", "/return", answered()):
        with subtests.test(str(point)):
            come_back = answered()
            crashes.strike("verifier_service", point, come_back)
            if world.counter.result(started)["state"] == "responded":
                come_back()
            result = world.counter.result(started)
            assert (result["state"], bool(result["claims"])) == ("verified", True)


# -- Revoking and publishing -------------------------------------------------------------------


@dataclass
class Revoking:
    """A clerk who revokes, and asks again if no answer came."""

    crashes: Crashes
    place: StatusReference
    subject: str
    number: int = field(default_factory=lambda: next(numbers))

    def go(self) -> None:
        self.crashes.world.registry.call(
            "POST",
            "issuances/revoke",
            {"subject": self.subject, "reason": "withdrawn"},
            **{"Idempotency-Key": f"revoke {self.number}"},
        )

    @property
    def published(self) -> bool:
        found = self.crashes.world.status_list(self.place.uri)
        return found.list.get(self.place.index) == Status.INVALID

    def wait(self) -> None:
        self.crashes.end_lease("issuer_service", "publish_status_lists")
        eventually(lambda: self.published)


@pytest.mark.parametrize("where", ["/issuances/revoke", "job publish_status_lists"])
def test_a_revocation_is_made_once_and_published_wherever_the_issuer_dies(
    crashes: Crashes, where: str, subtests: pytest.Subtests
) -> None:
    """I-113, ST-33: also while the list is published; the next process takes over the job."""
    world = crashes.world

    def new() -> Revoking:
        subject = world.person()
        crashes.people.append(subject)
        offer = world.registry.offer(subject, "pid_sd_jwt")
        [(text, _)] = HandWallet(world.system.issuer).receive(offer)
        return Revoking(crashes, status_of(text), subject)

    def whole(case: Revoking) -> None:
        case.go()
        if where.startswith("job"):
            case.wait()
            time.sleep(0.5)  # the end of the job

    rehearsal = new()
    journey = "publishing" if where.startswith("job") else "revoking"
    for point in crashes.boundaries(journey, "issuer_service", where, lambda: whole(rehearsal)):
        with subtests.test(str(point)):
            case = new()
            crashes.strike("issuer_service", point, case.go)
            case.go()
            case.wait()
            [(state, made)] = world.rows(
                "issuer_service",
                "SELECT i.state, count(*) FROM issuances i JOIN audit a ON a.object = i.id"
                " WHERE a.act = 'credential_revoked' AND i.id = (SELECT issuance_id FROM copies"
                " WHERE list = :list AND idx = :idx)",
                list=int(case.place.uri.rpartition("/")[2]),
                idx=case.place.index,
            )
            assert (state, made) == ("revoked", 1)


# -- What jobs do ------------------------------------------------------------------------------


def test_a_transaction_nobody_answered_ends_wherever_the_verifier_dies(
    crashes: Crashes, subtests: pytest.Subtests
) -> None:
    """V-03, V-21: it expires, its key is erased, start and end are recorded once."""
    world = crashes.world

    def abandoned() -> str:
        started = str(world.counter.ask("over_18")["transaction_id"])
        for column in ("expires_at", "due_at"):
            world.age("verifier_service", "transactions", column, id=started)
        return started

    def recorded(transaction: str) -> bool:
        rows = world.rows(
            "verifier_service",
            "SELECT state, sealed_request IS NULL, audited FROM transactions WHERE id = :id",
            id=transaction,
        )
        return rows == [("expired", 1, 1)]

    def ended(transaction: str) -> None:
        crashes.end_lease("verifier_service", "erase")
        eventually(lambda: recorded(transaction))
        time.sleep(0.2)

    first = abandoned()
    for point in crashes.boundaries(
        "erasing", "verifier_service", "job erase", lambda: ended(first)
    ):
        with subtests.test(str(point)):
            transaction = abandoned()
            crashes.strike(
                "verifier_service", point, lambda: crashes.end_lease("verifier_service", "erase")
            )
            ended(transaction)
            acts = world.rows(
                "verifier_service",
                "SELECT act FROM audit WHERE subject = :id ORDER BY id",
                id=transaction,
            )
            assert acts == [("end",), ("start",)]


def test_audit_rows_are_chained_once_wherever_the_issuer_dies(
    crashes: Crashes, subtests: pytest.Subtests
) -> None:
    """I-115, DESIGN "Decided": the chain has no gap and no fork."""
    world = crashes.world

    def waiting() -> int:
        [(found,)] = world.rows(
            "issuer_service", "SELECT count(*) FROM audit WHERE sequence IS NULL"
        )
        return int(found)

    def chained() -> None:
        crashes.end_lease("issuer_service", "chain_audit")
        eventually(lambda: not waiting())
        time.sleep(0.2)

    world.registry.offer(world.person(), "pid_sd_jwt")
    for point in crashes.boundaries(
        "chaining the audit trail", "issuer_service", "job chain_audit", chained
    ):
        with subtests.test(str(point)):
            world.registry.offer(world.person(), "pid_sd_jwt")
            crashes.strike(
                "issuer_service", point, lambda: crashes.end_lease("issuer_service", "chain_audit")
            )
            chained()
            [(rows, numbers, last)] = world.rows(
                "issuer_service",
                "SELECT count(*), count(DISTINCT sequence), max(sequence) FROM audit",
            )
            [(head,)] = world.rows("issuer_service", "SELECT max(sequence) FROM audit_heads")
            assert rows == numbers == last == head


# -- Coming and leaving ------------------------------------------------------------------------


def test_a_wallet_is_made_or_not_wherever_the_wallet_service_dies(
    crashes: Crashes, subtests: pytest.Subtests
) -> None:
    """WALLET_SECURITY 6: what was acknowledged opens; else one begins anew."""
    world = crashes.world
    url = world.system.urls["wallet_service"]
    with httpx2.Client(base_url=url, timeout=60) as client:
        where = "POST /api/v1/wallets"
        first = Phone(client, origin=url)
        for point in crashes.boundaries(
            "making a wallet", "wallet_service", where, first.create_wallet
        ):
            with subtests.test(str(point)):
                new = Phone(client, origin=url)
                crashes.strike("wallet_service", point, new.create_wallet)
                made = world.rows(
                    "wallet_service",
                    "SELECT id FROM wallets WHERE id = :id AND state <> 'begun'",
                    id=new.wallet,
                )
                if made:  # whether the answer came or not: the passkey opens it
                    new.open()
                else:
                    assert new._token is None
                    new = Phone(client, origin=url)
                    new.create_wallet()
                assert [each["type"] for each in new.log()] == ["wallet_created"]


def test_one_recovery_code_counts_wherever_the_wallet_service_dies(
    crashes: Crashes, subtests: pytest.Subtests
) -> None:
    """ADR 0018: no transaction holds both stores; nobody is locked out, and one `S` is left."""
    world = crashes.world
    first = world.phone()
    points = crashes.boundaries(
        "replacing a code", "wallet_service", "/approve", lambda: first.replace_code("recovery")
    )
    for point in points:
        with subtests.test(str(point)):
            phone, new = world.phone(), browser.make_code()
            old = phone.recovery_code
            crashes.strike("wallet_service", point, partial(phone.replace_code, "recovery", new))
            phone.open()
            assert [_proves(phone, each) for each in (old, new)].count(True) == 1
            crashes.end_lease("wallet_service", "clean")
            eventually(lambda phone=phone: _shares_of(world, phone) == 1)
            phone.open()


def _proves(phone: Phone, code: str) -> bool:
    """Whether *code* is the one that counts, and opens the wallet."""
    try:
        phone.prove_recovery(code)
    except Refused:
        return False
    return True


def _shares_of(world: World, phone: Phone) -> int:
    """How many secrets the wallet's share holds: two, while an unlocker is removed."""
    [(length,)] = world.rows(
        "shares", "SELECT length(blob) FROM shares WHERE wallet = :id", id=phone.wallet
    )
    return 1 if length <= ONE_SECRET else 2


def test_a_wallet_that_was_to_be_deleted_is_gone_wherever_the_wallet_service_dies(
    crashes: Crashes, subtests: pytest.Subtests
) -> None:
    """WALLET_SECURITY 6, DESIGN 2.8: whole or gone, and never gone with its rows left behind."""
    world = crashes.world
    first = world.phone()
    points = crashes.boundaries(
        "deleting a wallet", "wallet_service", "/approve", first.delete_wallet
    )
    for point in points:
        with subtests.test(str(point)):
            phone = world.phone()
            crashes.strike("wallet_service", point, phone.delete_wallet)
            with suppress(Refused):  # it is gone already, or goes now
                phone.delete_wallet()
            crashes.end_lease("wallet_service", "clean")
            eventually(lambda phone=phone: not _rows_of(world, phone))


def _rows_of(world: World, phone: Phone) -> int:
    """How much is left of a wallet, in both stores."""
    [(shares,)] = world.rows(
        "shares", "SELECT count(*) FROM shares WHERE wallet = :id", id=phone.wallet
    )
    [(rows,)] = world.rows(
        "wallet_service",
        "SELECT (SELECT count(*) FROM wallets WHERE id = :id)"
        " + (SELECT count(*) FROM unlockers WHERE wallet = :id)"
        " + (SELECT count(*) FROM log_entries WHERE wallet = :id)",
        id=phone.wallet,
    )
    return int(shares + rows)


# -- At the end --------------------------------------------------------------------------------


def test_after_all_that_every_copy_that_was_ever_recorded_can_be_revoked(
    crashes: Crashes,
) -> None:
    """DESIGN: whatever exists can be revoked, even after a crash; no place was given twice."""
    check_revocable(crashes)


def test_the_list_of_failpoints_is_the_one_that_came_by(crashes: Crashes) -> None:
    """docs/failpoints.md names every step at which a service is killed."""
    check_list(crashes, "test_crashes.py")


def test_nearly_every_boundary_was_struck(crashes: Crashes) -> None:
    """The positive control: a kill that never happens proves nothing."""
    check_struck(crashes)
