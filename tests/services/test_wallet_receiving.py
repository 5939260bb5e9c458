"""From a Credential Offer to stored Credentials, and every way in which it must stop."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from shared.crypto.software import SoftwareKey
from shared.demo.phone import Phone
from shared.oid4vci.offer import CredentialOffer, offer_link
from shared.runtime.trust_list import TrustListStale
from shared.trust import Role
from tests.support.trust import PID, RESIDENCE, Agency, issue, trust_list
from tests.support.wallet import (
    CLAIMS,
    GRANT,
    IDENTIFIER,
    ISSUER,
    TX_CODE,
    WalletWorld,
    agencies,
    refused,
)
from wallet_service.tables import copies, issuances


def value_offer(**members: Any) -> str:
    grant = members.pop("grant", {"pre-authorized_code": "code", "tx_code": {}})
    offer: dict[str, Any] = {
        "credential_issuer": IDENTIFIER,
        "credential_configuration_ids": ["pid_sd_jwt"],
        "grants": {GRANT: grant},
        **members,
    }
    return offer_link(offer=CredentialOffer.from_object(offer))


def nothing_stored(world: WalletWorld, phone: Phone) -> bool:
    with world.wallet.database.reading() as connection:
        count = select(func.count()).select_from(copies).where(copies.c.wallet == phone.wallet)
        return phone.cards() == [] and connection.execute(count).scalar_one() == 0


# -- What works ----------------------------------------------------------------------------


def test_the_preview_says_who_offers_what_before_anything_is_taken(world: WalletWorld) -> None:
    """W-01, W-16: preview and tx_code from a trusted issuer only."""
    phone = world.new_phone(locale="fr")
    flow = phone.scan(world.issuer.offer(PID))
    assert flow["kind"] == "offer"
    assert flow["issuer"]["name"] == "Registre civil d'Avelonia"
    assert (flow["step"], flow["allowed_actions"]) == ("tx_code", ["tx-code", "refuse"])
    assert flow["tx_code"] == {"input_mode": "numeric", "length": 10, "description": None}
    assert world.at("/token") == []


def test_an_offer_by_reference_is_fetched_from_a_known_issuer(world: WalletWorld) -> None:
    """W-01, W-02."""
    phone = world.new_phone()
    link = world.issuer.offer(PID, by_reference=True).replace("openid-credential-offer", "haip-vci")
    assert len(phone.receive(link, TX_CODE)) == 1


def test_an_offer_without_transaction_code_needs_none(world: WalletWorld) -> None:
    """W-16."""
    world.issuer.tx_code = None
    world.issuer.dpop_nonces = False
    assert len(world.new_phone().receive(world.issuer.offer(PID))) == 1


def test_one_offer_may_bring_two_credentials(world: WalletWorld) -> None:
    """W-14, W-30: one request for each configuration, a nonce for each."""
    phone = world.new_phone()
    assert len(phone.receive(world.issuer.offer(PID, RESIDENCE), TX_CODE)) == 2
    names = {each["name"]: each["copies_left"] for each in phone.cards()}
    assert names == {"Personal ID": 10, "Proof of residence": 10}
    assert len(world.issuer.bodies) == 2


def test_claims_are_shown_under_labels_in_the_citizens_language(world: WalletWorld) -> None:
    """F-TM-02: Type Metadata from the place and integrity in the trust list; PAIN_POINTS 11."""
    phone = world.new_phone(locale="fr")
    [card] = phone.receive(world.issuer.offer(PID), TX_CODE)
    shown = phone.card(card)
    assert shown["name"] == "Carte d'identité"
    assert shown["badge_text"] == "Pas encore vérifié"
    labels = {each["label"]: each["value"] for each in shown["claims"]}
    assert labels["Plus de 18 ans"] is True
    assert labels["Lieu de naissance"] == "Avelon"
    assert labels["Nationalités"] == ["AV", "FR"]
    assert "cnf" not in str(shown["claims"])


def test_without_type_metadata_the_claims_names_serve(world: WalletWorld) -> None:
    """F-TM-02: a missing document loses labels, not the credential."""
    del (gone := dict(world.services))["https://types.example"]
    world.wallet.fetcher._pool.services = gone  # type: ignore[attr-defined]  # test transport
    try:
        phone = world.new_phone()
        [card] = phone.receive(world.issuer.offer(PID), TX_CODE)
        labels = {each["label"] for each in phone.card(card)["claims"]}
        assert {"family_name", "given_name"} <= labels
    finally:
        world.wallet.fetcher._pool.services = dict(world.services)  # type: ignore[attr-defined]  # test transport


def test_the_content_is_shown_before_it_is_kept(world: WalletWorld) -> None:
    """W-41: the citizen sees the content and accepts; PAIN_POINTS 19."""
    phone = world.new_phone()
    flow = phone.accept(phone.scan(world.issuer.offer(PID)), TX_CODE)
    assert (flow["step"], flow["allowed_actions"]) == ("review", ["keep", "discard"])
    family = {"path": ["family_name"], "label": "Family name", "value": "Möbius", "text": "Möbius"}
    [content] = flow["content"]
    assert family in content["claims"]
    assert content["format"] == "dc+sd-jwt"
    assert phone.cards() == []
    assert world.issuer.notifications == []
    assert len(phone.keep(flow["id"])) == 1
    assert world.issuer.notifications == ["credential_accepted"]
    assert refused(lambda: phone.keep(flow["id"])) == "step_changed"


def test_what_is_discarded_is_not_stored_and_the_issuer_told(world: WalletWorld) -> None:
    """W-42: `credential_deleted` when the user refused."""
    phone = world.new_phone()
    flow = phone.accept(phone.scan(world.issuer.offer(PID)), TX_CODE)
    phone._post(f"/issuances/{flow['id']}/discard")
    assert nothing_stored(world, phone)
    assert world.issuer.notifications == ["credential_deleted"]


def test_fewer_credentials_than_keys_are_kept(world: WalletWorld) -> None:
    """W-40."""
    world.issuer.tamper = lambda issued: issued[:3]
    phone = world.new_phone()
    phone.receive(world.issuer.offer(PID), TX_CODE)
    assert phone.cards()[0]["copies_left"] == 3


def test_a_repeated_scan_with_the_same_key_is_the_same_flow(world: WalletWorld) -> None:
    """WALLET_SECURITY 9: idempotent."""
    phone = world.new_phone()
    link = world.issuer.offer(PID)
    first, again = phone.scan(link, key="k-1"), phone.scan(link, key="k-1")
    assert first["id"] == again["id"]
    assert phone.scan(link, key="k-2")["id"] != first["id"]
    assert world.new_phone().scan(link, key="k-1")["id"] != first["id"]


def test_a_flow_can_be_picked_up_again(world: WalletWorld) -> None:
    """WALLET_SECURITY 9: pollable, resumable; PAIN_POINTS 5."""
    phone = world.new_phone()
    flow = phone.scan(world.issuer.offer(PID))
    [under_way] = phone.overview()["under_way"]
    assert (under_way["kind"], under_way["id"]) == ("issuance", flow["id"])
    assert under_way["step"] == "tx_code"
    phone.close()
    phone.open()
    found = phone._get(f"/issuances/{flow['id']}")
    assert found["allowed_actions"] == ["tx-code", "refuse"]
    assert phone.keep(phone.accept(found, TX_CODE)["id"])


# -- Losing the line -----------------------------------------------------------------------


def test_a_crash_after_the_request_resumes_with_the_same_bytes(world: WalletWorld) -> None:
    """DESIGN "Decided": the wallet stores keys and step before each call, resends the same."""
    world.issuer.down_once = {"credential"}
    phone = world.new_phone()
    flow = phone.scan(world.issuer.offer(PID))
    assert refused(lambda: phone.accept(flow, TX_CODE)) == "unavailable"
    found = phone._get(f"/issuances/{flow['id']}")
    assert (found["step"], found["allowed_actions"]) == ("requesting", ["resume", "refuse"])
    assert phone._post(f"/issuances/{flow['id']}/resume")["step"] == "review"
    first, second = world.issuer.bodies
    assert first == second
    assert phone.keep(flow["id"])


def test_a_resumed_request_whose_c_nonce_is_spent_needs_a_new_gesture(world: WalletWorld) -> None:
    """W-31: the issuer had issued, its answer was lost; the token is still good."""
    world.issuer.down_once = {"credential"}
    phone = world.new_phone()
    flow = phone.scan(world.issuer.offer(PID))
    assert refused(lambda: phone.accept(flow, TX_CODE)) == "unavailable"
    world.issuer.refuse_nonce_once = True
    found = phone._post(f"/issuances/{flow['id']}/resume")
    assert (found["step"], found["allowed_actions"]) == ("accepted", ["accept", "refuse"])
    redeemed = len(world.at("/token"))
    assert phone.keep(phone.accept(found)["id"])
    assert len(world.at("/token")) == redeemed


def test_a_scan_that_was_cut_off_is_finished_by_its_repetition(world: WalletWorld) -> None:
    """WALLET_SECURITY 9: the same Idempotency-Key, the same flow, and it goes on."""
    phone, link = world.new_phone(), world.issuer.offer(PID)
    flow = phone.scan(link, key="tapped")
    with world.wallet.database.single() as connection:  # as it stood before the answer of others
        cut_off = update(issuances).where(issuances.c.id == flow["id"]).values(step="resolving")
        connection.execute(cut_off)
    again = phone.scan(link, key="tapped")
    assert (again["id"], again["step"]) == (flow["id"], "tx_code")


def test_a_scan_that_nobody_answered_is_repeated_with_its_key(world: WalletWorld) -> None:
    """503 says "send the same request again": so that must help."""
    phone, link = world.new_phone(), world.issuer.offer(PID, by_reference=True)
    transport = world.wallet.fetcher._pool
    services = dict(transport.services)  # type: ignore[attr-defined]  # test transport
    transport.services = {}  # type: ignore[attr-defined]  # the issuer goes away
    assert refused(lambda: phone.scan(link, key="tapped")) == "unavailable"
    transport.services = services  # type: ignore[attr-defined]  # and comes back
    assert phone.scan(link, key="tapped")["step"] == "tx_code"


def test_a_refused_c_nonce_is_replaced_once(world: WalletWorld) -> None:
    """W-31."""
    world.issuer.refuse_nonce_once = True
    phone = world.new_phone()
    assert phone.receive(world.issuer.offer(PID), TX_CODE)
    first, second = world.issuer.bodies
    assert first != second


def test_after_a_lost_token_answer_a_new_gesture_goes_on(world: WalletWorld) -> None:
    """Holder keys live for one request: what needs them again needs a new approval."""
    phone = world.new_phone()
    flow = phone.scan(world.issuer.offer(PID))
    transport = world.wallet.fetcher._pool
    services = dict(transport.services)  # type: ignore[attr-defined]  # test transport
    phone._post(f"/issuances/{flow['id']}/tx-code", {"tx_code": TX_CODE})
    approval = phone._post(f"/issuances/{flow['id']}/accept")["approval"]
    gesture = phone.gesture(phone.approval(approval))
    transport.services = {}  # type: ignore[attr-defined]  # the issuer goes away
    assert refused(lambda: phone._post(f"/approvals/{approval}/approve", gesture)) == "unavailable"
    transport.services = services  # type: ignore[attr-defined]  # and comes back
    found = phone._get(f"/issuances/{flow['id']}")
    assert (found["step"], found["allowed_actions"]) == ("accepted", ["accept", "refuse"])
    assert phone.keep(phone.accept(found)["id"])


# -- Refusals before anything is sent --------------------------------------------------------


def test_an_unknown_issuer_is_not_even_asked(world: WalletWorld) -> None:
    """W-01: issuer trust before fetching."""
    phone = world.new_phone()
    world.seen.clear()
    link = value_offer(credential_issuer="https://issuer.evil.example/registry")
    assert refused(lambda: phone.scan(link)) == "unknown_agency"
    by_reference = offer_link(offer_uri="https://issuer.evil.example/registry/offers/1")
    assert refused(lambda: phone.scan(by_reference)) == "unknown_agency"
    assert world.seen == []


@pytest.mark.parametrize(
    ("link", "code"),
    [
        ("https://example.org/menu", "not_for_me"),
        ("WIFI:S:home;;", "not_for_me"),
        ("openid-credential-offer://?credential_offer=%7B%7D", "invalid_input"),
        ("openid-credential-offer://?credential_offer=x&credential_offer_uri=y", "invalid_input"),
        ("haip-vci://?credential_offer_uri=http%3A%2F%2Fissuer.example%2Fo", "invalid_input"),
    ],
)
def test_what_is_no_offer_is_said_so(world: WalletWorld, link: str, code: str) -> None:
    """W-01, W-02; `scan` says "not for me"."""
    assert refused(lambda: world.new_phone().scan(link)) == code


def test_a_configuration_must_be_in_the_metadata(world: WalletWorld) -> None:
    """W-01."""
    link = value_offer(credential_configuration_ids=["other"])
    assert refused(lambda: world.new_phone().scan(link)) == "invalid_input"


def test_metadata_of_another_issuer_is_discarded(world: WalletWorld) -> None:
    """W-03, C-35: string comparison; then nothing else is called."""
    metadata = world.issuer.metadata
    world.issuer.metadata = lambda: {**metadata(), "credential_issuer": f"{IDENTIFIER}/"}  # type: ignore[method-assign]  # misbehaves
    try:
        phone = world.new_phone()
        assert refused(lambda: phone.scan(world.issuer.offer(PID))) == "invalid_input"
        assert world.at(ISSUER) == [f"{ISSUER}/.well-known/openid-credential-issuer/registry"]
    finally:
        del world.issuer.metadata


def test_an_agency_may_offer_only_its_types(world: WalletWorld) -> None:
    """C-23, I-03: a known agency, but not for this type."""
    held = agencies()
    world.trust.held = trust_list(
        held.registry.entry(issues=[issue(RESIDENCE)]), held.counter.entry()
    )
    link = world.issuer.offer(PID)
    assert refused(lambda: world.new_phone().scan(link)) == "unknown_agency"


def test_only_the_pre_authorized_grant_is_taken_so_far(world: WalletWorld) -> None:
    """W-05: unknown or unsupported grants are not guessed."""
    link = value_offer(grants={"authorization_code": {"issuer_state": "s"}})
    assert refused(lambda: world.new_phone().scan(link)) == "not_supported"


def test_a_stale_trust_list_is_said_so_and_nothing_is_lost(world: WalletWorld) -> None:
    """DESIGN 4: stale is never merged with invalid."""
    phone = world.phone_with(PID)

    class Stale:
        def current(self) -> Any:
            raise TrustListStale("trust list: expired")

    object.__setattr__(world.wallet, "trust", Stale())
    try:
        link = world.issuer.offer(PID)
        assert refused(lambda: phone.scan(link)) == "trust_list_stale"
        assert len(phone.cards()) == 1
    finally:
        object.__setattr__(world.wallet, "trust", world.trust)


@pytest.mark.parametrize("code", ["471", "47111", "47a1"])
def test_a_transaction_code_of_another_form_is_not_sent(world: WalletWorld, code: str) -> None:
    """W-16: input_mode and length."""
    phone = world.new_phone()
    flow = phone.scan(world.issuer.offer(PID))
    assert refused(lambda: phone.accept(flow, code)) == "invalid_input"
    assert world.at("/token") == []


# -- Refusals by the issuer ------------------------------------------------------------------


def test_a_wrong_transaction_code_can_be_corrected(world: WalletWorld) -> None:
    """W-16; PAIN_POINTS 5: no dead end."""
    phone = world.new_phone()
    flow = phone.scan(world.issuer.offer(PID))
    assert refused(lambda: phone.accept(flow, "0" * 10)) == "code_refused"
    found = phone._get(f"/issuances/{flow['id']}")
    assert (found["step"], found["reason"]) == ("tx_code", "code_refused")
    assert found["tries_left"] is None
    assert phone.keep(phone.accept(found, TX_CODE)["id"])


def test_the_citizen_learns_how_many_tries_are_left_and_when_there_are_none(
    world: WalletWorld,
) -> None:
    """W-16; PAIN_POINTS 2: tries left, and never a dead end."""
    phone = world.new_phone()
    flow = phone.scan(world.issuer.offer(PID))
    world.issuer.tries_left = 1
    assert refused(lambda: phone.accept(flow, "0" * 10)) == "code_refused"
    assert phone._get(f"/issuances/{flow['id']}")["tries_left"] == 1
    world.issuer.tries_left = 0
    assert refused(lambda: phone.accept(flow, "0" * 10)) == "code_locked"
    found = phone._get(f"/issuances/{flow['id']}")
    assert (found["step"], found["reason"]) == ("failed", "code_locked")


def test_a_spent_code_ends_the_flow(world: WalletWorld) -> None:
    world.issuer.tx_code = None
    phone = world.new_phone()
    link = world.issuer.offer(PID)
    phone.receive(link)
    flow = phone.scan(link)
    assert refused(lambda: phone.accept(flow)) == "code_refused"
    assert phone._get(f"/issuances/{flow['id']}")["step"] == "failed"
    assert len(phone.cards()) == 1


def test_a_refused_offer_calls_nobody(world: WalletWorld) -> None:
    phone = world.new_phone()
    flow = phone.scan(world.issuer.offer(PID))
    world.seen.clear()
    assert phone._post(f"/issuances/{flow['id']}/refuse")["step"] == "refused"
    assert refused(lambda: phone.accept(flow)) == "step_changed"
    assert world.seen == []


# -- What an issuer sends and must not -------------------------------------------------------


def other_agency() -> SoftwareKey:
    return Agency.make("ent_other", {"en": "Other"}, [Role.CREDENTIAL]).signer(
        Role.CREDENTIAL, dns=["issuer.example"]
    )


MISBEHAVIOUR: dict[str, tuple[Callable[[WalletWorld], None], str]] = {
    "someone else's key": (
        lambda world: setattr(world.issuer, "bind", lambda _n, _key: SoftwareKey.generate().public),
        "holder_binding",
    ),
    "one key twice": (
        lambda world: setattr(world.issuer, "tamper", lambda issued: [issued[0], issued[0]]),
        "holder_binding",
    ),
    "bound to no key": (
        lambda world: setattr(world.issuer, "bind", lambda _n, _key: None),
        "holder_binding",
    ),
    "another type": (
        lambda world: setattr(
            world.issuer,
            "tamper",
            lambda issued: [
                world.issuer._issue(RESIDENCE, 0, SoftwareKey.generate().public) for _ in issued
            ],
        ),
        "type_mismatch",
    ),
    "another signer": (
        lambda world: setattr(world.issuer, "signer", other_agency()),
        "untrusted_issuer",
    ),
    "a changed claim": (
        lambda world: setattr(world.issuer, "tamper", lambda issued: [_with_foreign_claim(issued)]),
        "digest",
    ),
    "a KB-JWT behind it": (
        lambda world: setattr(
            world.issuer, "tamper", lambda issued: [each + "a.b.c" for each in issued]
        ),
        "invalid_input",
    ),
    "a mixed batch": (
        lambda world: setattr(world.issuer, "claims", _Changing()),
        "wrong_credential",
    ),
    "one status for all": (
        lambda world: setattr(world.issuer, "one_status", True),
        "wrong_credential",
    ),
    "nothing at all": (
        lambda world: setattr(world.issuer, "tamper", lambda _issued: []),
        "bad_answer",
    ),
}


def _with_foreign_claim(issued: list[str]) -> str:
    """A copy with one more Disclosure, taken from another copy."""
    return f"{issued[0]}{issued[1].split('~')[1]}~"


class _Changing(dict[str, Any]):
    """Claims that are another person's with every copy."""

    def __getitem__(self, name: str) -> Any:
        self.count = getattr(self, "count", 0) + 1
        return {**CLAIMS[name], "given_name": f"Person {self.count}"}


