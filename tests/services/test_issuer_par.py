"""The PAR endpoint and what a person may do with a pushed request (PROFILE 5.7, 5.8)."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from issuer_service import authorizations
from issuer_service.authorizations import AnotherPerson, RequestGone
from shared.crypto.software import SoftwareKey
from shared.formats.status_list import StatusList, sign_token
from shared.formats.status_states import Status
from shared.oauth import dpop
from shared.trust import Role
from tests.support.asgi import AsgiClient
from tests.support.attested import CLIENT_ID, AttestedWallet
from tests.support.issuer import TENANT, IssuerWorld, sample_register

STRICT: dict[str, Any] = {**TENANT, "tenant": "strict", "wallets_without_attestation": False}
NARROW: dict[str, Any] = {
    **STRICT,
    "tenant": "narrow",
    "wallets_without_attestation": True,
    "redirect_uris": {CLIENT_ID: ["https://wallet.example/only"], "plain": ["https://a.example/b"]},
    "dpop_nonce": True,
}


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    register = sample_register(folder)
    tenants = (TENANT, STRICT, NARROW)
    made = IssuerWorld.make(folder, database_url, register=register, tenants=tenants)
    yield made
    made.close()


@pytest.fixture
def wallet(world: IssuerWorld) -> AttestedWallet:
    return AttestedWallet(world, tenant="strict")


def test_a_request_is_pushed(wallet: AttestedWallet) -> None:
    """I-40, I-41, S-01: 201, a URN with 256 bits, its life, no-store; a challenge rides along."""
    answer = wallet.push()
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert set(body) == {"request_uri", "expires_in"}
    assert body["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    assert len(body["request_uri"].rpartition(":")[2]) == 22 + 43
    assert body["expires_in"] == 90
    assert answer.headers["oauth-client-attestation-challenge"]


def test_a_request_is_stored_without_its_secret(wallet: AttestedWallet) -> None:
    """S-01: neither request_uri nor code nor who logged in is in the database."""
    pushed = wallet.push()
    secret = pushed.json()["request_uri"].rpartition(":")[2]
    code = wallet.agreed(pushed, "AV-000001")["code"]
    dump = wallet.world.dump()
    assert secret[22:] not in dump
    assert code[22:] not in dump
    assert "AV-000001" not in dump


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": "http://wallet.example/callback"}, "invalid_request"),
        ({"redirect_uri": "javascript:alert(1)"}, "invalid_request"),
        ({"redirect_uri": "https://wallet.example/callback#part"}, "invalid_request"),
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
        ({"request": "e30.e30."}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "openid unknown"}, "invalid_scope"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"issuer_state": "unknown"}, "invalid_request"),
        ({"dpop_jkt": "short"}, "invalid_request"),
        ({"dpop_jkt": "A" * 43}, "invalid_request"),
        ({"state": "\n"}, "invalid_request"),
        ({"state": "s" * 5_000}, "invalid_request"),
        ({"client_id": None}, "invalid_request"),
        ({"authorization_details": "{}"}, "invalid_authorization_details"),
        ({"authorization_details": '[{"type": "other"}]'}, "invalid_authorization_details"),
    ],
)
def test_a_refused_request(wallet: AttestedWallet, changes: dict[str, Any], error: str) -> None:
    """T-01, I-40, I-42, I-43, I-95: the registered code, and nothing was stored."""
    before = wallet.world.count("authorizations")
    answer = wallet.push(**changes)
    assert (answer.status, answer.json()["error"]) == (400, error)
    assert answer.headers["cache-control"] == "no-store"
    assert wallet.world.count("authorizations") == before


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://other.example/back?dummy1=lorem&dummy2=ipsum",
        "eu.europa.ec.euidi://authorization",
        "http://127.0.0.1:4711/callback",
    ],
)
def test_an_attested_wallet_says_where_it_is(wallet: AttestedWallet, redirect_uri: str) -> None:
    """I-43, ADR 0011: https, an app's own scheme, this machine; its query is kept."""
    wallet.redirect_uri = redirect_uri
    answer = wallet.push()
    request = wallet.begin(answer.json()["request_uri"])
    url = authorizations.grant(wallet.world.issuer, request, subject="AV-000001")
    assert url.startswith(redirect_uri + ("&" if "?" in redirect_uri else "?") + "code=")


