"""Data files: a second credential type is one file; whatever is wrong with one is said with its
name."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from issuer_service.catalogue import BUILT_IN, read_catalogue
from issuer_service.tenants import read_tenants
from shared.errors import ExpectedError, InvalidInput
from shared.formats import sd_jwt_vc
from shared.trust import Role
from tests.support.databases import sqlite_url
from tests.support.issuer import TENANT, IssuerWorld, Wallet, sample_register

GUIDE = Path(__file__).parents[2] / "docs" / "agency-guide.md"


def _example() -> dict[str, Any]:
    """The data file that the guide for agencies shows."""
    block = re.search(r"```json\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    content: dict[str, Any] = json.loads(block.group(1))
    return content


LIBRARY_CARD = _example() | {"status": {"ttl": 60, "suspension": False}}


def written(directory: Path, *contents: dict[str, Any]) -> Path:
    directory.mkdir(exist_ok=True)
    for number, content in enumerate(contents):
        (directory / f"file{number}.json").write_text(json.dumps(content))
    return directory


def test_a_second_credential_type_is_one_data_file(tmp_path: Path) -> None:
    """Issue 1, "Done when": issued, described and revocable, without a line of code."""
    own = written(tmp_path / "own", LIBRARY_CARD)
    register = sample_register(tmp_path)
    world = IssuerWorld.make(tmp_path, sqlite_url(tmp_path), register=register, credentials=own)
    metadata = world.client.get("/.well-known/openid-credential-issuer/registry").json()
    described = metadata["credential_configurations_supported"]["library_card"]
    assert described["vct"] == "urn:avelonia:library-card:1"
    assert described["scope"] == "library_card"
    document = world.client.get("/registry/types/urn:avelonia:library-card:1")
    assert document.json() == LIBRARY_CARD["type_metadata"]
    _, response = Wallet(world).collect("library_card", subject="AV-000001")
    found = sd_jwt_vc.verify(
        response["credentials"][0]["credential"],
        anchors=world.trust.current().anchors(Role.CREDENTIAL, now=world.clock()),
        now=world.clock(),
        algorithms=("ES256",),
    )
    assert found.vct == "urn:avelonia:library-card:1"
    assert found.claims["family_name"] == "Müller-Ångström"
    issued = world.api("POST", "/issuances/find", {"subject": "AV-000001"}).json()["issuances"][0]
    assert issued["allowed"] == ["revoke"]  # the file forbids suspension
    path = f"/issuances/{issued['issuance_id']}"
    suspended = world.api("POST", f"{path}/suspend", {"reason": "under_review"})
    assert (suspended.status, suspended.json()["allowed"]) == (409, ["revoke"])
    assert world.api("POST", f"{path}/revoke", {"reason": "withdrawn"}).status == 200
    world.close()


def test_types_of_another_ttl_have_lists_of_their_own(tmp_path: Path) -> None:
    """ST-42: ttl per configuration; lists are shared across types of one ttl."""
    own = written(tmp_path / "own", LIBRARY_CARD)
    register = sample_register(tmp_path)
    world = IssuerWorld.make(tmp_path, sqlite_url(tmp_path), register=register, credentials=own)
    for each in ("pid_sd_jwt", "residence_sd_jwt", "library_card"):
        Wallet(world).collect(each, subject="AV-000001")
    uris = world.client.get("/registry/statuslists").json()["status_lists"]
    assert len(uris) == 2
    ages = [
        world.client.get(uri.removeprefix("https://issuer.example")).headers["cache-control"]
        for uri in uris
    ]
    assert ages == ["public, max-age=300", "public, max-age=60"]
    world.close()


def test_the_built_in_types_are_those_of_the_design() -> None:
    """DESIGN 7, E-06: PID by its rulebook, mDL, proof of residence, disability and student cards;
    texts in the four languages of wallets and neighbours."""
    found = read_catalogue([BUILT_IN])
    assert {name: each.vct for name, each in found.items()} == {
        "disability_mdoc": "citizen-wallet.disability-card.1",
        "disability_sd_jwt": "urn:citizen-wallet:disability-card:1",
        "mdl": "org.iso.18013.5.1.mDL",
        "pid_mdoc": "eu.europa.ec.eudi.pid.1",
        "pid_sd_jwt": "urn:eudi:pid:1",
        "residence_sd_jwt": "urn:citizen-wallet:residence:1",
        "student_mdoc": "citizen-wallet.student-card.1",
        "student_sd_jwt": "urn:citizen-wallet:student-card:1",
    }
    for each in found.values():
        assert {text.locale for text in each.type.display or ()} == {"en", "fr", "de", "ar"}
        for rule in each.type.claims:
            assert {text.locale for text in rule.display} == {"en", "fr", "de", "ar"}, rule.path
            assert rule.sd != "allowed", rule.path  # F-TM-06


def test_an_own_file_replaces_a_built_in_one(tmp_path: Path) -> None:
    own = written(tmp_path / "own", {**LIBRARY_CARD, "id": "pid_sd_jwt"})
    found = read_catalogue([BUILT_IN, own])
    assert found["pid_sd_jwt"].vct == "urn:avelonia:library-card:1"


def test_a_type_may_extend_another_one(tmp_path: Path) -> None:
    """F-TM-04: a domestic PID inherits the claims and rules of the European one."""
    domestic = {
        **LIBRARY_CARD,
        "id": "domestic_pid",
        "type_metadata": {"vct": "urn:eudi:pid:av:1", "extends": "urn:eudi:pid:1", "name": "PID"},
    }
    found = read_catalogue([BUILT_IN, written(tmp_path / "own", domestic)])["domestic_pid"]
    assert ("family_name",) in {rule.path for rule in found.type.claims}
    domestic["type_metadata"] = {"vct": "urn:x:1", "extends": "urn:nowhere:1"}
    own = written(tmp_path / "own", domestic)
    with pytest.raises(InvalidInput, match=r"file0\.json"):
        read_catalogue([own])


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "blue"},
        {"format": "mso_mdoc"},
        {"scope": "two words"},
        {"validity_days": 0},
        {"batch_size": 21},
        {"status": {"ttl": 0}},
        {"status": {"suspend": True}},
        {"type_metadata": {"vct": "https://example.org/card"}},
        {"type_metadata": {"vct": "urn:x:1", "claims": [{"path": []}]}},
        {"register": {"name": {"field": "name", "as": "magic"}}},
        {"register": {"name": {"as": "text"}}},
    ],
)
def test_a_faulty_file_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    """DESIGN 2.9: an agency joins with data files, so what is wrong with one is said plainly."""
    with pytest.raises(InvalidInput, match=r"^file0\.json: "):
        read_catalogue([written(tmp_path / "own", {**LIBRARY_CARD, **change})])


def test_two_files_with_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="taken"):
        read_catalogue([written(tmp_path / "own", LIBRARY_CARD, LIBRARY_CARD)])


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "api"},
        {"tenant": "Upper"},
        {"tenant": "other"},
        {"names": {}},
        {"country": "Avelonia"},
        {"wallets": True},
    ],
)
def test_a_faulty_tenant_file_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "registry.json").write_text(json.dumps({**TENANT, **change}))
    with pytest.raises(InvalidInput, match=r"^registry\.json: "):
        read_tenants(tmp_path)


def test_a_service_without_tenants_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        read_tenants(tmp_path)


def test_a_tenant_cannot_offer_what_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(ExpectedError, match="unknown credentials"):
        IssuerWorld.make(
            tmp_path, sqlite_url(tmp_path), tenants=({**TENANT, "credentials": ["diploma"]},)
        )
