"""Journeys of a citizen through the wallet's public API, with real protocols around it."""

import pytest

from shared.demo.phone import Refused
from tests.support.trust import PID, RESIDENCE
from tests.support.wallet import OVER_18, WalletWorld


def test_a_citizen_receives_a_credential_and_proves_their_age(world: WalletWorld) -> None:
    """DESIGN 2.1 and 2.2; W-16, W-20, W-30 to W-32, W-40, W-42, W-60 to W-62."""
    phone = world.new_phone()
    [card] = phone.receive(world.issuer.offer(PID), world.issuer.tx_code)
    assert [each["label"] for each in phone.cards()] == [
        "Personal ID, Civil Registry of Avelonia, Not checked yet"
    ]
    shown = {each["label"]: each["value"] for each in phone.card(card)["claims"]}
    assert shown["Family name"] == "Möbius"
    consent = phone.resolve(world.verifier.ask(OVER_18), cross_device=True)
    assert consent.model["verifier"]["name"] == "Avelonia Tax & Counters"
    outcome = phone.approve(consent)
    assert (outcome.step, outcome.outcome) == ("done", "shared")
    result = world.verifier.results[-1]
    assert result["claims"]["age_equal_or_over"] == {"18": True}
    assert "family_name" not in result["claims"]
    assert world.issuer.notifications[-1] == "credential_accepted"
    assert [each["type"] for each in phone.log()] == [
        "wallet_created", "second_unlocker_proven", "issuance", "presentation",
    ]  # fmt: skip


def test_a_citizen_forgets_an_entry_of_the_log_and_its_place_stays(world: WalletWorld) -> None:
    """WALLET_SECURITY 8: hashes stay, a tombstone is added; PAIN_POINTS 18."""
    phone = world.phone_with(PID)
    phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    before = phone.log()
    shared = before[-1]
    assert shared["body"]["items"][0]["claims"] == [["age_equal_or_over", "18"]]
    phone.delete_log_entry(shared["seq"])
    after = phone.log()
    assert after[-2]["body"] is None
    assert after[-2]["entry_hash"] == shared["entry_hash"]
    assert (after[-1]["type"], after[-1]["body"]["seq"]) == ("entry_deleted", shared["seq"])
    phone.open()
    for nothing in (shared["seq"], 99):
        with pytest.raises(Refused):
            phone.delete_log_entry(nothing)


def test_the_citizens_language_can_be_changed(world: WalletWorld) -> None:
    phone = world.phone_with(PID)
    phone._post("/wallet/locale", {"locale": "fr"})
    assert phone.cards()[0]["badge_text"] == "Pas encore vérifié"
    with pytest.raises(Refused):
        phone._post("/wallet/locale", {"locale": "not a language"})


def test_cards_stay_in_the_order_they_came(world: WalletWorld) -> None:
    """Also when all came within one second."""
    order = [PID, RESIDENCE, RESIDENCE, PID, RESIDENCE, PID]
    phone = world.phone_with(*order)
    assert [each["type"] for each in phone.cards()] == order