def test_a_tenant_may_write_down_where_wallets_are(world: IssuerWorld) -> None:
    """I-43, ADR 0011: then nothing else is taken, and other wallets are free as before."""
    wallet = AttestedWallet(world, tenant="narrow")
    assert wallet.push().json()["error"] == "invalid_request"
    wallet.redirect_uri = "https://wallet.example/only"
    assert wallet.push().status == 201
    other = AttestedWallet(world, tenant="narrow", client_id="https://other.example")
    assert other.push().status == 201


def test_a_wallet_without_attestation_needs_a_place_that_is_known(world: IssuerWorld) -> None:
    """I-43, ADR 0011: a redirect to wherever somebody says would be an open one (C-55)."""
    wallet = AttestedWallet(world, tenant="narrow", client_id="plain")

    def push(redirect_uri: str) -> int:
        proof = {"DPoP": wallet.dpop_with_nonce("par")}
        return wallet.push(headers=proof, redirect_uri=redirect_uri).status

    assert (push("https://a.example/b"), push("https://a.example/c")) == (201, 400)
    stranger = AttestedWallet(world, tenant="registry", client_id="stranger")
    assert stranger.push(headers={"DPoP": stranger.dpop("par")}).status == 400


@pytest.mark.parametrize(
    ("attestation", "pop", "status", "error"),
    [
        ({"lifetime": timedelta(minutes=-10)}, {}, 401, "invalid_client"),
        ({"client_id": ""}, {}, 401, "invalid_client"),
        ({"signer": SoftwareKey.generate()}, {}, 401, "invalid_client"),
        ({"key": SoftwareKey.generate().public}, {}, 401, "invalid_client"),
        ({}, {"audience": "https://issuer.example/strict/par"}, 401, "invalid_client"),
        ({}, {"signer": SoftwareKey.generate()}, 401, "invalid_client"),
        ({}, {"challenge": None}, 400, "use_attestation_challenge"),
    ],
)
def test_a_wrong_attestation_is_refused(
    wallet: AttestedWallet,
    attestation: dict[str, Any],
    pop: dict[str, Any],
    status: int,
    error: str,
) -> None:
    """T-01, I-30 to I-32: expired, without sub, foreign signer, other key, other audience."""
    wallet.attestation = attestation
    headers = {"DPoP": wallet.dpop("par"), **wallet.attested(**pop)}
    answer = wallet.push(headers=headers)
    assert (answer.status, answer.json()["error"]) == (status, error)


def test_who_does_not_say_who_it_is_is_refused(wallet: AttestedWallet) -> None:
    """T-01, I-28: and a client_id that is not the attested one, too (I-32)."""
    bare = wallet.push(headers={"DPoP": wallet.dpop("par")})
    assert (bare.status, bare.json()["error"]) == (401, "invalid_client")
    other = wallet.push(client_id="https://other.example")
    assert (other.status, other.json()["error"]) == (401, "invalid_client")


def test_an_attestation_counts_as_long_as_its_provider_stands_by_it(
    world: IssuerWorld, wallet: AttestedWallet
) -> None:
    """I-30, ST-51, ST-54: revoked is 401; while nobody knows 503, and nothing was consumed."""
    provider = "https://provider.example"
    uri = f"{provider}/statuslists/1"
    listed = StatusList.empty(2, 2**17)
    listed.set(7, Status.INVALID)
    token = sign_token(
        listed,
        uri=uri,
        signer=world.trust.provider.signer(Role.STATUS),
        now=world.clock(),
        ttl=timedelta(hours=1),
    )

    def push(index: int) -> tuple[int, str | None]:
        wallet.attestation = {"status": {"status_list": {"idx": index, "uri": uri}}}
        answer = wallet.push()
        return answer.status, answer.json().get("error")

    assert push(3) == (503, "temporarily_unavailable")

    def served(_: Request) -> Response:
        return Response(token, media_type="application/statuslist+jwt")

    with AsgiClient(Starlette(routes=[Route("/statuslists/1", served)])) as client:
        world.neighbours[provider] = client
        world.clock.advance(minutes=1)  # a failed fetch is tried again
        assert [push(3), push(7)] == [(201, None), (401, "invalid_client")]
        del world.neighbours[provider]
    wallet.attestation = {"status": {"status_list": {"idx": "3", "uri": uri}}}
    assert wallet.push().status == 401


