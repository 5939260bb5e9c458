"""Whatever a wallet sends and whatever is thrown meanwhile: every transaction ends, once."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import (
    BadSignature,
    InvalidInput,
    NotFound,
    StatusUnavailable,
    Unavailable,
    VerificationError,
)
from shared.jose import jwe
from shared.oauth.errors import InvalidRequest
from shared.runtime.documents import OlderDocument
from tests.support.verifier import HolderWallet, VerifierWorld
from verifier_service.statuses import StatusLists
from verifier_service.transactions import ENDED, State

TERMINAL = {each.value for each in ENDED}
THROWN = st.sampled_from(
    [
        ValueError("x"),
        KeyError("x"),
        RuntimeError("x"),
        RecursionError("x"),
        MemoryError(),
        ZeroDivisionError(),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "x"),
        OSError("x"),
        TimeoutError(),
        InvalidInput("x"),
        VerificationError("x"),
        BadSignature("x"),
        StatusUnavailable("x"),
        OlderDocument("x"),
        NotFound("x"),
        InvalidRequest("x"),
        Unavailable("x"),
    ]
)
TEXT = st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
PRESENTATION = st.one_of(
    TEXT,
    st.binary(max_size=200).map(lambda data: data.decode("latin-1")),
    st.tuples(TEXT, TEXT, TEXT).map(".".join),
    st.lists(TEXT, min_size=2, max_size=5).map("~".join),
)


class Quiet(VerifierWorld):
    """Hypothesis prints what it was given."""

    def __repr__(self) -> str:
        return "world"


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    with Quiet.make(tmp_path_factory.mktemp("endings"), database_url) as made:
        yield made


class Throwing:
    """Stands where trust list or status lists are, and throws."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def current(self) -> Any:
        raise self.error

    def check(self, *_: Any, **__: Any) -> Any:
        raise self.error


def _ends(world: VerifierWorld, started: dict[str, Any], answer: Any) -> dict[str, Any]:
    result = world.result(started)
    assert result["state"] in TERMINAL
    assert answer.status in {200, 400, 404, 500, 503}
    row = world.row(started)
    assert (row.request_object, row.sealed_request, row.sealed_dc) == (None, None, None)
    if result["state"] != State.VERIFIED.value:
        assert "claims" not in result
        assert row.sealed_claims is None
    return result


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(error=THROWN, where=st.sampled_from(["trust", "statuses"]))
def test_it_ends_whatever_is_thrown(world: VerifierWorld, error: Exception, where: str) -> None:
    """Issue item 2, V-03, V-42: a state that is terminal, keys gone, and the answer used up."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    body = wallet.encrypt(asked, wallet.present(asked))
    kept: dict[str, Any] = {
        "trust": world.verifier.trust,
        "statuses": world.verifier.statuses,
    }
    object.__setattr__(world.verifier, where, Throwing(error))
    try:
        answer = wallet.post(asked, body)
    finally:
        object.__setattr__(world.verifier, where, kept[where])
    result = _ends(world, started, answer)
    assert result["state"] == "rejected"
    assert result["verdict"]["accepted"] is False
    assert wallet.post(asked, body).status == 400
    assert isinstance(world.verifier.statuses, StatusLists)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(shown=PRESENTATION)
def test_it_ends_whatever_is_presented(world: VerifierWorld, shown: str) -> None:
    """V-60, S-20: any text as presentation is a verdict, not a crash."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    answer = wallet.post(asked, wallet.encrypt(asked, {"pid": [shown or "x"]}))
    result = _ends(world, started, answer)
    assert (answer.status, result["state"]) == (400, "rejected")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=JSON)
def test_it_ends_or_stays_open_whatever_is_encrypted(world: VerifierWorld, content: Any) -> None:
    """V-41, V-42: what opens and is no response ends it; another state consumes nothing."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    key = asked.request.encryption_key
    assert key is not None
    token = jwe.encrypt(
        json.dumps(content).encode(), to=key.public, kid=key.kid, enc="A128GCM", cty="json"
    )
    answer = wallet.post(asked, f"response={token}".encode())
    assert answer.status == 400
    state = world.result(started)["state"]
    assert state in {"rejected", "requested"}
    if state == "requested":
        assert wallet.answer(asked).status == 200


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(error=TEXT, description=TEXT, state=st.none() | TEXT)
def test_it_ends_or_stays_open_whatever_error_is_sent(
    world: VerifierWorld, error: str, description: str, state: str | None
) -> None:
    """V-40, V-41: an error with our state ends it, whatever it says; any other consumes nothing."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    said = asked.request.state if state is None else state
    form = {"error": error, "error_description": description, "state": str(said)}
    answer = world.client.post(asked.response_path, form=form)
    result = world.result(started)
    if state is None and answer.status == 200:
        assert result["state"] in {"refused", "rejected"}
        assert result["verdict"]["wallet_error"]
    else:
        assert (answer.status, result["state"]) == (400, "requested")
        assert wallet.answer(asked).status == 200
