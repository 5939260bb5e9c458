"""DPoP: RFC 9449; PROFILE I-33 to I-36, C-41, T-04; CERTIFICATION 2.2.6."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_encode, dump_json, from_numeric_date, to_numeric_date
from shared.errors import WrongNonce
from shared.jose.jws import parse_jws
from shared.oauth import dpop
from shared.oauth.errors import (
    InvalidDpopProof,
    InvalidDpopProofAtResource,
    InvalidGrant,
    InvalidToken,
    UseDpopNonce,
    UseDpopNonceAtResource,
)
from shared.oauth.messages import NonceSource
from tests.support.clock import NOW, CountingBytes

URL = "https://issuer.example/t1/token"
KEY = SoftwareKey.generate()
TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"


def proof(**more: Any) -> str:
    return dpop.make_proof(**{"signer": KEY, "method": "POST", "url": URL, "now": NOW, **more})


def verify(*proofs: str, **more: Any) -> dpop.DpopProof:
    expected: dict[str, Any] = {
        "method": "POST",
        "url": URL,
        "now": NOW,
        "access_token": None,
        "expected_jkt": None,
        "nonces": None,
        **more,
    }
    return dpop.verify(proofs, **expected)


def forged(
    header: dict[str, Any] | None = None,
    key: SoftwareKey = KEY,
    **claims: Any,
) -> str:
    """A proof with these changes, signed; None takes a member away."""
    good_header: dict[str, Any] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.public.to_jwk()}
    good = {"jti": "j", "htm": "POST", "htu": URL, "iat": to_numeric_date(NOW)}
    parts = [
        b64url_encode(dump_json({k: v for k, v in each.items() if v is not None}))
        for each in ({**good_header, **(header or {})}, {**good, **claims})
    ]
    signing_input = ".".join(parts)
    return f"{signing_input}.{b64url_encode(key.sign(signing_input.encode()))}"


def test_a_proof_verifies_for_the_request_it_was_made_for() -> None:
    """I-33; RFC 9449, section 4.3."""
    verified = verify(proof())
    assert verified.key == KEY.public
    assert verified.jkt == dpop.thumbprint(KEY.public)
    assert verified.issued_at == NOW


def test_the_proof_of_the_specification_has_its_thumbprint_and_verifies() -> None:
    """RFC 9449, sections 4.2, 5 and 7.1: the printed example, its jkt and its ath."""
    text = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0Vj"
        "NoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5"
        "VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TV"
        "CIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8"
        "lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
    )
    verified = verify(
        text, url="https://server.example.com/token", now=from_numeric_date(1562262616)
    )
    assert verified.jkt == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert dpop.token_hash(TOKEN) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


def test_exactly_one_header_is_wanted() -> None:
    """T-04, I-56: no proof, two proofs."""
    for proofs in ((), (proof(), proof())):
        with pytest.raises(InvalidDpopProof):
            verify(*proofs)


@pytest.mark.parametrize(
    "header",
    [
        {"typ": None},
        {"typ": "JWT"},
        {"alg": "RS256"},
        {"alg": "none"},
        {"alg": "HS256"},
        {"jwk": None},
        {"jwk": {**KEY.public.to_jwk(), "d": "AAAA"}},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jwk": SoftwareKey.generate().public.to_jwk()},
    ],
)
def test_a_wrong_header_is_refused(header: dict[str, Any]) -> None:
    """T-04, C-03, C-07: typ, alg, jwk missing or wrong, private key, key of somebody else."""
    with pytest.raises(InvalidDpopProof):
        verify(forged(header))


@pytest.mark.parametrize(
    "claims",
    [
        {"jti": None},
        {"jti": ""},
        {"jti": 5},
        {"jti": "x" * 257},
        {"htm": None},
        {"htm": "GET"},
        {"htm": "post"},
        {"htu": None},
        {"htu": "https://issuer.example/t1/nonce"},
        {"htu": "https://other.example/t1/token"},
        {"htu": "http://issuer.example/t1/token"},
        {"htu": "https://issuer.example:8443/t1/token"},
        {"htu": "https://me@issuer.example/t1/token"},
        {"htu": "mailto:issuer.example"},
        {"htu": "https://[::1/t1/token"},
        {"iat": None},
        {"iat": str(to_numeric_date(NOW))},
        {"iat": to_numeric_date(NOW) + 0.5},
    ],
)
def test_a_missing_or_wrong_claim_is_refused(claims: dict[str, Any]) -> None:
    """T-04: jti, htm, htu and iat."""
    with pytest.raises(InvalidDpopProof):
        verify(forged(**claims))


def test_a_malformed_token_is_refused() -> None:
    """T-04: not a JWT, one bit of the signature changed."""
    good = proof()
    for bad in ("", "a.b", good[:-8] + ("A" * 8), good + "=", "é" + good):
        with pytest.raises(InvalidDpopProof):
            verify(bad)


@pytest.mark.parametrize(
    "htu",
    [
        f"{URL}?a=1#b",
        "HTTPS://ISSUER.example/t1/token",
        "https://issuer.example:443/t1/token",
        "https://issuer.example/t1/%74oken",
        "https://issuer.example/t0/../t1/./token",
    ],
)
def test_htu_is_compared_after_normalisation_without_query(htu: str) -> None:
    """I-33, C-35, T-04; RFC 3986, sections 6.2.2 and 6.2.3."""
    assert verify(forged(htu=htu)).key == KEY.public


def test_ports_addresses_and_reserved_characters_stay_apart_in_htu() -> None:
    """RFC 3986, section 6.2.2: only what means the same is the same."""
    good = "https://[2001:db8::1]:8443/a%2fb"
    assert verify(forged(htu="https://[2001:DB8::1]:8443/a%2Fb"), url=good).key == KEY.public
    with pytest.raises(InvalidDpopProof):
        verify(forged(htu="https://[2001:db8::1]:8443/a/b"), url=good)


@pytest.mark.parametrize("seconds", [-60, -10, 0, 10, 60])
def test_ten_seconds_early_or_late_pass(seconds: int) -> None:
    """C-40, C-41, T-04."""
    assert verify(proof(now=NOW + timedelta(seconds=seconds))).key == KEY.public


@pytest.mark.parametrize("seconds", [-3600, -61, 61, 3600])
def test_one_hour_early_or_late_is_refused(seconds: int) -> None:
    """C-41, T-04."""
    with pytest.raises(InvalidDpopProof):
        verify(proof(now=NOW + timedelta(seconds=seconds)))


def test_unknown_members_and_times_of_other_kinds_are_ignored() -> None:
    """I-33, T-04; CERTIFICATION 1.4: nbf and exp in a proof are tolerated."""
    past = to_numeric_date(NOW) - 99999
    assert verify(forged({"kid": "x"}, exp=past, nbf=-past, more=[1])).key == KEY.public


def test_two_proofs_are_never_used_under_the_same_name() -> None:
    """S-02, T-04: the same jti twice gives one name, another jti or key another."""
    other = SoftwareKey.generate()
    twice = proof(random_bytes=CountingBytes())
    names = {
        verify(each).use
        for each in (
            twice,
            proof(random_bytes=CountingBytes("other")),
            forged({"jwk": other.public.to_jwk()}, key=other, jti="j"),
            forged(jti="j"),
        )
    }
    assert verify(twice).use == verify(twice).use
    assert len(names) == 4
    assert all(len(each) == 32 for each in names)


def test_a_resource_wants_the_hash_of_the_token_and_the_key_it_is_bound_to() -> None:
    """I-33, T-04: ath missing, of another token, another key; answered with 401."""
    jkt = dpop.thumbprint(KEY.public)
    good = proof(access_token=TOKEN)
    assert verify(good, access_token=TOKEN, expected_jkt=jkt).jkt == jkt
    for bad in (proof(), proof(access_token="other")):
        with pytest.raises(InvalidDpopProofAtResource):
            verify(bad, access_token=TOKEN, expected_jkt=jkt)
    with pytest.raises(InvalidToken):
        verify(good, access_token=TOKEN, expected_jkt=dpop.thumbprint(KEY.public)[::-1])
    with pytest.raises(InvalidDpopProofAtResource):
        verify(good, good, access_token=TOKEN, expected_jkt=jkt)


def test_a_grant_is_bound_to_the_key_it_was_started_with() -> None:
    """I-35, I-95: another DPoP key at the token endpoint is invalid_grant."""
    other = dpop.thumbprint(SoftwareKey.generate().public)
    with pytest.raises(InvalidGrant):
        verify(proof(), expected_jkt=other)


def nonces() -> NonceSource:
    def check(value: str) -> None:
        if value != "good":
            raise WrongNonce("nonce: not ours")

    return NonceSource(check=check, fresh=lambda: "next")


def test_a_demanded_nonce_is_asked_for_with_a_fresh_one() -> None:
    """I-34: 400 at the authorization server, 401 with a challenge at a resource."""
    assert verify(proof(nonce="good"), nonces=nonces()).key == KEY.public
    for bad in (proof(), proof(nonce="old"), forged(nonce=1)):
        with pytest.raises(UseDpopNonce) as caught:
            verify(bad, nonces=nonces())
        assert caught.value.headers == {"DPoP-Nonce": "next"}
    with pytest.raises(UseDpopNonceAtResource) as caught_at_resource:
        verify(proof(access_token=TOKEN), nonces=nonces(), access_token=TOKEN)
    assert caught_at_resource.value.status == 401
    assert set(caught_at_resource.value.headers) == {"DPoP-Nonce", "WWW-Authenticate"}


def test_a_nonce_that_is_not_demanded_is_ignored() -> None:
    """I-33."""
    assert verify(proof(nonce="whatever")).key == KEY.public


def test_a_made_proof_says_what_the_suite_looks_for() -> None:
    """CERTIFICATION 2.3.3: htu without query and fragment, fresh jti, ath only with a token."""
    made = parse_jws(proof(url=f"{URL}?x=1#y"), max_bytes=9999)
    claims = json.loads(made.payload)
    assert made.header == {"alg": "ES256", "typ": "dpop+jwt", "jwk": KEY.public.to_jwk()}
    assert claims["htu"] == URL
    assert set(claims) == {"jti", "htm", "htu", "iat"}
    assert claims["jti"] != json.loads(parse_jws(proof(), max_bytes=9999).payload)["jti"]


@pytest.mark.parametrize("header", [f"DPoP {TOKEN}", f"dPOP {TOKEN}", f"DPOP  {TOKEN} "])
def test_the_scheme_is_taken_in_any_case(header: str) -> None:
    """I-36; CERTIFICATION 1.4."""
    assert dpop.access_token([header]) == TOKEN


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [f"DPoP {TOKEN}", f"DPoP {TOKEN}"],
        [f"Bearer {TOKEN}"],
        ["DPoP"],
        ["DPoP "],
        ["DPoP a b"],
        [f"DPoP {TOKEN}, x"],
        [TOKEN],
    ],
)
def test_a_token_comes_once_and_with_the_dpop_scheme(headers: list[str]) -> None:
    """I-36, T-04, T-05: a bearer presentation of a bound token is refused."""
    with pytest.raises(InvalidToken):
        dpop.access_token(headers)