def test_a_challenge_is_good_for_a_slow_login(wallet: AttestedWallet) -> None:
    """I-26, CERTIFICATION 2.2.3: reusable for minutes, also after a login; then it has ended."""
    challenge = wallet.world.client.post("/strict/challenge").json()["attestation_challenge"]

    def push() -> int:
        headers = {"DPoP": wallet.dpop("par"), **wallet.attested(challenge=challenge)}
        return wallet.push(headers=headers).status

    try:
        assert push() == push() == 201
        wallet.world.clock.advance(minutes=11)
        assert push() == 201
        wallet.world.clock.advance(minutes=5)
        assert push() == 400
    finally:
        wallet.world.clock.advance(minutes=-16)


def test_an_old_attestation_is_not_fresh(wallet: AttestedWallet) -> None:
    """I-32: where the operator sets an age, its own end does not count alone."""
    settings = wallet.world.issuer.settings
    object.__setattr__(settings, "attestation_max_age_seconds", 60)
    try:
        assert wallet.push().status == 201
        wallet.attestation = {"now": wallet.world.clock() - timedelta(minutes=2)}
        answer = wallet.push()
        assert (answer.status, answer.json()["error"]) == (400, "use_fresh_attestation")
    finally:
        object.__setattr__(settings, "attestation_max_age_seconds", None)


def test_a_dpop_nonce_is_demanded_at_par(world: IssuerWorld) -> None:
    """I-34: as at the token endpoint; without a proof there is nothing to demand it of."""
    wallet = AttestedWallet(world, tenant="narrow", client_id="https://other.example")
    refused = wallet.push(headers={"DPoP": wallet.dpop("par"), **wallet.attested()})
    assert (refused.status, refused.json()["error"]) == (400, "use_dpop_nonce")
    proof = wallet.dpop("par", nonce=refused.headers["dpop-nonce"])
    answer = wallet.push(headers={"DPoP": proof, **wallet.attested()})
    assert answer.status == 201
    assert answer.headers["dpop-nonce"]
    assert wallet.push(headers=wallet.attested()).status == 201


def test_proofs_at_par_are_good_once(wallet: AttestedWallet) -> None:
    """S-02, I-32, I-33: the DPoP jti and the PoP jti."""
    attested, proof = wallet.attested(), wallet.dpop("par")
    assert wallet.push(headers={"DPoP": proof, **attested}).status == 201
    again = wallet.push(headers={"DPoP": proof, **wallet.attested()})
    assert again.json()["error"] == "invalid_dpop_proof"
    again = wallet.push(headers={"DPoP": wallet.dpop("par"), **attested})
    assert again.json()["error"] == "invalid_client"


def test_scope_and_details_choose_what_is_asked_for(wallet: AttestedWallet) -> None:
    """I-42, I-04a: unknown scope values are left out, details count beside them."""
    details = json.dumps(
        [
            {
                "type": "openid_credential",
                "credential_configuration_id": "residence_sd_jwt",
                "locations": [wallet.identifier],
            }
        ]
    )
    scope = wallet.scope("pid_sd_jwt")
    both = wallet.push(authorization_details=details, scope=f"unknown {scope}")
    asked = wallet.begin(both.json()["request_uri"]).configurations
    assert asked[0] == "residence_sd_jwt"
    assert "pid_sd_jwt" in asked
    foreign = details.replace(wallet.identifier, "https://other.example")
    refused = wallet.push(authorization_details=foreign)
    assert refused.json()["error"] == "invalid_authorization_details"


