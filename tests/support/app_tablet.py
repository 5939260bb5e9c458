"""A clerk's tablet in Chromium: the counter of an `AppWorld`, used by keyboard alone.

tablet = Tablet.at_work(world, browser, language="de")  # invited, enrolled by passkey, at a desk
tablet.ask("over_18")
picture = tablet.photograph()                           # for the phone's scanner
tablet.headline(), tablet.facts(), tablet.said
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from shared.runtime.staff_pages import StaffEntrance

from .app_phone import Phone
from .app_world import COUNTER, AppWorld
from .readable import look
from .staff import invite

WIDTHS = (320, 768, 1024)


@dataclass
class Tablet(Phone):
    """One page of a clerk, with the passkey of the tablet."""

    @classmethod
    def at_work(
        cls,
        world: AppWorld,
        browser: Any,
        *,
        desk: str = "1",
        roles: tuple[str, ...] = ("verifier",),
        width: int = 820,
        **how: Any,
    ) -> Self:
        """Somebody new: the invitation's link, a passkey, a desk."""
        tablet = cls.make(browser, world.urls["verifier"], width=width, **how)
        # Chromium holds requests back from the next page on: one that a script sends just after it
        # was told to goes by. So it is told to now, and tests say later which ones they mean.
        tablet.page.route("**/none", lambda route: route.abort())
        tablet.join(world.verifier.staff, COUNTER, roles)
        tablet.sit(desk)
        return tablet

    def join(self, entrance: StaffEntrance, tenant: str, roles: tuple[str, ...]) -> None:
        """Be invited, and make a passkey."""
        self.take(self.url + invite(entrance, tenant, "Maria Jensen", roles), tenant)

    def take(self, invitation: str, tenant: str) -> None:
        """Follow an invitation and make a passkey."""
        self.follow(invitation)
        self.press("join-continue")
        self.press("join-create")
        self.page.wait_for_url(f"**/staff/{tenant}")

    def look(self, name: str, *, widths: Sequence[int] = WIDTHS) -> None:
        """As `Phone.look`; on a phone, on a tablet upright and across, or only as it is."""
        look(self.page, f"{name}-{self.name}", widths=widths)

    def sit(self, desk: str) -> None:
        """Choose a desk."""
        self.press(f"desk-{desk}")
        self.page.wait_for_selector("#choose:not([hidden]) button:enabled")

    def part(self, *parts: str) -> str:
        """Wait until the counter shows one of these parts; which one."""
        shown = ", ".join(f"#{each}:not([hidden])" for each in parts)
        found: str = self.page.wait_for_selector(shown).get_attribute("id")
        return found

    def ask(self, query: str) -> None:
        """Choose a question."""
        self.page.wait_for_selector(f"#question-{query}:enabled")
        self.press(f"question-{query}")
        self.part("asking")

    def photograph(self) -> dict[str, Any]:
        """What a phone's camera sees of the code."""
        picture = self.page.locator("#qr").screenshot()
        return {"name": "code.png", "mimeType": "image/png", "buffer": picture}

    def headline(self) -> str:
        """Wait for the answer; what it says."""
        self.part("answer")
        said: str = self.page.inner_text("#answer-headline")
        return said

    def facts(self) -> dict[str, str]:
        """The facts as they stand on the screen."""
        found: dict[str, str] = self.page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('#facts dt')]"
            ".map((each) => [each.textContent, each.nextElementSibling.textContent]))"
        )
        return found

    @property
    def said(self) -> str:
        """What a screen reader was told last."""
        text: str = self.page.text_content("#said")
        return text
