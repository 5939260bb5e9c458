"""<citizen-wallet-request> in the page of docs/component, whose server is the script beside it.

The page is of another origin than the verifier, with a strict policy; the server runs as the guide
says. The citizen's wallet is the certification suite's, and where a browser goes to it on the same
device, the wallet's address is answered by the test.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from shared.runtime.clock import utc_now
from shared.trust import Role
from tests.support.browsing import chromium
from tests.support.live_verifier import ENDPOINT, LiveVerifier, free_port
from tests.support.qr_reading import read_code
from tests.support.readable import look
from tests.support.suite_wallet import Asked, Suite
from tests.support.tls import TlsFiles

ROOT = Path(__file__).parents[2]
WIDTHS = (320, 768)
PHONE = {"width": 320, "height": 640}
HELD = "window.ended = []; addEventListener('citizen-wallet-result', e => ended.push(e.detail))"


WALLET = """
window.DigitalCredential = class {};
navigator.credentials.get = async (options) => {
  const answer = await window.wallet(JSON.stringify(options));
  if (answer === null) throw new DOMException("refused", "NotAllowedError");
  return JSON.parse(answer);
};
"""


@dataclass
class World:
    live: LiveVerifier
    suite: Suite
    browser: Any
    portal: str
    log: Path

    def open(self, *, wallet: Any = None, **options: Any) -> Any:
        """A page of the portal, with what went wrong in `faults` and what it sent in `sent`.

        Chromium has no wallet of its own; *wallet* stands where its dialogue would be.
        """
        context = self.browser.new_context(viewport=PHONE, **{"locale": "en", **options})
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.faults, page.sent = [], []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda said: said.type == "error" and page.faults.append(said.text))
        page.on("request", lambda sent: page.sent.append(sent))  # noqa: PLW0108  # marks it
        page.add_init_script(HELD)
        page.add_init_script("delete window.DigitalCredential" if wallet is None else WALLET)
        if wallet is not None:
            page.expose_function("wallet", wallet)
        page.goto(self.portal)
        page.wait_for_selector("#other")
        return page

    def link(self, page: Any) -> str:
        """What a phone reads of the screen."""
        page.wait_for_selector("#code svg")
        [seen] = [each for each in page.sent if each.url.endswith("/state")][:1]
        return str(seen.response().json()["link"])

    def ask(self, link: str) -> Asked:
        """What a wallet reads of the request behind *link*."""
        [uri] = parse_qs(urlsplit(link).query)["request_uri"]
        claims = self.suite._claims(self.suite.http.get(uri).text)
        return Asked(claims["client_id"], claims)

    def approve(self, link: str) -> str:
        asked = self.ask(link)
        answer = self.suite.post(asked, self.suite.present_sd_jwt(asked))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["redirect_uri"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("component")
    portal = f"http://localhost:{free_port()}"
    with LiveVerifier.start(folder, origins=(portal,)) as live:
        files = TlsFiles(*(str(folder / name) for name in ("ca.pem", "tls.crt", "tls.key")))
        suite = Suite(
            http=live.http,
            credential_signer=live.trust.registry.signer(
                Role.CREDENTIAL, now=utc_now(), dns=["suite.example"]
            ),
            documents=live.documents,
            anchor=live.trust.counter.authorities[Role.ACCESS].certificate,
        )
        environment = dict(os.environ) | {
            "VERIFIER": live.url,
            "TENANT": "counter",
            "CLIENT": "suite",
            "SECRET": live.secrets["counter"],
            "ORIGIN": portal,
            "WALLET": ENDPOINT,
            "SSL_CERT_FILE": files.authority,
        }
        log = folder / "portal.log"
        with log.open("wb") as output, chromium(files) as browser:
            process = subprocess.Popen(
                [sys.executable, ROOT / "docs/component/portal.py"],
                env=environment,
                stdout=output,
                stderr=output,
            )
            try:
                _await(portal, process, log)
                yield World(live, suite, browser, portal, log)
            finally:
                process.terminate()
                process.wait(timeout=30)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            httpx2.get(url)
        except httpx2.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


def on_phone(world: World, page: Any) -> list[str]:
    """A web wallet at its address: approves, and sends the browser where the verifier says."""
    seen: list[str] = []

    def wallet(route: Any) -> None:
        seen.append(route.request.url)
        back = world.approve(route.request.url)
        route.fulfill(status=303, headers={"Location": back}, body="")

    page.context.route(f"{ENDPOINT}?**", wallet)
    return seen


def test_another_device_answers(world: World) -> None:
    """Issue 10, item 2: a plain page of another origin, a strict policy, by keyboard."""
    page = world.open()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.shadowRoot.activeElement.id") == "other"
    page.keyboard.press("Enter")
    link = world.link(page)
    assert read_code(world.browser, page.locator("#code").screenshot(type="png")) == link
    look(page, "component-code", widths=WIDTHS)
    assert page.faults == []
    world.approve(link)
    page.wait_for_url(f"{world.portal}/reserve")
    assert page.inner_text("h1") == "The hall is yours."
    page.context.close()


def test_the_browser_learns_neither_secret_nor_answer(world: World) -> None:
    """Issue 10, item 2: everything the page loads or is told, but for the result of its server."""
    page = world.open()
    page.route("**/page.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.sent.clear()
    page.reload()
    page.click("#other")
    world.approve(world.link(page))
    page.wait_for_function("() => window.ended.length > 0")
    assert page.evaluate("window.ended") == [{"state": "verified"}]
    told = [each.response() for each in page.sent]
    texts = " ".join(each.text() for each in told if each and each.status == 200)
    for name in ("secret", "age_equal_or_over", "claims", "verdict", "transaction_id"):
        assert f'"{name}"' not in texts
    assert world.live.secrets["counter"] not in texts
    assert {each.url.split("/")[2] for each in page.sent if not each.url.startswith("data:")} == {
        world.live.url.split("/")[2],
        world.portal.split("/")[2],
    }
    assert page.evaluate("sessionStorage.length") == 0
    page.context.close()


def test_a_reload_goes_on_where_it_was(world: World) -> None:
    """Issue 10, item 2: resumes; the same code, no second request."""
    page = world.open()
    page.click("#other")
    link = world.link(page)
    page.reload()
    page.wait_for_selector("#code svg")
    posts = [each for each in page.sent if each.method == "POST"]
    assert len(posts) == 1
    world.approve(link)
    page.wait_for_url(f"{world.portal}/reserve")
    page.context.close()


def test_the_wallet_on_this_device_answers(world: World) -> None:
    """DESIGN journey 3, V-50: to the wallet and back, by the page with the start cookie."""
    page = world.open(has_touch=True, is_mobile=True)
    seen = on_phone(world, page)
    assert page.locator("#here").get_attribute("part") == "button main"
    page.click("#here")
    page.wait_for_url(f"{world.live.url}/counter/present/**")
    cookies = {each["name"] for each in page.context.cookies(world.live.url)}
    assert "__Host-present" in cookies
    page.click("#open-wallet")
    page.wait_for_url(f"{world.portal}/reserve")
    assert len(seen) == 1
    assert page.inner_text("h1") == "The hall is yours."
    page.context.close()


def of_browser(world: World, origin: str) -> Callable[[str], str]:
    """A wallet that the browser knows, and that takes *origin* for the asker's."""

    def wallet(options: str) -> str:
        [_, chosen] = json.loads(options)["digital"]["requests"]
        request = Asked(f"origin:{origin}", chosen["data"])
        shown = {"pid": [world.suite.present_sd_jwt(request)]}
        token = world.suite.encrypt(request, {"vp_token": shown})
        return json.dumps({"protocol": chosen["protocol"], "data": {"response": token}})

    return wallet


