"""runtime/database.py on both databases: transactions, once-only statements, times, bad weather."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, String, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, StatementError

from shared.errors import InvalidInput, Unavailable
from shared.runtime.database import Database, UtcDateTime, insert_once, new_metadata, once
from tests.support.clock import NOW
from tests.support.databases import PostgreSQL

metadata = new_metadata()
codes = Table(
    "codes",
    metadata,
    Column("code", String(40), primary_key=True),
    Column("used", Integer, nullable=False, default=0),
    Column("at", UtcDateTime),
)


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
        connection.execute(delete(codes))
    return opened


def _add(database: Database, code: str) -> None:
    with database.single() as connection:
        connection.execute(insert(codes), {"code": code, "at": NOW})


def _insert(connection: Connection, code: str) -> None:
    connection.execute(insert(codes), {"code": code, "at": NOW})


def _codes(database: Database) -> list[str]:
    with database.reading() as connection:
        return [row.code for row in connection.execute(select(codes.c.code))]


def test_a_transaction_commits_at_its_end(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(codes), {"code": "a"})
        connection.execute(insert(codes), {"code": "b"})
    assert sorted(_codes(database)) == ["a", "b"]


def test_what_is_raised_in_a_transaction_undoes_all_of_it(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        connection.execute(insert(codes), {"code": "a"})
        raise ZeroDivisionError
    assert _codes(database) == []
    _add(database, "the connection is good again")


def test_a_broken_rule_is_not_the_weather(database: Database) -> None:
    """IntegrityError is a bug or the act's business; it undoes the transaction."""
    _add(database, "a")
    with pytest.raises(IntegrityError), database.transaction() as connection:
        connection.execute(insert(codes), {"code": "b"})
        connection.execute(insert(codes), {"code": "a"})
    assert _codes(database) == ["a"]


def test_an_unknown_table_is_a_bug_and_not_unavailable(database: Database) -> None:
    with pytest.raises(Exception, match="nowhere"), database.reading() as connection:
        connection.exec_driver_sql("SELECT 1 FROM nowhere")


def test_a_nul_in_a_text_is_bad_input_where_it_cannot_be_kept(database: Database) -> None:
    """No request makes a worker fail by a `%00` in its path or a `\\u0000` in its body."""
    try:
        with database.reading() as connection:
            assert not connection.execute(select(codes).where(codes.c.code == "a\0b")).all()
    except InvalidInput:
        assert database.dialect == "postgresql"
    _add(database, "afterwards")
    assert _codes(database) == ["afterwards"]


def test_of_two_who_use_a_code_at_once_one_succeeds(database: Database) -> None:
    """S-02: one guarded UPDATE, whose row count decides."""
    _add(database, "once")
    use = update(codes).where(codes.c.code == "once", codes.c.used == 0).values(used=1)
    won: list[bool] = []
    together = threading.Barrier(8)

    def race() -> None:
        together.wait()
        with database.single() as connection:
            won.append(once(connection, use))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(won) == [False] * 7 + [True]


def test_of_eight_who_insert_the_same_once_one_is_first(database: Database) -> None:
    """S-02: INSERT … ON CONFLICT DO NOTHING, also inside transactions."""
    first: list[bool] = []
    together = threading.Barrier(8)

    def race() -> None:
        together.wait()
        with database.transaction() as connection:
            first.append(insert_once(connection, codes, {"code": "nonce", "at": NOW}))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(first) == [False] * 7 + [True]


def test_insert_once_leaves_the_first_row_as_it_is(database: Database) -> None:
    with database.single() as connection:
        assert insert_once(connection, codes, {"code": "a", "used": 1})
        assert not insert_once(connection, codes, {"code": "a", "used": 2})
        assert connection.execute(select(codes.c.used)).scalar_one() == 1


