"""The agency's API for offers: what it accepts, what it refuses, what it repeats."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.issuer import TENANT, IssuerWorld, Wallet, code_of, sample_register

OTHER: dict[str, Any] = {**TENANT, "tenant": "harbour", "names": {"en": "Harbour Office"}}


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    register = sample_register(folder)
    made = IssuerWorld.make(folder, database_url, register=register, tenants=(TENANT, OTHER))
    yield made
    made.close()


def test_an_offer_is_answered_with_everything_to_hand_out(world: IssuerWorld) -> None:
    """I-20, I-22, I-23, I-24: by reference and by value, with a Transaction Code, five minutes
    long."""
    offer = world.offer("pid_sd_jwt", "residence_sd_jwt", subject="AV-000001")
    assert offer["state"] == "open"
    assert offer["allowed"] == ["cancel", "renew"]
    assert offer["link"].startswith(
        "openid-credential-offer://?credential_offer_uri=https%3A%2F%2F"
    )
    assert offer["links"]["haip_vci"].startswith("haip-vci://?credential_offer_uri=")
    assert len(offer["tx_code"]) == 6
    value = offer["credential_offer"]
    assert value["credential_issuer"] == "https://issuer.example/registry"
    assert value["credential_configuration_ids"] == ["pid_sd_jwt", "residence_sd_jwt"]
    assert len(code_of(offer)) >= 43  # 256 bits (S-01)
    grant = next(iter(value["grants"].values()))
    assert grant["tx_code"] == {"input_mode": "numeric", "length": 6}
    assert "AV-000001" not in str(offer)  # I-25


def test_an_offer_may_be_for_a_wallet_s_own_endpoint(world: IssuerWorld) -> None:
    """I-24, CERTIFICATION 3: a link to the wallet's https endpoint, its own query kept."""
    place = "https://wallet.example/offer?language=en"
    wanted = {"credentials": ["pid_sd_jwt"], "subject": "AV-000001", "wallet_endpoint": place}
    for _ in range(2):
        offer = world.api("POST", "/offers", wanted, idempotency_key="its own endpoint").json()
        query = parse_qs(urlsplit(offer["links"]["wallet"]).query)
        assert query["credential_offer_uri"] == [offer["credential_offer_uri"]]
        assert offer["links"]["wallet"].startswith(f"{place}&credential_offer_uri=")


def test_an_offer_lies_at_its_own_uri_until_it_is_redeemed(world: IssuerWorld) -> None:
    """I-23, I-25, C-51: application/json, no-store; one 404 for used, foreign, unknown (S-42)."""
    offer = world.offer("pid_sd_jwt", subject="AV-000001")
    path = offer["credential_offer_uri"].removeprefix("https://issuer.example")
    answer = world.client.get(path)
    assert (answer.status, answer.json()) == (200, offer["credential_offer"])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    foreign = world.client.get(path.replace("/registry/", "/harbour/"))
    unknown = world.client.get("/registry/offers/none")
    Wallet(world).redeem(offer)
    used = world.client.get(path)
    assert used.status == unknown.status == foreign.status == 404
    assert used.body == unknown.body == foreign.body


def test_a_transaction_code_may_come_from_the_caller(world: IssuerWorld) -> None:
    """I-22: the code is in a letter already; its shape goes into the offer, itself never."""
    wanted = {"value": "7714-blue", "input_mode": "text", "description": "See the letter."}
    offer = world.offer("pid_sd_jwt", subject="AV-000001", tx_code=wanted)
    grant = next(iter(offer["credential_offer"]["grants"].values()))
    assert grant["tx_code"] == {
        "input_mode": "text", "length": 9, "description": "See the letter."
    }  # fmt: skip
    assert "7714-blue" not in str(offer["credential_offer"])
    assert Wallet(world).token(offer).status == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"credentials": ["pid_sd_jwt"], "subject": "AV-999999"}, 404, "subject_unknown"),
        ({"credentials": ["pid_sd_jwt"], "subject": "AV-000007"}, 409, "subject_deceased"),
        (
            {"credentials": ["residence_sd_jwt"], "subject": "AV-000008"},
            409,
            "subject_address_protected",
        ),
        ({"credentials": ["pid_paper"], "subject": "AV-000001"}, 400, "unknown_configuration"),
        ({"credentials": ["pid_sd_jwt"]}, 400, "subject_missing"),
        ({"credentials": [], "subject": "AV-000001"}, 400, "invalid_input"),
        ({"credentials": ["pid_sd_jwt"], "subject": "AV-000001", "x": 1}, 400, "invalid_input"),
        (
            {"credentials": ["pid_sd_jwt"], "claims": {"pid_sd_jwt": {"family_name": "A"}}},
            422,
            "claims_not_fitting",
        ),
        (
            {"credentials": ["pid_sd_jwt"], "claims": {"pid_sd_jwt": {"vct": "urn:x"}}},
            422,
            "claims_not_fitting",
        ),
        (
            {"credentials": ["pid_sd_jwt"], "subject": "AV-000001", "tx_code": {"value": "12a4"}},
            400,
            "invalid_input",
        ),
        (
            {"credentials": ["pid_sd_jwt"], "subject": "AV-000001", "tx_code": {"value": "123"}},
            400,
            "invalid_input",
        ),
        (
            {"credentials": ["pid_sd_jwt"], "subject": "AV-000001", "expires_in": 5},
            400,
            "invalid_input",
        ),
        (
            {
                "credentials": ["pid_sd_jwt"],
                "subject": "AV-000001",
                "wallet_endpoint": "javascript:alert(1)",
            },
            400,
            "invalid_input",
        ),
    ],
)
def test_what_cannot_be_offered_is_said_as_what_it_is(
    world: IssuerWorld, body: dict[str, Any], status: int, code: str
) -> None:
    """Issue 1, "What bad input gets": missing, refused, withheld and malformed are never merged."""
    before = world.count("offers")
    answer = world.api("POST", "/offers", body)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"whose_fault", "next_step", "support_id"} <= set(answer.json())
    assert world.count("offers") == before


