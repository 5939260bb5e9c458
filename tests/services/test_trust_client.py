"""The trust list client against a real TUF repository: what it believes, what it says if not."""

import base64
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import MetaData

from shared.crypto.x509 import Profile, thumbprint, verify_chain
from shared.errors import Unavailable, Untrusted
from shared.runtime.database import Database
from shared.runtime.fetch import Fetcher
from shared.runtime.settings import ServiceSettings
from shared.runtime.tables import add_runtime_tables
from shared.runtime.trust_list import TrustListClient, TrustListMissing, TrustListStale
from shared.runtime.trust_store import DatabaseStore
from shared.trust import Role
from tests.support.certificates import Authority
from tests.support.clock import CountingBytes
from tests.support.trust import PID, document, trust_list
from tests.support.tuf import URL, Publisher, published


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return published(tmp_path)


@pytest.fixture
def database(empty_database_url: str) -> Iterator[Database]:
    database = Database(empty_database_url)
    metadata = MetaData()
    add_runtime_tables(metadata)
    with database.transaction() as connection:
        metadata.create_all(connection)
    yield database
    database.close()


def store(database: Database) -> DatabaseStore:
    return DatabaseStore(database, add_runtime_tables(MetaData()).trust_state)


def test_a_verified_list_names_who_signed_a_chain(publisher: Publisher) -> None:
    """DESIGN 4; C-22: from initial root to anchors to entity."""
    current = publisher.client().current()
    signer = publisher.trust.registry.signer(Role.CREDENTIAL)
    now = publisher.clock()
    anchors = current.anchors(Role.CREDENTIAL, now=now, credential_type=PID)
    chain = verify_chain(signer.certificates, anchors=anchors, profile=Profile.CREDENTIAL, now=now)
    assert current.entity_for_chain(Role.CREDENTIAL, chain, now=now).id == "ent_registry"
    assert current.is_test


def test_current_asks_nobody_once_it_holds_a_list(publisher: Publisher) -> None:
    """PERFORMANCE: the hot path reads memory; S-41: use causes no request."""
    client = publisher.client()
    first = client.current()
    asked = len(publisher.requested)
    publisher.clock.advance(hours=5)
    assert client.current() is first
    assert len(publisher.requested) == asked


def test_an_unchanged_list_stays_the_same_object_after_a_refresh(publisher: Publisher) -> None:
    client = publisher.client()
    first = client.current()
    publisher.clock.advance(days=2)
    publisher.repository.renew(publisher.clock())
    client.refresh()
    assert client.current() is first
    publisher.clock.advance(days=2)
    assert client.current() is first  # the renewed timestamp counts for three days


def test_a_revoked_certificate_is_refused_after_the_next_refresh(publisher: Publisher) -> None:
    """DESIGN 4: revoked thumbprints; C-22."""
    client = publisher.client()
    client.current()
    signer = publisher.trust.registry.signer(Role.CREDENTIAL)
    publisher.repository.revoke("ent_registry", thumbprint(signer.certificates[0]))
    publisher.repository.publish(publisher.clock())
    assert client.current().revoked == frozenset()
    client.refresh()
    current, now = client.current(), publisher.clock()
    anchors = current.anchors(Role.CREDENTIAL, now=now)
    with pytest.raises(Untrusted, match="revoked"):
        verify_chain(
            signer.certificates,
            anchors=anchors,
            profile=Profile.CREDENTIAL,
            now=now,
            revoked=current.revoked,
        )
    chain = verify_chain(signer.certificates, anchors=anchors, profile=Profile.CREDENTIAL, now=now)
    with pytest.raises(Untrusted, match="revoked"):
        current.entity_for_chain(Role.CREDENTIAL, chain, now=now)


def test_the_list_outlives_its_publisher_until_it_expires(publisher: Publisher) -> None:
    """DESIGN 4: works on while the publisher is down; then says stale, not invalid."""
    client = publisher.client()
    client.current()
    publisher.down = True
    publisher.clock.advance(timedelta(days=3) - timedelta(seconds=1))
    with pytest.raises(Unavailable):
        client.refresh()
    assert client.current().version == 2
    assert client.state().reason == "publisher_unreachable"
    assert client.state().usable
    publisher.clock.advance(seconds=1)
    with pytest.raises(TrustListStale):
        client.current()
    assert (client.state().usable, client.state().reason) == (False, "stale")


