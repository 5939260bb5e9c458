"""The official verifier plans, restated: every module, both formats, over TLS, to a live process.

CERTIFICATION 1.7 (modules), 2.5 (conditions). `tests/support/suite_wallet.py` is the wallet.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2
import pytest
from jwcrypto.jwk import JWK

from shared.runtime.clock import utc_now
from shared.trust import Role
from tests.support.live_verifier import ENDPOINT, PORTAL, LiveVerifier
from tests.support.suite_wallet import Asked, Suite

YEAR = 365 * 86_400
FORMATS = ("pid_sd_jwt", "pid_mdoc")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveVerifier]:
    with LiveVerifier.start(tmp_path_factory.mktemp("live")) as made:
        yield made


@pytest.fixture(scope="module")
def suite(live: LiveVerifier) -> Suite:
    return Suite(
        http=live.http,
        credential_signer=live.trust.registry.signer(
            Role.CREDENTIAL, now=utc_now(), dns=["suite.example"]
        ),
        documents=live.documents,
        anchor=live.trust.counter.authorities[Role.ACCESS].certificate,
    )


def present(suite: Suite, query: str, asked: Asked, **changes: Any) -> str:
    make = suite.present_sd_jwt if query == "pid_sd_jwt" else suite.present_mdoc
    return make(asked, **changes)


def check_accepted(answer: httpx2.Response) -> str:
    """2.5.4: 200, JSON, `redirect_uri` and nothing else; HAIP demands it."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    assert list(content) == ["redirect_uri"]
    return str(content["redirect_uri"])


def check_refused(live: LiveVerifier, started: Any, answer: httpx2.Response, reason: str) -> None:
    """2.5.4: 4xx at once; the reasons are for the asker alone (V-42, V-63)."""
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"] == "invalid_request"
    result = live.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("rejected", reason)
    assert "claims" not in result


@pytest.mark.parametrize("query", FORMATS)
def test_happy_flow(live: LiveVerifier, suite: Suite, query: str) -> None:
    """Module happy-flow; CERTIFICATION 2.5.1 to 2.5.4, V-10, V-11, V-42, HB-22, HB-26, F-MD-08."""
    started = live.start_presentation(query)
    assert started["link"].startswith(f"{ENDPOINT}?")
    asked = suite.open(started["link"])
    page = live.http.get(check_accepted(suite.post(asked, present(suite, query, asked))))
    assert page.status_code == 200
    result = live.result(started)
    assert (result["state"], result["verdict"]["test"]) == ("verified", True)
    [found] = result["verdict"]["credentials"]
    assert {each["result"] for each in found["checks"]} <= {"passed", "not_asked"}
    shown = result["claims"]["pid"]
    if query == "pid_sd_jwt":
        assert shown["place_of_birth"] == {"locality": "Köln", "country": "DE"}
        assert shown["nationalities"] == ["DE", "FR"]
        assert "address" not in shown
    else:
        assert shown["eu.europa.ec.eudi.pid.1"] == {
            "given_name": "Erika",
            "family_name": "Möbius",
            "birth_date": "1964-08-12",
        }


def test_minimal_cnf_jwk(live: LiveVerifier, suite: Suite) -> None:
    """Module minimal-cnf-jwk; C-08, T-30."""
    asked = suite.open(live.start_presentation("pid_sd_jwt")["link"])
    check_accepted(suite.post(asked, suite.present_sd_jwt(asked, minimal=True)))


@pytest.mark.parametrize("query", FORMATS)
def test_request_uri_fetched_twice(live: LiveVerifier, suite: Suite, query: str) -> None:
    """Module request-uri-fetched-twice: `open` fetches twice each time; here four times; V-13."""
    link = live.start_presentation(query)["link"]
    suite.open(link)
    suite.keys_seen.clear()  # the same request has the same key
    asked = suite.open(link)
    check_accepted(suite.post(asked, present(suite, query, asked)))


