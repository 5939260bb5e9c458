"""Registers that agencies have: tables with a mapping, an endpoint behind HTTP; also when down."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpcore2
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from issuer_service import sql_register
from issuer_service.http_register import Client, HttpRegister
from issuer_service.register_file import open_register
from issuer_service.registers import (
    EntryNotReady,
    Register,
    RegisterUnavailable,
    SubjectUnknown,
)
from issuer_service.sql_register import SqlMapping, SqlRegister
from issuer_service.tenants import TenantFile
from shared.errors import InvalidInput, Unavailable
from shared.runtime.connections import FetchPolicy
from shared.runtime.database import Database
from shared.runtime.fetch import Fetcher
from tests.support.issuer import TENANT, IssuerWorld, Wallet, sample_register
from tests.support.servers import Server, answer

MAPPING = {
    "table": "residents",
    "reference": "person_no",
    "version": "changed",
    "marks": {
        "deceased": {"column": "status", "values": ["D", "X"]},
        "address_protected": {"column": "secret_since"},
        "pending": {"column": "status", "values": ["P"]},
    },
    "fields": {"family_name": "surname", "given_name": "first names", "email": "mail"},
}
_ROWS = """
CREATE TABLE residents (
    person_no INTEGER PRIMARY KEY, changed INTEGER, status VARCHAR(1), secret_since DATE,
    surname VARCHAR(80), "first names" VARCHAR(80), mail VARCHAR(80));
INSERT INTO residents VALUES
    (1, 17, 'A', NULL, 'Müller', 'Ana Luz', 'ana@avelonia.example'),
    (2, 18, 'D', NULL, 'Novak', NULL, 'shared@avelonia.example'),
    (3, 19, 'A', '2026-01-02', 'Okoye', '', 'shared@avelonia.example'),
    (4, 20, 'P', NULL, 'Sato', 'Ren', NULL)
"""


def _fill(url: str) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    else:
        parsed = parsed.set(query={})  # ours alone
    engine = create_engine(parsed)
    with engine.begin() as connection:
        for statement in _ROWS.split(";"):
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="module", params=["ours", "foreign"])
def residents(
    request: pytest.FixtureRequest, new_database_url: Callable[[], str]
) -> Iterator[SqlRegister]:
    """The same table in both databases; also as one of a kind that we know only by SQLAlchemy."""
    url = new_database_url()
    _fill(url)
    mapping = SqlMapping.model_validate(MAPPING)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "foreign":
            patch.setattr(sql_register, "_OURS", frozenset())
            url = url.replace("postgresql:", "postgresql+psycopg:")
            url = url if "psycopg" in url else url.partition("?")[0]
        made = SqlRegister(url, mapping=mapping)
    yield made
    made._engine.dispose()
    if made._database is not None:
        made._database.close()


def test_a_mapping_says_which_column_is_what(residents: Register) -> None:
    """Issue 5, item 6: no Python, no copy of the register, its own names."""
    entry = residents.entry("1")
    assert dict(entry.fields) == {
        "reference": "1",
        "family_name": "Müller",
        "given_name": "Ana Luz",
        "email": "ana@avelonia.example",
        "version": "17",
    }
    assert (entry.version, entry.marks) == ("17", frozenset())
    assert residents.entry("2").marks == {"deceased"}
    assert residents.entry("3").marks == {"address_protected"}
    assert "given_name" not in residents.entry("3").fields


def test_who_is_not_there_is_not_a_register_that_is_down(residents: Register) -> None:
    """A missing entry is a statement."""
    for reference in ("99", "", "AV-1", "1 OR 1=1", "1'"):
        with pytest.raises(SubjectUnknown):
            residents.entry(reference)
    with pytest.raises(EntryNotReady):
        residents.entry("4")
    residents.check()


def test_people_are_found_by_other_fields_if_these_are_theirs_alone(residents: Register) -> None:
    """Two people with one address are nobody."""
    assert residents.find({"email": "ana@avelonia.example"}) == "1"
    assert residents.find({"email": "shared@avelonia.example", "family_name": "Novak"}) == "2"
    for fields in ({"email": "shared@avelonia.example"}, {"email": "nobody@avelonia.example"}):
        with pytest.raises(SubjectUnknown):
            residents.find(fields)
    with pytest.raises(RegisterUnavailable):
        residents.find({"shoe_size": "42"})
    with pytest.raises(RegisterUnavailable):
        residents.find({})


def test_nothing_can_be_written_through_it(new_database_url: Callable[[], str]) -> None:
    """The connection itself refuses."""
    url = new_database_url()
    _fill(url)
    reader = Database(url, read_only_seconds=1)
    with (
        pytest.raises((DBAPIError, Unavailable)),
        reader.engine.connect() as connection,
    ):
        connection.execute(text("DELETE FROM residents"))
    reader.close()


def test_a_statement_that_takes_too_long_is_stopped(new_database_url: Callable[[], str]) -> None:
    url = new_database_url()
    reader = Database(url, read_only_seconds=0.2)
    slow = "SELECT pg_sleep(20)"
    if reader.dialect == "sqlite":
        slow = (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000000)"
            " SELECT count(*) FROM n"
        )
    with pytest.raises(Unavailable), reader.reading() as connection:
        connection.execute(text(slow))
    reader.close()


def test_a_table_that_is_not_there_is_a_register_that_is_down(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path / 'empty.db'}", f"sqlite:///{tmp_path}/no/such/place.db"):
        register = SqlRegister(url, mapping=SqlMapping.model_validate(MAPPING))
        with pytest.raises(RegisterUnavailable):
            register.entry("1")
        with pytest.raises(RegisterUnavailable):
            register.check()
    with pytest.raises(InvalidInput):
        SqlRegister("no-such-database://x/y")


class Endpoint(httpcore2.ConnectionInterface):
    """An agency's endpoint and its authorization server behind one transport."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.questions: list[Any] = []
        self.tokens: list[dict[str, str]] = []
        self.basic: list[str] = []
        self.good = 1
        self.token: Any = {"token_type": "Bearer", "expires_in": 300}
        self.down = False

    def handle_request(self, request: httpcore2.Request) -> httpcore2.Response:
        if self.down:
            raise httpcore2.ConnectTimeout("down")
        body = b"".join(request.stream)  # type: ignore[arg-type]
        headers = {name.lower(): value.decode() for name, value in request.headers}
        if request.url.target == b"/token":
            self.tokens.append(dict(parse_qsl(body.decode())))
            self.basic.append(headers.get(b"authorization", ""))
            number = len(self.tokens)
            return _json(200, {"access_token": f"token-{number}", **self.token})
        if headers[b"authorization"] < f"Bearer token-{self.good}":
            return _json(401, {})
        self.questions.append(json.loads(body))
        return self.answers.pop(0) if self.answers else _json(200, ENTRY)

    def close(self) -> None:
        return


