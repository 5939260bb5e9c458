"""Signing in at an agency, deferral, renewal, and every way in which each must stop."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import func, select, update
from starlette.responses import JSONResponse, Response

from shared.demo.phone import Phone, Refused
from shared.formats.status_list import StatusReference, verify_token
from shared.trust import Role
from tests.support.asgi import AsgiClient
from tests.support.strict_issuer import CONFIGURATIONS, MDOC, StrictIssuer
from tests.support.trust import PID, SD_JWT, trust_list
from tests.support.wallet import CLAIMS, IDENTITY, WALLET, WalletWorld, agencies, refused
from wallet_service import provider_status, refresh_tokens
from wallet_service.cleaning import clean
from wallet_service.tables import (
    attestation_status,
    callbacks,
    copies,
    issuances,
    renewals,
    spare_keys,
)

SUITE = "https://suite.example"
AT_ONCE = 8
DOWN = Response(status_code=503)


@pytest.fixture
def suite(world: WalletWorld) -> Iterator[Callable[..., StrictIssuer]]:
    """Makes an issuer at suite.example, which the trust list knows."""
    transport: Any = world.wallet.fetcher._pool
    clients: list[AsgiClient] = []

    def make(**variant: Any) -> StrictIssuer:
        provider = agencies().provider
        made = StrictIssuer(
            f"{SUITE}/test/a/{len(clients)}/",
            clock=world.clock,
            wallet=WALLET,
            anchors=provider.authorities[Role.WALLET_PROVIDER].anchors,
            **variant,
        )
        clients.append(AsgiClient(made.app(), base_url=SUITE))
        clients[-1]._thread.start()
        transport.services[SUITE] = clients[-1]
        held = agencies().registry.entry(), agencies().counter.entry(), provider.entry()
        world.trust.held = trust_list(*held, made.entry())
        return made

    yield make
    for each in clients:
        each._loop.call_soon_threadsafe(each._loop.stop)
        each._thread.join(timeout=60)
        each._loop.close()
    transport.services.pop(SUITE, None)


Make = Callable[..., StrictIssuer]


def at_once(act: Callable[[], Any]) -> list[Any]:
    """What each of several equal calls at the same moment gave: an answer or a code."""
    barrier = Barrier(AT_ONCE)

    def run(_: int) -> Any:
        barrier.wait(timeout=30)
        try:
            return act()
        except Refused as error:
            return error.code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(run, range(AT_ONCE)))


def signed_in(phone: Phone, issuer: StrictIssuer) -> dict[str, Any]:
    return phone.sign_in(phone.scan(issuer.offer()), issuer.browse)


def receive(phone: Phone, issuer: StrictIssuer) -> str:
    (card,) = phone.keep(phone.accept(signed_in(phone, issuer))["id"])
    return card


def count(world: WalletWorld, table: Any, *where: Any) -> int:
    with world.wallet.database.reading() as connection:
        return int(
            connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one()
        )


# -- The sign-in belongs to one browser ------------------------------------------------------------


def test_a_callback_in_another_session_or_wallet_calls_nothing(
    world: WalletWorld, suite: Make
) -> None:
    """W-12; issuance fixation (WALLET_SECURITY 6, A7): bound to wallet and browser session."""
    issuer, phone = suite(), world.new_phone()
    flow = phone.scan(issuer.offer())
    url = phone._post(f"/issuances/{flow['id']}/authorize")["authorize_url"]
    back = {"parameters": issuer.browse(url)}
    called = list(issuer.calls)
    # 1. Another citizen is led to the callback of an attacker's sign-in.
    assert (
        refused(lambda: world.new_phone()._post("/issuances/callback", back)) == "foreign_callback"
    )
    # 2. The same wallet in another session.
    first_token = phone._token
    phone.open()
    assert refused(lambda: phone._post("/issuances/callback", back)) == "foreign_callback"
    assert issuer.calls == called
    # 3. The session that began: once.
    phone._token = first_token
    assert phone._post("/issuances/callback", back)["step"] == "preview"
    assert refused(lambda: phone._post("/issuances/callback", back)) == "foreign_callback"
    assert issuer.faults == []


def test_of_many_callbacks_one_redeems_the_code(world: WalletWorld, suite: Make) -> None:
    """W-12, S-02: one token request for a code, whoever comes first."""
    issuer, phone = suite(dpop_nonces=False), world.new_phone()
    flow = phone.scan(issuer.offer())
    url = phone._post(f"/issuances/{flow['id']}/authorize")["authorize_url"]
    back = {"parameters": issuer.browse(url)}
    found = at_once(lambda: phone._post("/issuances/callback", back)["step"])
    assert found.count("preview") == 1
    assert set(found) <= {"preview", "foreign_callback", "step_changed"}
    assert issuer.calls.count("token") == 1
    assert count(world, callbacks) == 0


def test_only_the_newest_sign_in_is_waited_for(world: WalletWorld, suite: Make) -> None:
    """W-11: fresh state and PKCE for each request; the older way back is closed."""
    issuer, phone = suite(), world.new_phone()
    flow = phone.scan(issuer.offer())
    place = f"/issuances/{flow['id']}/authorize"
    old, new = (issuer.browse(phone._post(place)["authorize_url"]) for _ in range(2))
    callback = "/issuances/callback"
    assert refused(lambda: phone._post(callback, {"parameters": old})) == "foreign_callback"
    assert phone._post(callback, {"parameters": new})["step"] == "preview"
    challenges = {each["code_challenge"] for each in issuer.pushed.values()}
    assert len(challenges) == 2
    assert issuer.faults == []


def test_a_sign_in_ends_with_its_time(world: WalletWorld, suite: Make) -> None:
    """S-03."""
    issuer, phone = suite(), world.new_phone()
    flow = phone.scan(issuer.offer())
    url = phone._post(f"/issuances/{flow['id']}/authorize")["authorize_url"]
    with world.wallet.database.single() as connection:
        connection.execute(update(callbacks).values(expires_at=world.clock()))
    back = {"parameters": issuer.browse(url)}
    assert refused(lambda: phone._post("/issuances/callback", back)) == "foreign_callback"
    assert "token" not in issuer.calls


def test_a_lost_token_answer_means_signing_in_again(world: WalletWorld, suite: Make) -> None:
    """W-12: one token request per code, also when its answer was lost."""
    issuer, phone = suite(dpop_nonces=False), world.new_phone()
    issuer.interrupt = lambda name: Response(status_code=503) if name == "token" else None
    flow = phone.scan(issuer.offer())
    assert refused(lambda: phone.sign_in(flow, issuer.browse)) == "unavailable"
    found = phone._get(f"/issuances/{flow['id']}")
    assert (found["step"], found["allowed_actions"]) == (
        "redeeming",
        ["accept", "authorize", "refuse"],
    )
    issuer.interrupt = lambda _: None
    assert phone.keep(phone.accept(phone.sign_in(found, issuer.browse))["id"])
    assert issuer.faults == []


def test_a_refused_code_leads_back_to_the_sign_in(world: WalletWorld, suite: Make) -> None:
    """W-12, W-13."""
    issuer, phone = suite(), world.new_phone()
    issuer.back = lambda found: {**found, "code": "another"}
    flow = phone.scan(issuer.offer())
    assert refused(lambda: phone.sign_in(flow, issuer.browse)) == "code_refused"
    found = phone._get(f"/issuances/{flow['id']}")
    assert (found["step"], found["reason"]) == ("sign_in", "code_refused")


def test_a_server_without_par_is_not_gone_to(world: WalletWorld, suite: Make) -> None:
    """W-10: PAR always."""
    issuer = suite()
    name = "pushed_authorization_request_endpoint"
    issuer.server = lambda found: {key: found[key] for key in found if key != name}
    assert refused(lambda: world.new_phone().scan(issuer.offer())) == "not_supported"


@pytest.mark.parametrize("kind", [SD_JWT, MDOC])
def test_yes_may_be_said_before_the_way_to_the_agency(
    world: WalletWorld, suite: Make, kind: str
) -> None:
    """W-12, W-31, ADR 0029: proofs wait for the sign-in, so who comes back sees the content."""
    issuer, phone = suite(format=kind, batch_size=3, encrypted=True), world.new_phone()
    flow = phone.accept(phone.scan(issuer.offer()))
    assert (flow["step"], flow["accepted"]) == ("sign_in", True)
    assert issuer.redeemed() == ["nonce"]
    found = phone.sign_in(flow, issuer.browse)
    assert found["step"] == "review"
    assert issuer.calls.count("nonce") == 1
    assert phone.keep(found["id"])
    assert issuer.faults == []


@pytest.mark.parametrize("error", ["invalid_nonce", "invalid_proof"])
def test_a_sign_in_that_outlives_its_proofs_asks_for_one_more_gesture(
    world: WalletWorld, suite: Make, error: str
) -> None:
    """W-31: nothing is lost, the token neither; proofs that are new and refused end it."""
    issuer, phone = suite(dpop_nonces=False), world.new_phone()
    flow = phone.accept(phone.scan(issuer.offer()))
    old = JSONResponse({"error": error}, 400)
    issuer.interrupt = lambda name: old if name == "credential" else None
    found = phone.sign_in(flow, issuer.browse)
    assert (found["step"], found["reason"]) == ("accepted", "approve_again")
    if error == "invalid_proof":
        assert refused(lambda: phone.accept(found)) == "issuer_refused"
        assert phone._get(f"/issuances/{flow['id']}")["step"] == "failed"
        return
    issuer.interrupt = lambda _: None
    assert phone.keep(phone.accept(found)["id"])
    assert issuer.calls.count("token") == 1
    assert issuer.faults == []


def test_who_signs_in_again_has_said_yes_already(world: WalletWorld, suite: Make) -> None:
    """W-12: after a refusal there, or a lost answer, no gesture more; the flow is found again."""
    issuer, phone = suite(dpop_nonces=False), world.new_phone()
    flow = phone.accept(phone.scan(issuer.offer()))
    state = {"error": "access_denied"}

    def back(found: dict[str, str]) -> dict[str, str]:
        return {**{name: text for name, text in found.items() if name != "code"}, **state}

    issuer.back = back
    found = phone.sign_in(flow, issuer.browse)
    assert (found["step"], found["reason"], found["accepted"]) == ("sign_in", "access_denied", True)
    issuer.back = lambda found: found
    issuer.interrupt = lambda name: DOWN if name == "token" else None
    assert refused(lambda: phone.sign_in(flow, issuer.browse)) == "unavailable"
    [waits] = phone.overview()["under_way"]
    assert (waits["id"], waits["step"]) == (flow["id"], "redeeming")
    issuer.interrupt = lambda _: None
    assert phone.sign_in(flow, issuer.browse)["step"] == "review"
    assert issuer.faults == []


def test_wallet_initiated_only_from_known_issuers(world: WalletWorld, suite: Make) -> None:
    """W-02: nothing is fetched from anybody else."""
    suite()
    phone = world.new_phone()
    world.seen.clear()
    wish = {"issuer": "https://evil.example", "configuration": CONFIGURATIONS[SD_JWT]}
    assert refused(lambda: phone._post("/issuances", wish)) == "unknown_agency"
    assert world.seen == []


# -- The wallet provider ---------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["use_attestation_challenge", "use_fresh_attestation"])
@pytest.mark.parametrize("cured", [True, False])
def test_a_demand_of_the_server_is_met_once(
    world: WalletWorld, suite: Make, code: str, *, cured: bool
) -> None:
    """W-23: repeated once, never for ever."""
    issuer, phone = suite(dpop_nonces=False, challenge=True), world.new_phone()
    asked: list[str] = []

    def demand(name: str) -> Response | None:
        if name != "par" or (cured and asked):
            return None
        asked.append(name)
        issuer.challenges += 1
        challenge = {"OAuth-Client-Attestation-Challenge": f"challenge-{issuer.challenges}"}
        return JSONResponse({"error": code}, 400, challenge)

    issuer.interrupt = demand
    flow = phone.scan(issuer.offer())
    if cured:
        assert phone.sign_in(flow, issuer.browse)["step"] == "preview"
        assert issuer.faults == []
    else:
        assert refused(lambda: phone.sign_in(flow, issuer.browse)) == "issuer_refused"
        assert issuer.calls.count("par") == 2


def test_whoever_blocks_a_wallet_revokes_all_that_vouches_for_it(
    world: WalletWorld, suite: Make
) -> None:
    """E-03, TS3 2.4: shown in the provider's own list; nothing is attested any more."""
    issuer, phone = suite(refresh=True), world.new_phone()
    receive(phone, issuer)
    other = world.new_phone()
    receive(other, issuer)
    places = [each["client_status"]["status"]["status_list"] for each in issuer.attested]
    lists = world.wallet.provider.lists

    def states() -> dict[int, int]:
        world.clock.advance(seconds=2)
        lists.publish(world.clock())
        answer = world.client.get("/statuslists/1")
        assert answer.headers["content-type"] == "application/statuslist+jwt"
        verified = verify_token(
            answer.text,
            uri=places[0]["uri"],
            anchors=agencies().provider.authorities[Role.STATUS].anchors,
            now=world.clock(),
            algorithms=("ES256",),
            newest=None,
        )
        return {each["idx"]: verified.list.get(each["idx"]) for each in places}

    mine, others = (each["idx"] for each in (places[0], places[-1]))
    assert states()[mine] == 0
    with world.wallet.database.transaction() as connection:
        provider_status.suspend(connection, phone.wallet)
    assert (states()[mine], states()[others]) == (2, 0)
    with world.wallet.database.transaction() as connection:
        provider_status.reinstate(connection, phone.wallet)
    assert states()[mine] == 0
    flow = phone.scan(issuer.offer())
    url = phone._post(f"/issuances/{flow['id']}/authorize")["authorize_url"]
    with world.wallet.database.transaction() as connection:
        provider_status.revoke(connection, phone.wallet)
        provider_status.reinstate(connection, phone.wallet)
    assert (states()[mine], states()[others]) == (1, 0)
    back = {"parameters": issuer.browse(url)}
    assert refused(lambda: phone._post("/issuances/callback", back)) == "wallet_frozen"


