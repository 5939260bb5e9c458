"""Who has seen my data: the log in words, letters about an entry, and what stays of a deletion."""

from typing import Any

import pytest

from shared.demo.phone import Phone, Refused
from tests.support.trust import PID, trust_list
from tests.support.wallet import IDENTITY, OVER_18, WalletWorld, agencies


def entries(phone: Phone) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = phone._get("/history")["entries"]
    return found


def test_the_history_says_with_whom_why_and_what_in_the_citizens_language(
    world: WalletWorld,
) -> None:
    """DESIGN, journey 7; PAIN_POINTS 18."""
    phone = world.phone_with(PID, locale="fr")
    phone.approve(phone.resolve(world.verifier.ask(IDENTITY)))
    phone.refuse(phone.resolve(world.verifier.ask(OVER_18)))
    refused, shared, received, *_ = entries(phone)
    assert (refused["type"], refused["result"]) == ("presentation", "refused")
    assert refused["documents"] == []
    assert shared["party"]["name"] == "Impôts et guichets d'Avelonia"
    assert shared["purpose"]
    [document] = shared["documents"]
    assert (document["name"], document["held"]) == ("Carte d'identité", True)
    assert document["claims"] == ["Nom", "Prénom", "Pays de délivrance"]
    assert received["party"]["name"] == "Registre civil d'Avelonia"
    assert [each["name"] for each in received["documents"]] == ["Carte d'identité"]
    assert "Möbius" not in str(entries(phone))


def test_a_letter_names_the_data_and_the_log_remembers_that_it_was_sent(
    world: WalletWorld,
) -> None:
    """TS7, DATA_DLT_05, 06, 08, 09; TS8: contacts are those of the trust list."""
    phone = world.phone_with(PID)
    phone.approve(phone.resolve(world.verifier.ask(IDENTITY)))
    shared = entries(phone)[0]
    place = f"/history/{shared['seq']}"
    detail = phone._get(place)
    contacts = agencies().counter.entry()["contacts"]
    assert detail["contacts"]["data_protection"]["email"] == contacts["data_protection"]["email"]
    assert detail["contacts"]["data_protection"]["name"] == "Avelonia Tax & Counters"
    erasure = detail["letters"]["erasure"]
    assert "Article 17" in erasure["subject"]
    assert "- Family name" in erasure["body"]
    assert "Möbius" not in str(detail)
    phone._post(f"{place}/letters", {"kind": "erasure"})
    asked, again = entries(phone)[:2]
    assert (asked["type"], asked["about"]) == ("erasure_asked", shared["seq"])
    assert asked["documents"][0]["claims"] == shared["documents"][0]["claims"]
    assert [each["kind"] for each in again["asked"]] == ["erasure"]
    phone._post(f"{place}/letters", {"kind": "report"})
    assert entries(phone)[0]["type"] == "authority_told"
    phone.open()  # the chain goes on


def test_there_is_no_letter_about_what_was_not_shared(world: WalletWorld) -> None:
    phone = world.phone_with(PID)
    received = entries(phone)[0]
    detail = phone._get(f"/history/{received['seq']}")
    assert detail["letters"] is None
    assert detail["contacts"]["support"]["email"]
    for seq in (received["seq"], 99, "x"):
        with pytest.raises(Refused) as refused:
            phone._post(f"/history/{seq}/letters", {"kind": "erasure"})
        assert refused.value.code == "not_found"


def test_a_deleted_card_keeps_its_name_and_a_forgotten_entry_keeps_nothing(
    world: WalletWorld,
) -> None:
    """WALLET_SECURITY 8: a tombstone; what was shown of a deleted card stays readable."""
    phone = world.phone_with(PID)
    phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    [card] = phone.cards()
    phone.delete_card(card["id"])
    deleted, shared = entries(phone)[:2]
    assert deleted["type"] == "credential_deleted"
    [document] = shared["documents"]
    assert (document["name"], document["held"]) == ("Personal ID", False)
    phone.delete_log_entry(shared["seq"])
    stone, _, forgotten = entries(phone)[:3]
    assert (stone["type"], stone["about"]) == ("entry_deleted", shared["seq"])
    assert forgotten["forgotten"]
    assert (forgotten["party"], forgotten["documents"]) == (None, [])


def test_an_agency_that_left_the_trust_list_has_a_name_and_no_contacts(
    world: WalletWorld,
) -> None:
    phone = world.phone_with(PID)
    phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    shared = entries(phone)[0]
    world.trust.held = trust_list(agencies().registry.entry(), agencies().provider.entry())
    detail = phone._get(f"/history/{shared['seq']}")
    assert detail["party"]["name"] == "Avelonia Tax & Counters"
    assert set(detail["contacts"].values()) == {None}
    world.reset()
