"""runtime/idempotency.py and client_credentials.py on both databases."""

import base64
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, delete

from shared.errors import Conflict, Forbidden, InvalidInput, Unavailable
from shared.runtime.client_credentials import (
    LIFETIME,
    ApiClients,
    InvalidApiToken,
    InvalidClient,
    UnsupportedGrantType,
)
from shared.runtime.database import Database, new_metadata
from shared.runtime.idempotency import KeyReused, Stored, forget_requests, idempotent
from shared.runtime.tables import add_runtime_tables
from tests.support.clock import NOW, CountingBytes, FixedClock

metadata = new_metadata()
tables = add_runtime_tables(metadata)


@pytest.fixture(scope="module")
def opened(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    with database.transaction() as connection:
        metadata.create_all(connection)
    yield database
    database.close()


@pytest.fixture
def database(opened: Database) -> Database:
    with opened.transaction() as connection:
        connection.execute(delete(tables.idempotent_request))
        connection.execute(delete(tables.api_client))
    return opened


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _: Connection) -> Stored:
        self.count += 1
        return Stored(201, f"offer {self.count}".encode())


def _ask(
    database: Database,
    act: Counter,
    *,
    key: str | None = "key-1",
    request: bytes = b"POST /offers {}",
    client: str = "registry-app",
    tenant: str = "registry",
) -> Stored:
    return idempotent(
        database,
        metadata,
        tenant=tenant,
        client=client,
        key=key,
        request=request,
        now=NOW,
        act=act,
    )


def test_the_same_request_again_gets_the_same_answer_and_is_not_done_again(
    database: Database,
) -> None:
    act = Counter()
    assert _ask(database, act) == _ask(database, act) == Stored(201, b"offer 1")
    assert act.count == 1


def test_another_request_under_the_same_key_is_refused(database: Database) -> None:
    act = Counter()
    _ask(database, act)
    with pytest.raises(KeyReused):
        _ask(database, act, request=b"POST /offers {other}")
    assert act.count == 1


def test_keys_of_other_clients_and_tenants_are_other_keys(database: Database) -> None:
    act = Counter()
    _ask(database, act)
    _ask(database, act, client="another-app")
    _ask(database, act, tenant="another")
    assert act.count == 3


def test_without_a_key_everything_is_done_every_time(database: Database) -> None:
    act = Counter()
    _ask(database, act, key=None)
    _ask(database, act, key=None)
    assert act.count == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there", "ключ"])
def test_odd_keys_are_refused(database: Database, key: str) -> None:
    with pytest.raises(InvalidInput):
        _ask(database, Counter(), key=key)


def test_what_failed_may_be_tried_again_under_the_same_key(database: Database) -> None:
    def fails(_: Connection) -> Stored:
        raise Unavailable("register: away")

    with pytest.raises(Unavailable):
        idempotent(
            database,
            metadata,
            tenant="registry",
            client="registry-app",
            key="key-1",
            request=b"POST /offers {}",
            now=NOW,
            act=fails,
        )
    assert _ask(database, Counter()) == Stored(201, b"offer 1")