def test_a_stale_list_recovers_when_the_publisher_returns(publisher: Publisher) -> None:
    client = publisher.client()
    client.current()
    publisher.clock.advance(days=4)
    with pytest.raises(TrustListStale):
        client.current()
    publisher.repository.renew(publisher.clock())
    client.refresh()
    assert client.current().version == 2
    assert client.state().reason == "fresh"


def test_without_any_list_the_answer_is_missing(publisher: Publisher) -> None:
    publisher.down = True
    client = publisher.client()
    with pytest.raises(TrustListMissing):
        client.current()
    assert client.state().reason == "missing"
    publisher.down = False
    assert client.current().version == 2


def test_a_restarted_service_works_on_without_its_publisher(
    publisher: Publisher, database: Database
) -> None:
    """DESIGN 4: persists the newest version in its own database."""
    publisher.client(store=store(database)).current()
    publisher.down = True
    publisher.clock.advance(days=2)
    restarted = publisher.client(store=store(database))
    asked = len(publisher.requested)
    assert restarted.current().version == 2
    assert len(publisher.requested) == asked
    publisher.clock.advance(days=1)
    with pytest.raises(TrustListStale):
        restarted.current()
    with pytest.raises(TrustListMissing):
        publisher.client(store=store(database)).current()


def test_a_rollback_is_refused_even_after_a_restart(
    publisher: Publisher, database: Database, tmp_path: Path
) -> None:
    """TUF 5.4: an older timestamp, well signed and not expired, is refused; what is held stays."""
    yesterday = publisher.snapshot_of_today(tmp_path / "yesterday")
    publisher.repository.withdraw("ent_counter", until=publisher.clock())
    publisher.repository.publish(publisher.clock())
    client = publisher.client(store=store(database))
    assert client.current().version == 3
    publisher.served = yesterday
    with pytest.raises(Untrusted, match="BadVersionNumber"):
        client.refresh()
    assert client.current().version == 3
    assert client.state().reason == "refused"
    assert client.state().usable
    restarted = publisher.client(store=store(database))
    with pytest.raises(Untrusted, match="BadVersionNumber"):
        restarted.refresh()
    assert restarted.current().version == 3


def test_a_rollback_is_refused_by_the_other_replica(
    publisher: Publisher, database: Database, tmp_path: Path
) -> None:
    """One replica saw the newer list; the other, which did not, refuses the older one too."""
    one, other = (publisher.client(store=store(database)) for _ in range(2))
    one.current()
    other.current()
    yesterday = publisher.snapshot_of_today(tmp_path / "yesterday")
    publisher.repository.publish(publisher.clock())
    one.refresh()
    publisher.served = yesterday
    with pytest.raises(Untrusted, match="BadVersionNumber"):
        other.refresh()


def test_a_replica_that_is_overtaken_does_not_write_over_the_newer_state(
    publisher: Publisher, database: Database
) -> None:
    """Compare-and-swap: what was read before another's write is not written after it."""
    kept = store(database)
    publisher.client(store=kept).current()
    old = kept.read()
    publisher.repository.publish(publisher.clock())
    publisher.client(store=kept).refresh()
    newer = kept.read()
    assert newer["timestamp"].version > old["timestamp"].version
    kept.keep(old, over=old)
    publisher.repository.publish(publisher.clock())
    late = publisher.client()
    late.refresh()
    kept.keep(late._store.read(), over=old)
    assert dict(kept.read()) == dict(newer)


def test_a_frozen_publisher_is_stale_and_not_refused(publisher: Publisher) -> None:
    """TUF 5.4.4: the same old timestamp for ever ends with its expiry."""
    client = publisher.client()
    client.current()
    publisher.clock.advance(days=3)
    with pytest.raises(TrustListStale):
        client.refresh()
    assert client.state().reason == "stale"
    with pytest.raises(TrustListMissing):
        publisher.client().current()


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json"])
def test_one_changed_byte_of_metadata_is_refused(publisher: Publisher, name: str) -> None:
    client = publisher.client()
    path = f"metadata/{name}"
    good = (publisher.served / path).read_bytes()
    publisher.changed[path] = good.replace(b'"expires":"2', b'"expires":"3')
    assert publisher.changed[path] != good
    with pytest.raises(Untrusted, match="refused"):
        client.refresh()
    with pytest.raises(TrustListMissing):
        client.current()
    publisher.changed.clear()
    assert client.current().version == 2


def test_a_changed_list_is_refused(publisher: Publisher) -> None:
    [target] = [
        path
        for path in (publisher.served / "targets").iterdir()
        if b"ent_registry" in path.read_bytes()
    ]
    publisher.changed[f"targets/{target.name}"] = target.read_bytes().replace(
        b"ent_registry", b"ent_registrx"
    )
    with pytest.raises(Untrusted, match="LengthOrHashMismatch"):
        publisher.client().refresh()


