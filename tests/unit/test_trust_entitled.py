"""`entitled()`: what a registered purpose lets a verifier ask."""

from datetime import timedelta

import pytest

from shared.trust import ClaimPath, Entitlement, Entity, Wanted, entitled
from tests.support.clock import NOW
from tests.support.trust import PID, RESIDENCE, SD_JWT, ask, demo_trust, trust_list

TRUST = demo_trust()
ENTRY = TRUST.held.entity_by_id("ent_counter")


def wanted(*claims: ClaimPath, types: tuple[str, ...] = (PID,), **options: str) -> Wanted:
    return Wanted(options.get("id", "pid"), options.get("format", SD_JWT), types, claims)


def asked(
    *query: Wanted,
    purpose: str | None = "identification",
    entry: Entity = ENTRY,
    cross_device: bool = False,
) -> Entitlement:
    return entitled(query, entry, purpose=purpose, cross_device=cross_device, now=NOW)


def entry_asking(*claims: list[str | int | None]) -> Entity:
    entry = TRUST.counter.entry(asks=[ask("p", PID, *claims)])
    return trust_list(entry).entity_by_id("ent_counter")


def test_a_query_within_its_purpose_is_allowed() -> None:
    """V-30: minimal claims; the purpose's texts come from the list."""
    found = asked(wanted(("family_name",), ("birthdate",)))
    assert found.allowed
    assert found.warnings == ()
    assert found.ask is not None
    assert found.ask.texts["fr"] == "Finalité identification"


def test_asking_for_one_claim_more_names_that_claim() -> None:
    """Over-asking, claim by claim (W-57: what is too much is shown)."""
    found = asked(wanted(("family_name",), ("portrait",), id="a"), wanted(("sex",), id="b"))
    assert found.over_asked == (("a", ("portrait",)), ("b", ("sex",)))
    assert found.warnings == ("over_asked",)
    assert not found.allowed


@pytest.mark.parametrize("purpose", [None, "unknown", "Identification"])
def test_without_a_registered_purpose_everything_is_too_much(purpose: str | None) -> None:
    """V-31, W-57."""
    found = asked(wanted(("family_name",)), purpose=purpose)
    assert found.ask is None
    assert found.over_asked == (("pid", ("family_name",)),)
    assert found.warnings == ("purpose_unknown", "type_not_registered", "over_asked")


def test_the_claims_of_one_purpose_do_not_serve_another() -> None:
    assert asked(wanted(("age_equal_or_over", "18")), purpose="proof_of_age").allowed
    assert not asked(wanted(("family_name",)), purpose="proof_of_age").allowed
    assert not asked(wanted(("age_equal_or_over", "18"))).allowed


def test_another_type_or_format_is_not_registered() -> None:
    """C-23 on the asking side; doctypes and vcts alike."""
    for query in (
        wanted(("family_name",), types=(RESIDENCE,)),
        wanted(("family_name",), types=("urn:other",)),
        wanted(("family_name",), format="mso_mdoc"),
    ):
        found = asked(query)
        assert found.types_not_registered == ("pid",)
        assert found.over_asked == (("pid", ("family_name",)),)


def test_every_type_that_may_answer_must_be_registered() -> None:
    found = asked(wanted(("family_name",), types=(PID, "urn:other")))
    assert found.warnings == ("type_not_registered", "over_asked")
    nothing_named = asked(wanted(("family_name",), types=()))
    assert nothing_named.warnings == ("type_not_registered", "over_asked")


def test_a_credential_without_claims_needs_its_type_alone() -> None:
    assert asked(wanted()).allowed
    assert asked(wanted(types=(RESIDENCE,))).warnings == ("type_not_registered",)


def test_cross_device_needs_its_own_permission() -> None:
    """A7, E-05: relayed QR codes; the entry says whether the purpose works across devices."""
    assert asked(wanted(("family_name",)), cross_device=True).allowed
    entry = TRUST.counter.entry(asks=[ask("p", PID, ["family_name"], cross_device=False)])
    strict = trust_list(entry).entity_by_id("ent_counter")
    query = wanted(("family_name",))
    assert asked(query, purpose="p", entry=strict).allowed
    found = asked(query, purpose="p", entry=strict, cross_device=True)
    assert found.warnings == ("cross_device_not_allowed",)
    assert "cross_device_not_allowed" in asked(query, purpose=None, cross_device=True).warnings


@pytest.mark.parametrize(
    ("registered", "path", "covered"),
    [
        (["address"], ("address",), True),
        (["address"], ("address", "locality"), True),
        (["address", "locality"], ("address",), False),
        (["address", "locality"], ("address", "locality"), True),
        (["address", "locality"], ("address", "postal_code"), False),
        (["nationalities"], ("nationalities", None), True),
        (["nationalities", None], ("nationalities", 0), True),
        (["nationalities", None], ("nationalities", None), True),
        (["nationalities", None], ("nationalities",), False),
        (["nationalities", None], ("nationalities", "0"), False),
        (["nationalities", 0], ("nationalities", None), False),
        (["nationalities", 0], ("nationalities", 1), False),
        (["degrees", None, "type"], ("degrees", 2, "type"), True),
        (["degrees", None, "type"], ("degrees", 2, "grade"), False),
    ],
)
def test_a_registered_path_covers_itself_and_what_lies_below(
    registered: list[str | int | None], path: ClaimPath, covered: bool
) -> None:
    """F-CP-01: null is every index; a path leads to everything below it."""
    found = asked(wanted(path), purpose="p", entry=entry_asking(registered))
    assert found.allowed is covered


def test_withdrawn_entities_and_ended_purposes_entitle_to_nothing() -> None:
    query = wanted(("family_name",))
    ended = (NOW).strftime("%Y-%m-%dT%H:%M:%SZ")
    for entry in (
        TRUST.counter.entry(valid_until=ended),
        TRUST.counter.entry(asks=[ask("identification", PID, ["family_name"], valid_until=ended)]),
    ):
        entity = trust_list(entry).entity_by_id("ent_counter")
        assert "purpose_unknown" in asked(query, entry=entity).warnings
        before = NOW - timedelta(seconds=1)
        assert entitled(
            [query], entity, purpose="identification", cross_device=False, now=before
        ).allowed
