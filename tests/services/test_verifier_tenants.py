"""Tenants of one verifier are strangers to each other: every route, with a foreign tenant's ids."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.trust import Role
from tests.support.verifier import (
    PUBLIC_URL,
    RETURN_URL,
    TENANT,
    HolderWallet,
    VerifierWorld,
    signer,
)
from verifier_service.records import chain_all
from verifier_service.routes import (
    events,
    present,
    records,
    requests,
    responses,
    token,
    transactions,
    webhooks,
)
from verifier_service.routes.asking import ROLES

HOOK = "https://portal.example/hook"
OURS: dict[str, Any] = TENANT | {"webhook_url": HOOK}
BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/{tenant}/transactions": {"query": "over_18"},
    "/api/v1/{tenant}/transactions/{transaction_id}/return": {"response_code": "x"},
    "/api/v1/{tenant}/transactions/{transaction_id}/override": {"reason": "known_to_clerk"},
    "/api/v1/{tenant}/transactions/{transaction_id}/hold": {
        "until": "2027-03-02T00:00:00Z",
        "reason": "court",
        "legal_basis": "Act 7",
    },
}
_ROUTERS = (transactions.router, records.router, webhooks.router)
AGENCY = sorted(
    (method, route.path)
    for router in _ROUTERS
    for route in router.routes
    for method in sorted((route.methods or set()) - {"HEAD"})
)


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    with VerifierWorld.make(
        tmp_path_factory.mktemp("verifier"),
        database_url,
        tenants={"counter": OURS, "library": OURS},
    ) as made:
        yield made


@pytest.fixture(scope="module")
def bearers(world: VerifierWorld) -> dict[str, str]:
    """By tenant, the token of a client with every role."""
    found = {}
    for tenant in ("counter", "library"):
        secret = world.verifier.clients.register(tenant, f"all-{world.client_id}", ROLES)
        found[tenant] = world.sign_in(tenant, f"all-{world.client_id}", secret)
    return found


@pytest.fixture(scope="module")
def theirs(world: VerifierWorld) -> dict[str, Any]:
    """An ended transaction of the counter, with a message to its webhook and audit rows."""
    started = world.start("identity")
    wallet = HolderWallet(world)
    assert wallet.answer(wallet.open(started["link"])).status == 200
    return started


def path(template: str, tenant: str, started: dict[str, Any]) -> str:
    return template.format(
        tenant=tenant,
        transaction_id=started["transaction_id"],
        message_id=f"{started['transaction_id']}:verified",
    )


@pytest.mark.parametrize(("method", "template"), AGENCY)
def test_a_token_of_one_tenant_opens_no_route_of_another(
    world: VerifierWorld,
    bearers: dict[str, str],
    theirs: dict[str, Any],
    method: str,
    template: str,
) -> None:
    """Issue item 4: the path names the other tenant, the token is ours."""
    answer = world.client.request(
        method,
        path(template, "counter", theirs),
        headers={
            "Authorization": f"Bearer {bearers['library']}",
            "Transaction-Secret": theirs["secret"],
        },
        json=BODIES.get(template),
    )
    assert answer.status in {401, 403}, answer.text
    assert theirs["transaction_id"] not in answer.text


@pytest.mark.parametrize(
    ("method", "template"),
    [each for each in AGENCY if "transaction_id" in each[1] or "message" in each[1]],
)
def test_ids_of_one_tenant_are_unknown_under_another(
    world: VerifierWorld,
    bearers: dict[str, str],
    theirs: dict[str, Any],
    method: str,
    template: str,
) -> None:
    """Issue item 4: our path and token, their id and even their secret: there is no such thing."""
    before = world.row(theirs)
    answer = world.client.request(
        method,
        path(template, "library", theirs),
        headers={
            "Authorization": f"Bearer {bearers['library']}",
            "Transaction-Secret": theirs["secret"],
        },
        json=BODIES.get(template),
    )
    assert answer.status == 404, answer.text
    assert world.row(theirs) == before


@pytest.mark.parametrize("template", ["/api/v1/{tenant}/audit", "/api/v1/{tenant}/webhooks"])
def test_lists_hold_only_what_is_of_the_tenant(
    world: VerifierWorld, bearers: dict[str, str], theirs: dict[str, Any], template: str
) -> None:
    """Issue item 4."""
    from verifier_service.retention import erase_due

    erase_due(world.verifier, world.clock())
    chain_all(world.verifier, world.clock())
    read = {
        tenant: world.client.get(
            template.format(tenant=tenant), headers={"Authorization": f"Bearer {bearer}"}
        )
        for tenant, bearer in bearers.items()
    }
    assert theirs["transaction_id"] in read["counter"].text
    assert theirs["transaction_id"] not in read["library"].text
    assert {each.status for each in read.values()} == {200}


def test_what_wallets_and_browsers_open_is_of_its_tenant_alone(world: VerifierWorld) -> None:
    """V-02: the paths of requests, answers and pages carry the tenant, and it counts."""
    started = world.start("over_18", flow="dc_api", return_url=RETURN_URL)
    row = world.row(started)
    for method, place in (
        ("GET", f"request/{row.request_id}"),
        ("POST", f"request/{row.request_id}"),
        ("POST", f"response/{row.request_id}"),
        ("GET", f"present/{row.id}"),
        ("GET", f"present/{row.id}/return?response_code=x"),
        ("GET", f"present/{row.id}/state"),
    ):
        form = {"response": "a.b.c.d.e"} if place.startswith("response") else None
        assert world.client.request(method, f"/library/{place}", form=form).status == 404, place
    for place in ("request", "answer"):
        answer = world.client.post(
            f"/library/present/{row.id}/{place}",
            json={"protocol": "openid4vp-v1-signed", "data": {"response": "a.b.c.d.e"}},
        )
        assert answer.status == 404, place
    for place in ("request", "answer"):
        answer = world.client.post(
            f"/library/present/{row.id}/embedded/{place}",
            form={"ticket": "A" * 43, "response": "a.b.c.d.e"},
            headers={"Origin": "https://portal.example"},
        )
        assert answer.status in {403, 404}, place
    assert world.row(started) == row


def test_every_route_is_one_of_these() -> None:
    """A new route has to be walked, too."""
    walked = {template for _, template in AGENCY}
    pages = {each.path for each in (*present.pages.routes, *present.answers.routes)}
    others = {
        *(each.path for each in (*requests.router.routes, *responses.router.routes)),
        *(each.path for each in (*token.router.routes, *records.keys.routes)),
        *(each.path for each in events.router.routes if hasattr(each, "path")),
    }
    assert walked == {
        "/api/v1/{tenant}/queries",
        "/api/v1/{tenant}/transactions",
        "/api/v1/{tenant}/transactions/{transaction_id}",
        "/api/v1/{tenant}/transactions/{transaction_id}/return",
        "/api/v1/{tenant}/transactions/{transaction_id}/override",
        "/api/v1/{tenant}/transactions/{transaction_id}/hold",
        "/api/v1/{tenant}/audit",
        "/api/v1/{tenant}/webhooks",
        "/api/v1/{tenant}/webhooks/{message_id}/replay",
    }
    assert pages == {
        "/{tenant}/present/{transaction_id}",
        "/{tenant}/present/{transaction_id}/return",
        "/{tenant}/present/{transaction_id}/state",
        "/{tenant}/present/{transaction_id}/request",
        "/{tenant}/present/{transaction_id}/answer",
        "/{tenant}/present/{transaction_id}/embedded/request",
        "/{tenant}/present/{transaction_id}/embedded/answer",
    }
    assert others == {
        "/{tenant}/request/{request_id}",
        "/{tenant}/response/{request_id}",
        "/api/v1/{tenant}/token",
        "/{tenant}/jwks",
        "/api/v1/{tenant}/transactions/{transaction_id}/events",
    }


def test_the_events_of_another_tenant_are_not_heard(
    world: VerifierWorld, bearers: dict[str, str], theirs: dict[str, Any]
) -> None:
    """V-52."""
    for tenant, expected in (("counter", {401, 403}), ("library", {404})):
        answer = world.client.get(
            f"/api/v1/{tenant}/transactions/{theirs['transaction_id']}/events",
            headers={
                "Authorization": f"Bearer {bearers['library']}",
                "Transaction-Secret": theirs["secret"],
            },
        )
        assert answer.status in expected


def test_each_tenant_has_keys_of_its_own(world: VerifierWorld) -> None:
    """C-10: what one signs, receipts or requests, the other did not."""
    keys = [world.client.get(f"/{tenant}/jwks").json()["keys"] for tenant in ("counter", "library")]
    assert keys[0][0]["x"] != keys[1][0]["x"]
    assert signer(Role.ACCESS, "counter").public != signer(Role.ACCESS, "library").public
    assert PUBLIC_URL.startswith("https://")
