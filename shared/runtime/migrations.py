"""Migrations of one service's database by Alembic: `<package>/migrations/versions/*.py`.

A package (`issuer_service`, `wallet_service.shares`) has its own tables.py with `metadata`, its own
versions and its own database. One transaction around everything, behind a lock: two replicas may
migrate at once, the second finds nothing left to do. Migrations expand first and contract later, so
that the old version of a service works on while the new one comes up (DESIGN 7).
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from alembic import command
from alembic.config import Config
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect

from .database import Database

_MANY, _FEW, _ALIKE = 1_000_000, 1_000, 10  # rows; of a partial index; with the same value
_SCRIPTS = Path(__file__).parent / "migration_scripts"


def migrate(url: str, *, package: str) -> None:
    """Bring the database at *url* to the newest version of *package*; does nothing if it is there.

    Raises:
        Unavailable: the database does not answer, or is busy; nothing was changed.
    """
    with _locked(url, package) as connection:
        command.upgrade(_config(package, connection), "head")
        if connection.dialect.name == "sqlite":
            _foretell(connection)


def _foretell(connection: Connection) -> None:
    """Tell SQLite's planner how its tables will look: many rows, few tenants.

    It guesses that a tenant has ten rows, reads all of them, and costs grow with the table. What
    ANALYZE would find once there are many is written down before there are any.
    """
    connection.exec_driver_sql("ANALYZE sqlite_schema")  # makes the table of statistics
    connection.exec_driver_sql("DELETE FROM sqlite_stat1")
    for table in inspect(connection).get_table_names():
        indexes = connection.exec_driver_sql(f'PRAGMA index_list("{table}")').all()
        for _, index, unique, origin, partial in indexes:
            found = connection.exec_driver_sql(f'PRAGMA index_info("{index}")').all()
            columns = [name for _, _, name in found]
            rows = _FEW if partial else _MANY
            alike = [rows if name == "tenant" else _ALIKE for name in columns]
            if unique:
                alike[-1] = 1
            connection.exec_driver_sql(
                "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)",
                (table, table if origin == "pk" else index, " ".join(map(str, [rows, *alike]))),
            )


def is_current(url: str, *, package: str) -> bool:
    """Whether the database has exactly the tables that this version of *package* needs."""
    wanted = set(ScriptDirectory.from_config(_config(package)).get_heads())
    database = Database(url)
    try:
        with database.reading() as connection:
            found = set(MigrationContext.configure(connection).get_current_heads())
    finally:
        database.close()
    return found == wanted


def make_revision(url: str, *, package: str, message: str) -> Path | None:
    """For developers: write the migration from the migrated database at *url* to tables.py.

    Returns:
        The new file, or None if nothing has changed.
    """
    with _locked(url, package) as connection:
        config = _config(package, connection)
        config.attributes["metadata"] = _metadata(package)
        made = command.revision(
            config,
            message,
            autogenerate=True,
            process_revision_directives=_only_changes,
            rev_id=_next_id(config),
        )
    script = made[0] if isinstance(made, list) and made else made
    return Path(script.path) if script is not None and not isinstance(script, list) else None


def pending_changes(url: str, *, package: str) -> list[str]:
    """What tables.py says and the migrated database does not; empty if they agree."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415  # slow to import

    database = Database(url)
    try:
        with database.reading() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            return [str(each) for each in compare_metadata(context, _metadata(package))]
    finally:
        database.close()


def _metadata(package: str) -> MetaData:
    metadata = importlib.import_module(f"{package}.tables").metadata
    if not isinstance(metadata, MetaData):
        raise TypeError(f"{package}.tables.metadata is not a MetaData")
    return metadata


def _config(package: str, connection: Connection | None = None) -> Config:
    versions = Path(str(importlib.import_module(package).__file__)).parent / "migrations/versions"
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("version_locations", str(versions).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    config.attributes["metadata"] = None
    return config


def _next_id(config: Config) -> str:
    """Numbers instead of random ids: the order is seen in the directory."""
    count = sum(1 for _ in ScriptDirectory.from_config(config).walk_revisions())
    return f"{count + 1:04}"


def _only_changes(
    _context: MigrationContext, _revision: object, directives: list[MigrationScript]
) -> None:
    changes = directives[0].upgrade_ops if directives else None
    if changes is not None and changes.is_empty():
        directives.clear()


@contextmanager
def _locked(url: str, package: str) -> Iterator[Connection]:
    """One transaction that no other migration of this database runs beside."""
    database = Database(url)
    try:
        if database.dialect == "sqlite":
            Path(database.engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
            with database.single() as connection:  # the pool's only connection, used again below
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # batch mode moves tables
        with database.transaction() as connection:
            if not connection.in_transaction():
                connection.begin()  # so that Alembic sees a transaction that is not its own
            if database.dialect == "postgresql":
                connection.exec_driver_sql(
                    "SELECT pg_advisory_xact_lock(%s)", (crc32(package.encode()),)
                )
            yield connection
    finally:
        database.close()
