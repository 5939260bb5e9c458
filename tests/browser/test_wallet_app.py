"""The wallet's app around its documents: begin, open, recover, settings, goodbye; the shell.

Chromium at phone size by keyboard alone; how the pages look is looked at by `test_all_pages`. What
the browser keeps, loads and refuses is looked up in the browser itself.

Specification: DESIGN 2.1, 2.6, 2.8 and 8; WALLET_SECURITY 2, 4 and 6; PAIN_POINTS 1; WCAG 2.2 AA;
W3C Web Application Manifest; Trusted Types.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey

from tests.support.app_phone import Phone
from tests.support.app_world import AppWorld

LANGUAGES = ["en", "de", "ar"]
FIRST_WINDOW = 10 * 1_440
"""What a server sends before it must wait for the client (RFC 6928)."""
MOST = 150_000
EXPORT = ["PBES2-HS256+A128KW", "A128GCM"]
"""What TS10 seals by."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppWorld]:
    # With a short wait the clock does not outrun what the services publish.
    with AppWorld.start(tmp_path_factory.mktemp("app"), recovery_hours=1) as made:
        yield made


@pytest.fixture(scope="module")
def browser(world: AppWorld) -> Iterator[Any]:
    with world.chromium() as started:
        yield started


def view(phone: Phone, name: str) -> None:
    """Go to a section of the open wallet, or to a view behind one."""
    phone.page.evaluate("name => { location.hash = name }", name)


# -- From beginning to end --------------------------------------------------------------------


def test_a_wallet_begins_lives_and_ends(world: AppWorld, browser: Any) -> None:
    """DESIGN 2.1 and 2.8: codes kept as a file and typed back; a receipt at the end."""
    phone = world.phone(browser)
    page = phone.page
    phone.follow(phone.url)
    phone.until("sign-in")
    assert not page.is_visible("#unable")
    phone.press("begin")
    phone.until("codes")
    shown = page.inner_text("#recovery-code"), page.inner_text("#revocation-code")
    with page.expect_download() as download:
        phone.press("save-codes")
    kept = download.value.path().read_text(encoding="utf-8")
    assert all(each in kept for each in shown)
    phone.type("typed-code", shown[1])  # the other code is not this one
    page.keyboard.press("Enter")
    page.wait_for_selector("#typed-code-wrong:not([hidden])")
    page.fill("#typed-code", shown[0].replace("-", " ").lower())
    page.keyboard.press("Enter")
    phone.until("wallet")
    assert shown[0] not in page.content()
    view(phone, "settings")
    phone.until("settings")
    phone.press("leave")
    phone.until("leaving")
    phone.press("leave-now")
    phone.until("left")
    assert page.evaluate("localStorage.length") == 0
    with page.expect_download() as download:
        phone.press("save-receipt")
    assert page.inner_text("#left-head") in download.value.path().read_text(encoding="utf-8")
    phone.problems[:] = [each for each in phone.problems if "404" not in each]  # the wrong code
    phone.end()


# -- Ways in -----------------------------------------------------------------------------------


def test_a_second_passkey_is_tried_and_approved_and_a_lost_one_struck_off(
    world: AppWorld, browser: Any
) -> None:
    """WALLET_SECURITY 6, ADR 0018: three gestures, each on the device that it is for."""
    phone = world.phone(browser)
    first = phone.own_key
    phone.begin()
    view(phone, "unlockers")
    phone.until("unlockers")
    assert phone.page.is_visible("#only-one")
    key = phone.add_key("usb")
    phone.answers(first, does=False)
    phone.press("add-passkey")
    phone.until("approve-passkey")
    phone.answers(key, does=False)
    phone.answers(first, does=True)
    phone.press("approve-new")
    phone.until("unlockers")
    assert not phone.page.is_visible("#only-one")
    rows = phone.page.locator("#unlocker-list .danger")
    assert rows.count() == 2
    # The phone is lost: the key opens the wallet, and strikes the phone's passkey off.
    view(phone, "settings")
    phone.until("settings")
    phone.press("close-here")
    phone.until("sign-in")
    phone.answers(first, does=False)
    phone.answers(key, does=True)
    phone.press("open")
    phone.until("wallet")
    view(phone, "unlockers")
    phone.until("unlockers")
    own = phone.page.locator("#unlocker-list li", has_text="just now")
    assert own.count() == 1
    rows.nth(0).press("Enter")
    phone.until("strike-off")
    phone.press("strike")
    phone.until("unlockers")
    assert rows.count() == 0
    view(phone, "settings")
    phone.until("settings")
    phone.press("close-here")
    phone.until("sign-in")
    phone.answers(first, does=True)
    phone.answers(key, does=False)
    phone.press("open")
    phone.page.wait_for_selector("#failure:not([hidden])")
    phone.problems.clear()  # the browser reports the refusal itself
    phone.end()


