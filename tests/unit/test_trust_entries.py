"""The trust list as data: strict to read, and what its lookups answer."""

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.crypto.x509 import Profile, VerifiedChain, thumbprint, verify_chain
from shared.errors import InvalidInput, NotFound, Untrusted
from shared.trust import Entity, Issue, Role, TrustList, may_issue
from tests.support.certificates import Authority
from tests.support.clock import NOW
from tests.support.trust import (
    CONTACTS,
    INTEGRITY,
    PID,
    RESIDENCE,
    SD_JWT,
    DemoTrust,
    ask,
    demo_trust,
    document,
    issue,
    trust_list,
)


@pytest.fixture
def trust() -> DemoTrust:
    return demo_trust()


def chain_of(trust: DemoTrust, role: Role, *, now: datetime = NOW) -> VerifiedChain:
    agency = {Role.ACCESS: trust.counter, Role.WALLET_PROVIDER: trust.provider}.get(
        role, trust.registry
    )
    signer = agency.signer(role)
    anchors = agency.authorities[role].anchors
    return verify_chain(signer.certificates, anchors=anchors, profile=Profile(role), now=now)


def day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def pid_entry(entity: Entity, issued_at: datetime | None, *, now: datetime = NOW) -> Issue:
    return may_issue(
        entity, credential_format=SD_JWT, credential_type=PID, issued_at=issued_at, now=now
    )


# Anchors and entities


@pytest.mark.parametrize("role", list(Role))
def test_a_chain_names_its_entity_in_its_own_role_only(trust: DemoTrust, role: Role) -> None:
    """C-22: anchors apart for each role."""
    chain = chain_of(trust, role)
    entity = trust.held.entity_for_chain(role, chain, now=NOW)
    assert chain.anchor in entity.anchors_for(role)
    for other in set(Role) - {role}:
        assert chain.anchor not in trust.held.anchors(other, now=NOW)
        with pytest.raises(Untrusted, match="nobody's"):
            trust.held.entity_for_chain(other, chain, now=NOW)


def test_anchors_for_a_type_are_those_of_entities_that_may_issue_it(trust: DemoTrust) -> None:
    """C-23: trust stores are separated by credential type."""
    other = demo_trust(issues=[issue(RESIDENCE)]).registry
    both = trust_list(
        trust.registry.entry(issues=[issue(PID)]), other.entry(id="ent_o", credential_issuers=[])
    )
    pid = both.anchors(Role.CREDENTIAL, now=NOW, credential_type=PID)
    assert pid == trust.registry.authorities[Role.CREDENTIAL].anchors
    assert len(both.anchors(Role.CREDENTIAL, now=NOW)) == 2
    assert both.anchors(Role.CREDENTIAL, now=NOW, credential_type="urn:unknown") == frozenset()


def test_anchors_are_the_same_object_until_a_window_changes(trust: DemoTrust) -> None:
    held = trust_list(trust.counter.entry(valid_until=day(NOW + timedelta(hours=1))))
    first = held.anchors(Role.ACCESS, now=NOW)
    assert held.anchors(Role.ACCESS, now=NOW + timedelta(minutes=59)) is first
    assert held.anchors(Role.ACCESS, now=NOW + timedelta(hours=1)) == frozenset()


def test_entities_are_found_by_id_and_by_issuer_identifier(trust: DemoTrust) -> None:
    """C-35: compared as plain strings."""
    assert trust.held.entity_by_id("ent_counter").names["fr"].startswith("Impôts")
    issuer = "https://issuer.example/registry"
    assert trust.held.entity_for_issuer(issuer).id == "ent_registry"
    with pytest.raises(NotFound):
        trust.held.entity_by_id("ent_nobody")
    with pytest.raises(Untrusted):
        trust.held.entity_for_issuer(issuer + "/")


