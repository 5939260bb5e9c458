"""Work that any replica may take, one at a time: publishing, retention, clean-up (S-03).

Each job is a row; who changes `leased_until` by a guarded UPDATE has it until then, and puts that
off as long as the job runs. A process that dies loses its lease by time. Times further ahead than
any run writes them are those of a clock that was put right since, and count as past. A job runs in
the background thread of `serve`, must be safe to run twice, and gets the time at which it began.
One that returns True has more to do: it is due again when the others had their turn.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import MetaData, Table, and_, bindparam, or_, select, update

from ..encoding import Clock, RandomBytes
from ..errors import ExpectedError
from .database import Database, UtcDateTime, insert_once, once
from .logs import get_log

log = get_log(__name__)


_SKEW = timedelta(minutes=1)  # between clocks of replicas


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    every: timedelta
    lease: timedelta
    work: Callable[[datetime], object]

    def times(self, now: datetime) -> dict[str, object]:
        """What decides at *now* whether it is due and free."""
        latest = now + max(self.every * 1.1, self.lease) + _SKEW
        return {"job": self.name, "now": now, "latest": latest}


class Jobs:
    """The periodic jobs of one service; made once for each process."""

    def __init__(
        self,
        database: Database,
        metadata: MetaData,
        *,
        clock: Clock,
        random_bytes: RandomBytes,
    ) -> None:
        table: Table = metadata.tables["job"]
        self._database = database
        self._table = table
        self._clock = clock
        self._random_bytes = random_bytes
        self._holder = random_bytes(16).hex()
        self._jobs: dict[str, _Job] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        past = bindparam("now", type_=UtcDateTime())
        never = bindparam("latest", type_=UtcDateTime())
        free = or_(
            table.c.leased_until.is_(None),
            table.c.leased_until <= past,
            table.c.leased_until > never,
        )
        due = and_(
            table.c.name == bindparam("job"),
            or_(table.c.next_run <= past, table.c.next_run > never),
            free,
        )
        self._select_due = select(table.c.name).where(due)
        self._lease = update(table).where(due)
        self._mine = update(table).where(
            table.c.name == bindparam("job"), table.c.holder == self._holder
        )

    def every(
        self,
        name: str,
        seconds: float,
        work: Callable[[datetime], object],
        *,
        lease: float = 60,
    ) -> None:
        """Run `work(now)` every *seconds* in one process at a time.

        Args:
            name: stable and unique in the service; the row's key.
            seconds: from the end of one run to the next, up to a tenth longer by chance.
            work: safe to run twice; True says that there is more to do at once.
            lease: seconds after which another process takes over from one that died; a longer run
                prolongs it.
        """
        self._jobs[name] = _Job(name, timedelta(seconds=seconds), timedelta(seconds=lease), work)

    def run_due(self) -> int:
        """Run every job that is due and free; how many ran here."""
        now = self._clock()
        with self._database.reading() as connection:
            due = [
                job
                for job in self._jobs.values()
                if connection.execute(self._select_due, job.times(now)).first()
            ]
        return sum(self._run(job) for job in due)

    def _run(self, job: _Job) -> bool:
        now = self._clock()
        end = now + job.lease
        taken = self._lease.values(next_run=end, leased_until=end, holder=self._holder)
        with self._database.single() as connection:
            if not once(connection, taken, job.times(now)):
                return False
        begun: dict[str, datetime] = {}
        more = False
        ended = threading.Event()
        prolonging = threading.Thread(target=self._prolong, args=(job, ended), daemon=True)
        prolonging.start()
        try:
            more = job.work(now) is True
            begun = {"last_success": now}
        except ExpectedError as error:
            log.warning("job_failed", job=job.name, reason=str(error))
        except Exception:
            log.exception("job_failed", job=job.name)
        finally:
            ended.set()
            prolonging.join()
        jitter = job.every * (self._random_bytes(1)[0] / 2550)
        after = self._clock() + (timedelta() if more else job.every + jitter)
        done = self._mine.values(next_run=after, leased_until=None, holder=None, **begun)
        with self._database.single() as connection:
            if not once(connection, done, {"job": job.name}):
                log.warning("job_outlived_its_lease", job=job.name)
        return True

    def _prolong(self, job: _Job, ended: threading.Event) -> None:
        """Hold the lease while the job runs; who is dead holds nothing."""
        while not ended.wait(job.lease.total_seconds() / 3):
            prolonged = self._mine.values(leased_until=self._clock() + job.lease)
            with suppress(ExpectedError), self._database.single() as connection:
                connection.execute(prolonged, {"job": job.name})

    def start(self, *, tick: float = 1.0) -> None:
        """Make the rows that are missing, then look for due jobs every *tick* seconds."""
        self.prepare()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._loop, args=(tick,), name="jobs", daemon=True)
        self._thread.start()

    def prepare(self) -> None:
        """Make the rows of jobs that have none; they are due at once."""
        now = self._clock()
        for name in self._jobs:
            with self._database.single() as connection:
                insert_once(connection, self._table, {"name": name, "next_run": now})

    def _loop(self, tick: float) -> None:
        while not self._stopping.is_set():
            try:
                self.run_due()
            except ExpectedError as error:  # the database is away; it will be back
                log.warning("jobs_wait", reason=str(error))
            except Exception:
                log.exception("jobs_wait")
            self._stopping.wait(tick)

    def stop(self) -> None:
        """Let the running job end, then no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