def test_times_come_back_as_aware_utc_to_the_microsecond(database: Database) -> None:
    moment = datetime(2026, 10, 25, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with database.single() as connection:
        connection.execute(insert(codes), {"code": "a", "at": moment})
    with database.reading() as connection:
        found = connection.execute(select(codes.c.at)).scalar_one()
    assert found == moment
    assert found is not None
    assert found.utcoffset() == timedelta(0)


def test_times_compare_in_the_database(database: Database) -> None:
    with database.single() as connection:
        connection.execute(insert(codes), {"code": "a", "at": NOW})
    for step, expected in ((timedelta(microseconds=-1), 0), (timedelta(microseconds=1), 1)):
        with database.reading() as connection:
            statement = select(codes.c.code).where(codes.c.at < NOW + step)
            assert len(connection.execute(statement).all()) == expected


def test_a_time_without_zone_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="without zone"), database.single() as connection:
        connection.execute(insert(codes), {"code": "a", "at": datetime(2026, 1, 1)})  # noqa: DTZ001


def test_writers_wait_for_each_other_and_none_is_lost(database: Database) -> None:
    """BEGIN IMMEDIATE: no transaction of SQLite fails on upgrading its lock."""
    _add(database, "count")
    read = select(codes.c.used).where(codes.c.code == "count").with_for_update()

    def work() -> None:
        for _ in range(10):
            with database.transaction() as connection:
                used = connection.execute(read).scalar_one()
                connection.execute(update(codes).values(used=used + 1))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with database.reading() as connection:
        assert connection.execute(select(codes.c.used)).scalar_one() == 60


