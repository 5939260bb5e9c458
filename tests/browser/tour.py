"""Every state of the pages for citizens, one stop after the other, with one citizen's phone.

    @stop
    def my_page(world: AppWorld, phone: Phone) -> None:
        phone.follow(…)
        phone.look("my-page")

A stop is called once for each language; what it looks at is looked at as everybody may meet it
(`tests.support.readable`). `make screenshots` goes this way in light and in dark, too.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from tests.support.app_phone import Phone
from tests.support.app_world import AppWorld

Act: TypeAlias = Callable[[AppWorld, Phone], Any]
STOPS: list[Act] = []


def stop(act: Act) -> Act:
    """Add *act* to the end of the tour."""
    STOPS.append(act)
    return act


def view(phone: Phone, place: str, part: str) -> None:
    """Another view of the open wallet, as a link to it would lead there."""
    phone.page.evaluate("place => { location.hash = place }", place)
    phone.page.wait_for_selector(f"#{part}:not([hidden])")


def opened(phone: Phone, link: str, *parts: str) -> str:
    """Follow *link* and open the wallet."""
    phone.follow(link)
    phone.until("sign-in")
    phone.press("open")
    return phone.until(*parts)


def failed(phone: Phone, code: str) -> None:
    """Wait for this error; the browser reports the refusal of the service itself."""
    phone.page.wait_for_selector("#failure:not([hidden])")
    assert phone.page.inner_text("#error-code") == code
    phone.problems.clear()


@stop
def a_new_wallet(world: AppWorld, phone: Phone) -> None:
    """Begin, two codes, the proof of one; then there is no document yet, and no answer."""
    page = phone.page
    phone.follow(world.urls["wallet"])
    phone.until("sign-in")
    language = page.locator("html").get_attribute("lang")
    direction = page.evaluate("getComputedStyle(document.body).direction")
    assert direction == ("rtl" if language == "ar" else "ltr")
    phone.look("wallet-1-open")
    phone.press("begin")
    phone.until("codes")
    phone.look("wallet-2-codes")
    phone.recovery_code = page.inner_text("#recovery-code")
    phone.revocation_code = page.inner_text("#revocation-code")
    phone.type("typed-code", phone.revocation_code)  # the other one
    phone.look("wallet-3-typed-back")
    phone.press("prove-code")
    page.wait_for_selector("#typed-code-wrong:not([hidden])")
    phone.look("wallet-4-wrong-code")
    view(phone, "#notices", "notices")
    phone.look("wallet-5-not-proved")
    opened(phone, phone.url, "codes")
    phone.look("wallet-6-codes-gone")
    page.fill("#typed-code", phone.recovery_code)
    phone.press("prove-code")
    phone.until("wallet")
    phone.look("wallet-7-empty")
    opened(phone, world.ask("over_18")["link"], "consent")
    phone.look("asked-0-nothing-answers")
    asked = page.evaluate("location.hash")
    phone.reach("#lacking .get-it")
    phone.enter()
    phone.until("preview")
    phone.look("asked-0-get-it")
    phone.problems.clear()
    view(phone, asked, "consent")
    phone.press("refuse")
    phone.until("done")
    phone.look("asked-0-refused")


@stop
def receiving(world: AppWorld, phone: Phone) -> None:
    """An offer, the code of a letter, what is offered, what came; one that is not wanted."""
    page = phone.page
    offered = world.offer("pid_sd_jwt", "pid_mdoc", "mdl")
    phone.subject = offered["subject"]
    phone.follow(offered["wallet_link"])
    phone.until("sign-in")
    phone.look("offer-1-sign-in")
    phone.press("open")
    phone.until("preview")
    phone.look("offer-2-preview")
    phone.type("typed-tx-code", f"{(int(offered['tx_code']) + 1) % 10**6:06d}")
    phone.press("accept")
    page.wait_for_selector("#preview:not([hidden]) #tries-left:not([hidden])")
    phone.problems.clear()
    phone.look("offer-3-wrong-code")
    phone.type("typed-tx-code", offered["tx_code"])
    phone.press("accept")
    phone.until("review")
    phone.look("offer-4-review")
    phone.press("keep")
    phone.until("ended")
    phone.look("offer-5-kept")
    again = world.offer("pid_sd_jwt", subject=offered["subject"])
    opened(phone, again["wallet_link"], "preview")
    page.wait_for_selector("#exchange:not([hidden])")
    phone.look("offer-6-again")
    phone.type("typed-tx-code", again["tx_code"])
    phone.press("accept")
    phone.until("review")
    phone.look("offer-7-the-same")
    phone.press("discard")
    phone.until("ended")
    phone.look("offer-8-discarded")
    # What the agency is not finished with; no register of the tests takes its time.
    page.eval_on_selector_all(
        ".part",
        """all => {
            for (const each of all) each.hidden = each.id !== "deferred";
            for (const id of ["ready-at", "asks-until"])
                document.getElementById(id).textContent = new Date(0).toLocaleDateString();
        }""",
    )
    phone.look("offer-9-not-finished")


@stop
def documents(_world: AppWorld, phone: Phone) -> None:
    """All of them, one, deleting it, scanning."""
    page = phone.page
    view(phone, "#cards", "wallet")
    page.wait_for_selector("#cards .badge.good")
    phone.look("documents-1-all")
    page.locator("#cards a").first.click()
    phone.until("one-card")
    phone.look("documents-2-one")
    phone.press("delete-card")
    phone.until("delete-it")
    phone.look("documents-3-delete")
    view(phone, "#scan", "scan")
    phone.look("documents-4-scan")
    page.fill("#scan-text", "https://shop.example/menu")
    phone.press("scan-go")
    page.wait_for_selector("#scan-problem:not([hidden])")
    phone.problems.clear()
    phone.look("documents-5-scan-problem")
    page.context.grant_permissions(["camera"])
    phone.press("start-camera")
    page.wait_for_selector("#camera:not([hidden])")
    phone.look("documents-6-camera")
    view(phone, "#notices", "notices")
    phone.look("documents-7-no-notices")


@stop
def at_the_counter(world: AppWorld, phone: Phone) -> None:
    """Asked from another screen: shared, and where to look then; not delivered; the optional."""
    page = phone.page
    phone.follow(world.ask("over_18")["link"])
    phone.until("sign-in")
    phone.look("asked-1-sign-in")
    phone.press("open")
    phone.until("consent")
    phone.look("asked-2-counter")
    phone.press("share")
    phone.until("done")
    phone.look("asked-3-shared")
    opened(phone, world.ask("car")["link"], "consent")
    phone.look("asked-4-optional")
    phone.reach("#documents .use")
    page.keyboard.press("Space")
    phone.look("asked-5-optional-chosen")
    page.route("**/refuse", lambda route: route.fulfill(status=503, json={"code": "unavailable"}))
    phone.press("refuse")
    phone.until("not-delivered")
    phone.problems.clear()
    phone.look("asked-6-not-delivered")
    page.unroute("**/refuse")


@stop
def by_a_website(world: AppWorld, phone: Phone) -> None:
    """Asked by a website in the same browser; refused."""
    phone.follow(world.portal.start("identity", wallet=world.urls["wallet"]))
    phone.press("go")
    phone.consent()
    phone.look("asked-7-website")
    phone.press("refuse")
    phone.page.wait_for_url(f"{world.urls['portal']}/back?*")


@stop
def who_has_seen_my_data(world: AppWorld, phone: Phone) -> None:
    """The history, one entry, a letter, an entry forgotten."""
    page = phone.page
    opened(phone, world.urls["wallet"], "wallet")
    view(phone, "#history", "history")
    phone.look("history-1-all")
    shared = page.evaluate(
        "fetch('/api/v1/history').then((answer) => answer.json())"
        ".then(({ entries }) => entries.find((each) => each.result === 'shared').seq)"
    )
    view(phone, f"#history/{shared}", "one-entry")
    phone.look("history-2-entry")
    phone.press("ask-erasure")
    phone.until("letter")
    phone.look("history-3-letter")
    with page.expect_response("**/letters"):
        # The mail program opens elsewhere; here only that the history remembers it.
        page.eval_on_selector(
            "#letter-ways a", "each => { each.removeAttribute('href'); each.click(); }"
        )
    phone.press("letter-back")
    page.wait_for_selector("#one-entry:not([hidden]) #entry-asked:not([hidden])")
    phone.look("history-4-asked")
    phone.press("forget-entry")
    phone.until("forget-it")
    phone.look("history-5-forget")
    phone.press("forget-now")
    phone.until("history")
    page.select_option("#history-with", "")
    phone.look("history-6-everything")


@stop
def ways_in_and_settings(_world: AppWorld, phone: Phone) -> None:
    """A second passkey, the first struck off, sessions, goodbye asked and not meant."""
    page = phone.page
    view(phone, "#unlockers", "unlockers")
    phone.look("settings-1-unlockers")
    key = phone.add_key("usb")
    phone.answers(phone.own_key, does=False)
    phone.press("add-passkey")
    phone.until("approve-passkey")
    phone.look("settings-2-approve")
    phone.answers(key, does=False)
    phone.answers(phone.own_key, does=True)
    phone.press("approve-new")
    phone.until("unlockers")
    phone.look("settings-3-two")
    view(phone, "#notices", "notices")
    phone.look("settings-4-added")
    view(phone, "#unlockers", "unlockers")
    page.locator("#unlocker-list .danger").last.press("Enter")
    phone.until("strike-off")
    phone.look("settings-5-strike-off")
    view(phone, "#newcode/revocation", "new-code")
    phone.look("settings-6-new-code")
    phone.revocation_code = page.inner_text("#fresh-code")
    phone.type("retyped", phone.revocation_code)
    phone.look("settings-6-typed-back")
    phone.press("replace-code")
    phone.until("code-replaced")
    phone.look("settings-6-replaced")
    view(phone, "#export", "export")
    phone.look("settings-7-export")
    phone.press("make-export")
    phone.until("exported")
    code = page.inner_text("#export-code")
    with page.expect_download() as download:
        phone.press("save-export")
    phone.look("settings-7-exported")
    view(phone, "#import", "import")
    phone.look("settings-8-import")
    page.set_input_files("#import-file", download.value.path())
    phone.type("import-code", code)
    phone.press("open-import")
    phone.until("imported")
    phone.look("settings-8-imported")
    view(phone, "#settings", "settings")
    phone.look("settings-9-settings")
    phone.press("leave")
    phone.until("leaving")
    phone.look("settings-9-goodbye")


@stop
def what_goes_wrong(world: AppWorld, phone: Phone) -> None:
    """A question beyond what is registered, one that is over, a link that is none, no offer."""
    page = phone.page
    world.narrow("proof_of_age")
    opened(phone, world.ask("identity")["link"], "consent")
    world.narrow(
        "proof_of_age", "identification", "proof_of_residence", "driving_entitlement", "car_hire"
    )
    phone.look("wrong-1-may-not-ask")
    opened(phone, world.ask("over_18")["link"], "consent")
    world.clock.advance(minutes=5)
    phone.press("share")
    failed(phone, "request_expired")
    phone.look("wrong-2-too-late")
    phone.follow(f"{world.urls['wallet']}/authorize?client_id=nobody")
    phone.look("wrong-3-no-request")
    nothing = "/offer?credential_offer_uri=https%3A%2F%2Flocalhost%2Fnothing"
    phone.follow(world.urls["wallet"] + nothing)
    phone.until("sign-in")
    phone.press("open")
    page.wait_for_selector("#failure:not([hidden])")
    phone.look("wrong-4-no-offer")
    phone.problems.clear()


@stop
def pages_for_everybody(world: AppWorld, phone: Phone) -> None:
    """What we can see, no connection, a browser that cannot, where an answer ends."""
    for place, name in (
        (f"{phone.url}/seen", "everybody-1-what-we-see"),
        (f"{phone.url}/offline", "everybody-2-no-connection"),
        (f"{world.urls['verifier']}/counter/done", "everybody-4-answered"),
    ):
        phone.follow(place)
        phone.look(name)
    page, phone.page = phone.page, phone.page.context.new_page()
    phone.page.add_init_script(
        "PublicKeyCredential.getClientCapabilities = async () => ({'extension:prf': false})"
    )
    phone.follow(phone.url)
    phone.until("sign-in")
    phone.look("everybody-3-unable")
    phone.page.close()
    phone.page = page


@stop
def at_the_agency(world: AppWorld, phone: Phone) -> None:
    """Signing in at the agency that issues: not yet, then agreeing there."""
    subject = world.citizen()
    offered = world.offer("pid_sd_jwt", subject=subject, grant="authorization_code")
    new = phone.another()
    new.follow(offered["wallet_link"])
    new.until("sign-in")
    new.press("begin")
    new.until("codes")
    new.page.wait_for_selector("#beside")
    new.look("agency-0-beside-the-codes")
    new.end()
    opened(phone, offered["wallet_link"], "preview")
    phone.look("agency-1-go-there")
    phone.press("accept")
    phone.page.wait_for_selector("#login-submit")
    phone.look("agency-2-sign-in")
    phone.type("code", "7K4P-92QX-5TDM")
    phone.press("login-submit")
    phone.page.wait_for_selector("#code[aria-invalid]")
    phone.look("agency-3-wrong-code")
    phone.page.fill("#code", world.registry.desk_code(subject))
    phone.press("login-submit")
    phone.page.wait_for_selector("#consent-accept")
    phone.look("agency-4-agree")
    phone.press("consent-cancel")
    page = phone.page
    page.wait_for_selector("#preview:not([hidden]) #came-back:not([hidden])")
    phone.look("agency-5-came-back")


@stop
def it_stopped_being_true(world: AppWorld, phone: Phone) -> None:
    """Revoked: refused, told, grey, and said before it is shown once more."""
    page = phone.page
    world.revoke(phone.subject)
    opened(phone, world.ask("over_18")["link"], "consent")
    phone.press("share")
    phone.until("card-refused")
    phone.problems.clear()
    phone.look("revoked-1-not-accepted")
    opened(phone, world.urls["wallet"], "wallet")
    page.wait_for_selector("#cards .badge.wrong")
    phone.look("revoked-2-documents")
    view(phone, "#notices", "notices")
    phone.look("revoked-3-notices")
    view(phone, "#cards", "wallet")
    page.locator("#cards a:has(.badge.wrong)").first.press("Enter")
    phone.until("one-card")
    phone.look("revoked-4-card")
    opened(phone, world.ask("over_18")["link"], "consent")
    phone.look("revoked-5-asked")


@stop
def nobody_is_hurried(world: AppWorld, phone: Phone) -> None:
    """Late for the agency, then the wallet closes: by the browser's clock alone."""
    phone.page.clock.install()
    opened(phone, world.ask("over_18")["link"], "consent")
    phone.page.clock.fast_forward("04:30")
    phone.page.wait_for_selector("#late-warnings:not(:empty)")
    phone.look("late-1-a-minute-left")
    phone.page.clock.fast_forward("03:00")
    phone.page.wait_for_selector("#closing:not([hidden])")
    phone.look("late-2-closing")


