"""The issuer's pages in a real browser: on a small phone, by keyboard, without scripts, read aloud.

Chromium before the service over TLS. What the browser must not do
(frames, scripts, forms to elsewhere) is its own doing: no test stands in for it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from issuer_service.app import create_app
from shared.runtime.errors import PAGE_MARKER
from tests.support.attested import AttestedWallet
from tests.support.browsing import TlsServer, chromium, listen
from tests.support.issuer import PUBLIC_URL, TENANT, IssuerWorld, sample_register
from tests.support.openid import CLIENT_ID
from tests.support.readable import look
from tests.support.tls import TlsFiles
from tests.support.visiting import desk_code, query

PHONE = {"width": 320, "height": 640}
PERSON = "AV-000001"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    openid = {
        "issuer": "https://login.example",
        "names": {"en": "Avelonia Login", "de": "Avelonia-Konto"},
        "client_id": CLIENT_ID,
        "match": {"reference": "sub"},
    }
    made = IssuerWorld.make(
        folder,
        f"sqlite:///{folder / 'issuer.db'}",
        tenants=[{**TENANT, "login": {"openid": openid}}],
        register=sample_register(folder),
        requests_per_second=0,
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser(world: IssuerWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    real = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251  # the browser's clock
    tls = TlsFiles.make(tmp_path_factory.mktemp("tls"), now=real)
    listener, url = listen()
    port = url.rpartition(":")[2]
    hosts = ("issuer.example", "wallet.example")  # of the wallet only the address counts
    rules = ",".join(f"MAP {each}:443 127.0.0.1:{port}" for each in hosts)
    with (
        TlsServer(create_app(world.issuer), tls, listener),
        chromium(tls, f"--host-resolver-rules={rules}") as started,
    ):
        yield started


def opened(browser: Any, *, scripts: bool = True, language: str = "en") -> Any:
    """A page on a small phone."""
    context = browser.new_context(
        viewport=PHONE, locale=language, java_script_enabled=scripts, base_url=PUBLIC_URL
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    return page


def begin(page: Any, world: IssuerWorld) -> None:
    wallet = AttestedWallet(world)
    uri = wallet.push().json()["request_uri"]
    page.goto(f"/registry/authorize?{query(wallet.client_id, uri)}")


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_page_is_accessible_at_320_pixels(
    world: IssuerWorld, browser: Any, language: str
) -> None:
    """WCAG 2.2 AA, 1.4.10 (reflow), 3.1.1, 3.3.1: sign in, wrong code, consent, stopped, error."""
    page = opened(browser, language=language)
    begin(page, world)
    assert page.locator("html").get_attribute("lang") == language
    assert page.evaluate("getComputedStyle(document.body).margin") == "0px"  # the style came
    look(page, f"login-{language}")
    page.fill("#code", "7K4P-92QX-5TDM")
    page.click("#login-submit")
    assert page.locator("#code").get_attribute("aria-invalid") == "true"
    assert page.evaluate("document.activeElement.id") == "code"
    look(page, f"wrong-{language}")
    page.fill("#code", desk_code(world, PERSON))
    page.click("#login-submit")
    page.wait_for_selector("#consent-accept")
    look(page, f"consent-{language}")
    page.goto("/registry/login/nothing")
    assert PAGE_MARKER in page.content()
    look(page, f"error-{language}")
    page.context.close()


def test_a_person_needs_no_mouse(world: IssuerWorld, browser: Any) -> None:
    """WCAG 2.1.1, 2.4.1, 2.4.7: skip link first, the field in reach, Enter signs in and agrees."""
    page = opened(browser)
    begin(page, world)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip-link"
    assert page.locator("#skip-link").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    order = []
    while page.evaluate("document.activeElement.id") != "code":
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id"))
        assert len(order) < 8, order
    assert order == ["login-provider", "code"]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type(desk_code(world, PERSON))
    page.keyboard.press("Enter")
    page.wait_for_selector("#consent-accept")
    while page.evaluate("document.activeElement.id") != "consent-accept":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("https://wallet.example/callback?*")
    assert "code=" in page.url
    page.context.close()


@pytest.mark.parametrize("agrees", [True, False])
def test_a_person_needs_no_scripts(world: IssuerWorld, browser: Any, agrees: bool) -> None:
    """DESIGN 8, CERTIFICATION 3: sign in, then agree or cancel; a link chooses the language."""
    page = opened(browser, scripts=False)
    begin(page, world)
    page.click("#language-de")
    assert page.locator("html").get_attribute("lang") == "de"
    page.fill("#code", desk_code(world, PERSON))
    page.click("#login-submit")
    page.click("#consent-accept" if agrees else "#consent-cancel")
    page.wait_for_url("https://wallet.example/callback?*")
    assert ("code=" if agrees else "error=access_denied") in page.url
    names = {each["name"] for each in page.context.cookies(PUBLIC_URL)}
    assert names == {"__Host-language"}
    page.context.close()


def test_the_browser_itself_keeps_the_pages_to_themselves(world: IssuerWorld, browser: Any) -> None:
    """I-47: no frame elsewhere shows them, no inline script runs, the cookie is out of reach."""
    page = opened(browser)
    begin(page, world)
    ran = page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.ran = true';
            document.body.append(script);
            return [window.ran === true, document.cookie];
        }"""
    )
    assert ran == [False, ""]
    target = page.url
    page.context.route(
        "https://evil.example/",
        lambda route: route.fulfill(
            status=200, content_type="text/html", body=f'<iframe src="{target}"></iframe>'
        ),
    )
    page.goto("https://evil.example/")
    page.wait_for_timeout(300)
    assert all("login-form" not in frame.content() for frame in page.frames)
    page.context.close()
