"""The official issuer plans, restated: what concerns client attestation, PAR, codes and refresh.

The names of the modules stand in the docstrings: `fapi2-…` for those with the prefix
`fapi2-security-profile-final-` of the HAIP plan, `issuer-…` for `oid4vci-1_0-issuer-…`. Two clients
over TLS against a live process; every module in both formats. CERTIFICATION 1.3, 1.4, 2.2.2-2.2.5.
"""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.oauth import dpop, pkce
from shared.runtime.clock import utc_now
from tests.support.live_issuer import LiveIssuer

from .suite_client import SuiteClient, check_error, check_json, check_page, forged

FORMATS = ("pid_sd_jwt", "pid_mdoc")
TENANTS = ("haip", "nonces")
AT_PAR = {
    "invalid_client",
    "invalid_request",
    "invalid_client_attestation",
    "use_fresh_attestation",
}


@pytest.fixture(params=FORMATS)
def clients(
    live_issuer: LiveIssuer, request: pytest.FixtureRequest
) -> tuple[SuiteClient, SuiteClient]:
    """Every module, for either format."""
    return SuiteClient.pair(live_issuer, configuration=request.param)


@pytest.fixture
def client(clients: tuple[SuiteClient, SuiteClient]) -> SuiteClient:
    return clients[0]


# -- Metadata and the happy flow ---------------------------------------------------------------


@pytest.mark.parametrize("tenant", TENANTS)
def test_discovery_end_point_verification(live_issuer: LiveIssuer, tenant: str) -> None:
    """fapi2-discovery-end-point-verification; 2.2.2, I-10, I-11."""
    url = f"{live_issuer.url}/.well-known/oauth-authorization-server/{tenant}"
    found = check_json(live_issuer.http.get(url), 200)
    assert found["issuer"] == f"{live_issuer.url}/{tenant}"
    for name, value in found.items():
        if name.endswith(("_endpoint", "_uri")):
            assert value.startswith("https://"), name
    assert found["response_types_supported"] == ["code"]
    assert {"authorization_code", "refresh_token"} <= set(found["grant_types_supported"])
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["require_pushed_authorization_requests"] is True
    assert found["dpop_signing_alg_values_supported"] == ["ES256"]
    assert found["token_endpoint_auth_methods_supported"] == ["attest_jwt_client_auth"]
    assert found["client_attestation_signing_alg_values_supported"]
    assert found["client_attestation_pop_signing_alg_values_supported"]
    assert found["challenge_endpoint"]
    assert "openid_credential" in found["authorization_details_types_supported"]
    keys = check_json(live_issuer.http.get(found["jwks_uri"]), 200)["keys"]
    assert len({each["kid"] for each in keys}) == len(keys)
    assert not {"d", "p", "q", "k"} & {name for each in keys for name in each}


@pytest.mark.parametrize("configuration", FORMATS)
@pytest.mark.parametrize("tenant", TENANTS)
def test_happy_flow(live_issuer: LiveIssuer, configuration: str, tenant: str) -> None:
    """fapi2-happy-flow; fapi2-ensure-dpopproof-at-par-endpoint-binding-success: both clients.

    Both redirect URIs, one with a query of its own; with nonces demanded and without. Tokens and
    keys of one are nothing to the other. I-34, I-35, I-43, I-48, I-65.
    """
    first, second = SuiteClient.pair(live_issuer, tenant=tenant, configuration=configuration)
    tokens = [each.tokens()["access_token"] for each in (first, second)]
    for each, token in zip((first, second), tokens, strict=True):
        each.check_credential(each.credential(token))
    assert first.credential(tokens[1]).status_code in {400, 401}
    mixed = [
        ("Authorization", f"DPoP {tokens[1]}"),
        ("DPoP", first.dpop("credential", access_token=tokens[1])),
    ]
    assert first.credential(tokens[1], headers=mixed).status_code in {400, 401}


def test_happy_flow_issuer_initiated(client: SuiteClient) -> None:
    """issuer-happy-flow, issuer_initiated: issuer_state comes back in PAR. I-21, I-44."""
    offer = client.live.offer(client.configuration, subject="AV-000002", grant="authorization_code")
    state = offer["credential_offer"]["grants"]["authorization_code"]["issuer_state"]
    code = client.code(subject="AV-000002", issuer_state=state)
    token = client.check_token(client.token(code))["access_token"]
    client.check_credential(client.credential(token))


