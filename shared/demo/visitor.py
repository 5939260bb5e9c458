"""A browser without scripts, as far as our pages need one: cookies, links, forms, redirects.

It drives pages by their element ids, as people's tools and certification suites do, and stops where
a redirect leaves the origins it was told of: to a wallet, for instance.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import urljoin, urlsplit

import httpx2

MAX_REDIRECTS = 10
_VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "wbr"})


@dataclass(frozen=True, slots=True)
class Received:
    """An answer: *headers* as they came, names in any case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    text: str

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name]


Send = Callable[[str, str, Mapping[str, str], Mapping[str, str] | None], Received]
"""method, URL, headers, form -> answer; follows no redirect."""


@dataclass(slots=True)
class Form:
    """A form as it would be sent: where, how, its fields, and what each button adds."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)


class Page(HTMLParser):
    """What came: a page by ids, or (*leaves*) where the browser was sent away to."""

    def __init__(self, url: str, received: Received | None, *, leaves: str | None = None) -> None:
        super().__init__()
        self.url = url
        self.leaves = leaves
        self.status = received.status if received else 0
        self.html = received.text if received else ""
        self.texts: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.forms: list[Form] = []
        self._open: list[tuple[str, str | None]] = []
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag begins."""
        given = {name: value or "" for name, value in attrs}
        element = given.get("id")
        if element:
            self.texts.setdefault(element, "")
        if tag == "a" and element:
            self.links[element] = urljoin(self.url, given.get("href", ""))
        if tag == "form":
            action = urljoin(self.url, given.get("action") or self.url)
            self.forms.append(Form(given.get("method", "get").upper(), action))
        if self.forms and tag == "input" and "name" in given:
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        if self.forms and tag == "button" and element:
            self.forms[-1].buttons[element] = given.get("name", ""), given.get("value", "")
        if tag not in _VOID:
            self._open.append((tag, element))

    def handle_endtag(self, tag: str) -> None:
        """A tag ends, and with it what was left open in it."""
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Text belongs to every element around it."""
        for _, element in self._open:
            if element:
                self.texts[element] = f"{self.texts[element]}{data}"


def over_http(http: httpx2.Client) -> Send:
    """A browser's line over the network; the client keeps no cookies of its own."""

    def send(
        method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> Received:
        http.cookies.clear()
        answer = http.request(method, url, headers=headers, data=form, follow_redirects=False)
        return Received(answer.status_code, tuple(answer.headers.multi_items()), answer.text)

    return send


@dataclass
class Visitor:
    """One browser.

    Attributes:
        send: the line to the servers.
        origins: that redirects are followed within; elsewhere the page `leaves`.
    """

    send: Send
    origins: tuple[str, ...]
    language: str = "en"
    cookies: dict[tuple[str, str], str] = field(default_factory=dict)

    def open(self, url: str) -> Page:
        """Follow a link."""
        return self._go("GET", url, None)

    def click(self, page: Page, element: str) -> Page:
        """Follow the link with this id."""
        return self.open(page.links[element])

    def press(self, page: Page, button: str, **fields: str) -> Page:
        """Send the form of this button, its fields filled in."""
        form = next(each for each in page.forms if button in each.buttons)
        name, value = form.buttons[button]
        sent = {**form.fields, **fields, name: value}
        return self._go(form.method, form.action, sent, at=page.url)

    def _go(
        self, method: str, url: str, form: Mapping[str, str] | None, *, at: str | None = None
    ) -> Page:
        for _ in range(MAX_REDIRECTS):
            parts = urlsplit(url)
            origin = f"{parts.scheme}://{parts.netloc}"
            if origin not in self.origins:
                return Page(url, None, leaves=url)
            sent = {"Accept": "text/html", "Accept-Language": self.language}
            if at is not None and urljoin(at, "/") == f"{origin}/":
                sent["Sec-Fetch-Site"] = "same-origin"
            held = [f"{name}={value}" for (of, name), value in self.cookies.items() if of == origin]
            if held:
                sent["Cookie"] = "; ".join(held)
            received = self.send(method, url, sent, form)
            self._keep(origin, received)
            places = received.all("location")
            if received.status not in {302, 303} or not places:
                return Page(url, received)
            method, form, url = "GET", None, urljoin(url, places[0])
        raise RuntimeError("a browser would give up: too many redirects")

    def _keep(self, origin: str, received: Received) -> None:
        for header in received.all("set-cookie"):
            for name, morsel in SimpleCookie(header).items():
                if morsel.value and morsel["max-age"] != "0":
                    self.cookies[origin, name] = morsel.value
                else:
                    self.cookies.pop((origin, name), None)
