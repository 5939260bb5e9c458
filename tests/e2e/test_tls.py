"""TLS as a service speaks it without a proxy in front: versions and suites (CERTIFICATION 2.1)."""

import http.client
import json
import ssl
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.demo.system import REGISTRY
from shared.runtime.migrations import migrate
from tests.support.databases import sqlite_url

from .world import World, eventually, now, ports

_SUITES = {
    "ecdsa": {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    "rsa": {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"},
}


@pytest.fixture(scope="module", params=["ecdsa", "rsa"])
def tls(
    request: pytest.FixtureRequest, sqlite_world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, str, Path]]:
    """An issuer that ends TLS itself: its port, the kind of its certificate, the certificate."""
    kind: str = request.param
    folder = tmp_path_factory.mktemp(kind)
    certificate, key = _certificate(folder, kind)
    # Its own: status lists name the address of who publishes them.
    database_url = sqlite_url(folder)
    migrate(database_url, package="issuer_service")
    port = ports(20)["issuer_service"] + list(_SUITES).index(kind)
    environment = sqlite_world.system.environment("issuer_service") | {
        "ISSUER_PUBLIC_URL": f"https://localhost:{port}",
        "ISSUER_PORT": str(port),
        "ISSUER_DATABASE_URL": database_url,
        "ISSUER_WORKERS": "1",
        "ISSUER_TLS_CERTIFICATE": str(certificate),
        "ISSUER_TLS_KEY": str(key),
    }
    processes, name = sqlite_world.system.processes, f"issuer_tls_{kind}"
    processes.start(name, ["-m", "issuer_service", "serve"], environment)

    def answers() -> bool:
        try:
            return _get(port, certificate, "/health/ready")[0] == 200
        except OSError:
            return False

    try:
        eventually(answers)
        yield port, kind, certificate
    finally:
        processes.stop(name)


def test_tls_1_2_takes_the_recommended_suites_and_no_other(tls: tuple[int, str, Path]) -> None:
    """C-50, BCP 195, CERTIFICATION 2.1: each suite that OpenSSL knows is offered alone."""
    port, kind, certificate = tls
    known = [
        each["name"]
        for each in _client(certificate, "ALL:COMPLEMENTOFALL:@SECLEVEL=0").get_ciphers()
        if each["protocol"] != "TLSv1.3"
    ]
    assert len(known) > 50
    accepted = set()
    for suite in known:
        context = _client(certificate, f"{suite}:@SECLEVEL=0")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        if found := _handshake(port, context):
            assert found[1] == "TLSv1.2"
            accepted.add(found[0])
    assert accepted == _SUITES[kind]


def test_tls_1_3_is_spoken(tls: tuple[int, str, Path]) -> None:
    port, _, certificate = tls
    context = _client(certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    found = _handshake(port, context)
    assert found is not None
    assert found[1] == "TLSv1.3"


def test_tls_1_1_and_1_0_are_refused(tls: tuple[int, str, Path]) -> None:
    """C-50."""
    port, _, certificate = tls
    for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1):
        context = _client(certificate, "ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        assert _handshake(port, context) is None


def test_https_answers_say_that_it_stays_https(tls: tuple[int, str, Path]) -> None:
    port, _, certificate = tls
    path = f"/.well-known/openid-credential-issuer/{REGISTRY}"
    status, headers, body = _get(port, certificate, path)
    assert status == 200
    assert int(headers["strict-transport-security"].partition("max-age=")[2].split(";")[0]) > 0
    assert json.loads(body)["credential_issuer"] == f"https://localhost:{port}/{REGISTRY}"
    assert "server" not in headers


def _certificate(folder: Path, kind: str) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = (
        ec.generate_private_key(ec.SECP256R1())
        if kind == "ecdsa"
        else rsa.generate_private_key(65537, 2048)
    )
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "tls.crt", folder / "tls.key"
    certificate_file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_file, key_file


def _client(certificate: Path, ciphers: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = True
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


def _handshake(port: int, context: ssl.SSLContext) -> tuple[str, str] | None:
    """Suite and version that were agreed on, None if nothing was."""
    connection = http.client.HTTPSConnection("localhost", port, timeout=120, context=context)
    with closing(connection):
        try:
            connection.connect()
        except (ssl.SSLError, ConnectionResetError):
            return None
        found = connection.sock.cipher()  # type: ignore[attr-defined]  # it is an SSLSocket
        return str(found[0]), str(connection.sock.version())  # type: ignore[attr-defined]


def _get(port: int, certificate: Path, path: str) -> tuple[int, dict[str, str], bytes]:
    context = _client(certificate)
    connection = http.client.HTTPSConnection("localhost", port, timeout=120, context=context)
    with closing(connection):
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read()
