"""Journeys 2, 3 and 4 from both sides at once: a clerk's tablet and a citizen's phone (DESIGN 2).

Each side is a browser of its own, used by keyboard alone; the phone takes a picture of the tablet.
With SHOTS in the environment every screen is kept as a picture; `docs/pictures` has some.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.app_phone import Phone
from tests.support.app_tablet import Tablet
from tests.support.app_world import REGISTRY, AppWorld
from tests.support.browsing import another
from verifier_service.verdicts import Status

SUPERVISOR = ("verifier", "supervisor")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppWorld]:
    asked = ("over_18", "identity", "identity_portrait", "address")
    with AppWorld.start(tmp_path_factory.mktemp("counter"), asked=asked) as made:
        yield made


@pytest.fixture(scope="module")
def browser(world: AppWorld) -> Iterator[Any]:
    with world.chromium() as started:
        yield started


@pytest.fixture(scope="module")
def desks(world: AppWorld, browser: Any) -> Iterator[Any]:
    """The clerks' browser: processes of its own."""
    with another(browser, world.tls) as started:
        yield started


@pytest.fixture(scope="module")
def subject(world: AppWorld) -> str:
    return world.citizen()


@pytest.fixture(scope="module")
def phone(world: AppWorld, browser: Any, subject: str) -> Phone:
    """Of a citizen with an identity card in the wallet."""
    made = world.phone(browser)
    made.begin()
    made.receive(world.offer("pid_sd_jwt", subject=subject))
    return made


@pytest.fixture(scope="module")
def tablet(world: AppWorld, desks: Any) -> Tablet:
    return Tablet.at_work(world, desks)


