"""Credential Offers: OpenID4VCI 1.0, section 4; PROFILE I-20 to I-25, W-01, W-02, W-05."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from shared.errors import InvalidInput
from shared.oauth.messages import PRE_AUTHORIZED_CODE
from shared.oid4vci.offer import (
    AuthorizationCodeGrant,
    CredentialOffer,
    Grants,
    PreAuthorizedGrant,
    TxCode,
    offer_link,
    parse_offer,
    parse_offer_link,
    parse_offer_parameters,
)
from tests.support.vectors import vector_text

PRINTED: dict[str, Any] = {
    "credential_issuer": "https://credential-issuer.example.com",
    "credential_configuration_ids": ["UniversityDegreeCredential", "org.iso.18013.5.1.mDL"],
    "grants": {
        PRE_AUTHORIZED_CODE: {
            "pre-authorized_code": "oaKazRN8I0IbtZ0C7JuMn5",
            "tx_code": {
                "length": 4,
                "input_mode": "numeric",
                "description": "Please provide the one-time code that was sent via e-mail",
            },
        }
    },
}
OFFER = CredentialOffer(
    credential_issuer="https://issuer.example/t1",
    credential_configuration_ids=("pid_sd_jwt",),
    grants=Grants(pre_authorized=PreAuthorizedGrant(pre_authorized_code="c", tx_code=TxCode())),
)
URI = "https://issuer.example/t1/offers/off_1"


def test_the_offer_of_the_specification_parses_and_is_written_alike() -> None:
    """OpenID4VCI 1.0, section 4.1.1; I-20, I-22."""
    offer = parse_offer(json.dumps(PRINTED))
    grant = offer.pre_authorized
    assert grant is not None
    assert grant.tx_code is not None
    assert (grant.tx_code.length, grant.tx_code.input_mode) == (4, "numeric")
    assert offer.authorization_code is None
    assert json.loads(offer.to_json()) == PRINTED


def test_an_empty_tx_code_object_still_means_a_code() -> None:
    """I-22: present, even empty; the default is numeric."""
    assert json.loads(OFFER.to_json())["grants"] == {
        PRE_AUTHORIZED_CODE: {"pre-authorized_code": "c", "tx_code": {}}
    }
    grant = parse_offer(OFFER.to_json()).pre_authorized
    assert grant is not None
    assert grant.tx_code == TxCode()
    assert grant.tx_code.input_mode == "numeric"


def test_an_offer_may_leave_the_grant_to_the_wallet() -> None:
    """W-05: no grants, empty grants, unknown grants; several at once; unknown members ignored."""
    base = {name: PRINTED[name] for name in ("credential_issuer", "credential_configuration_ids")}
    variants: list[dict[str, Any]] = [
        {},
        {"grants": {}},
        {"grants": {"urn:other": {"x": 1}}, "more": True},
    ]
    for grants in variants:
        offer = parse_offer(json.dumps({**base, **grants}))
        assert offer.pre_authorized is None
        assert offer.authorization_code is None
    both = {
        "authorization_code": {"issuer_state": "s", "authorization_server": "https://as.example"},
        **PRINTED["grants"],
    }
    offer = parse_offer(json.dumps({**base, "grants": both}))
    assert offer.authorization_code == AuthorizationCodeGrant(
        issuer_state="s", authorization_server="https://as.example"
    )
    assert offer.pre_authorized is not None


def grant(**members: Any) -> dict[str, Any]:
    return {"grants": {PRE_AUTHORIZED_CODE: members}}


@pytest.mark.parametrize(
    "changes",
    [
        {"credential_issuer": None},
        {"credential_issuer": "http://issuer.example"},
        {"credential_issuer": "issuer.example"},
        {"credential_configuration_ids": None},
        {"credential_configuration_ids": []},
        {"credential_configuration_ids": ["a", "a"]},
        {"credential_configuration_ids": [""]},
        {"credential_configuration_ids": "a"},
        {"grants": []},
        grant(),
        grant(pre_authorized_code="c"),
        grant(**{"pre-authorized_code": ""}),
        grant(**{"pre-authorized_code": "c", "tx_code": True}),
        grant(**{"pre-authorized_code": "c", "tx_code": {"input_mode": "digits"}}),
        grant(**{"pre-authorized_code": "c", "tx_code": {"length": "4"}}),
        grant(**{"pre-authorized_code": "c", "tx_code": {"length": 0}}),
        grant(**{"pre-authorized_code": "c", "tx_code": {"description": "x" * 301}}),
        {"grants": {"authorization_code": {"issuer_state": 5}}},
    ],
)
def test_a_malformed_offer_is_refused(changes: dict[str, Any]) -> None:
    """I-20, I-21, I-22, W-01."""
    offer = {name: value for name, value in {**PRINTED, **changes}.items() if value is not None}
    with pytest.raises(InvalidInput):
        parse_offer(json.dumps(offer))


def test_an_offer_with_a_repeated_member_or_too_large_is_refused() -> None:
    """C-31, S-20."""
    text = json.dumps(PRINTED)
    with pytest.raises(InvalidInput):
        parse_offer(text[:-1] + ',"credential_issuer":"https://x.example"}')
    with pytest.raises(InvalidInput):
        parse_offer(text + " " * 16384)


@pytest.mark.parametrize(
    "endpoint",
    ["openid-credential-offer://", "haip-vci://", "https://wallet.example/offer"],
)
def test_links_carry_an_offer_by_value_or_by_reference(endpoint: str) -> None:
    """I-23, I-24, W-02."""
    by_value = parse_offer_link(offer_link(offer=OFFER, endpoint=endpoint))
    assert (by_value.offer, by_value.offer_uri) == (OFFER, None)
    by_reference = parse_offer_link(offer_link(offer_uri=URI, endpoint=endpoint))
    assert (by_reference.offer, by_reference.offer_uri) == (None, URI)


def test_a_wallet_endpoint_keeps_its_own_query() -> None:
    """I-24; the other parameters of the wallet are not the offer's business."""
    link = offer_link(offer_uri=URI, endpoint="https://wallet.example/offer?tenant=a")
    assert link == f"https://wallet.example/offer?tenant=a&credential_offer_uri={quote(URI, '')}"
    assert parse_offer_link(link).offer_uri == URI


