"""A register in a database: a table or view that SQLAlchemy reaches, one row a person, read only.

A mapping says which column is what; without one the columns `reference`, `version` and `marks`
(separated by spaces) have their meaning and every other column is a field, as in the sample
register. Connections refuse to write, and a statement that takes too long is stopped.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import (
    ColumnClause,
    Engine,
    Select,
    bindparam,
    column,
    create_engine,
    inspect,
    select,
    table,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, SQLAlchemyError

from shared.errors import InvalidInput, Unavailable
from shared.runtime.database import Database
from shared.runtime.prepared import Prepared

from .registers import PENDING, Entry, EntryNotReady, RegisterUnavailable, SubjectUnknown

_EMPTY = frozenset({None, ""})
_OURS = frozenset({"sqlite", "postgresql"})
_REFERENCE, _VERSION, _MARKS = "reference", "version", "marks"


class MarkRule(BaseModel):
    """An entry carries a mark if *column* has one of the *values*, or any value if none is said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    values: tuple[str, ...] = ()


class SqlMapping(BaseModel):
    """Which column of the agency's table is what.

    Attributes:
        schema_: of the table, if it is not in the default one.
        reference: the column by which people are known.
        version: one that changes whenever the entry does; it makes stale credentials findable.
        marks: mark -> when an entry carries it; "pending" means that it is not finished.
        fields: field (as credentials name it) -> column.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    table: str
    schema_: Annotated[str | None, Field(alias="schema")] = None
    reference: str
    version: str | None = None
    marks: Mapping[str, MarkRule] = Field(default_factory=dict)
    fields: Annotated[Mapping[str, str], Field(min_length=1)]


class SqlRegister:
    """See above.

    Args:
        url: SQLAlchemy's; for others than SQLite and PostgreSQL the operator installs the driver.
        table_name: the table, if there is no mapping.
        mapping: which column is what.
        seconds: how long a statement may take.
    """

    def __init__(
        self,
        url: str,
        *,
        table_name: str = "people",
        mapping: SqlMapping | None = None,
        seconds: float = 3.0,
    ) -> None:
        self._database: Database | None = None
        try:
            if make_url(url).get_backend_name() in _OURS:
                self._database = Database(url, read_only_seconds=seconds)
                self._engine = self._database.engine
            else:
                self._engine = _foreign(url, seconds)
        except (SQLAlchemyError, ImportError) as error:
            raise InvalidInput(f"register: {type(error).__name__}: its driver or URL") from error
        self._mapping = mapping
        self._table_name = mapping.table if mapping else table_name
        self._columns: Mapping[str, str] | None = None  # field -> column
        self._statements: dict[tuple[str, ...], tuple[Select[Any], Prepared]] = {}

    def entry(self, reference: str) -> Entry:
        """See `Register.entry`; the column of references is expected to be unique."""
        statement, prepared = self._statement((_REFERENCE,))
        values = {f"of_{_REFERENCE}": reference}
        with _readable():
            if self._database is not None:
                row = prepared.row(self._database, values)
            else:
                with self._engine.connect() as connection:
                    row = connection.execute(statement, values).one_or_none()
        if row is None:
            raise SubjectUnknown("register: no entry under this reference")
        found = zip(self._known(), row, strict=True)
        fields = {name: str(value) for name, value in found if value not in _EMPTY}
        marks = self._marks(fields)
        if PENDING in marks:
            raise EntryNotReady("register: the entry is not finished")
        return Entry(
            reference=reference, fields=fields, marks=marks, version=fields.get(_VERSION, "")
        )

    def find(self, fields: Mapping[str, str]) -> str:
        """See `Register.find`."""
        known = list(self._known())
        if not fields or not set(fields) <= set(known):
            raise RegisterUnavailable("register: a field by which to find is not mapped")
        statement, _ = self._statement(tuple(sorted(fields)))
        values = {f"of_{name}": value for name, value in fields.items()}
        with _readable(), self._engine.connect() as connection:
            rows = connection.execute(statement.limit(2), values).all()
        if len(rows) != 1:
            raise SubjectUnknown("register: none or several with these fields")
        return str(rows[0][known.index(_REFERENCE)])

    def check(self) -> None:
        """See `Register.check`."""
        with suppress(SubjectUnknown):
            self.entry("")

    def _marks(self, fields: dict[str, str]) -> frozenset[str]:
        if self._mapping is None:
            return frozenset(fields.pop(_MARKS, "").split())
        found = set()
        for name, rule in self._mapping.marks.items():
            value = fields.pop(f"mark {name}", "")
            if value in rule.values if rule.values else value:
                found.add(name)
        return frozenset(found)

    def _known(self) -> Mapping[str, str]:
        """Fields and their columns; without a mapping those of the table, looked up once."""
        if self._columns is None:
            with _readable():
                self._columns = self._look_up()
        return self._columns

    def _look_up(self) -> Mapping[str, str]:
        mapping = self._mapping
        if mapping is None:
            names = [each["name"] for each in inspect(self._engine).get_columns(self._table_name)]
            return dict(zip(names, names, strict=True))
        found = {_REFERENCE: mapping.reference, **mapping.fields}
        if mapping.version:
            found[_VERSION] = mapping.version
        return found | {f"mark {name}": rule.column for name, rule in mapping.marks.items()}

    def _statement(self, by: tuple[str, ...]) -> tuple[Select[Any], Prepared]:
        """The rows whose fields *by* have given values."""
        if by not in self._statements:
            known = self._known()
            columns: dict[str, ColumnClause[Any]] = {each: column(each) for each in known.values()}
            wanted = [columns[each].label(f"column_{at}") for at, each in enumerate(known.values())]
            schema = self._mapping.schema_ if self._mapping else None
            statement = (
                select(*wanted)
                .select_from(table(self._table_name, *columns.values(), schema=schema))
                .where(*(columns[known[each]] == bindparam(f"of_{each}") for each in by))
            )
            self._statements[by] = statement, Prepared(statement)
        return self._statements[by]


@contextmanager
def _readable() -> Iterator[None]:
    """What a database says instead of an answer, in the register's words."""
    try:
        yield
    except DataError as error:  # a reference of letters where the column holds numbers
        raise SubjectUnknown("register: no entry can have this reference") from error
    except (SQLAlchemyError, Unavailable) as error:
        raise RegisterUnavailable(f"register: not readable: {type(error).__name__}") from error


def _foreign(url: str, seconds: float) -> Engine:
    """An engine of another kind of database; only ever used for SELECTs."""
    return create_engine(
        url, pool_size=4, max_overflow=0, pool_timeout=seconds, pool_pre_ping=True,
        hide_parameters=True,
    )  # fmt: skip
