"""Forms, token requests and responses, AS metadata, errors: RFC 6749, 8414; OpenID4VCI 1.0, 6."""

import inspect
import json
import re
from typing import Any

import pytest

from shared.errors import InvalidInput, ProtocolError
from shared.oauth import errors
from shared.oauth.encryption import EncryptionKey, Jwks, choose_enc, choose_encryption_key
from shared.oauth.messages import (
    PRE_AUTHORIZED_CODE,
    AuthorizationCodeRequest,
    ChallengeResponse,
    ErrorResponse,
    PreAuthorizedCodeRequest,
    RefreshRequest,
    TokenResponse,
    check_url,
    make_form,
    parse_form,
    parse_token_request,
)
from shared.oauth.metadata import AuthorizationServerMetadata, well_known_url
from shared.oid4vci import errors as vci_errors
from shared.oid4vp import errors as vp_errors

ISSUER = "https://issuer.example/t1"
JWK = {
    "kty": "EC",
    "kid": "ac",
    "use": "enc",
    "crv": "P-256",
    "alg": "ECDH-ES",
    "x": "YO4epjifD-KWeq1sL2tNmm36BhXnkJ0He-WqMYrp9Fk",
    "y": "Hekpm0zfK7C-YccH5iBjcIXgf6YdUvNUac_0At55Okk",
}


def test_a_form_gives_its_parameters_decoded() -> None:
    """RFC 6749, appendix B; parameters without a value count as absent (section 3.2)."""
    assert parse_form(b"a=1&b=x+y%20%C3%A9&c=") == {"a": "1", "b": "x y é"}
    assert parse_form(b"") == {}
    assert parse_form(make_form({"redirect_uri": "https://w.example/cb?x=1&y=é"})) == {
        "redirect_uri": "https://w.example/cb?x=1&y=é"
    }


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&a=1",
        b"a=&a=1",
        b"a",
        b"a=1&&b=2",
        b"a=%zz",
        b"a=%4",
        b"a=%ff",
        b"a=\xc3\xa9",
        b"&".join(b"p%d=1" % n for n in range(101)),
        b"a=" + b"1" * 65536,
    ],
)
def test_a_form_that_is_repeated_or_malformed_is_refused(body: bytes) -> None:
    """I-55, C-31, S-20: repeated parameters, bad escapes, not UTF-8, too many, too large."""
    with pytest.raises(InvalidInput):
        parse_form(body)


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example",
        "ftp://issuer.example",
        "https:issuer.example",
        "https://",
        "https://user@issuer.example",
        "https://issuer.example/#x",
        "https://issuer.example:99999",
        "https://[::1",
        "https://issuer.example/é",
        "https://issuer.example/a b",
        "http://localhost.example/",
        "",
    ],
)
def test_only_https_urls_without_user_or_fragment_are_urls(url: str) -> None:
    """C-50, V-14; http is for this machine alone."""
    with pytest.raises(InvalidInput):
        check_url(url)


def test_https_and_loopback_urls_are_urls() -> None:
    """C-50."""
    for url in (
        "https://issuer.example/t1?x=1",
        "http://localhost:8100/t",
        "http://127.0.0.1:8100",
        "http://[::1]:8100/",
    ):
        assert check_url(url).geturl() == url


def test_the_pre_authorized_request_of_the_specification_parses() -> None:
    """OpenID4VCI 1.0, section 6.1.1; I-51."""
    details = [{"type": "openid_credential", "credential_configuration_id": "Degree", "more": 1}]
    request = parse_token_request(
        {
            "grant_type": PRE_AUTHORIZED_CODE,
            "pre-authorized_code": "SplxlOBeZQQYbYS6WxSbIA",
            "tx_code": "493536",
            "authorization_details": json.dumps(details),
            "unknown": "ignored",
        }
    )
    assert isinstance(request, PreAuthorizedCodeRequest)
    assert request.pre_authorized_code == "SplxlOBeZQQYbYS6WxSbIA"
    assert request.authorization_details is not None
    assert request.authorization_details[0].credential_configuration_id == "Degree"
    request.check_tx_code(expected=True)


def test_tx_code_is_there_exactly_if_the_offer_had_it() -> None:
    """I-51: unexpected or missing is invalid_request, never invalid_grant."""
    form = {"grant_type": PRE_AUTHORIZED_CODE, "pre-authorized_code": "x"}
    without, with_code = parse_token_request(form), parse_token_request({**form, "tx_code": "1"})
    assert isinstance(without, PreAuthorizedCodeRequest)
    assert isinstance(with_code, PreAuthorizedCodeRequest)
    without.check_tx_code(expected=False)
    with_code.check_tx_code(expected=True)
    with pytest.raises(errors.InvalidRequest):
        without.check_tx_code(expected=True)
    with pytest.raises(errors.InvalidRequest):
        with_code.check_tx_code(expected=False)


