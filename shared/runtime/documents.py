"""Fetched documents: status lists, type metadata, issuer metadata (C-54, ST-51, ST-52).

One fetch at a time for each URL, however many wait for it. What was verified is kept until its
`ttl`, never beyond its end. A background thread renews what is in use, early by a random part of
the `ttl`, so that a presentation causes a fetch only for a list that was never seen (DESIGN 6,
S-41). With a store, the newest `issued_at` of each URL outlives restarts: an older document is
refused, so an old list cannot un-revoke. The caller passes `verify`, and `verified_for`, what its
result rests on.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeAlias, TypeVar, cast

from ..encoding import Clock, RandomBytes
from ..errors import ExpectedError, Unavailable
from .document_store import DatabaseDocuments, DocumentStore, OlderDocument, StoredDocument
from .fetch import Fetcher
from .logs import get_log

__all__ = ["CacheBounds", "DatabaseDocuments", "Document", "DocumentCache", "OlderDocument"]

log = get_log(__name__)

T = TypeVar("T")

_CLOCK_STEP = timedelta(minutes=1)
"""Fetched in the future: the clock was put back, and `refresh_at` means nothing any more."""


@dataclass(frozen=True, slots=True)
class Document(Generic[T]):
    """What `verify` made of the bytes. None: the document does not say.

    `size` is what the value holds in memory beside the bytes, such as a list that was compressed.
    """

    value: T
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    ttl: timedelta | None = None
    size: int = 0


Verify: TypeAlias = Callable[[bytes, datetime], Document[T]]


@dataclass(slots=True)
class _Entry:
    body: bytes
    fetched_at: datetime
    refresh_at: datetime
    expires_at: datetime | None
    renew: Callable[[], object]
    used_at: datetime
    size: int
    verified: dict[Hashable, object] = field(default_factory=dict)


@dataclass(slots=True)
class _Flight:
    """Who fetches one URL; who waits for it goes by its failure instead of trying in turn."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    failed: int = 0
    error: Unavailable | None = None


@dataclass(frozen=True, slots=True)
class CacheBounds:
    """Limits of one cache; the defaults are those of ST-52 and ST-56."""

    min_ttl: timedelta = timedelta(seconds=60)
    max_ttl: timedelta = timedelta(hours=24)
    default_ttl: timedelta = timedelta(minutes=15)
    retry: timedelta = timedelta(seconds=30)
    unused: timedelta = timedelta(days=3)
    max_entries: int = 1_000
    max_bytes: int = 128 * 1024 * 1024