@stop
def a_lost_phone(world: AppWorld, phone: Phone) -> None:
    """Blocked from elsewhere; opened on a new phone by the recovery code, after the wait."""
    new = phone.another()
    new.follow(f"{new.url}/lost")
    new.until("lost")
    new.look("lost-1-block")
    new.type("typed-code", phone.revocation_code)
    new.enter()
    new.until("blocked")
    new.look("lost-2-blocked")
    new.follow(f"{new.url}/#recover")
    new.until("recover")
    new.look("lost-3-recover")
    new.type("recover-code", phone.recovery_code)
    new.enter()
    new.until("recover-waiting")
    new.problems.clear()
    new.look("lost-4-waiting")
    opened(phone, phone.url, "wallet")
    view(phone, "#notices", "notices")
    phone.look("lost-5-told")
    world.clock.advance(hours=1)
    world.publish()
    new.follow(f"{new.url}/?later#recover")
    new.until("recover")
    new.type("recover-code", phone.recovery_code)
    new.enter()
    new.until("recover-passkey")
    new.problems.clear()
    new.look("lost-6-passkey")
    new.press("recover-finish")
    new.until("recovered")
    new.look("lost-7-open-again")
    view(new, "#settings", "settings")
    new.press("leave")
    new.until("leaving")
    new.press("leave-now")
    new.until("left")
    new.look("lost-8-deleted")
    new.end()