def test_a_revoked_certificate_counts_no_more_and_others_of_the_entity_do(
    trust: DemoTrust,
) -> None:
    """DESIGN 4: revoked thumbprints."""
    chain, other = (chain_of(trust, Role.CREDENTIAL) for _ in range(2))
    held = trust_list(trust.registry.entry(revoked=[thumbprint(chain.leaf)]))
    assert held.revoked == {thumbprint(chain.leaf)}
    with pytest.raises(Untrusted, match="revoked"):
        held.entity_for_chain(Role.CREDENTIAL, chain, now=NOW)
    assert held.entity_for_chain(Role.CREDENTIAL, other, now=NOW).id == "ent_registry"
    whole = trust_list(trust.registry.entry(revoked=[thumbprint(chain.anchor)]))
    with pytest.raises(Untrusted, match="revoked"):
        whole.entity_for_chain(Role.CREDENTIAL, other, now=NOW)


def test_a_withdrawn_entity_asks_and_provides_no_more(trust: DemoTrust) -> None:
    ended = day(NOW)
    held = trust_list(
        *(
            agency.entry(valid_until=ended)
            for agency in (trust.registry, trust.counter, trust.provider)
        )
    )
    before = NOW - timedelta(seconds=1)
    for role in (Role.ACCESS, Role.WALLET_PROVIDER, Role.METADATA):
        chain = chain_of(trust, role)
        assert held.entity_for_chain(role, chain, now=before)
        assert held.anchors(role, now=before)
        with pytest.raises(Untrusted, match="not in force"):
            held.entity_for_chain(role, chain, now=NOW)
        assert held.anchors(role, now=NOW) == frozenset()


def test_what_was_issued_before_a_withdrawal_stays_believable(trust: DemoTrust) -> None:
    """DESIGN 4: "issued before withdrawal"; its status lists go on counting too."""
    held = trust_list(trust.registry.entry(valid_until=day(NOW)))
    later = NOW + timedelta(days=100)
    entity = held.entity_by_id("ent_registry")
    for role in (Role.CREDENTIAL, Role.STATUS):
        assert held.entity_for_chain(role, chain_of(trust, role), now=later) is entity
        assert held.anchors(role, now=later)
    assert pid_entry(entity, NOW - timedelta(seconds=1), now=later)
    for moment in (NOW, later, None):
        with pytest.raises(Untrusted, match="at that time"):
            pid_entry(entity, moment, now=later)


def test_an_entity_counts_from_the_day_of_its_beginning(trust: DemoTrust) -> None:
    """Dates in credentials are rounded down to the UTC day: the first day's are not too early."""
    held = trust_list(trust.registry.entry(valid_from=day(NOW)))
    entity = held.entity_by_id("ent_registry")
    midnight = NOW.replace(hour=0)
    assert pid_entry(entity, midnight).type == PID
    with pytest.raises(Untrusted):
        pid_entry(entity, midnight - timedelta(seconds=1))
    chain = chain_of(trust, Role.CREDENTIAL, now=midnight)
    assert held.entity_for_chain(Role.CREDENTIAL, chain, now=midnight)
    with pytest.raises(Untrusted, match="not in force"):
        held.entity_for_chain(Role.CREDENTIAL, chain, now=midnight - timedelta(seconds=1))
    assert held.anchors(Role.STATUS, now=midnight - timedelta(seconds=1)) == frozenset()


@pytest.mark.parametrize(
    ("credential_format", "credential_type"),
    [(SD_JWT, "urn:other"), ("mso_mdoc", PID), (SD_JWT, PID + "x")],
)
def test_an_entity_may_not_issue_another_type_or_format(
    trust: DemoTrust, credential_format: str, credential_type: str
) -> None:
    """C-23 [SDVC 10.6]."""
    entity = trust.held.entity_by_id("ent_registry")
    with pytest.raises(Untrusted, match="this type"):
        may_issue(
            entity,
            credential_format=credential_format,
            credential_type=credential_type,
            issued_at=NOW,
            now=NOW,
        )


