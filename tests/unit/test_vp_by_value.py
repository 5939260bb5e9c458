"""Requests outside HAIP: OpenID4VP 1.0, sections 5.1, 5.7 and 5.9.3; PROFILE W-50, W-53, W-54."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from shared.encoding import b64url_encode
from shared.oid4vp import by_value, invocation, request, response, transaction_data
from shared.oid4vp.by_value import Carried
from shared.oid4vp.errors import AccessDenied, InvalidRequest, InvalidTransactionData
from shared.oid4vp.transaction_types import STATEMENT, TYPES

RESPONSE_URI = "https://verifier.example/response/1"
CLIENT = f"redirect_uri:{RESPONSE_URI}"
QUERY = {
    "credentials": [
        {"id": "pid", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:eudi:pid:1"]}}
    ]
}


def parameters(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "client_id": CLIENT,
        "response_type": "vp_token",
        "response_mode": "direct_post",
        "response_uri": RESPONSE_URI,
        "nonce": "n" * 43,
        "dcql_query": QUERY,
        "client_metadata": {"vp_formats_supported": {"dc+sd-jwt": {}}},
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def link(**changes: Any) -> str:
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in parameters(**changes).items()
    }
    return f"https://wallet.example/authorize?{urlencode(texts, quote_via=quote)}"


def unsigned(header: dict[str, Any] | None = None, signature: str = "", **changes: Any) -> str:
    head = {"alg": "none", "typ": request.TYP} if header is None else header
    parts = [json.dumps(each).encode() for each in (head, parameters(**changes))]
    return ".".join([*(b64url_encode(each) for each in parts), signature])


def verify(carried: Any, **changes: Any) -> request.VerifiedRequest:
    options: dict[str, Any] = {
        "client_id": CLIENT,
        "wallet_nonce": None,
        "formats": ["dc+sd-jwt"],
        "transaction_types": TYPES,
    }
    return by_value.verify_unsigned(carried, **{**options, **changes})


def test_a_link_carries_the_parameters_or_where_they_lie() -> None:
    """OpenID4VP 1.0, sections 5.1 and 5.7."""
    carried = by_value.parse_link(link())
    assert isinstance(carried, Carried)
    assert (carried.client_id, carried.signed) == (CLIENT, None)
    verified = verify(carried.parameters)
    assert (verified.chain, verified.encryption_key) == (None, None)
    assert verified.response_uri == RESPONSE_URI
    signed = by_value.parse_link("openid4vp://?client_id=x509_hash:abc&request=a.b.c")
    assert isinstance(signed, Carried)
    assert signed.signed == "a.b.c"
    by_reference = by_value.parse_link(
        f"openid4vp://?client_id={CLIENT}&request_uri=https://v.example/1"
    )
    assert isinstance(by_reference, invocation.RequestLink)
    with pytest.raises(InvalidRequest):
        by_value.parse_link(
            "openid4vp://?client_id=x509_hash:a&request=a.b.c&request_uri=https://v.example/1"
        )
    with pytest.raises(InvalidRequest):
        by_value.parse_link("openid4vp://?request=a.b.c")


def test_without_response_uri_the_answer_goes_to_the_client() -> None:
    """OpenID4VP 1.0, section 5.9.3; CERTIFICATION 1.6, alternate-happy-flow."""
    assert verify(unsigned(response_uri=None)).response_uri == RESPONSE_URI


@pytest.mark.parametrize(
    "changes",
    [
        {"response_uri": "https://elsewhere.example/"},
        {"client_id": "redirect_uri:https://elsewhere.example/"},
        {"response_mode": "direct_post.jwt"},
        {"response_mode": "fragment"},
        {"redirect_uri": "https://verifier.example/"},
        {"nonce": None},
        {"aud": "https://another.example"},
        {"scope": "pid"},
        {"dcql_query": {"credentials": []}},
        {"client_metadata": None},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    """W-53, W-54: each with its accepted twin above."""
    with pytest.raises(InvalidRequest):
        verify(unsigned(**changes))


def test_an_object_of_this_prefix_is_never_signed() -> None:
    """OpenID4VP 1.0, section 5.9.3: and a signed one of another prefix is not taken here."""
    for header in (
        {"alg": "ES256", "typ": request.TYP},
        {"alg": "none"},
        {"alg": "none", "typ": "JWT"},
    ):
        with pytest.raises(InvalidRequest):
            verify(unsigned(header))
    with pytest.raises(InvalidRequest):
        verify(unsigned(signature="AAAA"))
    with pytest.raises(InvalidRequest):
        verify(unsigned(), client_id="x509_hash:abc")
    for wrong in ("redirect_uri:http://verifier.example/", "redirect_uri:nowhere"):
        with pytest.raises(InvalidRequest):
            verify(unsigned(client_id=wrong), client_id=wrong)


def test_the_wallet_nonce_comes_back() -> None:
    """W-52."""
    assert verify(unsigned(wallet_nonce="fresh"), wallet_nonce="fresh")
    with pytest.raises(InvalidRequest):
        verify(unsigned(wallet_nonce="stale"), wallet_nonce="fresh")


def test_a_plain_answer_is_read_as_it_was_made() -> None:
    """OpenID4VP 1.0, section 8.2: `vp_token` is a JSON object, `state` a field of its own."""
    shown = response.presentations({"pid": ["a~b"]}, state="s")
    assert response.parse_posted(response.plain(shown), encrypted=False) == shown
    refused = response.refusal(AccessDenied("no"), state=None)
    assert response.parse_posted(response.plain(refused), encrypted=False) == refused
    with pytest.raises(InvalidRequest):
        response.parse_posted(response.plain(shown))


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"texts": {}},
        {"texts": {"en": ""}},
        {"texts": {"not a language": "x"}},
        {"texts": {"en": "x"}, "amount": 1},
        {"texts": {"en": "x"}, "reference": ""},
    ],
    ids=str,
)
def test_a_statement_has_texts_and_nothing_unknown(details: dict[str, Any]) -> None:
    """HB-31: unknown, wrong or missing members of a known type."""
    good: dict[str, Any] = {
        "type": STATEMENT,
        "credential_ids": ["pid"],
        "texts": {"en": "I agree."},
    }
    verified = verify(unsigned(transaction_data=[transaction_data.make(good)]))
    assert verified.transaction_data[0].details == {"texts": {"en": "I agree."}}
    entry = transaction_data.make({"type": STATEMENT, "credential_ids": ["pid"], **details})
    with pytest.raises(InvalidTransactionData):
        verify(unsigned(transaction_data=[entry]))
