"""What people decide beside the rules: overrides and legal holds; and the trail of it all."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.errors import VerificationError
from shared.formats.values import Session
from shared.jose import jws
from shared.runtime.audit import HEAD_TYP
from tests.support.asgi import Answer
from tests.support.verifier import RETURN_URL, TENANT, HolderWallet, VerifierWorld
from verifier_service.records import TRAIL, chain_all
from verifier_service.retention import erase_due


@pytest.fixture
def world(empty_database_url: str, tmp_path: Any) -> Iterator[VerifierWorld]:
    tenants = {"counter": TENANT | {"queries": ["over_18", "identity"]}}
    with VerifierWorld.make(tmp_path, empty_database_url, tenants=tenants) as made:
        yield made


def bearer(world: VerifierWorld, *roles: str, client: str | None = None) -> dict[str, str]:
    """Headers of a client with these roles."""
    client = client or "-".join(roles)
    secret = world.verifier.clients.register("counter", client, roles)
    return {"Authorization": f"Bearer {world.sign_in('counter', client, secret)}"}


@pytest.fixture
def clerk(world: VerifierWorld) -> dict[str, str]:
    """A clerk's system that may also decide by hand."""
    return bearer(world, "verifier", "supervisor", client="clerk")


def unknown_status(
    world: VerifierWorld, headers: dict[str, str], query: str = "identity"
) -> dict[str, Any]:
    """A transaction that ended while the publisher of the status list was down."""
    started: dict[str, Any] = world.client.post(
        "/api/v1/counter/transactions", json={"query": query}, headers=headers
    ).json()
    world.statuses.publisher.down = True
    wallet = HolderWallet(world)
    assert wallet.answer(wallet.open(started["link"])).status == 400
    return started


def call(
    world: VerifierWorld,
    headers: dict[str, str],
    started: dict[str, Any],
    path: str = "",
    method: str = "GET",
    **options: Any,
) -> Answer:
    return world.client.request(
        method,
        f"/api/v1/counter/transactions/{started['transaction_id']}{path}",
        headers=headers | {"Transaction-Secret": started["secret"]},
        **options,
    )


def override(world: VerifierWorld, headers: dict[str, str], started: dict[str, Any]) -> Answer:
    body = {"reason": "person_known"}
    return call(world, headers, started, "/override", "POST", json=body)


def trail(world: VerifierWorld) -> list[dict[str, Any]]:
    erase_due(world.verifier, world.clock())
    chain_all(world.verifier, world.clock())
    headers = bearer(world, "auditor", client=f"auditor-{world.verifier.random_bytes(4).hex()}")
    answer = world.client.get("/api/v1/counter/audit", headers=headers)
    assert answer.status == 200
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows


def test_a_clerk_accepts_what_nothing_is_known_about(
    world: VerifierWorld, clerk: dict[str, str]
) -> None:
    """ST-54, issue item 3: refused first; then an explicit decision, recorded with its reason."""
    started = unknown_status(world, clerk)
    before = call(world, clerk, started).json()
    assert before["state"] == "rejected"
    assert before["verdict"]["reason"] == "status_unavailable"
    assert before["verdict"]["overridable"] is True
    assert before["verdict"]["credentials"][0]["status"] == "list_unreachable"
    assert "claims" not in before
    after = override(world, clerk, started)
    assert after.status == 200, after.text
    content = after.json()
    assert (content["state"], content["verdict"]["accepted"]) == ("verified", True)
    assert content["verdict"]["override"] == {
        "actor": "clerk",
        "at": "2027-03-01T12:00:00Z",
        "reason": "person_known",
    }
    assert content["verdict"]["credentials"][0]["status"] == "list_unreachable"
    assert content["claims"]["pid"]["family_name"] == "Möbius"
    acts = [(row["act"], row["actor"], row["reason"]) for row in trail(world)]
    assert ("override", "clerk", "person_known") in acts