def test_the_right_to_issue_one_type_can_begin_and_end_on_its_own(trust: DemoTrust) -> None:
    first = issue(PID, valid_until="2027-01-01T00:00:00Z")
    again = issue(PID, valid_from="2027-02-01T00:00:00Z")
    entity = trust_list(trust.registry.entry(issues=[first, again])).entity_by_id("ent_registry")
    assert pid_entry(entity, NOW).valid_from is not None
    assert pid_entry(entity, NOW.replace(year=2026)).valid_until is not None
    with pytest.raises(Untrusted):
        pid_entry(entity, NOW.replace(month=1))


def test_an_entry_says_where_type_metadata_comes_from(trust: DemoTrust) -> None:
    """F-TM-02, F-TM-03: location and integrity stand in the trust list."""
    entity = trust.held.entity_by_id("ent_registry")
    entry = pid_entry(entity, NOW)
    assert entry.type_metadata is not None
    assert entry.type_metadata.integrity == INTEGRITY


# Pinned leaves


def pinned_entry(trust: DemoTrust, leaf: bytes, **members: Any) -> dict[str, Any]:
    pinned = {
        "certificate": base64.b64encode(leaf).decode(),
        "role": "credential",
        "type": PID,
        "expires": day(NOW + timedelta(days=1)),
    }
    return trust.registry.entry(anchors={}, pinned=[pinned | members])


def test_a_pinned_leaf_is_believed_for_its_type_until_it_expires(trust: DemoTrust) -> None:
    """DESIGN 4, CERTIFICATION 2.5.4: pinned leaf with type and expiry, stamped TEST."""
    stranger = Authority.make("Stranger").signer(Profile.CREDENTIAL)
    held = trust_list(pinned_entry(trust, stranger.certificates[0]))
    assert held.is_test
    pins = held.pinned(Role.CREDENTIAL, now=NOW, credential_type=PID)
    assert pins == {stranger.certificates[0]}
    chain = verify_chain(
        stranger.certificates, anchors=(), profile=Profile.CREDENTIAL, now=NOW, pinned=pins
    )
    assert held.entity_for_chain(Role.CREDENTIAL, chain, now=NOW).id == "ent_registry"
    later = NOW + timedelta(days=1)
    assert held.pinned(Role.CREDENTIAL, now=later, credential_type=PID) == frozenset()
    with pytest.raises(Untrusted, match="pinned"):
        held.entity_for_chain(Role.CREDENTIAL, chain, now=later)
    assert held.pinned(Role.CREDENTIAL, now=NOW, credential_type=RESIDENCE) == frozenset()
    assert held.pinned(Role.STATUS, now=NOW) == frozenset()


def test_pinned_leaves_and_local_entries_are_refused_in_production(trust: DemoTrust) -> None:
    leaf = trust.registry.signer(Role.CREDENTIAL).certificates[0]
    with pytest.raises(InvalidInput, match="production"):
        trust_list(pinned_entry(trust, leaf), environment="production")
    production = trust_list(trust.counter.entry(), environment="production")
    assert not production.is_test
    with pytest.raises(InvalidInput, match="production"):
        production.with_local(trust_list(trust.provider.entry()))
    with pytest.raises(InvalidInput, match="production"):
        trust_list(trust.provider.entry()).with_local(production)


def test_local_entries_cannot_take_over_what_is_listed(trust: DemoTrust) -> None:
    with pytest.raises(InvalidInput, match="twice"):
        trust.held.with_local(trust_list(trust.counter.entry(anchors={})))
    with pytest.raises(InvalidInput, match="two entities"):
        trust.held.with_local(trust_list(trust.counter.entry(id="ent_other")))


# The document


