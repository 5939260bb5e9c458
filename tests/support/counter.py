"""A clerk at a desk of a verifier in process, as the counter's page talks to it."""

from dataclasses import dataclass
from typing import Any, Self

from verifier_service.routes.asking import ROLE

from .asgi import Answer
from .staff import StaffMember, staff_member
from .verifier import HolderWallet, VerifierWorld


@dataclass
class Clerk:
    """Somebody who is signed in, in one browser, at one desk."""

    world: VerifierWorld
    staff: StaffMember
    desk: str = "1"

    @classmethod
    def at(
        cls, world: VerifierWorld, desk: str = "1", *further: str, tenant: str = "counter"
    ) -> Self:
        """A new clerk who has sat down; with *further* roles."""
        staff = staff_member(
            world.client, world.verifier.staff, tenant, roles=(ROLE, *further), name="Ada"
        )
        clerk = cls(world, staff, desk)
        assert clerk.sit().status == 303
        return clerk

    @property
    def place(self) -> str:
        return f"/staff/{self.staff.tenant}/desks/{self.desk}"

    def sit(self) -> Answer:
        return self.staff.post(f"/staff/{self.staff.tenant}/desks", {"desk": self.desk})

    def post(self, act: str, content: Any, **headers: str) -> Answer:
        sent = {"Cookie": self.staff.cookie, "X-CSRF-Token": self.staff.csrf} | headers
        return self.world.client.post(f"{self.place}/{act}", json=content, headers=sent)

    def ask(self, query: str = "over_18") -> Any:
        answer = self.post("ask", {"query": query})
        assert answer.status == 200, answer.text
        return answer.json()

    def clear(self, visit: int) -> Any:
        answer = self.post("clear", {"visit": visit})
        assert answer.status == 200, answer.text
        return answer.json()

    def now(self, language: str = "en") -> Any:
        answer = self.staff.get(f"{self.place}/now", **{"Accept-Language": language})
        assert answer.status == 200, answer.text
        return answer.json()

    def listen(self, visit: int, **headers: str) -> Answer:
        return self.staff.get(f"{self.place}/events?visit={visit}", **headers)

    def answered(self, query: str = "over_18", **wallet: Any) -> Any:
        """Ask, let a wallet answer, and read it."""
        asked = self.ask(query)
        holder = HolderWallet(self.world, **wallet)
        holder.answer(holder.open(asked["link"]))
        shown = self.now()
        assert (shown["phase"], shown["visit"]) == ("answered", asked["visit"])
        return shown
