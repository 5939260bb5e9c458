"""The verifier's page of a request, in Chromium: the browser's wallet, another one, or none.

Chromium has no wallet, so `navigator.credentials.get` is a script of the test; what it is asked and
what it answers go through the page as they would.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.runtime.clock import utc_now
from shared.trust import Role
from tests.support.browsing import chromium
from tests.support.live_verifier import PORTAL, LiveVerifier
from tests.support.qr_reading import read_code
from tests.support.readable import look
from tests.support.suite_wallet import Asked, Suite
from tests.support.tls import TlsFiles

PHONE = {"width": 320, "height": 640}
BACK = f"{PORTAL}/back"
WALLET = """
window.DigitalCredential = class {};
navigator.credentials.get = async (options) => {
  const answer = await window.wallet(JSON.stringify(options));
  if (answer === null) throw new DOMException("refused", "NotAllowedError");
  return JSON.parse(answer);
};
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveVerifier]:
    with LiveVerifier.start(tmp_path_factory.mktemp("page")) as made:
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


@pytest.fixture(scope="module")
def browser(live: LiveVerifier) -> Iterator[Any]:
    files = (str(live.folder / name) for name in ("ca.pem", "tls.crt", "tls.key"))
    with chromium(TlsFiles(*files)) as started:
        yield started


def opened(browser: Any, *, scripts: bool = True, language: str = "en") -> Any:
    context = browser.new_context(viewport=PHONE, locale=language, java_script_enabled=scripts)
    context.route(f"{PORTAL}/**", lambda route: route.fulfill(status=200, body="back"))
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda said: said.type == "error" and page.faults.append(said.text))
    return page


def begin(live: LiveVerifier, query: str = "pid_sd_jwt") -> Any:
    return live.start_presentation(query, flow="dc_api", return_url=BACK, wallet_endpoint=None)


def release(live: LiveVerifier, started: Any, url: str) -> Any:
    [code] = parse_qs(urlsplit(url).query)["response_code"]
    return live.http.post(
        f"{live.url}/api/v1/haip/transactions/{started['transaction_id']}/return",
        json={"response_code": code},
        headers={
            "Authorization": f"Bearer {live.token('haip')}",
            "Transaction-Secret": started["secret"],
        },
    )


@pytest.mark.parametrize("query", ["pid_sd_jwt", "pid_mdoc"])
@pytest.mark.parametrize("number", [0, 1], ids=["signed", "unsigned"])
def test_the_wallet_of_the_browser_answers(
    live: LiveVerifier, suite: Suite, browser: Any, query: str, number: int
) -> None:
    """V-70, V-71, HB-03, HB-23: both protocols and formats; released to this session alone."""
    started = begin(live, query)
    origin = live.url
    asked: list[dict[str, Any]] = []

    def wallet(options: str) -> str:
        digital = json.loads(options)["digital"]["requests"]
        asked.extend(digital)
        chosen = digital[number]
        data = chosen["data"]
        claims = data if number else suite._claims(data["request"])
        request = Asked(f"origin:{origin}", claims)
        if query == "pid_sd_jwt":
            shown = suite.present_sd_jwt(request)
        else:
            shown = suite.present_mdoc(request, origin=origin)
        token = suite.encrypt(request, {"vp_token": {"pid": [shown]}})
        return json.dumps({"protocol": chosen["protocol"], "data": {"response": token}})

    page = opened(browser)
    page.expose_function("wallet", wallet)
    page.add_init_script(WALLET)
    page.goto(started["page"])
    page.click("#ask-browser")
    page.wait_for_url(f"{BACK}?**")
    assert page.faults == []
    assert [each["protocol"] for each in asked] == ["openid4vp-v1-signed", "openid4vp-v1-unsigned"]
    released = release(live, started, page.url)
    assert released.status_code == 200, released.text
    content = released.json()
    assert (content["state"], content["session_bound"]) == ("verified", True)
    assert content["claims"]["pid"]
    page.context.close()


def test_who_refuses_may_try_again_or_open_another_wallet(live: LiveVerifier, browser: Any) -> None:
    """PAIN_POINTS: nothing is lost by a "no"; the page says what can be done."""
    started = begin(live)
    page = opened(browser)
    page.expose_function("wallet", lambda _options: None)
    page.add_init_script(WALLET)
    page.goto(started["page"])
    page.focus("#ask-browser")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.getElementById('present-status').textContent.length")
    page.wait_for_function("() => !document.getElementById('ask-browser').disabled")
    assert "try again" in page.inner_text("#present-status")
    assert page.get_attribute("#open-wallet", "href").startswith("openid4vp://?client_id=")
    assert live.result(started)["state"] == "requested"
    page.context.close()


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("scripts", [True, False])
def test_without_a_wallet_in_the_browser_the_link_is_there(
    live: LiveVerifier, browser: Any, scripts: bool, language: str
) -> None:
    """DESIGN 8: 320 px, keyboard, screen reader, no script needed, no request elsewhere."""
    started = begin(live)
    page = opened(browser, scripts=scripts, language=language)
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.add_init_script("delete window.DigitalCredential")
    page.goto(started["page"])
    assert not page.is_visible("#ask-browser")
    assert page.is_visible("#open-wallet")
    assert page.locator("html").get_attribute("lang") == language
    assert all(each.startswith((live.url, "data:")) for each in seen)
    if scripts:
        look(page, f"present-{language}")
        assert page.faults == []
    page.context.close()


@pytest.mark.parametrize("language", ["en", "de"])
def test_across_devices_the_page_shows_the_code(
    live: LiveVerifier, browser: Any, language: str
) -> None:
    """V-51: what a phone reads of the screen is the citizen's link; dark as well as light."""
    started = live.start_presentation("pid_sd_jwt", wallet_endpoint=None)
    page = opened(browser, language=language)
    page.emulate_media(color_scheme="dark" if language == "de" else "light")
    page.goto(started["page"])
    page.wait_for_selector("#present-code svg")
    picture = page.locator("#present-code").screenshot(type="png")
    assert read_code(browser, picture) == started["link"]
    assert page.get_by_role("img").count() == 1
    assert page.faults == []
    look(page, f"present-code-{language}")
    page.context.close()


def test_another_browser_is_told_so(live: LiveVerifier, browser: Any) -> None:
    """V-50: the error page has the fixed marker (CERTIFICATION 3)."""
    started = begin(live)
    first, second = opened(browser), opened(browser)
    assert first.goto(started["page"]).status == 200
    assert second.goto(started["page"]).status == 403
    assert second.is_visible("#error-marker") or second.locator("#error-marker").count() == 1
    look(second, "present-other-browser")
    assert first.goto(started["page"]).status == 200
    first.context.close()
    second.context.close()
