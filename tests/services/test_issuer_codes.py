"""Authorization codes, refresh tokens and their end (PROFILE 5.9; RFC 7009)."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from issuer_service.authorizations import RequestGone
from shared.crypto.software import SoftwareKey
from shared.oauth import dpop, pkce
from shared.trust import Role
from tests.support.asgi import Answer
from tests.support.attested import CLIENT_ID, AttestedWallet
from tests.support.issuer import GRANT, TENANT, IssuerWorld, Wallet, code_of, sample_register

STRICT: dict[str, Any] = {**TENANT, "tenant": "strict", "wallets_without_attestation": False}
NONCES: dict[str, Any] = {**STRICT, "tenant": "nonces", "dpop_nonce": True}
BRIEF: dict[str, Any] = {**STRICT, "tenant": "brief", "refresh_token_days": 0}


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    register = sample_register(folder)
    tenants = (TENANT, STRICT, BRIEF, NONCES)
    made = IssuerWorld.make(folder, database_url, register=register, tenants=tenants)
    yield made
    made.close()


@pytest.fixture
def wallet(world: IssuerWorld) -> AttestedWallet:
    return AttestedWallet(world, tenant="strict")


def _usable(wallet: Wallet, token: Any) -> Answer:
    body = wallet.credential_request("pid_sd_jwt", client_id=CLIENT_ID)
    answer: Answer = wallet.request(str(token), body)
    return answer


def test_a_code_becomes_tokens_and_a_credential(wallet: AttestedWallet) -> None:
    """I-48, I-50, I-53: DPoP, 300 s, a refresh token, no scope that was granted as asked for."""
    code = wallet.code()
    assert len(code) == 22 + 43
    answer = wallet.exchange(code)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["oauth-client-attestation-challenge"]
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (body["token_type"], body["expires_in"]) == ("DPoP", 300)
    assert _usable(wallet, body["access_token"]).status == 200


def test_scope_is_said_where_less_was_granted(wallet: AttestedWallet) -> None:
    """I-42, I-53: RFC 6749, section 5.1."""
    scope = wallet.scope("pid_sd_jwt")
    assert wallet.tokens(scope=f"{scope} unknown")["scope"] == scope


def test_details_give_identifiers_that_stay(wallet: AttestedWallet) -> None:
    """I-52, I-53, CERTIFICATION 2.2.5: also after a refresh; a token may be for less."""
    details = [
        {"type": "openid_credential", "credential_configuration_id": each}
        for each in ("pid_sd_jwt", "residence_sd_jwt")
    ]
    code = wallet.code(authorization_details=json.dumps(details), scope=None)
    wider = wallet.exchange(
        code,
        authorization_details='[{"type": "openid_credential", "credential_configuration_id": "x"}]',
    )
    assert wider.json()["error"] == "invalid_authorization_details"
    first = wallet.exchange(code).json()
    again = wallet.refresh(first["refresh_token"]).json()
    assert again["authorization_details"] == first["authorization_details"]
    assert [each["credential_identifiers"] for each in first["authorization_details"]] == [
        ["pid_sd_jwt"],
        ["residence_sd_jwt"],
    ]
    less = wallet.refresh(first["refresh_token"], authorization_details=json.dumps(details[:1]))
    assert len(less.json()["authorization_details"]) == 1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code": None}, "invalid_request"),
        ({"code": "A" * 65}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": f"{CLIENT_ID}/callback/"}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"code_verifier": pkce.make_verifier()}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_grant"),
    ],
)
def test_a_refused_exchange_consumes_nothing(
    wallet: AttestedWallet, changes: dict[str, Any], error: str
) -> None:
    """T-03, I-48, I-50: what the code is bound to; afterwards it is still good."""
    code = wallet.code()
    refused = wallet.exchange(**{"code": code, **changes})
    assert (refused.status, refused.json()["error"]) == (400, error)
    assert wallet.exchange(code).status == 200


def test_a_code_is_bound_to_its_client(world: IssuerWorld, wallet: AttestedWallet) -> None:
    """T-03, I-55: another client's code, another client's client_id, no client, no DPoP."""
    code = wallet.code()
    other = AttestedWallet(world, tenant="strict", client_id="https://other.example")
    other.verifier, other.key = wallet.verifier, wallet.key
    stolen = other.exchange(code, redirect_uri=wallet.redirect_uri)
    assert (stolen.status, stolen.json()["error"]) == (400, "invalid_grant")
    posing = wallet.exchange(code, client_id="https://other.example")
    assert (posing.status, posing.json()["error"]) == (401, "invalid_client")
    nobody = wallet.exchange(code, headers={"DPoP": wallet.dpop("token")})
    assert (nobody.status, nobody.json()["error"]) == (401, "invalid_client")
    bearer = wallet.exchange(code, headers=wallet.attested())
    assert (bearer.status, bearer.json()["error"]) == (400, "invalid_dpop_proof")
    assert wallet.exchange(code).status == 200


@pytest.mark.parametrize("by_name", [True, False])
def test_a_code_is_bound_to_the_key_of_the_request(wallet: AttestedWallet, by_name: bool) -> None:
    """T-03, I-35: by `dpop_jkt` as by a proof at PAR."""
    if by_name:
        jkt = dpop.thumbprint(wallet.key.public)
        code = wallet.code(dpop_jkt=jkt, headers=wallet.attested())
    else:
        code = wallet.code()
    right, wallet.key = wallet.key, SoftwareKey.generate()
    refused = wallet.exchange(code)
    assert (refused.status, refused.json()["error"]) == (400, "invalid_grant")
    wallet.key = right
    assert wallet.exchange(code).status == 200


def test_a_code_that_no_key_was_named_for_takes_the_first(wallet: AttestedWallet) -> None:
    """I-35: the twin; the token is then bound to that key."""
    code = wallet.code(headers=wallet.attested())
    wallet.key = SoftwareKey.generate()
    token = wallet.exchange(code).json()["access_token"]
    assert _usable(wallet, token).status == 200
    wallet.key = SoftwareKey.generate()
    assert _usable(wallet, token).status == 401


def test_a_code_lives_a_minute(wallet: AttestedWallet) -> None:
    """T-03, I-48."""
    early, late = wallet.code(), wallet.code()
    clock = wallet.world.clock
    clock.advance(seconds=59)
    assert wallet.exchange(early).status == 200
    clock.advance(seconds=1)
    refused = wallet.exchange(late)
    assert (refused.status, refused.json()["error"]) == (400, "invalid_grant")


def test_a_code_that_comes_twice_stops_its_tokens(wallet: AttestedWallet) -> None:
    """T-03, I-48, CERTIFICATION 2.2.4: access and refresh token die, those of others do not."""
    code = wallet.code()
    body = wallet.exchange(code).json()
    later = wallet.refresh(body["refresh_token"]).json()["access_token"]
    other = wallet.tokens()
    assert _usable(wallet, body["access_token"]).status == 200
    wallet.world.clock.advance(seconds=1)
    again = wallet.exchange(code)
    assert (again.status, again.json()["error"]) == (400, "invalid_grant")
    assert _usable(wallet, body["access_token"]).status == 401
    assert _usable(wallet, later).status == 401
    assert wallet.refresh(body["refresh_token"]).json()["error"] == "invalid_grant"
    assert _usable(wallet, other["access_token"]).status == 200
    assert "code_used_twice" in wallet.world.dump()


def test_a_refresh_token_outlives_its_access_tokens(wallet: AttestedWallet) -> None:
    """I-54, CERTIFICATION 2.2.5: not rotated, good again after 30 s, with a new DPoP key."""
    token = str(wallet.tokens()["refresh_token"])
    for _ in range(2):
        wallet.world.clock.advance(seconds=30)
        wallet.key = SoftwareKey.generate()
        answer = wallet.refresh(token, scope=wallet.scope("pid_sd_jwt"))
        assert answer.status == 200, answer.text
        assert set(answer.json()) == {"access_token", "token_type", "expires_in"}
        assert _usable(wallet, answer.json()["access_token"]).status == 200


def test_a_pre_authorized_code_gives_one_too(world: IssuerWorld, wallet: AttestedWallet) -> None:
    """I-54: for wallets that say who they are; the others have nothing to bind it to."""
    made = world.client.post(
        "/api/v1/strict/offers",
        json={"credentials": ["pid_sd_jwt"], "subject": "AV-000001"},
        headers={"Authorization": f"Bearer {world.api_token('strict')}"},
    ).json()
    token = _redeemed(wallet, made)["refresh_token"]
    assert wallet.refresh(token).status == 200
    plain = Wallet(world).token(world.offer("pid_sd_jwt", subject="AV-000001"))
    assert "refresh_token" not in plain.json()


def test_claims_that_came_with_an_offer_are_not_kept_for_renewal(
    world: IssuerWorld, wallet: AttestedWallet
) -> None:
    """I-54, I-114: there is no register to ask again, and nothing is kept to be issued later."""
    claims = {
        "family_name": "Example",
        "given_name": "Erin",
        "address": {"street_address": "1 Road", "locality": "Town", "country": "AV"},
        "issuing_authority": "Town",
        "issuing_country": "AV",
    }
    made = world.client.post(
        "/api/v1/strict/offers",
        json={"credentials": ["residence_sd_jwt"], "claims": {"residence_sd_jwt": claims}},
        headers={"Authorization": f"Bearer {world.api_token('strict')}"},
    )
    assert made.status == 201, made.text
    assert "refresh_token" not in _redeemed(wallet, made.json())


def _redeemed(wallet: AttestedWallet, offer: dict[str, Any]) -> dict[str, Any]:
    form: dict[str, str | None] = {
        "grant_type": GRANT,
        "pre-authorized_code": code_of(offer),
        "tx_code": offer["tx_code"],
    }
    answer = wallet.post("token", form)
    assert answer.status == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_refresh_token_is_its_instances_alone(world: IssuerWorld, wallet: AttestedWallet) -> None:
    """T-03, I-54: no authentication, another instance, another client, not granted."""
    token = str(wallet.tokens()["refresh_token"])
    bare = wallet.refresh(token, headers={"DPoP": wallet.dpop("token")})
    assert (bare.status, bare.json()["error"]) == (401, "invalid_client")
    without = wallet.refresh(token, headers=wallet.attested())
    assert (without.status, without.json()["error"]) == (400, "invalid_dpop_proof")
    own, wallet.instance = wallet.instance, SoftwareKey.generate()
    other = wallet.refresh(token)
    assert (other.status, other.json()["error"]) == (400, "invalid_grant")
    wallet.instance = own
    stranger = AttestedWallet(world, tenant="strict", client_id="https://other.example")
    stranger.instance = own
    assert stranger.refresh(token).json()["error"] == "invalid_grant"
    wider = wallet.refresh(token, scope=wallet.scope("residence_sd_jwt"))
    assert wider.json()["error"] == "invalid_scope"
    assert wallet.refresh(token[:-1] + ("A" if token[-1] != "A" else "B")).status == 400
    assert wallet.refresh(token).status == 200


def test_a_plain_wallet_cannot_refresh(world: IssuerWorld, wallet: AttestedWallet) -> None:
    """I-54: not even where wallets without attestation are accepted."""
    token = str(wallet.tokens()["refresh_token"])
    plain = AttestedWallet(world, tenant="registry")
    answer = plain.refresh(token, headers={"DPoP": plain.dpop("token")})
    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")


def test_a_refresh_token_has_an_end(wallet: AttestedWallet) -> None:
    """I-54, S-03: after the tenant's days it is refused, then it is gone with what it was for."""
    token = str(wallet.tokens()["refresh_token"])
    clock = wallet.world.clock
    start = clock.now
    try:
        clock.advance(days=40)
        wallet.provider = wallet.world.trust.provider.signer(Role.WALLET_PROVIDER, now=clock.now)
        wallet.world.jobs.run_due()
        assert wallet.refresh(token).status == 200
        clock.advance(days=141)
        wallet.provider = wallet.world.trust.provider.signer(Role.WALLET_PROVIDER, now=clock.now)
        assert wallet.refresh(token).json()["error"] == "invalid_grant"
        wallet.world.jobs.run_due()
        assert wallet.world.count("refresh_tokens") == 0
        assert wallet.world.count("authorizations") == 0
    finally:
        clock.now = start


