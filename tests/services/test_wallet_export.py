"""A wallet taken elsewhere: what the file says and never says, and documents had again by it."""

import json
from functools import partial
from typing import Any

import pytest

from shared.demo.phone import Phone, Refused
from tests.support.trust import PID, PID_MDOC, RESIDENCE, SD_JWT
from tests.support.wallet import IDENTIFIER, IDENTITY, OVER_18, WalletWorld, refused


def kinds(migration: dict[str, Any]) -> list[str]:
    return [each["transactionType"] for each in migration["transactionLog"]]


def lived(world: WalletWorld) -> Phone:
    """A wallet that received, showed, refused, asked for erasure and deleted."""
    phone = world.phone_with(PID, PID_MDOC, RESIDENCE)
    phone.approve(phone.resolve(world.verifier.ask(IDENTITY)))
    shared = len(phone.log())
    phone.refuse(phone.resolve(world.verifier.ask(OVER_18)))
    phone._post(f"/history/{shared}/letters", {"kind": "erasure"})
    phone._post(f"/history/{shared}/letters", {"kind": "report"})
    [residence] = [each["id"] for each in phone.cards() if each["type"] == RESIDENCE]
    phone.delete_card(residence)
    return phone


def test_an_export_lists_documents_and_transactions_and_no_claim(world: WalletWorld) -> None:
    """TS10 3.17 to 3.19, ARF Mig_01 to Mig_03b: whom to ask again; no value, no key."""
    phone = lived(world)
    migration = phone.export()
    listed = migration["listOfCredentials"]
    assert [(each["credentialIdentifier"], each["format"]) for each in listed] == [
        (PID, SD_JWT),
        (PID_MDOC, "mso_mdoc"),
    ]  # what was deleted is gone
    assert {each["supplyPointURL"] for each in listed} == {IDENTIFIER}
    assert listed[0]["issuerName"][0].keys() == {"lang", "content"}
    assert migration["nonDeviceBoundCredentials"] == []
    found = kinds(migration)
    assert found.count("CredentialIssuance") == 3
    assert found.count("Presentation") == 2
    for each in ("DataDeletionRequest", "DPAReport", "CredentialDeletion"):
        assert found.count(each) == 1
    shown, refusal = (
        each for each in migration["transactionLog"] if each["transactionType"] == "Presentation"
    )
    assert shown["presentation"]["listOfClaimsPresented"] == [
        {"credentialIdentifier": PID, "claims": ["family_name", "given_name", "issuing_country"]}
    ]
    assert shown["presentation"]["purpose"][0]["content"]
    assert refusal["transactionResult"] == "NotCompleted"
    assert refusal["presentation"]["listOfClaimsPresented"] == []
    text = json.dumps(migration, ensure_ascii=False)
    for claim in ("Möbius", "Erika", "1964", "Rue du Pont"):
        assert claim not in text
    assert phone.log()[-1]["type"] == "exported"


def test_what_was_forgotten_is_not_exported(world: WalletWorld) -> None:
    """WALLET_SECURITY 8: a tombstone tells nobody anything, in a file neither."""
    phone = world.phone_with(PID)
    phone.approve(phone.resolve(world.verifier.ask(IDENTITY)))
    phone.delete_log_entry(len(phone.log()))
    assert "Presentation" not in kinds(phone.export())


def test_an_export_needs_the_gesture(world: WalletWorld) -> None:
    """WALLET_SECURITY 4: no privileged act by session alone, and an approval is good for one."""
    phone = world.phone_with(PID)
    approval = phone._post("/export")["approval"]
    assert "migration" not in phone.approval(approval)
    gesture = phone.gesture(phone.approval(approval))
    assert phone._post(f"/approvals/{approval}/approve", gesture)["migration"]
    again = partial(phone._post, f"/approvals/{approval}/approve", gesture)
    assert refused(again) == "approval_used"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"issuer": "https://nobody.example"}, "unknown_agency"),
        ({"type": "urn:nothing:1"}, "nothing_renews"),
        ({"type": None}, "invalid_input"),
        ({"configuration": "pid"}, "invalid_input"),
    ],
)
def test_a_wish_from_a_file_is_believed_no_more_than_an_offer(
    world: WalletWorld, change: dict[str, Any], code: str
) -> None:
    """W-02, W-03: an agency of the trust list, and what its own metadata has."""
    wish = {"issuer": IDENTIFIER, "format": SD_JWT, "type": PID, **change}
    with pytest.raises(Refused) as caught:
        world.new_phone()._post("/issuances", wish)
    assert caught.value.code == code
