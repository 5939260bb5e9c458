"""The trust list of a service: fetched, verified by TUF, remembered, held in memory.

python-tuf does the deciding (signatures, thresholds, root rotation, rollback, freeze); here are its
disk, its network and its clock. What it verified last lies in the service's own database, so an
older list is refused after a restart and by every replica, and the list outlives its publisher
until it expires. A list that is too old is said to be *stale*; one that does not verify is
*refused*: neither is ever the other.

Specification: DESIGN section 4; TUF 1.0, section 5 (client workflow); PROFILE S-41, C-54.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Protocol, TypeAlias

from sqlalchemy import Table

from ..encoding import Clock, RandomBytes
from ..errors import ExpectedError, InvalidInput, NotFound, Unavailable, Untrusted
from ..trust import TrustList
from .database import Database
from .fetch import Fetcher
from .imports import without
from .logs import get_log
from .settings import ServiceSettings
from .trust_store import DatabaseStore, MemoryStore, Stored, TrustStore

with without("pkcs11"):  # which securesystemslib has for signers, and nobody signs here
    from tuf.api.exceptions import (
        DownloadError,
        DownloadHTTPError,
        ExpiredMetadataError,
        RepositoryError,
    )
    from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

log = get_log(__name__)

FetchFile: TypeAlias = Callable[[str], bytes]

TARGET = "trust-list.json"
REFRESH_SECONDS = 300
RETRY_SECONDS = 30
MAX_FILE = 5_000_000


class TrustListMissing(Unavailable):
    """No list was ever verified here."""

    code = "trust_list_missing"
    public = "The trust list has not been loaded yet. Try again later."


class TrustListStale(Unavailable):
    """The newest list that could be had has expired: who may be trusted now is unknown."""

    code = "trust_list_stale"
    public = "The trust list is out of date. Try again later."


class TrustSource(Protocol):
    """Where a service asks for the list that counts now."""

    def current(self) -> TrustList:
        """The list. Raises TrustListMissing or TrustListStale."""
        ...


@dataclass(frozen=True, slots=True)
class TrustState:
    """For readiness: `usable` is about the list held, `reason` about the last refresh."""

    usable: bool
    reason: Literal["fresh", "publisher_unreachable", "refused", "stale", "missing"]
    version: int | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    data: bytes
    trust_list: TrustList
    until: datetime


class _Updater(Updater):
    """python-tuf's updater at a time of ours; its own would be the system clock's."""

    def __init__(
        self, folder: Path, url: str, fetcher: FetcherInterface, root: bytes, now: datetime
    ) -> None:
        (folder / "targets").mkdir(parents=True, exist_ok=True)
        super().__init__(
            metadata_dir=str(folder),
            metadata_base_url=f"{url}/metadata/",
            target_dir=str(folder / "targets"),
            target_base_url=f"{url}/targets/",
            fetcher=fetcher,
            config=UpdaterConfig(targets_max_length=MAX_FILE),
            bootstrap=root,
        )
        self._trusted_set.reference_time = now

    def trust_list(self) -> tuple[bytes, int, datetime]:
        """The verified target, its version, and when the first signed file expires."""
        self.refresh()
        info = self.get_targetinfo(TARGET)
        if info is None:
            raise RepositoryError(f"no target {TARGET}")
        path = self.find_cached_target(info) or self.download_target(info)
        trusted = self._trusted_set
        parts = trusted.root, trusted.timestamp, trusted.snapshot, trusted.targets
        return Path(path).read_bytes(), trusted.targets.version, min(each.expires for each in parts)


class _Network(FetcherInterface):
    """python-tuf's network is the service's one guarded client (C-54), or a folder."""

    def __init__(self, fetch: FetchFile) -> None:
        self._fetch_file = fetch

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            return iter([self._fetch_file(url)])
        except NotFound as error:
            raise DownloadHTTPError("not found", 404) from error
        except ExpectedError as error:
            raise DownloadError(str(error)) from error


class _Remembered(FetcherInterface):
    """A publisher that has what is stored, nothing newer: the same checks, no network."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def _fetch(self, url: str) -> Iterator[bytes]:
        if url.endswith("/timestamp.json") and "timestamp" in self._stored:
            return iter([self._stored["timestamp"].data])
        raise DownloadHTTPError("not stored", 404)


def through(fetcher: Fetcher) -> FetchFile:
    """Files by the guarded client; static servers know many media types for JSON, so any counts."""

    def fetch(url: str) -> bytes:
        return fetcher.get(url, accept=None, max_bytes=MAX_FILE).body

    return fetch