def test_a_tenant_may_have_none(world: IssuerWorld) -> None:
    """I-54, CERTIFICATION 2.2.2: then its metadata does not list the grant type either."""
    wallet = AttestedWallet(world, tenant="brief")
    assert "refresh_token" not in wallet.tokens()
    assert wallet.refresh("A" * 87).json()["error"] == "unsupported_grant_type"
    path = "/.well-known/oauth-authorization-server/"
    listed = [
        "refresh_token" in world.client.get(path + each).json()["grant_types_supported"]
        for each in ("brief", "strict")
    ]
    assert listed == [False, True]


def test_a_token_is_given_back(world: IssuerWorld, wallet: AttestedWallet) -> None:
    """RFC 7009: an access token alone, a refresh token with all it made; twice is no error."""
    body = wallet.tokens()
    other = AttestedWallet(world, tenant="strict", client_id="https://other.example")

    def revoke(who: AttestedWallet, token: Any, **headers: Any) -> Answer:
        form: dict[str, str | None] = {"token": token, "token_type_hint": "access_token"}
        return who.post("revoke", form, headers or who.attested())

    bare = revoke(wallet, body["access_token"], DPoP=wallet.dpop("revoke"))
    assert (bare.status, bare.json()["error"]) == (401, "invalid_client")
    foreign = revoke(other, body["access_token"])
    assert (foreign.status, foreign.json()["error"]) == (400, "invalid_grant")
    assert revoke(wallet, None).json()["error"] == "invalid_request"
    assert _usable(wallet, body["access_token"]).status == 200
    for _ in range(2):
        assert revoke(wallet, body["access_token"]).status == 200
    assert revoke(wallet, "unknown").status == 200
    assert _usable(wallet, body["access_token"]).status == 401
    second = wallet.refresh(str(body["refresh_token"])).json()["access_token"]
    assert revoke(wallet, body["refresh_token"]).status == 200
    assert _usable(wallet, second).status == 401
    assert wallet.refresh(str(body["refresh_token"])).json()["error"] == "invalid_grant"


