"""The page of a transaction: Digital Credentials API, start cookie, response code (V-50, V-70)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.crypto.x509 import Profile
from shared.formats import kb_jwt
from shared.formats.values import Session
from shared.jose import jws
from shared.oauth.encryption import Jwks, choose_encryption_key
from shared.oid4vp import request, response
from shared.oid4vp.client_id import x509_hash
from shared.trust import Role
from tests.support.asgi import Answer
from tests.support.trust import trust_list
from tests.support.verifier import (
    PUBLIC_URL,
    RETURN_URL,
    HolderWallet,
    VerifierWorld,
    response_code,
    signer,
)
from verifier_service.browsers import SIGNED, UNSIGNED

ORIGIN = f"origin:{PUBLIC_URL}"


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    with VerifierWorld.make(tmp_path_factory.mktemp("verifier"), database_url) as made:
        yield made


class Browser:
    """One browser: it keeps the cookie it is given."""

    def __init__(self, world: VerifierWorld, started: dict[str, Any]) -> None:
        self.world = world
        self.path = urlsplit(started["page"]).path
        self.cookie = ""

    def headers(self) -> dict[str, str]:
        return {"Cookie": self.cookie, "Accept": "text/html"} if self.cookie else {}

    def open(self) -> Answer:
        answer = self.world.client.get(self.path, headers=self.headers())
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    def ask(self) -> list[dict[str, Any]]:
        answer = self.world.client.post(f"{self.path}/request", json={}, headers=self.headers())
        assert answer.status == 200, answer.text
        requests: list[dict[str, Any]] = answer.json()["requests"]
        return requests

    def answer(self, token: str, protocol: str = SIGNED) -> Answer:
        return self.world.client.post(
            f"{self.path}/answer",
            json={"protocol": protocol, "data": {"response": token}},
            headers=self.headers(),
        )

    def come_back(self, code: str) -> Answer:
        return self.world.client.get(
            f"{self.path}/return?response_code={code}", headers=self.headers()
        )


def begin(world: VerifierWorld, query: str = "over_18") -> tuple[dict[str, Any], Browser]:
    started = world.start(query, flow="dc_api", return_url=RETURN_URL)
    browser = Browser(world, started)
    assert browser.open().status == 200
    return started, browser


def claims_of(asked: dict[str, Any]) -> dict[str, Any]:
    if asked["protocol"] == UNSIGNED:
        return dict(asked["data"])
    return dict(jws.parse_jws(asked["data"]["request"], max_bytes=2**17).unverified_claims())


def encrypted(
    world: VerifierWorld, asked: dict[str, Any], *, audience: str = ORIGIN, state: str | None = None
) -> str:
    """What a browser's wallet answers to *asked*."""
    claims = claims_of(asked)
    wallet = HolderWallet(world)
    credential = wallet.credential()
    jwt, *disclosures, _ = credential.split("~")
    paths = [tuple(each["path"]) for each in claims["dcql_query"]["credentials"][0]["claims"]]
    shown = "~".join((jwt, *(each for each in disclosures if wallet._shows(each, paths)), ""))

    proof = kb_jwt.make(
        shown,
        signer=wallet.holder,
        audience=Session(audience, claims["nonce"]).audience,
        nonce=claims["nonce"],
        now=world.clock(),
    )
    key = choose_encryption_key(Jwks.from_object(claims["client_metadata"]["jwks"]))
    body = response.encrypt(
        response.presentations({"pid": [shown + proof]}, state=state), to=key, enc="A256GCM"
    )
    return body.decode().removeprefix("response=")


def test_the_page_says_why_and_sets_the_start_cookie(world: VerifierWorld) -> None:
    """V-31, V-50; strict policy, own script only."""
    started = world.start("over_18", flow="dc_api", return_url=RETURN_URL)
    assert started["page"] == f"{PUBLIC_URL}/counter/present/{started['transaction_id']}"
    browser = Browser(world, started)
    page = browser.open()
    assert page.status == 200
    assert "Is 18 or older" in page.text
    assert "openid4vp://?client_id=" in page.text
    cookie = page.headers["set-cookie"]
    assert cookie.startswith("__Host-present=")
    for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert part in cookie
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in page.text
    assert started["secret"] not in page.text
    assert "set-cookie" not in browser.open().headers


