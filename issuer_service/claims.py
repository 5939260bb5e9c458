"""From a register's fields to the claims of one Credential Configuration, after its data file.

Each rule of the file's `register` member names a claim and says which field fills it and how to
read the field; a field that is empty fills nothing. Dots lead into a claim; before a slash stands
the namespace of an element, dots and all: "org.iso.18013.5.1/family_name". What is derived from a
date (age limits) is only true when it is certain: of a birth date known by year alone the last day
counts, and who was born on 29 February reaches an age on 1 March in common years.
"""

import base64
import calendar
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.encoding import JsonValue, b64url_decode, parse_json
from shared.errors import Conflict, InvalidInput

from .registers import Entry

Manner = Literal[
    "text",
    "text_or_empty",
    "lines",
    "list",
    "integer",
    "json",
    "picture",
    "birthdate",
    "full_date",
    "age_over",
    "age_equal_or_over",
]


Sources: TypeAlias = tuple[str, ...]
_MAX_JSON = 64 * 1024


class Rule(BaseModel):
    """How one claim is filled: *fields* of the register read *as* something."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    field: str | None = None
    fields: tuple[str, ...] = ()
    manner: Manner = Field(default="text", alias="as")
    thresholds: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _reads_something(self) -> Self:
        if (self.field is None) == (not self.fields):
            raise ValueError("not exactly one of field and fields")
        if self.manner == "age_over" and len(self.thresholds) != 1:
            raise ValueError("age_over: not one threshold")
        return self

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


class Reader:
    """Makes claims of a register's entries, after the rules of one data file.

    Args:
        rules: by claim, nested ones with dots ("address.locality"), elements of a namespace with a
            slash.
        refuse: marks for which nothing is issued.
        withhold: claims (with all below them) left out for a mark.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        *,
        refuse: frozenset[str],
        withhold: Mapping[str, Sequence[str]],
    ) -> None:
        self._rules = [
            (name, _path(name), rule, _MANNERS[rule.manner], rule.sources, rule.manner in _AGES)
            for name, rule in rules.items()
        ]
        self._refuse = refuse
        self._withhold = withhold

    def read(self, entry: Entry, *, constants: Mapping[str, str], now: datetime) -> Reading:
        """The claims of *entry*.

        Args:
            entry: of the person.
            now: decides which ages are reached.
            constants: fields that do not come from the register, such as "tenant.name".

        Raises:
            SubjectRefused: the entry carries a mark for which nothing is issued.
            InvalidInput: a field cannot be read as its rule says.
        """
        for mark in sorted(self._refuse & entry.marks):
            raise SubjectRefused(mark)
        withheld = [claim for mark in entry.marks for claim in self._withhold.get(mark, ())]
        fields, today = {**entry.fields, **constants}, now.date()
        claims: dict[str, JsonValue] = {}
        stale: list[datetime] = []
        for name, path, rule, manner, sources, ages in self._rules:
            if withheld and any(name == each or name.startswith(f"{each}.") for each in withheld):
                continue
            value = manner(rule, sources, fields, today)
            if value is None:
                continue
            if len(path) == 1:
                claims[name] = value
            else:
                _put(claims, path, value)
            if ages:
                stale.extend(_birthdays(rule, fields[sources[0]], today))
        return Reading(claims, entry.version or None, min(stale, default=None))


def _path(name: str) -> tuple[str, ...]:
    namespace, _, claim = name.rpartition("/")
    return (*([namespace] if namespace else []), *claim.split("."))


def _put(claims: dict[str, JsonValue], path: Sequence[str], value: JsonValue) -> None:
    *parents, last = path
    for each in parents:
        inner = claims.setdefault(each, {})
        if not isinstance(inner, dict):
            raise InvalidInput("register: a rule puts a claim below a value")
        claims = inner
    claims[last] = value


def _text(_: Rule, sources: Sources, fields: Mapping[str, str], __: date) -> str | None:
    return fields.get(sources[0])


def _text_or_empty(rule: Rule, sources: Sources, fields: Mapping[str, str], today: date) -> str:
    return _text(rule, sources, fields, today) or ""


def _lines(_: Rule, sources: Sources, fields: Mapping[str, str], __: date) -> str | None:
    return "\n".join(fields[name] for name in sources if name in fields) or None


def _list(
    rule: Rule, sources: Sources, fields: Mapping[str, str], today: date
) -> list[JsonValue] | None:
    text = _text(rule, sources, fields, today)
    return None if text is None else [*text.split()]


def _integer(rule: Rule, sources: Sources, fields: Mapping[str, str], today: date) -> int | None:
    text = _text(rule, sources, fields, today)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise InvalidInput("register: a field is not a whole number")
    return int(text)


def _json(rule: Rule, sources: Sources, fields: Mapping[str, str], today: date) -> JsonValue:
    text = _text(rule, sources, fields, today)
    return None if text is None else parse_json(text, max_bytes=_MAX_JSON)


def _picture(rule: Rule, sources: Sources, fields: Mapping[str, str], today: date) -> str | None:
    """A JPEG kept as base64url, as the data URL that JSON-based formats carry."""
    text = _text(rule, sources, fields, today)
    if text is None:
        return None
    encoded = base64.b64encode(b64url_decode(text)).decode()
    return f"data:image/jpeg;base64,{encoded}"


def _birthdate(rule: Rule, sources: Sources, fields: Mapping[str, str], today: date) -> str | None:
    """A full date, or the year alone: OpenID Connect Core, section 5.1, knows no year and month."""
    text = _text(rule, sources, fields, today)
    if text is None:
        return None
    latest_birth(text)
    return text if len(text) == 10 else text[:4]


def _full_date(rule: Rule, sources: Sources, fields: Mapping[str, str], today: date) -> str | None:
    """Where only a full date can be said: of what is known, the last day that it can mean."""
    text = _text(rule, sources, fields, today)
    return None if text is None else latest_birth(text).isoformat()


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


def _age_over(rule: Rule, sources: Sources, fields: Mapping[str, str], today: date) -> bool | None:
    text = _text(rule, sources, fields, today)
    return None if text is None else _reaches(latest_birth(text), rule.thresholds[0]) <= today


def _age_equal_or_over(
    rule: Rule, sources: Sources, fields: Mapping[str, str], today: date
) -> dict[str, JsonValue] | None:
    text = _text(rule, sources, fields, today)
    if text is None:
        return None
    born = latest_birth(text)
    return {str(age): _reaches(born, age) <= today for age in rule.thresholds}


def _birthdays(rule: Rule, text: str, today: date) -> list[datetime]:
    born = latest_birth(text)
    days = [_reaches(born, age) for age in rule.thresholds]
    return [datetime.combine(day, time(), UTC) for day in days if day > today]


_AGES = frozenset({"age_over", "age_equal_or_over"})
_MANNERS: Mapping[Manner, Callable[[Rule, Sources, Mapping[str, str], date], JsonValue]] = {
    "text": _text,
    "text_or_empty": _text_or_empty,
    "lines": _lines,
    "list": _list,
    "integer": _integer,
    "json": _json,
    "picture": _picture,
    "birthdate": _birthdate,
    "full_date": _full_date,
    "age_over": _age_over,
    "age_equal_or_over": _age_equal_or_over,
}
