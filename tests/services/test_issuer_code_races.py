"""Of two at once one wins: authorization requests, codes, refresh tokens, proofs (S-02)."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from issuer_service import authorizations
from issuer_service.authorizations import RequestGone
from tests.support.attested import CLIENT_ID, AttestedWallet
from tests.support.issuer import TENANT, IssuerWorld, sample_register

from .test_issuer_races import THREADS, at_once

STRICT: dict[str, Any] = {**TENANT, "wallets_without_attestation": False}


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    register = sample_register(folder)
    made = IssuerWorld.make(folder, database_url, register=register, tenants=(STRICT,))
    yield made
    made.close()


def _instances(wallet: AttestedWallet) -> list[AttestedWallet]:
    """The same instance of the wallet, on as many threads."""
    found = []
    for number in range(THREADS):
        each = AttestedWallet(wallet.world)
        each.key, each.instance, each.verifier = wallet.key, wallet.instance, wallet.verifier
        each.random_bytes.seed = f"{wallet.key.kid} {number}"
        found.append(each)
    return found


def test_a_request_is_completed_once(world: IssuerWorld) -> None:
    """I-46, S-02: whoever agrees, refuses or agrees again at the same moment; one code."""
    wallet = AttestedWallet(world)
    request = wallet.begin(wallet.push().json()["request_uri"])

    def act(number: int) -> str:
        try:
            if number % 2:
                return authorizations.grant(world.issuer, request, subject="AV-000001")
            return authorizations.refuse(world.issuer, request, error="access_denied")
        except RequestGone:
            return "gone"

    answers = at_once(act)
    assert answers.count("gone") == THREADS - 1


def test_a_request_is_opened_by_all(world: IssuerWorld) -> None:
    """I-46, T-02: the first page starts the login's time once, and no other is refused."""
    wallet = AttestedWallet(world)
    uri = wallet.push().json()["request_uri"]
    opened = at_once(lambda _: wallet.begin(uri))
    assert len({each.expires_at for each in opened}) == 1


def test_a_code_is_exchanged_once_and_its_replay_stops_it(world: IssuerWorld) -> None:
    """T-03, I-48, S-02: one answer carries a token, and since the code came again it is dead."""
    wallet = AttestedWallet(world)
    code = wallet.code()
    wallets = _instances(wallet)
    grants, refreshes = world.count("grants"), world.count("refresh_tokens")
    answers = at_once(lambda number: wallets[number].exchange(code))
    assert Counter(each.status for each in answers) == {200: 1, 400: THREADS - 1}
    assert {each.json().get("error") for each in answers} == {None, "invalid_grant"}
    assert world.count("grants") == grants + 1
    assert world.count("refresh_tokens") == refreshes + 1
    body = next(each for each in answers if each.status == 200).json()
    refused = wallet.request(body["access_token"], wallet.credential_request("pid_sd_jwt"))
    assert refused.status == 401
    assert wallet.refresh(body["refresh_token"]).status == 400


def test_an_offer_with_login_is_taken_by_one_code(world: IssuerWorld) -> None:
    """I-21, S-02: many codes of one offer, one token."""
    offer = world.offer("pid_sd_jwt", subject="AV-000009", grant="authorization_code")
    state = offer["credential_offer"]["grants"]["authorization_code"]["issuer_state"]
    wallets = [AttestedWallet(world) for _ in range(THREADS)]
    codes = [each.code("AV-000009", issuer_state=state) for each in wallets]
    answers = at_once(lambda number: wallets[number].exchange(codes[number]))
    assert Counter(each.status for each in answers) == {200: 1, 400: THREADS - 1}
    assert {each.json().get("error") for each in answers} == {None, "invalid_grant"}


def test_a_refresh_token_serves_all_its_requests(world: IssuerWorld) -> None:
    """I-54: no rotation, so nobody loses; each proof is good once."""
    wallet = AttestedWallet(world)
    token = str(wallet.tokens()["refresh_token"])
    wallets = _instances(wallet)
    before = world.count("grants")
    answers = at_once(lambda number: wallets[number].refresh(token))
    assert Counter(each.status for each in answers) == {200: THREADS}
    assert len({each.json()["access_token"] for each in answers}) == THREADS
    assert world.count("grants") == before + THREADS


def test_a_pop_serves_one_request(world: IssuerWorld) -> None:
    """I-32, S-02: the same PoP on as many threads, each with a DPoP proof of its own."""
    wallet = AttestedWallet(world)
    token = str(wallet.tokens()["refresh_token"])
    attested = wallet.attested()
    headers = [{"DPoP": each.dpop("token"), **attested} for each in _instances(wallet)]
    before = world.count("grants")
    answers = at_once(lambda number: wallet.refresh(token, headers=headers[number]))
    assert Counter(each.status for each in answers) == {200: 1, 401: THREADS - 1}
    assert world.count("grants") == before + 1


def test_a_challenge_serves_many(world: IssuerWorld) -> None:
    """I-26: a challenge is reusable; what is good once is the PoP made with it."""
    wallet = AttestedWallet(world)
    challenge = world.client.post("/registry/challenge").json()["attestation_challenge"]
    headers = [
        {"DPoP": each.dpop("par"), **each.attested(challenge=challenge)}
        for each in _instances(wallet)
    ]
    before = world.count("authorizations")
    answers = at_once(lambda number: wallet.push(headers=headers[number]))
    assert Counter(each.status for each in answers) == {201: THREADS}
    assert world.count("authorizations") == before + THREADS


def test_a_token_given_back_leaves_none_behind(world: IssuerWorld) -> None:
    """RFC 7009, S-02: whatever refreshes at the same moment, no access token survives."""
    for _ in range(3):
        wallet = AttestedWallet(world)
        token = str(wallet.tokens()["refresh_token"])
        wallets = _instances(wallet)
        revoking = wallets[0].attested()

        def act(number: int) -> Any:
            if number == 0:
                return wallet.post("revoke", {"token": token}, revoking)  # noqa: B023
            return wallets[number].refresh(token)  # noqa: B023

        answers = at_once(act)
        assert answers[0].status == 200
        for each in answers[1:]:
            assert each.status in {200, 400}
            if each.status == 200:
                body = wallet.credential_request("pid_sd_jwt", client_id=CLIENT_ID)
                assert wallet.request(each.json()["access_token"], body).status == 401
