"""Every page for people, one stop after the other: what `make screenshots` takes pictures of.

    @stop
    def my_page(world: AppWorld, phone: Phone) -> None:
        phone.follow(…)
        phone.look("my-page")

A stop is called once for each language, light and dark, with one citizen's phone, whose wallet is
made at the first stop. Tests go three of these six ways, and axe looks at every page of them.
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
    phone.until(part)


@stop
def a_new_wallet(world: AppWorld, phone: Phone) -> None:
    """Begin, two codes, the proof of one; then there is no document yet."""
    phone.follow(world.urls["wallet"])
    phone.until("sign-in")
    phone.look("wallet-1-open")
    phone.press("begin")
    phone.until("codes")
    phone.look("wallet-2-codes")
    phone.recovery_code = phone.page.inner_text("#recovery-code")
    phone.press("written")
    phone.until("prove")
    phone.look("wallet-3-prove")
    phone.type("typed-code", phone.recovery_code)
    phone.press("prove-code")
    phone.until("wallet")
    phone.look("wallet-4-empty")


@stop
def receiving(world: AppWorld, phone: Phone) -> None:
    """An offer, the code of a letter, what is offered, what came."""
    offered = world.offer("pid_sd_jwt", "mdl", "residence_sd_jwt")
    phone.follow(offered["wallet_link"])
    phone.until("sign-in")
    phone.look("offer-1-sign-in")
    phone.press("open")
    phone.until("tx-code")
    phone.look("offer-2-code")
    phone.type("typed-tx-code", offered["tx_code"])
    phone.enter()
    phone.until("preview")
    phone.look("offer-3-preview")
    phone.press("accept")
    phone.until("review")
    phone.look("offer-4-review")
    phone.press("keep")
    phone.until("ended")
    phone.look("offer-5-kept")


@stop
def documents(_world: AppWorld, phone: Phone) -> None:
    """All of them, one, scanning, notices, who has seen them."""
    view(phone, "#cards", "wallet")
    phone.look("documents-1-all")
    phone.page.locator("#cards a").first.click()
    phone.until("one-card")
    phone.look("documents-2-one")
    view(phone, "#scan", "scan")
    phone.look("documents-3-scan")
    view(phone, "#notices", "notices")
    phone.look("documents-4-notices")
    view(phone, "#history", "history")
    phone.look("documents-5-history")


@stop
def ways_in_and_settings(_world: AppWorld, phone: Phone) -> None:
    """Unlockers, settings, goodbye asked and not meant."""
    view(phone, "#unlockers", "unlockers")
    phone.look("settings-1-unlockers")
    view(phone, "#settings", "settings")
    phone.look("settings-2-settings")
    phone.press("leave")
    phone.until("leaving")
    phone.look("settings-3-goodbye")


@stop
def at_the_counter(world: AppWorld, phone: Phone) -> None:
    """Asked from another screen: shared, and where to look then."""
    phone.follow(world.ask("over_18")["link"])
    phone.until("sign-in")
    phone.look("asked-1-sign-in")
    phone.press("open")
    phone.until("consent")
    phone.look("asked-2-counter")
    phone.press("share")
    phone.until("done")
    phone.look("asked-3-shared")


@stop
def by_a_website(world: AppWorld, phone: Phone) -> None:
    """Asked by a website in the same browser, which may not ask that; refused."""
    phone.follow(world.portal.start("identity", wallet=world.urls["wallet"]))
    phone.press("go")
    phone.consent()
    phone.look("asked-4-website")
    phone.press("refuse")
    phone.page.wait_for_url(f"{world.urls['portal']}/back?*")


@stop
def what_goes_wrong(world: AppWorld, phone: Phone) -> None:
    """A question beyond what is registered, one that is over, a link that is none."""
    world.narrow("proof_of_age")
    phone.follow(world.ask("identity")["link"])
    world.narrow("proof_of_age", "identification", "proof_of_residence", "driving_entitlement")
    phone.consent()
    phone.look("wrong-1-may-not-ask")
    phone.follow(world.ask("over_18")["link"])
    phone.consent()
    world.clock.advance(minutes=5)
    phone.press("share")
    phone.until("failure")
    phone.look("wrong-2-too-late")
    phone.follow(f"{world.urls['wallet']}/authorize?client_id=nobody")
    phone.look("wrong-3-no-request")
    phone.problems.clear()  # the browser reports both refusals itself


@stop
def pages_for_everybody(world: AppWorld, phone: Phone) -> None:
    """A lost device, what we can see, a new device, where an answer ends."""
    for place, name in (
        ("/lost", "everybody-1-lost"),
        ("/seen", "everybody-2-what-we-see"),
        ("/#recover", "everybody-3-recover"),
    ):
        phone.follow(f"{world.urls['wallet']}{place}")
        phone.page.wait_for_selector("h1:visible")
        phone.look(name)
    phone.follow(f"{world.urls['verifier']}/counter/done")
    phone.look("everybody-4-answered")


@stop
def at_the_agency(world: AppWorld, phone: Phone) -> None:
    """Signing in at the agency that issues, and agreeing there."""
    subject = world.citizen()
    offered = world.offer("pid_sd_jwt", subject=subject, grant="authorization_code")
    phone.follow(offered["wallet_link"])
    phone.until("sign-in")
    phone.press("open")
    phone.until("agency-sign-in")
    phone.look("agency-1-go-there")
    phone.press("authorize")
    phone.page.wait_for_selector("#login-submit")
    phone.look("agency-2-sign-in")
    phone.type("code", world.registry.desk_code(subject))
    phone.press("login-submit")
    phone.page.wait_for_selector("#consent-accept")
    phone.look("agency-3-agree")
    phone.press("consent-accept")
    phone.until("preview")
    phone.look("agency-4-back")