@pytest.mark.parametrize(
    ("language", "name"), [("en", "Tax &amp; Counters"), ("de", "Steuern und Schalter")]
)
def test_the_page_says_who_asks(world: VerifierWorld, language: str, name: str) -> None:
    """V-31: by its name in the trust list, in the citizen's language."""
    held = world.trust.held
    names = {"en": "Tax & Counters", "de": "Steuern und Schalter"}
    world.trust.held = trust_list(
        world.trust.registry.entry(), world.trust.counter.entry(names=names)
    )
    try:
        started = world.start("over_18", flow="dc_api", return_url=RETURN_URL)
        path = Browser(world, started).path
        page = world.client.get(path, headers={"Accept-Language": language})
        assert (page.status, f"<strong>{name}</strong>" in page.text) == (200, True)
    finally:
        world.trust.held = held


def test_who_is_not_on_the_trust_list_asks_nobody(world: VerifierWorld) -> None:
    """V-31: without a verified name there is no page to go on from, and nothing is consumed."""
    started = world.start("over_18", flow="dc_api", return_url=RETURN_URL)
    browser, held = Browser(world, started), world.trust.held
    world.trust.held = trust_list(world.trust.registry.entry())
    try:
        page = browser.open()
        assert (page.status, browser.cookie) == (503, "")
        assert "openid4vp://" not in page.text
    finally:
        world.trust.held = held
    assert browser.open().status == 200


def test_another_browser_cannot_open_it(world: VerifierWorld) -> None:
    """V-50: not the page, not the request, not an answer."""
    started, _ = begin(world)
    other = Browser(world, started)
    assert other.open().status == 403
    other.cookie = "__Host-present=made-up"
    assert other.open().status == 403
    for place in ("request", "answer"):
        body = {"protocol": SIGNED, "data": {"response": "a.b.c.d.e"}}
        answer = world.client.post(f"{other.path}/{place}", json=body, headers=other.headers())
        assert answer.status == 403


def test_of_many_browsers_one_is_bound(world: VerifierWorld) -> None:
    """S-02, V-50: exactly one."""
    started = world.start("over_18", flow="dc_api", return_url=RETURN_URL)
    browsers = [Browser(world, started) for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(Browser.open, browsers))
    assert sorted(each.status for each in answers) == [200] + [403] * 11


def test_the_requests_over_the_api(world: VerifierWorld) -> None:
    """V-70, HAIP 5.2: signed first, unsigned beside it; dc_api.jwt; no state, no response_uri."""
    _, browser = begin(world)
    signed, unsigned = browser.ask()
    assert (signed["protocol"], unsigned["protocol"]) == (SIGNED, UNSIGNED)
    token = jws.parse_jws(signed["data"]["request"], max_bytes=2**17)
    assert token.header["typ"] == request.TYP
    now = world.clock()
    jws.verify_x5c_jwt(
        token,
        typ=request.TYP,
        algorithms=("ES256",),
        anchors=world.trust.current().anchors(Role.ACCESS, now=now),
        profile=Profile.ACCESS,
        now=now,
    )
    for each in (signed, unsigned):
        claims = claims_of(each)
        assert claims["response_mode"] == "dc_api.jwt"
        assert claims["response_type"] == "vp_token"
        assert not {"state", "response_uri", "redirect_uri"} & set(claims)
        assert len(claims["client_metadata"]["jwks"]["keys"]) == 1
    claims = claims_of(signed)
    assert claims["expected_origins"] == [PUBLIC_URL]
    assert claims["client_id"].startswith("x509_hash:")
    assert not {"client_id", "expected_origins", "aud"} & set(claims_of(unsigned))


def test_key_and_nonce_are_new_each_time(world: VerifierWorld) -> None:
    """V-21: also when the page asks again, and other than those of the link."""
    started, browser = begin(world)
    asked = [claims_of(browser.ask()[0]) for _ in range(3)]
    asked.append(claims_of({"protocol": UNSIGNED, "data": _by_link(world, started)}))
    assert len({each["nonce"] for each in asked}) == 4
    assert len({each["client_metadata"]["jwks"]["keys"][0]["x"] for each in asked}) == 4


