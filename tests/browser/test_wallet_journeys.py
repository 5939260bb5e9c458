"""DESIGN 2, journeys 1 to 4, as a citizen goes them: a phone's browser, a passkey, the keyboard.

Wallet, issuer, verifier and an agency's website are the real services over TLS. Every state that
is reached is looked at: axe finds nothing, nothing is wider than 320 px; at the end no error stands
in the console and nobody else was asked for anything.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from issuer_service.offers import Content
from shared.oauth.messages import PreAuthorizedCodeRequest
from shared.oid4vci.offer import Grants, PreAuthorizedGrant
from shared.runtime.clock import utc_now
from shared.runtime.fetch import Fetcher
from tests.support.app_phone import Phone
from tests.support.app_world import CAR_HIRE, REGISTRY, AppWorld
from tests.support.browsing import another
from tests.support.openid import CLIENT_ID, CLIENT_SECRET, real_provider

MOST_TAPS = 6
PERSON = "AV-000001"
SHUT_ONCE = """() => {
    const keys = navigator.credentials, get = keys.get.bind(keys);
    keys.get = () => {
        keys.get = get;
        return Promise.reject(new DOMException("", "NotAllowedError"));
    };
}"""  # as a browser answers whose dialogue was shut


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppWorld]:
    with AppWorld.start(tmp_path_factory.mktemp("journeys"), queries=[CAR_HIRE]) as made:
        yield made


@pytest.fixture(scope="module")
def browser(world: AppWorld) -> Iterator[Any]:
    with world.chromium() as started:
        yield started


@pytest.fixture(scope="module")
def two_ways(
    browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[AppWorld, Any]]:
    """An agency where people sign in at an OpenID Provider or by a code; a browser before it."""
    with ExitStack() as stack:

        def login(issuer: str) -> dict[str, Any]:
            folder = tmp_path_factory.mktemp("login")
            (folder / "client_secret").write_text(f"{CLIENT_SECRET}\n")
            back = f"{issuer}/{REGISTRY}/login-return"
            provider = stack.enter_context(real_provider(back, {PERSON: {}}, now=utc_now()))
            openid = {
                "issuer": provider,
                "names": {"en": "Avelonia Login"},
                "client_id": CLIENT_ID,
                "client_secret_file": str(folder / "client_secret"),
                "match": {"reference": "sub"},
            }
            return {"openid": openid}

        folder = tmp_path_factory.mktemp("two-ways")
        made = stack.enter_context(AppWorld.start(folder, login=login))
        yield made, stack.enter_context(another(browser, made.tls))


@pytest.fixture
def phone(world: AppWorld, browser: Any) -> Iterator[Phone]:
    """A citizen's phone that was never here."""
    made = world.phone(browser)
    yield made
    made.end()


@pytest.fixture(scope="module")
def citizen(world: AppWorld, browser: Any) -> Iterator[tuple[Phone, Any]]:
    """A phone whose wallet holds an identity card and a driving licence, and whose offer it was."""
    made = world.phone(browser)
    made.begin()
    offered = world.offer("pid_sd_jwt", "mdl")
    made.receive(offered)
    yield made, offered
    made.end()


# -- Journey 1: a first credential -----------------------------------------------------------------


def by_letter(_world: AppWorld, phone: Phone, offered: Any) -> None:
    """The code that came apart from the offer."""
    phone.type("typed-tx-code", offered["tx_code"])
    phone.press("accept")


def by_offer_alone(_world: AppWorld, phone: Phone, _offered: Any) -> None:
    """Other agencies ask for no code."""
    assert not phone.page.is_visible("#tx-code-field")
    phone.press("accept")


def by_signing_in(world: AppWorld, phone: Phone, offered: Any) -> None:
    """There and back by the browser, with a code from the agency's desk."""
    phone.page.wait_for_selector("#login-submit")
    phone.type("code", world.registry.desk_code(offered["subject"]))
    phone.press("login-submit")
    phone.page.wait_for_selector("#consent-accept")
    phone.press("consent-accept")


