"""Who may learn the result: the browser that was sent away, the asker, and nobody else."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.clock import NOW
from tests.support.verifier import (
    RETURN_URL,
    TENANT,
    HolderWallet,
    VerifierWorld,
    response_code,
)
from verifier_service.retention import erase_due

TENANTS = {"counter": TENANT, "town-hall": TENANT}


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    folder = tmp_path_factory.mktemp("verifier")
    with VerifierWorld.make(folder, database_url, tenants=TENANTS) as made:
        yield made


def answered(world: VerifierWorld) -> tuple[dict[str, Any], str]:
    """A same-device transaction whose wallet has answered, and the response code it was given."""
    started = world.start("over_18", flow="same_device", return_url=RETURN_URL)
    wallet = HolderWallet(world)
    answer = wallet.answer(wallet.open(started["link"]))
    assert answer.status == 200
    return started, response_code(answer.json()["redirect_uri"])


def test_a_same_device_result_waits_for_its_browser(world: VerifierWorld) -> None:
    """V-03, V-43, V-50: verified but not released; then released by the code, once."""
    started, code = answered(world)
    waiting = world.result(started)
    assert waiting["state"] == "responded"
    assert "verdict" not in waiting
    assert "claims" not in waiting
    released = world.come_back(started, code)
    assert released.status == 200
    assert released.json()["state"] == "verified"
    assert released.json()["session_bound"] is True
    assert released.json()["claims"] == {"pid": {"age_equal_or_over": {"18": True}}}
    assert world.result(started) == released.json()


def test_a_wrong_code_rejects_the_presentation(world: VerifierWorld) -> None:
    """V-50, T-31: rejected, not merely hidden: the right code is too late."""
    started, code = answered(world)
    refused = world.come_back(started, "another")
    assert (refused.status, refused.json()["code"]) == (403, "wrong_response_code")
    assert world.come_back(started, code).status == 409
    result = world.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("rejected", "wrong_return")
    assert world.row(started).sealed_claims is None


def test_a_code_that_comes_twice_rejects_the_presentation(world: VerifierWorld) -> None:
    """V-43, V-50, T-31: replay."""
    started, code = answered(world)
    assert world.come_back(started, code).status == 200
    assert world.come_back(started, code).status == 403
    result = world.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("rejected", "wrong_return")
    assert "claims" not in result


def test_the_code_of_another_transaction_is_a_wrong_one(world: VerifierWorld) -> None:
    """V-50, T-31: the return in another session does not release the result there."""
    mine, _ = answered(world)
    _, theirs = answered(world)
    assert world.come_back(mine, theirs).status == 403
    assert world.result(mine)["state"] == "rejected"


@pytest.mark.parametrize("job", [True, False])
def test_a_browser_that_does_not_come_back_rejects_the_presentation(
    world: VerifierWorld, job: bool
) -> None:
    """V-50, T-31: at the end of the transaction's life, whether the job was here or not."""
    started, code = answered(world)
    world.clock.advance(minutes=5)
    try:
        if job:
            erase_due(world.verifier, world.clock())
            assert world.row(started).sealed_claims is None
        result = world.result(started)
        assert (result["state"], result["verdict"]["reason"]) == ("rejected", "not_returned")
        assert world.come_back(started, code).status in {403, 409}
        assert "claims" not in world.result(started)
    finally:
        world.clock.now = NOW


def test_nothing_is_released_before_the_wallet_has_answered(world: VerifierWorld) -> None:
    """PROFILE 8.9: 409; and a cross-device answer needs no return."""
    started = world.start("over_18", flow="same_device", return_url=RETURN_URL)
    assert world.come_back(started, "early").status == 409
    wallet = HolderWallet(world)
    answer = wallet.answer(wallet.open(started["link"]))
    assert world.come_back(started, response_code(answer.json()["redirect_uri"])).status == 200
    crossing = world.start("over_18")
    answer = wallet.answer(wallet.open(crossing["link"]))
    code = response_code(answer.json()["redirect_uri"])
    assert world.come_back(crossing, code).status == 409
    assert world.result(crossing)["state"] == "verified"