def test_who_is_no_supervisor_overrides_nothing(
    world: VerifierWorld, clerk: dict[str, str]
) -> None:
    started = unknown_status(world, clerk)
    assert override(world, world.headers(), started).status == 403
    other = bearer(world, "verifier", "supervisor", client="other")
    assert override(world, other, started).status == 404
    wrong = started | {"secret": "A" * 43}
    assert override(world, clerk, wrong).status == 403


def test_a_query_without_the_policy_keeps_nothing(
    world: VerifierWorld, clerk: dict[str, str]
) -> None:
    """ST-54: refuse is the default; then there are no claims a clerk could accept."""
    started = unknown_status(world, clerk, "over_18")
    result = call(world, clerk, started).json()
    assert result["verdict"]["overridable"] is False
    assert world.row(started).sealed_claims is None
    assert override(world, clerk, started).status == 409


@pytest.mark.parametrize("wrong", ["revoked", "signature", "nonce"])
def test_what_is_wrong_cannot_be_overridden(
    world: VerifierWorld, clerk: dict[str, str], wrong: str
) -> None:
    """ST-54: only what is unknown."""
    started: dict[str, Any] = world.client.post(
        "/api/v1/counter/transactions", json={"query": "identity"}, headers=clerk
    ).json()
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    if wrong == "revoked":
        world.statuses.set(7, 1)
        answer = wallet.answer(asked)
    elif wrong == "signature":
        answer = wallet.answer(asked, holder=HolderWallet(world).holder)
    else:
        world.statuses.publisher.down = True
        session = Session(asked.request.client_id.full, "another nonce")
        answer = wallet.answer(asked, session=session)
    assert answer.status == 400
    assert override(world, clerk, started).status == 409
    assert world.row(started).sealed_claims is None


def test_of_many_overrides_one_counts(world: VerifierWorld, clerk: dict[str, str]) -> None:
    """S-02: one decision, one row in the trail."""
    started = unknown_status(world, clerk)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: override(world, clerk, started), range(8)))
    assert sorted(each.status for each in answers) == [200] + [409] * 7
    assert [row["act"] for row in trail(world)].count("override") == 1


def test_an_override_comes_too_late_after_retention(
    world: VerifierWorld, clerk: dict[str, str]
) -> None:
    """DESIGN 6: claims kept for a clerk's decision end like any others."""
    started = unknown_status(world, clerk)
    world.clock.advance(minutes=31)
    clerk = {"Authorization": bearer(world, "verifier", client="again")["Authorization"]}
    erase_due(world.verifier, world.clock())
    assert world.row(started).sealed_claims is None


HOLD = {
    "until": "2027-06-01T00:00:00Z",
    "reason": "court_order",
    "legal_basis": "Code of procedure, section 142",
    "second_approver": "head-of-office",
}


def verified(world: VerifierWorld, **asked: Any) -> dict[str, Any]:
    started = world.start("identity", **asked)
    wallet = HolderWallet(world)
    assert wallet.answer(wallet.open(started["link"])).status == 200
    return started


def hold(world: VerifierWorld, started: dict[str, Any], headers: dict[str, str]) -> Answer:
    place = f"/api/v1/counter/transactions/{started['transaction_id']}/hold"
    return world.client.post(place, json=HOLD, headers=headers)


def test_a_hold_stops_every_erasure_until_it_ends(world: VerifierWorld) -> None:
    """DESIGN 6: explicit, recorded with basis and second approver; claims stay sealed."""
    started, other = verified(world), verified(world)
    supervisor = bearer(world, "supervisor")
    answer = hold(world, started, supervisor)
    assert (answer.status, answer.json()["held_until"]) == (200, HOLD["until"])
    refused = world.call("DELETE", started)
    assert (refused.status, refused.json()["code"]) == (409, "under_legal_hold")
    for days in (0, 1, 40):
        world.clock.advance(days=days)
        erase_due(world.verifier, world.clock())
    assert world.row(other) is None
    row = world.row(started)
    assert row.sealed_claims is not None
    assert b"M\xc3\xb6bius" not in row.sealed_claims
    rows = [each for each in trail(world) if each["act"] == "hold"]
    assert [(each["legal_basis"], each["second_approver"]) for each in rows] == [
        (HOLD["legal_basis"], HOLD["second_approver"])
    ]
    for days in (60, 31):
        world.clock.advance(days=days)
        erase_due(world.verifier, world.clock())
    assert world.row(started) is None


