"""One running system as the end-to-end tests use it: agencies, phones, processes, databases.

`System` starts what an operator starts; everything here is a client of its public interfaces, but
for `age`, `rows` and `dump`, which look into the databases as their owner could.
"""

import base64
import fcntl
import itertools
import json
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from csv import DictReader
from datetime import datetime, timedelta
from functools import cache, cached_property
from io import TextIOWrapper
from pathlib import Path
from tempfile import gettempdir
from typing import Any, TypeVar

import httpx2
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from shared.crypto.software import SoftwareKey
from shared.demo.agencies import Agency
from shared.demo.phone import Phone, Refused
from shared.demo.system import COUNTER, REGISTRY, System
from shared.formats import credential
from shared.formats.status_list import MEDIA_TYPE, VerifiedStatusList, verify_token
from shared.formats.values import Held, Trusted

from .by_hand import Answer, AskedByHand, HandWallet, as_json, code_of, now, send, status_of

__all__ = [
    "Answer", "AskedByHand", "HandWallet", "World", "as_json", "code_of", "eventually", "now",
    "race", "running", "send", "status_of",
]  # fmt: skip

PORTAL = "https://portal.example"
SERVICES = ("issuer_service", "wallet_service", "verifier_service")
_PORTS = 20100  # below the ports that the system gives to clients
T = TypeVar("T")