def process(browser: Any) -> int:
    """Its id in this machine."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    (main,) = [each["id"] for each in found if each["type"] == "browser"]
    return int(main)


def open_scanner(phone: Phone) -> None:
    phone.page.goto(f"{phone.url}/#scan")
    phone.page.reload()
    if phone.until("sign-in", "scan") == "sign-in":
        phone.press("open")
        phone.until("scan")


def scan(phone: Phone, picture: Any) -> None:
    """The citizen opens the wallet's scanner and takes a picture of the clerk's screen."""
    open_scanner(phone)
    phone.focus("scan-picture")
    phone.page.set_input_files("#scan-picture", picture)
    phone.until("consent")


def share(phone: Phone, picture: Any) -> None:
    scan(phone, picture)
    phone.press("share")
    phone.until("done")


def test_clerk_and_citizen_have_a_browser_each(browser: Any, desks: Any) -> None:
    """Issue, "Done when": nothing but the services and a picture goes from one to the other."""
    assert process(browser) != process(desks)


def test_at_a_counter_a_clerk_learns_yes_and_nothing_else(phone: Phone, tablet: Tablet) -> None:
    """Journey 2: choose, show, answer, next; by keyboard, said to a screen reader, axe clean."""
    tablet.look("counter-choose")
    tablet.ask("over_18")
    assert "Waiting for the customer" in tablet.said
    tablet.look("counter-asking")
    scan(phone, tablet.photograph())
    tablet.page.wait_for_selector(".state.opened")
    assert "wallet is open" in tablet.said
    assert "18 or older" in phone.page.inner_text("#consent")
    phone.press("share")
    phone.until("done")
    assert tablet.headline() == "Yes, confirmed"
    assert tablet.facts() == {"18 or older": "Yes"}
    assert tablet.page.get_attribute("#answer", "data-tone") == "yes"
    assert "Is 18 or older. Yes, confirmed. 18 or older: Yes." in tablet.said
    assert tablet.page.is_visible(".for-yes")
    tablet.press("next", key="Tab")
    tablet.look("counter-yes")
    tablet.page.keyboard.press("Escape")
    assert tablet.part("choose", "answer") == "choose"
    assert "Ready for the next customer" in tablet.said
    assert tablet.page.evaluate("document.activeElement.id") == "question-over_18"
    assert "18 or older" not in tablet.page.evaluate("document.querySelector('#answer').innerHTML")


def test_the_face_is_compared_with_the_portrait(world: AppWorld, desks: Any, phone: Phone) -> None:
    """Journey 2 at 320 px, in German, dark: the portrait stands beside the name."""
    small = Tablet.at_work(world, desks, desk="2", width=320, language="de", dark=True)
    small.look("counter-choose-small", widths=())
    small.ask("identity_portrait")
    small.look("counter-asking-small", widths=())
    share(phone, small.photograph())
    assert small.headline() == "Ja, bestätigt"
    assert "Familienname" in small.facts()
    picture = small.page.get_attribute("#portrait-picture", "src")
    assert picture.startswith("data:image/")
    assert small.page.evaluate("document.querySelector('#portrait-picture').naturalWidth") > 0
    small.page.focus("#checks summary")
    small.page.keyboard.press("Enter")
    small.look("counter-portrait-small", widths=())
    small.press("next")
    assert small.part("choose", "answer") == "choose"
    assert small.page.get_attribute("#portrait-picture", "src") is None
    small.end()


def test_who_cannot_scan_types_the_short_code(
    world: AppWorld, phone: Phone, tablet: Tablet
) -> None:
    """Journey 2 without a camera: the address and eight letters lead to the same question."""
    tablet.ask("over_18")
    page = phone.page
    page.goto(f"{world.urls['verifier']}/c")
    phone.look("code-form")
    phone.type("code", "ACDE2346")
    page.keyboard.press("Enter")
    page.wait_for_selector("#alert")
    phone.look("code-wrong")
    page.fill("#code", "")
    phone.type("code", tablet.page.inner_text("#code").lower())
    page.keyboard.press("Enter")
    page.wait_for_selector("#opened-title")
    phone.look("code-opened")
    assert "Service Counters of Avelonia" in page.inner_text("#opened-asker")
    link = page.input_value("#link")
    assert page.get_attribute("#open-wallet", "href") == link
    open_scanner(phone)
    phone.type("scan-text", link)
    phone.press("scan-go")
    phone.until("consent")
    phone.press("share")
    phone.until("done")
    assert tablet.headline() == "Yes, confirmed"
    tablet.press("next")
    phone.problems.clear()  # Chromium counts the page of the wrong code as an error


def test_a_citizen_who_declines_ends_the_wait_at_once(phone: Phone, tablet: Tablet) -> None:
    """Journey 2, PAIN_POINTS 2.6: declined is said as such, and what to do."""
    tablet.ask("identity")
    scan(phone, tablet.photograph())
    phone.press("refuse")
    assert tablet.headline() == "No answer: declined"
    assert tablet.page.get_attribute("#answer", "data-tone") == "none"
    assert "Nobody has to use a wallet" in tablet.page.inner_text("#answer-next")
    tablet.look("counter-declined", widths=())
    tablet.press("next")


def test_an_answer_finds_a_tablet_that_was_offline(phone: Phone, tablet: Tablet) -> None:
    """Issue, item 1: the stream resumes; nothing is lost, and a reload changes nothing either."""
    tablet.ask("over_18")
    code = tablet.page.inner_text("#code")
    tablet.page.reload()
    tablet.part("asking")
    assert tablet.page.inner_text("#code") == code
    picture = tablet.photograph()
    tablet.page.context.set_offline(True)
    share(phone, picture)
    tablet.page.context.set_offline(False)
    assert tablet.headline() == "Yes, confirmed"
    tablet.press("next")
    tablet.problems.clear()  # what Chromium says of a network that is gone


def held_back(tablet: Tablet, call: str) -> list[Any]:
    """From now on *call* waits: its routes, to be let go."""
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    tablet.page.route(f"**/desks/1/{call}", hold)
    return held


def let_go(tablet: Tablet, call: str, held: list[Any]) -> None:
    """What was held back goes on, and nothing more is."""
    for each in held:
        each.continue_()
    tablet.page.unroute(f"**/desks/1/{call}")


def test_a_question_chosen_during_the_clearing_waits_and_is_not_lost(tablet: Tablet) -> None:
    """Issue, item 1: next customer, next question, however slow the network; the last is meant."""
    tablet.ask("over_18")
    code = tablet.page.inner_text("#code")
    held, asked = held_back(tablet, "clear"), []
    tablet.page.on("request", lambda it: asked.append(it) if it.url.endswith("/ask") else None)
    with tablet.page.expect_request("**/clear"):
        tablet.page.keyboard.press("Escape")
    assert tablet.part("choose") == "choose"
    tablet.press("question-identity")
    tablet.press("question-over_18")
    assert tablet.page.get_attribute("#question-over_18", "aria-busy") == "true"
    assert (len(held), asked) == (1, [])
    with tablet.page.expect_response("**/ask"):
        let_go(tablet, "clear", held)
    tablet.part("asking")
    assert tablet.page.inner_text("#asking-title") == "Is 18 or older"
    assert tablet.page.inner_text("#code") not in ("", code)
    assert tablet.page.get_attribute("#question-over_18", "aria-busy") is None
    held = held_back(tablet, "clear")
    with tablet.page.expect_request("**/clear"):
        tablet.page.keyboard.press("Escape")
    tablet.press("question-identity")
    tablet.page.keyboard.press("Escape")  # thought better of it
    with tablet.page.expect_response("**/clear"):
        let_go(tablet, "clear", held)
    assert tablet.part("choose", "asking") == "choose"
    assert [each.post_data_json["query"] for each in asked] == ["over_18"]


def test_leaving_a_customer_is_tried_until_the_server_has_heard(
    phone: Phone, tablet: Tablet
) -> None:
    """Issue, item 1: blank at once; what was shown is forgotten when the network is back."""
    page = tablet.page
    tablet.ask("identity")
    share(phone, tablet.photograph())
    assert tablet.headline() == "Yes, confirmed"
    name = tablet.facts()["Family name"]
    page.route("**/desks/1/*", lambda route: route.abort())
    page.keyboard.press("Escape")
    page.wait_for_selector("#away:not([hidden])")
    assert name not in page.content()
    tablet.look("counter-away")
    tablet.press("question-over_18")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "Check the network" in page.inner_text("#trouble")
    with page.expect_response("**/clear"):
        page.unroute("**/desks/1/*")
    page.wait_for_selector("#away", state="hidden")
    page.wait_for_selector("#trouble", state="hidden")
    page.reload()
    page.wait_for_function("() => document.activeElement.id.startsWith('choose')")
    assert name not in page.content()
    tablet.problems.clear()  # what Chromium says of a network that is gone


def test_each_desk_has_its_own_customer(
    world: AppWorld, desks: Any, phone: Phone, tablet: Tablet
) -> None:
    """Issue, item 1: several desks; whoever takes one over ends what was asked there."""
    other = Tablet.at_work(world, desks, desk="2")
    tablet.ask("over_18")
    other.ask("identity")
    share(phone, other.photograph())
    assert other.headline() == "Yes, confirmed"
    assert tablet.part("asking", "answer") == "asking"
    assert "Family name" not in tablet.page.inner_text("body")
    other.follow(f"{world.urls['verifier']}/staff/counter")
    assert "In use" in other.page.inner_text("#desk-1")
    other.look("counter-desks")
    other.press("desk-1")
    tablet.page.wait_for_selector("#desks-title")
    tablet.press("desk-1")
    tablet.page.wait_for_selector("#choose:not([hidden])")
    tablet.problems.clear()  # Chromium counts "somebody else works at this desk" as an error
    other.end()


def test_answers_disappear_by_themselves(phone: Phone, tablet: Tablet) -> None:
    """Issue, item 1; WCAG 2.2.1: blank after a time that can be made longer, and on leaving."""
    tablet.page.clock.install()
    tablet.page.reload()
    tablet.part("choose")
    tablet.ask("identity")
    share(phone, tablet.photograph())
    assert tablet.headline() == "Yes, confirmed"
    name = tablet.facts()["Family name"]
    tablet.page.clock.run_for(50_000)
    assert "disappears in 15 seconds" in tablet.said
    tablet.press("keep")
    tablet.page.clock.run_for(40_000)
    assert tablet.facts()["Family name"] == name
    tablet.page.clock.run_for(40_000)
    assert tablet.part("choose", "answer") == "choose"
    assert name not in tablet.page.content()
    assert "has disappeared" in tablet.said
    tablet.ask("identity")
    share(phone, tablet.photograph())
    assert tablet.headline() == "Yes, confirmed"
    tablet.page.reload()
    tablet.page.wait_for_function("() => document.activeElement.id.startsWith('choose')")
    assert tablet.part("choose", "answer") == "choose"
    assert name not in tablet.page.content()


def test_a_card_of_unknown_status_is_accepted_by_hand_by_who_may(
    world: AppWorld, desks: Any, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ST-54, PAIN_POINTS 2.17: a reason is chosen by keyboard, and recorded."""
    head = Tablet.at_work(world, desks, desk="3", roles=SUPERVISOR, language="de")
    monkeypatch.setattr(
        world.verifier.statuses, "check", lambda *_, **__: Status.LIST_UNREACHABLE
    )  # the registry's list cannot be fetched
    head.ask("identity")
    scan(phone, head.photograph())
    phone.press("share")
    assert head.headline().startswith("Offen")
    assert head.page.get_attribute("#answer", "data-tone") == "unsure"
    assert head.facts() == {}
    phone.page.wait_for_selector("#failure:not([hidden])")
    phone.problems.clear()  # Chromium counts the refusal as an error
    head.look("counter-undecided")
    head.page.focus("input[name=reason]")
    head.page.keyboard.press("Space")
    head.press("accept-button")
    head.page.wait_for_selector("#answer[data-tone=yes]")
    assert "Familienname" in head.facts()
    assert "Papierdokument" in head.page.inner_text("#accepted-because")
    head.look("counter-accepted", widths=())
    head.end()