def _by_link(world: VerifierWorld, started: dict[str, Any]) -> dict[str, Any]:
    token = HolderWallet(world).fetch(started["link"])[1].text
    return dict(jws.parse_jws(token, max_bytes=2**17).unverified_claims())


@pytest.mark.parametrize("number", [0, 1])
def test_an_answer_is_released_to_the_session_that_started(
    world: VerifierWorld, number: int
) -> None:
    """V-70, V-71, HB-03: audience `origin:`, then the response code at the asker."""
    started, browser = begin(world)
    asked = browser.ask()[number]
    answer = browser.answer(encrypted(world, asked), asked["protocol"])
    assert answer.status == 200, answer.text
    assert world.result(started)["state"] == "responded"
    code = response_code(answer.json()["redirect_uri"])
    assert answer.json()["redirect_uri"] == f"{RETURN_URL}?response_code={code}"
    released = world.come_back(started, code)
    assert released.status == 200
    result = released.json()
    assert (result["state"], result["session_bound"]) == ("verified", True)
    assert result["claims"]["pid"] == {"age_equal_or_over": {"18": True}}
    assert world.come_back(started, code).status == 403


@pytest.mark.parametrize(
    "changes",
    [{"audience": "origin:https://evil.example"}, {"audience": "x509_hash:abc"}],
)
def test_an_answer_made_for_another_origin_is_rejected(
    world: VerifierWorld, changes: dict[str, str]
) -> None:
    """V-71, HB-03: our Origin is configured; what the wallet was shown must be that one."""
    started, browser = begin(world)
    token = encrypted(world, browser.ask()[0], **changes)
    assert browser.answer(token).status == 400
    assert world.result(started)["verdict"]["reason"] == "audience"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"protocol": "org-iso-mdoc", "data": {"response": "x"}},
        {"protocol": [SIGNED], "data": {"response": "x"}},
        {"protocol": SIGNED, "data": "x"},
        {"protocol": SIGNED, "data": {"vp_token": {}}},
        {"protocol": SIGNED, "data": {"response": "not.a.jwe"}},
    ],
)
def test_what_is_no_answer_consumes_nothing(world: VerifierWorld, body: dict[str, Any]) -> None:
    """V-41: and a plain answer is none."""
    started, browser = begin(world)
    asked = browser.ask()[0]
    answer = world.client.post(f"{browser.path}/answer", json=body, headers=browser.headers())
    assert answer.status == 400
    assert browser.answer(encrypted(world, asked)).status == 200
    assert world.result(started)["state"] == "responded"


def test_an_answer_for_an_earlier_asking_counts_no_more(world: VerifierWorld) -> None:
    """V-21: asked again, the key before is gone; and without asking there is none."""
    _, browser = begin(world)
    assert browser.answer("a.b.c.d.e").status == 400
    old = encrypted(world, browser.ask()[0])
    browser.ask()
    assert browser.answer(old).status == 400


def test_the_link_of_the_page_comes_back_through_the_page(world: VerifierWorld) -> None:
    """V-50: start cookie *and* response code, then a code of the asker's own."""
    started, browser = begin(world)
    wallet = HolderWallet(world)
    redirect = wallet.answer(wallet.open(started["link"])).json()["redirect_uri"]
    assert redirect.startswith(f"{started['page']}/return?response_code=")
    code = response_code(redirect)
    assert world.result(started)["state"] == "responded"
    back = browser.come_back(code)
    assert back.status == 303
    onward = response_code(back.headers["location"])
    assert back.headers["location"].startswith(f"{RETURN_URL}?")
    assert onward != code
    assert world.come_back(started, onward).status == 200


@pytest.mark.parametrize("how", ["no cookie", "other cookie", "other code", "code at the asker"])
def test_either_half_alone_rejects_the_presentation(world: VerifierWorld, how: str) -> None:
    """V-50, T-31, HAIP 5.1: rejected, not merely hidden."""
    started, browser = begin(world)
    wallet = HolderWallet(world)
    redirect = wallet.answer(wallet.open(started["link"])).json()["redirect_uri"]
    code = response_code(redirect)
    if how == "no cookie":
        browser.cookie = ""
    elif how == "other cookie":
        browser.cookie = "__Host-present=" + "A" * 43
    elif how == "other code":
        code = "A" * 43
    if how == "code at the asker":
        assert world.come_back(started, code).status == 403
    else:
        assert browser.come_back(code).status == 403
    result = world.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("rejected", "wrong_return")
    assert "claims" not in result