def test_unknown_members_and_roles_are_ignored(trust: DemoTrust) -> None:
    """C-32."""
    entry = trust.counter.entry(colour="blue")
    entry["anchors"]["teleporter"] = entry["anchors"]["access"]
    held = trust_list(entry)
    assert held.anchors(Role.ACCESS, now=NOW)


def test_ids_anchors_and_issuers_belong_to_one_entity(trust: DemoTrust) -> None:
    for other, message in (
        (trust.provider.entry(id="ent_registry"), "id occurs twice"),
        (trust.registry.entry(id="ent_other", credential_issuers=[]), "anchor belongs to two"),
        (
            trust.provider.entry(credential_issuers=["https://issuer.example/registry"]),
            "issuer belongs to two",
        ),
    ):
        with pytest.raises(InvalidInput, match=message):
            trust_list(trust.registry.entry(), other)


WRONG: list[dict[str, Any]] = [
    {"id": "registry"},
    {"id": "ent_"},
    {"id": 7},
    {"names": {}},
    {"names": {"english": "x"}},
    {"names": {"en": ""}},
    {"names": {"en": "x" * 1001}},
    {"contacts": {}},
    {"contacts": {"support": {}, "data_protection": {}}},
    {"contacts": CONTACTS | {"support": {"uri": "javascript:alert(1)"}}},
    {"anchors": {"access": ["AAAA"]}},
    {"anchors": {"access": ["not base64"]}},
    {"anchors": {"access": [7]}},
    {"anchors": {"access": "x"}},
    {"valid_from": "2027-01-01"},
    {"valid_from": "2027-01-01T00:00:00+01:00"},
    {"valid_from": "2027-13-01T00:00:00Z"},
    {"valid_until": 1},
    {"revoked": ["AB" * 32]},
    {"revoked": ["ab"]},
    {"issues": [{"format": SD_JWT}]},
    {"issues": [{"format": SD_JWT, "type": PID, "type_metadata": {"uri": "x"}}]},
    {"issues": [issue(PID) | {"type_metadata": {"uri": "https://x", "integrity": "md5-x"}}]},
    {"asks": [ask("Over 18", PID)]},
    {"asks": [ask("age", PID, texts={})]},
    {"asks": [ask("age", PID, retention_seconds=-1)]},
    {"asks": [ask("age", PID, retention_seconds=1.5)]},
    {"asks": [ask("age", PID, cross_device="yes")]},
    {"asks": [ask("age", PID, [True])]},
    {"asks": [ask("age", PID, [-1])]},
    {"asks": [ask("age", PID, [])]},
    {"asks": [ask("age", PID), ask("age", RESIDENCE)]},
    {"pinned": [{"certificate": "x", "role": "credential", "expires": "2027-01-01T00:00:00Z"}]},
    {"credential_issuers": ["https://issuer.example/#x"]},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: json.dumps(wrong)[:60])
def test_a_malformed_entry_is_refused_and_its_place_is_named(
    trust: DemoTrust, wrong: Mapping[str, Any]
) -> None:
    [member] = wrong
    with pytest.raises(InvalidInput) as refused:
        trust_list(trust.counter.entry(**wrong))
    assert "entities.0" in str(refused.value)
    assert member in str(refused.value) or "names" in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format":"citizen-wallet-trust-list/2","environment":"test","entities":[]}',
        b'{"format":"citizen-wallet-trust-list/1","environment":"staging","entities":[]}',
        b'{"format":"citizen-wallet-trust-list/1","environment":"test"}',
        document().replace(b'"entities"', b'"environment": "production", "entities"'),
        b"\xef\xbb\xbf{}",
    ],
)
def test_another_document_is_refused(data: bytes) -> None:
    """C-31: duplicate names, and anything that is not this format."""
    with pytest.raises(InvalidInput):
        TrustList.parse(data, version=1)


def test_an_empty_list_trusts_nobody() -> None:
    held = TrustList.parse(document(), version=1)
    assert all(held.anchors(role, now=NOW) == frozenset() for role in Role)
