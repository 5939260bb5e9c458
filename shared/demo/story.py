"""The story that the demo tells: journeys 1, 2 and 4, each step done over public interfaces.

Every step prints what happened and how long it took, and raises if it did not happen.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, indent
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from rich.console import Console

from . import phone
from .agencies import Agency
from .door import Door
from .openid import DemoProvider
from .phone import Phone
from .system import COUNTER, REGISTRY, System
from .visitor import Visitor, over_http

CITIZEN = "AV-000001"
_OFFERED = ("pid_sd_jwt", "mdl")
_ASKED = "residence_sd_jwt"
_REVOCATION_SECONDS = 15


class StoryFailed(Exception):
    """A step did not go as it must."""


@dataclass
class Story:
    """The people of the story and the console it is told on.

    Attributes:
        provider: where the citizen signs in; without one a clerk hands out a code.
    """

    system: System
    console: Console
    http: httpx2.Client
    provider: DemoProvider | None = None

    def __post_init__(self) -> None:
        urls, clients = self.system.urls, self.system.clients
        self.registry = Agency(
            self.http, urls["issuer_service"], REGISTRY, clients["issuer_service"]
        )
        self.counter = Agency(
            self.http, urls["verifier_service"], COUNTER, clients["verifier_service"]
        )
        self.phone = Phone(
            httpx2.Client(base_url=urls["wallet_service"], timeout=30),
            origin=urls["wallet_service"],
        )

    def tell(self) -> None:
        """Everything, in order."""
        self._open_wallet()
        cards = [*self._receive(), self._sign_in()]
        self._answer("over_18", "The clerk asks: over 18?")
        self._answer("driving", "A policewoman asks: which vehicles may you drive?")
        self._refuse_more()
        self._search(cards)
        self._revoke()

    def try_by_hand(self, door: Door) -> None:
        """The links for people lead where they say: another citizen follows them."""
        with self._step("Somebody follows the links") as say:
            visitor = Visitor(over_http(self.http), (*self.system.urls.values(), door.url))
            codes: list[str] = []
            door.say = codes.append
            pages = [visitor.open(each) for each in (door.wallet, door.offer_link)]
            newcomer = Phone(httpx2.Client(base_url=door.wallet, timeout=30), origin=door.wallet)
            newcomer.create_wallet()
            newcomer.prove_recovery()
            newcomer.receive(pages[-1].url, codes.pop().rpartition(" ")[2])
            pages.append(visitor.open(door.counter_link))
            if any(page.status != 200 for page in pages):
                raise StoryFailed("a link for people does not work")
            newcomer.approve(newcomer.resolve(pages[-1].url, cross_device=True))
            end = time.monotonic() + _REVOCATION_SECONDS
            while not (seen := [each for each in codes if "sees" in each]):
                if time.monotonic() > end:
                    raise StoryFailed("the counter saw nothing")
                time.sleep(0.1)
            say(seen[0])
        with self._step("Clerks follow theirs") as say:
            for link in door.clerk_links:
                page = visitor.open(link)
                code = urlsplit(page.url).fragment
                page = visitor.press(page, "join-continue", code=code)
                if page.status != 200 or "join-create" not in page.texts:
                    raise StoryFailed("an invitation for a clerk does not work")
                say(f"{link} leads to an invitation that is good.")

    @contextmanager
    def _step(self, title: str) -> Iterator[Callable[[str], None]]:
        lines: list[str] = []
        begun = time.perf_counter()
        yield lines.append
        milliseconds = (time.perf_counter() - begun) * 1000
        self.console.print(
            f"[green]✓[/green] [bold]{title}[/bold]  [dim]{milliseconds:,.0f} ms[/dim]"
        )
        for line in lines:
            text = fill(line, 76, break_long_words=False, break_on_hyphens=False)
            self.console.print(indent(text, "    "), markup=False)

    def _open_wallet(self) -> None:
        with self._step("A citizen opens a wallet with a passkey") as say:
            self.phone.create_wallet()
            self.phone.prove_recovery()
            say("Both roots were made on the phone; the recovery code was typed back and works.")

    def _receive(self) -> list[dict[str, Any]]:
        with self._step("The registry offers identity data and a driving licence") as say:
            offer = self.registry.offer(CITIZEN, *_OFFERED)
            say(f"QR code: {offer['link'][:60]}…")
            say("The transaction code goes by letter.")
        with self._step("The citizen scans it, types the code, approves: twenty copies") as say:
            received = self.phone.receive(offer["link"], offer["tx_code"])
            cards = [self.phone.card(each) for each in received]
            for card in cards:
                say(f"Card: {card['name']}, from {card['issuer']}, as {card['format']}")
        if len({card["format"] for card in cards}) != len(_OFFERED):
            raise StoryFailed("not every format arrived")
        return cards

    def _sign_in(self) -> dict[str, Any]:
        how = "at its OpenID Provider" if self.provider else "with a clerk's code"
        with self._step(f"The citizen asks the agency itself, signs in {how}") as say:
            flow = self.phone.ask(self.system.issuer, _ASKED)
            flow = self.phone.sign_in(flow, self._agree)
            (kept,) = self.phone.keep(self.phone.accept(flow)["id"])
            card = self.phone.card(kept)
            say(f"Card: {card['name']}, by authorization code; the wallet was attested.")
        return card

    def _agree(self, url: str) -> dict[str, str]:
        """The agency's pages in a browser: sign in, agree, be sent back to the wallet."""
        known = (
            self.system.urls["issuer_service"],
            *([self.provider.url] if self.provider else []),
        )
        browser = Visitor(over_http(self.http), known)
        page = browser.open(url)
        if self.provider is not None:
            page = self.provider.sign_in(browser, page)
        else:
            code = self.registry.desk_code(CITIZEN)
            page = browser.press(page, "login-submit", code=code)
        page = browser.press(page, "consent-accept")
        if page.leaves is None:
            raise StoryFailed("the agency's pages did not lead back to the wallet")
        return dict(parse_qsl(urlsplit(page.leaves).query))

    def _answer(self, query: str, title: str) -> None:
        with self._step(title) as say:
            started = self.counter.ask(query)
            consent = self.phone.resolve(started["link"], cross_device=True)
            verifier = consent.model["verifier"]
            say(f"The phone shows: {verifier['name']} asks. {consent.model['purpose']}")
            self.phone.approve(consent)
            result = self.counter.result(started)
            if not result["verdict"]["accepted"]:
                raise StoryFailed(f"the counter refused: {result['verdict'].get('reason')}")
            say(f"The counter sees: {json.dumps(_short(result['claims']), ensure_ascii=False)}")

    def _refuse_more(self) -> None:
        with self._step("Another clerk asks who it is; the citizen refuses") as say:
            started = self.counter.ask("identity")
            self.phone.refuse(self.phone.resolve(started["link"], cross_device=True))
            result = self.counter.result(started)
            if result["verdict"]["accepted"] or result.get("claims"):
                raise StoryFailed("a refusal gave an answer")
            say(f"The counter sees: {result['verdict'].get('reason')}, and nothing else.")

    def _search(self, cards: list[dict[str, Any]]) -> None:
        home = self.system.folder / "wallet_service"
        public = (self.system.folder / "trust" / "trust-list.json").read_text()
        words = {
            word
            for word in _words([claim["value"] for card in cards for claim in card["claims"]])
            if word not in public  # the agency's own name is no secret
        }
        with self._step("The operator searches the wallet's databases and log") as say:
            contents = (
                b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
                + (self.system.folder / "logs" / "wallet_service.log").read_bytes()
            )
            found = [word for word in words if word.encode() in contents]
            if found:
                raise StoryFailed(f"{len(found)} of the citizen's words lie in the clear")
            rows = sum(_rows(path) for path in home.glob("*.db"))
            say(f"{rows} rows, {len(contents):,} bytes, {len(words)} words of cards: none found.")

    def _revoke(self) -> None:
        with self._step("The registry revokes; the next check at the counter says so") as say:
            self.registry.revoke(CITIZEN, reason="superseded")
            begun = time.monotonic()
            while time.monotonic() - begun < _REVOCATION_SECONDS:
                started = self.counter.ask("over_18")
                consent = self.phone.resolve(started["link"], cross_device=True)
                with suppress(phone.Refused):  # the counter may not have accepted it
                    self.phone.approve(consent)
                verdict = self.counter.result(started)["verdict"]
                if verdict.get("reason") == "revoked":
                    break
                time.sleep(1)
            else:
                raise StoryFailed("the revocation was not noticed")
            texts = sorted({card["badge_text"] for card in self.phone.refresh()})
            if len(texts) != 1:
                raise StoryFailed("not every card was revoked")
            say(f"The counter sees: {verdict['reason']}. All cards say: {texts[0]}")


def _short(value: Any) -> Any:
    """*value* for a line of text: a portrait is not printed."""
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value]
    return f"{value[:16]}…" if isinstance(value, str) and len(value) > 200 else value


def _words(value: Any) -> Iterator[str]:
    """Every text of a card that is long enough not to occur by chance."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _words(each)
    elif isinstance(value, list):
        for each in value:
            yield from _words(each)
    elif isinstance(value, str) and len(value) > 5:
        if value.startswith("data:"):  # a portrait; what would be stored is its base64url
            value = value.partition(",")[2].translate(str.maketrans("+/", "-_", "="))
        yield value


def _rows(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return sum(
            database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608  # names of its own tables
            for (name,) in tables
        )
