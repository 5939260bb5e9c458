"""Statements of a hot path: written in SQLAlchemy Core, compiled once, then run by the driver.

For a single row SQLAlchemy's own execution costs several times what the database does
(docs/performance.md). Kept of it are the SQL of both dialects, the column types, the pool, and the
errors that mean "try later". Lists (`in_`) are not for here: they are expanded at each execution.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, LargeBinary, ReturnsRows, Table, bindparam
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import TypeEngine

from .columns import UtcDateTime, read_sqlite_time, sqlite_time
from .database import Database, run_within

T = TypeVar("T")
Processor: TypeAlias = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """A statement for one dialect."""

    sql: str
    fixed: Mapping[str, Any]  # parameters that stand in the statement
    given: tuple[tuple[str, Processor], ...]  # all of them, in order, with what each goes through
    positional: bool  # whether the driver counts parameters
    columns: tuple[tuple[int, Callable[[Any], Any]], ...]  # those that the driver gives otherwise
    row: Callable[..., Any]

    def parameters(self, values: Mapping[str, object]) -> Any:
        """As the driver takes them; a value that is missing is a bug (KeyError)."""
        if self.fixed:
            values = {**values, **self.fixed}
        if self.positional:
            return [
                values[name] if process is None else process(values[name])
                for name, process in self.given
            ]
        return {
            name: values[name] if process is None else process(values[name])
            for name, process in self.given
        }

    def read(self, cursor: Any) -> Any:
        """The next row, or None."""
        values = cursor.fetchone()
        if values is None:
            return None
        if self.columns:
            values = list(values)
            for at, process in self.columns:
                values[at] = process(values[at])
        return self.row(*values)


Where: TypeAlias = "Database | Connection"
"""A database: the statement is a transaction of its own. A connection: part of its transaction."""


class Prepared:
    """One statement whose parameters are `bindparam`s without a value."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._plans: dict[str, _Plan] = {}

    def row(self, where: Where, values: Mapping[str, object]) -> Any:
        """The row that a SELECT finds, columns as attributes, or None; more than one is a bug."""
        plan = self._plan(where)
        return _run(where, plan.sql, plan.parameters(values), plan.read, writing=False)

    def changed(self, where: Where, values: Mapping[str, object]) -> bool:
        """Whether a write changed exactly one row (S-02)."""
        plan = self._plan(where)
        return _run(where, plan.sql, plan.parameters(values), _one, writing=True)

    def returned(self, where: Where, values: Mapping[str, object]) -> Any:
        """The row of a write with RETURNING; None if it changed none."""
        plan = self._plan(where)
        return _run(where, plan.sql, plan.parameters(values), plan.read, writing=True)

    def _plan(self, where: Where) -> _Plan:
        dialect = where.engine.dialect
        found = self._plans.get(dialect.name)
        if found is None:
            found = self._plans[dialect.name] = _compile(self._statement, dialect)
        return found


def _run(where: Where, sql: str, parameters: Any, read: Callable[[Any], T], *, writing: bool) -> T:
    if isinstance(where, Database):
        return where.run(sql, parameters, read=read, writing=writing)
    return run_within(where, sql, parameters, read=read)


class PreparedInsert:
    """Inserts a row with exactly these *columns*, if none with the same unique key is there."""

    def __init__(self, table: Table, columns: Iterable[str]) -> None:
        values: dict[str, object] = {name: bindparam(f"{name}_") for name in columns}
        self._columns = tuple(values)
        self._statements = {
            "sqlite": Prepared(sqlite_insert(table).values(values).on_conflict_do_nothing()),
            "postgresql": Prepared(
                postgresql_insert(table).values(values).on_conflict_do_nothing()
            ),
        }

    def once(self, where: Where, row: Mapping[str, object]) -> bool:
        """Whether the row is new; an existing one stays as it is (S-02)."""
        values = {f"{name}_": row[name] for name in self._columns}
        return self._statements[where.engine.dialect.name].changed(where, values)


def _one(cursor: Any) -> bool:
    return bool(cursor.rowcount == 1)


def _writer(kind: TypeEngine[Any], dialect: Dialect) -> Processor:
    """How a value of *kind* is given to the driver; None: as it is."""
    if isinstance(kind, LargeBinary):  # both drivers take bytes
        return None
    if isinstance(kind, UtcDateTime) and dialect.name == "sqlite":
        return sqlite_time
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _reader(kind: TypeEngine[Any], dialect: Dialect) -> Processor:
    """What becomes of a value of *kind* that the driver gives; None: nothing."""
    if isinstance(kind, UtcDateTime) and dialect.name == "sqlite":
        return read_sqlite_time
    return kind.dialect_impl(dialect).result_processor(dialect, None)


def _compile(statement: ClauseElement, dialect: Dialect) -> _Plan:
    compiled: Any = statement.compile(dialect=dialect)
    fixed: dict[str, Any] = {}
    given: dict[str, Processor] = {}
    for name, value in compiled.params.items():
        bind = compiled.binds[name]
        process = _writer(bind.type, dialect)
        given[name] = process if bind.required else None
        if not bind.required:
            fixed[name] = value if process is None else process(value)
    order = compiled.positiontup if compiled.positional else given
    columns: list[tuple[int, Callable[[Any], Any]]] = []
    names: list[str] = []
    if isinstance(statement, ReturnsRows):
        for at, column in enumerate(statement.exported_columns):
            names.append(str(column.key))
            kind: TypeEngine[Any] = column.type
            read = _reader(kind, dialect)
            if read is not None:
                columns.append((at, read))
    return _Plan(
        sql=str(compiled),
        fixed=fixed,
        given=tuple((name, given[name]) for name in order),
        positional=compiled.positional,
        columns=tuple(columns),
        row=namedtuple("Row", names),  # noqa: PYI024  # the names are known at run time only
    )