def _json(status: int, content: Any, **headers: str) -> httpcore2.Response:
    pairs = [("Content-Type", "application/json"), *headers.items()]
    return httpcore2.Response(status, headers=pairs, content=json.dumps(content).encode())


ENTRY = {
    "reference": "AV-000001",
    "version": "17",
    "marks": ["address_protected"],
    "fields": {"surname": "Müller", "given_name": "Ana", "number": 7, "email": None},
}


class Seconds:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def behind(endpoint: Endpoint, seconds: Seconds, **members: Any) -> HttpRegister:
    return HttpRegister(
        "https://register.example/entries",
        client=Client(
            token_url="https://register.example/token", client_id="issuer", scope="read", **members
        ),
        secret=lambda: "s%cret",
        fields={"family_name": "surname", "given_name": "given_name", "number": "number"},
        fetcher=Fetcher(FetchPolicy(), transport=endpoint),
        clock=seconds,
    )


def test_an_entry_comes_by_post_with_a_token(endpoint: Endpoint, seconds: Seconds) -> None:
    """No reference in a URL; RFC 6749, sections 2.3.1 and 4.4."""
    register = behind(endpoint, seconds)
    entry = register.entry("AV-000001")
    assert dict(entry.fields) == {"family_name": "Müller", "given_name": "Ana", "number": "7"}
    assert (entry.version, entry.marks) == ("17", {"address_protected"})
    assert endpoint.questions == [{"reference": "AV-000001"}]
    assert endpoint.tokens == [{"grant_type": "client_credentials", "scope": "read"}]
    assert endpoint.basic == ["Basic aXNzdWVyOnMlMjVjcmV0"]
    register.entry("AV-000001")
    assert len(endpoint.tokens) == 1
    seconds.now += 271
    register.entry("AV-000001")
    assert len(endpoint.tokens) == 2


def test_the_secret_may_go_in_the_form(endpoint: Endpoint, seconds: Seconds) -> None:
    behind(endpoint, seconds, method="client_secret_post").check()
    assert endpoint.tokens[0]["client_secret"] == "s%cret"
    assert endpoint.basic == [""]


