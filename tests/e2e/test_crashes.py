"""Each service is killed at every step boundary, starts again, and people simply go on.

DESIGN, "Decided": "nothing lost" means nothing acknowledged; codes are strictly once, even if their
answer was lost; a credential request may be repeated; the wallet stores keys and step before each
call and sends the same bytes again. A first run of each journey lists the boundaries it has; then
it is run again for each of them with a kill there. Boundaries with the same state of the world on
both sides are tried once; CRASHES=all tries every one.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from urllib.request import urlopen

import httpx2
import pytest

from shared.demo import agencies, browser
from shared.demo.phone import Phone, Refused
from shared.demo.visitor import Visitor, over_http
from shared.formats.status_list import StatusReference
from shared.formats.status_states import Status
from wallet_service.shares.tables import ONE_SECRET

from .crashing import VARIABLE, Armed, Point
from .world import PORTAL, SERVICES, HandWallet, World, eventually, status_of

ALL = os.environ.get("CRASHES") == "all"
LEASE = timedelta(seconds=60)
LIST = Path(__file__).parents[2] / "docs" / "failpoints.md"
_HERE = Path(__file__).parents[2]
_numbers = count()


@dataclass
class Crashes:
    """A world whose services die where they are told to."""

    world: World
    armed: dict[str, Armed]
    people: list[str] = field(default_factory=list)
    struck: int = 0
    missed: list[Point] = field(default_factory=list)
    named: set[tuple[str, str, str, str]] = field(default_factory=set)

    def kill(self, module: str) -> None:
        """Wherever it is just now."""
        armed = self.armed[module]
        armed.disarm()
        before = armed.pid()
        os.kill(before, signal.SIGKILL)
        self.wait(module, before)

    def wait(self, module: str, before: int) -> None:
        """Until the process after *before* answers."""
        url = f"{self.world.system.urls[module]}/health/ready"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.armed[module].pid() != before:
                with suppress(OSError, HTTPException), urlopen(url, timeout=2):  # noqa: S310
                    return
            time.sleep(0.02)
        raise AssertionError(f"{module} did not start again:\n{self.world.log(module)[-3000:]}")

    def boundaries(
        self, journey: str, module: str, where: str, run: Callable[[], object]
    ) -> list[Point]:
        """What *run* passes in *module* at places with *where* in them, as part of *journey*."""
        armed = self.armed[module]
        armed.arm(where)
        run()
        time.sleep(0.05)  # what follows the answer
        armed.disarm()
        points = list(dict.fromkeys(armed.points()))
        assert points, "nothing came by"
        for each in points:
            if each.kind != "fetch":
                self.named.add((journey, module, each.where, each.kind))
        return points if ALL else _worth_trying(points)

    def strike(self, module: str, point: Point, act: Callable[[], object]) -> None:
        """Let *module* die at *point* during *act*, which fails for no other reason."""
        armed = self.armed[module]
        before = armed.pid()
        armed.arm(point.where, point)
        with suppress(Died):
            _may_die(act)
        background = point.where.startswith("job")
        deadline = time.monotonic() + (60 if background else 2)
        while not armed.struck and time.monotonic() < deadline:
            time.sleep(0.02)
        if not armed.struck:
            passed = [str(each) for each in armed.points()]
            armed.disarm()
            assert not background, f"{point} was not reached, only {passed}"
            self.missed.append(point)  # what is done once, or known already, is not done again
            return
        self.struck += 1
        self.wait(module, before)

    def end_lease(self, module: str, job: str) -> None:
        """As if time had passed: a lease ends by itself, and not in the far future."""
        [(left,)] = self.world.rows(
            module,
            "SELECT julianday(leased_until) - julianday('now') FROM job WHERE name = :name",
            name=job,
        )
        assert left is None or left * 86_400 <= LEASE.total_seconds()
        past = "'2020-01-01 00:00:00.000000'"
        self.world.execute(
            module,
            f"UPDATE job SET next_run = {past}, leased_until = CASE WHEN leased_until IS NULL"  # noqa: S608
            f" THEN NULL ELSE {past} END WHERE name = '{job}'",
        )


class Died(Exception):
    """The answer did not come: a connection broke, or a service says that another is away."""


def _may_die(act: Callable[[], object]) -> None:
    try:
        act()
    except (httpx2.TransportError, HTTPException, OSError) as error:
        raise Died from error
    except (Refused, agencies.Refused) as error:
        if error.status != 503:
            raise
        raise Died from error


def _worth_trying(points: list[Point]) -> list[Point]:
    """The first; then only after what changes something, here or at somebody else; the last.

    A job is run again whole, so of its many commits every third will do.
    """
    after = [each for each in points if each.moment == "after"]
    changed = [each for each in after if each.kind in {"commit", "post"}]
    if points[0].where.startswith("job"):
        return changed if len(changed) <= 3 else changed[::3]
    answers = [each for each in after if each.kind == "answer"]
    return [points[0], *changed, *answers[-1:]]


@pytest.fixture(scope="module")
def crashes(sqlite_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashes]:
    """The world on SQLite, one process for each service."""
    folder = tmp_path_factory.mktemp("crashes")
    system = sqlite_world.system
    armed = {}
    for module in SERVICES:
        armed[module] = Armed(folder / module)
        prefix = module.partition("_")[0].upper()
        system.processes.stop(module)
        more = {
            VARIABLE: str(armed[module].file),
            f"{prefix}_WORKERS": "1",
            "PYTHONPATH": str(_HERE),
        }
        arguments = ["-m", "tests.e2e.crashing", module, "serve"]
        system.processes.start(module, arguments, system.environment(module) | more)
    for module in SERVICES:
        system.processes.wait_until_ready(module, f"{system.urls[module]}/health/ready")
    made = Crashes(sqlite_world, armed)
    sqlite_world.registry.call("GET", "offers")
    sqlite_world.counter.call("GET", "queries")
    yield made
    for module in SERVICES:
        armed[module].disarm()
        sqlite_world.restart(module)


@pytest.fixture(scope="module")
def phone(crashes: Crashes) -> Phone:
    return crashes.world.phone()


# -- Receiving ---------------------------------------------------------------------------------


@dataclass
class Receiving:
    """A citizen who takes what an agency offers, and does what the screen says."""

    crashes: Crashes
    phone: Phone
    subject: str
    number: int = field(default_factory=lambda: next(_numbers))
    offer: dict[str, Any] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    renewed: int = 0

    def go(self) -> None:
        """From wherever it stands to the card."""
        registry, phone = self.crashes.world.registry, self.phone
        if not self.offer:
            body = {"credentials": ["pid_sd_jwt"], "subject": self.subject}
            key = f"offer {self.number}"
            self.offer = registry.call("POST", "offers", body, **{"Idempotency-Key": key})
        flow = phone.scan(self.offer["link"], key=f"scan {self.number} {self.renewed}")
        for _ in range(8):
            place = f"/issuances/{flow['id']}"
            if flow["step"] == "stored":
                self.kept = flow["credentials"]
                return
            refused = self._step(flow)
            if refused == "code_refused":  # and says: ask the agency to renew the offer
                self.offer = registry.call("POST", f"offers/{self.offer['offer_id']}/renew")
                self.renewed += 1
                flow = phone.scan(self.offer["link"])
                continue
            before, flow = flow["step"], phone._get(place)
            assert refused is None or flow["step"] != before, f"{refused} leaves it at {before}"
        raise AssertionError(f"never stored, now at {flow['step']}")

    def _step(self, flow: dict[str, Any]) -> str | None:
        """The next thing the screen offers; the code of the refusal, if it is one."""
        place, actions, phone = f"/issuances/{flow['id']}", flow["allowed_actions"], self.phone
        try:
            if "keep" in actions:
                phone.keep(flow["id"])
            elif "resume" in actions:
                phone._post(f"{place}/resume")
            elif flow["step"] == "tx_code":
                phone._post(f"{place}/tx-code", {"tx_code": self.offer["tx_code"]})
            else:
                assert "accept" in actions, f"stuck at {flow['step']}"
                phone.accept(flow)
        except Refused as refused:
            if refused.status == 503:
                raise
            return refused.code
        return None


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
            case, cards, entries = new(), _ids(phone), _entries(phone, "issuance")
            crashes.strike(module, point, case.go)
            case.go()
            [new_card] = _ids(phone) - cards
            assert case.kept == [new_card]
            assert _entries(phone, "issuance") == entries + 1
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
        place, actions, phone = f"/issuances/{self.flow}", flow["allowed_actions"], self.phone
        if "keep" in actions:
            phone.keep(self.flow)
        elif "resume" in actions:
            phone._post(f"{place}/resume")
        elif "authorize" in actions and flow["accepted"]:
            phone.sign_in(flow, self._agree)
        else:
            assert "accept" in actions, f"stuck at {flow['step']}"
            phone.accept(flow)

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
            case, cards, entries = new(), _ids(phone), _entries(phone, "issuance")
            crashes.strike(module, point, case.go)
            case.go()
            [new_card] = _ids(phone) - cards
            assert case.kept == [new_card]
            assert _entries(phone, "issuance") == entries + 1
            assert phone.card(new_card)["copies_left"] == 10


# -- Presenting --------------------------------------------------------------------------------


@dataclass
class Presenting:
    """A clerk who asks and a citizen who answers, both until it is done."""

    crashes: Crashes
    phone: Phone
    number: int = field(default_factory=lambda: next(_numbers))
    started: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""

    def go(self) -> None:
        counter, phone = self.crashes.world.counter, self.phone
        if not self.started:
            key = {"Idempotency-Key": f"ask {self.number}"}
            self.started = counter.call("POST", "transactions", {"query": "over_18"}, **key)
        for _ in range(5):
            key = f"show {self.number}"
            flow = phone.scan(self.started["link"], cross_device=True, key=key)
            place, actions = f"/presentations/{flow['id']}", flow["allowed_actions"]
            if flow["step"] == "done":
                self.outcome = flow["outcome"]
                return
            with suppress_code("verifier_refused"):
                if "retry" in actions:
                    phone._post(f"{place}/retry")
                    continue
                assert "select" in actions, f"stuck at {flow['step']}"
                model = flow["consent"]
                chosen = {
                    each["query"]: each["chosen"] for each in model["credentials"] if each["chosen"]
                }
                approval = phone._post(f"{place}/select", {"picks": chosen})["approval"]
                found = phone.approval(approval)
                phone._post(f"/approvals/{approval}/approve", phone.gesture(found))
        raise AssertionError(f"never done, now at {flow['step']}")

    @property
    def sent(self) -> set[str]:
        """The different bodies that were posted as the answer to this request."""
        request = parse_qs(urlsplit(self.started["link"]).query)["request_uri"][0]
        place = request.replace("/request/", "/response/")
        posts = self.crashes.armed["wallet_service"].posts.read_text().splitlines()
        return {each.split()[1] for each in posts if each.split()[0] == place}


class suppress_code:  # noqa: N801  # reads like contextlib.suppress
    """A refusal with one of these codes is an answer to go on from."""

    def __init__(self, *codes: str) -> None:
        self.codes = codes

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return isinstance(error, Refused) and error.code in self.codes


@pytest.mark.parametrize("module", ["wallet_service", "verifier_service"])
def test_a_citizen_shows_one_copy_once_wherever_a_service_dies(
    crashes: Crashes, phone: Phone, module: str, subtests: pytest.Subtests
) -> None:
    """W-62, V-03, V-42: one answer leaves the wallet, always the same bytes, and it is judged."""
    world, person = crashes.world, crashes.world.person()
    crashes.people.append(person)
    [card] = world.receive(phone, person)
    for each in _ids(phone) - {card}:
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
            entries = _entries(phone, "presentation")
            crashes.strike(module, point, case.go)
            case.go()
            result = world.counter.result(case.started)
            assert (result["state"], result["verdict"]["accepted"]) == ("verified", True)
            assert result["claims"]
            assert case.outcome in {"shared", "unconfirmed"}  # the latter: its receipt was lost
            assert len(case.sent) == 1
            assert phone.card(card)["copies_left"] == left - 1
            assert _entries(phone, "presentation") == entries + 1


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
    number: int = field(default_factory=lambda: next(_numbers))

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
    world = crashes.world
    [(places, different)] = world.rows(
        "issuer_service",
        "SELECT count(*), (SELECT count(*) FROM (SELECT DISTINCT list, idx FROM copies))"
        " FROM copies",
    )
    assert places == different > 0
    overdrawn = world.rows(
        "issuer_service",
        "SELECT g.id FROM grants g WHERE g.issued <> (SELECT count(*) FROM issuances i JOIN copies"
        " c ON c.issuance_id = i.id WHERE i.grant_id = g.id)",
    )
    assert overdrawn == []
    for person in crashes.people:
        sought = {"subject": person}
        found = world.registry.call("POST", "issuances/find", sought)["issuances"]
        if any(each["state"] == "valid" for each in found):
            world.registry.revoke(person, reason="withdrawn")
    crashes.end_lease("issuer_service", "publish_status_lists")
    wanted: dict[int, set[int]] = {}
    for row in world.rows(
        "issuer_service",
        "SELECT c.list, c.idx FROM copies c JOIN issuances i ON i.id = c.issuance_id"
        " WHERE i.state = 'revoked'",
    ):
        wanted.setdefault(row.list, set()).add(row.idx)

    def published() -> bool:
        for number, indexes in wanted.items():
            found = world.status_list(f"{world.system.issuer}/statuslists/{number}").list
            if any(found.get(each) != Status.INVALID for each in indexes):
                return False
        return True

    eventually(published)


def test_the_list_of_failpoints_is_the_one_that_came_by(crashes: Crashes) -> None:
    """docs/failpoints.md names every step at which a service is killed."""
    rows = sorted(crashes.named)
    places: dict[tuple[str, str, str], list[str]] = {}
    for journey, module, where, kind in rows:
        places.setdefault((journey, module, where), []).append(kind)
    table = "".join(
        f"| {journey} | `{module}` | `{where}` | {', '.join(kinds)} |\n"
        for (journey, module, where), kinds in places.items()
        if kinds != ["answer"]  # what is only read depends on what is known already
    )
    head, line, _ = LIST.read_text(encoding="utf-8").partition("|---|---|---|---|\n")
    if os.environ.get("FAILPOINTS") == "write":
        LIST.write_text(head + line + table, encoding="utf-8")
    assert LIST.read_text(encoding="utf-8") == head + line + table


def test_nearly_every_boundary_was_struck(crashes: Crashes) -> None:
    """The positive control: a kill that never happens proves nothing."""
    assert crashes.struck > 30
    assert len(crashes.missed) <= crashes.struck // 8, [str(each) for each in crashes.missed]


def _ids(phone: Phone) -> set[str]:
    return {each["id"] for each in phone.cards()}


def _entries(phone: Phone, kind: str) -> int:
    return [each["type"] for each in phone.log()].count(kind)
