"""Where claims come from: a register of people, behind one Protocol.

A register knows people by its own reference and says what it holds about them as text fields, with
a version that changes when the entry does. What becomes of the fields is the Credential
Configuration's business (claims.py). A missing entry is a statement; a register that does not
answer is `RegisterUnavailable`: the two are never merged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from shared.errors import Conflict, NotFound, Unavailable
from shared.runtime.languages import mark

PENDING = "pending"
"""The mark of an entry that is not finished: nothing is issued for it yet."""


class SubjectUnknown(NotFound):
    """The register has no entry under this reference."""

    code = "subject_unknown"
    public = "The register has no entry under this reference."
    next_step = "Check the reference, or give the claims yourself."


class RegisterUnavailable(Unavailable):
    """The register does not answer, or not with anything usable; nothing is known of the person.

    What then happens is the Credential Configuration's policy: ask again later, or deferral.
    """

    public = mark("The register does not answer. Try again later.")


class EntryNotReady(Conflict):
    """The register knows the person, but has not finished the entry: ask again later."""

    code = "subject_not_ready"
    public = "The register has not finished this entry yet."
    next_step = "Try again later; nothing is missing from your side."

    def __init__(self, message: str, *, retry_after: int = 60) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RegisterLater(EntryNotReady):
    """The register does not answer, and the type's policy is to come back: nothing is known yet."""


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

    def find(self, fields: Mapping[str, str]) -> str:
        """The reference of the only entry whose *fields* have exactly these values.

        Raises:
            SubjectUnknown: there is none, or there are several.
            RegisterUnavailable: the register does not answer.
        """
        ...

    def check(self) -> None:
        """Raises RegisterUnavailable if the register cannot be read now."""
        ...


class NoRegister:
    """For tenants whose API callers give the claims themselves."""

    def entry(self, reference: str) -> Entry:
        """Nobody is known here."""
        del reference
        raise SubjectUnknown("register: this tenant has none")

    def find(self, fields: Mapping[str, str]) -> str:
        """Nobody is known here."""
        del fields
        raise SubjectUnknown("register: this tenant has none")

    def check(self) -> None:
        """There is nothing to read."""
