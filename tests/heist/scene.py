"""The house before the heist: citizens, what they did, three backups and one captured approval."""

import itertools
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from shared.demo.passkey import SoftwarePasskey
from shared.demo.phone import Phone
from shared.demo.system import System
from shared.encoding import b64url_decode, b64url_encode
from shared.errors import InvalidInput
from tests.e2e.world import AT_ONCE, World, ports, running
from wallet_service.passkeys import PRF_INPUTS

from .loot import PUBLIC_TABLES, STORES, Loot, Rows, read_stores

WALLET = "wallet_service"
_API = "/api/v1"
_PORTS = 60  # beside those of the end-to-end tests


@dataclass(frozen=True)
class Exchange:
    """One request of a phone and its answer, as somebody on the line reads them."""

    method: str
    path: str
    headers: Mapping[str, str]
    sent: bytes
    status: int
    got: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.sent)


@dataclass
class Wiretap:
    """The phone's HTTP client, with somebody listening."""

    client: httpx2.Client
    heard: list[Exchange] = field(default_factory=list)

    def request(
        self, method: str, url: str, *, json: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        more = {} if json is None else {"json": json}
        answer = self.client.request(method, url, headers=headers, **more)
        sent = answer.request.content
        self.heard.append(
            Exchange(method, url, dict(headers or {}), sent, answer.status_code, answer.content)
        )
        return answer


@dataclass
class Scene:
    """A running system, its citizens, and the loot. Mallory is the thief's own lawful wallet."""

    world: World
    loot: Loot
    alice: Phone
    bob: Phone
    carol: Phone
    mallory: Phone
    asked: dict[str, Any]
    capture: list[Exchange]

    @property
    def approved(self) -> Exchange:
        """The captured approval itself."""
        return next(each for each in self.capture if each.path.endswith("/approve"))

    @property
    def copy(self) -> str:
        """The copy whose key came along with it."""
        [copy] = self.approved.body["copy_keys"]
        return str(copy)

    @property
    def token(self) -> str:
        """Alice's session, stolen with the headers."""
        return self.approved.headers["Authorization"].removeprefix("Bearer ")

    def name(self, wallet: str) -> str:
        people = {"alice": self.alice, "bob": self.bob, "carol": self.carol}
        found = [name for name, phone in people.items() if phone.wallet == wallet]
        return found[0] if found else "mallory"

    def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> httpx2.Response:
        """What the thief sends to the wallet's API."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        more = {} if body is None else {"json": body}
        url = self.world.system.urls[WALLET] + _API + path
        answer = self.world.http.request(method, url, headers=headers, **more)
        if answer.status_code == 429 or answer.status_code >= 500:
            raise AssertionError(f"{path}: {answer.status_code} proves nothing")
        return answer

    def write(self, store: str, statement: str, *values: Any) -> int:
        """What an operator does in a database; returns how many rows changed."""
        with closing(sqlite3.connect(self.loot.home / store, timeout=60)) as database, database:
            return database.execute(statement, values).rowcount

    def row(self, store: str, statement: str, *values: Any) -> dict[str, Any]:
        with closing(sqlite3.connect(self.loot.home / store, timeout=60)) as database:
            database.row_factory = sqlite3.Row
            return dict(database.execute(statement, values).fetchone())

    def stores(self) -> Rows:
        """Both stores as they are now."""
        return read_stores(self.loot.home)

    @contextmanager
    def altered(self, moment: str = "") -> Iterator[None]:
        """Whatever is done to the stores inside is undone; begins at those of *moment*, if given.

        Table by table, so that the service goes on: it keeps no state of a citizen but these rows.
        """
        saved = self.stores()
        try:
            if moment:
                self._put(self.loot.moments[moment])
            yield
        finally:
            self._put(saved)

    def _put(self, rows: Rows) -> None:
        for store in STORES:
            with closing(sqlite3.connect(self.loot.home / store, timeout=60)) as database, database:
                listed = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                for table in {name for (name,) in listed.fetchall()} - PUBLIC_TABLES - {"job"}:
                    database.execute(f'DELETE FROM "{table}"')  # noqa: S608
                    for row in rows[table]:
                        places = ", ".join("?" * len(row))
                        names = ", ".join(f'"{name}"' for name in row)
                        insert = f'INSERT INTO "{table}" ({names}) VALUES ({places})'  # noqa: S608
                        database.execute(insert, tuple(row.values()))


@contextmanager
def prepared(folder: Path) -> Iterator[Scene]:
    """Everybody has a credential; Alice has shown it before, now, and once after the capture."""
    # Three copies of a credential are enough here, and leave fewer locks to try.
    settings = {**AT_ONCE, "WALLET_COPIES": "3"}
    with running(System(folder / "system", ports=ports(_PORTS), settings=settings)) as world:
        environment = world.system.environment(WALLET)
        loot = Loot(
            folder / "loot",
            folder / "system" / WALLET,
            environment["WALLET_KEY_PASSWORD"].encode(),
            {name: value for name, value in environment.items() if name.startswith("WALLET_")},
            folder / "system" / "logs" / f"{WALLET}.log",
        )
        alice, bob, carol, mallory = phones = [world.phone() for _ in range(4)]
        for phone in phones:
            world.receive(phone, world.person())
        world.receive(bob, world.person(), "pid_mdoc")  # the other format is no softer
        alice.open()
        world.check(alice)
        loot.take("before")
        wire = Wiretap(alice.client)  # type: ignore[arg-type]  # a phone's client is httpx2's here
        asked = world.counter.ask("over_18")
        consent = alice.resolve(asked["link"], cross_device=True)
        place = f"/presentations/{consent.id}/select"
        approval = alice._post(place, {})["approval"]
        loot.take("during")
        alice.client, client = wire, alice.client
        found = alice.approval(approval)
        alice._post(f"/approvals/{approval}/approve", alice.gesture(found))
        alice.client = client
        world.check(alice)
        loot.take("after")
        yield Scene(world, loot, alice, bob, carol, mallory, asked, wire.heard)


def prf_of(passkey: SoftwarePasskey) -> tuple[bytes, ...]:
    """What only the citizen's gesture gives: both PRF outputs."""
    inputs = {"first": PRF_INPUTS["read"], "second": PRF_INPUTS["act"]}
    return passkey.get(
        {
            "rpId": "localhost",
            "challenge": b64url_encode(os.urandom(32)),
            "extensions": {"prf": {"eval": {k: b64url_encode(v) for k, v in inputs.items()}}},
        }
    ).prf


def spoken(capture: list[Exchange], *, headers: bool) -> list[bytes]:
    """What is in the captured bytes: bodies, and all in them that decodes from base64url."""
    raw = [part for each in capture for part in (each.sent, each.got)]
    values = [value for part in raw if part for value in _texts(json.loads(part))]
    if headers:
        values += [value.rpartition(" ")[2] for each in capture for value in each.headers.values()]
    decoded = []
    for value in values:
        try:
            decoded.append(b64url_decode(value))
        except InvalidInput:
            continue
    return [*raw, *decoded]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from itertools.chain.from_iterable(_texts(each) for each in value.values())
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(_texts(each) for each in value)
    elif isinstance(value, str):
        yield value
