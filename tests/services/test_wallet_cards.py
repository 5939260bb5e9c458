"""Cards as people count them: one for several formats, one place for a new issue, told in time."""

from typing import Any

import pytest

from shared.demo.phone import Phone, Refused
from tests.support.trust import PID, PID_MDOC, RESIDENCE, trust_list
from tests.support.wallet import (
    CLAIMS,
    IDENTITY,
    TX_CODE,
    WalletWorld,
    agencies,
)
from wallet_service.replacing import groups, same_person
from wallet_service.tables import copies


def preview(world: WalletWorld, phone: Phone, *types: str) -> dict[str, Any]:
    flow = phone.scan(world.issuer.offer(*types))
    return phone._post(f"/issuances/{flow['id']}/tx-code", {"tx_code": TX_CODE})


def accepted(phone: Phone, flow: dict[str, Any], *replace: str) -> dict[str, Any]:
    place = f"/issuances/{flow['id']}/accept"
    approval = phone._post(place, {"replace": list(replace)})["approval"]
    return phone._approve(approval, lambda payload: payload["replaces"] == sorted(replace))


# -- The same document again -----------------------------------------------------------------------


def test_a_new_issue_takes_the_place_of_the_card_if_the_citizen_says_so(
    world: WalletWorld,
) -> None:
    """PAIN_POINTS 16 and 19: known before acceptance, what differs is shown, one card remains."""
    phone = world.phone_with(PID, RESIDENCE)
    old, other = phone.cards()
    world.issuer.claims = {**CLAIMS, PID: {**CLAIMS[PID], "place_of_birth": {"locality": "Ys"}}}
    flow = preview(world, phone, PID)
    assert flow["documents"][0]["already"] == [old["id"]]
    flow = accepted(phone, flow, old["id"])
    [content] = flow["content"]
    assert (content["replaces"], content["changed"]) == (old["id"], ["Place of birth"])
    assert len(phone.cards()) == 2  # nothing goes before the citizen keeps the new one
    [new] = phone.keep(flow["id"])
    assert [each["id"] for each in phone.cards()] == [new, other["id"]]  # at the old one's place
    with world.wallet.database.reading() as connection:
        kept = connection.execute(copies.select().where(copies.c.credential == old["id"])).all()
    assert kept == []
    assert phone.log()[-1]["body"]["replaced"] == [old["id"]]
    assert phone.approve(phone.resolve(world.verifier.ask(IDENTITY))).outcome == "shared"


def test_without_the_citizens_word_both_are_kept(world: WalletWorld) -> None:
    phone = world.phone_with(PID)
    phone.receive(world.issuer.offer(PID), TX_CODE)
    assert len(phone.cards()) == 2


def test_a_card_about_somebody_else_replaces_nothing(world: WalletWorld) -> None:
    """A parent receives a child's document: the own one stays, whatever was ticked."""
    phone = world.phone_with(PID)
    [mine] = phone.cards()
    world.issuer.claims = {**CLAIMS, PID: {**CLAIMS[PID], "given_name": "Mia"}}
    flow = accepted(phone, preview(world, phone, PID), mine["id"])
    assert flow["content"][0]["replaces"] is None
    phone.keep(flow["id"])
    assert mine["id"] in [each["id"] for each in phone.cards()]
    assert len(phone.cards()) == 2


@pytest.mark.parametrize("which", ["other type", "nobody's"])
def test_only_another_issue_of_the_same_document_can_be_exchanged(
    world: WalletWorld, which: str
) -> None:
    phone = world.phone_with(RESIDENCE)
    wanted = phone.cards()[0]["id"] if which == "other type" else "crd_nobodys"
    flow = preview(world, phone, PID)
    assert flow["documents"][0]["already"] == []
    with pytest.raises(Refused) as refused:
        phone._post(f"/issuances/{flow['id']}/accept", {"replace": [wanted]})
    assert refused.value.code == "invalid_input"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"family_name": "A"}, {"family_name": "A"}, True),
        ({"family_name": "A"}, {"family_name": "B"}, False),
        ({"birthdate": "2000-01-01"}, {"ns": {"birth_date": "2000-01-01"}}, True),
        ({"birthdate": "2000-01-01"}, {"ns": {"birth_date": "2000-01-02"}}, False),
        ({"card_number": "1"}, {"card_number": "2"}, True),
        (
            {"family_name": "A", "personal_administrative_number": "1"},
            {"family_name": "B", "personal_administrative_number": "1"},
            True,
        ),
        ({"personal_administrative_number": "1"}, {"personal_administrative_number": "2"}, False),
    ],
)
def test_people_are_told_apart_by_name_birth_and_number(
    one: dict[str, Any], other: dict[str, Any], *, same: bool
) -> None:
    assert same_person(one, other) is same


