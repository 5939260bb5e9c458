"""One database, SQLite or PostgreSQL, the same SQL for both.

Connections are in autocommit; `transaction()` says BEGIN and COMMIT itself, so a lone statement
costs one round trip and a transaction holds its write lock from the first line on (BEGIN
IMMEDIATE). What can pass by waiting (locked, deadlock, serialization, server gone) becomes
`Unavailable`, and the pool connects anew by itself. Once-only things are one guarded statement
whose row count decides (S-02).
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Literal, NoReturn, TypeVar

from sqlalchemy import (
    Connection,
    Dialect,
    Executable,
    Table,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ..errors import Unavailable
from .columns import UtcDateTime, new_metadata
from .engines import BUSY_SECONDS, POOL_SIZE, make_engine
from .logs import get_log
from .weather import state_of, weather

__all__ = [
    "Database",
    "UtcDateTime",
    "insert_once",
    "new_metadata",
    "once",
    "run_within",
]

log = get_log(__name__)

T = TypeVar("T")


class _Turn:
    """To write: one thread after the other, and who would wait too long is told so.

    Else a file that another program has locked would keep them waiting one after the other, and
    with all threads of the process whoever only wants to read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise Unavailable("database: too many wait to write")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _Slots:
    """How many connections may be in use: a semaphore that costs a tenth of threading's."""

    def __init__(self) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(POOL_SIZE):
            self._free.put(None)

    def take(self) -> None:
        """Wait for one, but not for long; raises Unavailable."""
        try:
            self._free.get(timeout=BUSY_SECONDS)
        except Empty:
            raise Unavailable("database: no connection is free") from None

    def give_back(self) -> None:
        """Let somebody else have it."""
        self._free.put(None)


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
        self.engine = make_engine(parsed, read_only_seconds)
        self._drivers = self.engine.pool.recreate()  # for `run`: those lent take the engine's
        self._idle: list[Any] = []  # connections for `run`, the warmest last
        self._slots = _Slots()  # of them, in use at once
        self._kept: list[Connection] = []  # connections to lend, checked out of the pool for good
        self._lendable = _Slots()
        self._driver_error: Any = self.engine.dialect.loaded_dbapi.Error
        # SQLite has one writer; threads of one process queue here instead of polling the file.
        self.writer = _Turn() if self.dialect == "sqlite" else nullcontext()

    def reading(self) -> "_Lent":
        """For SELECTs; each sees its own snapshot. Where two must agree: `transaction()`."""
        return _Lent(self, writing=False)

    def single(self) -> "_Lent":
        """For one writing statement that is a transaction of its own: the cheapest write."""
        return _Lent(self, writing=True)

    def run(self, sql: str, parameters: Any, *, read: Callable[[Any], T], writing: bool) -> T:
        """What *read* makes of the driver's cursor, for one statement; see `prepared.py`."""
        self._slots.take()
        try:
            return self._run(sql, parameters, read=read, writing=writing)
        finally:
            self._slots.give_back()

    def _run(self, sql: str, parameters: Any, *, read: Callable[[Any], T], writing: bool) -> T:
        try:
            driver = self._idle.pop()
        except IndexError:
            driver = self._connect()
        try:
            if writing:
                with self.writer:
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
        with weather():
            try:
                pooled = self._drivers.connect()
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
        with weather():
            raise DBAPIError.instance(
                sql, None, error, self._driver_error, hide_parameters=True, dialect=dialect
            ) from error

    def transaction(self) -> "_Transaction":
        """Several statements, all or nothing: commits at its end, rolls back if anything is raised.

        Hold no network or HSM call inside. Raises Unavailable when the database cannot do it now;
        nothing was changed then.
        """
        return _Transaction(self, writing=True)

    def take(self) -> Connection:
        """A connection of those that stay open between two uses; `give_back` it."""
        self._lendable.take()
        try:
            try:
                return self._kept.pop()
            except IndexError:
                with weather():
                    return self.engine.connect()
        except BaseException:
            self._lendable.give_back()
            raise

    def give_back(self, connection: Connection, *, whole: bool) -> None:
        """Keep *connection*; if something was raised meanwhile, let the pool look after it."""
        try:
            if whole:
                self._kept.append(connection)
                return
            if connection.invalidated:  # the others are as dead
                self._close_open()
            connection.close()
        finally:
            self._lendable.give_back()

    def _close_open(self) -> None:
        with suppress(IndexError):  # others take from these meanwhile
            while True:
                self._idle.pop().close()
        with suppress(IndexError):
            while True:
                connection = self._kept.pop()
                connection.detach()  # from a pool that may be gone; closed is closed
                connection.close()

    def say(self, connection: Connection, command: str) -> None:
        """BEGIN or COMMIT, straight to the driver: SQLAlchemy's own way costs 20 µs each time."""
        raw: Any = connection.connection.driver_connection
        try:
            done = raw.execute(command)
        except self._driver_error as error:
            if getattr(raw, "closed", False):  # the server went away, and with it all the others
                connection.invalidate()
                self.engine.dispose()
            log.warning("database_unavailable", state=state_of(error))
            raise Unavailable(f"database: {command} failed") from error
        if command == "COMMIT" and getattr(done, "statusmessage", "COMMIT") != "COMMIT":
            # PostgreSQL answers ROLLBACK if a statement had failed and somebody caught that.
            raise RuntimeError("a transaction with a failed statement was to be committed")

    def undo(self, connection: Connection) -> None:
        """ROLLBACK, if there is something to roll back and somebody to tell it."""
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
        self._close_open()
        self.engine.dispose()


