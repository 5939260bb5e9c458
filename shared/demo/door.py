"""Links for people to try by hand that are good whenever they are opened.

A poster at an agency's door has such a code: it leads to an offer made, or a question asked, at
that moment, by the agencies' own APIs. What a counter would see is told on the console. Two more
links invite clerks, as the services' own `staff invite` does.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from types import TracebackType
from typing import Any, Self

import httpx2
import segno

from .agencies import Agency, Refused
from .system import COUNTER, REGISTRY

OFFERED = ("pid_sd_jwt", "mdl", "residence_sd_jwt")
ASKED = "over_18"
CLERKS: Mapping[str, tuple[str, ...]] = {
    "/registry-clerk": (
        *("issuer_service", "staff", "invite", REGISTRY, "Clerk at the desk"),
        *("--role", "offers", "--role", "status", "--role", "read", "--role", "auditor"),
    ),
    "/counter-clerk": (
        *("verifier_service", "staff", "invite", COUNTER, "Clerk at the counter"),
        *("--role", "verifier"),
    ),
}
"""Where clerks are invited, and by which command."""
_ENDED = frozenset({"verified", "rejected", "refused", "expired"})
_LOOK_SECONDS = 0.5


@dataclass
class Door:
    """The door of both agencies: a context manager that serves its links.

    Attributes:
        url: where; on the loopback address.
        wallet: the URL of the wallet that the links lead to.
        registry: makes the offers.
        counter: asks.
        command: runs a command of a service and returns what it prints.
        subject: whom the register knows as the person at the door.
        say: tells a line.
    """

    url: str
    wallet: str
    registry: Agency
    counter: Agency
    command: Callable[..., str]
    subject: str
    say: Callable[[str], None]
    _asked: list[Any] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # an Agency is for one at a time

    @property
    def offer_link(self) -> str:
        """Leads to documents that are offered to the person."""
        return f"{self.url}/offer"

    @property
    def counter_link(self) -> str:
        """Leads to a question of the counter."""
        return f"{self.url}/counter"

    def offer(self) -> str:
        """Make an offer, say its code, and give the wallet's link to it."""
        with self._lock:
            made = self.registry.offer(self.subject, *OFFERED)
        self.say(f"An offer was made. The letter says: {made['tx_code']}")
        return f"{self.wallet}/offer?{made['link'].partition('?')[2]}"

    def ask(self) -> str:
        """Ask at the counter, and give the wallet's link to the question."""
        with self._lock:
            started = self.counter.ask(ASKED, wallet_endpoint=f"{self.wallet}/authorize")
            self._asked.append(started)
        self.say("The counter asks: over 18?")
        return str(started["link"])

    @property
    def clerk_links(self) -> tuple[str, ...]:
        """Lead to invitations of clerks: to the registry's desk, and to the counter."""
        return tuple(f"{self.url}{path}" for path in CLERKS)

    def __enter__(self) -> Self:
        ways = {"/offer": self.offer, "/counter": self.ask} | {
            path: partial(self.command, *arguments) for path, arguments in CLERKS.items()
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                way = ways.get(self.path)
                if way is None:
                    self.send_error(404)
                    return
                try:
                    place = way().strip()
                except (Refused, httpx2.HTTPError, RuntimeError):
                    self.send_error(503, "A service does not answer")
                    return
                self.send_response(303)
                self.send_header("Location", place)
                self.send_header("Cache-Control", "no-store")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """The console is for the story."""

        self._server = ThreadingHTTPServer(("127.0.0.1", int(self.url.rpartition(":")[2])), Handler)
        for each in (self._server.serve_forever, self._watch):
            threading.Thread(target=each, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def _watch(self) -> None:
        """Tell how each question ended."""
        while not self._stopping.is_set():
            time.sleep(_LOOK_SECONDS)
            for started in tuple(self._asked):
                try:
                    with self._lock:
                        result = self.counter.result(started)
                except (Refused, httpx2.HTTPError):  # it is stopping, or its time is over
                    continue
                if result["state"] in _ENDED:
                    self._asked.remove(started)
                    self.say(f"The counter sees: {_seen(result)}")


def _seen(result: Any) -> str:
    if result["state"] == "verified":
        return f"yes, {result['claims']}"
    return str((result.get("verdict") or {}).get("reason") or result["state"])


def qr(link: str) -> str:
    """*link* as a QR code for a terminal."""
    drawn = StringIO()
    segno.make(link, error="m", micro=False).terminal(out=drawn, compact=True, border=2)
    return drawn.getvalue()