def test_user_rejects_authentication(client: SuiteClient) -> None:
    """fapi2-user-rejects-authentication; I-49, T-02: access_denied with state and iss."""
    found = client.person(client.authorize_url(client.pushed()), agree=False)
    assert found == {
        "error": "access_denied",
        "state": "state-of-the-suite",
        "iss": client.issuer,
    }


@pytest.mark.parametrize("state", [None, "s" * 1000])
def test_state(client: SuiteClient, state: str | None) -> None:
    """fapi2-ensure-authorization-request-without-state-success and …-with-long-state; T-02."""
    assert client.code(state=state)


def test_other_parameters_beside_request_uri(client: SuiteClient) -> None:
    """fapi2-ensure-different-state-inside-and-outside-request-object; I-46.

    And fapi2-state-only-outside-request-object-not-used: what stands in the URL counts for nothing.
    """
    for inside in ("inside", None):
        uri = client.pushed(state=inside)
        url = client.authorize_url(
            uri, state="outside", scope="other", redirect_uri="https://x.example"
        )
        assert client.person(url).get("state") == inside


def test_par_without_duplicate_parameters(client: SuiteClient) -> None:
    """fapi2-par-without-duplicate-parameters: client_id and request_uri are enough. I-46."""
    assert client.code()


# -- What PAR refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        pytest.param({"redirect_uri": None}, {"invalid_request"}, id="no redirect_uri"),
        pytest.param(
            {"response_type": "code id_token"},
            {"unsupported_response_type", "invalid_request", "unauthorized_client"},
            id="code id_token",
        ),
        pytest.param(
            {"response_type": "token"},
            {"unsupported_response_type", "invalid_request", "unauthorized_client"},
            id="token",
        ),
        pytest.param(
            {"request_uri": "urn:ietf:params:oauth:request_uri:x"},
            {"invalid_request", "invalid_request_object", "request_uri_not_supported"},
            id="request_uri",
        ),
        pytest.param(
            {"code_challenge": None, "code_challenge_method": None},
            {"invalid_request"},
            id="no PKCE",
        ),
        pytest.param({"code_challenge_method": "plain"}, {"invalid_request"}, id="plain PKCE"),
        pytest.param({"dpop_jkt": "A" * 43}, {"invalid_request", "invalid_dpop_proof"}, id="jkt"),
    ],
)
def test_par_refuses(client: SuiteClient, changes: dict[str, Any], codes: set[str]) -> None:
    """T-01, I-35, I-40, I-43. The modules fapi2-…:

    ensure-request-object-without-redirect-uri-fails, ensure-redirect-uri-in-authorization-request,
    ensure-response-type-code-idtoken-fails, ensure-response-type-token-fails,
    par-authorization-request-containing-request_uri-form-param, par-ensure-pkce-required,
    par-plain-pkce-rejected, ensure-mismatched-dpop-jkt-fails.
    """
    check_error(client.par(**changes), {400}, codes)


def test_plain_fapi_tolerate_unregistered_redirect_uri(client: SuiteClient) -> None:
    """fapi2-plain-fapi-tolerate-unregistered-redirect-uri: accepted (ADR 0011). I-43."""
    client.redirect_uri = "https://unregistered.example/callback"
    assert client.code()


def test_par_attempt_invalid_http_method(client: SuiteClient) -> None:
    """fapi2-par-attempt-invalid-http-method; T-01: PUT, and GET."""
    for method in ("PUT", "GET"):
        answer = client.live.http.request(method, f"{client.issuer}/par")
        assert 400 <= answer.status_code < 600


def test_fail_invalid_client_attestation_signature(client: SuiteClient) -> None:
    """issuer-fail-invalid-client-attestation-signature; T-01, I-30."""
    headers = {**client.attested(attested=forged(client.attestation())), "DPoP": client.dpop("par")}
    check_error(client.par(headers), {400, 401}, AT_PAR)


def test_fail_invalid_client_attestation_pop_signature(client: SuiteClient) -> None:
    """issuer-fail-invalid-client-attestation-pop-signature; T-01, I-31."""
    headers = {**client.attested(pop=forged(client.pop())), "DPoP": client.dpop("par")}
    check_error(client.par(headers), {400, 401}, AT_PAR)