def test_get_is_not_how_to_push(world: IssuerWorld) -> None:
    """T-01: another method, another Content-Type, a repeated parameter."""
    assert world.client.get("/strict/par").status == 405
    assert world.client.request("PUT", "/strict/par").status == 405
    wallet = AttestedWallet(world, tenant="strict")
    headers = {"DPoP": wallet.dpop("par"), **wallet.attested()}
    as_json = world.client.post("/strict/par", json={"client_id": "x"}, headers=headers)
    assert (as_json.status, as_json.json()["error"]) == (400, "invalid_request")
    twice = [("client_id", CLIENT_ID), ("client_id", CLIENT_ID)]
    answer = world.client.post("/strict/par", form=twice, headers=headers)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_a_request_may_be_opened_until_it_is_completed(wallet: AttestedWallet) -> None:
    """I-46, T-02: two page loads work; after consent it is gone for everybody."""
    uri = wallet.push().json()["request_uri"]
    first, second = wallet.begin(uri), wallet.begin(uri)
    assert first == second
    issuer, tenant = wallet.world.issuer, first.tenant
    assert authorizations.resume(issuer, tenant, first.id) == first
    authorizations.grant(issuer, first, subject="AV-000001")
    for act in (
        lambda: wallet.begin(uri),
        lambda: authorizations.resume(issuer, tenant, first.id),
        lambda: authorizations.grant(issuer, second, subject="AV-000001"),
        lambda: authorizations.refuse(issuer, second, error="access_denied"),
    ):
        with pytest.raises(RequestGone):
            act()


def test_a_request_that_nobody_opens_ends(wallet: AttestedWallet) -> None:
    """I-41, T-02: after expires_in; one that was opened lives as long as the login may take."""
    unopened, opened = (wallet.push().json()["request_uri"] for _ in range(2))
    request = wallet.begin(opened)
    clock = wallet.world.clock
    try:
        clock.advance(seconds=91)
        with pytest.raises(RequestGone):
            wallet.begin(unopened)
        assert wallet.begin(opened).id == request.id
        clock.advance(minutes=9)
        with pytest.raises(RequestGone):
            authorizations.grant(wallet.world.issuer, request, subject="AV-000001")
    finally:
        clock.advance(seconds=-91 - 540)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "https://other.example"},
        {"client_id": None},
        {"request_uri": None},
        {"request_uri": "urn:ietf:params:oauth:request_uri:unknown"},
        {"request_uri": "https://wallet.example/request"},
    ],
)
def test_only_pushed_requests_of_this_client_are_opened(
    wallet: AttestedWallet, changes: dict[str, Any]
) -> None:
    """I-46, T-02: without PAR, of another client, unknown: one and the same refusal."""
    uri = wallet.push().json()["request_uri"]
    with pytest.raises(RequestGone):
        wallet.begin(**{"request_uri": uri, **changes})
    with pytest.raises(RequestGone):  # one character of the secret
        wallet.begin(uri[:-1] + ("A" if uri[-1] != "A" else "B"))


def test_a_request_of_another_tenant_is_unknown(world: IssuerWorld, wallet: AttestedWallet) -> None:
    """S-05."""
    uri = wallet.push().json()["request_uri"]
    other = AttestedWallet(world, tenant="registry")
    with pytest.raises(RequestGone):
        other.begin(uri)


@pytest.mark.parametrize("state", [None, "s" * 1000, "a b&c=d"])
def test_state_comes_back_as_it_went_out(wallet: AttestedWallet, state: str | None) -> None:
    """T-02, I-48, I-49: intact, however long; none is invented; `iss` is always there."""
    agreed = wallet.agreed(wallet.push(state=state), "AV-000001")
    expected = {"code", "iss"} if state is None else {"code", "iss", "state"}
    assert set(agreed) == expected
    assert agreed["iss"] == wallet.identifier
    assert agreed.get("state") == state
    refused = wallet.begin(wallet.push(state=state).json()["request_uri"])
    url = authorizations.refuse(wallet.world.issuer, refused, error="access_denied")
    answer = dict(parse_qsl(urlsplit(url).query))
    assert answer.pop("error") == "access_denied"
    assert answer == {name: agreed[name] for name in expected - {"code"}}


