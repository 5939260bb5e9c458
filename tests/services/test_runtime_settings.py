"""runtime/settings.py, keys.py, serving.py and cli.py: what an operator meets."""

import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
from pydantic import Field, SecretStr
from typer.testing import CliRunner

from shared.crypto.x509 import Profile, to_pem
from shared.errors import InvalidInput, NotFound
from shared.runtime.cli import Service, make_cli
from shared.runtime.keys import KeyDirectory
from shared.runtime.serving import run, tls_context
from shared.runtime.settings import (
    ServiceSettings,
    SettingsInvalid,
    env_config,
    load_settings,
    settings_table,
)
from tests.support.certificates import Authority
from tests.support.clock import CountingBytes


class SampleSettings(ServiceSettings):
    """A service with one setting of its own."""

    model_config = env_config("SAMPLE_")

    letters: SecretStr | None = Field(default=None, description="A secret of this service alone.")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The least that a service needs."""
    for name in [each for each in os.environ if each.startswith("SAMPLE_")]:
        monkeypatch.delenv(name)
    values = {
        "PUBLIC_URL": "https://issuer.example",
        "DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        "TRUST_URL": "https://trust.example/list",
        "TRUST_ROOT": str(tmp_path / "root.json"),
        "KEY_DIRECTORY": str(tmp_path / "keys"),
        "KEY_PASSWORD": "a password",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"SAMPLE_{name}", value)
    return monkeypatch


def test_the_least_is_enough_and_the_rest_is_secure(environment: pytest.MonkeyPatch) -> None:
    settings = load_settings(SampleSettings)
    assert settings.public_url == "https://issuer.example"
    assert (settings.host, settings.workers, settings.permitted_ports) == ("127.0.0.1", 1, (443,))
    assert not settings.insecure_http_loopback
    assert settings.insecure() == ()
    assert "a password" not in repr(settings)


def test_everything_wrong_is_said_at_once_by_variable_and_without_values(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.delenv("SAMPLE_TRUST_ROOT")
    environment.setenv("SAMPLE_KEY_PASSWORD", "")
    environment.setenv("SAMPLE_PORT", "http")
    environment.setenv("SAMPLE_LOG_LEVEL", "LOUD")
    environment.setenv("SAMPLE_PUBLIC_URL", "issuer.example")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(SampleSettings)
    problems = "\n".join(caught.value.problems)
    for name in ("TRUST_ROOT: is missing", "KEY_PASSWORD: is missing", "PORT: ", "LOG_LEVEL: "):
        assert f"SAMPLE_{name}" in problems
    assert "SAMPLE_PUBLIC_URL: is not a URL such as https://issuer.example" in problems
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PUBLIC_URL", "http://issuer.example", "public_url must be https"),
        ("PUBLIC_URL", "http://localhost:8100", "public_url must be https"),
        ("TRUST_URL", "http://trust.example", "trust_url must be https"),
        ("PUBLIC_URL", "https://issuer.example/", "must not end in a slash"),
        ("PUBLIC_URL", "https://me:pw@issuer.example", "must not end in a slash or carry a user"),
        ("TLS_CERTIFICATE", __file__, "belong together"),
        ("CA_BUNDLE", "/nowhere/ca.pem", "no such file"),
        ("PERMITTED_PORTS", "443,https", "PERMITTED_PORTS"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    environment: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    """C-50: plain http is for loopback, by a setting of its own."""
    environment.setenv(f"SAMPLE_{name}", value)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(SampleSettings)
    assert words in "\n".join(caught.value.problems)


def test_insecure_comfort_has_its_own_setting_and_warns(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environment.setenv("SAMPLE_INSECURE_HTTP_LOOPBACK", "true")
    environment.setenv("SAMPLE_PUBLIC_URL", "http://localhost:8100")
    settings = load_settings(SampleSettings)
    assert len(settings.insecure()) == 1
    settings.warn()
    assert "insecure_setting" in caplog.text
    environment.setenv("SAMPLE_PUBLIC_URL", "http://issuer.example")
    with pytest.raises(SettingsInvalid):
        load_settings(SampleSettings)


def test_secrets_may_stand_in_files(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    environment.delenv("SAMPLE_KEY_PASSWORD")
    environment.setenv("SAMPLE_KEY_PASSWORD_FILE", str(tmp_path / "password"))
    environment.setenv("SAMPLE_LETTERS_FILE", str(tmp_path / "password"))
    settings = load_settings(SampleSettings)
    assert settings.key_password.get_secret_value() == "from a file"
    assert settings.letters is not None
    assert settings.letters.get_secret_value() == "from a file"
    environment.setenv("SAMPLE_KEY_PASSWORD_FILE", "/nowhere/password")
    with pytest.raises(SettingsInvalid, match="SAMPLE_KEY_PASSWORD_FILE: cannot be read"):
        load_settings(SampleSettings)


def test_lists_have_commas(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SAMPLE_PERMITTED_PRIVATE_HOSTS", "a.internal, b.internal:8443,")
    environment.setenv("SAMPLE_PERMITTED_PORTS", "443,8443")
    settings = load_settings(SampleSettings)
    assert settings.permitted_private_hosts == ("a.internal", "b.internal:8443")
    assert settings.permitted_ports == (443, 8443)


def test_the_table_explains_every_setting() -> None:
    table = settings_table(SampleSettings)
    assert "| `SAMPLE_PUBLIC_URL` | required | Base URL" in table
    assert "| `SAMPLE_KEY_PASSWORD` (or `…_FILE`) | required |" in table
    assert "| `SAMPLE_INSECURE_HTTP_LOOPBACK` | `false` | INSECURE" in table
    assert "| `SAMPLE_LETTERS` (or `…_FILE`) | none |" in table
    for name, field in SampleSettings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


# --- keys


@pytest.fixture
def keys(tmp_path: Path) -> KeyDirectory:
    return KeyDirectory(tmp_path / "keys", b"a password")


def test_a_key_is_made_once_and_found_again_with_its_certificates(keys: KeyDirectory) -> None:
    """S-30, C-10: encrypted at rest, one file for each tenant and purpose."""
    made = keys.create("registry", "credential")
    authority = Authority.make()
    certified = authority.signer(Profile.CREDENTIAL, key=made)
    keys.install("registry", "credential", certified.certificates)
    again = KeyDirectory(keys.path, b"a password").signer("registry", "credential")
    assert again.public == made.public
    assert again.certificates == certified.certificates
    assert keys.tenants() == ("registry",)
    assert keys.purposes("registry") == ("credential",)
    made.public.verify(again.sign(b"x"), b"x")
    with pytest.raises(InvalidInput, match="exists"):
        keys.create("registry", "credential")


def test_key_files_are_encrypted_and_for_their_owner_alone(keys: KeyDirectory) -> None:
    keys.create("registry", "status")
    file = keys.path / "registry" / "status.pem"
    assert b"ENCRYPTED PRIVATE KEY" in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_wrong_password_or_a_missing_key_is_said_as_such(keys: KeyDirectory) -> None:
    keys.create("registry", "status")
    with pytest.raises(InvalidInput):
        KeyDirectory(keys.path, b"another").signer("registry", "status")
    with pytest.raises(NotFound):
        keys.signer("registry", "credential")
    with pytest.raises(InvalidInput):
        KeyDirectory(keys.path, b"")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "Ä", "a" * 65, "-x", "A"])
def test_names_that_would_leave_the_directory_are_refused(keys: KeyDirectory, name: str) -> None:
    for tenant, purpose in ((name, "status"), ("registry", name)):
        with pytest.raises(InvalidInput):
            keys.create(tenant, purpose)
        with pytest.raises(InvalidInput):
            keys.signer(tenant, purpose)


def test_a_certificate_of_another_key_is_not_installed(keys: KeyDirectory) -> None:
    keys.create("registry", "status")
    other = Authority.make().signer(Profile.STATUS)
    with pytest.raises(InvalidInput):
        keys.install("registry", "status", other.certificates)
    assert not (keys.path / "registry" / "status.crt").exists()


def test_secrets_are_made_once_and_sealed_under_the_password(keys: KeyDirectory) -> None:
    keys.ensure_secrets(["api_tokens", "nonces"], random_bytes=CountingBytes("s"))
    first = keys.secret("api_tokens")
    assert len(first) == 32
    assert first != keys.secret("nonces")
    keys.ensure_secrets(["api_tokens", "more"])
    again = KeyDirectory(keys.path, b"a password")
    assert again.secret("api_tokens") == first
    assert len(again.secret("more")) == 32
    file = keys.path / "secrets.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text())) == {"salt", "sealed"}
    assert [each.name for each in keys.path.iterdir()] == ["secrets.json"]
    with pytest.raises(InvalidInput, match="wrong password or damaged"):
        KeyDirectory(keys.path, b"another").secret("api_tokens")
    with pytest.raises(NotFound, match="run migrate"):
        again.secret("unknown")


def test_a_rotated_keyring_still_opens_what_the_old_key_sealed(keys: KeyDirectory) -> None:
    keys.ensure_secrets(["shares"])
    ring = keys.keyring("shares")
    sealed = ring.seal(b"text", aad=b"row")
    keys.store_keyring("shares", ring.rotated("2", bytes(32)))
    again = KeyDirectory(keys.path, b"a password").keyring("shares")
    assert again.current == "2"
    assert again.open(sealed, aad=b"row") == b"text"
    assert not again.is_current(sealed)


# --- the server


class _Site:
    """A TLS server made by the product's context."""

    def __init__(self, folder: Path) -> None:
        now = datetime.now(UTC)  # noqa: TID251  # TLS looks at the real clock
        authority = Authority.make(now=now)
        signer = authority.signer(Profile.TLS, dns=["issuer.example"], now=now)
        (folder / "tls.pem").write_bytes(signer.to_pem(password=b"p"))
        (folder / "tls.crt").write_bytes(to_pem(signer.certificates))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "tls.crt", folder / "tls.pem", password="p")
        self.context = tls_context(uvicorn.Config("x:y", log_config=None), lambda: context)

    def suite(self, client: ssl.SSLContext) -> tuple[str, str]:
        """What a client of this kind ends up with; raises SSLError if nothing."""
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        here, there = socket.socketpair()

        def serve() -> None:
            try:
                with self.context.wrap_socket(there, server_side=True) as connection:
                    connection.recv(1)
            except OSError:
                there.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with client.wrap_socket(here) as connection:
                cipher = connection.cipher()
                assert cipher is not None
                connection.send(b"x")
                return str(connection.version()), cipher[0]
        finally:
            here.close()
            thread.join()