def test_fail_client_attestation_exp_in_past(client: SuiteClient) -> None:
    """issuer-fail-client-attestation-exp-in-past; T-01, I-30: ten minutes ago."""
    past = client.attestation(now=utc_now() - timedelta(hours=1), lifetime=timedelta(minutes=50))
    check_error(
        client.par({**client.attested(attested=past), "DPoP": client.dpop("par")}),
        {400, 401},
        AT_PAR,
    )


def test_fail_client_attestation_no_sub(client: SuiteClient) -> None:
    """issuer-fail-client-attestation-no-sub; T-01, I-30."""
    nameless = client.attestation(client_id="")
    check_error(
        client.par({**client.attested(attested=nameless), "DPoP": client.dpop("par")}),
        {400, 401},
        AT_PAR,
    )


@pytest.mark.parametrize("array", [False, True])
def test_fail_client_attestation_pop_wrong_aud(client: SuiteClient, array: bool) -> None:
    """issuer-fail-client-attestation-pop-wrong-aud; T-01, I-31: the endpoint's URL, an array."""
    audience: Any = [client.issuer] if array else f"{client.issuer}/par"
    headers = {**client.attested(pop=client.pop(audience=audience)), "DPoP": client.dpop("par")}
    check_error(client.par(headers), {400, 401}, AT_PAR)


def test_fail_mismatched_client_attestation_pop_key(client: SuiteClient) -> None:
    """issuer-fail-mismatched-client-attestation-pop-key; T-01, I-31: not the key in cnf."""
    other = client.pop(signer=SoftwareKey.generate())
    check_error(
        client.par({**client.attested(pop=other), "DPoP": client.dpop("par")}), {400, 401}, AT_PAR
    )


def test_no_client_attestation(client: SuiteClient) -> None:
    """T-01, I-28: neither header, or one of the two."""
    for missing in (
        {"OAuth-Client-Attestation", "OAuth-Client-Attestation-PoP"},
        {"OAuth-Client-Attestation-PoP"},
        {"OAuth-Client-Attestation"},
    ):
        headers = {
            name: value for name, value in client.attested().items() if name not in missing
        } | {"DPoP": client.dpop("par")}
        check_error(client.par(headers), {401}, {"invalid_client"})


# -- The authorization endpoint -----------------------------------------------------------------


def test_ensure_unsigned_authorization_request_without_using_par_fails(client: SuiteClient) -> None:
    """fapi2-ensure-unsigned-authorization-request-without-using-par-fails; T-02, I-46."""
    url = (
        f"{client.issuer}/authorize?client_id={client.client_id}&response_type=code"
        f"&scope={client.configuration}&redirect_uri={client.redirect_uri}"
        f"&code_challenge={pkce.challenge(client.verifier)}&code_challenge_method=S256"
    )
    with client.browser() as browser:
        check_page(client.open(browser, url))


def test_par_ensure_reused_request_uri_prior_to_auth_completion_succeeds(
    client: SuiteClient,
) -> None:
    """fapi2-par-ensure-reused-request-uri-prior-to-auth-completion-succeeds; T-02, I-46."""
    url = client.authorize_url(client.pushed())
    with client.browser() as browser:
        for _ in range(2):
            assert client.open(browser, url).status_code == 200
    assert client.person(url)["code"]


def test_par_attempt_reuse_request_uri(client: SuiteClient) -> None:
    """fapi2-par-attempt-reuse-request_uri; T-02, I-46: after completion it is dead."""
    url = client.authorize_url(client.pushed())
    assert client.person(url)["code"]
    with client.browser() as browser:
        check_page(client.open(browser, url))


def test_par_attempt_to_use_expired_request_uri(client: SuiteClient) -> None:
    """fapi2-par-attempt-to-use-expired-request_uri; T-02, I-41: expires_in has passed."""
    url = client.authorize_url(client.pushed())
    client.live.age("authorizations", seconds=90)
    with client.browser() as browser:
        check_page(client.open(browser, url))


def test_par_attempt_to_use_request_uri_for_different_client(
    clients: tuple[SuiteClient, SuiteClient],
) -> None:
    """fapi2-par-attempt-to-use-request_uri-for-different-client; T-02, I-46."""
    first, second = clients
    with first.browser() as browser:
        check_page(first.open(browser, second.authorize_url(first.pushed())))


