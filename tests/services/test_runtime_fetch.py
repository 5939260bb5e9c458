"""runtime/fetch.py against real servers on loopback, hostile ones too (C-50, C-54, S-10, S-11)."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.crypto.x509 import Profile, to_pem
from shared.errors import InvalidInput, NotFound, Unavailable
from shared.runtime.addresses import check_public
from shared.runtime.fetch import Fetcher, FetchPolicy
from tests.support.certificates import Authority
from tests.support.servers import Script, Server, answer

JSON = "application/json"
FAST = (0.5, 0.3, 0.8)


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """For plain http on loopback, impatient."""
    made = Fetcher(FetchPolicy(insecure_http_loopback=True, timeouts=FAST))
    yield made
    made.close()


@pytest.fixture
def strict() -> Iterator[Fetcher]:
    """As in production."""
    made = Fetcher(FetchPolicy(timeouts=FAST))
    yield made
    made.close()


def _get(fetcher: Fetcher, script: Script, **options: Any) -> bytes:
    options = {"accept": JSON, "max_bytes": 1000, **options}
    with Server(script) as server:
        return fetcher.get(server.url, **options).body


def test_a_document_is_fetched_with_the_name_in_host_and_nothing_personal(
    fetcher: Fetcher,
) -> None:
    with Server(answer(b'{"a":1}', headers=("Set-Cookie: id=1",))) as server:
        found = fetcher.get(f"{server.url}/x?y=1", accept=JSON, max_bytes=1000)
        fetcher.get(f"{server.url}/x", accept=JSON, max_bytes=1000)
    assert (found.status, found.json()) == (200, {"a": 1})
    head = server.requests[0].decode().lower()
    assert head.startswith("get /x?y=1 http/1.1\r\n")
    assert f"host: localhost:{server.port}\r\n" in head
    assert "accept: application/json\r\n" in head
    assert "user-agent: citizen-wallet\r\n" in head
    assert "accept-encoding: identity\r\n" in head
    assert "cookie" not in server.requests[1].decode().lower()


def test_a_connection_is_used_again(fetcher: Fetcher) -> None:
    connections: set[int] = set()

    def script(connection: socket.socket, request: bytes) -> None:
        connections.add(id(connection))
        answer()(connection, request)

    with Server(script) as server:
        for _ in range(3):
            fetcher.get(server.url, accept=JSON, max_bytes=1000)
    assert len(connections) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_was_just_closed_is_tried_again_for_reading_alone(
    fetcher: Fetcher, method: str
) -> None:
    """A server ends what was idle at any moment; whether a POST arrived nobody knows."""
    asked: list[int] = []

    def script(connection: socket.socket, request: bytes) -> None:
        asked.append(id(connection))
        if len(asked) == 2:
            connection.shutdown(socket.SHUT_RDWR)
            return
        answer(b'{"here":1}')(connection, request)

    with Server(script) as server:
        fetcher.get(server.url, accept=JSON, max_bytes=1000)
        if method == "GET":
            assert fetcher.get(server.url, accept=JSON, max_bytes=1000).body == b'{"here":1}'
            assert len(asked) == 3
            return
        with pytest.raises(Unavailable):
            fetcher.post_form(server.url, {"a": "b"}, accept=JSON, max_bytes=1000)
        assert len(asked) == 2


def test_posts_carry_their_body_and_type_and_any_status_comes_back(fetcher: Fetcher) -> None:
    with Server(answer(b'{"error":"invalid_grant"}', status="400 Bad Request")) as server:
        url = f"{server.url}/token"
        form = fetcher.post_form(url, {"a": "1 &", "b": "é"}, accept=JSON, max_bytes=1000)
        fetcher.post_json(url, {"a": [1]}, accept=JSON, max_bytes=1000, headers={"DPoP": "proof"})
    assert (form.status, form.json()) == (400, {"error": "invalid_grant"})
    assert b"content-type: application/x-www-form-urlencoded" in server.requests[0].lower()
    assert server.requests[0].endswith(b"\r\n\r\na=1+%26&b=%C3%A9")
    assert b"dpop: proof" in server.requests[1].lower()
    assert server.requests[1].endswith(b'\r\n\r\n{"a":[1]}')


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("404 Not Found", NotFound),
        ("410 Gone", NotFound),
        ("403 Forbidden", Unavailable),
        ("500 Internal Server Error", Unavailable),
        ("204 No Content", Unavailable),
        ("302 Found", Unavailable),
    ],
)
def test_what_is_not_there_is_told_from_what_does_not_work(
    fetcher: Fetcher, status: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        _get(fetcher, answer(b"", status=status))


@pytest.mark.parametrize(
    "content_type", ["text/html", "", "application/jwt", "text/plain; a=application/json"]
)
def test_another_media_type_is_refused(fetcher: Fetcher, content_type: str) -> None:
    with pytest.raises(InvalidInput, match="media type"):
        _get(fetcher, answer(content_type=content_type))
    assert _get(fetcher, answer(content_type=content_type), accept=None) == b"{}"


def test_parameters_of_a_media_type_do_not_matter(fetcher: Fetcher) -> None:
    assert _get(fetcher, answer(content_type="Application/JSON; charset=utf-8")) == b"{}"


def test_an_answer_may_be_as_large_as_allowed_and_no_byte_more(fetcher: Fetcher) -> None:
    """S-20."""
    assert len(_get(fetcher, answer(b"x" * 1000))) == 1000
    with pytest.raises(InvalidInput, match="too large"):
        _get(fetcher, answer(b"x" * 1001))


def test_an_endless_answer_is_cut_off_while_it_comes(fetcher: Fetcher) -> None:
    sent = 0

    def endless(connection: socket.socket, _request: bytes) -> None:
        nonlocal sent
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        while True:
            connection.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
            sent += 0x4000

    with pytest.raises(InvalidInput, match="too large"):
        _get(fetcher, endless, max_bytes=100_000)
    assert sent < 20_000_000


def test_a_compressed_answer_is_refused(fetcher: Fetcher) -> None:
    with pytest.raises(InvalidInput, match="coding"):
        _get(fetcher, answer(headers=("Content-Encoding: gzip",)))


def test_a_server_that_says_nothing_is_left_after_the_read_timeout(fetcher: Fetcher) -> None:
    ended = threading.Event()
    with pytest.raises(Unavailable, match="Timeout"):
        _get(fetcher, lambda _connection, _request: ended.wait(60) and None)
    ended.set()


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_slow_drip_ends_with_the_time_of_the_whole_call(fetcher: Fetcher, part: str) -> None:
    """Each byte comes in time; all of them never would."""
    ended = threading.Event()

    def drip(connection: socket.socket, _request: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
        if part == "body":
            connection.sendall(head)
        while not ended.wait(0.1):
            connection.sendall(b"x" if part == "body" else b"H")

    begun = time.monotonic()
    with pytest.raises(Unavailable, match="Timeout"):
        _get(fetcher, drip)
    ended.set()
    assert time.monotonic() - begun < 60  # 900 bytes take 90 s


def test_a_server_that_hangs_up_or_does_not_listen_is_unavailable(fetcher: Fetcher) -> None:
    with pytest.raises(Unavailable):
        _get(fetcher, lambda connection, _request: connection.shutdown(socket.SHUT_RDWR))
    with pytest.raises(Unavailable):
        _get(fetcher, answer(b"short", length=500))
    with pytest.raises(Unavailable):
        _get(fetcher, lambda connection, _request: connection.sendall(b"nonsense\r\n\r\n"))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unavailable):
        fetcher.get(f"http://localhost:{port}/", accept=JSON, max_bytes=10)


def test_redirects_are_off(fetcher: Fetcher) -> None:
    with Server(answer(b'{"here":1}')) as target:
        script = answer(b"", status="302 Found", headers=(f"Location: {target.url}/x",))
        with pytest.raises(Unavailable, match="302"):
            _get(fetcher, script)
        assert target.requests == []
        assert _get(fetcher, script, redirects=1) == b'{"here":1}'


def test_a_chain_of_redirects_ends_after_as_many_as_were_allowed(fetcher: Fetcher) -> None:
    script = answer(b"", status="307 Temporary Redirect", headers=("Location: /again",))
    with Server(script) as server:
        with pytest.raises(Unavailable):
            fetcher.get(server.url, accept=JSON, max_bytes=10, redirects=3)
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "https://[::ffff:192.168.0.1]/",
        "http://example.com/",
        "file:///etc/passwd",
        "gopher://localhost/",
        "//user:password@localhost/",
        "https://localhost.:1/",
        "http://[bad/",
    ],
)
def test_a_redirect_to_where_no_call_may_go_is_refused(fetcher: Fetcher, location: str) -> None:
    """Each redirect is checked as a first URL is."""
    script = answer(b"", status="302 Found", headers=(f"Location: {location}",))
    with pytest.raises(InvalidInput):
        _get(fetcher, script, redirects=3)


def test_a_post_follows_no_redirect(fetcher: Fetcher) -> None:
    with Server(answer()) as target:
        script = answer(b"", status="307 Temporary Redirect", headers=(f"Location: {target.url}",))
        with Server(script) as server:
            found = fetcher.post_form(server.url, {"a": "secret"}, accept=JSON, max_bytes=100)
        assert found.status == 307
        assert target.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://localhost/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://0.0.0.0/",
        "https://10.1.2.3/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://100.100.100.200/",
        "https://169.254.169.254/",
        "https://168.63.129.16/",
        "https://192.0.0.192/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://[fd00:ec2::254]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[2002:7f00:1::]/",
        "https://[64:ff9b::a00:1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com:8443/",
        "https://example.com:22/",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://example.com/\r\nX: y",
        "https://ex\u00e4mple.com/",
        "https:///x",
        "https://",
        "ftp://example.com/",
        "javascript:alert(1)",
        "",
        "//example.com/",
        f"https://example.com/{'x' * 9000}",
    ],
)
def test_urls_that_no_call_may_reach(strict: Fetcher, url: str) -> None:
    """S-10, S-11: not public, by any spelling, or not an https URL at all."""
    with pytest.raises((InvalidInput, Unavailable)) as caught:
        strict.get(url, accept=JSON, max_bytes=10)
    if isinstance(caught.value, Unavailable):  # odd numbers that the resolver does not take
        assert "resolve" in str(caught.value)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_addresses_pass(address: str) -> None:
    check_public([ipaddress.ip_address(address)])


def _resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        if host[0].isdigit():
            return real(host, port, *rest, **more)
        looked_up.append(host)
        return [(2, 1, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return looked_up


def test_a_name_with_one_private_address_among_public_ones_is_refused(
    strict: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolving_to(monkeypatch, "93.184.215.14", "10.0.0.1")
    with pytest.raises(InvalidInput, match="not public"):
        strict.get("https://rebind.example/", accept=JSON, max_bytes=10)


def test_the_loopback_switch_opens_loopback_alone(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolving_to(monkeypatch, "10.0.0.1")
    with pytest.raises(InvalidInput, match="loopback"):
        fetcher.get("http://localhost:1/", accept=JSON, max_bytes=10)
    with pytest.raises(InvalidInput, match="not https"):
        fetcher.get("http://internal.example/", accept=JSON, max_bytes=10)


def test_a_resolver_that_hangs_does_not_hang_the_call(
    strict: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: answered.wait(60))
    with pytest.raises(Unavailable, match="in time"):
        strict.get("https://slow.example/", accept=JSON, max_bytes=10)
    answered.set()


# --- TLS


class Site:
    """An https server for the name agency.example, with a certificate of its own authority."""

    def __init__(self, folder: Path, *, dns: str = "agency.example") -> None:
        now = datetime.now(UTC)  # noqa: TID251  # TLS looks at the real clock
        authority = Authority.make("TLS Root", now=now)
        signer = authority.signer(Profile.TLS, dns=[dns], now=now)
        (folder / "key.pem").write_bytes(signer.to_pem(password=b"p"))
        (folder / "cert.pem").write_bytes(to_pem(signer.certificates))
        self.bundle = folder / "ca.pem"
        self.bundle.write_bytes(to_pem([authority.certificate]))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(folder / "cert.pem", folder / "key.pem", password="p")
        self.names: list[str | None] = []
        self.tls.sni_callback = lambda _socket, name, _context: self.names.append(name)


def _permitted(server: Server, **options: Any) -> Fetcher:
    policy = FetchPolicy(
        permitted_private_hosts=frozenset({f"agency.example:{server.port}"}),
        timeouts=FAST,
        **options,
    )
    return Fetcher(policy)


def test_the_checked_address_is_connected_to_and_the_name_kept_in_sni_host_and_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path)
    with Server(answer(), tls=site.tls) as server:
        looked_up = _resolving_to(monkeypatch, "127.0.0.1")
        fetcher = _permitted(server, ca_bundle=site.bundle)
        url = f"https://agency.example:{server.port}/"
        assert fetcher.get(url, accept=JSON, max_bytes=10).body == b"{}"
        fetcher.close()
    assert looked_up == ["agency.example"]
    assert site.names == ["agency.example"]
    assert f"host: agency.example:{server.port}".encode() in server.requests[0].lower()


def test_a_certificate_of_an_unknown_authority_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra CA bundle, and nothing else, makes it known."""
    site = Site(tmp_path)
    with Server(answer(), tls=site.tls) as server:
        _resolving_to(monkeypatch, "127.0.0.1")
        fetcher = _permitted(server)
        with pytest.raises(Unavailable):
            fetcher.get(f"https://agency.example:{server.port}/", accept=JSON, max_bytes=10)
        fetcher.close()


