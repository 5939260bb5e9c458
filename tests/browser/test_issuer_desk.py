"""The issuer's desk in a real browser: by keyboard, on a phone and on a tablet, read aloud.

A clerk takes an invitation, makes a passkey, finds a person, hands out an offer, sees it collected
and revokes it; an auditor reads. Every page is looked at by axe-core, at 320 pixels and wider.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from babel.dates import format_date

from issuer_service.app import create_app
from issuer_service.tables import audit
from tests.support import readable
from tests.support.browsing import TlsServer, add_authenticator, chromium, listen
from tests.support.issuer import PUBLIC_URL, TENANT, IssuerWorld, Wallet, sample_register
from tests.support.staff import invite
from tests.support.tls import TlsFiles

WIDTHS = (320, 768, 1024)
HOME = f"{PUBLIC_URL}/staff/registry"
PERSON = "AV-000001"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(
        folder,
        f"sqlite:///{folder / 'issuer.db'}",
        tenants=[
            {
                **TENANT,
                "find_by": {
                    "family_name": {"en": "Family name", "de": "Familienname"},
                    "birth_date": {"en": "Date of birth", "de": "Geburtsdatum"},
                },
            }
        ],
        register=sample_register(tmp_path_factory.mktemp("register")),
        requests_per_second=0,
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser(world: IssuerWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    real = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251  # the browser's clock
    tls = TlsFiles.make(tmp_path_factory.mktemp("tls"), now=real)
    listener, url = listen()
    rule = f"MAP issuer.example:443 127.0.0.1:{url.rpartition(':')[2]}"
    with (
        TlsServer(create_app(world.issuer), tls, listener),
        chromium(tls, f"--host-resolver-rules={rule}") as started,
    ):
        yield started


def opened(browser: Any, *, language: str = "en", **options: Any) -> Any:
    """A page on a small phone, with an authenticator that verifies its user."""
    context = browser.new_context(
        viewport={"width": 320, "height": 640}, locale=language, base_url=PUBLIC_URL, **options
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    add_authenticator(page)
    return page


def look(page: Any, name: str) -> None:
    """On a phone, on a tablet upright and across, under every setting of a device."""
    readable.look(page, f"desk-{name}", widths=WIDTHS)


def tab_to(page: Any, element: str) -> None:
    """Nothing but the Tab key."""
    for _ in range(40):
        if page.evaluate("document.activeElement.id") == element:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {element}")


def press(page: Any, element: str, key: str = "Enter") -> None:
    tab_to(page, element)
    page.keyboard.press(key)


def joined(page: Any, world: IssuerWorld, *roles: str) -> None:
    """An invitation's link, followed: the code leaves the address bar at once."""
    page.goto(invite(world.issuer.staff, "registry", "Zoë Müller", roles))
    page.wait_for_function("document.activeElement.id === 'join-continue'")
    assert "#" not in page.url
    page.keyboard.press("Enter")
    page.wait_for_selector("#join-create")
    press(page, "join-create")
    page.wait_for_selector("#sign-out")


def collect(page: Any, world: IssuerWorld) -> None:
    """A wallet takes the offer that the page shows, with the code of the other page."""
    place = page.url
    link = unescape(page.get_attribute("#qr", "data-link"))
    uri = parse_qs(urlsplit(link).query)["credential_offer_uri"][0]
    content = world.client.get(urlsplit(uri).path).json()
    page.click("#offer-code")
    code = page.inner_text("#tx-code")
    page.goto(place)
    page.wait_for_selector("#qr svg")
    wallet = Wallet(world)
    token = wallet.redeem({"credential_offer": content, "tx_code": code})
    wallet.credentials(token, "pid_sd_jwt")


def test_a_clerk_works_with_the_keyboard_alone(world: IssuerWorld, browser: Any) -> None:
    """Journeys 1 and 4 from the desk: invitation to revocation, the offer's state seen live."""
    page = opened(browser)
    joined(page, world, "offers", "read", "status")
    assert page.inner_text("#staff-name") == "Zoë Müller"
    press(page, "sign-out")
    page.wait_for_selector("#sign-in-passkey")
    look(page, "sign-in")
    press(page, "sign-in-passkey")
    page.wait_for_selector("#reference")
    assert page.evaluate("document.activeElement.id") == "reference"
    page.keyboard.type("AV-999999")
    page.keyboard.press("Enter")
    page.wait_for_selector("#alert")
    look(page, "nobody")
    tab_to(page, "reference")
    page.keyboard.type(PERSON)
    page.keyboard.press("Enter")
    page.wait_for_selector("#person-name")
    assert PERSON not in page.url
    look(page, "person")
    press(page, "give-pid", "Space")
    press(page, "offer-submit")
    page.wait_for_selector("#qr svg")
    look(page, "offer")
    collect(page, world)
    page.wait_for_selector("#offer-over:not([hidden])")
    assert page.inner_text("#offer-state") == "Collected"
    assert page.is_hidden("#qr")
    look(page, "collected")
    press(page, "offer-again")
    page.wait_for_function("!document.querySelector('#offer-over:not([hidden])')")
    page.click(".back")
    page.click("#credentials a")
    page.wait_for_selector("#credential-state")
    look(page, "credential")
    press(page, "move-revoke")
    page.wait_for_selector("#move-form")
    look(page, "revoke")
    page.reload()  # `look` was at each of the group
    tab_to(page, "reason-court_order")  # the first; arrows choose
    while page.evaluate("document.activeElement.id") != "reason-lost_or_stolen":
        page.keyboard.press("ArrowDown")
    press(page, "move-submit")
    page.wait_for_selector("#credential-reason")
    assert page.inner_text("#credential-state") == "Revoked"
    assert page.inner_text("#credential-reason") == "Phone or card lost or stolen"
    page.goto(f"{HOME}/sessions")
    look(page, "sessions")
    page.context.close()


