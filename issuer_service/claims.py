"""From a register's fields to the claims of one Credential Configuration, after its data file.

Each rule of the file's `register` member names a claim and says which field fills it and how to read
the field; a field that is empty fills nothing. What is derived from a date (age limits) is only true
when it is certain: of a birth date known by year alone the last day counts, and who was born on 29
February reaches an age on 1 March in common years.
"""

import calendar
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.encoding import JsonValue
from shared.errors import Conflict, InvalidInput

from .registers import Entry

Manner = Literal[
    "text", "text_or_empty", "lines", "list", "integer", "birthdate", "age_equal_or_over"
]


class Rule(BaseModel):
    """How one claim is filled: *fields* of the register read *as* something."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    field: str | None = None
    fields: tuple[str, ...] = ()
    manner: Manner = Field(default="text", alias="as")
    thresholds: tuple[int, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The fields that are read."""
        return self.fields or ((self.field,) if self.field else ())


class SubjectRefused(Conflict):
    """The register knows the person, and the type's policy says no credential for this mark."""

    next_step = "Clear this with the register first."

    def __init__(self, mark: str) -> None:
        super().__init__(f"register: the entry is marked {mark}")
        self.code = f"subject_{mark}"
        self.public = (
            f"The register's entry is marked '{mark}': this credential is not issued for it."
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What the rules made of an entry, and when a derived claim of it becomes stale."""

    claims: Mapping[str, JsonValue]
    version: str | None
    refresh_after: datetime | None


def from_register(
    entry: Entry,
    *,
    rules: Mapping[str, Rule],
    refuse: frozenset[str],
    withhold: Mapping[str, Sequence[str]],
    constants: Mapping[str, str],
    now: datetime,
) -> Reading:
    """The claims that *rules* make of *entry*.

    Args:
        rules: by claim, nested ones with dots ("address.locality").
        refuse: marks for which nothing is issued.
        withhold: claims (with all below them) left out for a mark.
        constants: fields that do not come from the register, such as "tenant.name".

    Raises:
        SubjectRefused: the entry carries a mark of *refuse*.
        InvalidInput: a field cannot be read as its rule says.
    """
    for mark in sorted(refuse & entry.marks):
        raise SubjectRefused(mark)
    withheld = [claim for mark in entry.marks for claim in withhold.get(mark, ())]
    fields = {**entry.fields, **constants}
    claims: dict[str, JsonValue] = {}
    stale: list[datetime] = []
    for name, rule in rules.items():
        if any(name == each or name.startswith(f"{each}.") for each in withheld):
            continue
        value = _MANNERS[rule.manner](rule, fields, now.date())
        if value is not None:
            _put(claims, name.split("."), value)
        if rule.manner == "age_equal_or_over" and value is not None:
            stale.extend(_birthdays(rule, fields, now.date()))
    return Reading(claims, entry.version or None, min(stale, default=None))


def _put(claims: dict[str, JsonValue], path: Sequence[str], value: JsonValue) -> None:
    *parents, last = path
    for each in parents:
        inner = claims.setdefault(each, {})
        if not isinstance(inner, dict):
            raise InvalidInput("register: a rule puts a claim below a value")
        claims = inner
    claims[last] = value


def _text(rule: Rule, fields: Mapping[str, str], _: date) -> JsonValue:
    return next((fields[name] for name in rule.sources if name in fields), None)


def _text_or_empty(rule: Rule, fields: Mapping[str, str], today: date) -> JsonValue:
    return _text(rule, fields, today) or ""


def _lines(rule: Rule, fields: Mapping[str, str], _: date) -> JsonValue:
    return "\n".join(fields[name] for name in rule.sources if name in fields) or None


def _list(rule: Rule, fields: Mapping[str, str], today: date) -> JsonValue:
    text = _text(rule, fields, today)
    return text.split() if isinstance(text, str) else None


def _integer(rule: Rule, fields: Mapping[str, str], today: date) -> JsonValue:
    text = _text(rule, fields, today)
    if not isinstance(text, str):
        return None
    if not text.isascii() or not text.isdigit():
        raise InvalidInput("register: a field is not a whole number")
    return int(text)


def _birthdate(rule: Rule, fields: Mapping[str, str], today: date) -> JsonValue:
    """A full date, or the year alone: OpenID Connect Core, section 5.1, knows no year and month."""
    text = _text(rule, fields, today)
    if not isinstance(text, str):
        return None
    latest_birth(text)
    return text if len(text) == 10 else text[:4]


def latest_birth(text: str) -> date:
    """The last day that "1961", "1961-05" or "1961-05-23" can mean.

    Raises:
        InvalidInput: not a date in one of these forms.
    """
    try:
        if len(text) == 4:
            return date(int(text), 12, 31)
        if len(text) == 7:
            year, month = int(text[:4]), int(text[5:])
            return date(year, month, calendar.monthrange(year, month)[1])
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("register: a birth date is not readable") from error


def _reaches(born: date, age: int) -> date:
    """The day on which somebody *born* then is *age* years old."""
    year = born.year + age
    if (born.month, born.day) == (2, 29) and not calendar.isleap(year):
        return date(year, 3, 1)
    return born.replace(year=year)


def _age_equal_or_over(rule: Rule, fields: Mapping[str, str], today: date) -> JsonValue:
    text = _text(rule, fields, today)
    if not isinstance(text, str):
        return None
    born = latest_birth(text)
    return {str(age): _reaches(born, age) <= today for age in rule.thresholds}


def _birthdays(rule: Rule, fields: Mapping[str, str], today: date) -> list[datetime]:
    born = latest_birth(fields[rule.sources[0]])
    days = [_reaches(born, age) for age in rule.thresholds]
    return [datetime.combine(day, time(), UTC) for day in days if day > today]


_MANNERS: Mapping[Manner, Callable[[Rule, Mapping[str, str], date], JsonValue]] = {
    "text": _text,
    "text_or_empty": _text_or_empty,
    "lines": _lines,
    "list": _list,
    "integer": _integer,
    "birthdate": _birthdate,
    "age_equal_or_over": _age_equal_or_over,
}