def test_tls_offers_1_3_and_of_1_2_the_recommended_suites_alone(tmp_path: Path) -> None:
    """C-50, CERTIFICATION 2.1: no CBC, no TLS 1.1."""
    site = _Site(tmp_path)
    assert site.suite(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))[0] == "TLSv1.3"
    for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"):
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers(suite)
        assert site.suite(client) == ("TLSv1.2", suite)
    for suite in (
        "ECDHE-ECDSA-AES128-SHA256",
        "ECDHE-ECDSA-AES256-SHA384",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ):
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers(suite)
        with pytest.raises(OSError, match=r".*"):
            site.suite(client)


def test_the_server_names_neither_itself_nor_its_callers(
    environment: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, object] = {}
    environment.setattr(uvicorn, "run", lambda _app, **options: seen.update(options))
    run("issuer_service.app:serve", load_settings(SampleSettings))
    assert seen["server_header"] is False
    assert seen["access_log"] is False
    assert seen["proxy_headers"] is False
    assert seen["log_config"] is None
    assert (seen["loop"], seen["workers"]) == ("uvloop", 1)


@pytest.fixture
def served(environment: pytest.MonkeyPatch) -> Iterator[int]:
    """A port where `run` serves the sample app, with two workers, as production does."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code = (
        "from shared.runtime.settings import load_settings\n"
        "from shared.runtime.serving import run\n"
        "from tests.services.test_runtime_settings import SampleSettings\n"
        "if __name__ == '__main__':\n"
        "    run('tests.support.sample_app:make', load_settings(SampleSettings))\n"
    )
    environment.setenv("SAMPLE_PORT", str(port))
    environment.setenv("SAMPLE_WORKERS", "2")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    for _ in range(1200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)
    yield port
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert b"Traceback" not in errors, errors.decode()


def _exchange(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        received = b""
        try:
            connection.sendall(data)
            while piece := connection.recv(65536):
                received += piece
        except ConnectionError:
            pass
        return received


def test_two_workers_answer_with_a_date_and_no_server_header_and_add_up_their_metrics(
    served: int,
) -> None:
    """CERTIFICATION 2.1: a Date header."""
    for _ in range(20):
        answer = _exchange(served, b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = answer.partition(b"\r\n\r\n")[0].lower()
        assert head.startswith(b"http/1.1 200 ok")
        assert b"\r\ndate: " in head
        assert b"\r\nserver:" not in head
    text = _exchange(served, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b'route="/who",service="sample",status="200"} 20.0' in text


def test_a_head_that_does_not_end_is_cut(served: int) -> None:
    """S-20: one endless header, and endless headers."""
    start = b"GET /who HTTP/1.1\r\nHost: x\r\n"
    for more in (b"X: " + b"x" * 300_000, b"X: y\r\n" * 50_000):
        answer = _exchange(served, start + more)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
        assert b" 200 " not in answer.partition(b"\r\n")[0]


# --- the commands

_PACKAGE = """
from sqlalchemy import Column, String, Table
from shared.runtime.database import new_metadata
from shared.runtime.tables import add_runtime_tables

