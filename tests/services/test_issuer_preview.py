"""`python -m issuer_service preview`: what one person would get, before anything is set up."""

import json
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from issuer_service.__main__ import cli
from issuer_service.sample_register import generate
from tests.support.databases import sqlite_url
from tests.support.issuer import TENANT, sample_register

PEOPLE = {each["reference"]: each for each in generate(seed=7, count=1_000)}
DEAD = next(reference for reference, each in PEOPLE.items() if "deceased" in each["marks"])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tenant file and a register; no keys, no migrated database, nothing enrolled."""
    (tmp_path / "tenants").mkdir()
    register = {"database_url": f"sqlite:///{sample_register(tmp_path)}"}
    content = json.dumps({**TENANT, "register": register})
    (tmp_path / "tenants" / "registry.json").write_text(content)
    for name, value in {
        "PUBLIC_URL": "https://issuer.example",
        "DATABASE_URL": sqlite_url(tmp_path),
        "TRUST_URL": "https://trust.example",
        "TRUST_ROOT": str(tmp_path / "root.json"),
        "KEY_DIRECTORY": str(tmp_path / "keys"),
        "KEY_PASSWORD": "none",
        "TENANTS_DIRECTORY": str(tmp_path / "tenants"),
    }.items():
        monkeypatch.setenv(f"ISSUER_{name}", value)
    return tmp_path


def run(*arguments: str, code: int = 0, typed: str | None = None) -> str:
    done = CliRunner().invoke(cli, ["preview", *arguments], input=typed)
    assert done.exit_code == code, done.output
    return done.output


def test_every_claim_is_shown(home: Path) -> None:
    """Issue 5, item 6: for each configuration, by the paths of its claims."""
    said = run("registry", "AV-000014")
    assert "residence_sd_jwt" in said
    assert "pid_mdoc" in said
    person = PEOPLE["AV-000014"]
    assert person["family_name"] in said
    assert "address.locality" in said
    assert "Civil Registry of Avelonia" in said


def test_programs_get_json(home: Path) -> None:
    (found,) = json.loads(run("registry", "AV-000014", "--credential", "pid_sd_jwt", "--json"))
    assert found["configuration"] == "pid_sd_jwt"
    assert found["claims"]["family_name"] == PEOPLE["AV-000014"]["family_name"]
    assert found["register_version"] == PEOPLE["AV-000014"]["version"]


def test_a_refusal_is_said_with_its_reason(home: Path) -> None:
    said = run("registry", DEAD, "--credential", "residence_sd_jwt")
    assert "not issued" in said
    assert "deceased" in said
    (found,) = json.loads(run("registry", DEAD, "--credential", "residence_sd_jwt", "--json"))
    assert "refused" in found


def test_the_reference_may_be_asked_for(home: Path) -> None:
    """So that it stands in no shell history."""
    assert PEOPLE["AV-000014"]["family_name"] in run("registry", typed="AV-000014\n")


def test_nobody_and_nothing_are_told_apart(home: Path) -> None:
    assert "no entry" in run("registry", "AV-999999", code=1)
    run("nobody", "AV-000014", code=2)
    run("registry", "AV-000014", "--credential", "none", code=2)
    content = json.dumps({**TENANT, "register": {"database_url": f"sqlite:///{home}/no.db"}})
    (home / "tenants" / "registry.json").write_text(content)
    assert "does not answer" in run("registry", "AV-000014", code=1)


def test_help_says_what_it_does_and_does_not(home: Path) -> None:
    said = " ".join(run("--help").replace("│", " ").split())
    assert "Issues nothing, stores nothing, logs nothing" in said
    assert "shell history" in said


def test_nothing_is_logged(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """S-44."""
    with caplog.at_level(logging.DEBUG):
        run("registry", "AV-000014")
    person = PEOPLE["AV-000014"]
    assert not any(each in caplog.text for each in ("AV-000014", person["family_name"]))
