"""shared/encoding.py: what is not exactly right is refused, as InvalidInput."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.encoding import (
    JsonValue,
    b64_decode,
    b64url_decode,
    b64url_encode,
    canonical_json,
    dump_json,
    from_numeric_date,
    parse_json,
    parse_json_object,
    start_of_day,
    to_numeric_date,
)
from shared.errors import InvalidInput

LIMIT = 1_000_000


def read(text: bytes | str) -> object:
    return parse_json(text, max_bytes=LIMIT)


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"\xfb\xff", "-_8")],
)
def test_base64url_has_no_padding(data: bytes, text: str) -> None:
    """C-30; RFC 4648, sections 5 and 10."""
    assert b64url_encode(data) == text
    assert b64url_decode(text) == data


@pytest.mark.parametrize(
    "text",
    [
        "Zg==",
        "Zg=",
        "Z",
        "Zm8 ",
        " Zm8",
        "Zm\n8",
        "+/8",
        "-/8",
        "Zm8.",
        "Zmé",
        "Zh",
        "Zm9",
        "=",
        "\x00",
    ],
)
def test_base64url_in_any_other_form_is_refused(text: str) -> None:
    """C-30: padding, space, another alphabet, one character over, bits that are not zero."""
    with pytest.raises(InvalidInput):
        b64url_decode(text)


def test_base64_of_x5c_is_padded() -> None:
    """C-20; RFC 4648, section 4."""
    assert b64_decode("+/8=") == b"\xfb\xff"


@pytest.mark.parametrize("text", ["+/8", "-_8=", "+/8=\n", "Zh==", "Zg=", "+/8==", "é"])
def test_base64_in_any_other_form_is_refused(text: str) -> None:
    """C-20: url-safe, unpadded, with loose bits."""
    with pytest.raises(InvalidInput):
        b64_decode(text)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -2, 0.5, 1e10, "é", "\U0001f600", None, True, {}], "b": {"a": ""}},
        -(2**63),
        2**64 - 1,
        "text",
        [],
    ],
)
@pytest.mark.parametrize("spaced", [False, True])
def test_json_is_read_in_any_layout(value: object, spaced: bool) -> None:
    """C-31; RFC 8259."""
    separators = None if spaced else (",", ":")
    text = json.dumps(value, separators=separators, ensure_ascii=spaced)
    assert read(text) == value
    assert read(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"a":1,"a":1}',
        '{"a": 1, "b": {"c": 2, "c": 2}}',
        '{"a":1,"\\u0061":1}',
        '[{"":1,"":1}]',
    ],
)
def test_a_member_name_occurs_once(text: str) -> None:
    """C-31: also with another spelling of the same name."""
    with pytest.raises(InvalidInput):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\ud800":1}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b"18446744073709551616",
        b"-9223372036854775809",
        b"1" * 5000,
        b"01",
        b"1.",
        b"+1",
        b"{}{}",
        b"{} x",
        b"{,}",
        b"[1,]",
        b"'a'",
        b'"\x01"',
        b'"tab\t"',
        b"{}\x00",
        b"// comment\n{}",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    """C-31, S-21; RFC 8259, sections 2 to 8."""
    with pytest.raises(InvalidInput):
        read(text)


def test_a_lone_surrogate_in_a_string_of_text_is_refused() -> None:
    """C-31: it has no UTF-8."""
    with pytest.raises(InvalidInput):
        read('"\ud800"')


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("accepted", "refused"),
    [
        (nested(16), nested(17)),
        ('{"a":' * 16 + "1" + "}" * 16, '{"a":' * 17 + "1" + "}" * 17),
        (str([0] * 1000), str([0] * 1001)),
        (
            json.dumps(dict.fromkeys(map(str, range(1000)))),
            json.dumps(dict.fromkeys(map(str, range(1001)))),
        ),
        (f'["{"x" * 65_536}"]', f'["{"x" * 65_537}"]'),
        (f'{{"{"x" * 65_536}":1}}', f'{{"{"x" * 65_537}":1}}'),
    ],
    ids=["arrays", "objects", "items", "members", "string", "name"],
)
@pytest.mark.parametrize("layout", ["", " "])
def test_depth_number_and_length_have_limits(accepted: str, refused: str, layout: str) -> None:
    """S-21, C-31: depth 16, 1,000 items, 64 KiB of string, whatever the layout."""
    read(layout + accepted)
    with pytest.raises(InvalidInput):
        read(layout + refused)


def test_a_longer_string_is_read_where_the_caller_says_so() -> None:
    """S-20, S-21: a status list is longer than other strings."""
    text = f'["{"x" * 70_000}"]'
    assert parse_json(text, max_bytes=LIMIT, max_string=70_000)
    with pytest.raises(InvalidInput):
        parse_json(text, max_bytes=LIMIT)


def test_the_size_is_counted_in_bytes() -> None:
    """S-20."""
    assert parse_json('"é"', max_bytes=4) == "é"
    with pytest.raises(InvalidInput):
        parse_json('"é"', max_bytes=3)


def test_an_object_is_asked_for() -> None:
    assert parse_json_object("{}", max_bytes=LIMIT) == {}
    with pytest.raises(InvalidInput):
        parse_json_object("[]", max_bytes=LIMIT)


def test_json_is_written_compactly_in_the_order_given() -> None:
    assert dump_json({"b": 1, "a": ["é", None]}) == '{"b":1,"a":["é",null]}'.encode()


@pytest.mark.parametrize("value", ["\ud800", 2**64])
def test_what_has_no_json_is_not_written(value: str | int) -> None:
    with pytest.raises(InvalidInput):
        dump_json([value])


def test_the_canonical_form_is_that_of_rfc_8785() -> None:
    """RFC 8785, section 3.2.2 and 3.2.3."""
    value: JsonValue = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3],
        "\u20ac": "Euro",
        "\r": "CR",
    }
    expected = '{"\\r":"CR","numbers":[333333333.3333333,1e+30,4.5,0.002],"€":"Euro"}'
    assert canonical_json(value) == expected.encode()


@pytest.mark.parametrize("value", [float("nan"), 2**53 + 1, "\ud800"])
def test_what_has_no_canonical_form_is_refused(value: float | str) -> None:
    """RFC 8785, sections 3.2.2.2 and 3.2.2.3."""
    with pytest.raises(InvalidInput):
        canonical_json([value])


def test_numeric_date_is_whole_seconds_of_utc() -> None:
    """C-42; RFC 7519, section 2."""
    moment = datetime(2027, 3, 1, 13, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert to_numeric_date(moment) == 1803902400
    assert from_numeric_date(1803902400) == datetime(2027, 3, 1, 12, tzinfo=UTC)
    assert to_numeric_date(datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)) == -1


@pytest.mark.parametrize("value", [True, 1.5, "1", None, 10**12, 10**30, -(10**30)])
def test_any_other_numeric_date_is_refused(value: object) -> None:
    """C-42: integers alone, within the years that exist."""
    with pytest.raises(InvalidInput):
        from_numeric_date(value)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(InvalidInput):
        to_numeric_date(datetime(2027, 3, 1))  # noqa: DTZ001 - this is what is refused


def test_dates_are_rounded_down_to_the_day() -> None:
    """I-115: in UTC, whatever the zone."""
    moment = datetime(2027, 3, 2, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert start_of_day(moment) == datetime(2027, 3, 1, tzinfo=UTC)
