"""shared/formats/cbor.py: one strict reader, one deterministic writer."""

import time

import pytest

from shared.errors import InvalidInput
from shared.formats import cbor

# RFC 8949, appendix A: encodings that are their own shortest form.
EXAMPLES = [
    ("00", 0),
    ("1bffffffffffffffff", 2**64 - 1),
    ("3903e7", -1000),
    ("fb3ff199999999999a", 1.1),
    ("f4", False),
    ("f6", None),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("62c3bc", "ü"),
    ("83010203", [1, 2, 3]),
    ("a26161016162820203", {"a": 1, "b": [2, 3]}),
    ("c074323031332d30332d32315432303a30343a30305a", cbor.Tag(0, "2013-03-21T20:04:00Z")),
    ("d818456449455446", cbor.Tag(24, b"dIETF")),
]


@pytest.mark.parametrize(("encoded", "value"), EXAMPLES)
def test_the_examples_of_the_specification(encoded: str, value: object) -> None:
    """C-31, C-33: RFC 8949, appendix A, both ways."""
    assert cbor.loads(bytes.fromhex(encoded)) == value
    assert cbor.dumps(value).hex() == encoded


@pytest.mark.parametrize(
    "encoded",
    [
        "",  # nothing
        "18",  # half an item
        "0000",  # something trails
        "00f6",
        "5f41004101ff",  # indefinite lengths
        "7f6161ff",
        "9f01ff",
        "bf6161016162 02ff",
        "a2616101616102",  # a key twice
        "a201020103",
        "ff",  # a break alone
        "1c",  # reserved
        "f800",
        "61ff",  # not UTF-8
        "63eda080",  # a lone surrogate
        "9affffffff",  # more items than bytes
        "5b7fffffffffffffff",
        "c249010000000000000000",  # tags that do something
        "c48221196ab3",
        "c58201" + "1a7fffffff",  # 2^2147483647, if anybody works it out
        "c1fb41d452d9e20000 00",
        "d81c80",
        "d81d00",
        "d823612e",
        "d9010280",
        "d9d9f700",
        "c000",
    ],
)
def test_whatever_is_not_one_strict_item_is_refused(encoded: str) -> None:
    """C-31, C-33, S-21: indefinite lengths, keys twice, trailing bytes, tags that do more."""
    if encoded == "c000":  # a date tag is kept as it is; its reader refuses the number in it
        assert cbor.loads(b"\xc0\x00") == cbor.Tag(0, 0)
        return
    with pytest.raises(InvalidInput):
        cbor.loads(bytes.fromhex(encoded.replace(" ", "")))


def test_depth_is_bounded() -> None:
    """S-21: sixteen levels."""
    assert cbor.loads(b"\x81" * 15 + b"\x80")
    for deep in (
        b"\x81" * 16 + b"\x80",
        b"\x81" * 100_000 + b"\x80",
        b"\xd8\x29" * 100_000 + b"\0",
    ):
        with pytest.raises(InvalidInput):
            cbor.loads(deep)


def test_size_and_time_are_bounded() -> None:
    """S-20, S-21: keys made to collide cost time, but little of it."""
    with pytest.raises(InvalidInput):
        cbor.loads(cbor.dumps(b"x" * 1000), max_bytes=1000)
    keys = [cbor.dumps(number << 44) for number in range(20_000)]
    start = time.process_time()
    with pytest.raises(InvalidInput):
        cbor.loads(b"\xb9\x4e\x20" + b"".join(each + b"\0" for each in keys) + b"\0")
    assert time.process_time() - start < 2


def test_what_is_no_value_is_not_written() -> None:
    with pytest.raises(InvalidInput):
        cbor.dumps(object())
    with pytest.raises(InvalidInput):
        cbor.dumps("\ud800")


@pytest.mark.parametrize("length", [0, 23, 24, 255, 256, 65535, 65536])
def test_an_embedded_item_has_the_shortest_head(length: int) -> None:
    """F-MD-01: tag 24 and the head of the byte string."""
    data = bytes(length)
    assert cbor.embed(data) == cbor.dumps(cbor.Tag(24, data))
    assert cbor.embedded(cbor.loads(cbor.embed(data))) == data


@pytest.mark.parametrize("value", [b"", cbor.Tag(25, b""), cbor.Tag(24, "a"), None])
def test_another_thing_is_no_embedded_item(value: object) -> None:
    with pytest.raises(InvalidInput):
        cbor.embedded(value)


def test_several_items_are_read_in_one_pass() -> None:
    """C-31: each is one whole item, whatever stands before and behind it."""
    values = [{"a": 1}, [2, "b"], "c", b"d", {}]
    encoded = [cbor.dumps(each) for each in values]
    assert cbor.loads_all(encoded) == values
    assert cbor.loads_all([]) == []
    for wrong in (
        [encoded[0] + encoded[1], b""],
        [b"", encoded[0] + encoded[1]],
        [encoded[0][:-1], encoded[1]],
        [b"\x82", encoded[0] + encoded[1]],
        [encoded[0], b"\xff"],
        [bytes(300_000)],
    ):
        with pytest.raises(InvalidInput):
            cbor.loads_all(wrong)
