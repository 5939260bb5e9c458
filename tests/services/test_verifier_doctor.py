"""`doctor` of the verifier: one thing broken at a time, and the field it is named by."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import Unavailable
from shared.runtime.doctor import Finding
from shared.trust import Role
from tests.support.clock import NOW
from tests.support.trust import (
    MDL,
    MDOC,
    PID,
    PID_MDOC,
    RESIDENCE,
    DemoTrust,
    demo_trust,
    issue,
    trust_list,
)
from tests.support.verifier import VerifierWorld, shared_trust, signer
from verifier_service.doctoring import examine
from verifier_service.tenants import Tenant

ISSUES = [
    issue(PID),
    issue(RESIDENCE),
    *(issue(each) | {"format": MDOC} for each in (PID_MDOC, MDL)),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    folder = tmp_path_factory.mktemp("doctor")
    with VerifierWorld.make(folder, f"sqlite:///{folder}/v.db") as made:
        yield made


def found(world: VerifierWorld, tenant: Tenant | None = None, **changes: Any) -> Finding:
    tenant = tenant or world.verifier.tenants["counter"]
    trust = changes.pop("trust", None) or replace(shared_trust())
    now = changes.pop("now", NOW)
    settings = world.verifier.settings.model_copy(update=changes)
    keys: Any = type("Keys", (), {"keyring": lambda _self, _name: None})()
    [finding] = examine(
        settings,
        keys=keys,
        tenants={"counter": tenant},
        trust=trust,
        now=now,
        random_bytes=world.verifier.random_bytes,
    )
    return finding


def listed(*entries: Any) -> Any:
    held = replace(shared_trust())
    held.held = trust_list(*entries)
    return held


class Down:
    def current(self) -> Any:
        raise Unavailable("the publisher is down")


def test_all_is_well(world: VerifierWorld) -> None:
    assert found(world) == Finding(
        "tenant counter: may ask all of its queries; a wallet reads every request"
    )


def test_the_address_is_not_https(world: VerifierWorld) -> None:
    finding = found(world, public_url="http://verifier.example")
    assert "VERIFIER_PUBLIC_URL: not https" in finding.what
    assert finding.next_step


def test_the_trust_list_cannot_be_had(world: VerifierWorld) -> None:
    assert "VERIFIER_TRUST_URL: " in found(world, trust=Down()).what


def test_the_certificate_is_of_nobody(world: VerifierWorld) -> None:
    """C-22: another authority, as after a mix-up of files."""
    other = demo_trust().counter.signer(Role.ACCESS, dns=["counter.example"])
    tenant = replace(world.verifier.tenants["counter"], signer=other)
    assert "keys/counter/access.crt: " in found(world, tenant).what


def test_the_certificate_has_expired(world: VerifierWorld) -> None:
    finding = found(world, now=NOW + timedelta(days=5000))
    assert "keys/counter/access.crt: " in finding.what


def test_the_certificate_was_renewed_but_the_client_id_is_old(world: VerifierWorld) -> None:
    """V-11: x509_hash of another leaf; every wallet would refuse the request."""
    tenant = world.verifier.tenants["counter"]
    old = replace(tenant, client_id="x509_hash:" + "A" * 43)
    assert "keys/counter/access.crt: " in found(world, old).what


def test_a_purpose_is_not_registered(world: VerifierWorld) -> None:
    trust = shared_trust()
    entry = trust.counter.entry()
    held = listed(trust.registry.entry(), entry | {"asks": entry["asks"][:1]})
    assert "query identity: purpose: " in found(world, trust=held).what


def test_nobody_issues_what_is_asked_for(world: VerifierWorld) -> None:
    trust = shared_trust()
    held = listed(trust.registry.entry(issues=[issue(PID)]), trust.counter.entry())
    finding = found(world, trust=held)
    assert "query address: dcql.credentials.meta: nobody" in finding.what


@pytest.mark.parametrize("field", ["return_origins", "webhook_url"])
def test_an_address_of_the_agency_is_not_https(world: VerifierWorld, field: str) -> None:
    value: Any = "http://portal.example"
    value = frozenset({value}) if field == "return_origins" else value
    tenant = replace(world.verifier.tenants["counter"], **{field: value})
    assert f"tenants/counter.json: {field}: not https" in found(world, tenant).what


def test_the_whole_list_with_mdoc_is_well_too(world: VerifierWorld) -> None:
    trust: DemoTrust = shared_trust()
    held = listed(trust.registry.entry(issues=ISSUES), trust.counter.entry())
    assert found(world, trust=held).next_step == ""
    assert signer(Role.ACCESS, "counter").certificates