@pytest.mark.parametrize("query", FORMATS)
@pytest.mark.parametrize("nonce", [{}, {"wallet_nonce": "n-0S6_WzA2Mj.~"}])
def test_request_uri_method_post(
    live: LiveVerifier, suite: Suite, query: str, nonce: dict[str, str]
) -> None:
    """Module request-uri-method-post; with and without `wallet_nonce`; V-13, T-30."""
    link = live.start_presentation(query, request_uri_method="post")["link"]
    assert parse_qs(urlsplit(link).query)["request_uri_method"] == ["post"]
    asked = suite.open(link, post={"wallet_metadata": '{"unknown": [1]}'} | nonce)
    check_accepted(suite.post(asked, present(suite, query, asked)))


def bent_signature(shown: str) -> str:
    jwt, rest = shown.split("~", 1)
    head, body, signature = jwt.split(".")
    other = "A" if signature[10] != "A" else "B"
    return f"{head}.{body}.{signature[:10]}{other}{signature[11:]}~{rest}"


NEGATIVES: list[tuple[str, Callable[[Asked], dict[str, Any]], str]] = [
    ("invalid-kb-jwt-signature", lambda _: {"sign": _stranger}, "holder_binding"),
    ("invalid-credential-signature", lambda _: {"bend": bent_signature}, "signature"),
    ("invalid-sd-hash", lambda _: {"sd_hash": "A" * 43}, "sd_hash"),
    ("invalid-kb-jwt-nonce", lambda asked: {"nonce": asked.claims["nonce"] + "x"}, "nonce"),
    ("invalid-kb-jwt-aud", lambda asked: {"aud": asked.client_id + "x"}, "audience"),
    ("kb-jwt-iat-in-past", lambda _: {"iat": int(utc_now().timestamp()) - YEAR}, "holder_binding"),
    (
        "kb-jwt-iat-in-future",
        lambda _: {"iat": int(utc_now().timestamp()) + YEAR},
        "holder_binding",
    ),
]


def _stranger(_holder: JWK) -> JWK:
    return JWK.generate(kty="EC", crv="P-256")


@pytest.mark.parametrize(
    ("changes", "reason"), [each[1:] for each in NEGATIVES], ids=[each[0] for each in NEGATIVES]
)
def test_sd_jwt_negatives(
    live: LiveVerifier,
    suite: Suite,
    changes: Callable[[Asked], dict[str, Any]],
    reason: str,
) -> None:
    """The seven SD-JWT negatives, refused synchronously; T-30, V-42, V-60, V-63, HB-05."""
    started = live.start_presentation("pid_sd_jwt")
    asked = suite.open(started["link"])
    answer = suite.post(asked, suite.present_sd_jwt(asked, **changes(asked)))
    check_refused(live, started, answer, reason)


@pytest.mark.parametrize("part", range(4))
def test_invalid_session_transcript(live: LiveVerifier, suite: Suite, part: int) -> None:
    """Module invalid-session-transcript: each part of the handover by itself; HB-26, T-30."""

    def bend(info: list[Any]) -> list[Any]:
        other = info[part] + (b"x" if isinstance(info[part], bytes) else "x")
        return [*info[:part], other, *info[part + 1 :]]

    started = live.start_presentation("pid_mdoc")
    asked = suite.open(started["link"])
    answer = suite.post(asked, suite.present_mdoc(asked, transcript=bend))
    check_refused(live, started, answer, "holder_binding")


@pytest.mark.parametrize("query", FORMATS)
def test_the_plain_plan(live: LiveVerifier, suite: Suite, query: str) -> None:
    """Outside HAIP by setting: `x509_san_dns`, then `direct_post`; V-40, HB-24."""
    asked = suite.open(live.start_presentation(query, tenant="dns")["link"])
    assert asked.client_id == "x509_san_dns:localhost"
    check_accepted(suite.post(asked, present(suite, query, asked)))
    suite.haip = False
    try:
        started = live.start_presentation(query, tenant="plain")
        asked = suite.open(started["link"])
        encrypted = {"response": "a.b.c.d.e"}
        refused = live.http.post(asked.claims["response_uri"], data=encrypted)
        assert refused.status_code == 400
        check_accepted(suite.post(asked, present(suite, query, asked)))
        assert live.result(started)["state"] == "verified"
    finally:
        suite.haip = True