class _Lent:
    """A connection for the length of a `with` block.

    Not a generator, and the connection stays SQLAlchemy's between two blocks: both together had
    cost more than the statement for which it is lent.
    """

    __slots__ = ("_connection", "_database", "_writing")
    _connection: Connection

    def __init__(self, database: Database, *, writing: bool) -> None:
        self._database = database
        self._writing = writing

    def __enter__(self) -> Connection:
        if self._writing:
            self._database.writer.__enter__()
        try:
            self._connection = self._database.take()
        except BaseException:
            self._end_turn()
            raise
        return self._connection

    def __exit__(
        self, _kind: object, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            self._database.give_back(self._connection, whole=error is None)
        finally:
            self._end_turn()
        if isinstance(error, DBAPIError | PoolTimeoutError):
            with weather():
                raise error

    def _end_turn(self) -> None:
        if self._writing:
            self._database.writer.__exit__(None, None, None)


class _Transaction(_Lent):
    """The same with BEGIN before and COMMIT or ROLLBACK after it."""

    __slots__ = ()

    def __enter__(self) -> Connection:
        connection = super().__enter__()
        database = self._database
        try:
            database.say(connection, "BEGIN IMMEDIATE" if database.dialect == "sqlite" else "BEGIN")
        except BaseException as error:
            super().__exit__(None, error, None)
            raise
        return connection

    def __exit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        database, connection = self._database, self._connection
        try:
            if error is None:
                try:
                    database.say(connection, "COMMIT")
                except BaseException as failed:
                    error = failed
                    database.undo(connection)
                    raise
            else:
                database.undo(connection)
        finally:
            super().__exit__(kind, error, trace)


def portions(keys: Sequence[T], most: int) -> Iterator[list[T]]:
    """All *keys* in lists of few lengths, the last one filled up with one of them.

    For `IN`: each length is a statement of its own, and databases keep what they have prepared;
    what is as long as five hundred keys is large. *most* is a power of two.
    """
    for at in range(0, len(keys), most):
        portion = list(keys[at : at + most])
        length = 1 << (len(portion) - 1).bit_length()
        yield [*portion, *portion[:1] * (length - len(portion))]


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