def test_pages_belong_to_the_browser_that_began(client: SuiteClient) -> None:
    """T-31 on the issuer's side, I-47: who is sent the address of somebody's login gets nowhere.

    Neither may another browser go on with it, nor may it agree in place of the one that signed in.
    """
    url = client.authorize_url(client.pushed())
    with client.browser() as own, client.browser() as other:
        login = client.open(own, url)
        check_page(client.open(other, str(login.url)))
        code = client.live.desk_code("AV-000001")
        consent = client.submit(own, login, code=code, action="sign-in")
        check_page(client.open(other, str(consent.url)))
        check_page(client.submit(other, consent, action="accept"))
        without = own.post(str(consent.url), data={"action": "accept"})
        check_page(without)
        assert client.redirected(client.submit(own, consent, action="accept"))["code"]


# -- The token endpoint ----------------------------------------------------------------------------


def test_ensure_pkce_code_verifier_required(client: SuiteClient) -> None:
    """fapi2-ensure-pkce-code-verifier-required; T-03, I-50."""
    check_error(client.token(client.code(), code_verifier=None), {400}, {"invalid_grant"})


def test_incorrect_pkce_code_verifier_rejected(client: SuiteClient) -> None:
    """fapi2-incorrect-pkce-code-verifier-rejected; T-03, I-50."""
    wrong = pkce.make_verifier()
    check_error(client.token(client.code(), code_verifier=wrong), {400}, {"invalid_grant"})


def test_ensure_client_id_in_token_endpoint(clients: tuple[SuiteClient, SuiteClient]) -> None:
    """fapi2-ensure-client-id-in-token-endpoint; T-03, I-32: 2's id, 1's attestation."""
    first, second = clients
    answer = first.token(first.code(), client_id=second.client_id)
    check_error(answer, {400, 401}, {"invalid_client", "invalid_grant"})


def test_ensure_holder_of_key_required(client: SuiteClient) -> None:
    """fapi2-ensure-holder-of-key-required; T-03, I-56: no DPoP, no token.

    Its TLS scan of every endpoint: tests/e2e/test_tls.py.
    """
    answer = client.token(client.code(), client.attested())
    check_error(answer, {400}, {"invalid_request", "invalid_grant", "invalid_dpop_proof"})


def test_ensure_authorization_code_is_bound_to_client(
    clients: tuple[SuiteClient, SuiteClient],
) -> None:
    """fapi2-ensure-authorization-code-is-bound-to-client; T-03, I-48, I-55."""
    first, second = clients
    code = first.code()
    answer = second.token(code, redirect_uri=first.redirect_uri, code_verifier=first.verifier)
    check_error(answer, {400}, {"invalid_grant"})


def test_attempt_reuse_authorization_code_after_one_second(client: SuiteClient) -> None:
    """fapi2-attempt-reuse-authorization-code-after-one-second; T-03, I-48: its token dies, too."""
    code = client.code()
    token = client.check_token(client.token(code))["access_token"]
    client.check_credential(client.credential(token))
    check_error(client.token(code), {400}, {"invalid_grant"})
    check_error(client.credential(token), {401}, {"invalid_token"})


def test_ensure_token_endpoint_fails_with_expired_auth_code(client: SuiteClient) -> None:
    """fapi2-ensure-token-endpoint-fails-with-expired-auth-code; T-03, I-48: after a minute."""
    code = client.code()
    client.live.age("authorizations", seconds=60)
    check_error(client.token(code), {400}, {"invalid_grant"})


def test_ensure_token_endpoint_fails_with_mismatched_dpop_proof_jkt(client: SuiteClient) -> None:
    """fapi2-ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt; T-03, I-35."""
    code = client.code()
    client.key = SoftwareKey.generate()
    check_error(client.token(code), {400}, {"invalid_grant", "invalid_dpop_proof"})


