"""The facts of an answer, as a clerk reads them: only those asked for, labelled, in words.

A query's file says which claims are shown and what they are called. Values are said in the clerk's
language: yes and no, dates, countries; a portrait becomes a picture if its bytes are one. What is
not recognised is said as it stands. Specification: DESIGN section 6; PROFILE V-61.
"""

import re
from base64 import b64encode
from binascii import Error
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Literal, NamedTuple

from babel import Locale
from babel.dates import format_date
from pybase64 import b64decode

from shared.encoding import JsonValue, b64url_decode
from shared.errors import InvalidInput
from shared.formats.claims_path import parse_path, select
from shared.runtime.languages import choose, mark

from .queries import Query

YES, NO = mark("Yes"), mark("No")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_PLACE = (
    "formatted",
    "street_address",
    "house_number",
    "postal_code",
    "locality",
    "region",
    "country",
)
"""How a place is said, in whatever order its members arrive."""
_COUNTRY = re.compile(r"[A-Z]{2}\Z")
_PICTURES = {"picture", "portrait"}
_IMAGES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
_DATA_URL = re.compile(r"data:image/(?:jpeg|png);base64,")
_NOTHING = "\N{EN DASH}"

Say = Callable[[str], str]


class Fact(NamedTuple):
    """One line: a text, or a picture as a `data:` URL."""

    label: str
    value: str
    kind: Literal["text", "image"]


def facts(query: Query, claims: Mapping[str, JsonValue], *, language: str, say: Say) -> list[Fact]:
    """What *claims* answer, in the order of the query's file.

    Args:
        query: that was asked.
        claims: by Credential Query id.
        language: of the clerk.
        say: translates one of our texts.
    """
    found: list[Fact] = []
    for line in query.show:
        answered = claims.get(line.credential)
        path = parse_path(line.path)
        for each in answered if isinstance(answered, list) else [answered]:
            if each is None:
                continue
            try:
                values = [value for _, value in select(each, path)]
            except InvalidInput:  # an optional claim that was not shown
                continue
            name = next((part for part in reversed(path) if isinstance(part, str)), "")
            label = choose(line.label, language)
            found.append(_fact(label, name, values, language=language, say=say))
    return found


def _fact(label: str, name: str, values: Sequence[JsonValue], *, language: str, say: Say) -> Fact:
    if name in _PICTURES:
        picture = _picture(values[0])
        if picture is not None:
            return Fact(label, picture, "image")
        return Fact(label, say(mark("The picture cannot be shown.")), "text")
    return Fact(label, ", ".join(_said(each, name, language, say) for each in values), "text")


def _said(value: JsonValue, name: str, language: str, say: Say) -> str:
    if value is None or value in ("", [], {}):
        return _NOTHING
    if isinstance(value, bool):
        return say(YES if value else NO)
    if isinstance(value, Mapping):
        members = sorted(value.items(), key=_in_place)
        return ", ".join(_said(each, key, language, say) for key, each in members)
    if isinstance(value, list | tuple):
        return ", ".join(_said(each, name, language, say) for each in value)
    if not isinstance(value, str):
        return str(value)
    if _DATE.match(value):
        try:
            return format_date(date.fromisoformat(value), "long", locale=language)
        except ValueError:  # looks like one, and is none
            return value
    if ("countr" in name or "nationalit" in name) and _COUNTRY.match(value):
        return str(Locale.parse(language).territories.get(value, value))
    return value


def _in_place(member: tuple[str, JsonValue]) -> int:
    """Where a member of a map is said; those that are of no place stay as they come."""
    return _PLACE.index(member[0]) if member[0] in _PLACE else len(_PLACE)


def _picture(value: JsonValue) -> str | None:
    """A `data:` URL of a JPEG or PNG, whatever the format calls its bytes."""
    if not isinstance(value, str):
        return None
    try:
        marked = _DATA_URL.match(value)
        data = b64decode(value[marked.end() :], validate=True) if marked else b64url_decode(value)
    except (Error, InvalidInput):
        return None
    for start, media_type in _IMAGES.items():
        if data.startswith(start):
            return f"data:{media_type};base64,{b64encode(data).decode()}"
    return None