def test_lost_codes_are_replaced_and_the_wallet_is_taken_elsewhere(
    world: AppWorld, browser: Any
) -> None:
    """DESIGN 2.6, ADR 0028, TS10 5: codes typed back first; a file that any library opens."""
    phone = world.phone(browser)
    page = phone.page
    phone.begin()
    phone.receive(world.offer("pid_sd_jwt"))
    for kind, old in (("recovery", phone.recovery_code), ("revocation", phone.revocation_code)):
        view(phone, f"newcode/{kind}")
        phone.until("new-code")
        code = page.inner_text("#fresh-code")
        phone.type("retyped", old)
        phone.enter()
        page.wait_for_selector("#retyped-wrong:not([hidden])")
        assert not page.is_visible("#fresh-code")  # what is typed comes from the paper
        page.fill("#retyped", code.replace("-", " ").lower())
        phone.press("replace-code")
        phone.until("code-replaced")
        assert code not in page.content()
    view(phone, "export")
    phone.until("export")
    phone.press("make-export")
    phone.until("exported")
    code = page.inner_text("#export-code")
    with page.expect_download() as download:
        phone.press("save-export")
    path = download.value.path()
    content = path.read_text(encoding="utf-8")
    read = jwe.decrypt_compact(content, OctKey.import_key(code), algorithms=EXPORT)
    assert len(json.loads(read.plaintext or b"")["listOfCredentials"]) == 1
    # Another wallet, in another browser, asks the agency for it again.
    other = world.phone(browser)
    other.begin()
    view(other, "import")
    other.until("import")
    for typed, part in ((phone.recovery_code, "failure"), (code.lower(), "imported")):
        other.page.set_input_files("#import-file", path)
        other.page.fill("#import-code", typed)
        other.press("open-import")
        other.page.wait_for_selector(f"#{part}:not([hidden])")
        if part == "failure":
            assert other.page.inner_text("#error-code") == "wrong_file_code"
            other.press("again")
            other.until("import")
    other.page.locator("#import-list button").press("Enter")
    other.until("preview")
    for each in (phone, other):
        each.end()


def test_a_new_phone_opens_the_wallet_with_the_recovery_code_after_the_wait(
    world: AppWorld, browser: Any
) -> None:
    """DESIGN 2.6, WALLET_SECURITY 6: told when to come back, then a passkey on the new device."""
    lost, new = world.phone(browser), world.phone(browser, language="de")
    lost.begin()
    for code, error in (("nonsense", "not_a_code"), (lost.revocation_code, "unknown_code")):
        new.follow(f"{new.url}/#recover")
        new.until("recover")
        new.type("recover-code", code)
        new.page.keyboard.press("Enter")
        new.page.wait_for_selector("#failure:not([hidden])")
        assert new.page.inner_text("#error-code") == error
        new.press("again")
        new.until("recover")
    new.type("recover-code", lost.recovery_code)
    new.page.keyboard.press("Enter")
    new.until("recover-waiting")
    assert new.page.inner_text("#recover-when")
    world.clock.advance(hours=1)
    new.follow(f"{new.url}/?again#recover")
    new.until("recover")
    new.type("recover-code", lost.recovery_code)
    new.page.keyboard.press("Enter")
    new.until("recover-passkey")
    new.press("recover-finish")
    new.until("recovered")
    new.page.click("#recovered a[href='#cards']")
    new.until("wallet")
    new.follow(new.url)
    new.until("sign-in")
    new.press("open")
    new.until("wallet")
    new.problems.clear()  # the browser reports 404 and 409 itself
    for phone in (lost, new):
        phone.end()


def test_a_session_elsewhere_is_listed_and_ended(world: AppWorld, browser: Any) -> None:
    """WALLET_SECURITY 2: sessions are listable and revocable."""
    phone = world.phone(browser)
    phone.begin()
    phone.page.context.clear_cookies()  # as if it were open in another browser
    phone.follow(phone.url)
    phone.until("sign-in")
    phone.press("open")
    phone.until("wallet")
    view(phone, "settings")
    phone.until("settings")
    rows = phone.page.locator("#session-list li")
    assert rows.count() == 2
    rows.locator("button").press("Enter")
    rows.nth(1).wait_for(state="detached")
    assert rows.count() == 1
    phone.end()