def test_a_cross_device_result_says_that_no_session_is_bound(world: VerifierWorld) -> None:
    """V-51."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    wallet.answer(wallet.open(started["link"]))
    assert world.result(started)["session_bound"] is False


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "/return", {"response_code": "x"}),
        ("GET", "/events", None),
    ],
)
def test_every_call_needs_the_transactions_secret(
    world: VerifierWorld, method: str, path: str, body: Any
) -> None:
    """V-52, T-31: 401 without, 403 with another one; the id the wallet knows opens nothing."""
    started = world.start("over_18")
    other = world.start("over_18")
    base = f"/api/v1/counter/transactions/{started['transaction_id']}{path}"
    plain = world.client.request(method, base, json=body, headers=world.headers())
    assert (plain.status, plain.json()["code"]) == (401, "transaction_secret_missing")
    wrong = world.client.request(method, base, json=body, headers=world.headers(other["secret"]))
    assert (wrong.status, wrong.json()["code"]) == (403, "wrong_transaction_secret")
    request_id = world.row(started).request_id
    by_request = world.client.request(
        method,
        f"/api/v1/counter/transactions/{request_id}{path}",
        json=body,
        headers=world.headers(started["secret"]),
    )
    assert by_request.status == 404
    unsigned = {"Transaction-Secret": started["secret"]}
    assert world.client.request(method, base, json=body, headers=unsigned).status == 401
    assert world.result(started)["state"] == "created"


def test_a_foreign_tenant_sees_nothing_of_a_transaction(world: VerifierWorld) -> None:
    """DESIGN 7, PAIN_POINTS 2.21: every route, with ids, secret and code of another tenant."""
    started, code = answered(world)
    open_one = world.start("over_18")
    token = world.other_client("town-hall", "town-hall-desk")
    headers = {"Authorization": f"Bearer {token}", "Transaction-Secret": started["secret"]}
    here = f"transactions/{started['transaction_id']}"
    calls: list[tuple[str, str, Any]] = [
        ("GET", here, None),
        ("DELETE", here, None),
        ("POST", f"{here}/return", {"response_code": code}),
        ("GET", f"{here}/events", None),
    ]
    for method, path, body in calls:
        own = world.client.request(method, f"/api/v1/town-hall/{path}", json=body, headers=headers)
        assert own.status == 404, (method, path)
        # Its token is worth nothing at the other tenant's address.
        theirs = world.client.request(method, f"/api/v1/counter/{path}", json=body, headers=headers)
        assert theirs.status == 401, (method, path)
    assert world.client.get("/api/v1/counter/queries", headers=headers).status == 401
    asked = {"query": "over_18"}
    started_there = world.client.post("/api/v1/counter/transactions", json=asked, headers=headers)
    assert started_there.status == 401
    request_id = world.row(open_one).request_id
    assert world.client.get(f"/town-hall/request/{request_id}").status == 404
    assert world.client.post(f"/town-hall/request/{request_id}", form={}).status == 404
    posted = world.client.post(f"/town-hall/response/{request_id}", form={"error": "access_denied"})
    assert posted.status == 404
    assert world.result(started)["state"] == "responded"
    assert world.come_back(started, code).status == 200
    assert world.result(open_one)["state"] == "created"


def test_another_client_of_the_same_tenant_does_not_read_it(world: VerifierWorld) -> None:
    """V-52: the transaction belongs to the system that started it."""
    started = world.start("over_18")
    token = world.other_client("counter", "another-desk")
    answer = world.client.get(
        f"/api/v1/counter/transactions/{started['transaction_id']}",
        headers={"Authorization": f"Bearer {token}", "Transaction-Secret": started["secret"]},
    )
    assert answer.status == 404
