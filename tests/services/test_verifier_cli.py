"""`python -m verifier_service`: what an operator types, from nothing to a healthy service."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shared.runtime.clock import utc_now
from shared.runtime.keys import KeyDirectory
from shared.trust import Role
from tests.support.asgi import AsgiClient
from tests.support.clock import FixedClock
from tests.support.databases import sqlite_url
from tests.support.servers import Server, answer
from tests.support.trust import ASKS, DemoTrust, demo_trust
from tests.support.tuf import Publisher, published
from tests.support.verifier import TENANT
from verifier_service.__main__ import cli
from verifier_service.app import serve

PASSWORD = "a password for tests"


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def trust() -> DemoTrust:
    """Commands know no clock but the real one."""
    return demo_trust(now=utc_now())


@pytest.fixture
def publisher(tmp_path: Path, trust: DemoTrust) -> Publisher:
    return published(tmp_path, trust=trust, clock=FixedClock(utc_now()))


@pytest.fixture
def home(tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory of an installation, its environment set, its trust list on a web server."""

    def files(connection: socket.socket, request: bytes) -> None:
        file = publisher.served / request.split(b" ")[1].decode().lstrip("/")
        found = file.is_file()
        status = "200 OK" if found else "404 Not Found"
        answer(file.read_bytes() if found else b"", status=status)(connection, request)

    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "counter.json").write_text(json.dumps(TENANT))
    (tmp_path / "root.json").write_bytes(publisher.initial_root)
    with Server(files) as server:
        settings = {
            "PUBLIC_URL": "https://verifier.example",
            "DATABASE_URL": sqlite_url(tmp_path),
            "TRUST_URL": server.url,
            "INSECURE_HTTP_LOOPBACK": "true",
            "TRUST_ROOT": str(tmp_path / "root.json"),
            "KEY_DIRECTORY": str(tmp_path / "keys"),
            "KEY_PASSWORD": PASSWORD,
            "TENANTS_DIRECTORY": str(tmp_path / "tenants"),
        }
        for name, value in settings.items():
            monkeypatch.setenv(f"VERIFIER_{name}", value)
        yield tmp_path


def enrol(home: Path, trust: DemoTrust) -> None:
    signer = trust.counter.signer(Role.ACCESS, now=utc_now(), dns=["verifier.example"])
    file = home / "keys" / "counter" / "access.pem"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(signer.to_pem(password=PASSWORD.encode()))
    KeyDirectory(home / "keys", PASSWORD.encode()).install("counter", "access", signer.certificates)


def test_a_new_installation_becomes_healthy(home: Path, trust: DemoTrust) -> None:
    """STYLE, "Running": migrate, key; doctor says what is missing until nothing is."""
    assert "Run migrate" in run("doctor", code=1)
    run("migrate")
    assert "counter/access" in run("doctor", code=1)
    enrol(home, trust)
    assert "tenant counter: may ask all of its queries" in run("doctor")


def test_doctor_names_the_query_that_is_too_much(
    home: Path, trust: DemoTrust, publisher: Publisher
) -> None:
    """V-30, PAIN_POINTS 2.3: the wrong field by name, before a wallet refuses it."""
    run("migrate")
    enrol(home, trust)
    publisher.repository.put_entity(trust.counter.entry(asks=ASKS[:1]))
    publisher.repository.publish(utc_now())
    said = run("doctor", code=1)
    assert "query identity: " in said
    assert "query over_18" not in said


def test_a_registered_client_gets_a_token_of_the_served_app(home: Path, trust: DemoTrust) -> None:
    """V-01: the secret is printed once; `serve` is the app a worker process makes."""
    run("migrate")
    enrol(home, trust)
    secret = run("client", "counter", "desk").split()[-1].strip('"}')
    with AsgiClient(serve(), base_url="https://verifier.example") as client:
        assert client.get("/health/ready").json()["parts"] == {
            "database": True,
            "trust_list": True,
        }
        form = {
            "grant_type": "client_credentials",
            "client_id": "desk",
            "client_secret": secret,
        }
        token = client.post("/api/v1/counter/token", form=form).json()["access_token"]
        started = client.post(
            "/api/v1/counter/transactions",
            json={"query": "over_18"},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert started.status == 201, started.text


def test_an_entry_says_what_the_trust_list_has_to_allow(home: Path) -> None:
    """DESIGN journey 9: input of `wallet-trust request`; no key is needed for it."""
    asks = json.loads(run("entry", "counter"))["asks"]
    assert [each["purpose"] for each in asks] == [
        "proof_of_age",
        "identification",
        "proof_of_residence",
    ]
    assert asks[0]["credentials"][0]["claims"] == [["age_equal_or_over", "18"]]


def test_what_is_wrong_with_the_environment_is_said_at_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STYLE, "Settings": all of it, in words."""
    monkeypatch.delenv("VERIFIER_TENANTS_DIRECTORY")
    monkeypatch.setenv("VERIFIER_RESULT_DAYS", "0")
    said = run("doctor", code=2)
    assert "VERIFIER_TENANTS_DIRECTORY: is missing" in said
    assert "VERIFIER_RESULT_DAYS" in said


def test_staff_are_invited_to_the_counter(home: Path, trust: DemoTrust) -> None:
    """The same commands as the issuer's, with the verifier's roles."""
    run("migrate")
    enrol(home, trust)
    link = run("staff", "invite", "counter", "Ali Haddad", "--role", "verifier")
    assert link.startswith("https://verifier.example/staff/counter/join#")
    assert "Ali Haddad" in run("staff", "list", "counter")
    assert "roles are" in run("staff", "invite", "counter", "Eve", "--role", "offers", code=2)