def test_of_many_returns_one_goes_on(world: VerifierWorld) -> None:
    """S-02, V-50: the same cookie and code twelve times at once: one gets a code for the asker.

    That it came twice rejects the presentation, so what the one got opens nothing.
    """
    started, browser = begin(world)
    wallet = HolderWallet(world)
    code = response_code(wallet.answer(wallet.open(started["link"])).json()["redirect_uri"])
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(browser.come_back, [code] * 12))
    let_through = [each for each in answers if "response_code=" in each.headers.get("location", "")]
    assert len(let_through) == 1
    assert {each.status for each in answers} <= {303, 403}
    onward = response_code(let_through[0].headers["location"])
    assert world.come_back(started, onward).status in {403, 409}
    assert world.result(started)["verdict"]["reason"] == "wrong_return"


def test_an_ended_request_has_a_page_that_says_so(world: VerifierWorld) -> None:
    """V-03: and asks for nothing any more."""
    started, browser = begin(world)
    world.clock.advance(minutes=6)
    page = browser.open()
    assert (page.status, "present-ended" in page.text) == (200, True)
    assert "script" not in page.headers["content-security-policy"]
    posted = world.client.post(f"{browser.path}/request", json={}, headers=browser.headers())
    assert posted.status == 400
    assert world.result(started)["state"] == "expired"


def test_a_refusal_in_the_wallet_leads_back_to_the_asker(world: VerifierWorld) -> None:
    """V-42: there is nothing to release, and nothing is rejected for it."""
    started, browser = begin(world)
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    refused = wallet.post(asked, f"error=access_denied&state={asked.request.state}".encode())
    back = browser.come_back(response_code(refused.json()["redirect_uri"]))
    assert (back.status, back.headers["location"]) == (303, RETURN_URL)
    assert world.result(started)["state"] == "refused"


def test_the_access_key_is_the_one_of_the_link(world: VerifierWorld) -> None:
    """HAIP 5.2: x509_hash of the same certificate."""
    _, browser = begin(world)

    expected = x509_hash(signer(Role.ACCESS, "counter").certificates[0])
    assert claims_of(browser.ask()[0])["client_id"] == expected


def same_device(world: VerifierWorld, **asked: Any) -> tuple[dict[str, Any], Browser]:
    started = world.start("over_18", flow="same_device", return_url=RETURN_URL, **asked)
    return started, Browser(world, started)


def answered_by_link(world: VerifierWorld, link: str) -> str:
    """Where the wallet is told to send its browser."""
    wallet = HolderWallet(world)
    answer = wallet.answer(wallet.open(link))
    assert answer.status == 200
    return str(answer.json()["redirect_uri"])


def test_an_agency_gets_the_start_cookie_by_sending_its_browser_to_the_page(
    world: VerifierWorld,
) -> None:
    """V-50: of a flow begun by API, too: released to cookie, code, and the asker's session."""
    started, browser = same_device(world)
    assert browser.open().status == 200
    back = answered_by_link(world, started["link"])
    assert back.startswith(f"{started['page']}/return?")
    assert world.result(started)["state"] == "responded"
    assert world.come_back(started, response_code(back)).status == 403  # not through our page


def test_cookie_and_code_together_lead_back_to_the_agency(world: VerifierWorld) -> None:
    """V-43, V-50: the accepted twin; of the two codes only the second counts at the agency."""
    started, browser = same_device(world)
    browser.open()
    onward = browser.come_back(response_code(answered_by_link(world, started["link"])))
    assert onward.status == 303
    assert onward.headers["location"].startswith(f"{RETURN_URL}?response_code=")
    released = world.come_back(started, response_code(onward.headers["location"]))
    assert (released.status, released.json()["state"]) == (200, "verified")


