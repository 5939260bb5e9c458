"""As in `test_crashes.py` each service is killed at every step boundary, while people wait.

What is waited for: a document that was not ready and is collected later, a card that its wallet
fills up by itself, and word from the verifier that a transaction has ended. A world of its own, in
which time passes when a test says so, since leases and intervals last for minutes.
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shared.demo.phone import Phone
from tests.support.servers import Server, answer

from .striking import (
    ALL,
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
    start_mortal,
)
from .world import AT_ONCE, PortalSystem, eventually, ports, running

_INTERVAL = 61  # seconds; the register's entries are asked for again after a minute
_LEASE = 121  # seconds; of a refresh token that one request uses


class _TellingSystem(PortalSystem):
    """Its services die when told to; the counter's own system hears when a transaction ended."""

    hook = ""

    @property
    def orders(self) -> Path:
        """Where it stands when to die."""
        return self.folder / "orders"

    def _begin(self, module: str) -> None:
        self.orders.mkdir(exist_ok=True)
        start_mortal(self, module, self.orders)

    def _tenant(self, module: str, name: str, **content: Any) -> None:
        if module == "verifier_service":
            content["webhook_url"] = self.hook
        super()._tenant(module, name, **content)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Server]:
    """The counter's own system: it takes every message."""
    with Server(answer(b"", status="204 No Content", content_type="")) as server:
        yield server


@pytest.fixture(scope="module")
def crashes(receiver: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashes]:
    """A card is filled up as soon as its wallet is opened, since it never has 20 copies."""
    settings = AT_ONCE | {"WALLET_REFILL_BELOW": "20"}
    folder = tmp_path_factory.mktemp("later") / "system"
    system = _TellingSystem(folder, ports=ports(30), settings=settings)
    system.hook = f"{receiver.url}/hook"
    with running(system) as world:
        yield crashes_of(world, system.orders)


@pytest.fixture
def phone(crashes: Crashes) -> Phone:
    return crashes.world.phone()


# -- What was not ready ------------------------------------------------------------------------


@dataclass
class Waiting(Receiving):
    """A citizen whose entry the register has not finished, and who comes back for the card."""

    def __post_init__(self) -> None:
        self._mark("pending")

    def _mark(self, marks: str) -> None:
        file = self.crashes.world.system.folder / "issuer_service" / "register.db"
        with closing(sqlite3.connect(file)) as register, register:
            values = (marks, self.subject)
            register.execute("UPDATE people SET marks = ? WHERE reference = ?", values)

    def _next(self, flow: dict[str, Any]) -> None:
        if "collect" in flow["allowed_actions"]:
            self._mark("")
            self.crashes.ahead.pass_time(_INTERVAL)
            self.phone._post(f"/issuances/{flow['id']}/collect")
        else:
            super()._next(flow)


@pytest.mark.parametrize(
    ("module", "where"),
    [
        ("wallet_service", "/approve"),
        ("wallet_service", "/collect"),
        ("issuer_service", "credential"),
    ],
)
def test_what_was_not_ready_is_one_card_later_wherever_a_service_dies(
    crashes: Crashes, phone: Phone, module: str, where: str, subtests: pytest.Subtests
) -> None:
    """I-85, I-86, W-40: also if the answer with the credentials is the one that got lost."""
    world, subject = crashes.world, crashes.world.person()
    crashes.people.append(subject)

    def new() -> Waiting:
        if module == "issuer_service":
            crashes.kill(module)  # the first request of a process leases places
        return Waiting(crashes, phone, subject)

    rehearsal = new()
    points = crashes.boundaries("coming back later", module, where, rehearsal.go)
    if where == "/approve" and not ALL:  # what comes before is struck in `test_crashes.py`
        points = points[-5:]
    for point in points:
        with subtests.test(str(point)):
            case, cards, entries = new(), ids_of(phone), entries_of(phone, "issuance")
            crashes.strike(module, point, case.go)
            case.go()
            [new_card] = ids_of(phone) - cards
            assert case.kept == [new_card]
            assert entries_of(phone, "issuance") == entries + 1
            assert phone.card(new_card)["copies_left"] == 10
            [(records, waiting)] = world.rows(
                "issuer_service",
                "SELECT (SELECT count(*) FROM issuances WHERE offer_id = :id),"
                " (SELECT count(*) FROM deferrals WHERE offer_id = :id)",
                id=case.offer["offer_id"],
            )
            assert (records, waiting) == (1, 0)
            left = {each["step"] for each in phone.overview()["under_way"]}
            assert left <= {"tx_code"}  # of an offer whose code was spent, and that was renewed


# -- What a wallet renews by itself ------------------------------------------------------------