def test_a_held_lock_of_another_process_makes_it_unavailable(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that does not let go is a reason to try later, never a crash."""
    _add(database, "held")
    for module in ("database", "engines"):
        monkeypatch.setattr(f"shared.runtime.{module}.BUSY_SECONDS", 0.2)
    other = Database(database_url)
    try:
        with database.transaction() as holder:
            holder.execute(update(codes).values(used=1))
            with pytest.raises(Unavailable), other.transaction() as connection:
                if other.dialect == "postgresql":
                    connection.exec_driver_sql("SET LOCAL lock_timeout = '200ms'")
                connection.execute(update(codes).values(used=2))
    finally:
        other.close()
    with database.reading() as connection:
        assert connection.execute(select(codes.c.used)).scalar_one() == 1


def test_a_database_that_cannot_be_reached_is_unavailable() -> None:
    for url in ("sqlite:////nowhere/at/all.db", "postgresql://nobody@127.0.0.1:1/none"):
        database = Database(url)
        with pytest.raises(Unavailable), database.reading():
            pass
        assert not database.ping()
        database.close()


def test_a_prepared_statement_on_a_database_that_cannot_be_reached_is_unavailable() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable):
        database.run("SELECT 1", {}, read=lambda cursor: cursor.fetchone(), writing=False)
    database.close()


def test_what_is_acknowledged_is_on_the_disk_of_an_sqlite_file(tmp_path: Path) -> None:
    """ "Nothing acknowledged is lost" means a power cut, too (ADR 0017): FULL is 2."""
    for query, level in (("", 2), ("?synchronous=FULL", 2), ("?synchronous=NORMAL", 1)):
        database = Database(f"sqlite:///{tmp_path}/x.db{query}")
        for act in (database.reading, database.single, database.transaction):
            with act() as connection:
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == level
        found = database.run(
            "PRAGMA synchronous", (), read=lambda cursor: cursor.fetchone(), writing=False
        )
        assert found == (level,)
        database.close()


def test_a_connection_is_lent_again_and_one_that_failed_is_whole_again(database: Database) -> None:
    """Whoever gets it next sees nothing of the transaction that failed on it."""
    with database.transaction() as first:
        _insert(first, "lent")
    with database.reading() as second:
        assert second is first
    with pytest.raises(IntegrityError), database.transaction() as connection:
        _insert(connection, "undone")
        _insert(connection, "lent")
    with database.transaction() as connection:
        _insert(connection, "later")
    assert sorted(_codes(database)) == ["later", "lent"]


def test_statements_of_their_own_find_a_connection_while_all_that_are_lent_stay_open(
    database: Database,
) -> None:
    """Each kind has its own: else a process that was busy once would answer 503 for ever."""
    fresh = Database(database.engine.url.render_as_string(hide_password=False))
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(fresh.reading())
        for _ in range(2):
            found = fresh.run("SELECT 1", (), read=lambda cursor: cursor.fetchone(), writing=False)
            assert found == (1,)
    fresh.close()


def test_all_lent_connections_of_a_server_that_went_away_are_given_up(
    postgresql: PostgreSQL,
) -> None:
    url = postgresql.new_database()
    database = Database(url)
    with database.reading(), database.reading(), database.reading():
        pass
    assert database.run("SELECT 1", (), read=lambda cursor: cursor.fetchone(), writing=False)
    postgresql.disconnect_everybody(url)
    with pytest.raises(Unavailable), database.transaction():
        pass
    assert database.run("SELECT 1", (), read=lambda cursor: cursor.fetchone(), writing=False)
    for _ in range(3):
        with database.reading() as one, database.reading() as two, database.reading() as three:
            for each in (one, two, three):
                assert each.exec_driver_sql("SELECT 1").scalar_one() == 1
    database.close()


def test_after_a_restart_of_postgresql_the_pool_connects_by_itself(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    database = Database(url)
    assert database.ping()
    postgresql.disconnect_everybody(url)
    assert not database.ping()
    assert database.ping()
    postgresql.disconnect_everybody(url)
    with pytest.raises(Unavailable), database.transaction():
        pass
    with database.transaction() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
    database.close()
    postgresql.drop(url)


def test_a_failed_statement_that_somebody_caught_is_never_committed(database: Database) -> None:
    """PostgreSQL would roll back and say nothing; then a bug is said, and nothing is half done."""
    _add(database, "a")

    def work() -> None:
        with database.transaction() as connection:
            connection.execute(insert(codes), {"code": "b"})
            with contextlib.suppress(IntegrityError):
                connection.execute(insert(codes), {"code": "a"})

    if database.dialect == "sqlite":  # there the statement alone is undone, as on any savepoint
        work()
        assert sorted(_codes(database)) == ["a", "b"]
    else:
        with pytest.raises(RuntimeError, match="failed statement"):
            work()
        assert _codes(database) == ["a"]


def test_a_connection_lost_inside_a_transaction_is_unavailable(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    database = Database(url)
    with database.transaction() as connection:
        metadata.create_all(connection)
    with pytest.raises(Unavailable), database.transaction() as connection:
        connection.execute(insert(codes), {"code": "lost"})
        postgresql.disconnect_everybody(url)
        connection.execute(insert(codes), {"code": "more"})
    assert _codes(database) == []
    database.close()
    postgresql.drop(url)


def test_a_deadlock_ends_one_of_the_two_as_unavailable(postgresql: PostgreSQL) -> None:
    """Serialization failures and deadlocks are 503 with Retry-After; the other one goes through."""
    url = postgresql.new_database()
    database = Database(url)
    with database.transaction() as connection:
        metadata.create_all(connection)
        connection.execute(insert(codes), [{"code": "a"}, {"code": "b"}])
    together = threading.Barrier(2)
    ended: list[str] = []

    def work(first: str, second: str) -> None:
        try:
            with database.transaction() as connection:
                connection.execute(update(codes).where(codes.c.code == first).values(used=1))
                together.wait()
                connection.execute(update(codes).where(codes.c.code == second).values(used=1))
            ended.append("done")
        except Unavailable:
            ended.append("unavailable")

    threads = [threading.Thread(target=work, args=each) for each in (("a", "b"), ("b", "a"))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(ended) == ["done", "unavailable"]
    database.close()
    postgresql.drop(url)


def test_more_work_than_connections_waits_and_then_says_so(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("database", "engines"):
        monkeypatch.setattr(f"shared.runtime.{module}.BUSY_SECONDS", 0.2)
    monkeypatch.setattr("shared.runtime.engines.POOL_SIZE", 1)
    monkeypatch.setattr("shared.runtime.database.POOL_SIZE", 1)
    database = Database(empty_database_url)
    with database.reading(), pytest.raises(Unavailable), database.reading():
        pass
    assert database.ping()
    database.close()


def test_each_module_has_databases_of_its_own(new_database_url: Callable[[], str]) -> None:
    assert new_database_url() != new_database_url()


def test_utc_is_stored_on_sqlite_so_that_text_order_is_time_order() -> None:
    assert UtcDateTime().process_bind_param(
        datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        Database("sqlite://").engine.dialect,
    ) == datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
