"""A browser without scripts in front of an issuer in process."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from shared.demo.visitor import Page, Received, Visitor

from .asgi import Answer
from .issuer import PUBLIC_URL, IssuerWorld


def visitor(world: IssuerWorld, *, language: str = "en") -> Visitor:
    """A browser that knows nobody but *world*."""

    def send(
        method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> Received:
        path = url.removeprefix(PUBLIC_URL)
        answer = world.client.request(method, path, headers=headers, form=form)
        return Received(answer.status, answer.raw_headers, answer.text)

    return Visitor(send, (PUBLIC_URL,), language)


def opened(browser: Visitor, wallet: Any, pushed: Answer) -> Page:
    """The page that a wallet's authorization request opens."""
    assert pushed.status == 201, pushed.text
    request_uri = pushed.json()["request_uri"]
    return browser.open(f"{wallet.identifier}/authorize?" + query(wallet.client_id, request_uri))


def query(client_id: str, request_uri: str) -> str:
    from urllib.parse import urlencode

    return urlencode({"client_id": client_id, "request_uri": request_uri})


def answer_of(page: Page) -> dict[str, str]:
    """What a redirect to the wallet carries."""
    assert page.leaves is not None, page.html
    return dict(parse_qsl(urlsplit(page.leaves).query))


def desk_code(world: IssuerWorld, subject: str, **members: Any) -> str:
    """A code that a clerk hands out."""
    made = world.api("POST", "/desk-codes", {"subject": subject, **members})
    assert made.status == 201, made.text
    return str(made.json()["code"])
