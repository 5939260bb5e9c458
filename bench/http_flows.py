"""`http.*` and `memory.*`: server user CPU milliseconds per whole flow, one worker."""

import csv
import re
import socket
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from shared.demo.system import System
from shared.formats.status_list import status_reference
from shared.jose.jws import parse_jws
from tests.support.databases import PostgreSQL

from .flows import MDOC, PORTS, SD_JWT, Flows, Kind, children, resident_megabytes, user_seconds
from .haip import HaipFlows

WARM_UP = 100
_ANSWERS = 20_000
_AT_ONCE = 50  # flows at the same step: codes live a minute; or connections
ANONYMOUS = {"wallets_without_attestation": True}  # the plain flow; the other one is HAIP's
_DATABASES = ("issuer_service", "wallet_service", "verifier_service", "shares")
TARGETS = {
    "sqlite.issuance": 2.0,
    "sqlite.verification": 1.4,
    "sqlite.mdoc.issuance": 2.0,
    "sqlite.mdoc.verification": 1.4,
    "postgresql.issuance": 2.2,
    "postgresql.issuance.database": 1.0,
    "postgresql.verification": 1.6,
    "postgresql.verification.database": 0.8,
    "postgresql.mdoc.issuance": 2.2,
    "postgresql.mdoc.issuance.database": 1.0,
    "postgresql.mdoc.verification": 1.6,
    "postgresql.mdoc.verification.database": 0.8,
}
Figure = Mapping[str, float | str]


def measure(flows: int) -> dict[str, Figure]:
    """Both flows on both databases, and the memory of the workers."""
    figures: dict[str, Figure] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        System(Path(folder) / "s", registry=ANONYMOUS, ports=PORTS) as system,
    ):
        figures |= _flows(system, "sqlite", flows, database=())
        figures |= _flows(system, "sqlite.mdoc", flows, database=(), holding=MDOC)
        for name in ("issuer", "verifier"):
            pid = system.processes.pid(f"{name}_service")
            figures[f"memory.{name}.after"] = _megabytes(pid)
    server = PostgreSQL.start()
    try:
        urls = {module: server.new_database() for module in _DATABASES}
        with (
            tempfile.TemporaryDirectory() as folder,
            System(Path(folder) / "p", databases=urls, registry=ANONYMOUS, ports=PORTS) as system,
        ):
            postmaster = () if server.pid is None else (server.pid,)
            figures |= _flows(system, "postgresql", flows, database=postmaster)
            figures |= _flows(system, "postgresql.mdoc", flows, database=postmaster, holding=MDOC)
    finally:
        server.stop()
    return figures


def _flows(
    system: System,
    kind: str,
    flows: int,
    *,
    database: tuple[int, ...],
    holding: Kind = SD_JWT,
) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    people = adults(system)
    client = Flows(system, holding)
    issuer = system.processes.pid("issuer_service")
    verifier = system.processes.pid("verifier_service")
    if kind == "sqlite":
        for name, pid in (("issuer", issuer), ("verifier", verifier)):
            figures[f"memory.{name}.start"] = _megabytes(pid)
    issued = [client.issue(_person(people, number)) for number in range(WARM_UP)]
    wallet = [(client.held(text, key), key) for text, key in issued]
    for held, key in wallet:
        client.verify(held, key)

    def run(name: str, pid: int, act: object) -> None:
        server = user_seconds([pid])
        backend = user_seconds(each for one in database for each in children(one))
        for number in range(flows):
            act(number)  # type: ignore[operator]
        spent = (user_seconds([pid]) - server) * 1000 / flows
        figures[f"http.{kind}.{name}"] = _figure(f"{kind}.{name}", spent)
        if database:
            used = user_seconds(each for one in database for each in children(one)) - backend
            full = f"{kind}.{name}.database"
            figures[f"http.{full}"] = _figure(full, used * 1000 / flows)

    run("issuance", issuer, lambda number: client.issue(_person(people, number)))
    if holding is SD_JWT:
        figures |= _haip(system, kind, flows, people, figures[f"http.{kind}.issuance"])
    run("verification", verifier, lambda number: client.verify(*wallet[number % len(wallet)]))
    if kind == "sqlite" and holding is SD_JWT:
        figures["http.status.answers"] = _answers(client, issuer, issued[0][0])
    client.close()
    return figures


