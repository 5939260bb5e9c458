"""Documents in the citizen's hand: scanned, received, looked at, renewed, deleted, remembered.

Chromium at phone size, by keyboard alone; how the pages look is looked at by `test_all_pages`. The
camera is Chromium's fake one, whose film holds a real code, read by the page's own decoder.

Specification: DESIGN, journeys 1, 4, 5 and 7, and section 8; PAIN_POINTS 1 (5, 7, 10, 11, 14, 16,
18, 19); PROFILE W-01, W-02, W-16, W-41, W-46, W-50.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.app_phone import Phone
from tests.support.app_world import AppWorld
from tests.support.browsing import chromium
from tests.support.pictures_of_codes import film, png

TAPS = 6


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppWorld]:
    with AppWorld.start(tmp_path_factory.mktemp("app"), environment="test") as made:
        yield made


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Chromium's camera sees; a test puts a code there."""
    path = tmp_path_factory.mktemp("camera") / "film.y4m"
    film(path, None)
    return path


@pytest.fixture(scope="module")
def browser(world: AppWorld, camera: Path) -> Iterator[Any]:
    film_of = f"--use-file-for-fake-video-capture={camera}"
    with chromium(world.tls, "--use-fake-device-for-media-stream", film_of) as started:
        yield started


@pytest.fixture
def phone(world: AppWorld, browser: Any) -> Iterator[Phone]:
    made = world.phone(browser)
    made.begin()
    yield made
    made.end()


def visit(phone: Phone, view: str, part: str) -> None:
    """By the links at the top of the page."""
    phone.page.eval_on_selector(f"#sections a[href='#{view}']", "each => each.focus()")
    phone.page.keyboard.press("Enter")
    phone.until(part)


def enter(phone: Phone, part: str, link: str) -> None:
    """Enter on a link of a part that has no id of its own."""
    phone.page.eval_on_selector(f"#{part} {link}", "each => each.focus()")
    phone.page.keyboard.press("Enter")


def paste(phone: Phone, text: str, *parts: str) -> str:
    """A link as text, in the view that scans."""
    visit(phone, "scan", "scan")
    phone.page.fill("#scan-text", text)
    phone.press("scan-go")
    return phone.until(*parts)


def keep(phone: Phone) -> None:
    """From the code of the letter to the end."""
    for button, part in (("accept", "review"), ("keep", "ended")):
        phone.press(button)
        phone.until(part)


def expect(phone: Phone, *statuses: int) -> None:
    """The browser notes every refusal of the API in its console; these were meant to come."""
    for status in statuses:
        phone.problems.remove(next(each for each in phone.problems if f"of {status} " in each))


def words(phone: Phone, element: str) -> str:
    found: str = phone.page.inner_text(f"#{element}")
    return found


# -- Scanning --------------------------------------------------------------------------------------


def test_a_first_document_needs_six_taps_after_the_camera_saw_its_code(
    world: AppWorld, phone: Phone, camera: Path
) -> None:
    """W-01, W-16, W-41; DESIGN, journey 1: a real code, a camera, the page's own decoder."""
    offered = world.offer("pid_sd_jwt")
    film(camera, offered["link"])
    phone.page.context.grant_permissions(["camera"], origin=world.urls["wallet"])
    visit(phone, "scan", "preview")  # the camera begins by itself where it was allowed
    phone.taps = 0
    phone.type("typed-tx-code", offered["tx_code"])
    keep(phone)
    assert phone.taps <= TAPS
    phone.press("show-it")
    phone.until("one-card")
    assert "Civil Registry" in words(phone, "card-face")
    assert phone.page.evaluate("document.getElementById('viewfinder').srcObject") is None


def test_a_picture_of_a_code_is_read_and_one_of_something_else_is_said_to_be_none(
    world: AppWorld, phone: Phone
) -> None:
    """W-50, PAIN_POINTS 7: a question from a picture; what is no code, no picture, not for us."""
    visit(phone, "scan", "scan")

    def choose(content: bytes) -> None:
        file = {"name": "code.png", "mimeType": "image/png", "buffer": content}
        phone.page.set_input_files("#scan-picture", files=[file])

    def problem(part: str) -> None:
        phone.page.wait_for_function(
            "part => document.getElementById('scan-problem-text').textContent.includes(part)",
            arg=part,
        )

    choose(b"no picture at all")
    problem("no picture")
    choose(png("x"))
    problem("not for a wallet")
    choose(png("https://shop.example/menu"))
    problem("not for a wallet")
    phone.page.wait_for_selector("#scan-leads:not([hidden])")
    assert words(phone, "scan-leads-to") == "shop.example"
    choose(png(world.ask("over_18")["link"]))
    phone.until("consent")
    expect(phone, 400, 400)


def test_without_a_right_to_the_camera_the_page_says_so_and_shows_other_ways(
    world: AppWorld, phone: Phone
) -> None:
    """PAIN_POINTS 5: clear words, no dead end."""
    visit(phone, "scan", "scan")
    phone.press("start-camera")
    phone.page.wait_for_selector("#scan-problem:not([hidden])")
    assert "may not use the camera" in words(phone, "scan-problem")
    offer, request = world.offer("pid_sd_jwt")["link"], world.ask("over_18")["link"]
    for scheme, link, part in (
        ("haip-vci", offer, "preview"),
        ("openid-credential-offer", offer, "preview"),
        ("haip-vp", request, "consent"),
        ("openid4vp", request, "consent"),
    ):
        phone.page.fill("#scan-text", f"{scheme}://?{link.partition('?')[2]}")
        phone.press("scan-go")
        phone.until(part)
        phone.page.go_back()
        phone.until("scan")