@pytest.mark.parametrize("how", MISBEHAVIOUR)
def test_a_credential_that_is_not_as_offered_is_not_kept(world: WalletWorld, how: str) -> None:
    """W-40, W-41, F-SD-09, S-40: verify before storing; a partial failure is a failure (W-42)."""
    misbehave, code = MISBEHAVIOUR[how]
    misbehave(world)
    phone = world.new_phone()
    flow = phone.scan(world.issuer.offer(PID))
    assert refused(lambda: phone.accept(flow, TX_CODE)) == code
    found = phone._get(f"/issuances/{flow['id']}")
    assert (found["step"], found["allowed_actions"]) == ("failed", [])
    assert nothing_stored(world, phone)
    assert world.issuer.notifications in ([], ["credential_failure"])


def test_an_expired_credential_is_not_kept(world: WalletWorld) -> None:
    """W-41: dates."""
    world.issuer.days_ago = 201
    phone = world.new_phone()
    flow = phone.scan(world.issuer.offer(PID))
    assert refused(lambda: phone.accept(flow, TX_CODE)) == "expired"
    assert nothing_stored(world, phone)


def test_the_agency_that_offered_must_be_the_one_that_signed(world: WalletWorld) -> None:
    """W-41, C-22: another agency of the trust list, for the same type, is not good enough."""
    other = Agency.make(
        "ent_other", {"en": "Other"}, [Role.CREDENTIAL], issues=[issue(PID), issue(RESIDENCE)]
    )
    held = agencies()
    world.trust.held = trust_list(held.registry.entry(), held.counter.entry(), other.entry())
    world.issuer.signer = other.signer(Role.CREDENTIAL, dns=["issuer.example"])
    phone = world.new_phone()
    flow = phone.scan(world.issuer.offer(PID))
    assert refused(lambda: phone.accept(flow, TX_CODE)) == "untrusted_issuer"
    assert nothing_stored(world, phone)


