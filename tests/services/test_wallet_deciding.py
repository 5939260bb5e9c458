"""What a citizen needs to decide, and to know afterwards: website, time, warnings, where next."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from shared.demo.phone import Consent, Phone, Refused
from shared.encoding import b64url_decode
from shared.jose import jws
from shared.trust import Role
from tests.support.databases import sqlite_url
from tests.support.trust import PID
from tests.support.wallet import IDENTITY, OVER_18, WalletWorld, _signer, agencies


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WalletWorld]:
    folder = tmp_path_factory.mktemp("w")
    made = WalletWorld.make(folder, sqlite_url(folder), sqlite_url(folder))
    yield made
    made.close()


@pytest.fixture
def phone(world: WalletWorld) -> Phone:
    return world.phone_with(PID)


def without_end(token: str) -> str:
    """The Request Object without `exp`, signed again by the same key."""
    claims = json.loads(b64url_decode(token.split(".")[1]))
    del claims["exp"]
    return jws.sign_jwt(claims, typ="oauth-authz-req+jwt", signer=_signer(Role.ACCESS))


def by_browser(world: WalletWorld, phone: Phone, **headers: str) -> Consent:
    """A link to `/authorize`, followed in a browser that says so much of where it came from."""
    link = world.verifier.ask(OVER_18).partition("?")[2]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    page = world.client.get(f"/authorize?{link}", headers={"accept": "text/html", **named})
    assert page.status_code == 200, page.text
    [ticket] = re.findall(r'data-ticket="([^"]+)"', page.text)
    flow = phone._post("/presentations", {"ticket": ticket})
    return Consent(flow["id"], flow["consent"])


FROM_A_PAGE = {"sec_fetch_site": "cross-site", "referer": "https://portal.example/somewhere?x=1"}


def test_the_website_that_led_here_is_named_to_be_compared(
    world: WalletWorld, phone: Phone
) -> None:
    """WALLET_SECURITY A7, PAIN_POINTS 20: its host alone, as the browser says it."""
    model = by_browser(world, phone, **FROM_A_PAGE).model
    assert (model["website"], model["answer_to"]) == ("portal.example", "verifier.example")
    assert not model["cross_device"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec_fetch_site": "none", "referer": "https://portal.example/"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "cross-site", "referer": "android-app://somebody"},
    ],
)
def test_no_website_is_named_that_no_browser_vouches_for(
    world: WalletWorld, phone: Phone, headers: dict[str, str]
) -> None:
    model = by_browser(world, phone, **headers).model
    assert model["website"] is None
    assert model["cross_device"] is (headers.get("sec_fetch_site") != "cross-site")


def test_where_to_look_next_is_said(world: WalletWorld, phone: Phone) -> None:
    """PAIN_POINTS 6: a redirect leads on only where the browser was sent from a page (W-62)."""

    def outcome(consent: Consent) -> Any:
        phone.approve(consent)
        return phone._get(f"/presentations/{consent.id}")

    scanned = outcome(phone.resolve(world.verifier.ask(OVER_18), cross_device=True))
    assert scanned["go_on"] == "other_device"
    assert scanned["verifier"] == {"name": "Avelonia Tax & Counters"}
    assert outcome(by_browser(world, phone, **FROM_A_PAGE))["go_on"] == "here"
    world.verifier.redirect_uri = "https://portal.example/back?code=1"
    assert outcome(by_browser(world, phone, **FROM_A_PAGE))["go_on"] == "website"
    again = outcome(phone.resolve(world.verifier.ask(OVER_18), cross_device=True))
    assert (again["go_on"], again["redirect_uri"]) == ("other_device", world.verifier.redirect_uri)


def test_how_long_the_agency_waits_is_said_and_nothing_is_sent_too_late(
    world: WalletWorld, phone: Phone
) -> None:
    """WCAG 2.2.1: the limit is the agency's and is known beforehand; PAIN_POINTS 5."""
    consent = phone.resolve(world.verifier.ask(OVER_18))
    left = consent.model["seconds_left"]
    assert 0 < left <= 600
    world.clock.advance(timedelta(seconds=left))
    assert phone._get(f"/presentations/{consent.id}")["consent"]["seconds_left"] == 0
    with pytest.raises(Refused) as caught:
        phone.approve(consent)
    assert (caught.value.code, caught.value.problem["whose_fault"]) == (
        "request_expired",
        "verifier",
    )
    assert world.verifier.posted == []
    assert phone.cards()[0]["copies_left"] == 10


