"""`python -m issuer_service`: what an operator types, from nothing to a healthy service."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from issuer_service.__main__ import cli
from issuer_service.app import serve
from shared.crypto.x509 import Profile
from shared.runtime.keys import KeyDirectory
from tests.support.asgi import AsgiClient
from tests.support.certificates import Authority
from tests.support.databases import sqlite_url
from tests.support.issuer import TENANT

PASSWORD = "a password for tests"


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of an installation, its environment set."""
    (tmp_path / "tenants").mkdir()
    tenant = {**TENANT, "register": {"database_url": f"sqlite:///{tmp_path / 'register.sqlite'}"}}
    (tmp_path / "tenants" / "registry.json").write_text(json.dumps(tenant))
    (tmp_path / "root.json").write_text("{}")
    settings = {
        "PUBLIC_URL": "https://issuer.example",
        "DATABASE_URL": sqlite_url(tmp_path),
        "TRUST_URL": "http://localhost:9",  # nobody answers there, and nobody has to
        "INSECURE_HTTP_LOOPBACK": "true",
        "TRUST_ROOT": str(tmp_path / "root.json"),
        "KEY_DIRECTORY": str(tmp_path / "keys"),
        "KEY_PASSWORD": PASSWORD,
        "TENANTS_DIRECTORY": str(tmp_path / "tenants"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"ISSUER_{name}", value)
    return tmp_path


def enrol(home: Path) -> None:
    keys = KeyDirectory(home / "keys", PASSWORD.encode())
    for purpose in ("credential", "status"):
        signer = Authority.make().signer(Profile(purpose), dns=["issuer.example"])
        file = home / "keys" / "registry" / f"{purpose}.pem"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(signer.to_pem(password=PASSWORD.encode()))
        keys.install("registry", purpose, signer.certificates)


def make_register(home: Path) -> None:
    run("register", "generate", str(home / "people.csv"))
    assert "1200 people" in run(
        "register", "load", str(home / "people.csv"), str(home / "register.sqlite")
    )


def test_a_new_installation_becomes_healthy(home: Path) -> None:
    """STYLE, "Running": migrate, keys, register; doctor says what is missing until nothing is."""
    sick = run("doctor", code=1)
    assert "Run migrate" in sick
    run("migrate")
    assert "registry/credential" in run("doctor", code=1)
    enrol(home)
    assert "register: not readable" in run("doctor", code=1)
    make_register(home)
    well = run("doctor", code=1)
    assert "tenant registry: ISSUER_TRUST_URL: " in well  # nobody publishes one here
    assert well.count("next: ") == 1
    issued = "mdl, pid_mdoc, pid_sd_jwt, residence_sd_jwt, student_mdoc, student_sd_jwt"
    assert (
        f"issues disability_mdoc, disability_sd_jwt, {issued} as https://issuer.example/registry"
        in well
    )
    assert "without attestation" in well


def test_migrating_twice_changes_nothing(home: Path) -> None:
    run("migrate")
    secrets = (home / "keys" / "secrets.json").read_bytes()
    run("migrate")
    assert (home / "keys" / "secrets.json").read_bytes() == secrets


def test_a_client_is_shown_its_secret_once(home: Path) -> None:
    """RFC 6749, section 4.4: with it, the served app gives a token; disabled, no more."""
    run("migrate")
    enrol(home)
    make_register(home)
    secret = run("client", "add", "registry", "desk", "--role", "offers").strip()
    form = {"grant_type": "client_credentials", "client_id": "desk", "client_secret": secret}
    with AsgiClient(serve()) as client:
        answer = client.post("/api/v1/registry/token", form=form)
        assert answer.json()["scope"] == "offers"
        run("client", "add", "registry", "desk", code=1)
        run("client", "disable", "registry", "desk")
        assert client.post("/api/v1/registry/token", form=form).status == 401
    run("client", "disable", "registry", "desk", code=2)
    run("client", "add", "registry", "other", "--role", "admin", code=2)
    run("client", "add", "nobody", "desk", code=2)


def test_the_entry_for_the_trust_list_names_every_type(home: Path) -> None:
    """DESIGN 4: identifier, types, location and integrity of their metadata."""
    entry = json.loads(run("entry", "registry"))
    assert entry["credential_issuers"] == ["https://issuer.example/registry"]
    assert [(each["format"], each["type"]) for each in entry["issues"]] == [
        ("mso_mdoc", "citizen-wallet.disability-card.1"),
        ("dc+sd-jwt", "urn:citizen-wallet:disability-card:1"),
        ("mso_mdoc", "org.iso.18013.5.1.mDL"),
        ("mso_mdoc", "eu.europa.ec.eudi.pid.1"),
        ("dc+sd-jwt", "urn:eudi:pid:1"),
        ("dc+sd-jwt", "urn:citizen-wallet:residence:1"),
        ("mso_mdoc", "citizen-wallet.student-card.1"),
        ("dc+sd-jwt", "urn:citizen-wallet:student-card:1"),
    ]
    assert entry["issues"][4]["type_metadata"]["uri"] == (
        "https://issuer.example/registry/types/urn:eudi:pid:1"
    )
    run("entry", "nobody", code=2)


def test_wrong_settings_are_all_said_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISSUER_TRUST_URL")
    monkeypatch.setenv("ISSUER_PUBLIC_URL", "http://issuer.example/")
    said = run("migrate", code=2)
    assert "ISSUER_TRUST_URL" in said
    assert "ISSUER_PUBLIC_URL" in said


def test_staff_are_invited_listed_and_disabled(home: Path) -> None:
    """Accounts are made on the command line alone; the code stands behind "#" in its link."""
    run("migrate")
    link = run("staff", "invite", "registry", "Zoë Müller", "--role", "offers", "--role", "read")
    start, _, code = link.strip().partition("#")
    assert start == "https://issuer.example/staff/registry/join"
    account = f"stf_{code[:22]}"
    listed = run("staff", "list", "registry")
    for part in (account, "Zoë Müller (offers, read; passkey)", "invited"):
        assert part in listed
    again = run("staff", "invite", "registry", "--account", account, "--role", "auditor")
    assert again.strip().partition("#")[2] != code
    assert "auditor" in run("staff", "list", "registry")
    run("staff", "disable", "registry", account)
    assert "disabled" in run("staff", "list", "registry")
    assert "no such account" in run("staff", "disable", "registry", account, code=2)
    assert "no such account" in run("staff", "invite", "registry", "--account", account, code=2)
    assert "no such tenant" in run("staff", "list", "nowhere", code=2)
    assert "roles are" in run("staff", "invite", "registry", "Eve", "--role", "boss", code=2)
    assert "roles are" in run("staff", "invite", "registry", "Eve", code=2)
    assert "either a name" in run("staff", "invite", "registry", code=2)