def test_the_other_grants_parse() -> None:
    """I-50, I-54."""
    code = parse_token_request(
        {"grant_type": "authorization_code", "code": "c", "redirect_uri": "https://w.example/cb"}
    )
    assert isinstance(code, AuthorizationCodeRequest)
    assert code.code_verifier is None
    refresh = parse_token_request({"grant_type": "refresh_token", "refresh_token": "r"})
    assert isinstance(refresh, RefreshRequest)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"grant_type": PRE_AUTHORIZED_CODE},
        {"grant_type": PRE_AUTHORIZED_CODE, "pre_authorized_code": "x"},
        {"grant_type": "authorization_code", "code": "c"},
        {"grant_type": "authorization_code", "redirect_uri": "https://w.example/cb"},
        {"grant_type": "refresh_token"},
    ],
)
def test_a_token_request_that_lacks_a_parameter_is_an_invalid_request(
    form: dict[str, str],
) -> None:
    """I-50, I-51, I-95."""
    with pytest.raises(errors.InvalidRequest):
        parse_token_request(form)


def test_other_grant_types_are_unsupported() -> None:
    """I-95; I-11: implicit and password grants do not exist."""
    for grant in ("password", "client_credentials", "Authorization_code"):
        with pytest.raises(errors.UnsupportedGrantType):
            parse_token_request({"grant_type": grant})


@pytest.mark.parametrize(
    "details",
    [
        "{}",
        "[]",
        "[1]",
        "not json",
        '[{"type":"openid_credential"}]',
        '[{"type":"other","credential_configuration_id":"a"}]',
        '[{"type":"openid_credential","type":"x","credential_configuration_id":"a"}]',
        '[{"type":"openid_credential","credential_configuration_id":1}]',
    ],
)
def test_malformed_authorization_details_have_their_own_code(details: str) -> None:
    """I-52; RFC 9396, section 5."""
    with pytest.raises(errors.InvalidAuthorizationDetails):
        parse_token_request(
            {
                "grant_type": PRE_AUTHORIZED_CODE,
                "pre-authorized_code": "x",
                "authorization_details": details,
            }
        )


def test_a_token_response_is_read_whatever_the_case_of_its_type() -> None:
    """W-13, I-36, I-53: DPoP in any case; without expires_in; unknown members ignored."""
    text = b'{"access_token":"t","token_type":"dpOp","c_nonce":"old","expires_in":300}'
    response = TokenResponse.parse(text)
    response.check_bound()
    assert response.expires_in == 300
    assert TokenResponse(access_token="t", token_type="DPoP").to_object() == {
        "access_token": "t",
        "token_type": "DPoP",
    }
    with pytest.raises(InvalidInput):
        TokenResponse(access_token="t", token_type="Bearer").check_bound()


def test_a_token_response_says_which_datasets_it_is_for() -> None:
    """I-53, W-14: credential_identifiers are required in authorization_details."""
    detail: dict[str, Any] = {"type": "openid_credential", "credential_configuration_id": "a"}
    good = {
        "access_token": "t",
        "token_type": "DPoP",
        "authorization_details": [{**detail, "credential_identifiers": ["x", "y"]}],
    }
    details = TokenResponse.from_object(good).authorization_details
    assert details is not None
    assert details[0].credential_identifiers == ("x", "y")
    for bad in (detail, {**detail, "credential_identifiers": []}):
        with pytest.raises(InvalidInput):
            TokenResponse.from_object({**good, "authorization_details": [bad]})


@pytest.mark.parametrize(
    "text",
    [
        b'{"token_type":"DPoP"}',
        b'{"access_token":"","token_type":"DPoP"}',
        b'{"access_token":1,"token_type":"DPoP"}',
        b'{"access_token":"t","token_type":"DPoP","expires_in":"300"}',
        b'{"access_token":"t","token_type":"DPoP","expires_in":true}',
        b'{"access_token":"t","token_type":"DPoP","expires_in":0}',
        b'{"access_token":"t","access_token":"u","token_type":"DPoP"}',
        b"[]",
        b"",
    ],
)
def test_a_malformed_token_response_raises_our_error_without_its_content(text: bytes) -> None:
    """C-31; no pydantic error escapes, and no value gets into the message."""
    with pytest.raises(InvalidInput) as caught:
        TokenResponse.parse(text)
    assert "300" not in str(caught.value)


