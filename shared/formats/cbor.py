"""Strict CBOR: what these refuse never reaches an mdoc or a CWT.

Refused are indefinite lengths, duplicate keys, trailing bytes, deep or large input, and every tag
to which the decoder would give a life of its own (big numbers, fractions, references, patterns).
Dates stay the tagged text they are. Written is the deterministic encoding, if maps are given in
the order of RFC 8949, section 4.2.1.
Specification: RFC 8949, sections 4.2, 5.3 and 5.6; PROFILE C-31, C-33, C-34, S-21.
"""

import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import cbor2
from cbor2 import CBORTag

from ..errors import InvalidInput

Tag = CBORTag
EMBEDDED: Final = 24
TDATE: Final = 0
FULL_DATE: Final = 1004
_MAX_DEPTH = 16  # S-21
_MAX_BYTES = 256 * 1024
_REFUSED = (
    1,
    2,
    3,
    4,
    5,
    25,
    28,
    29,
    30,
    35,
    36,
    37,
    52,
    54,
    100,
    256,
    258,
    260,
    261,
    43000,
    55799,
)


def _refuse(_: object, __: bool) -> object:  # noqa: FBT001 - as the decoder calls it
    raise InvalidInput("CBOR: a tag that has no place here")


def _kept(tag: int) -> Any:
    """Keeps what the decoder would read as a date.

    Of both kinds of hook that cbor2 knows this one costs half: the other it first asks for an
    attribute that is not there.
    """
    hook = None, partial(CBORTag, tag)
    return cbor2.shareable_decoder(immutable=True)(lambda _immutable: hook)


_TAGS: Mapping[int, Any] = {
    **dict.fromkeys(_REFUSED, _refuse),
    TDATE: _kept(TDATE),
    FULL_DATE: _kept(FULL_DATE),
    EMBEDDED: _kept(EMBEDDED),  # as without this, but found at the first look
}
# Two items follow in one array: the data, then a mark that no sender knows. If anything trails the
# data, it stands in the place of the mark.
_MARK = secrets.token_bytes(16)
_END = b"\x50" + _MARK
_decode = partial(
    cbor2.loads,
    semantic_decoders=_TAGS,
    max_depth=_MAX_DEPTH,  # the array around the data is not counted
    allow_indefinite=False,
    allow_duplicate_keys=False,
)
_EMBEDDED = b"\xd8\x18"


def loads(data: bytes, *, max_bytes: int = _MAX_BYTES) -> Any:
    """The one item that *data* encodes: dict, list, str, bytes, int, float, bool, None or `Tag`.

    Raises:
        InvalidInput: anything else, or more than *max_bytes*.

    Specification: RFC 8949, section 5.3; PROFILE S-21.
    """
    if len(data) > max_bytes:
        raise InvalidInput("CBOR: too large")
    try:
        value, mark = _decode(b"\x82" + data + _END)
    except (cbor2.CBORError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise InvalidInput("CBOR: not parseable") from error
    if mark != _MARK:
        raise InvalidInput("CBOR: something trails")
    return value


def loads_all(items: Sequence[bytes]) -> list[Any]:
    """Each of *items* as by `loads`, in one pass: each is followed by the mark."""
    whole = _END.join((*items, b""))
    if len(whole) > _MAX_BYTES + len(items) * len(_END):
        raise InvalidInput("CBOR: too large")
    try:
        values = _decode(head(4, 2 * len(items)) + whole)
    except (cbor2.CBORError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise InvalidInput("CBOR: not parseable") from error
    if values[1::2] != [_MARK] * len(items):
        raise InvalidInput("CBOR: something trails")
    found: list[Any] = values[::2]
    return found


def dumps(value: object, *, sort: bool = False) -> bytes:
    """*value* in the shortest form, maps in the order given or, with *sort*, of their keys.

    Raises:
        InvalidInput: not a value of CBOR.
    """
    try:
        return cbor2.dumps(value, canonical=sort)
    except (cbor2.CBORError, ValueError, TypeError, RecursionError) as error:
        raise InvalidInput("CBOR: cannot be written") from error


def embed(data: bytes) -> bytes:
    """`#6.24(bstr)` around *data*, which is CBOR itself: what mdocs hash and sign."""
    length = len(data)
    if length < 0x100:
        return _SHORT_EMBEDDED[length] + data
    return _EMBEDDED + head(2, length) + data


_SHORT = tuple(
    tuple(
        bytes((major << 5 | number,)) if number < 24 else bytes((major << 5 | 24, number))
        for number in range(256)
    )
    for major in range(8)
)
_SHORT_EMBEDDED = tuple(_EMBEDDED + each for each in _SHORT[2])


def head(major: int, number: int) -> bytes:
    """The shortest head of an item: major type and argument (RFC 8949, section 3)."""
    if number < 0x100:
        return _SHORT[major][number]
    if number < 0x10000:
        return b"%c%b" % (major << 5 | 25, number.to_bytes(2, "big"))
    return b"%c%b" % (major << 5 | 26, number.to_bytes(4, "big"))


def text(value: str) -> bytes:
    """The encoding of a text; raises InvalidInput on a lone surrogate."""
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("CBOR: cannot be written") from error
    return head(3, len(encoded)) + encoded


def embedded(value: object) -> bytes:
    """The bytes inside `#6.24(bstr)`.

    Raises:
        InvalidInput: *value* is something else.
    """
    if type(value) is CBORTag and value.tag == EMBEDDED and type(found := value.value) is bytes:
        return found
    raise InvalidInput("CBOR: not an embedded item")


def unembed(data: bytes) -> bytes:
    """The bytes inside the one `#6.24(bstr)` that *data* is, in its shortest form.

    Raises:
        InvalidInput: *data* is something else.
    """
    length = len(data)
    start = 3 if length < 27 else 4 if length < 0x104 else 5 if length < 0x10005 else 7
    content = data[start:]  # behind the tag, two bytes, and the head
    if not data.startswith(_EMBEDDED + head(2, len(content))):
        raise InvalidInput("CBOR: not an embedded item")
    return content