# -- The whole way --------------------------------------------------------------------------------


def test_everything_about_a_document(world: AppWorld, phone: Phone) -> None:
    """DESIGN, journeys 1, 4 and 7; PAIN_POINTS 10, 11, 16, 18, 19."""
    # 1. Not for a wallet; then an offer as text, with a wrong code first.
    paste(phone, "https://shop.example/menu", "scan")
    phone.page.wait_for_selector("#scan-problem:not([hidden])")
    offered = world.offer("pid_sd_jwt")
    paste(phone, offered["link"], "preview")
    phone.type("typed-tx-code", f"{(int(offered['tx_code']) + 1) % 10**6:06d}")
    phone.press("accept")
    phone.page.wait_for_selector("#tx-code-field:not([hidden]) #tries-left:not([hidden])")
    assert words(phone, "tries-left-count") == "4"
    phone.type("typed-tx-code", offered["tx_code"])
    phone.press("accept")
    phone.until("review")
    assert phone.page.locator("#content-of-cards img.picture").count() == 1
    phone.press("keep")
    phone.until("ended")
    # 2. The card, with a name that says all of it.
    phone.press("to-documents")
    phone.until("wallet")
    shown = phone.page.locator("#cards a")
    phone.page.wait_for_selector("#cards .badge.good")  # looked up since it came
    [held] = phone.page.evaluate("fetch('/api/v1/wallet').then((a) => a.json())")["cards"]
    named = re.compile(re.escape(held["label"]).replace(",", " ?,"))
    assert phone.page.get_by_role("link", name=named).count() == 1
    # 3. Somebody asks; the history says who it was, and what can be done about it.
    paste(phone, world.ask("over_18")["link"], "consent")
    phone.press("share")
    phone.until("done")
    phone.press("done-to-wallet")
    phone.until("wallet")
    visit(phone, "history", "history")
    enter(phone, "history-list", "a")
    phone.until("one-entry")
    assert offered["subject"] not in words(phone, "one-entry")
    phone.press("ask-erasure")
    phone.until("letter")
    assert "mailto:privacy" in phone.page.get_attribute("#letter-ways a", "href")
    with phone.page.expect_response("**/letters"):
        # The mail program opens elsewhere; here only that the history remembers it.
        phone.page.eval_on_selector(
            "#letter-ways a", "each => { each.removeAttribute('href'); each.click(); }"
        )
    phone.press("letter-back")
    phone.page.wait_for_selector("#one-entry:not([hidden]) #entry-asked:not([hidden])")
    phone.press("forget-entry")
    phone.until("forget-it")
    phone.press("forget-now")
    phone.until("history")
    phone.page.select_option("#history-with", "")
    assert phone.page.locator("#history-list li").count() >= 5
    # 4. The same document again takes the place of the first.
    again = world.offer("pid_sd_jwt", subject=offered["subject"])
    paste(phone, again["link"], "preview")
    phone.type("typed-tx-code", again["tx_code"])
    phone.page.wait_for_selector("#exchange:not([hidden])")
    phone.press("accept")
    phone.until("review")
    phone.press("keep")
    phone.until("ended")
    phone.press("to-documents")
    phone.until("wallet")
    assert shown.count() == 1
    # 5. It stopped being true: told at once, with whom to ask.
    world.revoke(offered["subject"])
    phone.page.reload()
    phone.until("sign-in")
    phone.press("open")
    phone.until("wallet")
    phone.page.wait_for_selector("#to-notices:not([hidden])")
    phone.press("to-notices")
    phone.until("notices")
    assert phone.page.locator("#notice-list .ways a").count() > 0
    # 6. And away with it.
    visit(phone, "cards", "wallet")
    enter(phone, "cards", "a")
    phone.until("one-card")
    phone.page.wait_for_selector("#card-next:not([hidden])")
    phone.press("delete-card")
    phone.until("delete-it")
    phone.press("delete-now")
    phone.until("wallet")
    assert shown.count() == 0
    ids = phone.page.eval_on_selector_all("[id]", "all => all.map(each => each.id)")
    assert len(ids) == len(set(ids))
    expect(phone, 400, 409)  # not for a wallet; a wrong code


# -- What is left ----------------------------------------------------------------------------------


def test_two_formats_are_one_card_which_says_where_it_was_shown(
    world: AppWorld, phone: Phone
) -> None:
    """PAIN_POINTS 16: one document to people; the file of the history is whole."""
    offered = world.offer("pid_sd_jwt", "pid_mdoc")
    paste(phone, offered["link"], "preview")
    phone.type("typed-tx-code", offered["tx_code"])
    assert phone.page.locator("#preview .offered li").count() == 1
    keep(phone)
    phone.press("to-documents")
    phone.until("wallet")
    assert phone.page.locator("#cards a").count() == 1
    paste(phone, world.ask("over_18")["link"], "consent")
    phone.press("share")
    phone.until("done")
    phone.press("done-to-wallet")
    phone.until("wallet")
    enter(phone, "cards", "a")
    phone.until("one-card")
    assert phone.page.locator("#card-formats li").count() == 2
    assert phone.page.locator("#card-seen li").count() == 1
    visit(phone, "history", "history")
    with phone.page.expect_download() as saved:
        phone.press("history-export")
    content = json.loads(Path(saved.value.path()).read_text())
    assert content["history"][0]["type"] == "presentation"
    assert len(content["log"]["entries"]) == len(content["history"])