def test_an_answer_that_comes_back_in_another_browser_is_rejected(world: VerifierWorld) -> None:
    """V-50, OpenID4VP 14.2: the attacker opens the page, the victim answers its link."""
    started, attacker = same_device(world)
    attacker.open()
    code = response_code(answered_by_link(world, started["link"]))
    victim = Browser(world, started)
    assert victim.come_back(code).status == 403
    assert attacker.come_back(code).status in {303, 403}
    result = world.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("rejected", "wrong_return")
    assert world.row(started).sealed_claims is None


def test_the_link_of_the_page_leads_to_the_wallet_that_was_named(world: VerifierWorld) -> None:
    """A web wallet has no scheme of its own."""
    endpoint = "https://wallet.example/authorize?a=b"
    started, browser = same_device(world, wallet_endpoint=endpoint)
    shown = browser.open().text
    assert f'href="{endpoint}&amp;client_id=' in shown
    assert started["link"].replace("&", "&amp;") in shown


def state_of(world: VerifierWorld, started: dict[str, Any], origin: str | None = None) -> Answer:
    path = urlsplit(started["page"]).path
    return world.client.get(f"{path}/state", headers={"Origin": origin} if origin else {})


def test_a_web_page_may_know_the_state_and_the_citizens_link(world: VerifierWorld) -> None:
    """Issue 10, item 2: nothing of who answered, or what; the secret is not in it."""
    started = world.start("identity")
    seen = state_of(world, started, "https://portal.example")
    assert seen.json() == {
        "state": "created",
        "expires_at": started["expires_at"],
        "link": started["link"],
    }
    assert seen.headers["access-control-allow-origin"] == "https://portal.example"
    assert seen.headers["vary"] == "Origin"
    assert seen.headers["cache-control"] == "no-store"
    answered_by_link(world, started["link"])
    ended = state_of(world, started).json()
    assert ended == {"state": "verified", "expires_at": started["expires_at"]}


@pytest.mark.parametrize("origin", [None, "null", "https://portal.example.evil", PUBLIC_URL])
def test_pages_of_other_origins_are_told_nothing(world: VerifierWorld, origin: str | None) -> None:
    """C-52: only origins that the tenant names; and no cookie counts."""
    answer = state_of(world, world.start(), origin)
    assert not any(name.startswith("access-control") for name, _ in answer.raw_headers)


def test_on_one_device_the_way_leads_through_the_page(world: VerifierWorld) -> None:
    """V-50: no link beside it, which a page could hand to a browser that was never bound."""
    started, _ = same_device(world)
    assert "link" not in state_of(world, started).json()


def test_across_devices_the_page_shows_the_code_and_binds_nobody(world: VerifierWorld) -> None:
    """V-51: two browsers may look; nobody comes back, and nothing is lost by trying."""
    started = world.start("over_18")
    first, second = Browser(world, started), Browser(world, started)
    for each in (first, second):
        page = each.open()
        assert (page.status, each.cookie) == (200, "")
        assert 'data-link="openid4vp://?client_id=' in page.text
        assert "ask-browser" not in page.text
    answered_by_link(world, started["link"])
    assert first.come_back("made-up").status == 404
    assert world.result(started)["state"] == "verified"


def test_the_state_of_what_nobody_started_is_unknown(world: VerifierWorld) -> None:
    started = world.start()
    assert world.call("DELETE", started).status == 200
    for path in (urlsplit(started["page"]).path, "/counter/present/trx_none"):
        assert world.client.get(f"{path}/state").status == 404


def test_where_the_browser_comes_back_has_to_be_said(world: VerifierWorld) -> None:
    """The refused twin of every flow of one device."""
    for flow in ("dc_api", "same_device"):
        assert world.start("over_18", flow=flow, expect=400)["code"]


PORTAL = "https://portal.example"
TICKET = "A" * 43


def embedded(
    world: VerifierWorld,
    started: dict[str, Any],
    place: str,
    origin: str | None = PORTAL,
    **fields: str,
) -> Answer:
    """What the web component sends from a page of *origin*."""
    return world.client.post(
        f"{urlsplit(started['page']).path}/embedded/{place}",
        form={"ticket": TICKET} | fields,
        headers={"Origin": origin} if origin else {},
    )