class DocumentCache:
    """One for each process."""

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        clock: Clock,
        random_bytes: RandomBytes,
        store: DocumentStore | None = None,
        bounds: CacheBounds | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._random_bytes = random_bytes
        self._store = store
        self._bounds = bounds or CacheBounds()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._flights: dict[str, _Flight] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def get(
        self,
        url: str,
        *,
        verify: Verify[T],
        verified_for: Hashable,
        accept: str | Collection[str],
        max_bytes: int,
        redirects: int = 3,
    ) -> T:
        """The verified document at *url*, from memory if it is fresh there.

        Args:
            url: where; a plain string, never normalised (C-35).
            verify: bytes and time -> Document; raises what it wants to.
            verified_for: what `verify` rests on (anchors, trust list version, expected type); a
                result is given only to those who ask with the same.
            accept: media types.
            max_bytes: of the fetched body (S-20).
            redirects: at most 3 (S-11).

        Raises: Unavailable, NotFound, InvalidInput: it cannot be had; see `Fetcher.get`. A document
        past its ttl is used until its end while the publisher is down. OlderDocument: a newer one
        was seen before.
        """
        now = self._clock()
        found = self._fresh(url, verified_for, now)
        if found is not None:
            return cast("T", found.verified[verified_for])

        def fetch() -> tuple[bytes, str]:
            answer = self._fetcher.get(url, accept=accept, max_bytes=max_bytes, redirects=redirects)
            return answer.body, answer.content_type

        flight = self._flight(url)
        failed = flight.failed
        with flight.lock:
            now = self._clock()
            found = self._fresh(url, verified_for, now)
            if found is None and flight.failed != failed:  # while this one waited
                raise Unavailable("document: the fetch waited for has failed") from flight.error
            if found is None:
                try:
                    found = self._renew(url, verify, verified_for, fetch)
                except Unavailable as error:
                    flight.failed, flight.error = flight.failed + 1, error
                    raise
            return cast("T", found.verified[verified_for])

    def _fresh(self, url: str, verified_for: Hashable, now: datetime) -> _Entry | None:
        with self._lock:
            entry = self._entries.get(url)
            if entry is None or now >= entry.refresh_at or verified_for not in entry.verified:
                return None
            if now < entry.fetched_at - _CLOCK_STEP:
                return None
            if entry.expires_at is not None and now >= entry.expires_at:
                return None
            entry.used_at = now
            self._entries.move_to_end(url)
            return entry

    def _flight(self, url: str) -> _Flight:
        with self._lock:
            if len(self._flights) > 4 * self._bounds.max_entries:
                self._flights = {
                    each: found for each, found in self._flights.items() if found.lock.locked()
                }
            return self._flights.setdefault(url, _Flight())

    def _renew(
        self,
        url: str,
        verify: Verify[T],
        verified_for: Hashable,
        fetch: Callable[[], tuple[bytes, str]],
    ) -> _Entry:
        """A usable entry, from memory, from the store, or fetched; called once at a time."""
        now = self._clock()
        held = self._held(url)
        # 1. The bytes are fresh, only asked for with other expectations: verify, do not fetch.
        if held is not None and held.fetched_at - _CLOCK_STEP <= now < held.refresh_at:
            return self._verified(held, verify, verified_for, now)
        # 2. Another process has fetched it meanwhile, or it is from before a restart.
        stored = self._store.load(url) if self._store else None
        renew = self._renewal(url, verify, verified_for, fetch)
        if stored is not None and (held is None or stored.fetched_at > held.fetched_at):
            loaded = self._enter(url, stored.body, stored.fetched_at, verify, verified_for, renew)
            if loaded is not None:
                held = loaded
                if loaded.fetched_at - _CLOCK_STEP <= now < loaded.refresh_at:
                    return loaded
        # 3. Fetch; while that fails, what is held is good until its end.
        try:
            body, content_type = fetch()
        except Unavailable:
            if held is None or (held.expires_at is not None and now >= held.expires_at):
                raise
            entry = self._verified(held, verify, verified_for, now)
            entry.refresh_at = now + self._bounds.retry
            log.warning("document_stale", age=int((now - held.fetched_at).total_seconds()))
            return entry
        document = verify(body, now)
        if self._store is not None and document.issued_at is not None:
            try:
                self._store.save(url, StoredDocument(body, content_type, document.issued_at, now))
            except OlderDocument:  # a replica or a cache of the publisher lags behind
                return self._newest(url, verify, verified_for, renew)
        return self._put(url, body, now, document, verified_for, renew)

    def _newest(
        self, url: str, verify: Verify[T], verified_for: Hashable, renew: Callable[[], object]
    ) -> _Entry:
        """The stored document, newer than the fetched one; raises OlderDocument if it has ended."""
        now = self._clock()
        stored = self._store.load(url) if self._store else None
        entry = None
        if stored is not None:
            entry = self._enter(url, stored.body, stored.fetched_at, verify, verified_for, renew)
        if entry is None or (entry.expires_at is not None and now >= entry.expires_at):
            raise OlderDocument("document: a newer one was seen before")
        entry.refresh_at = now + self._bounds.min_ttl
        return entry

    def _held(self, url: str) -> _Entry | None:
        with self._lock:
            return self._entries.get(url)

    def _verified(
        self, entry: _Entry, verify: Verify[T], verified_for: Hashable, now: datetime
    ) -> _Entry:
        if verified_for not in entry.verified:
            document = verify(entry.body, now)
            if len(entry.verified) > 8:
                entry.verified.clear()
                self._resize(entry, len(entry.body))
            entry.verified[verified_for] = document.value
            self._resize(entry, entry.size + document.size)
        entry.used_at = now
        return entry

    def _enter(  # noqa: PLR0917  # private
        self,
        url: str,
        body: bytes,
        fetched_at: datetime,
        verify: Verify[T],
        verified_for: Hashable,
        renew: Callable[[], object],
    ) -> _Entry | None:
        try:
            document = verify(body, self._clock())
        except ExpectedError:
            return None
        return self._put(url, body, fetched_at, document, verified_for, renew)

    def _put(  # noqa: PLR0917  # private
        self,
        url: str,
        body: bytes,
        fetched_at: datetime,
        document: Document[T],
        verified_for: Hashable,
        renew: Callable[[], object],
    ) -> _Entry:
        entry = _Entry(
            body=body,
            fetched_at=fetched_at,
            refresh_at=self._refresh_at(document, fetched_at),
            expires_at=document.expires_at,
            renew=renew,
            used_at=self._clock(),
            size=len(body) + document.size,
            verified={verified_for: document.value},
        )
        with self._lock:
            old = self._entries.pop(url, None)
            self._size += entry.size - (old.size if old else 0)
            self._entries[url] = entry
            self._shrink()
        return entry

    def _resize(self, entry: _Entry, size: int) -> None:
        with self._lock:
            if any(each is entry for each in self._entries.values()):
                self._size += size - entry.size
            entry.size = size
            self._shrink()

    def _shrink(self) -> None:
        """Drop what was not used for longest until the cache is within its bounds."""
        while len(self._entries) > 1 and (
            len(self._entries) > self._bounds.max_entries or self._size > self._bounds.max_bytes
        ):
            _, dropped = self._entries.popitem(last=False)
            self._size -= dropped.size

    def _refresh_at(self, document: Document[T], fetched_at: datetime) -> datetime:
        """ST-52, ST-56: after its ttl within bounds, at the latest at its end."""
        bounds, end = self._bounds, document.expires_at
        if document.ttl is None and end is None:
            return fetched_at + bounds.default_ttl
        ttl = bounds.max_ttl if document.ttl is None else document.ttl
        at = fetched_at + min(max(ttl, bounds.min_ttl), bounds.max_ttl)
        return at if end is None else min(at, end)

    def _renewal(
        self,
        url: str,
        verify: Verify[T],
        verified_for: Hashable,
        fetch: Callable[[], tuple[bytes, str]],
    ) -> Callable[[], object]:
        def renew() -> object:
            with self._flight(url).lock:
                held = self._held(url)
                if held is not None:
                    held.refresh_at = self._clock()
                return self._renew(url, verify, verified_for, fetch)

        return renew

    def renew_due(self) -> None:
        """Renew what is in use and nearly due, and drop what nobody uses; the background work."""
        now = self._clock()
        with self._lock:
            entries = list(self._entries.items())
        for url, entry in entries:
            if now - entry.used_at > self._bounds.unused:
                with self._lock:
                    if self._entries.get(url) is entry:
                        del self._entries[url]
                        self._size -= entry.size
                continue
            # Early by up to a fifth of the lifetime, another moment for each list and process.
            lifetime = entry.refresh_at - entry.fetched_at
            early = lifetime * (self._random_bytes(1)[0] / 255) / 5
            if now >= entry.refresh_at - early:
                used_at = entry.used_at
                try:
                    entry.renew()
                except ExpectedError as error:
                    log.warning("document_not_renewed", reason=str(error))
                if (renewed := self._held(url)) is not None:
                    renewed.used_at = used_at  # renewing is not using

    def start(self, *, every: float = 5.0) -> None:
        """Renew in the background until `stop`."""

        def work() -> None:
            while not self._stopping.wait(every):
                self.renew_due()

        self._thread = threading.Thread(target=work, name="documents", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the background work."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