def test_a_dpop_key_may_be_named_or_shown(wallet: AttestedWallet) -> None:
    """I-35: `dpop_jkt`, a proof, or both if they agree; T-01: refused if they do not."""
    jkt = dpop.thumbprint(wallet.key.public)
    assert wallet.push(dpop_jkt=jkt).status == 201
    assert wallet.push(dpop_jkt=jkt, headers=wallet.attested()).status == 201
    other = dpop.thumbprint(SoftwareKey.generate().public)
    assert wallet.push(dpop_jkt=other).json()["error"] == "invalid_request"


def _offered(world: IssuerWorld, **members: Any) -> dict[str, Any]:
    body = {"credentials": ["pid_sd_jwt"], "grant": "authorization_code", **members}
    headers = {"Authorization": f"Bearer {world.api_token('strict')}"}
    answer = world.client.post("/api/v1/strict/offers", json=body, headers=headers)
    assert answer.status == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_offer_may_ask_the_person_to_log_in(world: IssuerWorld, wallet: AttestedWallet) -> None:
    """I-21, I-44: issuer_state leads to the offer, the login has to be the person it is for."""
    offer = _offered(world, subject="AV-000002")
    assert "tx_code" not in offer
    grants = offer["credential_offer"]["grants"]
    assert set(grants) == {"authorization_code"}
    state = grants["authorization_code"]["issuer_state"]
    pushed = wallet.push(issuer_state=state)
    request = wallet.begin(pushed.json()["request_uri"])
    assert request.offer_id == offer["offer_id"]
    assert request.configurations == ("pid_sd_jwt",)
    with pytest.raises(AnotherPerson):
        authorizations.grant(world.issuer, request, subject="AV-000001")
    code = wallet.agreed(pushed, "AV-000002")["code"]
    token = wallet.exchange(code).json()["access_token"]
    proof = wallet.dpop("credential", access_token=token)
    body = wallet.credential_request("pid_sd_jwt", client_id=CLIENT_ID)
    assert wallet.request(token, body, dpop=proof).status == 200
    path = f"/api/v1/strict/offers/{offer['offer_id']}"
    headers = {"Authorization": f"Bearer {world.api_token('strict')}"}
    assert world.client.get(path, headers=headers).json()["state"] == "collected"


def test_an_offer_with_login_is_taken_once(world: IssuerWorld, wallet: AttestedWallet) -> None:
    """I-21, S-02: two requests may be begun from it, one code is redeemed."""
    state = _offered(world, subject="AV-000003")["credential_offer"]["grants"][
        "authorization_code"
    ]["issuer_state"]
    first, second = (wallet.code("AV-000003", issuer_state=state) for _ in range(2))
    assert wallet.exchange(first).status == 200
    late = wallet.exchange(second)
    assert (late.status, late.json()["error"]) == (400, "invalid_grant")
    assert wallet.push(issuer_state=state).json()["error"] == "invalid_request"


def test_an_issuer_state_is_no_pre_authorized_code(
    world: IssuerWorld, wallet: AttestedWallet
) -> None:
    """I-21, I-22: the code that needs a login never goes without one."""
    offer = _offered(world, subject="AV-000003")
    state = offer["credential_offer"]["grants"]["authorization_code"]["issuer_state"]
    form: dict[str, str | None] = {
        "grant_type": "urn:ietf:params:oauth:grant-type:pre-authorized_code",
        "pre-authorized_code": state,
        "tx_code": "x",
    }
    assert wallet.post("token", form).json()["error"] == "invalid_grant"


def test_what_was_not_offered_is_not_asked_for(world: IssuerWorld, wallet: AttestedWallet) -> None:
    """I-42, I-44: an offer narrows; nothing left is invalid_scope. A person there must be."""
    state = _offered(world, subject="AV-000003")["credential_offer"]["grants"][
        "authorization_code"
    ]["issuer_state"]
    answer = wallet.push(issuer_state=state, scope=wallet.scope("residence_sd_jwt"))
    assert answer.json()["error"] == "invalid_scope"
    body = {"credentials": ["pid_sd_jwt"], "grant": "authorization_code", "claims": {}}
    headers = {"Authorization": f"Bearer {world.api_token('strict')}"}
    refused = world.client.post("/api/v1/strict/offers", json=body, headers=headers)
    assert refused.status == 400
