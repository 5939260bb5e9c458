"""What an OpenID Provider says is believed only if it is the right one's, about this very visit."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc.jwk import ECKey, OctKey

from issuer_service.tenants import OpenIdFile
from shared.oauth import pkce
from shared.runtime.connections import FetchPolicy
from shared.runtime.fetch import Fetcher
from shared.runtime.openid import (
    NotSignedIn,
    OpenIdProvider,
    ProviderUnavailable,
    ProviderVisit,
)
from tests.support.clock import NOW
from tests.support.openid import CLIENT_ID, LyingProvider

VISIT = ProviderVisit("flow.state", "nonce", "v" * 43)
FILE: dict[str, Any] = {
    "issuer": LyingProvider.issuer,
    "names": {"en": "Login"},
    "client_id": CLIENT_ID,
    "scope": "openid",
    "match": {"reference": "personal_number"},
}
EPOCH = int(NOW.timestamp())
Change = Callable[[LyingProvider], object]


@pytest.fixture
def liar() -> LyingProvider:
    made = LyingProvider()
    made.claims = {
        "iss": made.issuer,
        "sub": "anna",
        "aud": CLIENT_ID,
        "iat": EPOCH,
        "exp": EPOCH + 300,
        "nonce": VISIT.nonce,
        "personal_number": "AV-000001",
    }
    made.userinfo = {"sub": "anna", "personal_number": "AV-000001"}
    return made


def client(liar: LyingProvider, **changes: Any) -> OpenIdProvider:
    file = OpenIdFile.model_validate({**FILE, **changes})
    fetcher = Fetcher(FetchPolicy(), transport=liar)
    return OpenIdProvider(file, fetcher, redirect_uri="https://issuer.example/r/login-return")


def come_back(liar: LyingProvider, answer: Any = None, **changes: Any) -> Any:
    file = OpenIdFile.model_validate({**FILE, **changes})
    made = client(liar, **changes)
    found = made.claims(
        VISIT, {"code": "c", "state": VISIT.state} if answer is None else answer, now=NOW
    )
    return file.fields(found)


def test_the_browser_leaves_with_state_nonce_and_challenge(liar: LyingProvider) -> None:
    """RFC 7636, section 4.3; OpenID Connect Core 1.0, section 3.1.2.1."""
    url = client(liar, acr=["high", "substantial"]).authorization_url(VISIT, locale="de", now=NOW)
    assert url.startswith(f"{liar.issuer}/auth?")
    assert dict(parse_qsl(urlsplit(url).query)) == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": "https://issuer.example/r/login-return",
        "scope": "openid",
        "state": VISIT.state,
        "nonce": VISIT.nonce,
        "code_challenge": pkce.challenge(VISIT.verifier),
        "code_challenge_method": "S256",
        "ui_locales": "de",
        "acr_values": "high substantial",
    }


def test_the_right_answer_leads_to_the_register(liar: LyingProvider) -> None:
    assert come_back(liar) == {"reference": "AV-000001"}
    assert liar.forms[0]["code_verifier"] == VISIT.verifier
    assert "/me" not in liar.asked  # the ID token said it all


def test_a_claim_may_come_from_the_userinfo_of_the_same_person(liar: LyingProvider) -> None:
    """OpenID Connect Core 1.0, section 5.3.4; of another subject it is refused."""
    del liar.claims["personal_number"]
    assert come_back(liar) == {"reference": "AV-000001"}
    liar.userinfo["sub"] = "another"
    with pytest.raises(NotSignedIn):
        come_back(liar)


def test_the_userinfo_never_overrides_the_id_token(liar: LyingProvider) -> None:
    liar.claims["acr"] = "low"
    liar.userinfo["acr"] = "high"
    del liar.claims["personal_number"]
    with pytest.raises(NotSignedIn):
        come_back(liar, acr=["high"])


@pytest.mark.parametrize(
    "answer",
    [
        {"code": "c"},
        {"code": "c", "state": "flow.other"},
        {"state": VISIT.state},
        {"state": VISIT.state, "error": "access_denied"},
        {"state": VISIT.state, "code": "c", "error": "access_denied"},
        {"state": VISIT.state, "code": "c", "iss": "https://evil.example"},
    ],
)
def test_an_answer_that_is_not_of_this_visit_is_refused(
    liar: LyingProvider, answer: dict[str, str]
) -> None:
    """RFC 6749, section 10.12; RFC 9207, section 2.4."""
    with pytest.raises(NotSignedIn):
        come_back(liar, answer)
    assert liar.forms == []


def test_a_provider_that_names_itself_must_do_so(liar: LyingProvider) -> None:
    """RFC 9207, section 2.4: once announced, `iss` may not be missing."""
    liar.metadata["authorization_response_iss_parameter_supported"] = True
    with pytest.raises(NotSignedIn):
        come_back(liar)
    answer = {"code": "c", "state": VISIT.state, "iss": liar.issuer}
    assert come_back(liar, answer) == {"reference": "AV-000001"}


def _claim(name: str, value: Any) -> Change:
    def change(liar: LyingProvider) -> None:
        liar.claims = {**liar.claims, name: value}

    return change


def _without(name: str) -> Change:
    return lambda liar: liar.claims.pop(name)


def _other_key(liar: LyingProvider) -> None:
    liar.signer = ECKey.generate_key("P-256", {"kid": "one"})


def _symmetric(liar: LyingProvider) -> None:
    """The public key as a secret (RFC 8725, section 2.1)."""
    liar.signer = OctKey.import_key(b"x" * 32)
    liar.header = {"alg": "HS256", "kid": "one"}


def _none(liar: LyingProvider) -> None:
    liar.with_id_token = False
    liar.token["id_token"] = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0."


CHANGES: dict[str, Change] = {
    "another nonce": _claim("nonce", "other"),
    "no nonce": _without("nonce"),
    "another audience": _claim("aud", "somebody"),
    "several audiences, no azp": _claim("aud", [CLIENT_ID, "somebody"]),
    "another azp": _claim("azp", "somebody"),
    "another issuer": _claim("iss", "https://evil.example"),
    "expired": _claim("exp", EPOCH - 61),
    "no exp": _without("exp"),
    "no sub": _without("sub"),
    "no iat": _without("iat"),
    "another access token": _claim("at_hash", "x" * 22),
    "another key": _other_key,
    "symmetric": _symmetric,
    "alg none": _none,
    "no ID token": lambda liar: setattr(liar, "with_id_token", False),
    "an error": lambda liar: setattr(liar, "token", {"error": "invalid_grant"}),
    "a claim is no text": _claim("personal_number", 7),
    "a claim is empty": _claim("personal_number", ""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_not_to_be_believed_is_not(liar: LyingProvider, change: Change) -> None:
    """OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725."""
    change(liar)
    with pytest.raises(NotSignedIn) as refused:
        come_back(liar)
    assert "AV-" not in str(refused.value)


@pytest.mark.parametrize(
    ("demand", "said"),
    [({"acr": ["high"]}, {"acr": "low"}), ({"require": {"verified": True}}, {"verified": "true"})],
)
def test_the_agency_may_demand_more(
    liar: LyingProvider, demand: dict[str, Any], said: dict[str, Any]
) -> None:
    liar.claims |= said
    with pytest.raises(NotSignedIn):
        come_back(liar, **demand)
    liar.claims |= {"acr": "high", "verified": True}
    assert come_back(liar, **demand) == {"reference": "AV-000001"}


@pytest.mark.parametrize(
    "change",
    [
        lambda liar: setattr(liar, "down", True),
        lambda liar: liar.metadata.update(issuer="https://evil.example"),
        lambda liar: liar.metadata.pop("jwks_uri"),
        lambda liar: liar.metadata.update(authorization_endpoint="http://login.example/auth"),
        lambda liar: liar.metadata.update(jwks_uri="http://login.example/jwks"),
        lambda liar: liar.metadata.update(jwks_uri="https://127.0.0.1:1/jwks"),
        lambda liar: setattr(liar, "published", []),
    ],
)
def test_a_provider_that_cannot_be_used_is_our_fault_and_passes(
    liar: LyingProvider, change: Change
) -> None:
    """Discovery 1.0, section 4.3; S-11."""
    change(liar)
    with pytest.raises((ProviderUnavailable, NotSignedIn)):
        come_back(liar)


def test_a_provider_that_goes_down_meanwhile_is_unavailable(liar: LyingProvider) -> None:
    made = client(liar)
    made.check(NOW)
    liar.status = 503
    with pytest.raises(ProviderUnavailable):
        made.claims(VISIT, {"code": "c", "state": VISIT.state}, now=NOW)
    liar.down = True
    with pytest.raises(ProviderUnavailable):
        made.claims(VISIT, {"code": "c", "state": VISIT.state}, now=NOW)
    with pytest.raises(ProviderUnavailable):
        made.check(NOW + timedelta(hours=1))


def test_keys_are_fetched_again_when_one_is_unknown_but_not_at_every_lie(
    liar: LyingProvider,
) -> None:
    """OpenID Connect Core 1.0, section 10.1.1."""
    made = client(liar)
    made.check(NOW)
    fresh = ECKey.generate_key("P-256", {"kid": "two", "alg": "ES256", "use": "sig"})
    liar.signer, liar.published, liar.header = fresh, [fresh], {"alg": "ES256", "kid": "two"}
    answer = {"code": "c", "state": VISIT.state}
    with pytest.raises(NotSignedIn):
        made.claims(VISIT, answer, now=NOW + timedelta(seconds=29))
    assert liar.asked.count("/jwks") == 1
    assert made.claims(VISIT, answer, now=NOW + timedelta(seconds=31))["sub"] == "anna"
    assert liar.asked.count("/jwks") == 2


def test_a_provider_that_is_down_is_not_asked_by_everybody(liar: LyingProvider) -> None:
    """Threads that wait for it are missing elsewhere."""
    liar.down = True
    made = client(liar)
    for _ in range(6):
        with pytest.raises(ProviderUnavailable):
            made.check(NOW)
    assert len(liar.asked) == 3
