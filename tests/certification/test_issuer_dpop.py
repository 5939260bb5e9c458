"""The official issuer plans, restated: DPoP at the credential endpoint (CERTIFICATION 2.2.6).

`fapi2-…` stands for `fapi2-security-profile-final-…`; the credential endpoint is its protected
resource. Every proof here is put together by hand, so that exactly one thing is wrong with it.
"""

import base64
import hashlib
import hmac
import json
import uuid
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.encoding import to_numeric_date
from shared.oauth import dpop
from shared.runtime.clock import utc_now
from tests.support.live_issuer import LiveIssuer

from .suite_client import SuiteClient, check_error, forged

REFUSALS = {"invalid_token", "invalid_dpop_proof", "invalid_request"}


@pytest.fixture(scope="module", params=["pid_sd_jwt", "pid_mdoc"])
def client(live_issuer: LiveIssuer, request: pytest.FixtureRequest) -> SuiteClient:
    return SuiteClient(live_issuer, 1, configuration=request.param)


@pytest.fixture(scope="module")
def token(client: SuiteClient) -> str:
    return str(client.tokens()["access_token"])


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def by_hand(client: SuiteClient, token: str, **changes: Any) -> str:
    """A proof with members of its header or payload replaced; `...` leaves one out.

    Times are seconds from now.
    """
    header: dict[str, Any] = {
        "typ": "dpop+jwt",
        "alg": "ES256",
        "jwk": client.key.public.to_jwk(),
    }
    claims: dict[str, Any] = {
        "jti": str(uuid.uuid4()),
        "htm": "POST",
        "htu": f"{client.issuer}/credential",
        "iat": to_numeric_date(utc_now()),
        "ath": dpop.token_hash(token),
    }
    for name, value in changes.items():
        where = header if name in header else claims
        timed = name in {"iat", "nbf", "exp"} and value is not ...
        where[name] = to_numeric_date(utc_now()) + value if timed else value
    parts = [
        _part({name: value for name, value in each.items() if value is not ...})
        for each in (header, claims)
    ]
    signed = ".".join(parts).encode()
    algorithm = header["alg"]
    if algorithm == "none":
        signature = b""
    elif algorithm == "HS256":
        signature = hmac.digest(json.dumps(header["jwk"]).encode(), signed, hashlib.sha256)
    else:
        signature = client.key.sign(signed)
    return f"{signed.decode()}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _ask(client: SuiteClient, token: str, *proofs: str, scheme: str = "DPoP") -> Any:
    headers = [("Authorization", f"{scheme} {token}"), *(("DPoP", each) for each in proofs)]
    return client.credential(token, headers=headers)


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "jwt"},
        {"typ": ...},
        {"alg": ...},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"jwk": ...},
        {"jti": ...},
        {"htm": ...},
        {"htu": ...},
        {"iat": ...},
        {"ath": ...},
        {"htm": "GET"},
        {"htu": "https://other.example/credential"},
        {"ath": dpop.token_hash("another token")},
        {"iat": -3600},
        {"iat": 3600},
    ],
    ids=lambda changes: " ".join(f"{name}={value}" for name, value in changes.items())[:40],
)
def test_dpop_negative_tests(client: SuiteClient, token: str, changes: dict[str, Any]) -> None:
    """fapi2-dpop-negative-tests; T-04, I-33."""
    answer = _ask(client, token, by_hand(client, token, **changes))
    check_error(answer, {400, 401}, REFUSALS)
    assert answer.status_code == 400 or answer.headers["www-authenticate"].startswith("DPoP ")


def test_dpop_negative_tests_of_the_key(client: SuiteClient, token: str) -> None:
    """fapi2-dpop-negative-tests; T-04, I-33: private members, another key, a broken signature."""
    private = {**client.key.public.to_jwk(), "d": "AAAA"}
    other = SoftwareKey.generate().public.to_jwk()
    for proof in (
        by_hand(client, token, jwk=private),
        by_hand(client, token, jwk=other),
        forged(by_hand(client, token)),
        client.dpop("credential", access_token=token, signer=SoftwareKey.generate()),
    ):
        check_error(_ask(client, token, proof), {400, 401}, REFUSALS)


def test_dpop_negative_tests_of_the_header(client: SuiteClient, token: str) -> None:
    """fapi2-dpop-negative-tests; T-04, I-36: two proofs, none, no JWT, the Bearer scheme, twice."""
    proof = by_hand(client, token)
    for answer in (
        _ask(client, token, proof, by_hand(client, token)),
        _ask(client, token),
        _ask(client, token, "not.a.jwt"),
        _ask(client, token, by_hand(client, token), scheme="Bearer"),
    ):
        check_error(answer, {400, 401}, REFUSALS)
    client.check_credential(_ask(client, token, proof))
    check_error(_ask(client, token, proof), {400, 401}, REFUSALS)


@pytest.mark.parametrize(
    "changes",
    [
        {"htu": "{url}?query=1#fragment"},
        {"nbf": 0, "exp": 600},
        {"unknown": {"member": True}},
        {"iat": -10},
        {"iat": 10},
    ],
    ids=str,
)
def test_what_a_proof_may_hold(client: SuiteClient, token: str, changes: dict[str, Any]) -> None:
    """fapi2-check-dpop-proof-nbf-exp; the good cases of fapi2-dpop-negative-tests. T-04, C-35."""
    url = f"{client.issuer}/credential"
    changed = {
        name: value.format(url=url) if isinstance(value, str) else value
        for name, value in changes.items()
    }
    client.check_credential(_ask(client, token, by_hand(client, token, **changed)))


def test_htu_is_compared_after_normalisation(client: SuiteClient, token: str) -> None:
    """2.2.6 (a warning there): scheme and host in capitals; T-04, C-35."""
    capitals = f"{client.issuer}/credential".replace("https://localhost", "HTTPS://LOCALHOST")
    client.check_credential(_ask(client, token, by_hand(client, token, htu=capitals)))


@pytest.mark.parametrize("scheme", ["dPOP", "dpop", "DPOP"])
def test_access_token_type_header_case_sensitivity(
    client: SuiteClient, token: str, scheme: str
) -> None:
    """fapi2-access-token-type-header-case-sensitivity; T-04, I-65."""
    client.check_credential(_ask(client, token, by_hand(client, token), scheme=scheme))


def test_fail_on_access_token_in_query(client: SuiteClient, token: str) -> None:
    """issuer-fail-on-access-token-in-query; T-05, I-36: alone, and beside a good header."""
    proof = [("DPoP", by_hand(client, token))]
    query = f"?access_token={token}"
    for headers in (proof, [*proof, ("Authorization", f"DPoP {token}")]):
        answer = client.credential(token, headers=headers, query=query)
        assert answer.status_code in {400, 401, 414}
