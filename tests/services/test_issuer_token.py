"""The token endpoint: codes are good once, guesses are counted, tokens are bound (PROFILE 5.9)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from tests.support.attested import AttestedWallet
from tests.support.issuer import GRANT, TENANT, IssuerWorld, Wallet, code_of, sample_register

STRICT: dict[str, Any] = {
    **TENANT, "tenant": "strict", "wallets_without_attestation": False, "dpop_nonce": True
}  # fmt: skip


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    register = sample_register(folder)
    made = IssuerWorld.make(folder, database_url, register=register, tenants=(TENANT, STRICT))
    yield made
    made.close()


@pytest.fixture
def offer(world: IssuerWorld) -> dict[str, Any]:
    return world.offer("pid_sd_jwt", "residence_sd_jwt", subject="AV-000001")


def test_a_token_is_opaque_bound_and_short_lived(world: IssuerWorld, offer: dict[str, Any]) -> None:
    """I-53, I-36, C-51: 256 bits, token_type DPoP, 300 s, no-store; no authorization_details."""
    answer = Wallet(world).token(offer)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("DPoP", 300)
    assert len(body["access_token"]) == 87  # two ids, and 256 bits


def test_a_code_is_good_once(world: IssuerWorld, offer: dict[str, Any]) -> None:
    """T-03, I-22, S-02: the second time is refused, and says how to go on."""
    wallet = Wallet(world)
    wallet.redeem(offer)
    again = wallet.token(offer)
    assert (again.status, again.json()["error"]) == (400, "invalid_grant")
    assert "renew" in again.json()["error_description"]


def test_a_code_used_twice_stops_what_was_made_from_it(
    world: IssuerWorld, offer: dict[str, Any]
) -> None:
    """T-03, PAIN_POINTS, agencies 39: an uncollected token dies with the second use."""
    first, second = Wallet(world), Wallet(world)
    token = first.redeem(offer)
    assert second.token(offer).status == 400
    refused = first.request(token, first.credential_request("pid_sd_jwt"))
    assert (refused.status, refused.json()["error"]) == (401, "invalid_token")
    with world.issuer.database.reading() as connection:
        acts = connection.exec_driver_sql(
            f"SELECT act FROM audit WHERE object = '{offer['offer_id']}' ORDER BY act"  # noqa: S608
        )
        assert list(acts.scalars()) == ["code_used_twice", "offer_created"]


def test_a_code_without_its_transaction_code_stops_nothing(
    world: IssuerWorld, offer: dict[str, Any]
) -> None:
    """I-22: the code alone is no secret; who has only it cannot harm the one who has both."""
    wallet = Wallet(world)
    token = wallet.redeem(offer)
    assert Wallet(world).token(offer, tx_code="000000").status == 400
    assert wallet.credentials(token, "pid_sd_jwt")["credentials"]


def test_five_wrong_transaction_codes_lock_the_offer(
    world: IssuerWorld, offer: dict[str, Any]
) -> None:
    """I-51, S-21: counted in the database; then the right one does not help either."""
    wallet = Wallet(world)
    wrong = f"{(int(offer['tx_code']) + 1) % 10**6:06d}"
    for left in (4, 3, 2, 1, 0):
        answer = wallet.token(offer, tx_code=wrong)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_grant")
        assert answer.headers["tx-code-tries-left"] == str(left)
    refused = wallet.token(offer)
    assert refused.json()["error"] == "invalid_grant"
    assert refused.headers["tx-code-tries-left"] == "0"
    shown = world.api("GET", f"/offers/{offer['offer_id']}").json()
    assert (shown["state"], shown["allowed"]) == ("locked", ["cancel", "renew"])
    renewed = world.api("POST", f"/offers/{offer['offer_id']}/renew").json()
    assert wallet.redeem(renewed)


def test_four_wrong_transaction_codes_do_not(world: IssuerWorld, offer: dict[str, Any]) -> None:
    """I-51: the twin of the refusal."""
    wallet = Wallet(world)
    for _ in range(4):
        wallet.token(offer, tx_code="wrong!")
    assert wallet.redeem(offer)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"tx_code": None}, "invalid_request"),
        ({"pre-authorized_code": None}, "invalid_request"),
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "x", "redirect_uri": "https://a.example"},
         "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"pre-authorized_code": "0" * 43}, "invalid_grant"),
        ({"authorization_details": "[]"}, "invalid_authorization_details"),
        ({"authorization_details": json.dumps(
            [{"type": "openid_credential", "credential_configuration_id": "other"}])},
         "invalid_authorization_details"),
        ({"headers": {}}, "invalid_dpop_proof"),
        ({"headers": {"DPoP": "x.y.z"}}, "invalid_dpop_proof"),
    ],
)  # fmt: skip
def test_a_refused_token_request_consumes_nothing(
    world: IssuerWorld, offer: dict[str, Any], changes: dict[str, Any], error: str
) -> None:
    """I-51, I-52, I-55, I-56, I-95: the registered code, and the offer is still good."""
    wallet = Wallet(world)
    answer = wallet.token(offer, **changes)
    assert (answer.status, answer.json()["error"]) == (400, error)
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers["cache-control"] == "no-store"
    assert wallet.redeem(offer)


def test_unknown_parameters_are_ignored(world: IssuerWorld, offer: dict[str, Any]) -> None:
    """C-32: in requests too."""
    assert Wallet(world).token(offer, colour="blue").status == 200


def test_a_repeated_parameter_is_refused(world: IssuerWorld, offer: dict[str, Any]) -> None:
    """I-55, C-31."""
    wallet = Wallet(world)
    form = [
        ("grant_type", GRANT), ("pre-authorized_code", code_of(offer)),
        ("tx_code", offer["tx_code"]), ("tx_code", offer["tx_code"]),
    ]  # fmt: skip
    headers = {"DPoP": wallet.dpop("token")}
    answer = world.client.post("/registry/token", form=form, headers=headers)
    assert answer.json()["error"] == "invalid_request"


def test_only_forms_are_read(world: IssuerWorld, offer: dict[str, Any]) -> None:
    """I-55: the Content-Type must be form-urlencoded; GET is not allowed."""
    wallet = Wallet(world)
    headers = {"DPoP": wallet.dpop("token")}
    body = {"grant_type": GRANT, "pre-authorized_code": code_of(offer)}
    answer = world.client.post("/registry/token", json=body, headers=headers)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert world.client.get("/registry/token").status == 405


def test_a_proof_is_good_once(world: IssuerWorld, offer: dict[str, Any]) -> None:
    """T-04, I-33, S-02: jti twice is refused, at the token endpoint as elsewhere."""
    wallet = Wallet(world)
    proof = {"DPoP": wallet.dpop("token")}
    assert wallet.token(offer, tx_code="000000x", headers=proof).json()["error"] == "invalid_grant"
    again = wallet.token(offer, headers=proof)
    assert (again.status, again.json()["error"]) == (400, "invalid_dpop_proof")


def test_a_token_may_cover_less_than_was_offered(world: IssuerWorld, offer: dict[str, Any]) -> None:
    """I-52, I-53, I-66: details narrow; then credential_identifier is the way to ask."""
    wallet = Wallet(world)
    details = [{"type": "openid_credential", "credential_configuration_id": "pid_sd_jwt"}]
    answer = wallet.token(offer, authorization_details=json.dumps(details)).json()
    granted = answer["authorization_details"]
    assert [each["credential_configuration_id"] for each in granted] == ["pid_sd_jwt"]
    identifier = granted[0]["credential_identifiers"][0]
    body = wallet.credential_request("pid_sd_jwt")
    wrong = wallet.request(answer["access_token"], body)
    assert wrong.json()["error"] == "invalid_credential_request"
    del body["credential_configuration_id"]
    body["credential_identifier"] = "residence_sd_jwt"
    unknown = wallet.request(answer["access_token"], body)
    assert unknown.json()["error"] == "unknown_credential_identifier"
    body["credential_identifier"] = identifier
    assert wallet.request(answer["access_token"], body).status == 200


def _offer(world: IssuerWorld, tenant: str) -> dict[str, Any]:
    token = world.api_token(tenant)
    answer = world.client.post(
        f"/api/v1/{tenant}/offers",
        json={"credentials": ["pid_sd_jwt"], "subject": "AV-000001"},
        headers={"Authorization": f"Bearer {token}"},
    )
    made: dict[str, Any] = answer.json()
    return made


def test_a_tenant_that_demands_attestation_refuses_wallets_without(world: IssuerWorld) -> None:
    """I-28, T-01: 401 invalid_client, and the code is not consumed."""
    offer = _offer(world, "strict")
    wallet = AttestedWallet(world, tenant="strict")
    bare = wallet.token(offer, headers={"DPoP": wallet.dpop_with_nonce("token")})
    assert (bare.status, bare.json()["error"]) == (401, "invalid_client")
    headers = {"DPoP": wallet.dpop_with_nonce("token"), **wallet.attested()}
    assert wallet.token(offer, headers=headers).status == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"audience": "https://issuer.example/strict/token"}, 401, "invalid_client"),
        ({"signer": SoftwareKey.generate()}, 401, "invalid_client"),
        ({"client_id": "https://other.example"}, 401, "invalid_client"),
        ({"challenge": None}, 400, "use_attestation_challenge"),
        ({"challenge": "made-up"}, 400, "use_attestation_challenge"),
    ],
)
def test_a_wrong_attestation_is_refused(
    world: IssuerWorld, changes: dict[str, Any], status: int, error: str
) -> None:
    """T-01, I-31, I-32: PoP by another key, for another audience, without our challenge."""
    wallet = AttestedWallet(world, tenant="strict")
    headers = {"DPoP": wallet.dpop_with_nonce("token"), **wallet.attested(**changes)}
    answer = wallet.token(_offer(world, "strict"), headers=headers)
    assert (answer.status, answer.json()["error"]) == (status, error)
    if error == "use_attestation_challenge":
        assert answer.headers["oauth-client-attestation-challenge"]


def test_an_attestation_pop_is_good_once(world: IssuerWorld) -> None:
    """I-32, S-02: its jti is kept for the window."""
    wallet = AttestedWallet(world, tenant="strict")
    attested = wallet.attested()
    first = wallet.token(
        _offer(world, "strict"), headers={"DPoP": wallet.dpop_with_nonce("token"), **attested}
    )
    again = wallet.token(
        _offer(world, "strict"), headers={"DPoP": wallet.dpop_with_nonce("token"), **attested}
    )
    assert (first.status, again.status) == (200, 401)
    assert again.json()["error"] == "invalid_client"


def test_a_dpop_nonce_is_demanded_where_the_tenant_wants_it(world: IssuerWorld) -> None:
    """I-34: 400 with DPoP-Nonce at the AS, 401 with a challenge at the resource; never shared."""
    wallet = AttestedWallet(world, tenant="strict")
    offer = _offer(world, "strict")
    refused = wallet.token(offer, headers={"DPoP": wallet.dpop("token"), **wallet.attested()})
    assert (refused.status, refused.json()["error"]) == (400, "use_dpop_nonce")
    nonce = refused.headers["dpop-nonce"]
    headers = {"DPoP": wallet.dpop("token", nonce=nonce), **wallet.attested()}
    token = wallet.token(offer, headers=headers).json()["access_token"]
    body = wallet.credential_request("pid_sd_jwt", client_id="https://wallet.example")
    proof = wallet.dpop("credential", access_token=token, nonce=nonce)
    again = wallet.request(token, body, dpop=proof)
    assert (again.status, again.json()["error"]) == (401, "use_dpop_nonce")
    assert again.headers["www-authenticate"].startswith('DPoP error="use_dpop_nonce"')
    proof = wallet.dpop("credential", access_token=token, nonce=again.headers["dpop-nonce"])
    assert wallet.request(token, body, dpop=proof).status == 200


def test_a_token_of_another_tenant_is_unknown(world: IssuerWorld) -> None:
    """S-05: neither codes nor tokens cross tenants."""
    wallet = Wallet(world, tenant="registry")
    assert wallet.token(_offer(world, "strict")).json()["error"] == "invalid_grant"
