"""One-time codes that a clerk hands out: used once, five tries, whoever comes at the same time."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from issuer_service import desk
from issuer_service.cleaning import clean
from issuer_service.desk import DeskCodeUsed, WrongDeskCode
from shared.demo.visitor import Received
from tests.support.attested import AttestedWallet
from tests.support.issuer import IssuerWorld, sample_register
from tests.support.visiting import answer_of, desk_code, opened, visitor

PERSON = "AV-000001"
THREADS = 8


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(folder, database_url, register=sample_register(folder))
    yield made
    made.close()


def redeem(world: IssuerWorld, typed: str, tenant: str = "registry") -> str:
    return desk.redeem(world.issuer, world.issuer.tenant(tenant), typed)


def outcome(act: Callable[[], str]) -> str:
    try:
        return act()
    except WrongDeskCode as error:
        return type(error).__name__


def at_once(act: Callable[[int], str]) -> Counter[str]:
    gate = Barrier(THREADS)

    def run(number: int) -> str:
        gate.wait()
        return outcome(lambda: act(number))

    with ThreadPoolExecutor(THREADS) as pool:
        return Counter(pool.map(run, range(THREADS)))


def state(world: IssuerWorld, code: str) -> str:
    found = world.api("GET", f"/desk-codes/dsk_{code.replace('-', '')[:6]}")
    assert found.status == 200, found.text
    return str(found.json()["state"])


def tries(world: IssuerWorld, code: str) -> int:
    with world.issuer.database.reading() as connection:
        return int(
            connection.exec_driver_sql(
                f"SELECT tries FROM desk_codes WHERE id = 'dsk_{code.replace('-', '')[:6]}'"  # noqa: S608
            ).scalar_one()
        )


def test_a_code_says_who_it_is_once(world: IssuerWorld) -> None:
    """S-02: however it is typed; afterwards its row knows nobody."""
    code = desk_code(world, PERSON)
    assert len(code.replace("-", "")) == 12
    typed = " ".join(code.lower().replace("-", " ").replace("0", "o").replace("1", "l"))
    assert redeem(world, typed) == PERSON
    assert outcome(lambda: redeem(world, code)) == "DeskCodeUsed"
    assert state(world, code) == "used"
    with world.issuer.database.reading() as connection:
        content = connection.exec_driver_sql(
            f"SELECT content FROM desk_codes WHERE id = 'dsk_{code.replace('-', '')[:6]}'"  # noqa: S608
        ).scalar_one()
    assert bytes(content) == b""


def test_of_many_at_once_one_is_let_in(world: IssuerWorld) -> None:
    """S-02: one statement decides."""
    code = desk_code(world, PERSON)
    assert at_once(lambda _: redeem(world, code)) == {PERSON: 1, "DeskCodeUsed": THREADS - 1}


def test_five_guesses_are_five_however_many_come_at_once(world: IssuerWorld) -> None:
    """S-21: the count is in the statement that judges the guess; then the right one is dead too."""
    code = desk_code(world, PERSON)
    wrong = [f"{code[:12]}{symbol}{code[13:]}" for symbol in "23456789" if symbol != code[12]]
    guesses = at_once(lambda number: redeem(world, wrong[number % len(wrong)]))
    assert guesses == {"WrongDeskCode": THREADS}
    assert tries(world, code) == 5
    assert outcome(lambda: redeem(world, code)) == "WrongDeskCode"
    assert state(world, code) == "locked"


def test_four_wrong_guesses_leave_one_right_one(world: IssuerWorld) -> None:
    code = desk_code(world, PERSON)
    wrong = code[:-1] + ("2" if code[-1] != "2" else "3")
    for _ in range(4):
        assert outcome(lambda: redeem(world, wrong)) == "WrongDeskCode"
    assert redeem(world, code) == PERSON


def test_nobody_learns_why_a_code_is_not_good(world: IssuerWorld) -> None:
    """S-42: unknown, wrong, expired, cancelled: one answer."""
    code = desk_code(world, PERSON, expires_in=60)
    cancelled = desk_code(world, PERSON)
    path = f"/desk-codes/dsk_{cancelled.replace('-', '')[:6]}/cancel"
    assert world.api("POST", path).json()["state"] == "cancelled"
    world.clock.advance(seconds=60)
    assert state(world, code) == "expired"
    texts = set()
    for typed in (code, cancelled, "2222-2222-2222", "short", code[:-1] + "U"):
        with pytest.raises(WrongDeskCode) as refused:
            redeem(world, typed)
        assert not isinstance(refused.value, DeskCodeUsed)
        texts.add(refused.value.public)
    assert len(texts) == 1
    assert world.api("POST", path).status == 409


def test_the_database_alone_lets_nobody_in(world: IssuerWorld) -> None:
    """S-01: the secret half as HMAC and sealed, the person sealed."""
    code = desk_code(world, PERSON)
    dump = world.dump()
    assert code.replace("-", "")[6:] not in dump
    assert PERSON not in dump


def test_the_same_key_gives_the_same_code(world: IssuerWorld) -> None:
    """DESIGN: nothing acknowledged is lost; while it is open the answer is repeated whole."""

    def ask() -> Any:
        return world.api("POST", "/desk-codes", {"subject": PERSON}, idempotency_key="desk").json()

    first = ask()
    assert ask() == first
    redeem(world, first["code"])
    assert ask() == {name: value for name, value in first.items() if name != "code"} | {
        "state": "used"
    }


def test_only_people_of_the_register_get_one_and_only_clerks_give_it(world: IssuerWorld) -> None:
    """The same roles as for offers; other tenants' codes are nobody's."""
    assert world.api("POST", "/desk-codes", {"subject": "AV-999999"}).status == 404
    assert world.api("POST", "/desk-codes", {"subject": PERSON, "expires_in": 5}).status == 400
    reader = world.api_token("registry", "read")
    assert world.api("POST", "/desk-codes", {"subject": PERSON}, token=reader).status == 403
    assert world.api("GET", "/desk-codes/dsk_nobody").status == 404
    assert world.api("POST", "/desk-codes/dsk_nobody/cancel").status == 404


def test_any_replica_takes_the_next_step(
    world: IssuerWorld, tmp_path: Path, database_url: str
) -> None:
    """Issue 5, "Done when": each page of one sign-in from another process, one database."""
    other = IssuerWorld.make(tmp_path, database_url, register=sample_register(tmp_path))
    other.clock.now = world.clock()
    wallet, browser = AttestedWallet(world), visitor(world)
    replicas = itertools.cycle([visitor(other).send, browser.send])

    def send(*request: Any) -> Received:
        return next(replicas)(*request)

    browser.send = send
    page = opened(browser, wallet, wallet.push(state="s" * 1_500))
    page = browser.press(page, "login-submit", code=desk_code(world, PERSON))
    answer = answer_of(browser.press(page, "consent-accept"))
    assert answer["state"] == "s" * 1_500
    assert wallet.exchange(answer["code"]).status == 200
    other.close()


def test_expired_codes_are_forgotten(world: IssuerWorld) -> None:
    """S-43: the person at once, the row after a month."""
    code = desk_code(world, PERSON, expires_in=60)
    world.clock.advance(seconds=61)
    clean(world.issuer.database, now=world.clock())
    assert state(world, code) == "expired"
    with world.issuer.database.reading() as connection:
        contents = connection.exec_driver_sql(
            f"SELECT content FROM desk_codes WHERE id = 'dsk_{code.replace('-', '')[:6]}'"  # noqa: S608
        ).scalars()
        assert [bytes(each) for each in contents] == [b""]
    world.clock.advance(days=31)
    clean(world.issuer.database, now=world.clock())
    assert world.count("desk_codes") == 0