def test_the_wallet_of_the_browser_answers_in_the_page(world: World) -> None:
    """V-70, V-71: the Digital Credentials API where it is, for the portal's own origin."""
    page = world.open(wallet=of_browser(world, world.portal))
    assert page.locator("#here").get_attribute("part") == "button main"
    page.click("#here")
    page.wait_for_url(f"{world.portal}/reserve")
    assert page.inner_text("h1") == "The hall is yours."
    assert not any(
        "/counter/present/" in each.url for each in page.sent if each.is_navigation_request()
    )
    page.context.close()


def test_who_declines_there_may_open_another_wallet(world: World) -> None:
    """The refused twins: nothing counts, and the second time the page with every wallet opens."""
    page = world.open(wallet=lambda _options: None)
    page.click("#here")
    page.wait_for_function(STATUS, arg="gave no answer")
    page.click("#here")
    page.wait_for_url(f"{world.live.url}/counter/present/**")
    assert page.is_visible("#open-wallet")
    page.context.close()


def test_an_answer_that_does_not_verify_is_said_so(world: World) -> None:
    """V-42: the reason is the server's alone."""
    page = world.open(wallet=of_browser(world, "https://other.example"))
    page.click("#here")
    page.wait_for_function(STATUS, arg="could not be accepted")
    assert page.evaluate("window.ended") == [{"state": "rejected"}]
    page.context.close()


