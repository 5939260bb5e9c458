"""Of many answers one counts, and every transaction ends."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import Unavailable, VerificationError
from tests.support.verifier import RETURN_URL, HolderWallet, VerifierWorld, response_code
from verifier_service import receiving
from verifier_service.transactions import ENDED

CLIENTS = 64


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    with VerifierWorld.make(tmp_path_factory.mktemp("verifier"), database_url) as made:
        yield made


def at_once(act: Any, count: int = CLIENTS) -> list[Any]:
    barrier = threading.Barrier(count)

    def run(index: int) -> Any:
        barrier.wait()
        return act(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_of_64_answers_at_once_exactly_one_is_accepted(world: VerifierWorld) -> None:
    """V-03, S-02, PERFORMANCE 4: one 200, the others 400; the verdict is one."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    body = wallet.encrypt(asked, wallet.present(asked))
    answers = at_once(lambda _: wallet.post(asked, body).status)
    assert Counter(answers) == {200: 1, 400: CLIENTS - 1}
    assert world.result(started)["state"] == "verified"


def test_a_good_and_a_bad_answer_race_to_one_verdict(world: VerifierWorld) -> None:
    """V-03: the first decides, whichever it is."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    good = wallet.encrypt(asked, wallet.present(asked))
    bad = wallet.encrypt(asked, wallet.present(asked, paths=[]))
    answers = at_once(lambda index: wallet.post(asked, good if index % 2 else bad).status, 16)
    state = world.result(started)["state"]
    assert answers.count(200) == (1 if state == "verified" else 0)
    assert state in {"verified", "rejected"}


def test_of_64_returns_at_once_one_at_most_gets_the_result(world: VerifierWorld) -> None:
    """V-43, V-50: the code is single use; used twice, the presentation is rejected."""
    started = world.start("over_18", flow="same_device", return_url=RETURN_URL)
    wallet = HolderWallet(world)
    code = response_code(wallet.answer(wallet.open(started["link"])).json()["redirect_uri"])
    answers = at_once(lambda _: world.come_back(started, code))
    with_claims = [each for each in answers if "claims" in each.json()]
    assert len(with_claims) <= 1
    assert {each.status for each in answers} <= {200, 403, 409}
    assert world.result(started)["state"] == "rejected"


def test_64_starts_with_one_idempotency_key_are_one_transaction(world: VerifierWorld) -> None:
    """Issue item 7."""
    started = at_once(lambda _: world.start("over_18", key="rush"))
    assert all(each == started[0] for each in started)


FAULTS = [
    RuntimeError("a bug"),
    MemoryError(),
    RecursionError(),
    KeyError("a bug"),
    Unavailable("a neighbour"),
    VerificationError("nobody foresaw it here"),
]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    fault=st.sampled_from([None, *FAULTS]),
    where=st.sampled_from(["verify", "_refused"]),
    kind=st.sampled_from(["good", "withheld", "refusal", "expiry"]),
)
def test_every_transaction_ends_whatever_is_thrown(
    world: VerifierWorld, fault: Exception | None, where: str, kind: str
) -> None:
    """V-03, PAIN_POINTS 2.6: after an answer of ours, or in time, the state is a final one."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    body = {
        "good": wallet.encrypt(asked, wallet.present(asked)),
        "withheld": wallet.encrypt(asked, wallet.present(asked, paths=[])),
        "refusal": f"error=access_denied&state={asked.request.state}".encode(),
        "expiry": b"response=x",
    }[kind]
    with pytest.MonkeyPatch.context() as patch:
        if fault is not None:

            def fail(*_: object, **__: object) -> None:
                raise fault

            patch.setattr(receiving, where, fail)
        wallet.post(asked, body)
    if kind == "expiry":
        now = world.clock.now
        world.clock.advance(minutes=5)
        state = world.result(started)["state"]
        world.clock.now = now
    else:
        state = world.result(started)["state"]
    assert state in {each.value for each in ENDED}
    hit = fault is not None and (where == "_refused") == (kind == "refusal")
    if hit and kind != "expiry":
        assert state == "rejected"