def test_the_redirect_uri_prefix_sends_unsigned_requests_in_the_link(
    live: LiveVerifier, suite: Suite
) -> None:
    """CERTIFICATION 1.2: the prefix goes with unsigned url_query only; [VP 5.9.3]."""
    started = live.start_presentation("pid_sd_jwt", tenant="unsigned")
    parameters = dict(parse_qsl(urlsplit(started["link"]).query))
    assert "request_uri" not in parameters
    assert "request" not in parameters
    assert parameters["client_id"] == f"redirect_uri:{parameters['response_uri']}"
    for name in ("dcql_query", "client_metadata", "verifier_info"):
        parameters[name] = json.loads(parameters[name])
    asked = Asked(str(parameters["client_id"]), parameters)
    suite.haip = False
    try:
        check_accepted(suite.post(asked, suite.present_sd_jwt(asked)))
    finally:
        suite.haip = True
    assert live.result(started)["state"] == "verified"
    request_id = parameters["response_uri"].rpartition("/")[2]
    assert live.http.get(f"{live.url}/unsigned/request/{request_id}").status_code == 404


def test_same_device_returns_to_the_portal(live: LiveVerifier, suite: Suite) -> None:
    """HAIP 5.1; V-43, V-50: the redirect carries a response code of 43 characters."""
    back = f"{PORTAL}/back"
    started = live.start_presentation("pid_sd_jwt", flow="same_device", return_url=back)
    asked = suite.open(started["link"])
    redirect = check_accepted(suite.post(asked, suite.present_sd_jwt(asked)))
    [code] = parse_qs(urlsplit(redirect).query)["response_code"]
    assert redirect == f"{back}?response_code={code}"
    assert len(code) == 43
    assert live.result(started)["state"] == "responded"


@pytest.mark.parametrize(
    "form",
    [
        {"response": "not.a.jwe"},
        {"response": "A" * 1000},
        {"vp_token": "{}"},
        {"response": "a.b.c.d.e", "vp_token": "{}"},
        {},
    ],
)
def test_what_does_not_open_consumes_nothing(
    live: LiveVerifier, suite: Suite, form: dict[str, str]
) -> None:
    """V-40, V-41: 400, and the wallet's own answer still counts afterwards."""
    asked = suite.open(live.start_presentation("pid_sd_jwt")["link"])
    assert live.http.post(asked.claims["response_uri"], data=form).status_code == 400
    check_accepted(suite.post(asked, suite.present_sd_jwt(asked)))


def test_a_compressed_answer_is_refused(live: LiveVerifier, suite: Suite) -> None:
    """V-41, S-21: `zip` in a JWE, as a bomb would have it."""
    asked = suite.open(live.start_presentation("pid_sd_jwt")["link"])
    payload = suite.payload(asked, "x" * 1_000_000)
    bomb = suite.encrypt(asked, payload, zip="DEF")
    assert len(bomb) < 5_000
    answer = live.http.post(asked.claims["response_uri"], data={"response": bomb})
    assert answer.status_code == 400
    check_accepted(suite.post(asked, suite.present_sd_jwt(asked)))


@pytest.mark.parametrize("query", FORMATS)
def test_the_second_presentation_causes_no_call(
    live: LiveVerifier, suite: Suite, query: str
) -> None:
    """S-41, ST-52, DESIGN 6: the status list is fetched once, then nothing for a presentation."""
    suite.status_uri = live.status_uri
    try:
        calls = []
        for _ in range(3):
            started = live.start_presentation(query)
            asked = suite.open(started["link"])
            check_accepted(suite.post(asked, present(suite, query, asked)))
            [found] = live.result(started)["verdict"]["credentials"]
            assert found["status"] == "valid"
            # Whether there is a newer trust list is asked by the clock.
            calls.append(sum(not each.endswith("timestamp.json") for each in live.fetched))
        assert calls == calls[:1] * 3
        assert live.fetched.count("statuslists/1") == 1
    finally:
        suite.status_uri = None
