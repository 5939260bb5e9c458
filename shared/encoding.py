"""Strict encodings: base64url, JSON, NumericDate.

What these refuse never reaches a format: padding and loose bits (C-30), duplicate names, deep or
large input, odd numbers (C-31), local times (C-42). Everything raises `InvalidInput` and nothing
else.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeAlias

import orjson
import pybase64
import rfc8785

from .errors import InvalidInput

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
RandomBytes: TypeAlias = Callable[[int], bytes]
Clock: TypeAlias = Callable[[], datetime]

MAX_STRING = 64 * 1024  # S-21, as the next two
_MAX_DEPTH = 16
_MAX_ITEMS = 1_000
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1


_URL = b"-_"
_decode = pybase64.b64decode  # by position: names would cost as much again as 20 bytes to decode
_PADDING = ("", "===", "==", "=")
# The characters whose unused low bits are zero; one character alone over is never right.
_LAST = ("", "", "AQgw", "AEIMQUYcgkosw048")


def b64url_encode(data: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return pybase64.b64encode_as_string(data, _URL).rstrip("=")


def b64url_ascii(items: Iterable[bytes]) -> list[bytes]:
    """Each of *items* as by `b64url_encode`, but in ASCII bytes: for many that are then hashed."""
    encode = pybase64.b64encode
    return [encode(each, _URL).rstrip(b"=") for each in items]


def b64url_decode(text: str) -> bytes:
    """The bytes behind *text*: the one canonical form, no padding, no loose bits (C-30).

    Raises:
        InvalidInput: anything else.

    Specification: RFC 7515, section 2; RFC 4648, sections 3.5 and 5.
    """
    odd = len(text) % 4
    if odd and text[-1] not in _LAST[odd]:
        raise InvalidInput("base64url: not in canonical form")
    if "=" in text or "+" in text or "/" in text:  # which pybase64 takes as well
        raise InvalidInput("base64url: not its alphabet")
    try:
        return _decode(text + _PADDING[odd], _URL, True)  # noqa: FBT003
    except ValueError as error:
        raise InvalidInput("base64url: not decodable") from error


def b64_decode(text: str) -> bytes:
    """Standard base64 with padding, as in `x5c` (C-20); canonical form only.

    Raises:
        InvalidInput: anything else.

    Specification: RFC 4648, section 4.
    """
    try:
        encoded = text.encode("ascii")
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("base64: not decodable") from error
    if base64.b64encode(data) != encoded:
        raise InvalidInput("base64: not in canonical form")
    return data


def _no_duplicates(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidInput("JSON: a member name occurs twice")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or not _MIN_INTEGER <= (number := int(text)) <= _MAX_INTEGER:
        raise InvalidInput("JSON: an integer is too large")
    return number


# Sees only what orjson took: no NaN, no number beyond a double, no lone surrogate.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_no_duplicates,
    parse_int=_integer,
)


def _check_bounds(value: JsonValue, depth: int, max_string: int) -> None:
    if isinstance(value, str):
        if len(value) > max_string:
            raise InvalidInput("JSON: a string is too long")
    elif isinstance(value, dict):
        if depth == 0 or len(value) > _MAX_ITEMS:
            raise InvalidInput("JSON: too deep or too many members")
        for name, each in value.items():
            if len(name) > max_string:
                raise InvalidInput("JSON: a name is too long")
            _check_bounds(each, depth - 1, max_string)
    elif isinstance(value, list):
        if depth == 0 or len(value) > _MAX_ITEMS:
            raise InvalidInput("JSON: too deep or too many items")
        for each in value:
            _check_bounds(each, depth - 1, max_string)


def parse_json(data: bytes | str, *, max_bytes: int, max_string: int = MAX_STRING) -> JsonValue:
    """Strict JSON: UTF-8 without BOM, no name twice, no NaN, bounded in size, depth and numbers.

    Text that orjson reads and writes back byte for byte cannot have held a name twice; all other
    text is read once more, by a slower decoder that sees every pair.

    Args:
        data: the whole text.
        max_bytes: limit of *data*.
        max_string: limit of one string; more than 64 KiB only where a list must be longer.

    Raises:
        InvalidInput: anything else; also lone surrogates, and integers beyond 64 bits.

    Specification: RFC 8259; PROFILE C-31, S-21.
    """
    try:
        raw = data.encode() if isinstance(data, str) else data
        if len(raw) > max_bytes:
            raise InvalidInput("JSON: too large")
        value: JsonValue = orjson.loads(raw)
        if orjson.dumps(value) != raw:
            value = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError, TypeError) as error:
        raise InvalidInput("JSON: not parseable") from error
    if (  # too few characters, brackets or commas to be out of bounds need no closer look
        len(raw) > max_string
        or raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH
        or (len(raw) > _MAX_ITEMS and raw.count(b",") >= _MAX_ITEMS)
    ):
        _check_bounds(value, _MAX_DEPTH, max_string)
    return value


def parse_json_all(texts: Iterable[str], *, max_bytes: int) -> list[JsonValue]:
    """Each of *texts*, base64url of JSON, as by `b64url_decode` and `parse_json`."""
    values: list[JsonValue] = []
    for text in texts:
        raw = b64url_decode(text)
        try:
            value = orjson.loads(raw)
            plain = len(raw) <= _MAX_ITEMS and orjson.dumps(value) == raw
        except ValueError:
            plain = False
        if not plain or raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH:
            value = parse_json(raw, max_bytes=max_bytes)
        values.append(value)
    return values


def parse_json_object(
    data: bytes | str, *, max_bytes: int, max_string: int = MAX_STRING
) -> dict[str, JsonValue]:
    """As `parse_json`, and the value is an object."""
    value = parse_json(data, max_bytes=max_bytes, max_string=max_string)
    if not isinstance(value, dict):
        raise InvalidInput("JSON: not an object")
    return value


def dump_json(value: JsonValue) -> bytes:
    """Compact UTF-8 JSON, members in the order given.

    Raises:
        InvalidInput: no JSON value, a lone surrogate, or an integer beyond 64 bits.

    Specification: RFC 8259.
    """
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise InvalidInput("JSON: cannot be written") from error


def canonical_json(value: JsonValue) -> bytes:
    """The one form of *value*, for hashing.

    Raises:
        InvalidInput: it has none: a lone surrogate, an integer beyond 2^53, NaN.

    Specification: RFC 8785.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise InvalidInput("JSON: has no canonical form") from error


def to_numeric_date(moment: datetime) -> int:
    """Whole seconds since 1970 of an aware time (RFC 7519, section 2), rounded down."""
    if moment.tzinfo is None:
        raise InvalidInput("time: without zone")
    return int(moment.timestamp() // 1)


def from_numeric_date(value: object) -> datetime:
    """Aware UTC of a NumericDate; integers only (C-42), booleans are none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput("NumericDate: not an integer")
    try:
        return _moment(value)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidInput("NumericDate: out of range") from error


@lru_cache(maxsize=4096)
def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)  # few differ: credentials carry days


def start_of_day(moment: datetime) -> datetime:
    """Rounded down to the UTC day (I-115)."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