def test_people_are_found_by_the_registers_own_names(endpoint: Endpoint, seconds: Seconds) -> None:
    assert behind(endpoint, seconds).find({"family_name": "Müller"}) == "AV-000001"
    assert endpoint.questions == [{"match": {"surname": "Müller"}}]
    endpoint.answers = [_json(409, {}), _json(404, {})]
    for _ in range(2):
        with pytest.raises(SubjectUnknown):
            behind(endpoint, seconds).find({"family_name": "Müller"})


def test_a_token_that_is_refused_is_replaced_once(endpoint: Endpoint, seconds: Seconds) -> None:
    register = behind(endpoint, seconds)
    register.entry("AV-000001")
    endpoint.good = 2
    register.entry("AV-000001")
    assert len(endpoint.tokens) == 2
    endpoint.good = 9
    with pytest.raises(RegisterUnavailable):
        register.entry("AV-000001")
    assert len(endpoint.tokens) == 3


@pytest.mark.parametrize(
    ("after", "told"), [("120", 120), ("", 60), ("soon", 60), ("9" * 9, 86_400)]
)
def test_an_entry_may_not_be_finished(
    endpoint: Endpoint, seconds: Seconds, after: str, told: int
) -> None:
    endpoint.answers = [_json(202, {}, **{"Retry-After": after})]
    with pytest.raises(EntryNotReady) as later:
        behind(endpoint, seconds).entry("AV-000001")
    assert later.value.retry_after == told


@pytest.mark.parametrize(
    "bad",
    [
        lambda: _json(500, {}),
        lambda: _json(302, {}, Location="https://evil.example"),
        lambda: _json(200, []),
        lambda: _json(200, {"reference": "AV-000001"}),
        lambda: _json(200, {**ENTRY, "reference": "AV-000002"}),
        lambda: _json(200, {**ENTRY, "fields": {"surname": ["x"]}}),
        lambda: httpcore2.Response(200, headers=[("Content-Type", "text/html")], content=b"<p>"),
        lambda: httpcore2.Response(
            200, headers=[("Content-Type", "application/json")], content=b" " * 300_000
        ),
    ],
)
def test_what_is_no_answer_is_a_register_that_is_down(
    endpoint: Endpoint, seconds: Seconds, bad: Callable[[], httpcore2.Response]
) -> None:
    """The entry of somebody else above all."""
    endpoint.answers = [bad()]
    with pytest.raises(RegisterUnavailable):
        behind(endpoint, seconds).entry("AV-000001")


@pytest.mark.parametrize(
    "token", [{"token_type": "mac"}, {"token_type": "Bearer", "expires_in": 0}]
)
def test_only_bearer_tokens_are_taken(endpoint: Endpoint, seconds: Seconds, token: Any) -> None:
    endpoint.token = token
    with pytest.raises(RegisterUnavailable):
        behind(endpoint, seconds).entry("AV-000001")


def test_who_does_not_answer_is_left_in_peace(endpoint: Endpoint, seconds: Seconds) -> None:
    """A breaker: after three failures one question for each pause, until one is answered."""
    register = behind(endpoint, seconds)
    register.entry("AV-000001")
    endpoint.down = True
    for _ in range(3):
        with pytest.raises(RegisterUnavailable):
            register.entry("AV-000001")
    endpoint.down = False
    with pytest.raises(RegisterUnavailable):
        register.entry("AV-000001")
    assert len(endpoint.questions) == 1
    endpoint.down = True
    seconds.now += 10.1
    with pytest.raises(RegisterUnavailable):
        register.entry("AV-000001")
    endpoint.down = False
    seconds.now += 10.1  # the pause has doubled
    with pytest.raises(RegisterUnavailable):
        register.entry("AV-000001")
    assert len(endpoint.questions) == 1
    seconds.now += 10.1
    register.entry("AV-000001")
    register.entry("AV-000001")
    assert len(endpoint.questions) == 3


def test_a_missing_person_opens_no_breaker(endpoint: Endpoint, seconds: Seconds) -> None:
    register = behind(endpoint, seconds)
    for _ in range(5):
        endpoint.answers = [_json(404, {})]
        with pytest.raises(SubjectUnknown):
            register.entry("AV-000009")
    register.entry("AV-000001")


