"""`GET /api/v1/events`: the steps of an open wallet as they are taken, on whichever replica."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any, Self

import pytest

from shared.demo.phone import Phone
from tests.support.asgi import Answer, AsgiClient
from tests.support.trust import PID
from tests.support.wallet import TX_CODE, WALLET, WalletWorld
from wallet_service.app import create_app
from wallet_service.events import MAX_LISTENERS, MAX_OF_ONE_WALLET, Events, TooManyListeners


@pytest.fixture(scope="module")
def world(
    new_database_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WalletWorld]:
    folder = tmp_path_factory.mktemp("w")
    made = WalletWorld.make(folder, new_database_url(), new_database_url(), event_interval=0.02)
    with serving(made):
        yield made
    del made.services["replica"]
    made.close()


def serving(world: WalletWorld) -> AsgiClient:
    """A replica with one event loop, as a process has."""
    served = AsgiClient(create_app(world.wallet), base_url=WALLET)
    world.services["replica"] = served
    return served


class Ear:
    """One who listens until the session ends."""

    def __init__(self, world: WalletWorld, phone: Phone) -> None:
        self.answers: list[Answer] = []
        self.events = world.wallet.events
        self.before = len(self.events._listeners)
        self.client = world.services["replica"]
        self.headers = {"Authorization": f"Bearer {phone._token}"}

    def __enter__(self) -> Self:
        self.thread = Thread(target=self._listen)
        self.thread.start()
        until = monotonic() + 120
        while len(self.events._listeners) == self.before and monotonic() < until:
            sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.join(timeout=120)

    def _listen(self) -> None:
        self.answers.append(self.client.get("/api/v1/events", headers=self.headers))

    @property
    def heard(self) -> list[tuple[str, dict[str, Any]]]:
        (answer,) = self.answers
        found = re.findall(r"^event: (\w+)\ndata: (.*)$", answer.text, re.MULTILINE)
        return [(kind, json.loads(data)) for kind, data in found]


def wait_for(condition: Callable[[], bool]) -> None:
    until = monotonic() + 120
    while not condition() and monotonic() < until:
        sleep(0.01)


def told(world: WalletWorld, phone: Phone, step: str) -> Callable[[], bool]:
    """Whether the one who listens was told of this step."""

    def found() -> bool:
        mine = [each for each in world.wallet.events._listeners if each.wallet == phone.wallet]
        return any(said["step"] == step for each in mine for said in each.steps.values())

    return found


def test_steps_are_told_with_the_ids_of_the_resources(world: WalletWorld, tmp_path: Path) -> None:
    """WALLET_SECURITY 9: same ids as polling; at another replica; ends with the session."""
    phone = world.new_phone()
    begun = phone.scan(world.issuer.offer(PID))
    other = WalletWorld.make(tmp_path, *world.urls, event_interval=0.02)
    with serving(other), Ear(other, phone) as ear:
        wait_for(told(other, phone, "tx_code"))
        flow = phone.accept(begun, TX_CODE)
        wait_for(told(other, phone, "review"))
        phone.keep(flow["id"])
        wait_for(told(other, phone, "stored"))
        phone.close()
    del other.services["replica"]
    other.close()
    (answer,) = ear.answers
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    steps = [said["step"] for kind, said in ear.heard if kind == "issuance"]
    assert (steps[0], steps[-2:]) == ("tx_code", ["review", "stored"])
    assert {said["id"] for kind, said in ear.heard if kind == "issuance"} == {begun["id"]}
    versions = [said["version"] for kind, said in ear.heard if kind == "wallet"]
    assert versions == sorted(set(versions))
    assert len(versions) >= 2
    assert ear.heard[-1] == ("end", {})


def test_nothing_personal_is_in_an_event(world: WalletWorld) -> None:
    """WALLET_SECURITY 9: ids and steps; no name, claim, type, issuer or verifier."""
    phone = world.phone_with(PID)
    flow = phone.scan(world.issuer.offer(PID))
    with Ear(world, phone) as ear:
        wait_for(told(world, phone, "tx_code"))
        phone._post(f"/issuances/{flow['id']}/refuse")
        wait_for(told(world, phone, "refused"))
        phone.close()
    for kind, said in ear.heard:
        assert kind in {"issuance", "presentation", "approval", "wallet", "end"}
        assert set(said) <= {"id", "step", "version"}
    # What ended before nobody asks for; what ends while one listens is told.
    ends = [said for _, said in ear.heard if said.get("step") in {"stored", "refused", "consumed"}]
    assert ends == [{"id": flow["id"], "step": "refused"}]


def test_listening_ends_with_time_and_prolongs_nothing(world: WalletWorld) -> None:
    """WALLET_SECURITY 2: idle 10 minutes, whoever listens meanwhile."""
    phone = world.new_phone()
    with Ear(world, phone) as ear:
        wait_for(told(world, phone, "active"))
        world.clock.advance(minutes=9)
        world.clock.advance(minutes=2)
    assert ear.heard[-1][0] == "end"


def test_one_hears_of_the_own_wallet_alone(world: WalletWorld) -> None:
    """Two wallets, one process: neither hears of the other."""
    mine, theirs = world.new_phone(), world.new_phone()
    with Ear(world, mine) as ear:
        wait_for(told(world, mine, "active"))
        flow = theirs.scan(world.issuer.offer(PID))
        here = mine.scan(world.issuer.offer(PID))
        wait_for(told(world, mine, "tx_code"))
        mine.close()
    assert here["id"] in str(ear.heard)
    assert flow["id"] not in str(ear.heard)
    assert theirs.wallet not in str(ear.heard)


def test_who_has_no_session_hears_nothing(world: WalletWorld) -> None:
    answer = world.services["replica"].get("/api/v1/events")
    assert (answer.status, answer.json()["code"]) == (401, "unauthenticated")


def test_how_many_listen_is_bounded(world: WalletWorld) -> None:
    """A limit for each wallet and for the process; who went away makes room, begun or not."""
    phone = world.new_phone()
    assert phone.wallet is not None
    events = world.wallet.events
    held = [events.listen(phone.wallet, b"t") for _ in range(MAX_OF_ONE_WALLET)]
    headers = {"Authorization": f"Bearer {phone._token}"}
    answer = world.services["replica"].get("/api/v1/events", headers=headers)
    assert (answer.status, answer.json()["code"]) == (429, "too_many_streams")
    held.pop()
    assert events.listen(phone.wallet, b"t")
    many = Events(world.wallet.database, lambda _: (), interval=1)
    all_of_them = [many.listen(f"wal_{n}", b"t") for n in range(MAX_LISTENERS)]
    with pytest.raises(TooManyListeners):
        many.listen("wal_x", b"t")
    all_of_them.clear()
    assert many.listen("wal_x", b"t")