def test_who_refuses_is_done_whatever_the_agency_says(world: WalletWorld, phone: Phone) -> None:
    """Refusing is as easy as approving: it cannot fail because it comes too late."""
    consent = phone.resolve(world.verifier.ask(OVER_18))
    world.verifier.status = 400
    ended = phone.refuse(consent)
    assert (ended.step, ended.outcome) == ("done", "refused")
    late = phone.resolve(world.verifier.ask(OVER_18))
    world.clock.advance(hours=1)
    phone.open()
    assert phone.refuse(late).outcome == "refused"


def test_what_only_the_choice_shows_is_warned_of_before_the_gesture(world: WalletWorld) -> None:
    """WALLET_SECURITY 4: the payload names the warnings shown, so each has a text to show."""
    world.issuer.batch_size = 2
    phone = world.phone_with(PID)
    for _ in range(2):
        phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    consent = phone.resolve(world.verifier.ask(OVER_18))
    [asked] = consent.model["credentials"]
    assert [each["code"] for each in asked["options"][0]["warnings"]] == ["copy_reused"]
    found = phone._post(f"/presentations/{consent.id}/select", {"picks": None})
    payload = phone.approval(found["approval"])["payload"]
    texts = {each["code"]: each["text"] for each in found["warnings"]}
    assert set(texts) == set(payload["warnings"])
    assert texts["copy_reused"].startswith("No unused copy is left")


def test_the_wallet_itself_hurries_nobody(world: WalletWorld, phone: Phone) -> None:
    """WCAG 2.2.1: a question without an end of the agency's is there for more than twenty hours."""
    world.verifier.answer = without_end
    flow = phone.scan(world.verifier.ask(OVER_18))
    assert flow["consent"]["seconds_left"] is None
    world.clock.advance(hours=20)
    phone.open()
    phone.approve(Consent(flow["id"], flow["consent"]))
    assert len(world.verifier.posted) == 1


# -- What is missing -------------------------------------------------------------------------------


def lacking(world: WalletWorld, phone: Phone, query: dict[str, Any]) -> list[Any]:
    """What the consent model names; nobody is asked anything for it."""
    consent = phone.resolve(world.verifier.ask(query))
    world.seen.clear()
    model = phone._get(f"/presentations/{consent.id}")["consent"]
    assert world.seen == []
    assert model["possible"] is False
    found: list[Any] = model["lacking"]
    return found


@pytest.mark.parametrize(
    ("language", "name"),
    [("en", "Identity card"), ("de", "Personalausweis"), ("ar", "بطاقة الهوية")],
)
def test_a_missing_document_is_named_with_who_issues_it(
    world: WalletWorld, language: str, name: str
) -> None:
    """PAIN_POINTS 5: in the citizen's language, from what the wallet knows without asking."""
    phone = world.new_phone()
    phone._post("/wallet/locale", {"locale": language})
    [[[missing]]] = lacking(world, phone, IDENTITY)
    assert (missing["name"], missing["held"]) == (name, False)
    [issuer] = missing["issuers"]
    assert issuer["identifiers"] == agencies().registry.entry()["credential_issuers"]
    assert issuer["contact"]["email"] or issuer["contact"]["uri"]


def test_a_document_without_the_claim_is_said_to_be_held(world: WalletWorld, phone: Phone) -> None:
    """The agency's own name for it; what is there is not asked for again as if it were missing."""
    [credential] = IDENTITY["credentials"]
    query = {**IDENTITY, "credentials": [{**credential, "claims": [{"path": ["shoe_size"]}]}]}
    [[[missing]]] = lacking(world, phone, query)
    assert missing["held"] is True
    assert missing["name"] == phone.overview()["cards"][0]["name"]


def test_a_type_nobody_knows_has_no_name_and_no_issuer(world: WalletWorld, phone: Phone) -> None:
    """Then its type is all there is to say."""
    [credential] = IDENTITY["credentials"]
    unknown = {**credential, "meta": {"vct_values": ["urn:nobody:1"]}}
    [[[missing]]] = lacking(world, phone, {**IDENTITY, "credentials": [unknown]})
    assert (missing["name"], missing["type"], missing["issuers"]) == (None, "urn:nobody:1", [])
