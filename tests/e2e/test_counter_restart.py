"""The verifier is killed under an open counter, and comes back: the clerk's page goes on by itself.

Real processes, two workers; the clerk's page in Chromium, the citizen's phone over HTTP.
"""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from shared.demo.phone import Phone as ScriptedPhone
from shared.demo.phone import Refused
from tests.support.app_tablet import Tablet
from tests.support.browsing import chromium
from tests.support.qr_reading import read_code

from .world import World

VERIFIER = "verifier_service"
LONGEST = 18_750  # ms: what the page waits at most, a quarter of a minute and a quarter of that
SHORTEST = (
    9_000  # what it surely waits, once the server has been away for a while: 11,250 less steps
)
_STEP = 500  # ms
_COUNT = """() => {
  window.counting?.disconnect();
  window.answers = 0;
  const headline = document.querySelector("#answer-headline");
  window.counting = new MutationObserver(() => { window.answers += headline.textContent !== ""; });
  window.counting.observe(headline, { childList: true });
}"""


@pytest.fixture(scope="module")
def world(sqlite_world: World) -> World:
    return sqlite_world


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def tablet(world: World, browser: Any) -> Tablet:
    invitation = ("staff", "invite", "counter", "Maria Jensen", "--role", "verifier")
    made = Tablet.make(browser, world.system.urls[VERIFIER], width=820)
    made.take(world.system.command(VERIFIER, *invitation).split()[-1], "counter")
    made.sit("1")
    return made


@pytest.fixture(scope="module")
def phone(world: World) -> ScriptedPhone:
    made = world.phone()
    world.receive(made, world.person())
    return made


def asked(browser: Any, tablet: Tablet) -> str:
    """Ask; the link that a phone reads on the screen. Answers are counted from here on."""
    tablet.ask("over_18")
    tablet.page.evaluate(_COUNT)
    return read_code(browser, tablet.photograph()["buffer"])


def answered_once(tablet: Tablet) -> None:
    assert tablet.headline() == "Yes, confirmed"
    assert tablet.facts() == {"18 or older": "Yes"}
    assert tablet.page.evaluate("window.answers") == 1
    tablet.press("next")
    assert tablet.part("choose") == "choose"


def fails_again(page: Any, tries: list[str]) -> None:
    """Time passes in the page, by steps, until it has tried once more; its next wait begins now."""
    before = len(tries)
    with page.expect_event("requestfailed"):
        for _ in range(LONGEST // _STEP + 4):
            page.clock.run_for(_STEP)
            if len(tries) > before:
                return


def test_an_answer_after_a_restart_is_shown_once(
    world: World, browser: Any, tablet: Tablet, phone: ScriptedPhone
) -> None:
    """Issue, item 1: killed with a question open; no reload, no new sign-in, nothing twice."""
    link = asked(browser, tablet)
    tablet.page.wait_for_selector(".state.waiting")
    streams: list[Any] = []
    tablet.page.on("request", lambda it: streams.append(it) if "/events?" in it.url else None)
    world.system.processes.stop(VERIFIER, signal.SIGKILL)
    tablet.page.wait_for_selector("#away:not([hidden])")
    assert "connects again by itself" in tablet.page.inner_text("#away")
    assert tablet.said == tablet.page.inner_text("#away")
    assert tablet.page.is_visible("#qr svg")
    world.start(VERIFIER)
    tablet.page.wait_for_selector("#away", state="hidden")
    assert tablet.said == "The connection is back."
    phone.approve(phone.resolve(link, cross_device=True))
    answered_once(tablet)
    assert streams[-1].header_value("last-event-id") == "1", "after the news of the open question"


def test_an_answer_that_was_posted_into_the_outage_comes_after_minutes(
    world: World, browser: Any, tablet: Tablet, phone: ScriptedPhone
) -> None:
    """W-62; issue, item 1: the wallet posts again; the page asks ever more seldom, and goes on."""
    consent = phone.resolve(asked(browser, tablet), cross_device=True)
    page = tablet.page
    page.wait_for_selector(".state.opened")
    page.clock.install()
    page.clock.pause_at(page.evaluate("new Date(Date.now() + 1000).toISOString()"))
    tries: list[str] = []
    page.on("request", lambda sent: tries.append(sent.url))
    world.system.processes.stop(VERIFIER, signal.SIGKILL)
    try:
        page.wait_for_selector("#away:not([hidden])")
        for _ in range(10):
            fails_again(page, tries)
        before = len(tries)
        page.clock.run_for(SHORTEST)
        assert page.is_visible("#away")
        assert len(tries) == before, "sooner than a server that is away for minutes needs"
        with pytest.raises(Refused):
            phone.approve(consent)
    finally:
        world.start(VERIFIER)
    page.evaluate("dispatchEvent(new Event('online'))")  # a network that is back is used at once
    page.wait_for_selector("#away", state="hidden")
    assert page.is_visible(".state.opened")
    assert phone.retry(consent).outcome == "shared"
    answered_once(tablet)
    tablet.problems[:] = [each for each in tablet.problems if "ERR_" not in each]
    tablet.end()
