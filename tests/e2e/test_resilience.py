"""What is acknowledged is not lost, whoever is killed; what is down is said, and comes back.

DESIGN, "Decided": "nothing lost" means nothing acknowledged.
"""

import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPException
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.demo import agencies
from shared.demo.phone import Refused
from shared.formats.status_list import StatusReference
from shared.formats.status_states import Status

from .world import SERVICES, AskedByHand, HandWallet, World, eventually, send, status_of

AGE = ("age_equal_or_over", "18")
_CLIENTS = 8


def test_all_three_services_are_killed_between_any_two_steps(world: World) -> None:
    """Offer, token, revocation, session, consent, transaction: each goes on where it stood."""
    phone, wallet, subject = world.phone(), world.wallet(), world.person()
    world.receive(phone, subject)
    revoked = status_of(wallet.receive(world.registry.offer(world.person(), "pid_sd_jwt"))[0][0])
    open_offer = world.registry.offer(world.person(), "residence_sd_jwt")
    token = wallet.token(world.registry.offer(world.person(), "pid_sd_jwt"))
    nonce = wallet.nonce()
    started = world.counter.ask("over_18")
    consent = phone.resolve(started["link"], cross_device=True)
    gone = world.person()
    lost = status_of(wallet.receive(world.registry.offer(gone, "pid_sd_jwt"))[0][0])
    world.registry.revoke(gone, reason="lost_or_stolen")
    world.restart_all(SERVICES, signal.SIGKILL)
    assert phone.approve(consent).outcome == "shared"
    assert world.counter.result(started)["verdict"]["accepted"] is True
    assert phone.receive(open_offer["link"], open_offer["tx_code"])
    key = SoftwareKey.generate()
    assert wallet.ask(token, [wallet.key_proof(key, nonce)]).status == 200
    eventually(lambda: _state(world, lost) == Status.INVALID)
    assert _state(world, revoked) == Status.VALID
    assert world.reason(phone) is None


def test_a_kill_amid_many_issuances_and_revocations_loses_none(world: World) -> None:
    """What was answered with 200 is there afterwards: the credential's record, the revocation."""
    people = [world.person() for _ in range(_CLIENTS)]
    offers = {
        each: [world.registry.offer(each, "pid_sd_jwt") for _ in range(12)] for each in people
    }
    issued: list[StatusReference] = []
    revoked: dict[str, list[StatusReference]] = {}
    busy = threading.Semaphore(0)

    def work(person: str) -> None:
        mine = []
        with suppress(
            OSError, HTTPException, AssertionError
        ):  # the connection, or no answer at all
            for number, offer in enumerate(offers[person]):
                mine += [
                    status_of(text)
                    for text, _ in HandWallet(world.system.issuer).receive(offer, copies=2)
                ]
                busy.release()
                if number == 3:
                    order = {"subject": person, "reason": "superseded"}
                    if world.post(world.registry, "issuances/revoke", order).status == 200:
                        revoked[person] = list(mine)
        issued.extend(mine)

    threads = [threading.Thread(target=work, args=(each,)) for each in people]
    for each in threads:
        each.start()
    for _ in range(5 * _CLIENTS):
        assert busy.acquire(timeout=120)
    world.restart("issuer_service", signal.SIGKILL)
    for each in threads:
        each.join(timeout=60)
    assert len(issued) == len({(each.uri, each.index) for each in issued}) >= 10 * _CLIENTS
    recorded = {
        (row.list, row.idx) for row in world.rows("issuer_service", "SELECT list, idx FROM copies")
    }
    assert {(int(each.uri.rpartition("/")[2]), each.index) for each in issued} <= recorded
    assert revoked
    places = [each for found in revoked.values() for each in found]
    eventually(lambda: {_state(world, each) for each in places} == {Status.INVALID})


@pytest.fixture
def without_publisher(sqlite_world: World) -> Iterator[World]:
    sqlite_world.system.processes.stop("trust")
    yield sqlite_world
    sqlite_world.system.start_trust_files()