def test_a_certificate_for_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C-50: RFC 9525."""
    site = Site(tmp_path, dns="other.example")
    with Server(answer(), tls=site.tls) as server:
        _resolving_to(monkeypatch, "127.0.0.1")
        fetcher = _permitted(server, ca_bundle=site.bundle)
        with pytest.raises(Unavailable):
            fetcher.get(f"https://agency.example:{server.port}/", accept=JSON, max_bytes=10)
        fetcher.close()


def test_tls_older_than_1_2_is_not_spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C-50; with 1.2 it works."""
    site = Site(tmp_path)
    site.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    site.tls.set_ciphers("ECDHE-ECDSA-AES128-SHA256")  # CBC: no common suite
    with Server(answer(), tls=site.tls) as server:
        _resolving_to(monkeypatch, "127.0.0.1")
        fetcher = _permitted(server, ca_bundle=site.bundle)
        url = f"https://agency.example:{server.port}/"
        with pytest.raises(Unavailable):
            fetcher.get(url, accept=JSON, max_bytes=10)
        site.tls.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert fetcher.get(url, accept=JSON, max_bytes=10).status == 200
        fetcher.close()


def test_a_permitted_host_is_permitted_by_name_and_port(
    strict: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolving_to(monkeypatch, "10.0.0.1")
    for url in ("https://agency.example/", "https://agency.example.evil.example/"):
        with pytest.raises(InvalidInput):
            strict.get(url, accept=JSON, max_bytes=10)
    with pytest.raises(InvalidInput, match="port"):
        strict.get("https://agency.example:444/", accept=JSON, max_bytes=10)
