"""The pushed authorization request: RFC 9126, section 2.1; PROFILE I-40 to I-43, T-01."""

from typing import Any

import pytest

from shared.errors import ProtocolError
from shared.oauth.errors import InvalidRequest
from shared.oauth.messages import PushedResponse, check_redirect_uri, parse_pushed_request

FORM = {
    "response_type": "code",
    "client_id": "https://wallet.example",
    "redirect_uri": "https://wallet.example/callback",
    "scope": "pid",
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
}


def test_a_pushed_request_is_read() -> None:
    """I-40, C-32: unknown parameters are ignored, optional ones may be absent."""
    found = parse_pushed_request({**FORM, "unknown": "x"})
    assert (found.client_id, found.scope, found.state) == (FORM["client_id"], "pid", None)
    details = '[{"type": "openid_credential", "credential_configuration_id": "pid"}]'
    more = {"state": "s" * 4096, "issuer_state": "i", "authorization_details": details}
    found = parse_pushed_request({**FORM, **more, "response_mode": "query"})
    assert found.authorization_details is not None
    assert found.state == more["state"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"request_uri": "urn:x"}, "invalid_request"),
        ({"request": "a.b.c"}, "invalid_request"),
        ({"client_id": None}, "invalid_request"),
        ({"client_id": "c" * 201}, "invalid_request"),
        ({"client_id": "line\nfeed"}, "invalid_request"),
        ({"client_id": "feed at the end\n"}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": "https://a.example/" + "b" * 2048}, "invalid_request"),
        ({"state": "s" * 4097}, "invalid_request"),
        ({"state": "\x00"}, "invalid_request"),
        ({"dpop_jkt": "A" * 42}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"authorization_details": "x"}, "invalid_authorization_details"),
    ],
)
def test_a_faulty_one_is_refused(changes: dict[str, Any], error: str) -> None:
    """T-01, I-40."""
    form = {name: value for name, value in {**FORM, **changes}.items() if value is not None}
    with pytest.raises(ProtocolError) as caught:
        parse_pushed_request(form)
    assert caught.value.error == error


@pytest.mark.parametrize(
    "uri",
    [
        "https://wallet.example/callback?a=b",
        "http://localhost:7000/callback",
        "http://127.0.0.1/callback",
        "eu.europa.ec.euidi://authorization",
        "com.example.app:/callback",
    ],
)
def test_codes_may_go_there(uri: str) -> None:
    """I-43: https, an app's own scheme, this machine."""
    check_redirect_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://wallet.example/callback",
        "https://user@wallet.example/callback",
        "https://wallet.example/callback#fragment",
        "com.example.app:/callback#fragment",
        "com.example.app:",
        "com.example.app:/call back",
        "openid4vci://callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "//wallet.example",
        "wallet.example",
        "",
    ],
)
def test_codes_never_go_there(uri: str) -> None:
    """I-43, C-55: a fragment, a script, a scheme without an owner, http elsewhere."""
    with pytest.raises(InvalidRequest):
        check_redirect_uri(uri)


def test_the_answer_lives_for_a_while() -> None:
    """I-41."""
    assert PushedResponse(request_uri="urn:x", expires_in=90).to_object() == {
        "request_uri": "urn:x",
        "expires_in": 90,
    }