# -- One document in several formats ---------------------------------------------------------------


def card(fmt: str, name: str, *, entity: str = "ent_a", who: str = "A") -> dict[str, Any]:
    return {
        "issuer": {"entity": entity},
        "format": fmt,
        "names": {"en": name, "fr": f"{name} {fmt}"},
        "claims": {"family_name": who},
    }


def test_two_formats_of_one_document_are_one_card_to_people() -> None:
    """PAIN_POINTS 16."""
    cards = {
        "a": card("dc+sd-jwt", "Identity"),
        "b": card("dc+sd-jwt", "Residence"),
        "c": card("mso_mdoc", "Identity"),
        "d": card("mso_mdoc", "Identity"),
        "e": card("mso_mdoc", "Identity", entity="ent_b"),
        "f": card("mso_mdoc", "Residence", who="B"),
    }
    assert groups(cards) == [["a", "c"], ["b"], ["d"], ["e"], ["f"]]


def test_the_wallet_says_which_cards_are_one_document(world: WalletWorld) -> None:
    phone = world.phone_with(PID, PID_MDOC)
    found = phone.overview()
    assert found["documents"] == [[each["id"]] for each in found["cards"]]  # their names differ
    assert found["test"] is True


# -- Told in time ----------------------------------------------------------------------------------


def codes(phone: Phone) -> list[str]:
    return [each["code"] for each in phone.overview()["notices"]]


def test_a_card_that_ends_soon_or_has_ended_is_a_notice(world: WalletWorld) -> None:
    """PAIN_POINTS 10: with what to do next, and to whom to go."""
    phone = world.phone_with(PID)
    assert codes(phone) == []
    [held] = phone.cards()
    before = world.clock.now
    phone.close()
    world.clock.advance(seconds=held["expires_at"] - before.timestamp() - 86_400)
    phone.open()
    [soon] = phone.overview()["notices"]
    assert (soon["code"], soon["card"], soon["name"]) == (
        "card_expires_soon",
        held["id"],
        "Personal ID",
    )
    phone.close()
    world.clock.advance(days=1)
    phone.open()
    [ended] = phone.overview()["notices"]
    assert (ended["code"], ended["next_step"]) == ("card_expired", "Ask the agency for a new one.")
    assert phone.card(held["id"])["contacts"]["support"]["email"]
    world.clock.now = before


def test_the_last_copy_a_new_passkey_and_a_flow_under_way_are_notices(world: WalletWorld) -> None:
    """PAIN_POINTS 14 and 20."""
    phone = world.phone_with(PID)
    assert codes(phone) == []
    with world.wallet.database.single() as connection:
        connection.execute(
            copies.update().where(copies.c.wallet == phone.wallet).values(state="spent", uses=1)
        )
    phone.add_passkey(world.phone())
    assert codes(phone) == ["unlocker_added", "no_copies_left"]
    flow = phone.scan(world.issuer.offer(RESIDENCE))
    [under_way] = phone.overview()["under_way"]
    assert (under_way["id"], under_way["step"]) == (flow["id"], "tx_code")
    assert under_way["documents"] == ["Proof of residence"]
    assert under_way["party"] == "Civil Registry of Avelonia"
    phone.close()
    world.clock.advance(days=15)
    phone.open()
    assert codes(phone) == ["no_copies_left"]


def test_an_agency_that_renews_nothing_says_where_to_go(world: WalletWorld) -> None:
    """PAIN_POINTS 10: never a dead end."""
    phone = world.phone_with(PID)
    [held] = phone.cards()
    with pytest.raises(Refused) as refused:
        phone._post(f"/credentials/{held['id']}/renewal")
    assert refused.value.code == "nothing_renews"
    with pytest.raises(Refused):
        phone._post("/credentials/crd_nobodys/renewal")


def test_an_agency_that_left_the_list_has_no_contacts(world: WalletWorld) -> None:
    phone = world.phone_with(PID)
    [held] = phone.cards()
    assert phone.card(held["id"])["contacts"]["support"]["name"] == "Civil Registry of Avelonia"
    world.trust.held = trust_list(agencies().counter.entry(), agencies().provider.entry())
    assert phone.card(held["id"])["contacts"]["support"] is None
