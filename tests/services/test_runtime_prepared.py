"""Hot statements: Core's SQL and types, the driver's speed, the database's errors."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Column, Integer, LargeBinary, String, Table, bindparam, select, update
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.exc import OperationalError as SqliteError

from shared.errors import Unavailable
from shared.runtime.database import Database, UtcDateTime, new_metadata
from shared.runtime.prepared import Prepared, PreparedInsert

metadata = new_metadata()
things = Table(
    "things",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("content", LargeBinary),
    Column("at", UtcDateTime),
)
INSERT = PreparedInsert(things, ["name", "count", "content", "at"])
BY_NAME = Prepared(select(things).where(things.c.name == bindparam("name_")))
COUNT_UP = Prepared(
    update(things)
    .where(things.c.name == bindparam("name_"), things.c.count == 0)
    .values(count=1)
    .returning(things.c.count, things.c.at)
)
SET = Prepared(
    update(things)
    .where(things.c.name == bindparam("name_"))
    .values(count=bindparam("count_"), at=bindparam("at_"))
)
AT = datetime(2027, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def database(empty_database_url: str) -> Iterator[Database]:
    made = Database(empty_database_url)
    metadata.create_all(made.engine)
    yield made
    made.close()


def row(name: str = "a", **values: object) -> dict[str, object]:
    return {"name": name, "count": 0, "content": b"\x00\xff", "at": AT} | values


def test_values_come_back_in_their_types(database: Database) -> None:
    """As through SQLAlchemy: aware UTC, bytes, None."""
    assert INSERT.once(database, row())
    assert INSERT.once(database, row("b", content=None, at=None))
    found = BY_NAME.row(database, {"name_": "a"})
    assert (found.name, found[1]) == ("a", 0)
    assert (bytes(found.content), found.at) == (b"\x00\xff", AT)
    other = BY_NAME.row(database, {"name_": "b"})
    assert (other.content, other.at) == (None, None)
    assert BY_NAME.row(database, {"name_": "none"}) is None
    with database.reading() as connection:
        assert connection.execute(select(things).where(things.c.name == "a")).one() == tuple(found)


def test_an_insert_is_once_and_an_update_says_whether_it_changed_a_row(database: Database) -> None:
    """S-02: the row count decides."""
    assert INSERT.once(database, row())
    assert not INSERT.once(database, row(count=7))
    first = COUNT_UP.returned(database, {"name_": "a"})
    assert (first[0], first.at) == (1, AT)
    assert COUNT_UP.returned(database, {"name_": "a"}) is None
    assert SET.changed(database, {"name_": "a", "count_": 5, "at_": None})
    assert not SET.changed(database, {"name_": "other", "count_": 5, "at_": None})
    assert BY_NAME.row(database, {"name_": "a"})[1] == 5


def test_a_missing_value_is_a_bug(database: Database) -> None:
    """Not a NULL."""
    with pytest.raises(KeyError):
        SET.changed(database, {"name_": "a", "count_": 5})
    with pytest.raises(ValueError, match="without zone"):
        SET.changed(database, {"name_": "a", "count_": 5, "at_": AT.replace(tzinfo=None)})


def test_a_statement_that_is_wrong_is_a_bug_and_its_values_are_not_told(
    database: Database,
) -> None:
    """S-44: errors as SQLAlchemy has them, parameters hidden; the connection is good again."""
    INSERT.once(database, row())
    with pytest.raises(IntegrityError) as refused:
        SET.changed(database, {"name_": "a", "count_": None, "at_": None})
    assert "'a'" not in str(refused.value)
    metadata.drop_all(database.engine)
    with pytest.raises((ProgrammingError, SqliteError)):
        BY_NAME.row(database, {"name_": "a"})
    assert database.ping()


def test_a_database_that_is_locked_or_gone_is_unavailable(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As everywhere: 503, try later; afterwards it works again."""
    INSERT.once(database, row())
    if database.dialect == "postgresql":
        other = Database(str(database.engine.url.render_as_string(hide_password=False)))
        with other.single() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        other.close()
    else:

        def locked(*_: object, **__: object) -> None:
            import sqlite3

            raise sqlite3.OperationalError("database is locked")

        monkeypatch.setattr("shared.runtime.prepared._Plan.read", locked)
    with pytest.raises(Unavailable):
        BY_NAME.row(database, {"name_": "a"})
    monkeypatch.undo()
    assert BY_NAME.row(database, {"name_": "a"})[1] == 0


def test_in_a_transaction_it_is_part_of_it(database: Database) -> None:
    """S-02: several prepared statements, all or nothing; an error is as everywhere."""
    with pytest.raises(LookupError), database.transaction() as connection:
        assert INSERT.once(connection, row())
        assert not INSERT.once(connection, row())
        assert COUNT_UP.returned(connection, {"name_": "a"})[0] == 1
        assert BY_NAME.row(connection, {"name_": "a"})[1] == 1
        raise LookupError
    assert BY_NAME.row(database, {"name_": "a"}) is None
    with database.transaction() as connection:
        INSERT.once(connection, row())
    with pytest.raises(IntegrityError), database.transaction() as connection:
        SET.changed(connection, {"name_": "a", "count_": 5, "at_": None})
        SET.changed(connection, {"name_": "a", "count_": None, "at_": None})
    assert BY_NAME.row(database, {"name_": "a"})[1] == 0