def test_who_comes_back_without_an_answer_begins_again(world: World) -> None:
    """DESIGN journey 3: nothing is lost; the element says so, and a new request is another one."""
    page = world.open(has_touch=True, is_mobile=True)
    page.click("#here")
    page.wait_for_url(f"{world.live.url}/counter/present/**")
    first = page.url
    page.go_back()
    page.wait_for_function(STATUS, arg="begin again")
    assert page.evaluate("window.ended") == []
    page.click("#here")
    page.wait_for_url(f"{world.live.url}/counter/present/**")
    assert page.url != first
    page.context.close()


STATUS = """text => document.querySelector("citizen-wallet-request")
  .shadowRoot.getElementById("status").textContent.includes(text)"""


@pytest.mark.parametrize(
    ("language", "direction", "words"),
    [
        ("en", "ltr", "You declined"),
        ("de", "ltr", "Sie haben abgelehnt"),
        ("fr", "ltr", "Vous avez refusé"),
        ("ar", "rtl", "لقد رفضت"),
    ],
)
def test_a_refusal_is_said_in_the_languages_of_the_page(
    world: World, language: str, direction: str, words: str
) -> None:
    """WCAG 4.1.3: in a live region; the event says the state and nothing else."""
    page = world.open(color_scheme="dark" if language == "ar" else "light")
    page.evaluate(
        "tag => { document.querySelector('citizen-wallet-request').lang = tag }", language
    )
    page.click("#other")
    asked = world.ask(world.link(page))
    refused = world.suite.http.post(
        asked.claims["response_uri"],
        data={"error": "access_denied", "state": asked.claims["state"]},
    )
    assert refused.status_code == 200
    page.wait_for_function(STATUS, arg=words)
    assert page.get_by_role("status").count() == 1
    assert page.evaluate("window.ended") == [{"state": "refused"}]
    all_ = page.locator("#all")
    assert (all_.get_attribute("dir"), all_.get_attribute("lang")) == (direction, language)
    assert not page.is_visible("#code")
    look(page, f"component-refused-{language}", widths=WIDTHS)
    assert page.faults == []
    page.context.close()


def answering(status: int, body: str) -> Any:
    return lambda route: route.fulfill(status=status, body=body)


def test_a_server_that_does_not_answer_is_said_in_words(world: World) -> None:
    """The refused twins: no answer, and an address that is none."""
    page = world.open()
    for body, status in (("{}", 500), ('{"page": "javascript:alert(1)"}', 200), ("", 200)):
        page.route("**/wallet/start", answering(status, body))
        page.click("#other")
        page.wait_for_function(STATUS, arg="did not work")
        page.unroute("**/wallet/start")
        page.evaluate("document.querySelector('citizen-wallet-request').lang = 'en'")
    assert page.url == world.portal + "/"
    assert page.evaluate("window.ended") == []
    page.context.close()


def test_only_one_way_can_be_offered(world: World) -> None:
    """For a login, say: only the browser that asked, by its start cookie."""
    page = world.open()
    element = "document.querySelector('citizen-wallet-request')"
    for only, shown, hidden in (
        ("same_device", "#here", "#other"),
        ("cross_device", "#other", "#here"),
    ):
        page.evaluate(f"only => {element}.setAttribute('only', only)", only)
        assert page.is_visible(shown)
        assert not page.is_visible(hidden)
    page.context.close()