def test_online_a_citizen_proves_it_while_counters_work_on(
    world: AppWorld, phone: Phone, tablet: Tablet
) -> None:
    """Journey 3: same phone, no code to scan; no desk sees anything of it."""
    tablet.ask("over_18")
    phone.follow(world.portal.start("identity", wallet=world.urls["wallet"]))
    phone.press("go")
    phone.consent()
    phone.press("share")
    phone.page.wait_for_url(f"{world.urls['portal']}/**")
    assert world.portal.released["state"] == "verified"
    assert world.portal.released["session_bound"] is True
    assert tablet.part("asking", "answer") == "asking"
    tablet.page.keyboard.press("Escape")
    assert tablet.part("choose", "asking") == "choose"


def revoke_at_the_desk(world: AppWorld, desks: Any, subject: str) -> None:
    """A clerk of the registry finds the person and revokes the card, by keyboard."""
    desk = Tablet.make(desks, world.urls["issuer"], width=820)
    desk.join(world.issuer.staff, REGISTRY, ("read", "status"))
    desk.type("reference", subject)
    desk.enter()
    desk.page.wait_for_selector("#person-name")
    desk.reach("#credentials a")
    desk.enter()
    desk.press("move-revoke")
    desk.focus("reason-court_order")  # the first of the group; arrows choose
    while desk.page.evaluate("document.activeElement.id") != "reason-lost_or_stolen":
        desk.page.keyboard.press("ArrowDown")
    desk.press("move-submit")
    desk.page.wait_for_selector("#credential-reason")
    assert desk.page.inner_text("#credential-state") == "Revoked"
    desk.end()


