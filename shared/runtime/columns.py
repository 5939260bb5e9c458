"""How tables of all services name their constraints and keep their times."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, MetaData
from sqlalchemy.types import TypeDecorator

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


def sqlite_time(value: datetime | None) -> str | None:
    """A time as SQLAlchemy writes it into an SQLite file; for statements that do without it."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a time without zone does not go into the database")
    return value.astimezone(UTC).isoformat(" ", "microseconds")[:26]


def read_sqlite_time(value: str | None) -> datetime | None:
    """The time that `sqlite_time` wrote."""
    return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)
