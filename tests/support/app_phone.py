"""A citizen's phone in Chromium, used by keyboard alone; made by `AppWorld.phone`.

Ids of elements are what is pressed and waited for; they are part of the pages' contract. `look`
checks a state as everybody may meet it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from .browsing import add_key, authenticators
from .readable import SETTINGS, look

WIDTH, HEIGHT = 320, 640
_TABS = 60


@dataclass
class Phone:
    """One page with one virtual authenticator.

    Attributes:
        taps: keys that did something (Enter, Space): what would be taps of a finger.
        own_key: the authenticator of the phone itself, by its id.
        settings: of devices, under which `look` looks.
        subject: whose phone it is, where a test needs to know.
        problems: errors in the console, and requests to anybody but localhost.
        name: stands in the names of pictures.
    """

    page: Any
    url: str
    name: str
    authenticator: Any = None
    own_key: str = ""
    subject: str = ""
    settings: Sequence[str] = SETTINGS
    taps: int = 0
    problems: list[str] = field(default_factory=list)
    recovery_code: str = ""
    revocation_code: str = ""

    @classmethod
    def make(
        cls,
        browser: Any,
        url: str,
        *,
        language: str = "en",
        dark: bool = False,
        prf: bool = True,
        width: int = WIDTH,
        **context: Any,
    ) -> Self:
        """A page of its own context: own cookies, own passkeys."""
        page = browser.new_context(
            viewport={"width": width, "height": HEIGHT},
            locale=language,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            **context,
        ).new_page()
        page.set_default_timeout(60_000)
        phone = cls(page, url, f"{language}-{'dark' if dark else 'light'}")
        problems = phone.problems
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: problems.append(r.url) if _foreign(r.url) else None)
        phone.authenticator = authenticators(page)
        phone.own_key = phone.add_key("internal", prf=prf)
        return phone

    def another(self) -> Self:
        """Somebody's other phone, set up like this one."""
        language, _, shade = self.name.partition("-")
        browser = self.page.context.browser
        return self.make(browser, self.url, language=language, dark=shade == "dark")

    def add_key(self, transport: str, *, prf: bool = True) -> str:
        """One more authenticator, such as a security key ("usb"): its id."""
        return add_key(self.authenticator, transport, prf=prf)

    def answers(self, key: str, *, does: bool) -> None:
        """Whether somebody touches this authenticator when it is asked."""
        told = {"authenticatorId": key, "enabled": does}
        self.authenticator.send("WebAuthn.setAutomaticPresenceSimulation", told)

    def end(self) -> None:
        """Close it; nothing may have gone wrong unseen, and nobody else was asked anything."""
        self.page.context.close()
        assert self.problems == [], self.problems

    # -- By keyboard -----------------------------------------------------------------------

    def until(self, *parts: str) -> str:
        """Wait until one of these parts of the document is shown; which one."""
        shown = ", ".join(f"#{each}:not([hidden])" for each in (*parts, "failure"))
        found: str = self.page.wait_for_selector(shown).get_attribute("id")
        assert found in parts, self.page.inner_text("#failure")
        return found

    def focus(self, element: str) -> None:
        """Tab to the element with this id: it has to be reachable."""
        self.reach(f"#{element}")

    def reach(self, selector: str) -> None:
        """Tab to the first element that fits *selector*."""
        page = self.page
        page.wait_for_selector(f"{selector}:not([disabled])")
        for _ in range(_TABS):
            if page.evaluate("it => document.activeElement.matches(it)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{selector} cannot be reached by Tab")

    def press(self, element: str, *, key: str = "Enter") -> None:
        """Tab there and press Enter (or Space, for a checkbox)."""
        self.focus(element)
        self.taps += 1
        self.page.keyboard.press(key)

    def enter(self) -> None:
        """Press Enter where one is: in a field, to send its form."""
        self.taps += 1
        self.page.keyboard.press("Enter")

    def type(self, element: str, text: str) -> None:
        """Tab to a field and type into it."""
        self.focus(element)
        self.page.keyboard.type(text)

    def follow(self, link: str) -> int:
        """Open a scanned link: the status of the page that comes."""
        answer = self.page.goto(link)
        status: int = 200 if answer is None else answer.status
        return status

    # -- What a citizen does ---------------------------------------------------------------

    def begin(self) -> None:
        """Begin a wallet, write the codes down, type the recovery code back."""
        self.follow(self.url)
        self.until("sign-in")
        self.press("begin")
        self.until("codes")
        self.recovery_code = self.page.inner_text("#recovery-code")
        self.revocation_code = self.page.inner_text("#revocation-code")
        self.type("typed-code", self.recovery_code.lower())
        self.press("prove-code")
        self.until("wallet")

    def receive(self, offered: Any) -> None:
        """Take an offer (of `AppWorld.offer`) to its end."""
        self.follow(offered["wallet_link"])
        self.until("sign-in")
        self.press("open")
        self.until("preview")
        self.type("typed-tx-code", offered["tx_code"])
        self.press("accept")
        self.until("review")
        self.press("keep")
        self.until("ended")

    def consent(self) -> None:
        """From the page of a request to the question, with the wallet opened."""
        self.until("sign-in")
        self.press("open")
        self.until("consent")

    # -- What may never be wrong -----------------------------------------------------------

    def look(self, name: str) -> None:
        """Nothing is wrong with the state that is open, under any setting (`readable.look`)."""
        look(self.page, f"{name}-{self.name}", settings=self.settings)


def _foreign(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in {"data", "blob"} and parts.hostname != "localhost"