def test_another_publisher_with_a_root_of_its_own_is_refused(
    publisher: Publisher, tmp_path: Path
) -> None:
    stranger = published(tmp_path / "stranger")
    client = publisher.client(initial_root=stranger.initial_root)
    with pytest.raises(Untrusted, match="Unsigned"):
        client.refresh()


def test_a_list_that_is_well_signed_but_not_a_list_is_refused(publisher: Publisher) -> None:
    """C-31: the document itself is held to its shape after TUF believed it."""
    working_copy = publisher.repository.path / "trust-list.json"
    client = publisher.client()
    client.current()
    good = working_copy.read_bytes()
    working_copy.write_bytes(good.replace(b'"ent_counter"', b'"ent_registry"'))
    with pytest.raises(Exception, match="occurs twice"):
        publisher.repository.publish(publisher.clock())
    assert client.current().version == 2


def test_local_entries_stand_beside_a_test_list_only(publisher: Publisher) -> None:
    """CERTIFICATION 3: anchors of a test suite by setting; refused beside a production list."""
    suite = Authority.make("Suite Root")
    local = trust_list(
        publisher.trust.registry.entry(id="ent_suite", credential_issuers=[])
        | {"anchors": {"credential": [base64.b64encode(suite.certificate).decode()]}}
    )
    current = publisher.client(local=local).current()
    assert current.entity_by_id("ent_suite").anchors_for(Role.CREDENTIAL) == suite.anchors
    document = publisher.repository.document()
    publisher.repository.save(document | {"environment": "production"})
    publisher.repository.publish(publisher.clock())
    client = publisher.client(local=local)
    with pytest.raises(Untrusted, match="production"):
        client.refresh()
    assert not publisher.client().current().is_test


def test_many_threads_at_the_first_use_fetch_once(publisher: Publisher) -> None:
    """Single flight: the first use by many threads is one refresh."""
    client = publisher.client()
    threads = [threading.Thread(target=client.current) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert publisher.requested.count("metadata/timestamp.json") == 1


def test_the_background_refresh_notices_a_new_list_and_ends(publisher: Publisher) -> None:
    client = publisher.client()
    client.start(interval=0.01)
    try:
        waited = threading.Event()
        publisher.repository.publish(publisher.clock())
        for _ in range(500):
            if client.state().version == 3:
                break
            waited.wait(0.01)
    finally:
        client.stop()
    assert client.current().version == 3
    asked = len(publisher.requested)
    threading.Event().wait(0.05)
    assert len(publisher.requested) == asked


def test_a_service_fetches_by_its_guarded_client_as_its_settings_say(
    publisher: Publisher, database: Database, tmp_path: Path
) -> None:
    """C-54: over HTTP, from a plain static server; http on loopback is a setting of its own."""
    (tmp_path / "root.json").write_bytes(publisher.initial_root)
    (tmp_path / "local.json").write_bytes(
        document(publisher.trust.registry.entry(id="ent_x", anchors={}, credential_issuers=[]))
    )
    handler = partial(_Quiet, directory=str(publisher.repository.public))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://localhost:{server.server_port}"
        settings = ServiceSettings(
            public_url=url,
            database_url=SecretStr("sqlite://"),
            insecure_http_loopback=True,
            trust_url=url,
            trust_root=tmp_path / "root.json",
            trust_local=tmp_path / "local.json",
            key_directory=tmp_path,
            key_password=SecretStr("x"),
        )
        fetcher = Fetcher.from_settings(settings)
        client = TrustListClient.from_settings(
            settings,
            fetcher=fetcher,
            database=database,
            table=add_runtime_tables(MetaData()).trust_state,
            clock=publisher.clock,
            random_bytes=CountingBytes(),
        )
        assert client.current().entity_by_id("ent_counter")
        assert client.current().entity_by_id("ent_x")
        server.shutdown()
    with pytest.raises(Unavailable):
        client.refresh()
    assert client.state().reason == "publisher_unreachable"
    fetcher.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_only_the_documented_files_are_asked_for(publisher: Publisher) -> None:
    """DESIGN 4: static files on any web server."""
    publisher.client().current()
    kinds = [name.partition("/")[0] for name in publisher.requested]
    assert set(kinds) == {"metadata", "targets"}
    assert URL not in "".join(publisher.requested)
