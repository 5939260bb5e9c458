"""Where claims come from: a register of people, behind one Protocol.

A register knows people by its own reference and says what it holds about them as text fields, with a
version that changes when the entry does. What becomes of the fields is the Credential Configuration's
business (claims.py). A missing entry is a statement; a register that does not answer is `Unavailable`:
the two are never merged.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnClause, column, select, table
from sqlalchemy.exc import SQLAlchemyError

from shared.errors import InvalidInput, NotFound, Unavailable
from shared.runtime.database import Database

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_ANY_COLUMN: ColumnClause[Any] = column("*", is_literal=True)


class SubjectUnknown(NotFound):
    """The register has no entry under this reference."""

    code = "subject_unknown"
    public = "The register has no entry under this reference."
    next_step = "Check the reference, or give the claims yourself."


@dataclass(frozen=True, slots=True)
class Entry:
    """What a register holds about one person: non-empty fields, marks such as "deceased", version."""

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
            Unavailable: the register does not answer.
        """
        ...


class SqlRegister:
    """A table in any database that SQLAlchemy reaches, one row a person, read only.

    The columns `reference`, `version` and `marks` (separated by spaces) have their meaning; every
    other column is a field. The sample register is such a table.
    """

    def __init__(self, url: str, *, table_name: str) -> None:
        if _IDENTIFIER.fullmatch(table_name) is None:
            raise InvalidInput("register: the table's name is not an identifier")
        self._database = Database(url)
        self._statement = select(_ANY_COLUMN).select_from(table(table_name))
        self._reference: ColumnClause[str] = column("reference")

    def entry(self, reference: str) -> Entry:
        """See `Register.entry`."""
        try:
            with self._database.reading() as connection:
                row = connection.execute(
                    self._statement.where(self._reference == reference)
                ).one_or_none()
        except SQLAlchemyError as error:
            raise Unavailable("register: not readable") from error
        if row is None:
            raise SubjectUnknown("register: no entry under this reference")
        fields = {
            name: str(value) for name, value in row._mapping.items() if value not in {None, ""}
        }
        return Entry(
            reference=reference,
            fields=fields,
            marks=frozenset(fields.pop("marks", "").split()),
            version=fields.get("version", ""),
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._database.close()


class NoRegister:
    """For tenants whose API callers give the claims themselves."""

    def entry(self, reference: str) -> Entry:
        """Nobody is known here."""
        del reference
        raise SubjectUnknown("register: this tenant has none")