def test_a_wallet_that_leaves_is_vouched_for_no_more(world: WalletWorld, suite: Make) -> None:
    """WALLET_SECURITY 6: deletion revokes the attestations."""
    issuer, phone = suite(), world.new_phone()
    receive(phone, issuer)
    entry = issuer.attested[0]["client_status"]["status"]["status_list"]
    place = StatusReference(entry["idx"], entry["uri"])
    assert world.wallet.provider.lists.state(place) == "valid"
    phone.delete_wallet()
    assert world.wallet.provider.lists.state(place) == "revoked"
    assert count(world, attestation_status, attestation_status.c.wallet == phone.wallet) == 0


def test_places_in_the_list_are_never_given_twice(world: WalletWorld) -> None:
    """ST-31: by many at once."""
    lists = world.wallet.provider.lists
    wallets = [f"wal_{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda each: lists.take(each, now=world.clock()), wallets))
    assert len({(each.uri, each.index) for each in taken}) == len(wallets)


def test_the_list_is_served_to_anybody_and_nothing_else(world: WalletWorld) -> None:
    """ST-40, ST-41."""
    world.wallet.provider.lists.take("wal_x", now=world.clock())
    answer = world.client.get("/statuslists/1", headers={"Accept-Encoding": "identity"})
    etag = answer.headers["etag"]
    assert world.client.get("/statuslists/1", headers={"If-None-Match": etag}).status_code == 304
    for other in ("/statuslists/99", "/statuslists/x", "/statuslists/-1"):
        assert world.client.get(other).status_code == 404


# -- Deferral, encryption, crashes -----------------------------------------------------------------


def test_of_many_who_pick_up_one_asks(world: WalletWorld, suite: Make) -> None:
    """W-40: never before the interval, and then once."""
    issuer, phone = suite(deferred=True, dpop_nonces=False), world.new_phone()
    flow = phone.accept(signed_in(phone, issuer))
    assert (flow["step"], flow["allowed_actions"]) == ("deferred", ["collect", "refuse"])
    place = f"/issuances/{flow['id']}/collect"
    assert set(at_once(lambda: phone._post(place)["step"])) == {"deferred"}
    assert issuer.calls.count("deferred") == 0
    world.clock.advance(seconds=5)
    issuer.ready = False
    at_once(lambda: phone._post(place)["step"])
    assert issuer.calls.count("deferred") == 1
    world.clock.advance(seconds=5)
    issuer.ready = True
    found = at_once(lambda: phone._post(place)["step"])
    assert issuer.calls.count("deferred") == 2
    assert found.count("review") == 1
    assert phone.keep(flow["id"])
    assert issuer.faults == []


def test_what_never_comes_ends_the_flow(world: WalletWorld, suite: Make) -> None:
    """W-40: `invalid_transaction_id` and `credential_request_denied` stop."""
    issuer, phone = suite(deferred=True), world.new_phone()
    flow = phone.accept(signed_in(phone, issuer))
    issuer.waiting.clear()
    world.clock.advance(seconds=5)
    assert refused(lambda: phone._post(f"/issuances/{flow['id']}/collect")) == "issuer_refused"
    called = len(issuer.calls)
    assert phone._get(f"/issuances/{flow['id']}")["step"] == "failed"
    world.clock.advance(minutes=5)
    phone.refresh()
    assert len(issuer.calls) == called


def test_a_deferred_answer_that_was_lost_takes_one_more_gesture(
    world: WalletWorld, suite: Make
) -> None:
    """W-40, DESIGN "Decided": it was given once, so new keys are asked for, with the same token."""
    issuer, phone = suite(deferred=True, dpop_nonces=False), world.new_phone()
    flow = phone.accept(signed_in(phone, issuer))
    place = f"/issuances/{flow['id']}"
    original = issuer._post_deferred

    def lose_the_answer(request: Any, body: bytes) -> Response:
        original(request, body)
        issuer._post_deferred = original  # type: ignore[method-assign]  # well again
        return Response(status_code=503)

    issuer._post_deferred = lose_the_answer  # type: ignore[method-assign]  # misbehaves
    world.clock.advance(seconds=5)
    assert refused(lambda: phone._post(f"{place}/collect")) == "unavailable"
    world.clock.advance(seconds=5)
    again = phone._post(f"{place}/collect")
    assert (again["step"], again["reason"]) == ("accepted", "approve_again")
    assert phone.accept(again)["step"] == "deferred"
    world.clock.advance(seconds=5)
    assert phone._post(f"{place}/collect")["step"] == "review"
    assert phone.keep(flow["id"])
    assert issuer.calls.count("token") == 1
    assert issuer.faults == []


def test_what_was_deferred_comes_when_the_wallet_is_opened(world: WalletWorld, suite: Make) -> None:
    """W-40, W-43: days later, with a token that a refresh token renewed."""
    issuer, phone = suite(deferred=True, refresh=True), world.new_phone()
    flow = phone.accept(signed_in(phone, issuer))
    phone.close()
    world.clock.advance(days=3)
    issuer.tokens.clear()
    phone.open()
    phone.refresh()
    assert phone._get(f"/issuances/{flow['id']}")["step"] == "review"
    assert phone.keep(flow["id"])


def test_a_crash_resends_the_same_encrypted_bytes(world: WalletWorld, suite: Make) -> None:
    """DESIGN "Decided": keys and step before each call, the same bytes again; W-34."""
    issuer, phone = suite(encrypted=True, dpop_nonces=False), world.new_phone()
    sent: list[bytes] = []
    original = issuer._post_credential

    def lose_the_answer(request: Any, body: bytes) -> Response:
        sent.append(body)
        if len(sent) == 1:
            return Response(status_code=503)
        return original(request, body)

    issuer._post_credential = lose_the_answer  # type: ignore[method-assign]  # misbehaves
    flow = signed_in(phone, issuer)
    assert refused(lambda: phone.accept(flow)) == "unavailable"
    assert phone._post(f"/issuances/{flow['id']}/resume")["step"] == "review"
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert issuer.faults == []


def test_an_answer_that_should_be_encrypted_and_is_not_is_refused(
    world: WalletWorld, suite: Make
) -> None:
    """W-34, W-40."""
    issuer, phone = suite(encrypted=True), world.new_phone()
    content = {"credentials": [{"credential": "x"}]}
    issuer._issue = lambda *_: JSONResponse(content)  # type: ignore[method-assign]  # misbehaves
    flow = signed_in(phone, issuer)
    assert refused(lambda: phone.accept(flow)) == "bad_answer"
    assert phone._get(f"/issuances/{flow['id']}")["step"] == "failed"


def test_a_token_that_ran_out_before_the_gesture_leads_back_to_the_sign_in(
    world: WalletWorld, suite: Make
) -> None:
    """W-13; with a refresh token nobody notices."""
    issuer, phone = suite(), world.new_phone()
    flow = signed_in(phone, issuer)
    issuer.tokens.clear()
    assert refused(lambda: phone.accept(flow)) == "code_refused"
    found = phone._get(f"/issuances/{flow['id']}")
    assert (found["step"], found["reason"]) == ("sign_in", "token_expired")
    issuer = suite(refresh=True)
    flow = signed_in(phone, issuer)
    issuer.tokens.clear()
    assert phone.keep(phone.accept(flow)["id"])


def test_key_attestations_say_nothing_untrue(world: WalletWorld, suite: Make) -> None:
    """W-33, WALLET_SECURITY 5: a level nobody certified is not claimed, so such offers are left."""
    issuer, phone = suite(), world.new_phone()
    metadata = issuer.metadata

    def demanding() -> dict[str, Any]:
        found = metadata()
        jwt = found["credential_configurations_supported"][issuer.configuration][
            "proof_types_supported"
        ]["jwt"]
        jwt["key_attestations_required"] = {"key_storage": ["iso_18045_high"]}
        return found

    issuer.metadata = demanding  # type: ignore[method-assign]  # asks for more
    assert refused(lambda: phone.scan(issuer.offer())) == "not_supported"


# -- Renewal ---------------------------------------------------------------------------------------

REFILLS = {"proof": "jwt attestation", "batch_size": 3, "refresh": True}


def spend(world: WalletWorld, phone: Phone) -> None:
    with world.wallet.database.single() as connection:
        mine = update(copies).where(copies.c.wallet == phone.wallet)
        connection.execute(mine.values(state="spent", uses=1))


@pytest.mark.parametrize("kind", [SD_JWT, MDOC])
def test_copies_are_filled_up_without_a_gesture(world: WalletWorld, suite: Make, kind: str) -> None:
    """W-43, W-45; DESIGN, journey 5: spare keys, refresh token, attestation as proof."""
    issuer, phone = suite(format=kind, encrypted=True, **REFILLS), world.new_phone()
    card = receive(phone, issuer)
    assert count(world, spare_keys, spare_keys.c.wallet == phone.wallet) == 3
    spend(world, phone)
    world.clock.advance(minutes=1)
    (found,) = phone.refresh()
    assert (found["id"], found["copies_left"]) == (card, 3)
    assert issuer.notifications == ["credential_accepted"] * 2
    assert count(world, spare_keys, spare_keys.c.wallet == phone.wallet) == 0
    assert [each["result"] for each in phone.log() if each["type"] == "issuance"] == [
        "stored",
        "renewed",
    ]
    assert issuer.faults == []
    instances = {each["cnf"]["jwk"]["x"] for each in issuer.attested}
    assert len(instances) == 1  # W-43: the same client instance


def test_refilled_copies_present_with_their_own_keys(world: WalletWorld, suite: Make) -> None:
    """S-31: what was sealed at the first gesture opens with the key of that copy."""
    issuer, phone = suite(**REFILLS), world.new_phone()
    receive(phone, issuer)
    spend(world, phone)
    world.clock.advance(minutes=1)
    phone.refresh()
    assert phone.approve(phone.resolve(world.verifier.ask(IDENTITY))).outcome == "shared"
    assert world.verifier.results[-1]["claims"]["family_name"] == "Möbius"


def test_of_many_refills_one_goes_on(world: WalletWorld, suite: Make) -> None:
    """W-43, TS3 2.2.2: an attested key is attested once."""
    issuer, phone = suite(dpop_nonces=False, **REFILLS), world.new_phone()
    receive(phone, issuer)
    spend(world, phone)
    world.clock.advance(minutes=1)
    before = issuer.calls.count("token")
    at_once(phone.refresh)
    assert issuer.calls.count("token") == before + 1
    assert len(issuer.bodies) == 2
    assert phone.cards()[0]["copies_left"] == 3


def test_what_changed_is_shown_before_the_old_card_goes(world: WalletWorld, suite: Make) -> None:
    """W-43: compare old and new values; the citizen sees the new ones first."""
    issuer, phone = suite(**REFILLS), world.new_phone()
    card = receive(phone, issuer)
    issuer.claims = {**CLAIMS[PID], "family_name": "Möbius-Neu"}
    spend(world, phone)
    world.clock.advance(minutes=1)
    phone.refresh()
    (under_way,) = phone.overview()["under_way"]
    assert under_way["step"] == "review"
    shown = [each["value"] for each in phone.card(card)["claims"]]
    assert "Möbius" in shown
    assert phone.keep(under_way["id"]) == [card]
    assert "Möbius-Neu" in [each["value"] for each in phone.card(card)["claims"]]
    assert len(phone.cards()) == 1


def test_an_old_card_is_issued_again_and_a_rotated_token_replaces_the_stored_one(
    world: WalletWorld, suite: Make
) -> None:
    """W-43: in the last quarter of its life; FAPI 5.3.3.1(6)."""
    issuer, phone = suite(rotate=True, **REFILLS), world.new_phone()
    receive(phone, issuer)
    (first,) = phone.cards()
    phone.close()
    world.clock.advance(days=11)
    issuer.tokens.clear()
    phone.open()
    (second,) = phone.refresh()
    assert second["expires_at"] > first["expires_at"]
    assert len(issuer.refresh_tokens) == 1
    assert issuer.faults == []


def test_a_citizen_renews_a_card_on_the_spot(world: WalletWorld, suite: Make) -> None:
    """DESIGN, journey 5: silently where nothing changed, else shown; one flow, however often."""
    issuer, phone = suite(**REFILLS), world.new_phone()
    card = receive(phone, issuer)
    renewed = phone._post(f"/credentials/{card}/renewal")
    assert (renewed["step"], renewed["credentials"]) == ("stored", [card])
    issuer.claims = {**CLAIMS[PID], "family_name": "Möbius-Neu"}
    spend(world, phone)
    world.clock.advance(minutes=11)
    phone.open()
    waiting = phone._post(f"/credentials/{card}/renewal")
    assert waiting["step"] == "preview"  # no spare keys are left
    assert phone._post(f"/credentials/{card}/renewal")["id"] == waiting["id"]
    reviewed = phone.accept(waiting)
    assert reviewed["renews"] == card
    assert "family_name" in reviewed["content"][0]["changed"]
    assert phone.keep(reviewed["id"]) == [card]


def test_a_card_that_nothing_renews_is_asked_for_by_signing_in(
    world: WalletWorld, suite: Make
) -> None:
    """DESIGN, journeys 4 and 5: a revoked or expired card is replaced without an offer."""
    issuer, phone = suite(), world.new_phone()
    card = receive(phone, issuer)
    flow = phone._post(f"/credentials/{card}/renewal")
    assert flow["step"] == "sign_in"
    found = phone.sign_in(flow, issuer.browse)
    assert (found["step"], found["documents"][0]["already"]) == ("preview", [card])


def test_without_spare_keys_a_gesture_renews(world: WalletWorld, suite: Make) -> None:
    """W-43: the flow waits for the citizen, and makes new spare keys."""
    issuer, phone = suite(proof="jwt", batch_size=3, refresh=True), world.new_phone()
    card = receive(phone, issuer)
    spend(world, phone)
    world.clock.advance(minutes=1)
    phone.refresh()
    phone.refresh()
    (under_way,) = phone.overview()["under_way"]
    flow = phone._get(f"/issuances/{under_way['id']}")
    assert (flow["step"], flow["allowed_actions"]) == ("preview", ["accept", "refuse"])
    assert phone.keep(phone.accept(flow)["id"]) == [card]
    assert phone.cards()[0]["copies_left"] == 3
    assert issuer.faults == []


def test_a_refused_refresh_token_renews_nothing_and_loses_nothing(
    world: WalletWorld, suite: Make
) -> None:
    """W-43."""
    issuer, phone = suite(**REFILLS), world.new_phone()
    receive(phone, issuer)
    issuer.refresh_tokens.clear()
    spend(world, phone)
    world.clock.advance(minutes=1)
    phone.refresh()
    assert len(phone.cards()) == 1
    assert count(world, renewals, renewals.c.wallet == phone.wallet) == 0


@pytest.mark.parametrize("rotate", [True, False])
def test_two_cards_of_one_offer_share_what_renews_them(
    world: WalletWorld, suite: Make, rotate: bool
) -> None:
    """W-43: where the refresh token rotates, the second card is renewed with the next one."""
    issuer, phone = suite(both=True, rotate=rotate, **REFILLS), world.new_phone()
    phone.keep(phone.accept(signed_in(phone, issuer))["id"])
    before = set(issuer.refresh_tokens)
    spend(world, phone)
    world.clock.advance(minutes=1)
    assert [each["copies_left"] for each in phone.refresh()] == [3, 3]
    assert len(issuer.refresh_tokens) == 1
    assert (set(issuer.refresh_tokens) != before) is rotate
    assert count(world, renewals, renewals.c.wallet == phone.wallet) == 2
    assert issuer.faults == []


def test_of_many_refills_of_two_cards_each_token_is_used_once(
    world: WalletWorld, suite: Make
) -> None:
    """W-43, S-02: no request presents a refresh token that another one has just used up."""
    issuer = suite(both=True, rotate=True, dpop_nonces=False, **REFILLS)
    phone = world.new_phone()
    phone.keep(phone.accept(signed_in(phone, issuer))["id"])
    spend(world, phone)
    world.clock.advance(minutes=1)
    before = issuer.calls.count("token")
    at_once(phone.refresh)
    phone.refresh()  # whoever found the token in use left the other card for later
    assert issuer.calls.count("token") == before + 2
    assert [each["copies_left"] for each in phone.cards()] == [3, 3]
    assert count(world, renewals, renewals.c.wallet == phone.wallet) == 2
    assert issuer.faults == []


def test_a_crash_while_renewing_holds_up_the_other_card_for_minutes_only(
    world: WalletWorld, suite: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W-43: whoever claimed the token and died is waited for as long as a call may take."""
    issuer, phone = suite(both=True, **REFILLS), world.new_phone()
    phone.keep(phone.accept(signed_in(phone, issuer))["id"])
    spend(world, phone)
    world.clock.advance(minutes=1)
    with monkeypatch.context() as patched:
        patched.setattr(refresh_tokens.Held, "release", lambda _: None)
        patched.setattr(issuer, "interrupt", lambda name: DOWN if name == "token" else None)
        phone.refresh()
    before = issuer.calls.count("token")
    phone.refresh()
    assert issuer.calls.count("token") == before
    world.clock.advance(minutes=2)
    phone.refresh()
    assert issuer.calls.count("token") == before + 1
    assert 3 in [each["copies_left"] for each in phone.cards()]


def test_a_gesture_renews_with_the_token_of_today(world: WalletWorld, suite: Make) -> None:
    """W-43: a renewal that waited for its citizen uses what another card's renewal was given."""
    issuer = suite(both=True, rotate=True, proof="jwt", batch_size=3, refresh=True)
    phone = world.new_phone()
    cards = phone.keep(phone.accept(signed_in(phone, issuer))["id"])
    spend(world, phone)
    world.clock.advance(minutes=1)
    phone.refresh()
    waiting = [phone._get(f"/issuances/{each['id']}") for each in phone.overview()["under_way"]]
    assert [each["step"] for each in waiting] == ["preview", "preview"]
    kept = [card for each in waiting for card in phone.keep(phone.accept(each)["id"])]
    assert sorted(kept) == sorted(cards)
    assert [each["copies_left"] for each in phone.cards()] == [3, 3]
    assert issuer.faults == []


def test_deleting_one_of_two_cards_leaves_the_other_its_renewal(
    world: WalletWorld, suite: Make
) -> None:
    """W-44."""
    issuer, phone = suite(both=True, rotate=True, **REFILLS), world.new_phone()
    first, second = phone.keep(phone.accept(signed_in(phone, issuer))["id"])
    phone.delete_card(first)
    spend(world, phone)
    world.clock.advance(minutes=1)
    (found,) = phone.refresh()
    assert (found["id"], found["copies_left"]) == (second, 3)
    assert count(world, renewals, renewals.c.wallet == phone.wallet) == 1


def test_a_wrong_refill_keeps_the_old_copies(world: WalletWorld, suite: Make) -> None:
    """W-41: none of the new ones is kept; the issuer is told."""
    issuer, phone = suite(**REFILLS), world.new_phone()
    receive(phone, issuer)
    spend(world, phone)
    issuer.tamper = lambda issued: [*issued[:-1], issued[0]]
    world.clock.advance(minutes=1)
    phone.refresh()
    assert phone.cards()[0]["copies_left"] == 0
    assert issuer.notifications[-1] == "credential_failure"


def test_deleting_a_card_ends_its_renewal(world: WalletWorld, suite: Make) -> None:
    """W-44."""
    issuer, phone = suite(**REFILLS), world.new_phone()
    phone.delete_card(receive(phone, issuer))
    for table in (renewals, spare_keys):
        assert count(world, table, table.c.wallet == phone.wallet) == 0


def test_a_flow_of_the_past_is_erased_with_its_callback(world: WalletWorld, suite: Make) -> None:
    """S-03."""
    issuer, phone = suite(), world.new_phone()
    flow = phone.scan(issuer.offer())
    phone._post(f"/issuances/{flow['id']}/authorize")
    world.clock.advance(days=3)
    clean(world.wallet, now=world.clock())
    assert count(world, callbacks) == 0
    assert count(world, issuances, issuances.c.id == flow["id"]) == 0
