"""The test's side of `crashing.py`: arm a point, let an act die there, and wait for the service.

Here are also the acts that several journeys are made of, each from wherever it stands to its end,
and what is true at the end of all of them.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import httpx2

from shared.demo import agencies
from shared.demo.phone import Phone, Refused
from shared.demo.system import System
from shared.formats.status_states import Status

from .crashing import AHEAD, VARIABLE, Ahead, Armed, Point
from .world import SERVICES, World, eventually, now

ALL = os.environ.get("CRASHES") == "all"
LEASE = timedelta(seconds=60)
LIST = Path(__file__).parents[2] / "docs" / "failpoints.md"
_HERE = Path(__file__).parents[2]
numbers = count()


@dataclass
class Crashes:
    """A world whose services die where they are told to."""

    world: World
    armed: dict[str, Armed]
    ahead: Ahead
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
        assert left is None or left * 86_400 <= LEASE.total_seconds() + self.ahead.seconds
        past = "'2020-01-01 00:00:00.000000'"
        self.world.execute(
            module,
            f"UPDATE job SET next_run = {past}, leased_until = CASE WHEN leased_until IS NULL"  # noqa: S608
            f" THEN NULL ELSE {past} END WHERE name = '{job}'",
        )

    def clock(self) -> datetime:
        """The time that the services have."""
        return now() + timedelta(seconds=self.ahead.seconds)


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

    A job is run again whole, so of its many commits every third will do, unless it tells others.
    """
    after = [each for each in points if each.moment == "after"]
    changed = [each for each in after if each.kind in {"commit", "post"}]
    if points[0].where.startswith("job"):
        few = len(changed) <= 3 or any(each.kind == "post" for each in changed)
        return changed if few else changed[::3]
    answers = [each for each in after if each.kind == "answer"]
    return [points[0], *changed, *answers[-1:]]


def start_mortal(system: System, module: str, folder: Path) -> None:
    """Start *module* as one process that dies where a file in *folder* says."""
    more = {
        VARIABLE: str(folder / module),
        f"{module.partition('_')[0].upper()}_WORKERS": "1",
        "PYTHONPATH": str(_HERE),
    }
    arguments = ["-m", "tests.e2e.crashing", module, "serve"]
    system.processes.start(module, arguments, system.environment(module) | more)


def crashes_of(world: World, folder: Path) -> Crashes:
    """*world*, all of whose services were started so with *folder*, once agencies know it."""
    armed = {module: Armed(folder / module) for module in SERVICES}
    world.registry.call("GET", "offers")
    world.counter.call("GET", "queries")
    return Crashes(world, armed, Ahead(folder / AHEAD))


# -- Acts --------------------------------------------------------------------------------------


class suppress_code:  # noqa: N801  # reads like contextlib.suppress
    """A refusal with one of these codes is an answer to go on from."""

    def __init__(self, *codes: str) -> None:
        self.codes = codes

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return isinstance(error, Refused) and error.code in self.codes


def go_on(phone: Phone, flow: dict[str, Any]) -> None:
    """The next thing that the screen of an issuance offers."""
    place, actions = f"/issuances/{flow['id']}", flow["allowed_actions"]
    if "keep" in actions:
        phone.keep(flow["id"])
    elif "resume" in actions:
        phone._post(f"{place}/resume")
    else:
        assert "accept" in actions, f"stuck at {flow['step']}"
        phone.accept(flow)


@dataclass
class Receiving:
    """A citizen who takes what an agency offers, and does what the screen says."""

    crashes: Crashes
    phone: Phone
    subject: str
    number: int = field(default_factory=lambda: next(numbers))
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
        try:
            self._next(flow)
        except Refused as refused:
            if refused.status == 503:
                raise
            return refused.code
        return None

    def _next(self, flow: dict[str, Any]) -> None:
        if flow["step"] == "tx_code":
            place = f"/issuances/{flow['id']}/tx-code"
            self.phone._post(place, {"tx_code": self.offer["tx_code"]})
        else:
            go_on(self.phone, flow)


@dataclass
class Presenting:
    """A clerk who asks and a citizen who answers, both until it is done."""

    crashes: Crashes
    phone: Phone
    number: int = field(default_factory=lambda: next(numbers))
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


# -- At the end --------------------------------------------------------------------------------


def check_revocable(crashes: Crashes) -> None:
    """Every copy that was ever recorded can be revoked; no place was given twice."""
    world = crashes.world
    [(places, different)] = world.rows(
        "issuer_service",
        "SELECT count(*), (SELECT count(*) FROM (SELECT DISTINCT list, idx FROM copies))"
        " FROM copies",
    )
    assert places == different > 0
    overdrawn = world.rows(
        "issuer_service",
        "SELECT g.offer_id FROM grants g GROUP BY g.offer_id HAVING sum(g.issued) <> (SELECT"
        " count(*) FROM issuances i JOIN copies c ON c.issuance_id = i.id"
        " WHERE i.offer_id = g.offer_id)",
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
            uri = f"{world.system.issuer}/statuslists/{number}"
            found = world.status_list(uri, at=crashes.clock()).list
            if any(found.get(each) != Status.INVALID for each in indexes):
                return False
        return True

    eventually(published)


def check_list(crashes: Crashes, file: str) -> None:
    """docs/failpoints.md names under *file* every step at which it kills a service."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for journey, module, where, kind in sorted(crashes.named):
        places.setdefault((journey, module, where), []).append(kind)
    table = "".join(
        f"| {journey} | `{module}` | `{where}` | {', '.join(kinds)} |\n"
        for (journey, module, where), kinds in places.items()
        if kinds != ["answer"]  # what is only read depends on what is known already
    )
    sections = LIST.read_text(encoding="utf-8").split("\n## ")
    [own] = [number for number, each in enumerate(sections) if each.startswith(f"{file}\n")]
    head, line, _ = sections[own].partition("|---|---|---|---|\n")
    sections[own] = head + line + table
    wanted = "\n## ".join(sections)
    if os.environ.get("FAILPOINTS") == "write":
        LIST.write_text(wanted, encoding="utf-8")
    assert LIST.read_text(encoding="utf-8") == wanted


def check_struck(crashes: Crashes) -> None:
    """The positive control: a kill that never happens proves nothing."""
    assert crashes.struck > 30
    assert len(crashes.missed) <= crashes.struck // 8, [str(each) for each in crashes.missed]


def ids_of(phone: Phone) -> set[str]:
    return {each["id"] for each in phone.cards()}


def entries_of(phone: Phone, kind: str) -> int:
    return [each["type"] for each in phone.log()].count(kind)
