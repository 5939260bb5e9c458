"""runtime/documents.py: one fetch for many, no older document, on while the publisher is down."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete

from shared.encoding import from_numeric_date, to_numeric_date
from shared.errors import BadSignature, InvalidInput, NotFound, Unavailable
from shared.runtime.database import Database, new_metadata
from shared.runtime.document_store import forget_documents
from shared.runtime.documents import (
    CacheBounds,
    DatabaseDocuments,
    Document,
    DocumentCache,
)
from shared.runtime.fetch import Fetcher, FetchPolicy
from shared.runtime.tables import add_runtime_tables
from tests.support.clock import CountingBytes, FixedClock
from tests.support.servers import Server, answer

JSON = "application/json"
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
    with opened.single() as connection:
        connection.execute(delete(tables.fetched_document))
    return opened


class Publisher:
    """A server whose document says when it was issued."""

    def __init__(self, clock: FixedClock) -> None:
        self.clock = clock
        self.ttl: int | None = 300
        self.lifetime = timedelta(hours=24)
        self.back = timedelta()
        self.status = "200 OK"
        self.value = "first"
        self.delay = 0.0
        self.together: threading.Barrier | None = None
        self.server = Server(self._serve)

    @property
    def fetches(self) -> int:
        return len(self.server.requests)

    def url(self, path: str = "/statuslists/1") -> str:
        return self.server.url + path

    def _serve(self, connection: Any, request: bytes) -> None:
        time.sleep(self.delay)
        if self.together is not None:
            self.together.wait(timeout=60)
        issued = self.clock() - self.back
        content: dict[str, Any] = {
            "value": self.value,
            "iat": to_numeric_date(issued),
            "exp": to_numeric_date(issued + self.lifetime),
        }
        if self.ttl is not None:
            content["ttl"] = self.ttl
        answer(json.dumps(content).encode(), status=self.status)(connection, request)


def verify(body: bytes, now: datetime) -> Document[str]:
    content = json.loads(body)
    expires_at = from_numeric_date(content["exp"])
    if now >= expires_at:
        raise BadSignature("sample: expired")
    return Document(
        content["value"],
        issued_at=from_numeric_date(content["iat"]),
        expires_at=expires_at,
        ttl=timedelta(seconds=content["ttl"]) if "ttl" in content else None,
    )


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def publisher(clock: FixedClock) -> Iterator[Publisher]:
    made = Publisher(clock)
    with made.server:
        yield made


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    made = Fetcher(FetchPolicy(insecure_http_loopback=True, timeouts=(0.5, 0.5, 1.0)))
    yield made
    made.close()


def _cache(
    fetcher: Fetcher, clock: FixedClock, database: Database | None = None, **bounds: Any
) -> DocumentCache:
    return DocumentCache(
        fetcher,
        clock=clock,
        random_bytes=CountingBytes("documents"),
        store=None if database is None else DatabaseDocuments(database, metadata),
        bounds=CacheBounds(**bounds),
    )


@pytest.fixture
def cache(fetcher: Fetcher, clock: FixedClock, database: Database) -> DocumentCache:
    return _cache(fetcher, clock, database)


def _get(cache: DocumentCache, url: str, verified_for: str = "anchors 1") -> str:
    return cache.get(url, verify=verify, verified_for=verified_for, accept=JSON, max_bytes=1000)


def test_a_fresh_document_is_fetched_once(
    cache: DocumentCache, publisher: Publisher, clock: FixedClock
) -> None:
    """ST-52: until fetch time + ttl."""
    for seconds in (0, 100, 199):
        clock.advance(seconds=seconds)
        assert _get(cache, publisher.url()) == "first"
    assert publisher.fetches == 1
    publisher.value = "second"
    clock.advance(seconds=1)
    assert _get(cache, publisher.url()) == "second"
    assert publisher.fetches == 2


def test_many_who_wait_for_the_same_document_cause_one_fetch(
    cache: DocumentCache, publisher: Publisher
) -> None:
    publisher.delay = 0.1
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(_get(cache, publisher.url())))
        for _ in range(12)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == ["first"] * 12
    assert publisher.fetches == 1


def test_documents_of_different_urls_do_not_wait_for_each_other(
    cache: DocumentCache, publisher: Publisher
) -> None:
    publisher.together = threading.Barrier(6)  # none is answered before all have asked
    threads = [
        threading.Thread(target=_get, args=(cache, publisher.url(f"/{number}")))
        for number in range(6)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert publisher.fetches == 6
    assert not publisher.together.broken


@pytest.mark.parametrize(
    ("ttl", "lifetime", "expected"),
    [
        (1, timedelta(hours=24), 60),  # clamped from below
        (10**6, timedelta(hours=48), 24 * 3600),  # and from above
        (None, timedelta(hours=2), 2 * 3600),  # ST-56: without ttl, at the latest at exp
        (600, timedelta(seconds=90), 90),  # never past exp
    ],
)
def test_how_long_a_document_is_fresh(
    cache: DocumentCache,
    publisher: Publisher,
    clock: FixedClock,
    ttl: int | None,
    lifetime: timedelta,
    expected: int,
) -> None:
    """ST-52, ST-56."""
    publisher.ttl, publisher.lifetime = ttl, lifetime
    _get(cache, publisher.url())
    clock.advance(seconds=expected - 1)
    _get(cache, publisher.url())
    assert publisher.fetches == 1
    clock.advance(seconds=1)
    _get(cache, publisher.url())
    assert publisher.fetches == 2


def test_while_the_publisher_is_down_the_held_document_serves_until_its_end(
    cache: DocumentCache, publisher: Publisher, clock: FixedClock
) -> None:
    """DESIGN 3: every service works on; ST-52: never past exp."""
    _get(cache, publisher.url())
    publisher.status = "503 Service Unavailable"
    clock.advance(hours=1)
    assert _get(cache, publisher.url()) == "first"
    before = publisher.fetches
    assert _get(cache, publisher.url()) == "first"
    assert publisher.fetches == before, "a publisher that is down is not asked at every call"
    clock.advance(seconds=31)
    assert _get(cache, publisher.url()) == "first"
    assert publisher.fetches == before + 1
    clock.advance(hours=23)
    with pytest.raises(Unavailable):
        _get(cache, publisher.url())


def test_a_document_that_was_never_had_is_unavailable_or_not_there(
    cache: DocumentCache, publisher: Publisher
) -> None:
    publisher.status = "500 Internal Server Error"
    with pytest.raises(Unavailable):
        _get(cache, publisher.url())
    publisher.status = "404 Not Found"
    with pytest.raises(NotFound):
        _get(cache, publisher.url())
    publisher.status = "200 OK"
    assert _get(cache, publisher.url()) == "first"


def test_what_verify_raises_comes_through_and_nothing_is_kept(
    cache: DocumentCache, publisher: Publisher
) -> None:
    def refuses(_body: bytes, _now: datetime) -> Document[str]:
        raise BadSignature("sample: bad")

    for _ in range(2):
        with pytest.raises(BadSignature, match="sample: bad"):
            cache.get(publisher.url(), verify=refuses, verified_for=1, accept=JSON, max_bytes=1000)
    assert _get(cache, publisher.url()) == "first"


def test_a_bad_new_document_does_not_replace_the_good_one_for_others(
    cache: DocumentCache, publisher: Publisher, clock: FixedClock
) -> None:
    _get(cache, publisher.url())
    clock.advance(seconds=301)
    publisher.lifetime = timedelta(seconds=-1)
    with pytest.raises(BadSignature):
        _get(cache, publisher.url())
    publisher.lifetime = timedelta(hours=1)
    publisher.value = "repaired"
    assert _get(cache, publisher.url()) == "repaired"


def test_a_result_is_given_only_to_those_with_the_same_expectations(
    cache: DocumentCache, publisher: Publisher
) -> None:
    """C-23: verified with one agency's anchors is not verified with another's."""
    asked: list[str] = []

    def verify_for(name: str) -> Any:
        def check(body: bytes, now: datetime) -> Document[str]:
            asked.append(name)
            if name == "strangers":
                raise BadSignature("sample: unknown signer")
            return verify(body, now)

        return check

    for name in ("a", "a", "b", "b"):
        cache.get(
            publisher.url(), verify=verify_for(name), verified_for=name, accept=JSON, max_bytes=1000
        )
    assert asked == ["a", "b"]
    assert publisher.fetches == 1
    with pytest.raises(BadSignature):
        cache.get(
            publisher.url(),
            verify=verify_for("strangers"),
            verified_for="strangers",
            accept=JSON,
            max_bytes=1000,
        )
    assert publisher.fetches == 1


def test_an_older_document_never_replaces_a_newer_one_also_after_a_restart(
    fetcher: Fetcher, publisher: Publisher, clock: FixedClock, database: Database
) -> None:
    """DESIGN 7: an old list cannot un-revoke; a cache that lags takes nothing away either."""
    _get(_cache(fetcher, clock, database), publisher.url())
    clock.advance(seconds=301)
    publisher.back = timedelta(seconds=302)
    publisher.value = "older"
    for cache in (_cache(fetcher, clock, database), _cache(fetcher, clock, database)):
        assert _get(cache, publisher.url()) == "first"
    publisher.back, publisher.value = timedelta(), "newer"
    assert _get(_cache(fetcher, clock, database), publisher.url()) == "newer"


def test_after_a_restart_the_stored_document_serves_without_a_fetch(
    fetcher: Fetcher, publisher: Publisher, clock: FixedClock, database: Database
) -> None:
    """Also what another process of the service has fetched."""
    _get(_cache(fetcher, clock, database), publisher.url())
    publisher.status = "503 Service Unavailable"
    clock.advance(seconds=100)
    assert _get(_cache(fetcher, clock, database), publisher.url()) == "first"
    assert publisher.fetches == 1
    clock.advance(seconds=300)
    assert _get(_cache(fetcher, clock, database), publisher.url()) == "first"
    assert publisher.fetches == 2
    clock.advance(hours=24)
    with pytest.raises(Unavailable):
        _get(_cache(fetcher, clock, database), publisher.url())


def test_the_store_knows_no_url(
    cache: DocumentCache, publisher: Publisher, database: Database
) -> None:
    _get(cache, publisher.url())
    with database.reading() as connection:
        row = connection.execute(tables.fetched_document.select()).one()
    assert publisher.server.url.encode() not in bytes(row.url_hash)
    assert len(row.url_hash) == 32


def test_what_was_not_fetched_for_long_is_forgotten(
    cache: DocumentCache, publisher: Publisher, database: Database, clock: FixedClock
) -> None:
    """S-03."""
    _get(cache, publisher.url())
    for before, left in ((clock(), 1), (clock() + timedelta(seconds=1), 0)):
        forget_documents(database, metadata, before=before)
        with database.reading() as connection:
            assert len(connection.execute(tables.fetched_document.select()).all()) == left


def test_the_cache_has_bounds(fetcher: Fetcher, publisher: Publisher, clock: FixedClock) -> None:
    cache = _cache(fetcher, clock, max_entries=3)
    for number in range(5):
        _get(cache, publisher.url(f"/{number}"))
    _get(cache, publisher.url("/4"))
    assert publisher.fetches == 5
    _get(cache, publisher.url("/0"))
    assert publisher.fetches == 6
    small = _cache(fetcher, clock, max_bytes=100)
    for number in (0, 1, 0):
        _get(small, publisher.url(f"/{number}"))
    assert publisher.fetches == 9


def test_what_a_document_holds_expanded_counts(
    fetcher: Fetcher, publisher: Publisher, clock: FixedClock
) -> None:
    """ST-53: lists that were compressed fill the cache by what they are in memory."""

    def expanded(body: bytes, now: datetime) -> Document[str]:
        found = verify(body, now)
        return Document(found.value, found.issued_at, found.expires_at, found.ttl, 10_000)

    def get(path: str, verified_for: int) -> None:
        cache.get(
            publisher.url(path),
            verify=expanded,
            verified_for=verified_for,
            accept=JSON,
            max_bytes=1000,
        )

    cache = _cache(fetcher, clock, max_bytes=25_000)
    get("/0", 1)
    get("/1", 1)
    get("/0", 1)
    assert publisher.fetches == 2
    get("/0", 2)  # the same bytes, held once more: now the other one has to go
    assert publisher.fetches == 2
    get("/1", 1)
    assert publisher.fetches == 3


def test_a_document_beyond_its_size_limit_is_refused(
    cache: DocumentCache, publisher: Publisher
) -> None:
    with pytest.raises(InvalidInput):
        cache.get(publisher.url(), verify=verify, verified_for=1, accept=JSON, max_bytes=10)


def test_the_background_renews_what_is_in_use_before_anybody_waits(
    cache: DocumentCache, publisher: Publisher, clock: FixedClock
) -> None:
    """DESIGN 6, S-41: a presentation causes a fetch only for a list that was never seen."""
    _get(cache, publisher.url())
    for turn in range(100):
        clock.advance(seconds=10)
        cache.renew_due()
        publisher.value = f"turn {turn}"
        before = publisher.fetches
        _get(cache, publisher.url())
        assert publisher.fetches == before
    assert 3 <= publisher.fetches - 1 <= 5


def test_renewing_early_varies_by_chance(
    fetcher: Fetcher, publisher: Publisher, clock: FixedClock
) -> None:
    """Two lists, or two processes, do not fetch in step."""
    cache = _cache(fetcher, clock)
    for number in range(20):
        _get(cache, publisher.url(f"/{number}"))
    fetched = []
    for _ in range(31):
        clock.advance(seconds=10)
        before = publisher.fetches
        cache.renew_due()
        fetched.append(publisher.fetches - before)
    assert sum(fetched[:23]) == 0, "not before four fifths of the ttl"
    assert max(fetched) < 20
    assert sum(fetched) == 20


def test_what_nobody_uses_is_dropped_and_not_renewed(
    cache: DocumentCache, publisher: Publisher, clock: FixedClock
) -> None:
    _get(cache, publisher.url())
    clock.advance(days=4)
    cache.renew_due()
    assert publisher.fetches == 1
    clock.advance(days=4)
    cache.renew_due()
    assert publisher.fetches == 1


def test_a_failed_renewal_is_tried_again_later_and_hurts_nobody(
    cache: DocumentCache, publisher: Publisher, clock: FixedClock
) -> None:
    _get(cache, publisher.url())
    publisher.status = "503 Service Unavailable"
    clock.advance(seconds=299)
    cache.renew_due()
    cache.renew_due()
    assert publisher.fetches == 2
    assert _get(cache, publisher.url()) == "first"
    publisher.status, publisher.value = "200 OK", "second"
    clock.advance(seconds=31)
    cache.renew_due()
    assert _get(cache, publisher.url()) == "second"


def test_the_background_thread_ends(cache: DocumentCache) -> None:
    cache.start(every=0.01)
    cache.stop()
    assert "documents" not in [each.name for each in threading.enumerate()]