def test_a_page_of_the_agency_asks_the_browsers_wallet_itself(world: VerifierWorld) -> None:
    """V-50, V-70, V-71: its own origin is expected and is the audience; the ticket comes twice."""
    started, _ = same_device(world)
    asked = embedded(world, started, "request")
    assert asked.headers["access-control-allow-origin"] == PORTAL
    signed, unsigned = asked.json()["requests"]
    assert claims_of(signed)["expected_origins"] == [PORTAL]
    token = encrypted(world, unsigned, audience=f"origin:{PORTAL}")
    answer = embedded(world, started, "answer", response=token)
    assert answer.status == 200, answer.text
    assert world.result(started)["state"] == "responded"
    back = answer.json()["redirect_uri"]
    assert back.startswith(f"{RETURN_URL}?response_code=")
    released = world.come_back(started, response_code(back))
    assert (released.status, released.json()["state"]) == (200, "verified")


def test_an_answer_for_another_origin_is_rejected(world: VerifierWorld) -> None:
    """HB-03, V-71: our own origin is another one there."""
    started, _ = same_device(world)
    asked = embedded(world, started, "request").json()["requests"][1]
    answer = embedded(world, started, "answer", response=encrypted(world, asked))
    assert answer.status == 400
    assert world.result(started)["verdict"]["reason"] == "audience"


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", PUBLIC_URL])
def test_pages_of_other_origins_ask_nobody(world: VerifierWorld, origin: str | None) -> None:
    """C-52, V-71: the refused twin; nothing is bound or consumed."""
    started, browser = same_device(world)
    for place in ("request", "answer"):
        refused = embedded(world, started, place, origin, response="a.b.c.d.e")
        assert (refused.status, world.result(started)["state"]) == (403, "created")
        assert "access-control-allow-origin" not in refused.headers
    assert browser.open().status == 200


def test_only_the_ticket_that_asked_may_answer(world: VerifierWorld) -> None:
    """V-50: not another one, not a browser at the page, not a malformed one."""
    started, browser = same_device(world)
    asked = embedded(world, started, "request").json()["requests"][1]
    token = encrypted(world, asked, audience=f"origin:{PORTAL}")
    for ticket, status in (("B" * 43, 403), ("short", 400), ("", 400), (TICKET + "A", 400)):
        other = embedded(world, started, "answer", ticket=ticket, response=token)
        assert other.status == status, ticket
    assert embedded(world, started, "request", ticket="B" * 43).status == 403
    assert browser.open().status == 403
    back = answered_by_link(world, started["link"])  # whoever has the link does not come back
    assert browser.come_back(response_code(back)).status == 403
    assert world.result(started)["state"] == "rejected"


def test_across_devices_no_page_asks_the_browsers_wallet(world: VerifierWorld) -> None:
    """V-51: and the code on the screen goes on working."""
    started = world.start()
    assert embedded(world, started, "request").status == 403
    answered_by_link(world, started["link"])
    assert world.result(started)["state"] == "verified"


@pytest.mark.parametrize(
    ("name", "lent"),
    [
        ("citizen-wallet-request.js", True),
        ("qr-image.js", True),
        ("vendor/qr/index.js", True),
        ("present.js", False),
        ("vendor/qr/decode.js", False),
    ],
)
def test_other_sites_load_the_component_and_no_other_file(
    world: VerifierWorld, name: str, lent: bool
) -> None:
    """C-52: module scripts of another origin need it; the element brings its parts along."""
    answer = world.client.get(f"/static/{name}", headers={"Origin": "https://any.example"})
    assert answer.status == 200
    assert answer.headers.get("access-control-allow-origin") == ("*" if lent else None)


def test_of_many_tickets_one_asks(world: VerifierWorld) -> None:
    """S-02, V-50: exactly one, of tickets and of a browser at the page."""
    started, browser = same_device(world)
    tickets = [f"{number:043d}" for number in range(11)]
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(embedded, world, started, "request", ticket=each) for each in tickets]
        asked.append(pool.submit(browser.open))
        statuses = sorted(each.result().status for each in asked)
    assert statuses == [200] + [403] * 11