@pytest.mark.parametrize("same", [True, False])
def test_dpop_jkt_binds_the_code(client: SuiteClient, same: bool) -> None:
    """fapi2-ensure-dpop-auth-code-binding-success, and its refused twin:

    fapi2-ensure-token-endpoint-fails-with-mismatched-dpop-jkt. `dpop_jkt` alone at PAR; T-03, I-35.
    """
    jkt = dpop.thumbprint(client.key.public)
    uri = check_json(client.par(client.attested(), dpop_jkt=jkt), 201)["request_uri"]
    code = client.person(client.authorize_url(uri))["code"]
    if same:
        client.check_token(client.token(code))
    else:
        client.key = SoftwareKey.generate()
        check_error(client.token(code), {400}, {"invalid_grant", "invalid_dpop_proof"})


@pytest.mark.parametrize("seconds", [-10, 10])
def test_ensure_dpopproof_with_iat_10seconds_off_succeeds(
    client: SuiteClient, seconds: int
) -> None:
    """fapi2-ensure-dpopproof-with-iat-10seconds-before-succeeds and …-after-succeeds; C-40.

    At PAR, token and resource.
    """

    def headers(endpoint: str) -> dict[str, str]:
        proof = client.dpop(endpoint, now=utc_now() + timedelta(seconds=seconds))
        return {**client.attested(), "DPoP": proof}

    uri = check_json(client.par(headers("par")), 201)["request_uri"]
    code = client.person(client.authorize_url(uri))["code"]
    token = client.check_token(client.token(code, headers("token")))["access_token"]
    proof = client.dpop(
        "credential", access_token=token, now=utc_now() + timedelta(seconds=seconds)
    )
    answer = client.credential(token, headers={"Authorization": f"DPoP {token}", "DPoP": proof})
    client.check_credential(answer)


# -- Refresh --------------------------------------------------------------------------------------


@pytest.mark.parametrize("configuration", FORMATS)
def test_refresh_token(live_issuer: LiveIssuer, configuration: str) -> None:
    """fapi2-refresh-token; T-03, I-54, 2.2.5.

    Not bound to the DPoP key, bound to client and instance; authentication and proof required; no
    rotation. With nonces demanded, as they cost a retry here too.
    """
    client, other = SuiteClient.pair(live_issuer, tenant="nonces", configuration=configuration)
    refresh = client.tokens()["refresh_token"]
    for _ in range(2):
        client.key = SoftwareKey.generate()
        answer = client.check_token(client.refresh(refresh))
        assert "refresh_token" not in answer
        client.check_credential(client.credential(answer["access_token"]))
    proof = {"DPoP": client.dpop("token")}
    check_error(client.refresh(refresh, proof), {400, 401}, {"invalid_client"})
    unproven = client.refresh(refresh, client.attested())
    check_error(unproven, {400}, {"invalid_request", "invalid_dpop_proof", "invalid_grant"})
    check_error(other.refresh(refresh), {400}, {"invalid_grant"})
    own, client.instance = client.instance, SoftwareKey.generate()
    check_error(client.refresh(refresh), {400, 401}, {"invalid_grant", "invalid_client"})
    client.instance = own
    client.check_token(client.refresh(refresh))


def test_details_keep_their_identifiers_after_a_refresh(client: SuiteClient) -> None:
    """2.2.5, variant rar: identifiers with authorization_details, the same ones later. I-53."""
    detail = {"type": "openid_credential", "credential_configuration_id": client.configuration}
    details = json.dumps([detail])
    first = client.tokens(scope=None, authorization_details=details)
    again = client.check_token(client.refresh(first["refresh_token"], scope=None))
    assert again["authorization_details"] == first["authorization_details"]
    [identifier] = first["authorization_details"][0]["credential_identifiers"]
    answer = client.credential(
        again["access_token"], credential_configuration_id=None, credential_identifier=identifier
    )
    client.check_credential(answer)


def test_pre_authorized_code(client: SuiteClient) -> None:
    """2.2.5: outside HAIP's flow, but with attestation; tx_code checked, single use. I-51."""
    offer = client.live.offer(client.configuration, subject="AV-000003")
    grant = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
    code = offer["credential_offer"]["grants"][grant]["pre-authorized_code"]
    form = {"grant_type": grant, "pre-authorized_code": code, "tx_code": offer["tx_code"]}
    check_error(client.post("token", {**form, "tx_code": "wrong"}), {400}, {"invalid_grant"})
    client.check_token(client.post("token", dict(form)))
    check_error(client.post("token", dict(form)), {400}, {"invalid_grant"})
