"""Of two at once one wins: codes, nonces, keys, places, moves, with threads on both databases
(S-02)."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from issuer_service.indexes import Indexes
from tests.support.issuer import IssuerWorld, Wallet, sample_register

THREADS = 8


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(folder, database_url, register=sample_register(folder))
    yield made
    made.close()


def at_once(act: Callable[[int], Any], times: int = THREADS) -> list[Any]:
    """What *act* answered when it was called *times* times at the same moment."""
    gate = Barrier(times)

    def run(number: int) -> Any:
        gate.wait()
        return act(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))


def test_a_code_is_redeemed_by_one(world: IssuerWorld) -> None:
    """S-02, T-03: one token for one code."""
    offer = world.offer("pid_sd_jwt", subject="AV-000001")
    wallets = [Wallet(world) for _ in range(THREADS)]
    before = world.count("grants")
    found = Counter(each.status for each in at_once(lambda number: wallets[number].token(offer)))
    assert found == {200: 1, 400: THREADS - 1}
    assert world.count("grants") == before + 1


def test_five_guesses_are_five_however_many_come_at_once(world: IssuerWorld) -> None:
    """I-51, S-21: the count is in the statement that judges the guess."""
    offer = world.offer("pid_sd_jwt", subject="AV-000001")
    wallets = [Wallet(world) for _ in range(THREADS)]
    at_once(lambda number: wallets[number].token(offer, tx_code=f"guess{number}"))
    with world.issuer.database.reading() as connection:
        tries = connection.exec_driver_sql(
            f"SELECT tries FROM offers WHERE id = '{offer['offer_id']}'"  # noqa: S608
        ).scalar_one()
    assert tries == 5
    assert wallets[0].token(offer).status == 400


def test_a_nonce_serves_one_request(world: IssuerWorld) -> None:
    """I-61, S-02: also when other wallets hold other tokens."""
    wallets = [Wallet(world) for _ in range(THREADS)]
    tokens = [w.redeem(world.offer("pid_sd_jwt", subject="AV-000001")) for w in wallets]
    nonce = wallets[0].nonce()
    bodies = [
        {
            "credential_configuration_id": "pid_sd_jwt",
            "proofs": {"jwt": [each.proof(nonce=nonce)]},
        }
        for each in wallets
    ]
    before = world.count("copies")
    answers = at_once(lambda number: wallets[number].request(tokens[number], bodies[number]))
    assert Counter(each.status for each in answers) == {200: 1, 400: THREADS - 1}
    assert {each.json().get("error") for each in answers} == {None, "invalid_nonce"}
    assert world.count("copies") == before + 1


def test_a_proof_serves_one_request(world: IssuerWorld) -> None:
    """T-04, S-02: the DPoP jti, at the resource."""
    wallet = Wallet(world)
    token = wallet.redeem(world.offer("pid_sd_jwt", subject="AV-000001"))
    bodies = [wallet.credential_request("pid_sd_jwt") for _ in range(THREADS)]
    proof = wallet.dpop("credential", access_token=token)
    answers = at_once(lambda number: wallet.request(token, bodies[number], dpop=proof))
    assert Counter(each.status for each in answers) == {200: 1, 401: THREADS - 1}


def test_a_key_makes_one_offer(world: IssuerWorld) -> None:
    """DESIGN: the same Idempotency-Key at once gives everybody the same offer."""
    body = {"credentials": ["pid_sd_jwt"], "subject": "AV-000001"}
    before = world.count("offers")
    answers = at_once(lambda _: world.api("POST", "/offers", body, idempotency_key="at-once"))
    assert {each.status for each in answers} == {201}
    assert len({each.json()["offer_id"] for each in answers}) == 1
    assert world.count("offers") == before + 1


def test_no_place_is_given_twice_by_two_processes(world: IssuerWorld) -> None:
    """ST-31: leases of several processes on several threads never overlap."""
    processes = [
        Indexes(world.issuer.database, key=b"k" * 32, size=2**17, block=20) for _ in range(2)
    ]
    now = world.clock()

    def take(number: int) -> list[tuple[int, int]]:
        found = []
        for _ in range(30):
            taken = processes[number % 2].take(
                "race",
                ttl=60,
                count=3,
                now=now,
                needed_until=now,
                first_token=lambda number: {"token": str(number)},
            )
            found += [(taken.number, index) for index in taken.indexes]
        return found

    places = [place for each in at_once(take) for place in each]
    assert len(set(places)) == len(places) == THREADS * 90


def test_a_cancelled_offer_and_its_credential_exclude_each_other(world: IssuerWorld) -> None:
    """Issue 1, item 5: either it was collected, or it was cancelled; never both."""
    for _ in range(5):
        wallet = Wallet(world)
        offer = world.offer("pid_sd_jwt", subject="AV-000001")
        token = wallet.redeem(offer)
        body = wallet.credential_request("pid_sd_jwt")
        proof = wallet.dpop("credential", access_token=token)

        def act(number: int) -> Any:
            if number:
                return world.api("POST", f"/offers/{offer['offer_id']}/cancel")  # noqa: B023
            return wallet.request(token, body, dpop=proof)  # noqa: B023

        issued, cancelled = at_once(act, 2)
        assert (issued.status, cancelled.status) in {(200, 409), (401, 200)}


def test_of_two_clerks_one_moves(world: IssuerWorld) -> None:
    """I-113: two moves at once leave one state, and the audit says which."""
    Wallet(world).collect("pid_sd_jwt", subject="AV-000060")
    found = world.api("POST", "/issuances/find", {"subject": "AV-000060"}).json()["issuances"][0]
    path = f"/issuances/{found['issuance_id']}/suspend"
    answers = at_once(lambda _: world.api("POST", path, {"reason": "under_review"}))
    assert Counter(each.status for each in answers) == {200: 1, 409: THREADS - 1}


def test_everything_about_a_person_is_revoked_whatever_another_clerk_does(
    world: IssuerWorld,
) -> None:
    """I-113: a suspension at the same moment hides nothing from the revocation."""
    person = {"subject": "AV-000061"}
    for _ in range(4):
        held = [
            Wallet(world).collect("pid_sd_jwt", subject="AV-000061")[0]["offer_id"]
            for _ in range(3)
        ]
        found = world.api("POST", "/issuances/find", person).json()["issuances"]
        ids = [each["issuance_id"] for each in found if each["offer_id"] in held]

        def act(number: int) -> Any:
            if number == len(ids):  # noqa: B023
                return world.api("POST", "/issuances/revoke", {**person, "reason": "withdrawn"})
            body = {"reason": "under_review"}
            return world.api("POST", f"/issuances/{ids[number]}/suspend", body)  # noqa: B023

        answers = at_once(act, len(ids) + 1)
        assert answers[-1].status == 200
        after = world.api("POST", "/issuances/find", person).json()["issuances"]
        assert {each["state"] for each in after} == {"revoked"}