def test_what_stopped_being_true_is_refused_at_the_next_check(
    world: AppWorld, desks: Any, phone: Phone, tablet: Tablet, subject: str
) -> None:
    """Journey 4: the registry's clerk revokes; the counter's reads it in plain words."""
    revoke_at_the_desk(world, desks, subject)
    world.publish()
    tablet.ask("over_18")
    scan(phone, tablet.photograph())
    phone.press("share")
    assert tablet.headline() == "No: the card was revoked"
    phone.until("card-refused")
    phone.problems.clear()  # Chromium counts the refusal as an error
    assert tablet.page.get_attribute("#answer", "data-tone") == "no"
    assert tablet.facts() == {}
    assert "agency that issued the card" in tablet.page.inner_text("#answer-next")
    tablet.page.focus("#checks summary")
    tablet.page.keyboard.press("Enter")
    assert "Its issuer says that it is still in force" in tablet.page.inner_text("#cards")
    tablet.look("counter-revoked")
    tablet.press("next")


def test_the_morning_begins_with_signing_in(world: AppWorld, tablet: Tablet) -> None:
    """Issue, item 4: a page left open overnight leads to the sign-in, from there to the desk."""
    tablet.page.reload()
    tablet.page.wait_for_function("() => document.activeElement.id.startsWith('choose')")
    world.clock.advance(hours=13)
    tablet.press("question-over_18")
    tablet.page.wait_for_selector("#sign-in-passkey")
    assert "could not reach" not in tablet.page.content()
    tablet.look("counter-sign-in", widths=())
    tablet.press("sign-in-passkey")
    tablet.sit("1")
    tablet.ask("over_18")
    tablet.page.keyboard.press("Escape")
    assert tablet.part("choose", "asking") == "choose"


def test_nothing_went_wrong_unseen(phone: Phone, tablet: Tablet) -> None:
    """No error in a console, and nobody but our services was asked anything."""
    tablet.end()
    phone.end()