def test_a_cancelled_offer_renews_nothing(world: IssuerWorld, wallet: AttestedWallet) -> None:
    """DESIGN, "Decided": cancelling kills what was made from it, refresh tokens included."""
    api = {"Authorization": f"Bearer {world.api_token('strict')}"}
    body = {"credentials": ["pid_sd_jwt"], "subject": "AV-000005", "grant": "authorization_code"}
    offer = world.client.post("/api/v1/strict/offers", json=body, headers=api).json()
    state = offer["credential_offer"]["grants"]["authorization_code"]["issuer_state"]
    tokens = wallet.tokens("AV-000005", issuer_state=state)
    path = f"/api/v1/strict/offers/{offer['offer_id']}"
    assert world.client.post(f"{path}/cancel", headers=api).status == 200
    assert wallet.refresh(str(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert _usable(wallet, tokens["access_token"]).status == 401


def test_an_uncollected_offer_with_login_is_renewed(
    world: IssuerWorld, wallet: AttestedWallet
) -> None:
    """DESIGN, "Decided": one call, a new issuer_state; the old one and its tokens are dead."""
    api = {"Authorization": f"Bearer {world.api_token('strict')}"}
    body = {"credentials": ["pid_sd_jwt"], "subject": "AV-000005", "grant": "authorization_code"}
    offer = world.client.post("/api/v1/strict/offers", json=body, headers=api).json()
    old = offer["credential_offer"]["grants"]["authorization_code"]["issuer_state"]
    tokens = wallet.tokens("AV-000005", issuer_state=old)
    path = f"/api/v1/strict/offers/{offer['offer_id']}"
    renewed = world.client.post(f"{path}/renew", json={"new_tx_code": True}, headers=api).json()
    new = renewed["credential_offer"]["grants"]["authorization_code"]["issuer_state"]
    assert _usable(wallet, tokens["access_token"]).status == 401
    assert wallet.push(issuer_state=old).json()["error"] == "invalid_request"
    found = wallet.tokens("AV-000005", issuer_state=new)
    assert _usable(wallet, found["access_token"]).status == 200


def test_an_issuer_may_demand_what_a_wallet_must_be_able_to_do(world: IssuerWorld) -> None:
    """T-20, I-34: nonces at PAR, token and resource, apart; the Nonce Endpoint brings the third."""
    wallet = AttestedWallet(world, tenant="nonces")
    refused = wallet.push(headers={"DPoP": wallet.dpop("par"), **wallet.attested()})
    assert (refused.status, refused.json()["error"]) == (400, "use_dpop_nonce")
    of_server = refused.headers["dpop-nonce"]
    headers = {"DPoP": wallet.dpop("par", nonce=of_server), **wallet.attested()}
    code = wallet.agreed(wallet.push(headers=headers), "AV-000001")["code"]
    headers = {"DPoP": wallet.dpop("token", nonce=of_server), **wallet.attested()}
    token = wallet.exchange(code, headers=headers).json()["access_token"]
    brought = world.client.post("/nonces/nonce").headers["dpop-nonce"]
    body = wallet.credential_request("pid_sd_jwt", client_id=CLIENT_ID)
    for nonce, status in ((of_server, 401), (brought, 200)):
        proof = wallet.dpop("credential", access_token=token, nonce=nonce)
        assert wallet.request(token, body, dpop=proof).status == status
    assert "dpop-nonce" not in world.client.post("/strict/nonce").headers


def test_public_keys_are_published(world: IssuerWorld) -> None:
    """I-10, C-11: unique kids, nothing private."""
    keys = world.client.get("/strict/jwks").json()["keys"]
    assert len({each["kid"] for each in keys}) == len(keys) == 3
    assert all(set(each) == {"kty", "crv", "x", "y", "kid", "use", "alg"} for each in keys)


def test_ten_seconds_of_skew_are_accepted(wallet: AttestedWallet) -> None:
    """C-40, C-41, CERTIFICATION 1.4: iat 10 s early or late passes at PAR and token; 2 min not."""
    now = wallet.world.clock()
    for seconds, expected in ((-10, 201), (10, 201), (-120, 400), (120, 400)):
        proof = wallet.dpop("par", now=now + timedelta(seconds=seconds))
        assert wallet.push(headers={"DPoP": proof, **wallet.attested()}).status == expected


@pytest.mark.parametrize("noise", ["\0" * 65, "é" * 65, "%00", "\U0001f600" * 90])
def test_noise_in_place_of_a_secret_is_refused(wallet: AttestedWallet, noise: str) -> None:
    """S-01, C-31: no database is asked what it cannot hold; the answer is the usual refusal."""
    assert wallet.exchange(noise).json()["error"] == "invalid_grant"
    assert wallet.refresh(noise).json()["error"] == "invalid_grant"
    assert wallet.push(issuer_state=noise).json()["error"] == "invalid_request"
    assert wallet.post("revoke", {"token": noise}, wallet.attested()).status == 200
    form: dict[str, str | None] = {
        "grant_type": GRANT,
        "pre-authorized_code": noise,
        "tx_code": noise,
    }
    assert wallet.post("token", form).json()["error"] == "invalid_grant"
    with pytest.raises(RequestGone):
        wallet.begin(f"urn:ietf:params:oauth:request_uri:{noise}")
