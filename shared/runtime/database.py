"""One database, SQLite or PostgreSQL, the same SQL for both.

Connections are in autocommit; `transaction()` says BEGIN and COMMIT itself, so a lone statement
costs one round trip and a transaction holds its write lock from the first line on (BEGIN
IMMEDIATE). What can pass by waiting (locked, deadlock, serialization, server gone) becomes
`Unavailable`, and the pool connects anew by itself. Once-only things are one guarded statement
whose row count decides (S-02).
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn, TypeVar

from sqlalchemy import (
    Connection,
    DateTime,
    Dialect,
    Engine,
    Executable,
    MetaData,
    Table,
    create_engine,
    event,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeDecorator

from ..errors import Unavailable
from .logs import get_log

log = get_log(__name__)

T = TypeVar("T")
_BUSY_SECONDS = 5
_POOL_SIZE = 8  # of each kind: a process has 16 connections to a database at most

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def new_metadata() -> MetaData:
    """The MetaData of one service: every constraint has a name, as Alembic's batch mode needs."""
    return MetaData(naming_convention=_NAMING)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in, aware UTC out, on both databases; a naive time is refused (a bug)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone does not go into the database")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _engine(url: URL, read_only_seconds: float | None) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            url.set(drivername="sqlite+pysqlite"),
            isolation_level="AUTOCOMMIT",
            poolclass=QueuePool,
            pool_size=_POOL_SIZE,
            pool_use_lifo=True,  # the connection whose page cache and statements are warm
            max_overflow=0,
            pool_timeout=_BUSY_SECONDS,
            skip_autocommit_rollback=True,
            hide_parameters=True,
            connect_args={
                "check_same_thread": False,
                "timeout": _BUSY_SECONDS,
                "cached_statements": 256,
            },
        )
        prepare = _prepare_sqlite if read_only_seconds is None else _reader(read_only_seconds)
        event.listen(engine, "connect", prepare)
        return engine
    limit = "-c lock_timeout=5s -c statement_timeout=30s"
    if read_only_seconds is not None:
        milliseconds = int(read_only_seconds * 1000)
        limit = f"-c default_transaction_read_only=on -c statement_timeout={milliseconds}"
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        pool_size=_POOL_SIZE,
        max_overflow=0,
        pool_timeout=_BUSY_SECONDS,
        skip_autocommit_rollback=True,
        hide_parameters=True,  # errors are logged, values are not
        use_native_hstore=False,
        connect_args={
            "prepare_threshold": 2,
            "connect_timeout": _BUSY_SECONDS,
            "options": f"-c timezone=UTC {limit}",
        },
    )


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _reader(seconds: float) -> Callable[[Any, object], None]:
    """Prepares connections that write nothing and stop statements after so many *seconds*."""

    def prepare(connection: Any, _record: object) -> None:
        begun = [time.monotonic()]
        connection.execute("PRAGMA query_only=ON")
        connection.set_trace_callback(lambda _: begun.__setitem__(0, time.monotonic()))
        connection.set_progress_handler(lambda: time.monotonic() - begun[0] > seconds, 10_000)

    return prepare


# SQLSTATE classes that waiting or reconnecting can cure: 08 connection, 40 rollback, 53 resources,
# 57 operator (shutdown, cancelled), 55P03 lock not available, 25006 read-only after a fail-over.
_PASSING = ("08", "40", "53", "57", "55P03", "25006")


def _passing(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_PASSING)
    if isinstance(error, OperationalError):
        # SQLite: locked, busy, disk full, cannot open. "no such table" is a bug, not the weather.
        return "no such" not in str(error.orig) and "syntax" not in str(error.orig)
    return isinstance(error, InterfaceError | InternalError)


@contextmanager
def _weather() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable("database: no connection is free") from error
    except DBAPIError as error:
        if not _passing(error):
            raise
        state = _state(error.orig)
        log.warning("database_unavailable", state=state)
        raise Unavailable(f"database: {state}") from error


def _state(error: BaseException | None) -> str:
    """What may stand in a log: the SQLSTATE or the kind of error, no message, no values."""
    return str(getattr(error, "sqlstate", None) or type(error).__name__)