def test_a_challenge_response_is_one_member() -> None:
    """I-26; ABCA, section 8."""
    assert ChallengeResponse(attestation_challenge="c").to_object() == {
        "attestation_challenge": "c"
    }
    with pytest.raises(InvalidInput):
        ChallengeResponse.parse(b"{}")


def test_messages_are_frozen_and_hide_their_input_in_errors() -> None:
    """S-44."""
    with pytest.raises(InvalidInput) as caught:
        ErrorResponse.from_object({"error": 5, "error_description": "Jane Doe"})
    assert str(caught.value) == "ErrorResponse: error: string_type"
    assert "Jane" not in str(caught.value.__cause__)
    with pytest.raises(InvalidInput) as caught:
        ErrorResponse.from_object("Jane Doe")
    assert str(caught.value) == "ErrorResponse: message: model_type"
    message = ChallengeResponse(attestation_challenge="x")
    with pytest.raises(Exception, match="frozen"):
        message.attestation_challenge = "y"  # type: ignore[misc] # that is the point


@pytest.mark.parametrize(
    ("issuer", "name", "url"),
    [
        (
            "https://h.example/tenant",
            "openid-credential-issuer",
            "https://h.example/.well-known/openid-credential-issuer/tenant",
        ),
        (
            "https://h.example",
            "openid-credential-issuer",
            "https://h.example/.well-known/openid-credential-issuer",
        ),
        (
            "https://h.example:8443/test/a/x/",
            "openid-credential-issuer",
            "https://h.example:8443/.well-known/openid-credential-issuer/test/a/x/",
        ),
        (
            "https://h.example:8443/test/a/x/",
            "oauth-authorization-server",
            "https://h.example:8443/.well-known/oauth-authorization-server/test/a/x",
        ),
    ],
)
def test_the_well_known_string_goes_between_host_and_path(issuer: str, name: str, url: str) -> None:
    """I-01, W-03, W-04; CERTIFICATION 2.3.1: the slash at the end is kept, or dropped."""
    assert well_known_url(issuer, name) == url


def test_an_issuer_identifier_has_no_query_and_no_fragment() -> None:
    """I-01."""
    for issuer in (
        "https://h.example/?x=1",
        "https://h.example/?",
        "https://h.example/#",
        "http://h.example",
    ):
        with pytest.raises(InvalidInput):
            well_known_url(issuer, "openid-credential-issuer")


def as_metadata(**changes: object) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "pushed_authorization_request_endpoint": f"{ISSUER}/par",
        "require_pushed_authorization_requests": True,
        "challenge_endpoint": f"{ISSUER}/challenge",
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", PRE_AUTHORIZED_CODE],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "dpop_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["attest_jwt_client_auth"],
        "client_attestation_signing_alg_values_supported": ["ES256"],
        "client_attestation_pop_signing_alg_values_supported": ["ES256"],
        "pre-authorized_grant_anonymous_access_supported": False,
        **changes,
    }
    return {name: value for name, value in metadata.items() if value is not None}


def test_as_metadata_of_the_profile_round_trips() -> None:
    """I-10."""
    assert AuthorizationServerMetadata.from_object(as_metadata()).to_object() == as_metadata()


def test_as_metadata_of_another_issuer_is_not_used() -> None:
    """I-11, W-04, C-35, T-20: compared as plain strings."""
    metadata = AuthorizationServerMetadata.from_object(as_metadata())
    metadata.check_issuer(ISSUER)
    for other in (ISSUER + "/", "https://issuer.EXAMPLE/t1", "https://other.example"):
        with pytest.raises(InvalidInput):
            metadata.check_issuer(other)


@pytest.mark.parametrize(
    "changes",
    [
        {"token_endpoint": "http://issuer.example/token"},
        {"token_endpoint": None},
        {"client_attestation_signing_alg_values_supported": None},
        {"client_attestation_pop_signing_alg_values_supported": None},
        {"grant_types_supported": []},
        {"require_pushed_authorization_requests": "true"},
    ],
)
def test_malformed_as_metadata_is_refused(changes: dict[str, object]) -> None:
    """I-11: https endpoints; both algorithm lists beside attest_jwt_client_auth."""
    with pytest.raises(InvalidInput):
        AuthorizationServerMetadata.from_object(as_metadata(**changes))