def _haip(
    system: System, kind: str, flows: int, people: list[str], plain: Figure
) -> dict[str, Figure]:
    """HAIP's issuance, which may cost twice the plain one of the same run; and its pages."""
    client = HaipFlows(system)
    issuer = [system.processes.pid("issuer_service")]
    for number in range(WARM_UP):
        client.issue(_person(people, number))
    wallet = pages = 0.0
    for first in range(0, flows, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, flows))
        begun = user_seconds(issuer)
        pushed = [client.push() for _ in numbers]
        shown = user_seconds(issuer)
        codes = [
            client.signed_in(each, _person(people, number))
            for each, number in zip(pushed, numbers, strict=True)
        ]
        agreed = user_seconds(issuer)
        for each, code in zip(pushed, codes, strict=True):
            client.redeem(each, code)
        wallet += shown - begun + user_seconds(issuer) - agreed
        pages += agreed - shown
    client.close()
    once = float(plain["value"])
    return {
        f"http.{kind}.issuance_haip": _beside(wallet * 1000 / flows, 2 * once),
        f"http.{kind}.sign_in": _beside(pages * 1000 / flows, once),
    }


def _beside(value: float, floor: float) -> Figure:
    return {"value": value, "unit": "ms", "floor": floor, "ratio": value / floor}


def _answers(client: Flows, issuer: int, credential: str) -> Figure:
    """How often a CPU second of one worker answers who asks for a Status List again.

    Fifty connections stay open, as those of caches and busy verifiers; each waits for its answer.
    """
    claims = parse_jws(credential.split("~", 1)[0], max_bytes=64 * 1024).unverified_claims()
    place = status_reference(claims)
    if place is None:
        raise RuntimeError("the bench needs a credential with a status")
    client.issuer.call("GET", place.uri)  # looked up: it is in memory for a second
    url = urlsplit(place.uri)
    request = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: */*\r\n\r\n".encode()
    with ExitStack() as stack:
        address = (url.hostname or "", url.port or 80)
        sockets = [
            stack.enter_context(socket.create_connection(address, timeout=30))
            for _ in range(_AT_ONCE)
        ]
        sockets[0].sendall(request)
        length = _read(sockets[0], None)
        begun = user_seconds([issuer])
        for _ in range(_ANSWERS // _AT_ONCE):
            for each in sockets:
                each.sendall(request)
            for each in sockets:
                _read(each, length)
        value = _ANSWERS / max(user_seconds([issuer]) - begun, 0.01)
    return {"value": value, "unit": "per s", "floor": 20_000.0, "ratio": 20_000 / value}


def _read(connection: socket.socket, length: int | None) -> int:
    """Read one answer of *length* bytes; the first tells how long they all are."""
    read = connection.recv(1 << 20)
    if not read.startswith(b"HTTP/1.1 200"):
        raise RuntimeError("the bench needs a Status List")
    head, found, _ = read.partition(b"\r\n\r\n")
    if length is None:
        said = re.search(rb"content-length: (\d+)", head)
        length = len(head + found) + int(said[1] if said else 0)
    left = length - len(read)
    while left:
        left -= len(connection.recv(left))
    return length


def adults(system: System) -> list[str]:
    """References of people in the register who are over 18 for sure."""
    with (system.folder / "people.csv").open(encoding="utf-8") as file:
        return [
            row["reference"]
            for row in csv.DictReader(file)
            if row["birth_date"].startswith("19") and not row["marks"]
        ]


def _person(people: list[str], number: int) -> str:
    return people[number % len(people)]


def _figure(name: str, value: float) -> Figure:
    target = TARGETS[name]
    return _beside(value, target)


def _megabytes(pid: int) -> Figure:
    value = resident_megabytes(pid)
    return {"value": value, "unit": "MB", "floor": 110.0, "ratio": value / 110}
