"""SQLAlchemy engines as the services use them, for SQLite and PostgreSQL."""

import sqlite3
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool

BUSY_SECONDS = 5
POOL_SIZE = 8  # of each kind: a process has 16 connections to a database at most


def make_engine(url: URL, read_only_seconds: float | None) -> Engine:
    """Connections in autocommit, prepared for what a service needs of them.

    An SQLite file is synchronised at each commit, so that a power cut takes nothing that was
    acknowledged (ADR 0017); `?synchronous=NORMAL` in the URL leaves that out, for tests.
    """
    synchronous = "NORMAL" if url.query.get("synchronous") == "NORMAL" else "FULL"
    url = url.difference_update_query(["synchronous"])
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            url.set(drivername="sqlite+pysqlite"),
            isolation_level="AUTOCOMMIT",
            poolclass=QueuePool,
            pool_size=POOL_SIZE,
            pool_use_lifo=True,  # the connection whose page cache and statements are warm
            max_overflow=0,
            pool_timeout=BUSY_SECONDS,
            skip_autocommit_rollback=True,
            hide_parameters=True,
            connect_args={
                "check_same_thread": False,
                "timeout": BUSY_SECONDS,
                "cached_statements": 256,
            },
        )
        prepare = _writer(synchronous) if read_only_seconds is None else _reader(read_only_seconds)
        event.listen(engine, "connect", prepare)
        return engine
    limit = "-c lock_timeout=5s -c statement_timeout=30s"
    if read_only_seconds is not None:
        milliseconds = int(read_only_seconds * 1000)
        limit = f"-c default_transaction_read_only=on -c statement_timeout={milliseconds}"
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        skip_autocommit_rollback=True,
        hide_parameters=True,  # errors are logged, values are not
        use_native_hstore=False,
        connect_args={
            "prepare_threshold": 2,
            "connect_timeout": BUSY_SECONDS,
            "options": f"-c timezone=UTC {limit}",
        },
    )


def _writer(synchronous: str) -> Callable[[Any, object], None]:
    """Prepares the connections of a service to its own file."""

    def prepare(connection: Any, _record: object) -> None:
        _write_ahead(connection)
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")

    return prepare


def _write_ahead(connection: Any) -> None:
    """Switch the file to WAL, waiting for others who do.

    SQLite's own waiting does not cover this statement: of several processes that open a new file at
    once, some are told at once that it is locked.
    """
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def _reader(seconds: float) -> Callable[[Any, object], None]:
    """Prepares connections that write nothing and stop statements after so many *seconds*."""

    def prepare(connection: Any, _record: object) -> None:
        begun = [time.monotonic()]
        connection.execute("PRAGMA query_only=ON")
        connection.set_trace_callback(lambda _: begun.__setitem__(0, time.monotonic()))
        connection.set_progress_handler(lambda: time.monotonic() - begun[0] > seconds, 10_000)

    return prepare