class TrustListClient:
    """One for each process. `current()` is cheap; `start()` keeps it fresh in the background.

    Args:
        url: where the publisher's files are (`metadata/` and `targets/` below it).
        initial_root: bytes of a root.json this service was given by hand, of whatever age.
        store: what was verified before, normally in the service's database.
        fetch: gives the bytes behind a URL; raises NotFound, or Unavailable.
        local: entries of this installation alone; only beside a test list, with a warning.
    """

    def __init__(
        self,
        *,
        url: str,
        initial_root: bytes,
        fetch: FetchFile,
        clock: Clock,
        random_bytes: RandomBytes,
        store: TrustStore | None = None,
        local: TrustList | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._initial_root = initial_root
        self._fetch = fetch
        self._clock = clock
        self._random_bytes = random_bytes
        self._store = store if store is not None else MemoryStore()
        self._local = local
        self._held: _Held | None = None
        self._reason: Literal["fresh", "publisher_unreachable", "refused", "stale"] = "fresh"
        self._flight = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if local is not None:
            log.warning("trust_list_local_entries", entities=len(local.entities))

    @classmethod
    def from_settings(
        cls,
        settings: ServiceSettings,
        *,
        fetcher: Fetcher,
        database: Database,
        table: Table,
        clock: Clock,
        random_bytes: RandomBytes,
    ) -> "TrustListClient":
        """As a service has it: *table* is the `trust_state` of its own database."""
        local = settings.trust_local
        return cls(
            url=settings.trust_url,
            initial_root=settings.trust_root.read_bytes(),
            fetch=through(fetcher),
            clock=clock,
            random_bytes=random_bytes,
            store=DatabaseStore(database, table),
            local=TrustList.parse(local.read_bytes(), version=0) if local else None,
        )

    def current(self) -> TrustList:
        """The list that counts now, from memory; only the very first call may read or fetch.

        Raises:
            TrustListMissing: none was ever verified, and none can be had.
            TrustListStale: the newest one has expired.
        """
        held = self._held
        if held is None:
            held = self._first()
        if self._clock() >= held.until:
            raise TrustListStale("trust list: expired, and no newer one could be had")
        return held.trust_list

    def state(self) -> TrustState:
        """What readiness says. Never fetches."""
        held = self._held
        if held is None:
            return TrustState(usable=False, reason="missing")
        usable = self._clock() < held.until
        reason = self._reason if usable else "stale"
        return TrustState(usable, reason, held.trust_list.version, held.until)

    def refresh(self) -> None:
        """Ask the publisher. What is held stays in use when that fails, until it expires.

        Raises:
            Unavailable: the publisher does not answer.
            TrustListStale: it answers with something expired (frozen).
            Untrusted: it answers with something wrongly signed, rolled back or malformed.
        """
        with self._flight:
            self._refresh()

    def start(self, *, interval: float = REFRESH_SECONDS) -> None:
        """Load what is stored, then refresh every *interval* seconds (±10 %) in the background."""
        with self._flight:
            self._load()
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._run, args=(interval,), name="trust-list", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the background refresh."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None

    def _run(self, interval: float) -> None:
        while not self._stop.is_set():
            pause = interval
            try:
                self.refresh()
            except ExpectedError:
                pause = min(interval, RETRY_SECONDS)  # logged by _refresh
            except Exception:
                log.exception("trust_list_refresh_crashed")
            jitter = self._random_bytes(1)[0] / 255 * 0.2 + 0.9
            self._stop.wait(pause * jitter)

    def _first(self) -> _Held:
        with self._flight:
            if self._held is None:
                self._load()
            if self._held is None:
                try:
                    self._refresh()
                except ExpectedError as error:
                    raise TrustListMissing("trust list: none was ever verified here") from error
            if self._held is None:  # pragma: no cover  (refresh raises or holds)
                raise TrustListMissing("trust list: none was ever verified here")
            return self._held

    def _load(self) -> None:
        """Hold what is stored, if it still verifies and has not expired."""
        stored = self._store.read()
        if "timestamp" not in stored:
            return
        try:
            self._take(_Remembered(stored), stored)
        except (RepositoryError, DownloadError, InvalidInput) as error:
            log.warning("trust_list_stored_not_usable", reason=type(error).__name__)

    def _refresh(self) -> None:
        before = self._held.trust_list.version if self._held else None
        stored = self._store.read()
        try:
            self._take(_Network(self._fetch), stored)
        except DownloadError as error:
            self._reason = "publisher_unreachable"
            log.warning("trust_list_publisher_unreachable", reason=str(error))
            raise Unavailable("trust list: the publisher does not answer") from error
        except ExpiredMetadataError as error:
            self._reason = "stale"
            log.warning("trust_list_stale", reason=str(error))
            raise TrustListStale(f"trust list: {error}") from error
        except (RepositoryError, InvalidInput) as error:
            self._reason = "refused"
            log.error(  # noqa: TRY400  (the reason says it; no traceback)
                "trust_list_refused", check=type(error).__name__, reason=str(error)
            )
            raise Untrusted(f"trust list: refused: {type(error).__name__}: {error}") from error
        self._reason = "fresh"
        if self._held is not None and self._held.trust_list.version != before:
            log.info("trust_list_updated", version=self._held.trust_list.version)

    def _take(self, network: FetcherInterface, stored: Stored) -> None:
        """Verify what *network* offers on top of what is *stored*; hold and store the result."""
        with TemporaryDirectory(prefix="trust-list-") as name:
            folder = Path(name)
            stored.write(folder)
            try:
                updater = _Updater(folder, self._url, network, self._initial_root, self._clock())
                data, version, until = updater.trust_list()
                trust_list = self._parse(data, version)
            except Exception:
                self._store.keep(Stored.of(folder, roots_only=True), over=stored)
                raise
            self._store.keep(Stored.of(folder), over=stored)
        self._held = _Held(data, trust_list, until)

    def _parse(self, data: bytes, version: int) -> TrustList:
        held = self._held
        if held is not None and (held.data, held.trust_list.version) == (data, version):
            return held.trust_list  # with the lookups it has gathered
        trust_list = TrustList.parse(data, version=version)
        return trust_list if self._local is None else trust_list.with_local(self._local)