def test_the_scheme_of_a_link_is_not_case_sensitive() -> None:
    """RFC 3986, section 3.1."""
    assert parse_offer_link(offer_link(offer_uri=URI, endpoint="OPENID-credential-offer://")) == (
        parse_offer_link(offer_link(offer_uri=URI))
    )


@pytest.mark.parametrize(
    "link",
    [
        "",
        "openid-credential-offer://",
        "openid-credential-offer://?",
        "openid-credential-offer://?other=1",
        f"openid-credential-offer://?credential_offer_uri={URI}&credential_offer=%7B%7D",
        f"openid-credential-offer://?credential_offer_uri={URI}&credential_offer_uri={URI}",
        "openid-credential-offer://?credential_offer_uri=http://issuer.example/1",
        "openid-credential-offer://?credential_offer_uri=file:///etc/passwd",
        "openid-credential-offer://?credential_offer=%7B%7D",
        "openid-credential-offer://?credential_offer=%zz",
        f"openid4vp://?credential_offer_uri={URI}",
        f"javascript:alert(1)?credential_offer_uri={URI}",
        f"http://wallet.example/?credential_offer_uri={URI}",
        f"https://me@wallet.example/?credential_offer_uri={URI}",
    ],
)
def test_any_other_link_is_refused(link: str) -> None:
    """W-01, I-23: both or neither, repeated, not https, other schemes."""
    with pytest.raises(InvalidInput):
        parse_offer_link(link)


def test_the_wallet_endpoint_takes_the_same_parameters() -> None:
    """W-01, W-02; CERTIFICATION 2.3.6."""
    assert parse_offer_parameters({"credential_offer_uri": URI}).offer_uri == URI
    assert parse_offer_parameters({"credential_offer": json.dumps(PRINTED)}).offer is not None
    with pytest.raises(InvalidInput):
        parse_offer_parameters({})


def test_a_link_carries_exactly_one_of_the_two() -> None:
    """I-23."""
    for both_or_none in ({"offer": OFFER, "offer_uri": URI}, {}):
        with pytest.raises(InvalidInput):
            offer_link(**both_or_none)  # type: ignore[arg-type] # either kind


@pytest.mark.vectors
def test_the_printed_offers_parse() -> None:
    """OpenID4VCI 1.0, section 4.1 and appendix H."""
    for name in ("multiple_credentials", "pre-authz_code", "by_reference"):
        printed = parse_offer(vector_text(f"openid4vci-1_0/credential_offer_{name}.json"))
        assert printed.pre_authorized is not None
        assert printed.pre_authorized.tx_code is not None
    answer = vector_text("openid4vci-1_0/credential_offer_authz_code.txt")
    assert parse_offer(answer.partition("\n\n")[2]).authorization_code is not None
