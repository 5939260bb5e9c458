"""Work that any replica may take: publishing, retention, clean-up.

A job is a row; one guarded UPDATE gives one process a lease for one run, so that no two run the
same job at once (S-02, S-03). A process that dies loses its lease by time. Jobs run one after
another in one thread of each worker; a job that fails is logged and tried again soon.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import MetaData, bindparam, or_, update

from ..encoding import Clock, RandomBytes
from ..errors import ExpectedError
from .database import Database, insert_once, once
from .logs import get_log

log = get_log(__name__)

_RETRY = timedelta(seconds=10)
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    period: timedelta
    lease: timedelta
    act: Callable[[datetime], None]


class Jobs:
    """The jobs of one process: say `every` for each, `start`, and `stop` at the end."""

    def __init__(
        self, database: Database, metadata: MetaData, *, clock: Clock, random_bytes: RandomBytes
    ) -> None:
        self._database = database
        self._table = table = metadata.tables["job"]
        self._clock = clock
        self._holder = random_bytes(16).hex()
        self._jobs: dict[str, _Job] = {}
        self._woken: set[str] = set()
        self._signal = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        free = or_(table.c.leased_until.is_(None), table.c.leased_until <= bindparam("now_"))
        self._take = (
            update(table)
            .where(table.c.name == bindparam("name_"), table.c.next_run <= bindparam("now_"), free)
            .values(leased_until=bindparam("until_"), holder=bindparam("holder_"))
        )
        held = (table.c.name == bindparam("name_"), table.c.holder == bindparam("holder_"))
        self._done = (
            update(table)
            .where(*held)
            .values(next_run=bindparam("next_"), last_success=bindparam("now_"), leased_until=None)
        )
        self._failed = (
            update(table).where(*held).values(next_run=bindparam("next_"), leased_until=None)
        )
        self._advance = (
            update(table)
            .where(table.c.name == bindparam("name_"), table.c.next_run > bindparam("now_"))
            .values(next_run=bindparam("now_"))
        )

    def every(
        self, name: str, seconds: float, act: Callable[[datetime], None], *, lease: float = 60
    ) -> None:
        """Run `act(now)` about every *seconds*, by one process at a time.

        Args:
            name: of the row, at most 80 characters.
            seconds: from the end of one run to the begin of the next.
            act: opens its own transactions; may be run again after it failed or its process died.
            lease: after how many seconds another process may take over a run that never ended.
        """
        self._jobs[name] = _Job(name, timedelta(seconds=seconds), timedelta(seconds=lease), act)

    def wake(self, name: str) -> None:
        """Let *name* run at the next look instead of after its period. Returns at once."""
        self._woken.add(name)
        self._signal.set()

    def run_due(self) -> tuple[str, ...]:
        """Take and run every job that is due, in this thread; the names of those that ran."""
        return tuple(each.name for each in self._jobs.values() if self._run(each))

    def start(self) -> None:
        """Begin to work, in a thread of its own."""
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the running job end, then stop."""
        self._stopping = True
        self._signal.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _loop(self) -> None:
        while not self._stopping:
            try:
                self._wake_woken()
                self.run_due()
            except ExpectedError as error:  # the database is away: it may come back
                log.warning("jobs_paused", reason=str(error))
            except Exception:
                log.exception("jobs_failed")
            self._signal.wait(_POLL_SECONDS)
            self._signal.clear()

    def _wake_woken(self) -> None:
        while self._woken:
            name = self._woken.pop()
            with self._database.single() as connection:
                connection.execute(self._advance, {"name_": name, "now_": self._clock()})

    def _run(self, job: _Job) -> bool:
        if self._stopping or not self._taken(job):
            return False
        succeeded = False
        try:
            job.act(self._clock())
            succeeded = True
        except ExpectedError as error:
            log.warning("job_failed", job=job.name, reason=str(error))
        except Exception:
            log.exception("job_failed", job=job.name)
        now = self._clock()
        pause = job.period if succeeded else min(job.period, _RETRY)
        values = {"name_": job.name, "holder_": self._holder, "next_": now + pause}
        with self._database.single() as connection:
            if succeeded:
                connection.execute(self._done, {**values, "now_": now})
            else:
                connection.execute(self._failed, values)
        return True

    def _taken(self, job: _Job) -> bool:
        now = self._clock()
        values = {
            "name_": job.name,
            "now_": now,
            "until_": now + job.lease,
            "holder_": self._holder,
        }
        with self._database.single() as connection:
            if once(connection, self._take, values):
                return True
        with self._database.reading() as connection:
            known = connection.execute(
                self._table.select().where(self._table.c.name == job.name)
            ).first()
        if known is not None:
            return False
        first = {"name": job.name, "next_run": now}
        with self._database.single() as connection:
            insert_once(connection, self._table, first)
            return once(connection, self._take, values)
