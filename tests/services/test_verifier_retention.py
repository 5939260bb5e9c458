"""What is kept, for how long, and who could read it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from shared.crypto.keys import PublicKey
from shared.errors import VerificationError
from shared.jose import jws
from shared.runtime.fetch import Fetcher, FetchPolicy
from tests.support.clock import NOW
from tests.support.verifier import (
    PUBLIC_URL,
    RETURN_URL,
    HolderWallet,
    VerifierWorld,
    response_code,
)
from verifier_service import tables
from verifier_service.app import make_jobs
from verifier_service.results import RECEIPT_TYP
from verifier_service.retention import erase_due
from verifier_service.secrets import open_claims


def receipt(world: VerifierWorld, token: str) -> object:
    """What a deletion receipt is about, verified with the published key."""
    jwk = world.client.get("/counter/jwks").json()["keys"][0]
    claims = jws.verify_jwt(
        token, key=PublicKey.from_jwk(jwk), typ=RECEIPT_TYP, algorithms=("ES256",)
    ).claims
    assert claims["iss"] == f"{PUBLIC_URL}/counter"
    assert claims["erased"] == ["keys", "verdict", "claims"]
    return claims["sub"]


PRIVATE = ("Möbius", "Erika", "1964-08-12", "Köln")


@pytest.fixture
def world(empty_database_url: str, tmp_path: Any) -> Iterator[VerifierWorld]:
    with VerifierWorld.make(tmp_path, empty_database_url) as made:
        yield made


def verified(world: VerifierWorld, **asked: Any) -> dict[str, Any]:
    started = world.start("identity", **asked)
    wallet = HolderWallet(world)
    answer = wallet.answer(wallet.open(started["link"]))
    assert answer.status == 200
    if asked.get("flow") == "same_device":
        world.come_back(started, response_code(answer.json()["redirect_uri"]))
    return started


def everything(world: VerifierWorld) -> bytes:
    """All that lies in the database, as bytes."""
    found: list[str] = []
    with world.verifier.database.reading() as connection:
        for table in tables.metadata.sorted_tables:
            for row in connection.execute(table.select()):
                found += [
                    each.decode("latin-1") if isinstance(each, bytes) else str(each) for each in row
                ]
    return "\n".join(found).encode()


def count(world: VerifierWorld) -> int:
    with world.verifier.database.reading() as connection:
        return int(
            connection.execute(select(func.count()).select_from(tables.transactions)).scalar_one()
        )


def test_the_database_alone_never_shows_claims(world: VerifierWorld) -> None:
    """DESIGN 6.2, V-63, S-43: only the secret opens them; keys, nonce and status index are gone."""
    started = verified(world)
    content = everything(world)
    for each in PRIVATE:
        assert each.encode() not in content
        assert each.encode("latin-1", "replace") not in content
    row = world.row(started)
    assert row.request_object is None
    assert row.sealed_request is None
    assert started["secret"].encode() not in content
    with pytest.raises(VerificationError):
        open_claims("another", row.sealed_claims, tenant="counter", transaction_id=row.id)
    with pytest.raises(VerificationError):
        open_claims(
            started["secret"], row.sealed_claims, tenant="counter", transaction_id="trx_other"
        )


def test_the_stored_size_tells_little_about_the_claims(world: VerifierWorld) -> None:
    """WALLET_SECURITY 2, as for wallets: sealed rows come in size classes."""
    first = world.row(verified(world)).sealed_claims
    wallet = HolderWallet(world)
    wallet.claims["family_name"] = "Nguyễn Phúc"
    started = world.start("identity")
    wallet.answer(wallet.open(started["link"]))
    assert len(world.row(started).sealed_claims) == len(first)


@pytest.mark.parametrize("flow", ["cross_device", "same_device"])
def test_claims_are_erased_and_the_result_outlives_them(world: VerifierWorld, flow: str) -> None:
    """DESIGN 6.2: after the query's retention; the row after the result's, audit rows stay."""
    asked = {"flow": flow} | ({"return_url": RETURN_URL} if flow == "same_device" else {})
    started = verified(world, **asked)
    assert erase_due(world.verifier, world.clock()) == 1  # recorded
    assert "claims" in world.result(started)
    world.clock.advance(minutes=30)
    assert "claims" not in world.result(started)  # before any job
    assert world.row(started).sealed_claims is not None
    erase_due(world.verifier, world.clock())
    row = world.row(started)
    assert (row.sealed_claims, row.claims_until) == (None, None)
    result = world.result(started)
    assert (result["state"], result["verdict"]["accepted"]) == ("verified", True)
    world.clock.advance(days=31)
    erase_due(world.verifier, world.clock())
    assert world.call("GET", started).status == 404
    assert count(world) == 0
    assert {"start", "end"} <= {each.act for each in audit(world)}


def audit(world: VerifierWorld) -> list[Any]:
    with world.verifier.database.reading() as connection:
        order = tables.audit.c.at, tables.audit.c.id
        return list(connection.execute(tables.audit.select().order_by(*order)))


def test_each_act_reaches_the_audit_trail_without_personal_data(world: VerifierWorld) -> None:
    """DESIGN 7: who asked for which purpose, how it ended, who released or erased it."""
    bound = verified(world, flow="same_device", return_url=RETURN_URL)
    refused = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(refused["link"])
    wallet.post(asked, f"error=access_denied&state={asked.request.state}".encode())
    unanswered = world.start("over_18")
    world.clock.advance(minutes=6)
    assert world.call("DELETE", bound).status == 200
    erase_due(world.verifier, world.clock())
    erase_due(world.verifier, world.clock())
    rows = {(each.subject, each.act): each for each in audit(world)}
    names = {
        bound["transaction_id"]: "bound",
        refused["transaction_id"]: "refused",
        unanswered["transaction_id"]: "unanswered",
    }
    told = {(names[who], act, row.actor, row.reason) for (who, act), row in rows.items()}
    assert told == {
        ("bound", "start", world.client_id, None),
        ("bound", "release", world.client_id, None),
        ("bound", "delete", world.client_id, None),
        ("bound", "end", "wallet", "deleted"),
        ("refused", "start", world.client_id, None),
        ("refused", "end", "wallet", "refused"),
        ("unanswered", "start", world.client_id, None),
        ("unanswered", "end", "time", "expired"),
    }
    assert {row.purpose for row in rows.values()} == {"identification", "proof_of_age"}
    assert all(row.tenant == "counter" for row in rows.values())


def test_deletion_erases_at_once(world: VerifierWorld) -> None:
    """Issue item 7: on request; open or ended; the wallet's answer is then refused."""
    ended = verified(world)
    opened = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(opened["link"])
    body = wallet.encrypt(asked, wallet.present(asked))
    for each in (ended, opened):
        deleted = world.call("DELETE", each)
        assert deleted.status == 200
        assert receipt(world, deleted.json()["receipt"]) == each["transaction_id"]
        assert world.call("GET", each).status == 404
        assert world.call("DELETE", each).status == 404
        row = world.row(each)
        assert (row.sealed_claims, row.outcome, row.request_object) == (None, None, None)
        assert row.sealed_request is None
    assert wallet.post(asked, body).status == 400
    assert wallet.fetch(opened["link"])[1].status == 410