class _Turn:
    """To write: one thread after the other, and who would wait too long is told so.

    Else a file that another program has locked would keep them waiting one after the other, and
    with all threads of the process whoever only wants to read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=_BUSY_SECONDS):
            raise Unavailable("database: too many wait to write")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Database:
    """A pool of connections. One for each process; made before threads, closed at the end.

    Args:
        url: SQLAlchemy's, of SQLite or PostgreSQL.
        read_only_seconds: somebody else's database: nothing is written, statements take no longer.
    """

    def __init__(self, url: str, *, read_only_seconds: float | None = None) -> None:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        self.dialect: Literal["sqlite", "postgresql"] = (
            "sqlite" if backend == "sqlite" else "postgresql"
        )
        self.engine = _engine(parsed, read_only_seconds)
        self._idle: list[Any] = []  # connections for `run`, the warmest last
        self._slots = threading.BoundedSemaphore(_POOL_SIZE)  # of them, in use at once
        self._driver_error: Any = self.engine.dialect.loaded_dbapi.Error
        # SQLite has one writer; threads of one process queue here instead of polling the file.
        self._writer = _Turn() if self.dialect == "sqlite" else nullcontext()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """For SELECTs; each sees its own snapshot. Where two must agree: `transaction()`."""
        with _weather(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def single(self) -> Iterator[Connection]:
        """For one writing statement that is a transaction of its own: the cheapest write."""
        with _weather(), self._writer, self.engine.connect() as connection:
            yield connection

    def run(self, sql: str, parameters: Any, *, read: Callable[[Any], T], writing: bool) -> T:
        """What *read* makes of the driver's cursor, for one statement; see `prepared.py`."""
        if not self._slots.acquire(timeout=_BUSY_SECONDS):
            raise Unavailable("database: no connection is free")
        try:
            return self._run(sql, parameters, read=read, writing=writing)
        finally:
            self._slots.release()

    def _run(self, sql: str, parameters: Any, *, read: Callable[[Any], T], writing: bool) -> T:
        try:
            driver = self._idle.pop()
        except IndexError:
            driver = self._connect()
        try:
            if writing:
                with self._writer:
                    found = read(driver.execute(sql, parameters))
            else:
                found = read(driver.execute(sql, parameters))
        except self._driver_error as error:
            self._failed(driver, error, sql)
        except BaseException:
            driver.close()
            raise
        self._idle.append(driver)
        return found

    def _connect(self) -> Any:
        """A connection of our own: the pool's way in and out costs more than a statement."""
        with _weather():
            try:
                pooled = self.engine.raw_connection()
            except self._driver_error as error:  # which SQLAlchemy leaves as it is here
                raise _translated("connect", error, self.engine.dialect) from error
            driver = pooled.driver_connection
            pooled.detach()
            return driver

    def _failed(self, driver: Any, error: Any, sql: str) -> NoReturn:
        dialect = self.engine.dialect
        if dialect.is_disconnect(error, driver, None):
            self.close()  # the others are as dead
        driver.close()
        with _weather():
            raise DBAPIError.instance(
                sql, None, error, self._driver_error, hide_parameters=True, dialect=dialect
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Several statements, all or nothing: commits at its end, rolls back if anything is raised.

        Hold no network or HSM call inside. Raises Unavailable when the database cannot do it now;
        nothing was changed then.
        """
        with _weather(), self._writer, self.engine.connect() as connection:
            self._say(connection, "BEGIN IMMEDIATE" if self.dialect == "sqlite" else "BEGIN")
            try:
                yield connection
                self._say(connection, "COMMIT")
            except BaseException:
                self._undo(connection)
                raise

    def _say(self, connection: Connection, command: str) -> None:
        # Straight to the driver: SQLAlchemy's own way costs 20 µs each time.
        raw: Any = connection.connection.driver_connection
        try:
            done = raw.execute(command)
        except self._driver_error as error:
            if getattr(raw, "closed", False):  # the server went away, and with it all the others
                connection.invalidate()
                self.engine.dispose()
            log.warning("database_unavailable", state=_state(error))
            raise Unavailable(f"database: {command} failed") from error
        if command == "COMMIT" and getattr(done, "statusmessage", "COMMIT") != "COMMIT":
            # PostgreSQL answers ROLLBACK if a statement had failed and somebody caught that.
            raise RuntimeError("a transaction with a failed statement was to be committed")

    def _undo(self, connection: Connection) -> None:
        if connection.invalidated:
            return
        raw: Any = connection.connection.driver_connection
        try:
            if self.dialect == "postgresql" or raw.in_transaction:
                raw.execute("ROLLBACK")
        except self._driver_error:
            connection.invalidate()

    def ping(self) -> bool:
        """Whether the database answers now."""
        try:
            with self.reading() as connection:
                connection.exec_driver_sql("SELECT 1")
        except Unavailable:
            return False
        return True

    def close(self) -> None:
        """Close every connection."""
        with suppress(IndexError):  # others take from it and close it, too
            while True:
                self._idle.pop().close()
        self.engine.dispose()


def run_within(connection: Connection, sql: str, parameters: Any, *, read: Callable[[Any], T]) -> T:
    """As `Database.run`, in the transaction of *connection*."""
    dialect = connection.dialect
    driver_error: Any = dialect.loaded_dbapi.Error
    driver: Any = connection.connection.driver_connection
    try:
        return read(driver.execute(sql, parameters))
    except driver_error as error:
        if dialect.is_disconnect(error, driver, None):
            connection.invalidate(error)
            connection.engine.dispose()
        raise _translated(sql, error, dialect) from error


def _translated(sql: str, error: Any, dialect: Dialect) -> BaseException:
    """The driver's *error* as SQLAlchemy's, without the values."""
    found: BaseException = DBAPIError.instance(
        sql,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        dialect=dialect,
    )
    return found


_COUNTED = {"preserve_rowcount": True}  # of an INSERT it is else not known on PostgreSQL


def once(
    connection: Connection, statement: Executable, values: Mapping[str, object] | None = None
) -> bool:
    """Whether *statement* (with its guard in it) changed exactly one row (S-02)."""
    result: Any = connection.execute(statement, values, execution_options=_COUNTED)
    return bool(result.rowcount == 1)


_inserts: dict[tuple[Table, str], Executable] = {}


def insert_once(connection: Connection, table: Table, values: Mapping[str, object]) -> bool:
    """Whether the row is new; an existing one with the same unique key stays as it is (S-02)."""
    dialect = connection.dialect.name
    statement = _inserts.get((table, dialect))
    if statement is None:
        insert = sqlite_insert if dialect == "sqlite" else postgresql_insert
        statement = _inserts[table, dialect] = insert(table).on_conflict_do_nothing()
    return once(connection, statement, values)