def test_services_work_and_start_while_the_trust_lists_publisher_is_down(
    without_publisher: World,
) -> None:
    """DESIGN 3 and 4: they go by what they verified and remember."""
    world = without_publisher
    phone = world.phone()
    world.receive(phone, world.person())
    assert world.reason(phone) is None
    world.restart_all(("wallet_service", "verifier_service"), signal.SIGTERM)
    assert world.reason(phone) is None
    world.receive(phone, world.person(), "residence_sd_jwt")
    assert world.reason(phone, "address") is None
    assert "trust_list_publisher_unreachable" in world.log("verifier_service")


def test_a_verifier_that_never_saw_a_trust_list_says_so(without_publisher: World) -> None:
    """Not ready, and no verdict: "no list" is never "not on the list"."""
    world = without_publisher
    world.execute("verifier_service", "CREATE TABLE kept AS SELECT * FROM trust_state")
    world.execute("verifier_service", "DELETE FROM trust_state")
    world.system.processes.stop("verifier_service")
    try:
        world.start("verifier_service", until="/health/live")
        ready = send("GET", f"{world.system.urls['verifier_service']}/health/ready")
        assert ready.status == 503
        parts = ready.json["parts"]
        assert parts.pop("database") is True
        assert [fine for name, fine in parts.items() if name.startswith("trust_list")] == [False]
        with pytest.raises(agencies.Refused) as refused:
            world.counter.ask("over_18")
        assert refused.value.status == 503
    finally:
        world.execute("verifier_service", "DELETE FROM trust_state")
        world.execute("verifier_service", "INSERT INTO trust_state SELECT * FROM kept")
        world.execute("verifier_service", "DROP TABLE kept")
        world.restart("verifier_service")


@pytest.fixture
def without_issuer(sqlite_world: World) -> Iterator[World]:
    """A world whose issuer is down once the test has done what it needs it for."""
    yield sqlite_world
    if "issuer_service" not in sqlite_world.system.processes._running:
        sqlite_world.start("issuer_service")


def test_known_status_lists_serve_on_and_unknown_ones_are_said_to_be_unreachable(
    without_issuer: World,
) -> None:
    """ST-52, ST-54: "unreachable" is neither valid nor revoked."""
    world = without_issuer
    phone, subject = world.phone(), world.person()
    world.receive(phone, subject)
    open_offer = world.registry.offer(world.person(), "pid_sd_jwt")
    phone.refresh()
    assert world.reason(phone) is None
    world.system.processes.stop("issuer_service", signal.SIGKILL)
    # Seen before: good until it expires.
    assert world.reason(phone) is None
    assert phone.refresh()[0]["badge"] == "valid"
    # Never seen: said as such.
    world.execute("verifier_service", "DELETE FROM fetched_document")
    world.restart("verifier_service")
    result = world.check_or_refusal(phone)
    assert result["verdict"]["accepted"] is False
    [credential] = result["verdict"]["credentials"]
    assert credential["status"] == "list_unreachable"
    assert credential["reason"] == "status_unavailable"
    by_name = {each["check"]: each["result"] for each in credential["checks"]}
    assert by_name.pop("status") in {"unknown", "failed"}
    assert set(by_name.values()) == {"passed"}
    assert "claims" not in result
    # And whoever wants a credential hears that the agency does not answer; nothing is used up.
    with pytest.raises(Refused) as refused:
        phone.receive(open_offer["link"], open_offer["tx_code"])
    assert refused.value.status == 503
    world.start("issuer_service")
    assert world.reason(phone) is None
    assert phone.receive(open_offer["link"], open_offer["tx_code"])


def test_whom_the_register_does_not_know_is_said_when_offering(world: World) -> None:
    with pytest.raises(agencies.Refused) as refused:
        world.registry.offer("AV-999999", "pid_sd_jwt")
    assert (refused.value.status, refused.value.problem["code"]) == (404, "subject_unknown")
    assert {"whose_fault", "next_step", "support_id"} <= refused.value.problem.keys()
    with pytest.raises(agencies.Refused) as refused:
        world.registry.offer("AV-000007", "pid_sd_jwt")  # deceased
    assert refused.value.problem["code"] == "subject_deceased"