def test_a_missing_claim_is_named(world: IssuerWorld) -> None:
    """F-TM-08: the type's rules are enforced, and the caller learns which claim they miss."""
    claims = {"family_name": "A", "given_name": "B", "address": {"locality": "C", "country": "AV"}}
    body = {"credentials": ["residence_sd_jwt"], "claims": {"residence_sd_jwt": claims}}
    answer = world.api("POST", "/offers", body)
    assert answer.json()["detail"] == "A mandatory claim is missing: address.street_address."


def test_a_protected_address_is_withheld_from_the_pid(world: IssuerWorld) -> None:
    """Issue 1, item 5: who is protected still gets a PID, without the address."""
    wallet = Wallet(world)
    _, response = wallet.collect("pid_sd_jwt", subject="AV-000008")
    assert "Port Avelon" not in response["credentials"][0]["credential"]
    parts = response["credentials"][0]["credential"].split("~")
    from shared.formats.sd_jwt import Disclosure

    names = {Disclosure.parse(each).name for each in parts[1:-1]}
    assert "family_name" in names
    assert not {"address", "street_address", "locality"} & names - {"locality"}


def test_the_same_key_makes_one_offer(world: IssuerWorld) -> None:
    """DESIGN, API: Idempotency-Key; the same codes again, though none is stored in the clear."""
    body = {"credentials": ["pid_sd_jwt"], "subject": "AV-000001"}
    first = world.api("POST", "/offers", body, idempotency_key="letter-1").json()
    again = world.api("POST", "/offers", body, idempotency_key="letter-1").json()
    assert first == again
    another = {**body, "subject": "AV-000002"}
    refused = world.api("POST", "/offers", another, idempotency_key="letter-1")
    assert (refused.status, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert code_of(first) not in world.dump()


def test_offers_are_listed_page_by_page(world: IssuerWorld) -> None:
    """PROFILE S-20: bounded pages, newest first, each offer once."""
    made = []
    for _ in range(5):
        world.clock.advance(seconds=1)
        made.append(world.offer("pid_sd_jwt", subject="AV-000001")["offer_id"])
    seen: list[str] = []
    after = ""
    while len(seen) < 6:
        page = world.api("GET", f"/offers?limit=2{after}").json()
        seen += [each["offer_id"] for each in page["offers"]]
        after = f"&after={page['next']}"
    assert seen[:5] == made[::-1]
    assert len(set(seen)) == len(seen)
    for wrong in ("?limit=0", "?limit=1000", "?limit=x", "?after=zzz"):
        assert world.api("GET", f"/offers{wrong}").status == 400


def test_a_list_shows_no_codes(world: IssuerWorld) -> None:
    """S-01: codes are in the answer that made them, links with the single offer, none in a list."""
    offer = world.offer("pid_sd_jwt", subject="AV-000001")
    single = world.api("GET", f"/offers/{offer['offer_id']}").json()
    assert single["link"] == offer["link"]
    assert "tx_code" not in single
    assert "credential_offer" not in single
    assert "link" not in world.api("GET", "/offers?limit=1").json()["offers"][0]


def test_a_cancelled_offer_is_dead_with_everything_made_from_it(world: IssuerWorld) -> None:
    """Issue 1, item 5: cancel; also a token that was already fetched (401 invalid_token)."""
    wallet = Wallet(world)
    open_offer = world.offer("pid_sd_jwt", subject="AV-000001")
    redeemed = world.offer("pid_sd_jwt", subject="AV-000001")
    token = wallet.redeem(redeemed)
    for each in (open_offer, redeemed):
        answer = world.api("POST", f"/offers/{each['offer_id']}/cancel")
        assert (answer.status, answer.json()["state"]) == (200, "cancelled")
    assert wallet.token(open_offer).json()["error"] == "invalid_grant"
    refused = wallet.request(token, wallet.credential_request("pid_sd_jwt"))
    assert (refused.status, refused.json()["error"]) == (401, "invalid_token")
    again = world.api("POST", f"/offers/{open_offer['offer_id']}/cancel")
    assert (again.status, again.json()["code"]) == (409, "offer_ended")


def test_a_collected_offer_can_only_be_revoked(world: IssuerWorld) -> None:
    """PAIN_POINTS, agencies 13: nothing is cancelled silently; the answer says what to do."""
    offer, _ = Wallet(world).collect("pid_sd_jwt", subject="AV-000001")
    for move in ("cancel", "renew"):
        answer = world.api("POST", f"/offers/{offer['offer_id']}/{move}")
        assert (answer.status, answer.json()["code"]) == (409, "offer_ended")
        assert "Revoke" in answer.json()["next_step"]
    assert world.api("GET", f"/offers/{offer['offer_id']}").json()["state"] == "collected"


def test_an_uncollected_offer_is_renewed_with_one_call(world: IssuerWorld) -> None:
    """DESIGN, "Decided": new link, the Transaction Code of the letter stays; old code dead."""
    wallet = Wallet(world)
    offer = world.offer("pid_sd_jwt", subject="AV-000001")
    token = wallet.redeem(offer)  # and the answer was lost
    renewed = world.api("POST", f"/offers/{offer['offer_id']}/renew").json()
    assert renewed["tx_code"] == offer["tx_code"]
    assert code_of(renewed) != code_of(offer)
    assert wallet.token(offer).status == 400
    assert wallet.request(token, wallet.credential_request("pid_sd_jwt")).status == 401
    assert wallet.credentials(wallet.redeem(renewed), "pid_sd_jwt")["credentials"]


def test_an_expired_offer_is_renewed_too(world: IssuerWorld) -> None:
    """I-22: five minutes; then invalid_grant until the agency renews it."""
    wallet = Wallet(world)
    offer = world.offer("pid_sd_jwt", subject="AV-000001")
    world.clock.advance(seconds=300)
    assert wallet.token(offer).json()["error"] == "invalid_grant"
    assert world.api("GET", f"/offers/{offer['offer_id']}").json()["state"] == "expired"
    renewed = world.api("POST", f"/offers/{offer['offer_id']}/renew", {"new_tx_code": True}).json()
    assert wallet.redeem(renewed)


def test_the_qr_code_is_drawn_on_demand(world: IssuerWorld) -> None:
    """PERFORMANCE 3: SVG for print; none once the offer has ended."""
    offer = world.offer("pid_sd_jwt", subject="AV-000001")
    picture = world.api("GET", f"/offers/{offer['offer_id']}/qr.svg")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.body.startswith(b"<?xml")
    world.api("POST", f"/offers/{offer['offer_id']}/cancel")
    assert world.api("GET", f"/offers/{offer['offer_id']}/qr.svg").status == 404


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("POST", "/offers", "read"),
        ("GET", "/offers", "offers"),
        ("POST", "/issuances/find", "offers"),
        ("POST", "/issuances/iss_x/revoke", "offers"),
    ],
)
def test_each_role_has_its_calls(world: IssuerWorld, method: str, path: str, role: str) -> None:
    """RFC 6749, section 4.4; issue 1, item 5: OAuth client credentials."""
    missing = world.client.request(method, f"/api/v1/registry{path}", json={})
    assert (missing.status, missing.json()["code"]) == (401, "invalid_token")
    token = world.api_token("registry", role)
    assert world.api(method, path, {}, token=token).status == 403