def test_the_code_has_a_page_and_letters_of_their_own(world: IssuerWorld, browser: Any) -> None:
    """In German: find by name and birth date; the letters come as PDF in both languages."""
    page = opened(browser, language="de", timezone_id="Europe/Berlin")
    joined(page, world, "offers", "read")
    entry = world.issuer.tenant("registry").register.entry(PERSON).fields
    page.fill("#family_name", entry["family_name"])
    page.fill("#birth_date", entry["birth_date"])
    look(page, "find-de")
    assert page.get_attribute("#birth_date", "type") == "date"  # typed as people write it
    page.click("#find-submit")
    born = format_date(date.fromisoformat(entry["birth_date"]), "long", locale="de")
    assert page.inner_text("#person-born") == born
    page.check("#give-pid")
    page.select_option("#expires", "604800")
    page.click("#offer-submit")
    page.wait_for_selector("#qr svg")
    look(page, "offer-de")
    said, until = page.inner_text("#until"), page.get_attribute("#until time", "datetime")
    here = datetime.fromisoformat(until).astimezone(ZoneInfo("Europe/Berlin"))
    assert (f"{here:%H:%M}" in said, "UTC" in said) == (True, False)  # by the clerk's own clock
    place = page.url
    for element in ("letter-offer-de", "letter-code-en"):
        url = page.get_attribute(f"#{element}", "href")
        size = page.evaluate(
            "async url => { const got = await fetch(url); const body = await got.arrayBuffer();"
            " return [got.headers.get('content-type'), body.byteLength]; }",
            url,
        )
        assert size[0] == "application/pdf"
        assert size[1] > 5_000
    page.click("#offer-code")
    assert re.fullmatch(r"\d{6}", page.inner_text("#tx-code"))
    assert page.query_selector("#qr") is None
    look(page, "code-de")
    page.goto(place)
    page.click("#cancel-submit")
    page.wait_for_function("document.querySelector('#qr') === null")
    assert page.inner_text("#offer-state") == "Zurückgezogen"
    page.goto(f"{HOME}/offers")
    look(page, "offers-de")
    page.context.close()


def test_a_desk_needs_no_scripts_but_for_passkeys(world: IssuerWorld, browser: Any) -> None:
    """DESIGN 8: with a session, everything else is forms; the QR code is a picture then."""
    page = opened(browser)
    joined(page, world, "offers", "read")
    cookies = page.context.cookies(PUBLIC_URL)
    assert {each["name"] for each in cookies} == {"__Host-staff-registry"}
    assert all(each["httpOnly"] and each["sameSite"] == "Strict" for each in cookies)
    plain = browser.new_context(
        viewport={"width": 320, "height": 640}, java_script_enabled=False, base_url=PUBLIC_URL
    )
    plain.add_cookies(cookies)
    without = plain.new_page()
    without.goto("/staff/registry")
    without.fill("#reference", PERSON)
    without.click("#find-submit")
    without.check("#give-pid")
    without.click("#offer-submit")
    picture = without.locator("#qr img")
    picture.wait_for()
    assert "UTC" in without.inner_text("#until")
    assert picture.bounding_box()["width"] > 100
    with without.expect_navigation():
        without.click("#renew-submit")
    with without.expect_navigation():
        without.click("#sign-out")
    assert without.url.endswith("/sign-in")
    assert "Passkeys need JavaScript" in without.content()
    plain.close()
    page.context.close()


def test_an_auditor_sees_the_trail(world: IssuerWorld, browser: Any) -> None:
    """Dark, as some like it; on a phone each entry stands below the other."""
    from issuer_service import auditing

    key = world.issuer.secrets.audit_key("registry")
    page = opened(browser, color_scheme="dark")
    joined(page, world, "auditor")
    auditing.chain(world.issuer.database, tenant="registry", signer=key, now=world.clock())
    page.goto(f"{HOME}/audit")
    page.wait_for_selector("#rows")
    look(page, "audit-dark")
    press(page, "check-submit")
    page.wait_for_selector("#chain-whole")
    look(page, "checked-dark")
    with world.issuer.database.single() as connection:
        connection.execute(audit.update().where(audit.c.sequence == 1).values(object="changed"))
    page.click("#check-submit")
    page.wait_for_selector("#chain-broken")
    look(page, "broken-dark")
    page.context.close()
