"""Webhooks: signed, told in the transaction of what they tell, again until they are taken."""

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpcore2
import pytest
from sqlalchemy import select

from shared.errors import VerificationError
from shared.runtime.fetch import Fetcher, FetchPolicy
from tests.support.verifier import (
    RETURN_URL,
    TENANT,
    HolderWallet,
    VerifierWorld,
    response_code,
)
from verifier_service import tables, webhooks
from verifier_service.retention import erase_due, forget
from verifier_service.webhooks import PAUSES, Sender, headers, secret, signature

HOOK = "https://portal.example/hook"


class Receiver(httpcore2.ConnectionInterface):
    """An agency's system: what it got, and what it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204
        self.dead = False

    def handle_request(self, request: httpcore2.Request) -> httpcore2.Response:
        body = b"".join(request.stream)  # type: ignore[arg-type]
        sent = {name.decode().lower(): value.decode() for name, value in request.headers}
        self.got.append((request.url.host.decode(), sent, body))
        if self.dead:
            raise httpcore2.ConnectError("nobody listens there")
        return httpcore2.Response(self.status)

    def close(self) -> None:
        """There is nothing to close."""


@pytest.fixture
def world(empty_database_url: str, tmp_path: Any) -> Iterator[VerifierWorld]:
    others = TENANT | {"webhook_url": "https://library.example/hook"}
    tenants = {"counter": TENANT | {"webhook_url": HOOK}, "library": others}
    with VerifierWorld.make(tmp_path, empty_database_url, tenants=tenants) as made:
        yield made


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def sender(world: VerifierWorld, receiver: Receiver) -> Sender:
    verifier = world.verifier
    fetcher = Fetcher(FetchPolicy(), transport=receiver)
    return Sender(verifier.database, fetcher, verifier.tenants, verifier.webhooks)


def rows(world: VerifierWorld) -> list[Any]:
    with world.verifier.database.reading() as connection:
        return list(connection.execute(select(tables.webhooks).order_by(tables.webhooks.c.id)))


def end(world: VerifierWorld, **asked: Any) -> dict[str, Any]:
    started = world.start("over_18", **asked)
    wallet = HolderWallet(world)
    answer = wallet.answer(wallet.open(started["link"]))
    assert answer.status == 200
    return started | {"redirect": answer.json()["redirect_uri"]}


def test_signature_is_the_one_of_standard_webhooks() -> None:
    """The vector of the Standard Webhooks reference libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert (
        signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_the_agency_is_told_how_it_ended_and_nothing_else(
    world: VerifierWorld, sender: Sender, receiver: Receiver
) -> None:
    """V-52, DESIGN 6: verified with the printed secret; no verdict, no claim, no secret."""
    started = end(world)
    assert sender.send_due(world.clock()) == 1
    [(host, sent, body)] = receiver.got
    assert host == "portal.example"
    assert sent["content-type"] == "application/json"
    assert json.loads(body) == {
        "type": "transaction.ended",
        "timestamp": "2027-03-01T12:00:00Z",
        "data": {"transaction_id": started["transaction_id"], "state": "verified"},
    }
    key = base64.b64decode(secret(world.verifier.webhooks, "counter").removeprefix("whsec_"))
    moment = int(sent["webhook-timestamp"])
    assert moment == int(world.clock().timestamp())
    assert sent["webhook-signature"] == signature(key, sent["webhook-id"], moment, body)
    assert sender.send_due(world.clock()) == 0
    assert len(receiver.got) == 1


def test_keys_rotate_with_both_signatures(world: VerifierWorld) -> None:
    """S-30: the new one first; who knows the old secret still verifies."""
    ring = world.verifier.webhooks
    rotated = ring.rotated("2", b"2" * 32)
    found = headers(rotated, "counter", "id", b"{}", world.clock())["webhook-signature"].split()
    [old] = headers(ring, "counter", "id", b"{}", world.clock())["webhook-signature"].split()
    assert len(found) == 2
    assert found[1] == old
    assert secret(ring, "counter") != secret(ring, "library")


@pytest.mark.parametrize("state", ["refused", "rejected", "expired"])
def test_every_end_is_told_once(
    world: VerifierWorld, sender: Sender, receiver: Receiver, state: str
) -> None:
    """V-03: also what only time has ended."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    if state == "refused":
        wallet.post(asked, f"error=access_denied&state={asked.request.state}".encode())
    elif state == "rejected":
        wallet.answer(asked, now=world.clock() - timedelta(days=400))
    else:
        world.clock.advance(minutes=6)
    for _ in range(2):
        erase_due(world.verifier, world.clock())
    assert [(each.subject, each.state) for each in rows(world)] == [
        (started["transaction_id"], state)
    ]
    assert sender.send_due(world.clock()) == 1
    assert json.loads(receiver.got[0][2])["data"]["state"] == state


def test_a_release_is_told_and_so_is_a_rejected_return(world: VerifierWorld) -> None:
    """V-50."""
    started = end(world, flow="same_device", return_url=RETURN_URL)
    assert rows(world) == []
    code = response_code(started["redirect"])
    assert world.come_back(started, code).status == 200
    assert [each.state for each in rows(world)] == ["verified"]
    assert world.come_back(started, code).status == 403
    assert {each.state for each in rows(world)} == {"verified", "rejected"}


def test_pauses_grow_until_nobody_tries_any_more(
    world: VerifierWorld, sender: Sender, receiver: Receiver
) -> None:
    """Back-off: 5 s to 20 h, then it waits to be replayed."""
    end(world)
    receiver.status = 503
    begun = world.clock()
    for number, pause in enumerate(PAUSES, start=1):
        assert sender.send_due(world.clock()) == 0
        assert len(receiver.got) == number
        world.clock.advance(seconds=pause.total_seconds() - 1)
        assert sender.send_due(world.clock()) == 0
        assert len(receiver.got) == number
        world.clock.advance(seconds=1)
    sender.send_due(world.clock())
    assert len(receiver.got) == len(PAUSES) + 1
    assert world.clock() - begun == sum(PAUSES, timedelta())
    world.clock.advance(days=20)
    sender.send_due(world.clock())
    assert len(receiver.got) == len(PAUSES) + 1
    assert len({each[1]["webhook-id"] for each in receiver.got}) == 1
    assert len({each[2] for each in receiver.got}) == 1


def test_an_operator_sees_and_replays(
    world: VerifierWorld, sender: Sender, receiver: Receiver
) -> None:
    """Issue item 4: list, replay; other roles may not."""
    started = end(world)
    receiver.dead = True
    sender.send_due(world.clock())
    client_secret = world.verifier.clients.register("counter", "operator", ["operator"])
    bearer = {"Authorization": f"Bearer {world.sign_in('counter', 'operator', client_secret)}"}
    listed = world.client.get("/api/v1/counter/webhooks?undelivered=true", headers=bearer)
    [message] = listed.json()["messages"]
    assert message["transaction_id"] == started["transaction_id"]
    assert (message["attempts"], message["state"]) == (1, "verified")
    assert "delivered_at" not in message
    receiver.dead = False
    place = f"/api/v1/counter/webhooks/{message['id']}/replay"
    assert world.client.post(place, headers=world.headers()).status == 403
    assert world.client.post(place, headers=bearer).status == 204
    assert sender.send_due(world.clock()) == 1
    [message] = world.client.get("/api/v1/counter/webhooks", headers=bearer).json()["messages"]
    assert message["delivered_at"] == "2027-03-01T12:00:00Z"
    again = "/api/v1/counter/webhooks?undelivered=true"
    assert world.client.get(again, headers=bearer).json()["messages"] == []
    unknown = "/api/v1/counter/webhooks/trx_none:verified/replay"
    assert world.client.post(unknown, headers=bearer).status == 404


def test_of_many_senders_one_posts(world: VerifierWorld, receiver: Receiver) -> None:
    """S-02, S-03: a lease that ran out, two processes at once: each message goes out once."""
    for _ in range(5):
        end(world)
    verifier = world.verifier
    fetcher = Fetcher(FetchPolicy(), transport=receiver)
    senders = [
        Sender(verifier.database, fetcher, verifier.tenants, verifier.webhooks) for _ in range(8)
    ]
    now = world.clock()
    with ThreadPoolExecutor(8) as pool:
        delivered = list(pool.map(lambda each: each.send_due(now), senders))
    assert sum(delivered) == 5
    assert len({each[1]["webhook-id"] for each in receiver.got}) == len(receiver.got) == 5


def test_a_silent_tenant_delays_no_other(
    world: VerifierWorld, sender: Sender, receiver: Receiver
) -> None:
    """After its first failure it waits for the next run."""
    for _ in range(3):
        end(world)
    with world.verifier.database.transaction() as connection:
        for number in range(2):
            tenant = world.verifier.tenants["library"]
            webhooks.tell(
                connection,
                tenant,
                f"trx_{number}",
                webhooks.State.VERIFIED,
                now=world.clock(),
            )
    receiver.dead = True
    sender.send_due(world.clock())
    assert sorted(each[0] for each in receiver.got) == ["library.example", "portal.example"]


def test_what_is_not_committed_is_not_told(world: VerifierWorld, sender: Sender) -> None:
    """The outbox is part of the transaction."""
    tenant = world.verifier.tenants["counter"]
    with (
        pytest.raises(VerificationError),
        world.verifier.database.transaction() as connection,
    ):
        webhooks.tell(connection, tenant, "trx_x", webhooks.State.VERIFIED, now=world.clock())
        raise VerificationError("something else fails")
    assert rows(world) == []
    assert sender.send_due(world.clock()) == 0


def test_what_was_told_is_forgotten_in_time(world: VerifierWorld, sender: Sender) -> None:
    """S-03: with the result; what is still to be told stays."""
    end(world)
    assert sender.send_due(world.clock()) == 1
    end(world)
    forget(world.verifier, world.clock() + timedelta(days=29))
    assert len(rows(world)) == 2
    forget(world.verifier, world.clock() + timedelta(days=31))
    assert [each.delivered_at for each in rows(world)] == [None]
