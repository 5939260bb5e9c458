"""Where claims come from: a register of people, behind one Protocol.

A register knows people by its own reference and says what it holds about them as text fields, with
a version that changes when the entry does. What becomes of the fields is the Credential
Configuration's business (claims.py). A missing entry is a statement; a register that does not
answer is `RegisterUnavailable`: the two are never merged.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnClause, bindparam, column, inspect, select, table
from sqlalchemy.exc import SQLAlchemyError

from shared.errors import Conflict, NotFound, Unavailable
from shared.runtime.database import Database
from shared.runtime.prepared import Prepared

_EMPTY = frozenset({None, ""})


class SubjectUnknown(NotFound):
    """The register has no entry under this reference."""

    code = "subject_unknown"
    public = "The register has no entry under this reference."
    next_step = "Check the reference, or give the claims yourself."


class RegisterUnavailable(Unavailable):
    """The register does not answer, or not with anything usable; nothing is known of the person.

    What then happens is the Credential Configuration's policy: ask again later, or deferral.
    """

    public = "The register does not answer. Try again later."


class EntryNotReady(Conflict):
    """The register knows the person, but has not finished the entry: ask again later."""

    code = "subject_not_ready"
    public = "The register has not finished this entry yet."
    next_step = "Try again later; nothing is missing from your side."

    def __init__(self, message: str, *, retry_after: int = 60) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Entry:
    """What a register holds about one person: fields, marks such as "deceased", a version."""

    reference: str
    fields: Mapping[str, str]
    marks: frozenset[str]
    version: str


class Register(Protocol):
    """A source of claims."""

    def entry(self, reference: str) -> Entry:
        """The entry under *reference*.

        Raises:
            SubjectUnknown: there is none.
            EntryNotReady: there is one, but it is not finished.
            RegisterUnavailable: the register does not answer.
        """
        ...

    def check(self) -> None:
        """Raises RegisterUnavailable if the register cannot be read now."""
        ...


class SqlRegister:
    """A table in any database that SQLAlchemy reaches, one row a person, read only.

    The columns `reference`, `version` and `marks` (separated by spaces) have their meaning; every
    other column is a field. The sample register is such a table.
    """

    def __init__(self, url: str, *, table_name: str) -> None:
        self._database = Database(url)
        self._table_name = table_name
        self._names: tuple[str, ...] = ()
        self._statement: Prepared | None = None

    def entry(self, reference: str) -> Entry:
        """See `Register.entry`."""
        try:
            statement = self._statement or self._prepare()
            row = statement.row(self._database, {"of": reference})
        except SQLAlchemyError as error:
            raise RegisterUnavailable("register: not readable") from error
        if row is None:
            raise SubjectUnknown("register: no entry under this reference")
        found = zip(self._names, row, strict=True)
        fields = {name: str(value) for name, value in found if value not in _EMPTY}
        return Entry(
            reference=reference,
            fields=fields,
            marks=frozenset(fields.pop("marks", "").split()),
            version=fields.get("version", ""),
        )

    def _prepare(self) -> Prepared:
        """The statement; the columns of the table are looked up once."""
        found = inspect(self._database.engine).get_columns(self._table_name)
        self._names = tuple(each["name"] for each in found)
        columns: list[ColumnClause[Any]] = [column(name) for name in self._names]
        wanted = [each.label(f"column_{at}") for at, each in enumerate(columns)]
        self._statement = Prepared(
            select(*wanted)
            .select_from(table(self._table_name, *columns))
            .where(column("reference") == bindparam("of"))
        )
        return self._statement

    def check(self) -> None:
        """See `Register.check`."""
        with suppress(SubjectUnknown):
            self.entry("")


class NoRegister:
    """For tenants whose API callers give the claims themselves."""

    def entry(self, reference: str) -> Entry:
        """Nobody is known here."""
        del reference
        raise SubjectUnknown("register: this tenant has none")

    def check(self) -> None:
        """There is nothing to read."""