metadata = new_metadata()
add_runtime_tables(metadata)
"""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    name = f"cli_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "tables.py").write_text(_PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Service(
        package=name,
        title="A sample service.",
        settings=SampleSettings,
        app=f"{name}.app:serve",
        secrets=("api_tokens",),
    )


def test_the_three_commands_make_look_and_say_what_to_do_next(
    service: Service, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cli, runner = make_cli(service), CliRunner()
    assert runner.invoke(cli, ["revision", "first"]).exit_code == 0
    before = runner.invoke(cli, ["doctor"])
    assert before.exit_code == 1
    assert "next: Run migrate." in before.output
    assert runner.invoke(cli, ["migrate"]).exit_code == 0
    assert runner.invoke(cli, ["migrate"]).exit_code == 0
    after = runner.invoke(cli, ["doctor"])
    assert after.exit_code == 0, after.output
    keys = KeyDirectory(tmp_path / "keys", b"a password")
    key = keys.create("registry", "credential")
    uncertified = runner.invoke(cli, ["doctor"])
    assert uncertified.exit_code == 1
    assert "has no certificate" in uncertified.output
    now = datetime.now(UTC)  # noqa: TID251  # doctor looks at the real clock
    for days, code, word in ((365, 0, "valid until"), (20, 1, "Renew it")):
        authority = Authority.make(now=now)
        chain = authority.signer(Profile.CREDENTIAL, key=key, now=now, days=days).certificates
        keys.install("registry", "credential", chain)
        found = runner.invoke(cli, ["doctor"])
        assert (found.exit_code, word in found.output) == (code, True), found.output
    environment.setenv("SAMPLE_KEY_PASSWORD", "another")
    wrong = runner.invoke(cli, ["doctor"])
    assert wrong.exit_code == 1
    assert "wrong password or damaged" in wrong.output


def test_wrong_settings_end_a_command_with_a_list(
    service: Service, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("SAMPLE_PUBLIC_URL")
    environment.delenv("SAMPLE_TRUST_URL")
    result = CliRunner().invoke(make_cli(service), ["doctor"])
    assert result.exit_code == 2
    assert "2 setting(s) missing or wrong" in result.output
    assert "SAMPLE_PUBLIC_URL: is missing" in result.output


def test_nothing_is_read_from_the_environment_at_import() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import shared.runtime.cli, shared.runtime.app"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