def test_a_wallet_is_blocked_from_any_device_and_told_how_to_go_on(
    world: AppWorld, browser: Any
) -> None:
    """WALLET_SECURITY 6: the revocation code on a page of its own; then the recovery code."""
    lost, other = world.phone(browser), world.phone(browser, language="ar")
    lost.begin()
    other.follow(f"{other.url}/lost")
    other.until("lost")
    other.type("typed-code", lost.revocation_code)
    other.page.keyboard.press("Enter")
    other.until("blocked")
    view(lost, "settings")
    lost.page.wait_for_selector("#failure:not([hidden])")
    assert lost.page.inner_text("#error-code") == "unauthenticated"
    assert not lost.page.is_visible("#sections")
    lost.press("again")
    lost.page.wait_for_selector("#sign-in:not([hidden])")
    lost.problems.clear()  # the browser reports 401 itself
    for phone in (lost, other):
        phone.end()


def test_a_browser_that_cannot_protect_a_wallet_says_so_at_once(
    world: AppWorld, browser: Any
) -> None:
    """WALLET_SECURITY 2, PAIN_POINTS 12: before a button is pressed, before anything is kept."""
    phone = world.phone(browser)
    phone.page.add_init_script(
        "PublicKeyCredential.getClientCapabilities = async () => ({'extension:prf': false})"
    )
    phone.follow(phone.url)
    phone.until("sign-in")
    assert phone.page.is_visible("#unable")
    phone.end()
    other = world.phone(browser, prf=False)
    sent: list[str] = []
    other.page.on("request", lambda each: sent.append(each.url) if each.method == "POST" else None)
    other.follow(other.url)
    other.until("sign-in")
    other.press("begin")
    other.page.wait_for_selector("#failure:not([hidden])")
    assert other.page.inner_text("#error-code") == "prf_missing"
    assert other.page.inner_text("#error-next-step")
    assert sent == [f"{other.url}/api/v1/wallets/options"]
    other.end()


def test_a_failure_says_whose_it_is_what_to_do_and_what_to_tell_support(
    world: AppWorld, browser: Any
) -> None:
    """DESIGN 7, PAIN_POINTS 5: stable code, fault, next step, reference; no connection likewise."""
    phone = world.phone(browser, language="de")
    phone.follow(f"{phone.url}/offer?credential_offer_uri=https%3A%2F%2Flocalhost%2Fnothing")
    phone.until("sign-in")
    phone.press("begin")
    phone.until("codes")
    code = phone.page.inner_text("#recovery-code")
    phone.type("typed-code", code)
    phone.page.keyboard.press("Enter")
    phone.page.wait_for_selector("#failure:not([hidden])")
    assert phone.page.inner_text("#error-code")
    assert phone.page.inner_text("#error-support-id")
    assert phone.page.inner_text("#error-next-step")
    assert phone.page.inner_text("#error-fault") == "Die ausstellende Behörde muss das beheben."
    phone.page.context.set_offline(True)
    phone.press("error-home")
    phone.page.wait_for_selector("#error-code:text('no_answer')")
    phone.page.context.set_offline(False)
    phone.press("again")
    phone.page.wait_for_selector("#wallet:not([hidden])")
    phone.problems.clear()  # the browser reports what failed itself
    phone.end()


# -- What the browser loads, keeps and refuses ---------------------------------------------------


def test_the_first_page_is_light_and_painted_by_its_first_bytes(
    world: AppWorld, browser: Any
) -> None:
    """Issue 8: at most 150 kB in all, the first paint in one round trip, nobody else is asked."""
    for language in LANGUAGES:
        phone = world.phone(browser, language=language)
        page, sizes = phone.page, dict[str, int]()
        page.on("response", lambda each: sizes.update({each.url: len(each.body())}))  # noqa: B023
        phone.follow(phone.url)
        phone.until("sign-in")
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        assert sum(sizes.values()) <= MOST, sizes
        first = page.evaluate("fetch('/').then((answer) => answer.text())")[:FIRST_WINDOW]
        assert "</style>" in first
        assert 'id="working"' in first
        phone.end()
    # Nothing but the document comes: it is styled and painted all the same.
    phone = world.phone(browser, service_workers="block")
    phone.page.route("**/*", lambda r: r.abort() if "/static/" in r.request.url else r.continue_())
    phone.page.goto(phone.url)
    phone.page.evaluate(
        """() => new Promise((painted) => new PerformanceObserver((list) => {
            if (list.getEntriesByName('first-contentful-paint').length) painted();
        }).observe({type: 'paint', buffered: true}))"""
    )
    assert phone.page.evaluate("getComputedStyle(document.body).margin") == "0px"
    phone.page.context.close()