def test_an_unanswered_request_loses_its_keys(world: VerifierWorld) -> None:
    """V-03, V-21, S-03: expired, and the decryption key is deleted."""
    started = world.start("over_18")
    assert world.row(started).sealed_request is not None
    world.clock.advance(minutes=5)
    jobs = make_jobs(world.verifier, Fetcher(FetchPolicy()))
    jobs.prepare()
    jobs.run_due()
    row = world.row(started)
    assert (row.state, row.sealed_request, row.request_object) == ("expired", None, None)
    assert world.result(started)["state"] == "expired"


def test_the_job_works_in_portions_and_twice_does_nothing(
    world: VerifierWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-03: any number of rows; a run that is repeated finds nothing."""
    for _ in range(7):
        world.start("over_18")
    world.clock.advance(minutes=5)
    assert erase_due(world.verifier, world.clock()) == 14  # expired, recorded
    assert erase_due(world.verifier, world.clock()) == 0
    assert len(audit(world)) == 14
    world.clock.advance(days=31)
    assert erase_due(world.verifier, world.clock()) == 7
    assert count(world) == 0


def test_a_decryption_key_at_rest_opens_only_where_it_belongs(world: VerifierWorld) -> None:
    """S-30, DESIGN 7: sealed under the service's key, bound to tenant and request."""
    started = world.start("over_18")
    row = world.row(started)
    with pytest.raises(VerificationError):
        world.verifier.keys.open(row.sealed_request, aad=b"elsewhere")


def test_what_is_due_later_is_left_alone(world: VerifierWorld) -> None:
    """DESIGN 6.2: nothing is erased early."""
    started = verified(world)
    erase_due(world.verifier, world.clock())
    world.clock.advance(timedelta(minutes=29))
    assert erase_due(world.verifier, world.clock()) == 0
    assert "claims" in world.result(started)
    assert world.clock() > NOW