def by_a_provider(_world: AppWorld, phone: Phone, offered: Any) -> None:
    """By an account elsewhere, chosen beside a code from the desk."""
    phone.page.wait_for_selector("#login-submit")
    phone.press("login-provider")
    phone.page.wait_for_selector("#provider-sign-in")
    phone.type("name", offered["subject"])
    phone.press("provider-sign-in")
    phone.page.wait_for_selector("#consent-accept")
    phone.press("consent-accept")


def asks_for_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn our issuer, which always asks for a code, into one that does not."""

    def grants(content: Content) -> Grants:
        return Grants(pre_authorized=PreAuthorizedGrant(pre_authorized_code=content.code))

    monkeypatch.setattr("issuer_service.offering._numeric_code", lambda *_: "")
    monkeypatch.setattr(Content, "_grants", grants)
    monkeypatch.setattr(PreAuthorizedCodeRequest, "check_tx_code", lambda *_, **__: None)


WAYS: dict[str, tuple[Any, str]] = {
    "letter": (by_letter, "pre-authorized_code"),
    "offer-alone": (by_offer_alone, "pre-authorized_code"),
    "sign-in": (by_signing_in, "authorization_code"),
    "provider": (by_a_provider, "authorization_code"),
}


@pytest.mark.parametrize("held", [False, True], ids=["no-wallet", "wallet"])
@pytest.mark.parametrize("way", WAYS)
def test_a_first_credential_takes_six_taps_at_most(
    world: AppWorld,
    browser: Any,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    *,
    held: bool,
) -> None:
    """Journey 1, W-02, W-12, W-16: from the scanned offer to the card, whatever the agency asks.

    A press of Enter is a tap; typing is none. With no wallet it is made on the way, and its
    recovery code proved before anything is accepted (WALLET_SECURITY 6); where the agency's own
    sign-in comes next, the same press says yes to its offer (ADR 0029).
    """
    act, grant = WAYS[way]
    signs_in = grant == "authorization_code"
    if way == "provider":
        world, browser = request.getfixturevalue("two_ways")
    if way == "offer-alone":
        asks_for_no_code(monkeypatch)
    subject = PERSON if way == "provider" else None
    offered = world.offer("pid_sd_jwt", subject=subject, grant=grant)
    phone = world.phone(browser)
    if held:
        phone.begin()
        phone.taps = 0
    phone.follow(offered["wallet_link"])
    phone.until("sign-in")
    if held:
        phone.press("open")
    else:
        phone.press("begin")
        phone.until("codes")
        phone.type("typed-code", phone.page.inner_text("#recovery-code").lower())
        assert phone.page.is_visible("#covered")
        assert not signs_in or phone.page.wait_for_selector("#beside").is_visible()
        phone.press("prove-code")
    if held or not signs_in:
        phone.until("preview")
    if held and signs_in:
        phone.press("accept")
    act(world, phone, offered)
    phone.until("review")
    phone.press("keep")
    phone.until("ended")
    assert phone.taps <= MOST_TAPS, f"{phone.taps} taps by {way}, {MOST_TAPS} at most"
    phone.end()


@pytest.mark.parametrize("wanted", [True, False])
def test_the_offer_beside_the_codes_is_refused_or_answered_later(
    world: AppWorld, browser: Any, *, wanted: bool
) -> None:
    """W-16, ADR 0029: the codes are kept in any case; without a passkey nothing is accepted."""
    offered = world.offer("pid_sd_jwt", grant="authorization_code")
    phone = world.phone(browser)
    page = phone.page
    phone.follow(offered["wallet_link"])
    phone.until("sign-in")
    phone.press("begin")
    phone.until("codes")
    page.wait_for_selector("#beside")
    assert "Civil Registry of Avelonia" in page.inner_text("#beside")
    phone.type("typed-code", page.inner_text("#revocation-code"))  # the other one
    phone.press("prove-code")
    page.wait_for_selector("#typed-code-wrong:not([hidden])")
    page.fill("#typed-code", page.locator("#recovery-code").text_content())
    if wanted:
        page.evaluate(SHUT_ONCE)
        phone.press("prove-code")
        page.wait_for_selector("#failure:not([hidden])")
        assert page.inner_text("#error-code") == "passkey_refused"
        phone.press("again")
        page.wait_for_selector("#preview:not([hidden])")
        phone.press("accept")
        by_signing_in(world, phone, offered)
        phone.until("review")
    else:
        phone.press("prove-only")
        phone.until("ended")
        assert page.inner_text("#offer-outcome") == "Nothing was accepted"
        phone.press("to-documents")
        phone.until("wallet")
        assert page.is_hidden("#notice-count")  # no word of a code that was not proved
    phone.problems.clear()  # the browser reports the code that was the other one
    phone.end()


def test_at_the_counter(world: AppWorld, citizen: tuple[Phone, Any]) -> None:
    """Journey 2: who, why and what; a gesture; the clerk sees the one fact, the citizen where next.

    A code on another screen is said to be one (WALLET_SECURITY A7), and of two documents that
    answer one is shown.
    """
    phone, _ = citizen
    page, asked = phone.page, world.ask("over_18")
    phone.follow(asked["link"])
    phone.until("sign-in")
    phone.press("open")
    phone.until("consent")
    assert page.inner_text("#verifier") == "Service Counters of Avelonia"
    assert page.is_visible("#vouched")
    assert page.locator("#warnings [data-value=other_device]").count() == 1
    assert page.is_visible("#deadline-time")
    # One of two documents; of the other nothing is in sight until it is chosen.
    shown = page.locator("#documents .way:has(.use:checked) .claim:visible").all_inner_texts()
    assert shown[0].startswith("18 or older")
    assert page.locator("#documents .way:not(:has(.use:checked)) .claim:visible").count() == 0
    phone.press("share")
    phone.until("done")
    assert page.inner_text("#outcome") == "Shared"
    assert "other screen" in page.inner_text("#where-next")
    assert page.is_visible("#agency-page")
    result = world.result(asked)
    assert (result["verdict"]["accepted"], result["claims"]) == (
        True,
        {"pid": {"age_equal_or_over": {"18": True}}},
    )
    phone.press("done-to-wallet")
    phone.until("wallet")


def test_refusing_takes_as_many_keys_as_sharing(
    world: AppWorld, citizen: tuple[Phone, Any]
) -> None:
    """PAIN_POINTS 9: one press, side by side with the other; the counter learns nothing else."""
    phone, _ = citizen
    asked = world.ask("identity")
    phone.follow(asked["link"])
    phone.consent()
    share, refuse = (phone.page.locator(f"#{each}").bounding_box() for each in ("share", "refuse"))
    assert (share["width"], share["height"]) == (refuse["width"], refuse["height"])
    taps = phone.taps
    phone.press("refuse")
    phone.until("done")
    assert phone.taps == taps + 1
    assert phone.page.inner_text("#outcome") == "Nothing was shared"
    result = world.result(asked)
    assert (result["state"], result.get("claims")) == ("refused", None)


@pytest.mark.parametrize("also", [False, True])
def test_what_is_optional_is_off_until_chosen(
    world: AppWorld, citizen: tuple[Phone, Any], *, also: bool
) -> None:
    """Q-22, PAIN_POINTS 9: the least is proposed; one key adds the rest."""
    phone, _ = citizen
    asked = world.ask("car")
    phone.follow(asked["link"])
    phone.consent()
    assert phone.page.locator("#documents .use").is_checked() is False
    if also:
        phone.reach("#documents .use")
        phone.page.keyboard.press("Space")
    phone.press("share")
    phone.until("done")
    claims = world.result(asked)["claims"]
    assert set(claims) == ({"pid", "mdl"} if also else {"pid"})


def test_online_on_the_same_phone(
    world: AppWorld, browser: Any, citizen: tuple[Phone, Any]
) -> None:
    """Journey 3: a website sends the browser and gets it back; the website is named to compare.

    The same link elsewhere is another device, and what came of it is released to nobody (V-50).
    """
    phone, _ = citizen
    page, wallet = phone.page, world.urls["wallet"]
    phone.follow(world.portal.start("identity", wallet=wallet))
    phone.press("go")
    phone.consent()
    assert page.inner_text("#website-name") == world.urls["portal"].removeprefix("https://")
    assert page.locator("#warnings [data-value=other_device]").count() == 0
    phone.press("share")
    page.wait_for_url(f"{world.urls['portal']}/back?*")
    assert page.inner_text("h1") == "Back at the agency"
    assert world.portal.released["session_bound"] is True
    assert set(world.portal.released["claims"]["pid"]) >= {"family_name", "given_name"}
    # Somebody else got the link sent.
    world.portal.start("identity", wallet=wallet)
    phone.follow(world.portal.started["link"])
    phone.consent()
    assert not page.is_visible("#website")
    assert page.locator("#warnings [data-value=other_device]").count() == 1
    phone.press("refuse")
    phone.until("done")


def test_loading_the_page_again_asks_the_agency_nothing(
    world: AppWorld, citizen: tuple[Phone, Any]
) -> None:
    """CERTIFICATION 2.4.1: a request is not fetched again; the question is still there, unlost."""
    phone, _ = citizen
    asked = world.ask("over_18")
    phone.follow(asked["link"])
    phone.consent()
    phone.page.reload()
    phone.consent()
    assert "request_uri" not in phone.page.url
    phone.press("share")
    phone.until("done")
    assert world.result(asked)["verdict"]["accepted"]


def test_what_an_agency_may_not_ask_is_marked_claim_by_claim(
    world: AppWorld, citizen: tuple[Phone, Any]
) -> None:
    """PAIN_POINTS 9, DESIGN 4: requested minus registered; by policy there is only a no."""
    phone, _ = citizen
    world.narrow("proof_of_age")
    asked = world.ask("identity")
    phone.follow(asked["link"])
    phone.consent()
    world.narrow("proof_of_age", "identification", "proof_of_residence")
    page = phone.page
    assert page.is_visible("#not-allowed")
    assert not page.is_visible("#share")
    assert page.locator("#documents .unentitled:visible").count() >= 4
    phone.press("refuse")
    phone.until("done")


def test_too_late_is_said_before_anything_is_shared(
    world: AppWorld, citizen: tuple[Phone, Any]
) -> None:
    """WCAG 2.2.1, PAIN_POINTS 5: the limit is the agency's; the error says what to do next."""
    phone, _ = citizen
    page, asked = phone.page, world.ask("over_18")
    phone.follow(asked["link"])
    phone.consent()
    world.clock.advance(minutes=5)
    phone.press("share")
    page.wait_for_selector("#failure:not([hidden])")
    assert page.inner_text("#error-code") == "request_expired"
    phone.problems.clear()  # the browser reports the 4xx itself
    assert world.result(asked)["state"] == "expired"


