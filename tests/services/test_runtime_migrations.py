"""runtime/migrations.py: a service's tables by Alembic, on both databases, also by two at once."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.errors import Unavailable
from shared.runtime.database import Database
from shared.runtime.migrations import is_current, make_revision, migrate, pending_changes
from tests.support.databases import sqlite_url

_TABLES = """
from sqlalchemy import Column, ForeignKey, String, Table
from shared.runtime.database import UtcDateTime, new_metadata
from shared.runtime.tables import add_runtime_tables

metadata = new_metadata()
add_runtime_tables(metadata)
Table("parent", metadata, Column("id", String(10), primary_key=True))
Table(
    "child",
    metadata,
    Column("id", String(10), primary_key=True),
    Column("parent", ForeignKey("parent.id", ondelete="CASCADE"), index=True),
    Column("at", UtcDateTime, nullable=False),
    {more}
)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty service package with tables and no migration yet."""
    name = f"sample_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "tables.py").write_text(_TABLES.replace("{more}", ""))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for each in [each for each in sys.modules if each.startswith(name)]:
        del sys.modules[each]


def _change_tables(package: str) -> None:
    file = Path(str(sys.modules[f"{package}.tables"].__file__))
    file.write_text(_TABLES.replace("{more}", "Column('note', String(20)),"))
    del sys.modules[f"{package}.tables"]


@pytest.fixture
def migrated(empty_database_url: str, package: str, tmp_path: Path) -> str:
    assert (
        make_revision(f"sqlite:///{tmp_path}/dev.db", package=package, message="first") is not None
    )
    migrate(empty_database_url, package=package)
    return empty_database_url


def test_a_fresh_database_gets_exactly_the_tables_of_the_code(migrated: str, package: str) -> None:
    assert is_current(migrated, package=package)
    assert pending_changes(migrated, package=package) == []


def test_migrating_again_changes_nothing(migrated: str, package: str) -> None:
    migrate(migrated, package=package)
    assert is_current(migrated, package=package)


def test_an_empty_database_is_not_current(
    empty_database_url: str, package: str, tmp_path: Path
) -> None:
    make_revision(f"sqlite:///{tmp_path}/dev.db", package=package, message="first")
    assert not is_current(empty_database_url, package=package)


def test_no_change_makes_no_migration(migrated: str, package: str) -> None:
    assert make_revision(migrated, package=package, message="nothing") is None


def test_a_second_migration_keeps_the_rows(migrated: str, package: str) -> None:
    """Batch mode moves tables on SQLite; a child must not be lost with its moved parent."""
    database = Database(migrated)
    with database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO parent (id) VALUES ('p')")
        connection.exec_driver_sql(
            "INSERT INTO child (id, parent, at) VALUES ('c', 'p', '2026-01-01 00:00:00.000000')"
        )
    database.close()
    _change_tables(package)
    second = make_revision(migrated, package=package, message="a note")
    assert second is not None
    assert second.name == "0002_a_note.py"
    assert not is_current(migrated, package=package)
    assert pending_changes(migrated, package=package)
    migrate(migrated, package=package)
    assert is_current(migrated, package=package)
    assert pending_changes(migrated, package=package) == []
    database = Database(migrated)
    with database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT id, parent, note FROM child").all()
    database.close()
    assert [tuple(row) for row in rows] == [("c", "p", None)]


def test_four_replicas_may_migrate_at_once(
    empty_database_url: str, package: str, tmp_path: Path
) -> None:
    make_revision(f"sqlite:///{tmp_path}/dev.db", package=package, message="first")
    together = threading.Barrier(4)
    failed: list[BaseException] = []

    def work() -> None:
        together.wait()
        try:
            migrate(empty_database_url, package=package)
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert is_current(empty_database_url, package=package)


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """SQLite does not wait by itself when several switch a new file to WAL."""

    def work(url: str, together: threading.Barrier) -> str | None:
        database = Database(url)
        try:
            together.wait()
            with database.transaction() as connection:
                connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS t (x)")
        except Unavailable as error:
            return str(error)
        finally:
            database.close()
        return None

    for turn in range(60):
        together = threading.Barrier(4)
        with ThreadPoolExecutor(4) as pool:
            url = f"sqlite:///{tmp_path}/{turn}.db"
            found = list(pool.map(work, [url] * 4, [together] * 4))
        assert found == [None] * 4


def test_a_migration_that_fails_leaves_the_database_as_it_was(migrated: str, package: str) -> None:
    versions = Path(str(sys.modules[package].__file__)).parent / "migrations" / "versions"
    (versions / "0002_broken.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        "revision, down_revision, branch_labels, depends_on = '0002', '0001', None, None\n"
        "def upgrade():\n"
        "    op.create_table('half', sa.Column('id', sa.Integer))\n"
        "    raise ZeroDivisionError\n"
    )
    with pytest.raises(ZeroDivisionError):
        migrate(migrated, package=package)
    assert not is_current(migrated, package=package)
    (versions / "0002_broken.py").unlink()
    assert is_current(migrated, package=package)
    assert pending_changes(migrated, package=package) == []


def test_a_database_that_does_not_answer_is_said_as_such(package: str, tmp_path: Path) -> None:
    make_revision(f"sqlite:///{tmp_path}/dev.db", package=package, message="first")
    with pytest.raises(Unavailable):
        migrate("postgresql://nobody@127.0.0.1:1/none", package=package)


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("tenant = 'a' AND subject = x'00' AND state != 'revoked'", "ix_issuances_tenant_subject"),
        ("tenant = 'a' AND id = 'iss_1'", "PRIMARY KEY (tenant=? AND id=?)"),
    ],
)
def test_sqlite_does_not_read_a_whole_tenant_to_find_one_person(
    tmp_path: Path, where: str, index: str
) -> None:
    """PERFORMANCE 7: an index of few rows is taken rather than the key that all rows share."""
    url = sqlite_url(tmp_path)
    for _ in range(2):  # a migration may come again
        migrate(url, package="issuer_service")
    database = Database(url)
    with database.reading() as connection:
        plan = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN SELECT offer_id, reason FROM issuances WHERE {where}"  # noqa: S608
        ).all()
    database.close()
    assert index in str(plan[0][3])
