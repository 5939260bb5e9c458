"""A citizen's phone in Chromium, used by keyboard alone; made by `AppWorld.phone`.

Ids of elements are what is pressed and waited for; they are part of the pages' contract. `look`
checks a state as everybody may meet it: axe finds nothing, nothing is wider than the screen; with
SHOTS in the environment (a folder) it keeps a picture, too.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from .browsing import add_authenticator
from .components import missing

AXE = Path(__file__).parents[1] / "interop/node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SHOTS = Path(os.environ["SHOTS"]) if os.environ.get("SHOTS") else None
WIDTH, HEIGHT = 320, 640
_TABS = 60
_TWICE = """[...document.querySelectorAll("[id]")].map((each) => each.id)
  .filter((id, at, ids) => ids.indexOf(id) !== at)"""


@dataclass
class Phone:
    """One page with one virtual authenticator.

    Attributes:
        taps: keys that did something (Enter, Space): what would be taps of a finger.
        problems: errors in the console, and requests to anybody but localhost.
        name: stands in the names of pictures.
    """

    page: Any
    url: str
    name: str
    authenticator: Any = None
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
        page.set_default_timeout(20_000)
        phone = cls(page, url, f"{language}-{'dark' if dark else 'light'}")
        problems = phone.problems
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: problems.append(r.url) if _foreign(r.url) else None)
        phone.authenticator = add_authenticator(page, prf=prf)
        return phone

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
        self.press("written")
        self.until("prove")
        self.type("typed-code", self.recovery_code.lower())
        self.press("prove-code")
        self.until("wallet")

    def receive(self, offered: Any) -> None:
        """Take an offer (of `AppWorld.offer`) to its end."""
        self.follow(offered["wallet_link"])
        self.until("sign-in")
        self.press("open")
        self.until("tx-code")
        self.type("typed-tx-code", offered["tx_code"])
        self.enter()
        self.until("preview")
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
        """No fault that axe finds, ids for one thing each, nothing wider than the phone.

        With SHOTS in the environment a picture, too.
        """
        page = self.page
        assert page.evaluate(_TWICE) == [], name
        width = page.viewport_size["width"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        if SHOTS is not None:
            SHOTS.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=SHOTS / f"{name}-{self.name}.png", full_page=True)
        if not AXE.is_file():
            missing("npm ci in tests/interop installs axe-core")
        if not page.evaluate("'axe' in window"):
            # By the debugger: the page's own policy lets no foreign script in.
            page.context.new_cdp_session(page).send(
                "Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")}
            )
        found = page.evaluate(
            "rules => axe.run(document, {runOnly: rules})"
            ".then((r) => r.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]))",
            RULES,
        )
        assert found == [], (name, found)


def _foreign(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in {"data", "blob"} and parts.hostname != "localhost"