def test_the_first_usable_key_is_chosen_and_others_are_skipped() -> None:
    """C-08, W-61, T-21: unknown kinds, other uses; a key without `use` is good."""
    unusable: list[dict[str, Any]] = [
        {"kty": "AKP", "alg": "ML-KEM-768", "kid": "pq", "pub": "x"},
        {"kty": "OKP", "crv": "X25519", "alg": "ECDH-ES", "kid": "x", "x": "WPX7wnwq10hFNK9aDSyG1"},
        {**JWK, "use": "sig"},
        {**JWK, "alg": "RSA-OAEP"},
        {name: value for name, value in JWK.items() if name != "alg"},
        {**JWK, "d": "AAAA"},
        {**JWK, "kid": 7},
    ]
    good = {name: value for name, value in JWK.items() if name != "use"}
    key = choose_encryption_key(Jwks.from_object({"keys": [*unusable, good, {**JWK, "kid": "b"}]}))
    assert key.kid == "ac"
    assert key.to_jwk() == JWK
    with pytest.raises(InvalidInput):
        choose_encryption_key(Jwks.from_object({"keys": unusable}))
    with pytest.raises(InvalidInput):
        Jwks.from_object({"keys": []})


def test_a_key_without_kid_stays_without() -> None:
    """C-08; OpenID4VCI 1.0, section 10: then the JWE has none either."""
    jwk = {name: value for name, value in JWK.items() if name != "kid"}
    key = EncryptionKey.from_jwk(jwk)
    assert key.kid is None
    assert "kid" not in key.to_jwk()


def test_a256gcm_is_preferred() -> None:
    """C-04, W-61."""
    assert choose_enc(["A128GCM", "A256GCM"]) == "A256GCM"
    assert choose_enc(["A128GCM", "A128CBC-HS256"]) == "A128GCM"
    with pytest.raises(InvalidInput):
        choose_enc(["A128CBC-HS256"])


def every_error() -> list[type[ProtocolError]]:
    found = {
        each
        for module in (errors, vci_errors, vp_errors)
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, ProtocolError) and "error" in vars(each)
    }
    return sorted(found, key=lambda each: each.__name__)


def test_every_code_says_how_to_go_on_in_permitted_characters() -> None:
    """I-95: error_description is printable ASCII without quote and backslash."""
    found = every_error()
    assert {each.error for each in found} == REGISTERED
    for each in found:
        assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", each.public)


REGISTERED = {
    *("invalid_request", "invalid_client", "invalid_client_attestation", "invalid_grant"),
    *("use_attestation_challenge", "use_fresh_attestation", "unauthorized_client"),
    *("unsupported_grant_type", "unsupported_response_type", "invalid_scope", "access_denied"),
    *("server_error", "temporarily_unavailable", "invalid_target", "invalid_request_uri"),
    *("invalid_authorization_details", "invalid_dpop_proof", "use_dpop_nonce", "invalid_token"),
    *("insufficient_scope", "invalid_credential_request", "unknown_credential_configuration"),
    *("unknown_credential_identifier", "invalid_proof", "invalid_nonce", "invalid_transaction_id"),
    *("invalid_encryption_parameters", "credential_request_denied", "invalid_notification_id"),
    *("invalid_notification_request", "vp_formats_not_supported", "invalid_request_uri_method"),
    *("invalid_transaction_data", "wallet_unavailable"),
}


def test_resources_answer_with_a_challenge_and_servers_do_not() -> None:
    """I-34, I-95; RFC 6750, section 3; RFC 9449, sections 7.1, 8 and 9."""
    challenge = 'DPoP error="{}", algs="ES256"'
    at_resource: list[ProtocolError] = [
        errors.InvalidToken("x"),
        errors.InvalidDpopProofAtResource("x"),
        errors.UseDpopNonceAtResource("x", fresh="n1"),
        errors.InsufficientScope("x"),
    ]
    for error in at_resource:
        assert error.headers["WWW-Authenticate"] == challenge.format(error.error)
    assert [error.status for error in at_resource] == [401, 401, 401, 403]
    assert at_resource[2].headers["DPoP-Nonce"] == "n1"
    assert errors.InvalidDpopProof("x").headers == {}
    assert errors.UseDpopNonce("x", fresh="n2").headers == {"DPoP-Nonce": "n2"}
    assert errors.UseDpopNonce("x", fresh="n2").status == 400
    assert errors.UseAttestationChallenge("x", fresh="c").headers == {
        "OAuth-Client-Attestation-Challenge": "c"
    }
    assert errors.InvalidClient("x").status == 401