def test_a_return_that_is_rejected_erases_nothing_that_is_held(world: VerifierWorld) -> None:
    """V-50, DESIGN 6: the asker learns nothing, and what somebody is to look into stays."""
    supervisor = bearer(world, "supervisor")
    started = [verified(world, flow="same_device", return_url=RETURN_URL) for _ in range(3)]
    for each in started[:2]:
        assert hold(world, each, supervisor).status == 200
    wrong, late, free = started
    for each in (wrong, free):
        assert world.come_back(each, "another").status == 403
    world.clock.advance(minutes=30)
    erase_due(world.verifier, world.clock())
    assert [world.row(each).state for each in started] == ["rejected"] * 3
    kept = [world.row(each).sealed_claims is not None for each in (wrong, late, free)]
    assert kept == [True, True, False]
    assert all("claims" not in world.result(each) for each in started)


def test_a_lifted_hold_lets_retention_go_on(world: VerifierWorld) -> None:
    started = verified(world)
    supervisor = bearer(world, "supervisor")
    assert hold(world, started, supervisor).status == 200
    place = f"/api/v1/counter/transactions/{started['transaction_id']}/hold"
    assert world.client.delete(place, headers=supervisor).json() == {
        "transaction_id": started["transaction_id"]
    }
    assert world.call("DELETE", started).status == 200
    assert [row["act"] for row in trail(world)].count("lift_hold") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"until": "2027-02-01T00:00:00Z"},
        {"until": "2027-06-01T00:00:00"},
        {"until": "2047-06-01T00:00:00Z"},
        {"until": "soon"},
        {"reason": "Because of Erika"},
        {"legal_basis": ""},
    ],
)
def test_a_hold_needs_an_end_a_code_and_a_basis(
    world: VerifierWorld, changes: dict[str, str]
) -> None:
    started = verified(world)
    place = f"/api/v1/counter/transactions/{started['transaction_id']}/hold"
    answer = world.client.post(place, json=HOLD | changes, headers=bearer(world, "supervisor"))
    assert answer.status == 400
    assert world.row(started).held_until is None
    assert hold(world, started, world.headers()).status == 403


def test_the_trail_is_chained_and_signed(world: VerifierWorld) -> None:
    """DESIGN "Decided": per tenant; any change breaks it; the head verifies with /jwks."""
    verified(world)
    rows = trail(world)
    assert [each["sequence"] for each in rows] == [1, 2]
    assert {each["act"] for each in rows} == {"start", "end"}
    headers = bearer(world, "auditor", client="reader")
    head = world.client.get("/api/v1/counter/audit?after=1", headers=headers).json()["head"]
    key = world.verifier.records_key("counter").public
    claims = jws.verify_jwt(head, key=key, typ=HEAD_TYP, algorithms=("ES256",)).claims
    assert (claims["sequence"], claims["hash"]) == (2, rows[-1]["hash"])
    database = world.verifier.database
    assert TRAIL.check(database, tenant="counter", key=key) == 2
    with database.single() as connection:
        connection.exec_driver_sql("UPDATE audit SET purpose = 'other' WHERE sequence = 1")
    with pytest.raises(VerificationError, match="broken at 1"):
        TRAIL.check(database, tenant="counter", key=key)
    assert world.client.get("/api/v1/counter/audit", headers=world.headers()).status == 403
    assert world.client.get("/api/v1/counter/audit?after=-1", headers=headers).status == 400
