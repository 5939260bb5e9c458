"""runtime/jobs.py: periodic work, one replica at a time, on both databases (S-03)."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from sqlalchemy import delete, select

from shared.errors import Unavailable
from shared.runtime.database import Database, new_metadata
from shared.runtime.jobs import Jobs
from shared.runtime.tables import add_runtime_tables
from tests.support.clock import CountingBytes, FixedClock

metadata = new_metadata()
tables = add_runtime_tables(metadata)
MakeJobs = Callable[[], Jobs]


@pytest.fixture(scope="module")
def opened(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    with database.transaction() as connection:
        metadata.create_all(connection)
    yield database
    database.close()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def replica(opened: Database, clock: FixedClock) -> Callable[[], Jobs]:
    """Makes one more process's view of the same jobs."""
    with opened.single() as connection:
        connection.execute(delete(tables.job))
    chance = CountingBytes("jobs")
    return lambda: Jobs(opened, metadata, clock=clock, random_bytes=chance)


def test_a_job_runs_when_it_is_due_and_not_before(replica: MakeJobs, clock: FixedClock) -> None:
    jobs, runs = replica(), list[datetime]()
    jobs.every("publish", 60, runs.append)
    jobs.prepare()
    assert jobs.run_due() == 1
    assert jobs.run_due() == 0
    clock.advance(seconds=59)
    assert jobs.run_due() == 0
    clock.advance(seconds=8)  # the interval and its tenth of chance
    assert jobs.run_due() == 1
    assert len(runs) == 2


def test_while_one_replica_works_no_other_does(replica: MakeJobs) -> None:
    first, second = replica(), replica()
    inside, go_on = threading.Event(), threading.Event()
    ran: list[str] = []

    def slow(_now: datetime) -> None:
        inside.set()
        go_on.wait(5)
        ran.append("first")

    first.every("publish", 60, slow)
    second.every("publish", 60, lambda _now: ran.append("second"))
    first.prepare()
    second.prepare()
    thread = threading.Thread(target=first.run_due)
    thread.start()
    inside.wait(5)
    assert second.run_due() == 0
    go_on.set()
    thread.join()
    assert ran == ["first"]


def test_of_eight_that_start_at_once_one_runs(replica: MakeJobs) -> None:
    ran: list[int] = []
    replicas = [replica() for _ in range(8)]
    for number, jobs in enumerate(replicas):
        jobs.every("publish", 60, lambda _now, number=number: ran.append(number))  # type: ignore[misc]
        jobs.prepare()
    together = threading.Barrier(8)

    def work(jobs: Jobs) -> None:
        together.wait()
        jobs.run_due()

    threads = [threading.Thread(target=work, args=(each,)) for each in replicas]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(ran) == 1


def test_a_lease_of_a_dead_replica_ends_by_time(replica: MakeJobs, clock: FixedClock) -> None:
    dead, alive = replica(), replica()
    ran: list[str] = []

    def dies(_now: datetime) -> None:
        raise SystemExit

    dead.every("publish", 60, dies, lease=30)
    alive.every("publish", 60, lambda _now: ran.append("alive"), lease=30)
    dead.prepare()
    with pytest.raises(SystemExit):
        dead.run_due()
    assert alive.run_due() == 0
    clock.advance(seconds=31)
    assert alive.run_due() == 1
    assert ran == ["alive"]


def _leased_until(jobs: Jobs) -> datetime:
    with jobs._database.reading() as connection:
        found: datetime = connection.execute(select(jobs._table.c.leased_until)).scalar_one()
    return found


def test_a_run_that_outlives_its_lease_prolongs_it(replica: MakeJobs, clock: FixedClock) -> None:
    """So that a lease may be shorter than a run, and work goes on soon after a crash (ST-33)."""
    first, second = replica(), replica()
    inside, go_on = threading.Event(), threading.Event()

    def slow(_now: datetime) -> None:
        inside.set()
        go_on.wait(30)

    first.every("publish", 60, slow, lease=0.3)
    second.every("publish", 60, lambda _now: None, lease=0.3)
    first.prepare()
    thread = threading.Thread(target=first.run_due)
    thread.start()
    inside.wait(5)
    taken_until = _leased_until(first)
    clock.advance(seconds=0.2)
    deadline = time.monotonic() + 120
    while _leased_until(first) == taken_until and time.monotonic() < deadline:
        time.sleep(0.02)
    clock.advance(seconds=0.2)
    assert second.run_due() == 0  # 0.4 s after it was taken
    go_on.set()
    thread.join()
    assert second.run_due() == 0  # not due


def test_a_job_that_fails_is_logged_and_tried_again(
    replica: MakeJobs, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    jobs, results = replica(), iter([Unavailable("database: away"), ZeroDivisionError(), None])
    done: list[str] = []

    def work(_now: datetime) -> None:
        if (error := next(results)) is not None:
            raise error
        done.append("done")

    jobs.every("retention", 10, work)
    jobs.prepare()
    for _ in range(3):
        assert jobs.run_due() == 1
        clock.advance(seconds=12)
    assert done == ["done"]


def test_the_background_thread_runs_jobs_and_ends_cleanly(replica: MakeJobs) -> None:
    jobs, ran = replica(), threading.Event()
    jobs.every("publish", 3600, lambda _now: ran.set())
    jobs.start(tick=3600)  # the end does not wait for the next look
    assert ran.wait(60)
    jobs.stop()
    assert "jobs" not in [each.name for each in threading.enumerate()]


def test_a_job_with_more_to_do_is_due_again_when_the_others_had_their_turn(
    replica: MakeJobs,
) -> None:
    """What was put off by a bound on one run does not wait for the next interval."""
    jobs, left, turns = replica(), [2, 1, 0], list[str]()

    def clean(_now: datetime) -> bool:
        turns.append("clean")
        return left.pop(0) > 0

    jobs.every("clean", 300, clean)
    jobs.every("publish", 0, lambda _now: turns.append("publish"))
    jobs.prepare()
    for _ in range(4):
        jobs.run_due()
    assert turns == ["clean", "publish"] * 3 + ["publish"]