def test_nobody_is_hurried(world: AppWorld, citizen: tuple[Phone, Any]) -> None:
    """WCAG 2.2.1: before the open wallet closes one press keeps it open; then nothing is lost.

    Only the browser's own clock is moved: the service has not noticed that time has passed.
    """
    phone, _ = citizen
    page = phone.page
    page.clock.install()
    phone.follow(world.ask("over_18")["link"])
    phone.consent()
    page.locator("#refuse").focus()
    assert not page.is_visible("#closing")
    page.clock.fast_forward("07:30")
    page.wait_for_selector("#closing:not([hidden])")
    phone.press("stay-open")
    page.wait_for_selector("#closing", state="hidden")
    # The agency waits no more, so what was in focus has made room for the way on.
    assert page.evaluate("document.activeElement.id") == "too-late"
    page.clock.fast_forward("09:30")
    phone.until("sign-in")
    phone.press("open")
    phone.until("consent")
    phone.press("refuse")
    phone.until("done")


# -- What is missing -------------------------------------------------------------------------------


def test_what_is_missing_is_named_with_the_way_to_it(
    world: AppWorld, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PAIN_POINTS 5: which document, who issues it, one press to it; nobody learns of the lack."""
    phone.begin()
    asked = world.ask("over_18")
    phone.follow(asked["link"])
    phone.until("sign-in")
    with monkeypatch.context() as watched:
        watched.setattr(Fetcher, "_send", None)  # whoever fetches now fails
        phone.press("open")
        phone.until("consent")
    page = phone.page
    assert page.inner_text("#lacking h2") == "One of these is needed"
    assert page.locator("#lacking h3").all_inner_texts() == ["Identity card", "Driving licence"]
    assert not page.is_visible("#share")
    card = page.locator("#lacking .lacked").first
    assert "Civil Registry of Avelonia" in card.inner_text()
    phone.press("lacking .get-it")
    phone.until("preview")
    assert page.locator("#preview .offered").inner_text() == "Identity card"
    assert world.result(asked)["state"] == "requested"  # as of anybody who thinks about it
    # The question still stands; to refuse looks like any other refusal.
    phone.follow(world.urls["wallet"])
    phone.until("sign-in")
    phone.press("open")
    phone.until("wallet")
    phone.reach("#under-way-list a[href^='#consent']")
    phone.enter()
    phone.until("consent")
    phone.press("refuse")
    phone.until("done")
    assert world.result(asked)["state"] == "refused"


# -- No dead end -----------------------------------------------------------------------------------


def test_a_mistyped_code_is_typed_again_where_it_stands(
    world: AppWorld, citizen: tuple[Phone, Any]
) -> None:
    """W-16, PAIN_POINTS 2: too short is said before anything is sent; then how many tries are left.

    What stands in the letter may be typed with a space, or in the digits of the reader.
    """
    phone, _ = citizen
    offered = world.offer("pid_sd_jwt")
    page, code = phone.page, offered["tx_code"]
    phone.follow(offered["wallet_link"])
    phone.until("sign-in")
    phone.press("open")
    phone.until("preview")
    sent: list[str] = []
    page.on("request", lambda each: sent.append(each.url))
    for typed in ("", code[:5], f"{code[:5]}o"):
        page.fill("#typed-tx-code", typed)
        phone.press("accept")
        page.wait_for_selector("#tx-code-wrong:not([hidden])")
        assert page.evaluate("document.activeElement.id") == "typed-tx-code"
    assert sent == []
    page.fill("#typed-tx-code", f"{(int(code) + 1) % 10**6:06d}")
    phone.press("accept")
    page.wait_for_selector("#tries-left:not([hidden])")
    assert page.inner_text("#tries-left-count") == "4"
    arabic = "".join(chr(0x660 + int(each)) for each in code)
    page.fill("#typed-tx-code", f"{arabic[:3]} {arabic[3:]}")
    phone.press("accept")
    phone.until("review")
    phone.press("discard")
    phone.until("ended")
    phone.problems.clear()  # the browser reports the 4xx itself


def test_who_cancels_at_the_agency_may_go_there_again(
    world: AppWorld, citizen: tuple[Phone, Any]
) -> None:
    """W-12: back where the offer stands, which says so; one press leads there once more."""
    phone, _ = citizen
    offered = world.offer("pid_sd_jwt", grant="authorization_code")
    page = phone.page
    phone.follow(offered["wallet_link"])
    phone.until("sign-in")
    phone.press("open")
    phone.until("preview")
    phone.press("accept")
    page.wait_for_selector("#login-submit")
    phone.press("login-cancel")
    phone.until("preview")
    assert page.inner_text("#came-back") == "You came back without signing in."
    # Approved already: no gesture more, straight there; and whoever leaves finds it in the wallet.
    phone.press("accept")
    page.wait_for_selector("#login-submit")
    phone.follow(world.urls["wallet"])
    phone.until("sign-in")
    phone.press("open")
    phone.until("wallet")
    phone.reach("#under-way-list a[href^='#receive']")
    phone.enter()
    phone.until("preview")
    phone.press("accept")
    by_signing_in(world, phone, offered)
    phone.until("review")
    phone.press("discard")
    phone.until("ended")


def test_who_is_slow_at_the_agency_approves_once_more(
    world: AppWorld, citizen: tuple[Phone, Any]
) -> None:
    """W-31, WCAG 2.2.1: the proofs grew too old meanwhile; nothing is lost but one press."""
    phone, _ = citizen
    offered = world.offer("pid_sd_jwt", grant="authorization_code")
    page = phone.page
    phone.follow(offered["wallet_link"])
    phone.until("sign-in")
    phone.press("open")
    phone.until("preview")
    phone.press("accept")
    page.wait_for_selector("#login-submit")
    world.clock.advance(minutes=6)
    phone.type("code", world.registry.desk_code(offered["subject"]))
    phone.press("login-submit")
    page.wait_for_selector("#consent-accept")
    phone.press("consent-accept")
    phone.until("preview")
    assert "please approve once more" in page.inner_text("#came-back")
    assert not page.is_visible("#sign-in-words")
    phone.look("approve-again")
    phone.press("accept")
    phone.until("review")
    phone.press("discard")
    phone.until("ended")


@pytest.mark.parametrize("over", ["used", "withdrawn"])
def test_an_offer_that_is_over_says_what_to_do(
    world: AppWorld, citizen: tuple[Phone, Any], over: str
) -> None:
    """PAIN_POINTS 5: a code, in words, and a way on."""
    phone, offered = citizen
    if over == "withdrawn":
        offered = world.offer("pid_sd_jwt")
        world.registry.call("POST", f"offers/{offered['offer_id']}/cancel")
    phone.follow(offered["wallet_link"])
    phone.until("sign-in")
    phone.press("open")
    page = phone.page
    page.wait_for_selector("#failure:not([hidden])")
    assert page.inner_text("#error-code") == "offer_over"
    assert "new offer" in page.inner_text("#error-next-step")
    assert not page.is_visible("#again")
    phone.press("error-home")
    page.wait_for_selector("#wallet:not([hidden])")
    phone.problems.clear()  # the browser reports the 4xx itself


def test_a_suspended_document_is_not_asked_for_anew(world: AppWorld, browser: Any) -> None:
    """DESIGN journey 4: the state and what to do, but no way to a new one, since it may come back.

    Once the agency has lifted the suspension the same document is accepted.
    """
    phone = world.phone(browser)
    page = phone.page
    phone.begin()
    offered = world.offer("pid_sd_jwt")
    phone.receive(offered)
    body = {"subject": offered["subject"], "reason": "under_review"}
    world.registry.call("POST", "issuances/suspend", body)
    world.publish()
    asked = world.ask("over_18")
    phone.follow(asked["link"])
    phone.consent()
    phone.press("share")
    phone.until("card-refused")
    [said] = page.locator("#refused-cards .card").all_inner_texts()
    assert "Suspended by the agency" in said
    assert "once the agency lifts the suspension" in said
    assert page.locator("#refused-cards .get-new:visible").count() == 0
    phone.look("card-suspended")
    phone.problems.clear()  # the browser reports the 4xx itself
    assert world.result(asked)["verdict"]["reason"] == "suspended"
    world.registry.call("POST", "issuances/reinstate", {**body, "reason": "review_ended"})
    world.publish()
    asked = world.ask("over_18")
    phone.follow(asked["link"])
    phone.consent()
    phone.press("share")
    phone.until("done")
    assert world.result(asked)["verdict"]["accepted"]
    phone.end()


def test_it_stopped_being_true(world: AppWorld, citizen: tuple[Phone, Any]) -> None:
    """Journey 4: revoked: the next check says so; the card is grey and says why and what to do.

    Who opens the wallet is told, and warned before it is shown once more.
    """
    phone, offered = citizen
    page = phone.page
    world.revoke(offered["subject"])
    # The next check, though nobody has told the citizen yet.
    asked = world.ask("over_18")
    phone.follow(asked["link"])
    phone.consent()
    phone.press("share")
    phone.until("card-refused")
    assert "done nothing wrong" in page.inner_text("#card-refused .lead")
    [said] = page.locator("#refused-cards .card").all_inner_texts()
    assert "Revoked by the agency" in said
    phone.problems.clear()  # the browser reports the 4xx itself
    assert world.result(asked)["verdict"]["reason"] == "revoked"
    # One press, and its agency is asked for another one.
    phone.press("refused-cards .get-new")
    phone.until("preview")
    assert page.is_visible("#sign-in-words")
    # The wallet, opened: grey, in words.
    phone.follow(world.urls["wallet"])
    phone.until("sign-in")
    phone.press("open")
    phone.until("wallet")
    page.wait_for_selector("#cards >> text=Revoked by the agency")
    phone.reach("#cards a")
    phone.enter()
    phone.until("one-card")
    assert "no longer accepted" in page.inner_text("#card-next")
    # And said before the gesture.
    phone.follow(world.ask("over_18")["link"])
    phone.consent()
    assert page.locator("#documents [data-value=card_not_valid]:visible").count() == 1
    phone.press("refuse")
    phone.until("done")
