"""QR codes as pages draw them: read back from the pixels that Chromium shows."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.runtime.clock import utc_now
from shared.runtime.pages import HERE, Pages
from tests.support.browsing import chromium
from tests.support.qr_reading import read_code
from tests.support.tls import TlsFiles

SITE = "https://counter.example"
STRICT = (
    "default-src 'none'; script-src 'self'; img-src 'self' data:; style-src 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
PAGE = """<!doctype html><html lang="en"><meta name="color-scheme" content="dark">
<title>Code</title><link rel="stylesheet" href="/dark.css">
<div id="code" role="img" aria-label="QR code for your wallet app">before</div></html>"""
STYLE = "body { background: #000; color: #fff } #code { width: 20rem }"
LINK = "openid4vp://?client_id=x509_hash%3A" + "A" * 43 + "&request_uri=https%3A%2F%2Fverifier"
DRAW = """async text => {
  const { drawQr } = await import("/static/qr-image.js");
  drawQr(document.getElementById("code"), text);
}"""


def serve(route: Any) -> None:
    path = route.request.url.removeprefix(SITE)
    if path == "/":
        headers = {"Content-Type": "text/html", "Content-Security-Policy": STRICT}
        route.fulfill(status=200, headers=headers, body=PAGE)
    elif path == "/dark.css":
        route.fulfill(status=200, content_type="text/css", body=STYLE)
    elif path.startswith("/static/"):
        found = Pages(HERE).asset(path.removeprefix("/static/"))
        route.fulfill(status=200, content_type=found.media_type, body=bytes(found.body))
    else:
        route.fulfill(status=404, body="")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    tls = TlsFiles.make(tmp_path_factory.mktemp("tls"), now=utc_now())
    with chromium(tls) as browser:
        made = browser.new_page(color_scheme="dark", viewport={"width": 360, "height": 640})
        made.faults = []
        made.on("console", lambda said: said.type == "error" and made.faults.append(said.text))
        made.route("**/*", serve)
        made.goto(SITE + "/")
        yield made


@pytest.mark.parametrize("text", [LINK, "https://wallet.example/offer#ü", "1", "A" * 700])
def test_what_is_drawn_is_read(page: Any, text: str) -> None:
    """Also in dark mode, with nothing but the strictest policy, and after another code."""
    page.evaluate(DRAW, text)
    code = page.locator("#code")
    assert read_code(page.context.browser, code.screenshot(type="png")) == text
    assert code.locator("svg").count() == 1
    assert code.inner_text().strip() == ""
    assert page.faults == []


def test_the_name_is_the_callers(page: Any) -> None:
    """WCAG 1.1.1: one picture with one name, nothing else to be read aloud."""
    page.evaluate(DRAW, LINK)
    assert page.get_by_role("img", name="QR code for your wallet app").count() == 1
    assert page.get_by_role("img").count() == 1


def test_white_stands_around_the_dark(page: Any) -> None:
    """ISO/IEC 18004, 6.3.8: four modules."""
    page.evaluate(DRAW, LINK)
    size, first = page.evaluate(
        """() => [document.querySelector("#code svg").viewBox.baseVal.width,
          document.querySelector("#code path").getBBox().x]"""
    )
    assert first == 4
    box = page.evaluate("() => document.querySelector('#code path').getBBox().width")
    assert size == box + 8


def test_a_text_too_long_is_an_error_and_leaves_what_was_there(page: Any) -> None:
    page.evaluate(DRAW, LINK)
    refused = page.evaluate(
        f"text => ({DRAW})(text).then(() => '', error => error.name)", "x" * 3000
    )
    assert refused == "Error"
    assert page.locator("#code svg").count() == 1