def test_a_slow_register_costs_no_more_than_its_time(tmp_path: Path) -> None:
    """S-10: over a real connection; the token endpoint answers, the register never does."""
    (tmp_path / "secret").write_text("secret\n")
    token = json.dumps({"access_token": "t", "token_type": "Bearer"}).encode()
    with Server(answer(token)) as tokens, Server(lambda _connection, _request: None) as silent:
        file = TenantFile.model_validate(
            {
                **TENANT,
                "register": {
                    "url": silent.url,
                    "client": {"token_url": tokens.url, "client_id": "issuer"},
                    "client_secret_file": "secret",
                    "seconds": 0.2,
                },
            }
        )
        fetchers: list[Fetcher] = []

        def fetcher(limit: float) -> Fetcher:
            policy = FetchPolicy(insecure_http_loopback=True, timeouts=(limit, limit, limit))
            fetchers.append(Fetcher(policy))
            return fetchers[0]

        register = open_register(file.register_, directory=tmp_path, fetcher=fetcher)
        with pytest.raises(RegisterUnavailable):
            register.entry("AV-000001")
        assert len(silent.requests) == 1
        fetchers[0].close()


@pytest.mark.parametrize(
    "register",
    [
        {},
        {"database_url": "sqlite://", "database_url_file": "x"},
        {"database_url": "sqlite://", "password": "x"},
        {"url": "ftp://x", "client": {"token_url": "https://x", "client_id": "i"}},
        {"url": "https://x"},
    ],
)
def test_a_register_that_is_described_wrongly_is_said_at_start(register: Any) -> None:
    with pytest.raises(ValueError, match="register"):
        TenantFile.model_validate({**TENANT, "register": register})


def test_files_lie_beside_the_tenant_file(tmp_path: Path) -> None:
    """A URL with a password in a file of its own; a mapping that is wrong is named."""
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path / 'r.db'}\n")
    _fill(f"sqlite:///{tmp_path / 'r.db'}")
    (tmp_path / "mapping.json").write_text(json.dumps(MAPPING))

    def opened() -> Register:
        register = {"database_url_file": "url", "mapping": "mapping.json"}
        file = TenantFile.model_validate({**TENANT, "register": register})
        return open_register(file.register_, directory=tmp_path, fetcher=lambda _: None)  # type: ignore[arg-type, return-value]

    assert opened().entry("1").version == "17"
    (tmp_path / "mapping.json").write_text(json.dumps({**MAPPING, "fields": {}}))
    with pytest.raises(InvalidInput, match=r"mapping\.json: fields"):
        opened()
    (tmp_path / "url").unlink()
    with pytest.raises(InvalidInput, match="url cannot be read"):
        opened()


def test_while_the_register_is_down_nothing_is_half_issued(tmp_path: Path) -> None:
    """Issue 5, item 6: 503, or deferred, as the configuration says; later the credential."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    built_in = Path(sql_register.__file__).with_name("credentials")
    for name, policy in (("residence_sd_jwt", "refuse"), ("pid_sd_jwt", "defer")):
        content = json.loads((built_in / f"{name}.json").read_text())
        (directory / f"{name}.json").write_text(json.dumps({**content, "register_down": policy}))
    register = sample_register(tmp_path)
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(register.read_bytes())
    world = IssuerWorld.make(
        tmp_path, f"sqlite:///{tmp_path / 'i.db'}", register=copy, credentials=directory
    )
    wallet = Wallet(world)
    tokens = {
        name: wallet.redeem(world.offer(name, subject="AV-000014"))
        for name in ("residence_sd_jwt", "pid_sd_jwt")
    }
    content = copy.read_bytes()
    copy.write_bytes(b"not a database")
    _reconnect(world)
    request = wallet.credential_request("residence_sd_jwt")
    refused = wallet.request(tokens["residence_sd_jwt"], request)
    assert refused.status == 503
    assert "retry-after" in refused.headers
    assert world.count("issuances") == 0
    deferred = wallet.request(tokens["pid_sd_jwt"], wallet.credential_request("pid_sd_jwt"))
    assert deferred.status == 202, deferred.text
    assert world.count("issuances") == 0
    body = {"credentials": ["pid_sd_jwt"], "subject": "nobody"}  # who was never looked up
    assert world.api("POST", "/offers", body).status == 503
    assert world.count("offers") == 2
    copy.write_bytes(content)
    _reconnect(world)
    again = wallet.request(tokens["residence_sd_jwt"], request)
    assert again.status == 200, again.text
    transaction = {"transaction_id": deferred.json()["transaction_id"]}
    fetched = wallet.request(tokens["pid_sd_jwt"], transaction, endpoint="deferred_credential")
    assert fetched.status == 200, fetched.text
    assert world.count("issuances") == 2
    world.close()


def _reconnect(world: IssuerWorld) -> None:
    register = world.issuer.tenant("registry").register
    assert isinstance(register, SqlRegister)
    assert register._database is not None
    register._database.close()
