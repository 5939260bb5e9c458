"""Data elements: between the claims of a type as JSON and the values of an mdoc as CBOR.

What JSON can say alike needs no word. Where CBOR says more (a date, a byte string), the data file
of the type says so, with `cbor` beside the path of the claim: `[namespace, element]` and, for what
lies inside an element, names, indexes and null after it.
Specification: ISO/IEC 18013-5, section 7.2; RFC 8949, section 6.1; PROFILE F-CP-02, Q-14, C-42.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from ..encoding import JsonValue, b64url_decode, b64url_encode
from ..errors import InvalidInput
from . import cbor
from .claims_path import ClaimPath

Kind: TypeAlias = Literal["full-date", "tdate", "bstr"]
_FULL_DATE = re.compile(r"\d{4}-\d\d-\d\d")
TDATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MAX_INTEGER = 2**63
Element: TypeAlias = tuple[str, Any]
"""Its identifier, and its value as CBOR writes it."""


class Rule(NamedTuple):
    """What the type says about the claims at *path*."""

    path: ClaimPath
    mandatory: bool
    kind: Kind | None


class Elements:
    """The elements of one document type."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        known = list(rules)
        self._mandatory: dict[str, set[str]] = {}
        self._kinds: dict[tuple[Any, Any], list[tuple[ClaimPath, Kind]]] = {}
        for rule in known:
            if len(rule.path) < 2 or not all(isinstance(each, str) for each in rule.path[:2]):
                raise InvalidInput("elements: a path is not [namespace, element, …]")
            if rule.mandatory and len(rule.path) == 2:
                self._mandatory.setdefault(str(rule.path[0]), set()).add(str(rule.path[1]))
            if rule.kind is not None:
                place = (rule.path[0], rule.path[1])
                self._kinds.setdefault(place, []).append((rule.path[2:], rule.kind))

    def encode(self, claims: Mapping[str, JsonValue]) -> list[tuple[str, list[Element]]]:
        """*claims* by namespace, ready to be written.

        Raises:
            InvalidInput: a mandatory element is missing, a value is not of its kind, or the claims
                are not elements in namespaces.

        Specification: PROFILE F-TM-08, F-CP-02.
        """
        if not self._mandatory.keys() <= claims.keys():
            raise InvalidInput("elements: a mandatory element is missing")
        encoded = []
        for namespace, elements in claims.items():
            if not isinstance(elements, Mapping) or not elements:
                raise InvalidInput("elements: a namespace holds none")
            if not self._mandatory.get(namespace, set()) <= elements.keys():
                raise InvalidInput("elements: a mandatory element is missing")
            encoded.append((namespace, [*self._encode(namespace, elements)]))
        if not encoded:
            raise InvalidInput("elements: there are none")
        return encoded

    def _encode(self, namespace: str, elements: Mapping[str, JsonValue]) -> Iterable[Element]:
        for name, value in elements.items():
            if kinds := self._kinds.get((namespace, name)):
                for path, kind in kinds:
                    value = _at(value, path, _WRITERS[kind])  # noqa: PLW2901 - dressed step by step
            yield name, value


def _at(value: Any, path: ClaimPath, write: Callable[[Any], object]) -> Any:
    """*value* with what stands at *path* written; what is not there is left out."""
    if not path:
        return write(value)
    first, rest = path[0], path[1:]
    if isinstance(first, str):
        if not isinstance(value, Mapping):
            raise InvalidInput("elements: a value has another shape than its type says")
        return {
            name: _at(each, rest, write) if name == first else each for name, each in value.items()
        }
    if not isinstance(value, list | tuple):
        raise InvalidInput("elements: a value has another shape than its type says")
    return [
        _at(each, rest, write) if first in {None, index} else each
        for index, each in enumerate(value)
    ]


def _full_date(value: Any) -> object:
    try:
        if not isinstance(value, str) or not _FULL_DATE.fullmatch(value):
            raise ValueError(value)
        date.fromisoformat(value)
    except ValueError as error:
        raise InvalidInput("elements: not a full date") from error
    return cbor.Tag(cbor.FULL_DATE, value)


def _tdate(value: Any) -> object:
    try:
        if not isinstance(value, str) or not TDATE.fullmatch(value):
            raise ValueError(value)
        datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidInput("elements: not a UTC time in whole seconds") from error
    return cbor.Tag(cbor.TDATE, value)


def _bstr(value: Any) -> object:
    if not isinstance(value, str):
        raise InvalidInput("elements: not the base64url of bytes")
    return b64url_decode(value)


_WRITERS: Mapping[Kind, Callable[[Any], object]] = {
    "full-date": _full_date,
    "tdate": _tdate,
    "bstr": _bstr,
}


def to_json(value: Any) -> JsonValue:
    """What a decoded element says to a query, a page or a relying party.

    Dates are their text, bytes their base64url; what JSON cannot say is null, and so matches
    nothing.

    Specification: RFC 8949, section 6.1; PROFILE Q-14.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, cbor.Tag):
        text = value.value if value.tag in {cbor.TDATE, cbor.FULL_DATE} else None
        return text if isinstance(text, str) else None
    if isinstance(value, int):
        return value if -_MAX_INTEGER <= value < 2 * _MAX_INTEGER else None
    if isinstance(value, bytes):
        return b64url_encode(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [to_json(each) for each in value]
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            return None
        return {name: to_json(each) for name, each in value.items()}
    return None