def test_the_wallet_can_be_installed(world: AppWorld, browser: Any) -> None:
    """Issue 8, item 5: the browser finds nothing missing; manifest and icons in each language."""
    for language, direction in zip(LANGUAGES, ("ltr", "ltr", "rtl"), strict=True):
        phone = world.phone(browser, language=language)
        phone.follow(phone.url)
        phone.until("sign-in")
        devtools = phone.page.context.new_cdp_session(phone.page)
        found = devtools.send("Page.getAppManifest")
        assert found["errors"] == []
        manifest = json.loads(found["data"])
        assert (manifest["lang"], manifest["dir"]) == (language, direction)
        assert manifest["display"] == "standalone"
        assert devtools.send("Page.getInstallabilityErrors")["installabilityErrors"] in (
            [],
            [{"errorId": "in-incognito", "errorArguments": []}],  # as every context of a test is
        )
        for icon in manifest["icons"]:
            kind = phone.page.evaluate(
                "src => fetch(src).then((answer) => answer.headers.get('content-type'))",
                icon["src"],
            )
            assert kind == icon["type"]
        phone.end()


def test_the_service_worker_keeps_the_shell_and_never_data(world: AppWorld, browser: Any) -> None:
    """DESIGN 8, WALLET_SECURITY 2: after use no answer of the API is kept; offline says so."""
    phone = world.phone(browser, language="de")
    phone.begin()
    phone.receive(world.offer("pid_sd_jwt"))
    phone.follow(world.ask("over_18")["link"])
    phone.consent()
    assert phone.page.locator("#warnings [data-value=other_device]").count() == 1
    phone.press("share")
    phone.until("done")
    kept = phone.page.evaluate(
        """async () => {
            const names = await caches.keys();
            const found = await Promise.all(names.map(async (name) => {
                const requests = await (await caches.open(name)).keys();
                return requests.map((each) => new URL(each.url).pathname);
            }));
            return [names, found.flat()];
        }"""
    )
    names, paths = kept
    assert len(names) == 1
    assert names[0].endswith("-de")
    version = names[0].split("-")[1]
    assert "/offline" in paths
    assert [
        each for each in paths if each != "/offline" and not each.startswith(f"/static/{version}/")
    ] == []
    assert len(paths) > 5
    stored = phone.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "AV-0" not in stored
    phone.page.context.set_offline(True)
    phone.follow(phone.url)
    assert phone.page.locator("html").get_attribute("lang") == "de"
    assert phone.page.is_visible("#try-again")
    phone.page.context.set_offline(False)
    phone.press("try-again")
    phone.until("sign-in")
    phone.problems.clear()  # the browser reports that it was offline
    phone.end()


def test_no_text_becomes_markup_or_a_script(world: AppWorld, browser: Any) -> None:
    """Trusted Types: every sink of the page refuses text; one policy, for one address."""
    phone = world.phone(browser)
    phone.follow(phone.url)
    phone.until("sign-in")
    phone.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    refused = phone.page.evaluate(
        """async () => {
            const tries = [
                () => { document.body.innerHTML = '<b>x</b>'; },
                () => { document.createElement('script').src = '/x.js'; },
                () => { document.createElement('script').textContent = 'x'; },
                () => document.write('<b>x</b>'),
                () => new Worker('/x.js'),
                () => navigator.serviceWorker.register('/x.js'),
                () => trustedTypes.createPolicy('another', {}),
                () => trustedTypes.createPolicy('service-worker', {}),
            ];
            const outcomes = [];
            for (const each of tries) {
                try {
                    await each();
                    outcomes.push('done');
                } catch (error) {
                    outcomes.push(error.name);
                }
            }
            return outcomes;
        }"""
    )
    assert refused == ["TypeError"] * 8
    assert any("TrustedHTML" in each or "Trusted Type" in each for each in phone.problems)
    phone.problems.clear()
    phone.end()
