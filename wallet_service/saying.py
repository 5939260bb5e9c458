"""The value of a claim as the citizen reads it: dates, yes and no, countries, lists in words.

Whoever shows claims shows these texts, so a page, an app and a screen reader say the same; the
value itself stays beside it. What is not recognised is said as it stands. PAIN_POINTS 11.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime

from shared.encoding import JsonValue

from . import wording

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})\Z")
_COUNTRY = re.compile(r"[A-Z]{2}\Z")
_COUNTRIES = frozenset(
    {"nationality", "nationalities", "country", "issuing_country", "birth_country"}
)
_PLACES = {"locality": 1, "region": 2, "country": 3}  # after whatever else a place has
_NOTHING = "\N{EN DASH}"


def said(value: JsonValue, path: Sequence[str | int | None], *, locale: str) -> str:
    """*value*, the claim at *path*, in words for *locale*."""
    name = next((each for each in reversed(path) if isinstance(each, str)), "")
    if value is None or value in ("", [], {}):
        return _NOTHING
    if isinstance(value, bool):
        return wording.choose(wording.ANSWERS[value], locale)
    if isinstance(value, Mapping):
        ordered = sorted(value, key=lambda each: _PLACES.get(each, 0))
        return _joined([said(value[each], (each,), locale=locale) for each in ordered], locale)
    if isinstance(value, list | tuple):
        return _joined([said(each, (name,), locale=locale) for each in value], locale)
    if isinstance(value, int) and name == "sex" and value in wording.SEX:
        return wording.choose(wording.SEX[value], locale)
    return _text(value, name, locale) if isinstance(value, str) else str(value)


def _text(value: str, name: str, locale: str) -> str:
    try:
        if _DATE.match(value):
            return format_date(date.fromisoformat(value), "long", locale=locale_of(locale))
        if _MOMENT.match(value):
            moment = datetime.fromisoformat(value)
            return format_datetime(moment, "medium", locale=locale_of(locale))
    except ValueError:  # looks like a date, and is none
        return value
    if name in _COUNTRIES and _COUNTRY.match(value):
        return str(locale_of(locale).territories.get(value, value))
    return value


def _joined(parts: Sequence[str], locale: str) -> str:
    comma = "، " if locale_of(locale).language in {"ar", "fa", "ur"} else ", "
    return comma.join(parts)


@lru_cache(maxsize=64)
def locale_of(tag: str) -> Locale:
    """What Babel knows of *tag*, or of its language; English otherwise."""
    for each in (tag, tag.partition("-")[0]):
        try:
            return Locale.parse(each, sep="-")
        except (ValueError, UnknownLocaleError):
            continue
    return Locale.parse(wording.FALLBACK)