def test_no_tenant_sees_another_one(world: IssuerWorld) -> None:
    """PAIN_POINTS, agencies 21: a foreign id is a 404 on every route, a foreign token a 401."""
    offer, _ = Wallet(world).collect("pid_sd_jwt", subject="AV-000001")
    issuance = world.api("GET", "/issuances?limit=1").json()["issuances"][0]["issuance_id"]
    harbour = world.api_token("harbour")
    headers = {"Authorization": f"Bearer {harbour}"}
    reason = {"reason": "withdrawn"}
    for method, path, body in (
        ("GET", f"/offers/{offer['offer_id']}", None),
        ("GET", f"/offers/{offer['offer_id']}/qr.svg", None),
        ("POST", f"/offers/{offer['offer_id']}/cancel", None),
        ("POST", f"/offers/{offer['offer_id']}/renew", None),
        ("GET", f"/issuances/{issuance}", None),
        ("POST", f"/issuances/{issuance}/revoke", reason),
        ("POST", f"/issuances/{issuance}/suspend", reason | {"reason": "under_review"}),
        ("POST", f"/issuances/{issuance}/reinstate", reason | {"reason": "found"}),
        ("POST", "/issuances/revoke", reason | {"subject": "AV-000001"}),
    ):
        foreign = world.client.request(method, f"/api/v1/harbour{path}", json=body, headers=headers)
        assert foreign.status == 404, path
        borrowed = world.api(method, path, body, token=harbour)
        assert borrowed.status == 401, path
    assert world.client.get("/api/v1/harbour/issuances", headers=headers).json()["issuances"] == []
