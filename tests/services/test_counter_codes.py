"""The short code beside the QR code: who cannot scan types it (ADR 0022)."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from tests.support.asgi import Answer
from tests.support.clock import NOW
from tests.support.counter import Clerk
from tests.support.verifier import TENANT, HolderWallet, VerifierWorld
from verifier_service import tables
from verifier_service.codes import (
    ALPHABET,
    CHANCE,
    LONG,
    SHORT,
    _bucket,
    budget,
    code_of,
    shown,
    typed,
)
from verifier_service.retention import erase_due

BROWSERS = 16


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    folder = tmp_path_factory.mktemp("verifier")
    with VerifierWorld.make(folder, database_url, tenants={"counter": TENANT}) as made:
        yield made


@pytest.fixture(scope="module")
def clerk(world: VerifierWorld) -> Clerk:
    return Clerk.at(world)


@pytest.fixture(autouse=True)
def _no_guesses(world: VerifierWorld) -> Iterator[None]:
    yield
    world.clock.now = NOW
    with world.verifier.database.transaction() as connection:
        connection.execute(tables.guesses.delete())


def enter(world: VerifierWorld, code: str, cookie: str = "") -> Answer:
    return world.client.post("/c", form={"code": code}, headers={"Cookie": cookie})


def link_in(page: Answer) -> str:
    found = re.search(r'id="open-wallet" href="([^"]+)"', page.text)
    assert found, page.text
    return unescape(found[1])


def test_the_code_opens_what_the_picture_opens(world: VerifierWorld, clerk: Clerk) -> None:
    """DESIGN 1, WCAG 2.2: who cannot scan is not shut out; the page says who asks, and where."""
    asked = clerk.ask()
    page = enter(world, asked["code"].lower().replace("-", " "))
    assert page.status == 200
    assert link_in(page) == asked["link"]
    for text in ("Is 18 or older", "Avelonia Tax &amp; Counters", "Desk 1", "You decide there"):
        assert text in page.text
    wallet = HolderWallet(world)
    assert wallet.answer(wallet.open(link_in(page))).status == 200
    assert clerk.now()["answer"]["code"] == "verified"


def test_looking_at_the_link_uses_nothing(world: VerifierWorld, clerk: Clerk) -> None:
    """Browsers fetch what they think will be typed; only the button counts."""
    asked = clerk.ask()
    for _ in range(3):
        page = world.client.get(f"/c/{asked['code']}")
        assert (page.status, f'value="{asked["code"].replace("-", "")}"' in page.text) == (
            200,
            True,
        )
        assert "openid4vp" not in page.text
    form = world.client.get("/c")
    assert (form.status, "Proof by wallet" in form.text) == (200, True)  # no agency is known yet
    assert enter(world, asked["code"]).status == 200


def test_a_code_is_good_for_one_browser(world: VerifierWorld, clerk: Clerk) -> None:
    """S-02: the first that comes with it; that one may load the page again."""
    asked = clerk.ask()
    first = enter(world, asked["code"])
    cookie = first.headers["set-cookie"]
    for part in ("__Host-code=", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in cookie
    refused = enter(world, asked["code"])
    assert (refused.status, "not good any more" in refused.text) == (404, True)
    assert enter(world, asked["code"], "__Host-code=made-up").status == 404
    assert link_in(enter(world, asked["code"], cookie.partition(";")[0])) == asked["link"]


def test_of_many_browsers_at_once_one_gets_the_link(world: VerifierWorld, clerk: Clerk) -> None:
    """S-02: one guarded statement decides."""
    asked = clerk.ask()
    barrier = threading.Barrier(BROWSERS)

    def run(_: int) -> int:
        barrier.wait()
        return enter(world, asked["code"]).status

    with ThreadPoolExecutor(BROWSERS) as pool:
        assert Counter(pool.map(run, range(BROWSERS))) == {200: 1, 404: BROWSERS - 1}


def test_a_code_ends_with_its_question(world: VerifierWorld, clerk: Clerk) -> None:
    """Answered, withdrawn, run out, or the next one asked: each with a new code."""
    answered = clerk.ask()
    wallet = HolderWallet(world)
    wallet.answer(wallet.open(answered["link"]))
    withdrawn = clerk.ask()
    clerk.clear(withdrawn["visit"])
    replaced = clerk.ask()
    late = clerk.ask()
    codes = [each["code"] for each in (answered, withdrawn, replaced, late)]
    assert len(set(codes)) == len(codes)
    world.clock.advance(minutes=5)
    assert [enter(world, each).status for each in codes] == [404] * 4
    assert "code" not in clerk.now()


def wrong_codes(world: VerifierWorld) -> int | None:
    """Of this hour, as they are counted."""
    with world.verifier.database.reading() as connection:
        found: int | None = connection.execute(select(tables.guesses.c.tries)).scalar_one_or_none()
    return found


def nearly_spent(world: VerifierWorld, left: int) -> None:
    """Somebody has tried so many codes in this hour that *left* more will do."""
    tried = {
        "bucket": _bucket(world.verifier),
        "tries": budget(world.verifier) - left,
        "expires_at": world.clock() + timedelta(minutes=59),
    }
    with world.verifier.database.transaction() as connection:
        connection.execute(tables.guesses.insert().values(**tried))


def test_the_budget_of_guesses_bounds_the_chance_of_one(world: VerifierWorld) -> None:
    """ADR 0031: with as many codes open as there are desks; longer ones are beyond any guessing."""
    desks = len(world.verifier.tenant("counter").desks)
    assert budget(world.verifier) * desks / len(ALPHABET) ** SHORT <= CHANCE
    assert 10**7 * 1_000 / len(ALPHABET) ** LONG < CHANCE


def test_guessers_make_codes_longer_and_shut_nobody_out(world: VerifierWorld, clerk: Clerk) -> None:
    """DESIGN, "Decided": counted in the database; a neighbour behind one address loses nothing."""
    asked = clerk.ask()
    nearly_spent(world, 2)
    assert enter(world, "ACDE-2346").status == 404
    assert len(typed(asked["code"])) == SHORT
    assert enter(world, "ACDE-2347").status == 404
    late = enter(world, asked["code"])
    assert (late.status, "ask there for a new one" in late.text) == (404, True)
    longer = clerk.ask()["code"]
    assert re.fullmatch(r"(\w{4}-){2}\w{4}", longer)
    assert clerk.now()["code"] == longer
    assert enter(world, longer[:9]).status == 404
    assert enter(world, longer).status == 200
    assert wrong_codes(world) == budget(world.verifier), "nothing is written any more"
    world.clock.now = NOW + timedelta(hours=1)
    assert len(typed(Clerk.at(world, "2").ask()["code"])) == SHORT
    erase_due(world.verifier, world.clock())
    assert wrong_codes(world) is None


def test_wrong_codes_are_counted_exactly_and_mistypings_are_not(world: VerifierWorld) -> None:
    """What cannot be a code is no guess; of many at once each counts."""
    for mistyped in ("", "ACDE-234", "ACDE-234O", "acde 2340 "):
        assert enter(world, mistyped).status == 404
    assert wrong_codes(world) is None
    barrier = threading.Barrier(BROWSERS)

    def run(number: int) -> int:
        barrier.wait()
        return enter(world, f"ACDE-AA{ALPHABET[number]}A").status

    with ThreadPoolExecutor(BROWSERS) as pool:
        assert set(pool.map(run, range(BROWSERS))) == {404}
    assert wrong_codes(world) == BROWSERS


def test_a_code_lies_hidden_in_the_database(world: VerifierWorld, clerk: Clerk) -> None:
    """S-01: 37 bits would be found by trying; the hash has a key."""
    code = typed(clerk.ask()["code"])
    with world.verifier.database.reading() as connection:
        lines: list[Any] = list(connection.execute(tables.desks.select()))
    assert code not in repr(lines)


def test_the_form_works_without_scripts_and_says_what_is_wrong(world: VerifierWorld) -> None:
    """WCAG 2.2, 3.3.1: the error stands at the field, in the reader's language."""
    page = world.client.post("/c", form={"code": "nope"}, headers={"Accept-Language": "de"})
    assert page.status == 404
    assert 'aria-invalid="true"' in page.text
    assert 'aria-describedby="alert code-hint"' in page.text
    assert "Dieser Code stimmt nicht" in page.text
    assert "<script" not in page.text
    assert enter(world, "<b>").status == 404
    assert "<b>" not in enter(world, "<b>").text


@given(st.text(min_size=1, max_size=60))
def test_codes_have_no_letters_that_look_alike(secret: str) -> None:
    """WCAG 2.2, 3.3.7: read aloud and typed with any punctuation they stay the same."""
    code = code_of(secret, LONG)
    assert len(code) == LONG
    assert code.startswith(code_of(secret, SHORT))
    assert set(code) <= set(ALPHABET)
    assert not set(ALPHABET) & set("0O1IL5S8BZV")
    assert typed(f" {shown(code).lower()} .") == code
    assert code_of(secret, LONG) == code
