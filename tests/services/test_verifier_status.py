"""What a status list says, and every way in which it can say nothing: never merged."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from shared.formats.status_list import StatusReference
from shared.trust import Role
from tests.support.clock import NOW
from tests.support.verifier import LIST_URI, HolderWallet, VerifierWorld, signer
from verifier_service.queries import BUILT_IN

TOLERANT = json.loads((BUILT_IN / "over_18.json").read_text()) | {
    "id": "over_18_tolerant",
    "status_unknown": "accept",
}
TENANTS = {"counter": {"queries": ["over_18", "over_18_tolerant"]}}


@pytest.fixture
def world(empty_database_url: str, tmp_path: Any) -> Iterator[VerifierWorld]:
    with VerifierWorld.make(
        tmp_path, empty_database_url, tenants=TENANTS, queries=[TOLERANT]
    ) as made:
        yield made


def check(world: VerifierWorld, query: str = "over_18", **changes: Any) -> tuple[int, Any]:
    started = world.start(query)
    wallet = HolderWallet(world)
    credential = wallet.credential(**changes)
    answer = wallet.answer(wallet.open(started["link"]), credential=credential)
    return answer.status, world.result(started)["verdict"]


@pytest.mark.parametrize(
    ("value", "status", "reason"),
    [(1, "revoked", "revoked"), (2, "suspended", "suspended"), (3, "revoked", "revoked")],
)
def test_a_credential_that_is_no_longer_good_is_refused(
    world: VerifierWorld, value: int, status: str, reason: str
) -> None:
    """F-VC-05, ST-50, V-63: revoked, suspended apart, in any policy; unknown is revoked."""
    world.statuses.set(7, value)
    for query in ("over_18", "over_18_tolerant"):
        code, verdict = check(world, query)
        assert (code, verdict["accepted"], verdict["reason"]) == (400, False, reason)
        assert verdict["credentials"][0]["status"] == status


def test_a_revocation_is_noticed_when_the_list_is_renewed(world: VerifierWorld) -> None:
    """ST-52, DESIGN journey 4: within the list's lifetime; until then the cache answers."""
    assert check(world)[0] == 200
    world.statuses.set(7, 1)
    assert check(world)[0] == 200
    world.clock.advance(seconds=61)
    assert check(world)[1]["reason"] == "revoked"


def test_presentations_cause_no_fetch_for_a_list_that_is_known(world: VerifierWorld) -> None:
    """S-41, DESIGN 6: one fetch, however many presentations."""
    for _ in range(5):
        assert check(world)[0] == 200
    assert world.statuses.publisher.fetches == 1


def unreachable(world: VerifierWorld) -> None:
    world.statuses.publisher.down = True


def missing(world: VerifierWorld) -> None:
    world.statuses.publisher.documents.clear()


def expired(world: VerifierWorld) -> None:
    world.statuses.publish(now=NOW - timedelta(days=2), expires_in=timedelta(days=1))


def not_a_list(world: VerifierWorld) -> None:
    world.statuses.publisher.documents[LIST_URI] = b"nonsense"


def of_another_uri(world: VerifierWorld) -> None:
    world.statuses.publish(uri="https://issuer.example/registry/statuslists/2")


def by_a_credential_key(world: VerifierWorld) -> None:
    world.statuses.publish(key=signer(Role.CREDENTIAL))


UNKNOWN: list[tuple[Callable[[VerifierWorld], None], str]] = [
    (unreachable, "list_unreachable"),
    (missing, "list_unreachable"),
    (expired, "list_expired"),
    (not_a_list, "list_unreadable"),
    (of_another_uri, "list_unreadable"),
    (by_a_credential_key, "list_unreadable"),
]


@pytest.mark.parametrize(("make", "status"), UNKNOWN)
def test_an_unknown_status_is_said_as_such(
    world: VerifierWorld, make: Callable[[VerifierWorld], None], status: str
) -> None:
    """ST-51, ST-54, PAIN_POINTS 2.4: refused by default, accepted where the query says so."""
    make(world)
    code, verdict = check(world)
    assert (code, verdict["reason"]) == (400, "status_unavailable")
    assert verdict["credentials"][0]["status"] == status
    code, verdict = check(world, "over_18_tolerant")
    assert (code, verdict["accepted"]) == (200, True)
    (credential,) = verdict["credentials"]
    assert credential["status"] == status
    assert credential["checks"][-1] == {"check": "status", "result": "unknown"}


def test_a_list_that_ends_while_its_publisher_is_down_is_expired(world: VerifierWorld) -> None:
    """ST-52: used past its ttl until its `exp`, then it says nothing more."""
    world.statuses.publish(expires_in=timedelta(hours=1))
    assert check(world)[0] == 200
    world.statuses.publisher.down = True
    world.clock.advance(minutes=30)
    assert check(world)[0] == 200
    world.clock.advance(minutes=31)
    code, verdict = check(world)
    assert (code, verdict["reason"]) == (400, "status_unavailable")
    assert verdict["credentials"][0]["status"] in {"list_unreachable", "list_expired"}


def test_an_older_list_does_not_unrevoke(world: VerifierWorld) -> None:
    """DESIGN 7: the newest `iat` of each list is remembered, in the database."""
    old = dict(world.statuses.publisher.documents)
    world.clock.advance(seconds=61)
    world.statuses.set(7, 1)
    assert check(world)[1]["reason"] == "revoked"
    world.statuses.publisher.documents.update(old)
    world.clock.advance(seconds=61)
    assert check(world)[1]["reason"] == "revoked"  # a cache that lags makes nothing unreadable


def test_an_index_outside_of_its_list_is_refused_in_any_policy(world: VerifierWorld) -> None:
    """ST-53."""
    for query in ("over_18", "over_18_tolerant"):
        code, verdict = check(world, query, status=StatusReference(2_000_000, LIST_URI))
        assert code == 400
        assert verdict["credentials"][0]["status"] == "outside_list"


def test_a_credential_without_status_is_limited_by_its_dates(world: VerifierWorld) -> None:
    """I-110: `exp` alone is allowed; nothing is called valid that was not looked up."""
    code, verdict = check(world, status=None)
    assert code == 200
    assert verdict["credentials"][0]["status"] == "none"
    assert world.statuses.publisher.fetches == 0


def test_no_list_is_asked_about_a_credential_that_failed_before(world: VerifierWorld) -> None:
    """ST-50: validity first; a list is not fetched because somebody sent nonsense."""
    past: dict[str, Any] = {
        "issued_at": NOW - timedelta(days=3),
        "expires_at": NOW - timedelta(days=1),
    }
    assert check(world, **past)[1]["reason"] == "expired"
    assert world.statuses.publisher.fetches == 0
