"""`doctor` of the issuer: one thing broken at a time, and the field it is named by."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from issuer_service.context import Tenant
from issuer_service.doctoring import examine
from shared.errors import Unavailable
from shared.runtime.doctor import Finding
from shared.trust import Role
from tests.support.clock import NOW
from tests.support.issuer import IssuerWorld
from tests.support.trust import demo_trust, trust_list


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("doctor")
    made = IssuerWorld.make(folder, f"sqlite:///{folder}/i.db")
    yield made
    made.close()


class Source:
    """Stands where a service has its trust list client."""

    def __init__(self, *entries: Any) -> None:
        self.held = trust_list(*entries)

    def current(self) -> Any:
        return self.held


class Down:
    def current(self) -> Any:
        raise Unavailable("the publisher is down")


def entry(world: IssuerWorld, **members: Any) -> dict[str, Any]:
    """As `wallet-trust` would have it for this agency."""
    issues = [
        {
            "format": each.file.format,
            "type": each.vct,
            "type_metadata": {
                "uri": f"https://types.example/{each.vct}",
                "integrity": each.integrity,
            },
        }
        for each in world.issuer.tenants["registry"].configurations.values()
    ]
    return world.trust.registry.entry(issues=issues) | members


def found(world: IssuerWorld, *, trust: Any = None, **changes: Any) -> Finding:
    tenant: Tenant = replace(world.issuer.tenants["registry"], **changes.pop("tenant", {}))
    now = changes.pop("now", NOW)
    settings = world.issuer.settings.model_copy(update=changes)
    source = trust or Source(entry(world))
    [finding] = examine(settings, tenants={"registry": tenant}, trust=source, now=now)
    return finding


def test_all_is_well(world: IssuerWorld) -> None:
    finding = found(world)
    assert "wallets and verifiers believe " in finding.what
    assert "pid_sd_jwt" in finding.what
    assert finding.next_step == ""


def test_the_address_is_not_https(world: IssuerWorld) -> None:
    finding = found(world, public_url="http://issuer.example")
    assert "ISSUER_PUBLIC_URL: not https" in finding.what
    assert finding.next_step


def test_the_trust_list_cannot_be_had(world: IssuerWorld) -> None:
    assert "ISSUER_TRUST_URL: " in found(world, trust=Down()).what


def test_the_identifier_is_another_one_than_registered(world: IssuerWorld) -> None:
    """C-35: byte for byte."""
    trust = Source(entry(world, credential_issuers=["https://issuer.example/registry/"]))
    assert "ISSUER_PUBLIC_URL, or credential_issuers" in found(world, trust=trust).what


def test_a_type_is_not_registered(world: IssuerWorld) -> None:
    """C-23."""
    complete = entry(world)
    trust = Source(complete | {"issues": complete["issues"][:1]})
    what = found(world, trust=trust).what
    assert "issues in the trust list (credentials/" in what


def test_the_type_metadata_was_changed_after_registering(world: IssuerWorld) -> None:
    """F-TM-03: wallets hold the served document against the registered digest."""
    complete = entry(world)
    first = complete["issues"][0]
    other = first | {"type_metadata": first["type_metadata"] | {"integrity": "sha256-AAAA"}}
    trust = Source(complete | {"issues": [other, *complete["issues"][1:]]})
    what = found(world, trust=trust).what
    assert "type_metadata.integrity in the trust list (credentials/" in what


@pytest.mark.parametrize("purpose", ["credential", "status", "metadata"])
def test_a_certificate_is_of_nobody(world: IssuerWorld, purpose: str) -> None:
    """C-22: another authority, as after a mix-up of files."""
    other = demo_trust().registry.signer(Role(purpose), dns=["issuer.example"], country="AV")
    what = found(world, tenant={f"{purpose}_key": other}).what
    assert f"keys/registry/{purpose}.crt: " in what


def test_certificates_are_swapped(world: IssuerWorld) -> None:
    """C-10: the status key's certificate where the credential key's should be."""
    tenant = world.issuer.tenants["registry"]
    what = found(world, tenant={"credential_key": tenant.status_key}).what
    assert "keys/registry/credential.crt: " in what


def test_the_certificate_has_expired(world: IssuerWorld) -> None:
    what = found(world, now=NOW + timedelta(days=5000)).what
    assert "keys/registry/credential.crt: " in what


def test_no_wallet_could_come(world: IssuerWorld) -> None:
    """I-30: attestation is demanded, and nobody who attests is trusted."""
    file = world.issuer.tenants["registry"].file
    strict = file.model_copy(update={"wallets_without_attestation": False})
    what = found(world, tenant={"file": strict}).what
    assert "wallet_provider in the trust list" in what