@dataclass
class Filling:
    """A citizen who opens the wallet, which fills up a card; and who does what the screen says."""

    crashes: Crashes
    phone: Phone
    card: str
    before: int
    opened: bool = False

    def go(self) -> None:
        """From wherever it stands to the card with new copies."""
        for _ in range(8):
            if self.renewed > self.before:
                return
            waiting = self.phone.overview()["under_way"]
            if not self.opened:
                self.opened = True
                self.phone.refresh()
            elif waiting:
                self.crashes.ahead.pass_time(_LEASE)
                go_on(self.phone, self.phone._get(f"/issuances/{waiting[0]['id']}"))
            else:
                self.crashes.ahead.pass_time(_LEASE)
                self.phone._post(f"/credentials/{self.card}/renewal")
        raise AssertionError(f"never renewed, now {waiting}")

    @property
    def renewed(self) -> int:
        """How often the log says that a card was."""
        return [each["result"] for each in self.phone.log()].count("renewed")


@pytest.mark.parametrize(
    ("module", "where"), [("wallet_service", "/wallet/refresh"), ("issuer_service", "/registry/")]
)
def test_a_card_is_filled_up_once_wherever_a_service_dies(
    crashes: Crashes, phone: Phone, module: str, where: str, subtests: pytest.Subtests
) -> None:
    """I-54, W-43, W-45: a refresh token in use when its wallet dies is free after its lease."""
    world, subject = crashes.world, crashes.world.person()
    crashes.people.append(subject)

    def new() -> Filling:
        phone.open()  # so much time has passed
        for each in ids_of(phone):
            phone.delete_card(each)
        [card] = world.receive(phone, subject)
        if module == "issuer_service":
            crashes.kill(module)  # the first request of a process leases places
        found = Filling(crashes, phone, card, 0)
        found.before = found.renewed
        return found

    rehearsal = new()
    for point in crashes.boundaries("filling up", module, where, rehearsal.go):
        with subtests.test(str(point)):
            case = new()
            crashes.strike(module, point, case.go)
            case.go()
            assert case.renewed == case.before + 1
            assert ids_of(phone) == {case.card}
            assert phone.card(case.card)["copies_left"] == 10
            assert not phone.overview()["under_way"]
            assert world.check(phone)["verdict"]["accepted"]


# -- What the counter's own system is told -----------------------------------------------------


@dataclass
class Telling(Presenting):
    """A check at the counter, of whose end the counter's own system is told."""

    messages: list[tuple[str, Any]] = field(default_factory=list)

    def wait(self, receiver: Server) -> None:
        """Until nothing is left to be told."""
        world, subject = self.crashes.world, self.started["transaction_id"]
        self.crashes.end_lease("verifier_service", "webhooks")
        self.crashes.ahead.pass_time(6)  # before the second attempt
        statement = "SELECT state FROM webhooks WHERE subject = :id AND delivered_at IS NOT NULL"
        eventually(lambda: world.rows("verifier_service", statement, id=subject))
        time.sleep(0.2)  # the end of the job
        for each in list(receiver.requests):
            head, _, body = each.partition(b"\r\n\r\n")
            lines = (line.partition(":") for line in head.decode().split("\r\n")[1:])
            headers = {name.lower(): value.strip() for name, _, value in lines}
            said = json.loads(body)
            if said["data"]["transaction_id"] == subject:
                self.messages.append((headers["webhook-id"], said))


@pytest.mark.parametrize("where", ["/counter/response/", "job webhooks"])
def test_an_agency_is_told_of_every_end_wherever_the_verifier_dies(
    crashes: Crashes, phone: Phone, receiver: Server, where: str, subtests: pytest.Subtests
) -> None:
    """V-03, V-52: at least once, always by the same id, and nothing is left due."""
    world, person = crashes.world, crashes.world.person()
    crashes.people.append(person)
    world.receive(phone, person)

    def whole(case: Telling) -> None:
        case.go()
        case.wait(receiver)

    rehearsal = Telling(crashes, phone)
    for point in crashes.boundaries("telling", "verifier_service", where, lambda: whole(rehearsal)):
        with subtests.test(str(point)):
            case = Telling(crashes, phone)
            crashes.strike("verifier_service", point, case.go)
            whole(case)
            result = world.counter.result(case.started)
            subject, state = case.started["transaction_id"], result["state"]
            assert state == "verified"
            assert {name for name, _ in case.messages} == {f"{subject}:{state}"}
            assert all(each == case.messages[0] for each in case.messages)
            assert case.messages[0][1]["data"]["state"] == state
            due = "SELECT id FROM webhooks WHERE due_at IS NOT NULL"
            assert world.rows("verifier_service", due) == []


# -- At the end --------------------------------------------------------------------------------


def test_after_all_that_every_copy_that_was_ever_recorded_can_be_revoked(
    crashes: Crashes,
) -> None:
    """DESIGN: also one whose answer never arrived; no place was given twice."""
    check_revocable(crashes)


def test_the_list_of_failpoints_is_the_one_that_came_by(crashes: Crashes) -> None:
    """docs/failpoints.md names every step at which a service is killed."""
    check_list(crashes, "test_crashes_later.py")


def test_nearly_every_boundary_was_struck(crashes: Crashes) -> None:
    """The positive control: a kill that never happens proves nothing."""
    check_struck(crashes)
