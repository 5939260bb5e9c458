"""What would be issued to one person: for an agency that writes a mapping or a new type.

It needs the tenant's file, its register and the data files; no keys, no database, no running
service. Claims go to the screen of whoever asked and nowhere else: nothing is logged or stored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.encoding import JsonValue
from shared.errors import ExpectedError

from .catalogue import Configuration
from .datasets import Dataset, from_entry
from .registers import Register
from .tenants import TenantFile


@dataclass(frozen=True, slots=True)
class Preview:
    """One configuration for one person: its claims, or the *error* that says why there are none."""

    configuration: Configuration
    data: Dataset | None
    error: ExpectedError | None

    @property
    def refusal(self) -> str | None:
        """Why there are no claims."""
        return None if self.error is None else self.error.public

    def rows(self) -> Iterator[tuple[str, str]]:
        """Each claim by its path, with its value as text."""
        if self.data is not None:
            yield from _rows((), self.data.claims)

    def to_object(self) -> dict[str, JsonValue]:
        """For programs."""
        found: dict[str, JsonValue] = {"configuration": self.configuration.id}
        if self.data is None:
            return {**found, "refused": self.refusal}
        after = self.data.refresh_after
        return {
            **found,
            "claims": self.data.claims,
            "register_version": self.data.version,
            "refresh_after": None if after is None else after.isoformat(),
        }


def preview(
    register: Register,
    file: TenantFile,
    configurations: Mapping[str, Configuration],
    reference: str,
    *,
    now: datetime,
) -> Iterator[Preview]:
    """What each of *configurations* would be for the person under *reference*.

    Raises:
        SubjectUnknown, EntryNotReady, RegisterUnavailable: the register gives no entry at all.
    """
    entry = register.entry(reference)
    for configuration in configurations.values():
        try:
            data = from_entry(entry, configuration, constants=file.constants, now=now)
        except ExpectedError as error:
            yield Preview(configuration, None, error)
        else:
            yield Preview(configuration, data, None)


def _rows(path: tuple[str, ...], value: JsonValue) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _rows((*path, name), each)
    elif isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
        for at, each in enumerate(value):
            yield from _rows((*path, str(at)), each)
    elif isinstance(value, list | tuple):
        yield ".".join(path), ", ".join(map(str, value))
    else:
        yield ".".join(path), str(value)