def eventually(fact: Callable[[], T], *, seconds: float = 120) -> T:
    """What *fact* returns as soon as it is true; AssertionError if that takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := fact()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.25)
    return found


def race(count: int, act: Callable[[int], T]) -> list[T]:
    """What *act* returns in each of *count* threads that begin together."""
    barrier = threading.Barrier(count)

    def run(number: int) -> T:
        barrier.wait(timeout=120)
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


class PortalSystem(System):
    """The demo's system, whose counter may also send browsers to wallets and get them back.

    Its registry takes wallets made by hand, too, which nobody attests.
    """

    def _tenant(self, module: str, name: str, **content: Any) -> None:
        if module == "issuer_service":
            content["wallets_without_attestation"] = True
        if module == "verifier_service":
            content["return_origins"] = [PORTAL]
        super()._tenant(module, name, **content)


# Changes of status are to be seen at once here; in production lists live for minutes.
AT_ONCE = {
    "ISSUER_STATUS_TTL_MAX": "1",
    "VERIFIER_STATUS_TTL_MIN": "1",
    "WALLET_STATUS_TTL_MIN": "1",
}


@cache
def _block() -> tuple[int, TextIOWrapper]:
    """The first of a hundred ports that are this process's as long as it holds the file's lock."""
    for number in range(100):
        file = (Path(gettempdir()) / f"citizen-wallet-ports-{number}").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        return _PORTS + 100 * number, file
    raise AssertionError("no block of ports is free")


def ports(offset: int) -> dict[str, int]:
    """Four ports that no other system prefers, of this test run or of another one."""
    first = _block()[0] + offset
    return {name: first + place for place, name in enumerate((*SERVICES, "trust"))}


class World:
    """A running system, its agencies and its citizens."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.http = httpx2.Client(timeout=60)
        self._phones: list[httpx2.Client] = []
        self._numbers = itertools.count(14)  # the people before are special cases
        urls, clients = system.urls, system.clients
        self.registry = Agency(
            self.http, urls["issuer_service"], REGISTRY, clients["issuer_service"]
        )
        self.counter = Agency(
            self.http, urls["verifier_service"], COUNTER, clients["verifier_service"]
        )

    def close(self) -> None:
        for each in (self.http, *self._phones):
            each.close()
        for engine in self._engines.values():
            engine.dispose()

    # -- People ----------------------------------------------------------------------------

    @cached_property
    def people(self) -> dict[str, dict[str, str]]:
        """The register, by reference."""
        with (self.system.folder / "people.csv").open(encoding="utf-8", newline="") as file:
            return {row["reference"]: row for row in DictReader(file)}

    def person(self) -> str:
        """An adult without peculiarities, of whom no other test has heard."""
        for number in self._numbers:
            row = self.people[f"AV-{number:06d}"]
            if not row["marks"] and row["given_name"] and row["birth_date"] < "2000":
                return row["reference"]
        raise AssertionError("the register has run out of people")

    def phone(self) -> Phone:
        """A new phone with an open wallet."""
        url = self.system.urls["wallet_service"]
        client = httpx2.Client(base_url=url, timeout=60)
        self._phones.append(client)
        phone = Phone(client, origin=url)
        phone.create_wallet()
        phone.prove_recovery()
        return phone

    def receive(self, phone: Phone, subject: str, *credentials: str) -> list[str]:
        offer = self.registry.offer(subject, *(credentials or ("pid_sd_jwt",)))
        return phone.receive(offer["link"], offer["tx_code"])

    def wallet(self) -> HandWallet:
        return HandWallet(self.system.issuer)

    def post(self, agency: Agency, path: str, body: Any = None, **headers: str) -> Answer:
        """One call of an agency's API on a connection of its own."""
        return send(
            "POST",
            f"{agency.url}/api/v1/{agency.tenant}/{path}",
            b"" if body is None else as_json(body),
            Authorization=f"Bearer {agency._token}",
            Content_Type="application/json",
            **headers,
        )

    # -- What the trust list says ----------------------------------------------------------

    def anchors(self, role: str) -> frozenset[bytes]:
        """Of the registry."""
        document = json.loads((self.system.folder / "trust" / "trust-list.json").read_text())
        [entity] = [each for each in document["entities"] if each.get("credential_issuers")]
        return frozenset(base64.b64decode(each) for each in entity["anchors"][role])

    def held(self, text_: str, key: SoftwareKey) -> Held:
        """A PID as a wallet keeps it, verified."""
        trusted = Trusted(self.anchors("credential"), frozenset(), frozenset())
        return credential.receive(
            "dc+sd-jwt",
            text_,
            expected_type="urn:eudi:pid:1",
            keys=[key.public],
            trusted=trusted,
            now=now(),
            algorithms=("ES256",),
        ).held

    def status_list(self, uri: str, *, at: datetime | None = None) -> VerifiedStatusList:
        """As it is published now; judged by the clock that says *at*, if that is another one."""
        return verify_token(
            send("GET", uri, Accept=MEDIA_TYPE).body.decode(),
            uri=uri,
            anchors=self.anchors("status"),
            now=at or now(),
            algorithms=("ES256",),
            newest=None,
        )

    # -- At the counter --------------------------------------------------------------------

    def check(self, phone: Phone, query: str = "over_18") -> dict[str, Any]:
        """A clerk asks, the citizen approves: the result."""
        started = self.counter.ask(query)
        phone.approve(phone.resolve(started["link"], cross_device=True))
        found: dict[str, Any] = self.counter.result(started)
        return found

    def reason(self, phone: Phone, query: str = "over_18") -> str | None:
        """Why the check failed; None if it did not."""
        result = self.check_or_refusal(phone, query)
        verdict = result["verdict"]
        if verdict["accepted"]:
            return None
        inner = [each.get("reason") for each in verdict.get("credentials", [])]
        return next((each for each in inner if each), verdict.get("reason"))

    def check_or_refusal(self, phone: Phone, query: str = "over_18") -> dict[str, Any]:
        """As `check`, also when the verifier tells the wallet that it did not accept."""
        started = self.counter.ask(query)
        consent = phone.resolve(started["link"], cross_device=True)
        with suppress(Refused):
            phone.approve(consent)
        found: dict[str, Any] = self.counter.result(started)
        return found

    # -- Processes -------------------------------------------------------------------------

    def log(self, module: str) -> str:
        return (self.system.folder / "logs" / f"{module}.log").read_text(errors="replace")

    def restart(self, module: str, how: signal.Signals = signal.SIGTERM, **more: str) -> None:
        """Stop *module* as *how* says and start it again, with *more* in its environment."""
        self.system.processes.stop(module, how)
        self.start(module, **more)

    def start(self, module: str, *, until: str = "/health/ready", **more: str) -> None:
        """Start *module*, with *more* in its environment; return when *until* answers 200."""
        environment = self.system.environment(module) | more
        self.system.processes.start(module, ["-m", module, "serve"], environment)
        self.system.processes.wait_until_ready(module, self.system.urls[module] + until)

    def restart_all(self, modules: Sequence[str], how: signal.Signals, **more: str) -> None:
        """As `restart`, all at once."""
        for module in modules:
            self.system.processes.stop(module, how)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda module: self.start(module, **more), modules))

    def requests(self, module: str) -> Counter[tuple[str, str]]:
        """How often each route was asked, by method; watching itself does not count."""
        found: Counter[tuple[str, str]] = Counter()
        for line in send("GET", f"{self.system.urls[module]}/metrics").body.decode().splitlines():
            if line.startswith("http_requests_total{"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
                if not labels["route"].startswith(("/metrics", "/health")):
                    found[labels["method"], labels["route"]] += int(float(line.split()[-1]))
        return found

    # -- Databases -------------------------------------------------------------------------

    @cached_property
    def _engines(self) -> dict[str, Engine]:
        urls = {}
        for module in SERVICES:
            for name, value in self.system.environment(module).items():
                if name.endswith("SHARES_DATABASE_URL"):
                    urls["shares"] = value
                elif name.endswith("DATABASE_URL"):
                    urls[module] = value
        return {name: _engine(url) for name, url in urls.items()}

    @property
    def databases(self) -> tuple[str, ...]:
        return tuple(self._engines)

    def rows(self, module: str, statement: str, **values: Any) -> list[Any]:
        with self._engines[module].connect() as connection:
            return list(connection.execute(text(statement), values))

    def execute(self, module: str, statement: str) -> None:
        with self._engines[module].begin() as connection:
            connection.execute(text(statement))

    def age(self, module: str, table: str, column: str, *, id: str) -> None:  # noqa: A002
        """Have the time *column* of one row lie a minute in the past."""
        past = (now() - timedelta(minutes=1)).replace(tzinfo=None)
        zone = "" if self._engines[module].dialect.name == "sqlite" else "+00"
        with self._engines[module].begin() as connection:
            done = connection.execute(
                text(f"UPDATE {table} SET {column} = :past WHERE id = :id"),  # noqa: S608
                {"past": f"{past:%Y-%m-%d %H:%M:%S.%f}{zone}", "id": id},
            )
            assert done.rowcount == 1

    def dump(self, name: str, *, without: Sequence[str] = ()) -> bytes:
        """Every value of every table of one database, but those *without*, as bytes."""
        engine = self._engines[name]
        found = []
        with engine.connect() as connection:
            for table in set(inspect(engine).get_table_names()).difference(without):
                for row in connection.execute(text(f'SELECT * FROM "{table}"')):  # noqa: S608
                    found.extend(_bytes(each) for each in row)
        return b"\n".join(found)

    def files(self, name: str) -> bytes:
        """An SQLite database as it lies on disk, with its log; of PostgreSQL nothing."""
        url = self._engines[name].url
        if url.get_backend_name() != "sqlite":
            return b""
        file = Path(str(url.database))
        return b"\n".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    # No connection stays: reading a file whose locks this process holds would drop them.
    return create_engine(parsed, poolclass=NullPool)


@contextmanager
def running(system: System) -> Iterator[World]:
    """The world of *system*, while it runs."""
    with system:
        world = World(system)
        try:
            yield world
        finally:
            world.close()