# -- The cards themselves --------------------------------------------------------------------


def test_the_wallet_sees_a_revocation_and_says_it_in_words(world: WalletWorld) -> None:
    """W-46, DESIGN 2.4: the citizen is told why the card is grey; PAIN_POINTS 10."""
    world.issuer.statuses = world.issuer.statuses.empty(2, 4096)
    phone = world.new_phone(locale="fr")
    first = world.issuer.next_status
    phone.receive(world.issuer.offer(PID), TX_CODE)
    [card] = phone.refresh()
    assert (card["badge"], card["badge_text"]) == ("valid", "Valide")
    world.issuer.statuses.set_all(range(first, first + 10), 2)
    [card] = phone.refresh()
    assert card["badge"] == "valid"  # the cached list is still good
    world.clock.advance(minutes=6)
    [card] = phone.refresh()
    assert (card["badge"], card["badge_text"]) == (
        "suspended",
        "Suspendu par l'administration",
    )
    world.issuer.statuses.set_all(range(first, first + 10), 1)
    world.clock.advance(minutes=6)
    [card] = phone.refresh()
    assert card["badge"] == "revoked"
    assert card["next_step"]


def test_a_card_says_when_it_has_expired(world: WalletWorld) -> None:
    """PAIN_POINTS 10."""
    phone = world.phone_with(PID)
    world.clock.advance(days=201)
    try:
        phone._known = None
        phone.open()
        assert phone.cards()[0]["badge"] == "expired"
    finally:
        world.clock.now -= timedelta(days=201)


def test_deleting_a_card_needs_a_gesture_and_takes_its_keys(world: WalletWorld) -> None:
    """WALLET_SECURITY 4: delete credential is approved like everything else; S-31."""
    phone = world.phone_with(PID)
    [card] = phone.cards()
    stranger = world.new_phone()
    assert refused(lambda: stranger.card(card["id"])) == "not_found"
    assert refused(lambda: stranger.delete_card(card["id"])) == "not_found"
    phone.delete_card(card["id"])
    assert nothing_stored(world, phone)
    assert phone.log()[-1]["type"] == "credential_deleted"
