"""What is made to cost much costs little: bounded time and memory, and a verdict all the same."""

import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

import pytest

from shared.encoding import b64url_encode
from shared.formats import status_list
from shared.jose import jwe, jws
from shared.oauth.messages import make_form
from shared.trust import Role
from tests.support.clock import NOW
from tests.support.verifier import LIST_URI, Asked, HolderWallet, VerifierWorld, signer

SECONDS = 5.0  # of a core
BYTES = 96 * 1024 * 1024
DEEP = 100_000


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    with VerifierWorld.make(tmp_path_factory.mktemp("hostile"), database_url) as made:
        assert presented(made)[0] == 200  # keys are made and modules loaded before anything counts
        yield made


def presented(world: VerifierWorld) -> tuple[int, dict[str, Any]]:
    started = world.start("over_18")
    wallet = HolderWallet(world)
    answer = wallet.answer(wallet.open(started["link"]))
    return answer.status, world.result(started)["verdict"]


def within_bounds(act: Callable[[], Any]) -> Any:
    tracemalloc.start()
    try:
        began = process_time()
        found = act()
        assert process_time() - began < SECONDS
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()
    return found


def a_list(lst: str, bits: object = 1) -> bytes:
    seconds = int(NOW.timestamp())
    claims: dict[str, Any] = {
        "sub": LIST_URI,
        "iat": seconds,
        "status_list": {"bits": bits, "lst": lst},
    }
    return jws.sign_jwt(claims, typ="statuslist+jwt", signer=signer(Role.STATUS)).encode()


def deflated(zeros: int) -> str:
    packer = zlib.compressobj(9)
    block = bytes(1024 * 1024)
    parts = [packer.compress(block) for _ in range(zeros // len(block))]
    return b64url_encode(b"".join((*parts, packer.flush())))


LISTS: dict[str, Callable[[], bytes]] = {
    "a bomb": lambda: a_list(deflated(128 * 1024 * 1024)),
    "more than may be fetched": lambda: a_list("A" * (status_list.MAX_TOKEN + 1)),
    "deep JSON": lambda: b"[" * DEEP + b"]" * DEEP,
    "deep CBOR": lambda: b"\x81" * DEEP + b"\x00",
    "a CBOR array that says it is long": lambda: b"\x9b" + b"\xff" * 8,
    "bits of another type": lambda: a_list(deflated(1024 * 1024), bits="1"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_hostile_status_list_is_unreadable(world: VerifierWorld, name: str) -> None:
    """ST-02, ST-54, ST-56, S-20, S-21: it costs its publisher more than us."""
    publisher = world.statuses.publisher
    kept, body = publisher.documents[LIST_URI], LISTS[name]()
    world.clock.advance(days=2)  # the list that is held has to be renewed
    publisher.documents[LIST_URI] = body
    try:
        code, verdict = within_bounds(lambda: presented(world))
        assert (code, verdict["reason"]) == (400, "status_unavailable")
        assert verdict["credentials"][0]["status"] == "list_unreadable"
    finally:
        world.clock.now = NOW
        publisher.documents[LIST_URI] = kept


def sealed(asked: Asked, plaintext: bytes) -> bytes:
    key = asked.request.encryption_key
    assert key is not None
    token = jwe.encrypt(plaintext, to=key.public, kid=key.kid, enc="A256GCM", cty="json")
    return make_form({"response": token})


def with_presentation(text: str) -> Callable[[Asked], bytes]:
    def make(asked: Asked) -> bytes:
        answer = {"state": asked.request.state, "vp_token": {"pid": [text]}}
        return json.dumps(answer).encode()

    return make


ANSWERS: dict[str, Callable[[Asked], bytes]] = {
    "deep JSON": lambda _: b'{"vp_token":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a name twice": lambda asked: (
        b'{"vp_token":{"pid":["x"]},"vp_token":{"pid":["y"]},"state":"%s"}'
        % str(asked.request.state).encode()
    ),
    "a number of many digits": lambda _: b'{"vp_token":' + b"9" * DEEP + b"}",
    "many presentations": lambda asked: json.dumps(
        {"state": asked.request.state, "vp_token": {"pid": ["x"] * 20_000}}
    ).encode(),
    "many disclosures": with_presentation("a.b.c" + "~WyJhIiwiYiIsMV0" * 20_000 + "~"),
    "a presentation of dots": with_presentation("." * 200_000),
    "deep JSON in a credential": with_presentation(
        b64url_encode(b"[" * DEEP + b"]" * DEEP) + ".e30.AA~"
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_answer_ends_the_transaction(world: VerifierWorld, name: str) -> None:
    """C-31, S-20, S-21, V-41, V-60: refused at once, and the asker is told."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    body = sealed(asked, ANSWERS[name](asked))
    assert within_bounds(lambda: wallet.post(asked, body)).status == 400
    assert world.result(started)["state"] == "rejected"


@pytest.mark.parametrize("first", [b"\x81", b"\xd8\x18", b"\xa1\x00", b"\x9f"])
def test_a_deep_mdoc_ends_the_transaction(world: VerifierWorld, first: bytes) -> None:
    """S-21, V-60: arrays, tags, maps and arrays without end, one in the other."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    content = {
        "state": asked.request.state,
        "vp_token": {"pid_mdoc": [b64url_encode(first * DEEP + b"\x00")]},
    }
    body = sealed(asked, json.dumps(content).encode())
    assert within_bounds(lambda: wallet.post(asked, body)).status == 400
    assert world.result(started)["state"] == "rejected"