def test_of_six_at_once_one_acts_and_all_get_its_answer(database: Database) -> None:
    act, answers = Counter(), list[Stored]()
    together = threading.Barrier(6)

    def slow(connection: Connection) -> Stored:
        time.sleep(0.05)
        return act(connection)

    def race() -> None:
        together.wait()
        answers.append(
            idempotent(
                database,
                metadata,
                tenant="registry",
                client="registry-app",
                key="race",
                request=b"same",
                now=NOW,
                act=slow,
            )
        )

    threads = [threading.Thread(target=race) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert answers == [Stored(201, b"offer 1")] * 6


def test_old_keys_are_forgotten_and_young_ones_kept(database: Database) -> None:
    """S-03."""
    act = Counter()
    _ask(database, act)
    assert forget_requests(database, metadata, before=NOW) == 0
    assert forget_requests(database, metadata, before=NOW + timedelta(seconds=1)) == 1
    _ask(database, act)
    assert act.count == 2


# --- OAuth client credentials


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def clients(database: Database, clock: FixedClock) -> ApiClients:
    return ApiClients(
        database, metadata, key=bytes(32), clock=clock, random_bytes=CountingBytes("clients")
    )


GRANT = {"grant_type": "client_credentials"}


def _basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def _token(clients: ApiClients, secret: str, tenant: str = "registry") -> str:
    answer = clients.token(tenant, form=GRANT, authorization=_basic("app", secret))
    return f"Bearer {answer['access_token']}"


def test_a_client_gets_a_token_with_its_roles(clients: ApiClients) -> None:
    """RFC 6749, section 4.4: by Basic, or in the form."""
    secret = clients.register("registry", "app", ["issue", "revoke"])
    answer = clients.token("registry", form=GRANT, authorization=_basic("app", secret))
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 600
    assert answer["scope"] == "issue revoke"
    caller = clients.verify(f"Bearer {answer['access_token']}", tenant="registry", role="issue")
    assert (caller.client_id, caller.tenant) == ("app", "registry")
    form = {**GRANT, "client_id": "app", "client_secret": secret}
    assert "access_token" in clients.token("registry", form=form, authorization=None)


def test_wrong_secrets_unknown_clients_and_mixed_ways_are_refused(clients: ApiClients) -> None:
    secret = clients.register("registry", "app", ["issue"])
    refused: list[tuple[dict[str, str], str | None]] = [
        (GRANT, _basic("app", secret[:-1] + ("A" if secret[-1] != "A" else "B"))),
        (GRANT, _basic("nobody", secret)),
        (GRANT, None),
        (GRANT, "Basic §"),
        (GRANT, "Basic " + base64.b64encode(b"no colon").decode()),
        (GRANT, f"Bearer {secret}"),
        ({**GRANT, "client_secret": secret}, _basic("app", secret)),
        ({**GRANT, "client_id": "other"}, _basic("app", secret)),
    ]
    for form, authorization in refused:
        with pytest.raises(InvalidClient):
            clients.token("registry", form=form, authorization=authorization)
    with pytest.raises(InvalidClient):
        clients.token("another", form=GRANT, authorization=_basic("app", secret))


def test_other_grants_are_refused_with_their_code(clients: ApiClients) -> None:
    with pytest.raises(UnsupportedGrantType):
        clients.token("registry", form={"grant_type": "password"}, authorization=None)
    with pytest.raises(InvalidInput):
        clients.token("registry", form={}, authorization=None)


def test_a_token_ends_after_ten_minutes(clients: ApiClients, clock: FixedClock) -> None:
    secret = clients.register("registry", "app", ["issue"])
    token = _token(clients, secret)
    clock.advance(LIFETIME - timedelta(seconds=1))
    clients.verify(token, tenant="registry", role="issue")
    clock.advance(seconds=1)
    with pytest.raises(InvalidApiToken):
        clients.verify(token, tenant="registry", role="issue")


def test_a_token_is_good_for_its_tenant_and_roles_alone(clients: ApiClients) -> None:
    secret = clients.register("registry", "app", ["issue"])
    token = _token(clients, secret)
    with pytest.raises(Forbidden):
        clients.verify(token, tenant="registry", role="revoke")
    with pytest.raises(InvalidApiToken):
        clients.verify(token, tenant="another", role="issue")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer a.b"])
def test_what_is_no_token_is_refused(clients: ApiClients, header: str | None) -> None:
    with pytest.raises(InvalidApiToken):
        clients.verify(header, tenant="registry", role="issue")


def test_a_changed_bit_of_a_token_is_refused(clients: ApiClients) -> None:
    token = _token(clients, clients.register("registry", "app", ["issue"]))
    for place in (10, 30, len(token) - 1):
        other = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(InvalidApiToken):
            clients.verify(other, tenant="registry", role="issue")


def test_a_disabled_client_gets_no_further_token(clients: ApiClients) -> None:
    secret = clients.register("registry", "app", ["issue"])
    assert clients.disable("registry", "app")
    assert not clients.disable("registry", "app")
    with pytest.raises(InvalidClient):
        _token(clients, secret)


def test_a_name_is_taken_once_in_a_tenant(clients: ApiClients) -> None:
    clients.register("registry", "app", ["issue"])
    clients.register("another", "app", ["issue"])
    with pytest.raises(Conflict):
        clients.register("registry", "app", ["issue"])