def test_a_register_row_that_vanished_after_the_offer_is_said_as_such(world: World) -> None:
    """Never merged with "invalid": the wallet learns it is final, the log which check it was."""
    subject, wallet = world.person(), world.wallet()
    token = wallet.token(world.registry.offer(subject, "pid_sd_jwt"))
    _register(world, "DELETE FROM people WHERE reference = ?", subject)
    answer = wallet.ask(token, [wallet.key_proof(SoftwareKey.generate(), wallet.nonce())])
    assert answer.error == "400 credential_request_denied"
    assert "register: no entry under this reference" in world.log("issuer_service")


def test_a_register_that_is_down_comes_back_and_nothing_was_used_up(world: World) -> None:
    subject, wallet = world.person(), world.wallet()
    token = wallet.token(world.registry.offer(subject, "pid_sd_jwt"))
    proof = wallet.key_proof(SoftwareKey.generate(), wallet.nonce())
    _register(world, "ALTER TABLE people RENAME TO away")
    try:
        assert wallet.ask(token, [proof]).status == 503
        with pytest.raises(agencies.Refused) as refused:
            world.registry.offer(subject, "pid_sd_jwt")
        assert refused.value.status == 503
    finally:
        _register(world, "ALTER TABLE away RENAME TO people")
    assert wallet.ask(token, [proof]).status == 200


def test_an_answer_posted_while_the_verifier_was_down_is_sent_again(sqlite_world: World) -> None:
    """W-62: the same bytes to the same place."""
    world = sqlite_world
    phone = world.phone()
    world.receive(phone, world.person())
    started = world.counter.ask("over_18")
    consent = phone.resolve(started["link"], cross_device=True)
    world.system.processes.stop("verifier_service", signal.SIGKILL)
    with pytest.raises(Refused) as refused:
        phone.approve(consent)
    assert refused.value.status == 503
    world.start("verifier_service")
    assert phone.retry(consent).outcome == "shared"
    assert world.counter.result(started)["verdict"]["accepted"] is True
    assert phone.cards()[0]["copies_left"] == 9


def test_noise_at_every_endpoint_is_refused_and_breaks_nothing(world: World) -> None:
    """S-20: no bug in any log; the next citizen is served."""
    urls, tenant = world.system.urls, "registry"
    noise = [b"", b"\xff\xfe", b"{", b"[" * 5_000, b'{"a":1,"a":2}', b"x" * 70_000]
    places = [
        f"{urls['issuer_service']}/{tenant}/token",
        f"{urls['issuer_service']}/{tenant}/credential",
        f"{urls['issuer_service']}/api/v1/{tenant}/offers",
        f"{urls['wallet_service']}/api/v1/sessions/assertion",
        f"{urls['wallet_service']}/api/v1/wallets",
        f"{urls['verifier_service']}/counter/response/nobody",
        f"{urls['verifier_service']}/api/v1/counter/transactions",
    ]
    started = world.counter.ask("over_18")
    places.append(AskedByHand.fetch(started["link"]).claims["response_uri"])
    for place in places:
        for body in noise:
            for kind in ("application/json", "application/x-www-form-urlencoded"):
                answer = send("POST", place, body, Content_Type=kind)
                assert 400 <= answer.status < 500, (place, answer.status)
    assert world.counter.result(started)["state"] == "requested"
    for module in SERVICES:
        assert '"event":"bug"' not in world.log(module)


@pytest.mark.parametrize("world", ["postgresql"], indirect=True)
def test_a_database_that_went_away_comes_back_by_itself(world: World) -> None:
    """Every connection is cut: nobody sees a bug, and the second try works."""
    phone = world.phone()
    world.receive(phone, world.person())
    for name in world.databases:
        world.rows(
            name,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
    failures: list[int] = []

    def works() -> bool:
        try:
            return all(world.check(phone)["verdict"]["accepted"] for _ in range(5))
        except (Refused, agencies.Refused) as error:  # once in each process
            failures.append(error.status)
            return False

    eventually(works)
    assert set(failures) <= {503}, failures
    for module in SERVICES:
        assert '"event":"bug"' not in world.log(module)
    world.restart_all(SERVICES, signal.SIGTERM)  # what was not asked anything has yet to notice


def _state(world: World, place: StatusReference) -> int:
    return world.status_list(place.uri).list.get(place.index)


def _register(world: World, statement: str, *values: Any) -> None:
    path = world.system.folder / "issuer_service" / "register.db"
    with closing(sqlite3.connect(path)) as register:
        register.execute(statement, values)
        register.commit()
