"""Encodings: what is written is read, and noise raises InvalidInput alone."""

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from shared.encoding import (
    b64_decode,
    b64url_decode,
    b64url_encode,
    canonical_json,
    dump_json,
    from_numeric_date,
    parse_json,
    to_numeric_date,
)
from shared.errors import InvalidInput

LIMIT = 1_000_000
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20
)


def read(data: bytes | str) -> Any:
    return parse_json(data, max_bytes=LIMIT)


@given(st.binary())
def test_base64url_comes_back(data: bytes) -> None:
    """C-30."""
    assert b64url_decode(b64url_encode(data)) == data


@given(st.text(alphabet="ABQgwz019-_+/= \n.é", max_size=12) | st.text(max_size=12))
def test_only_one_text_stands_for_bytes(text: str) -> None:
    """C-30: what is decoded encodes to the same text."""
    try:
        data = b64url_decode(text)
    except InvalidInput:
        return
    assert b64url_encode(data) == text


@given(st.text(max_size=20))
def test_standard_base64_refuses_or_decodes(text: str) -> None:
    """C-20."""
    try:
        b64_decode(text)
    except InvalidInput:
        return


@given(VALUES)
def test_json_comes_back(value: Any) -> None:
    """C-31: compact, spaced, escaped or not."""
    assert read(dump_json(value)) == value
    assert read(json.dumps(value)) == value
    assert read(json.dumps(value, indent=1, ensure_ascii=False)) == value
    assert type(read(dump_json(value))) is type(value)


@given(st.lists(st.tuples(TEXT, SCALARS), min_size=1, max_size=5), st.data(), st.booleans())
def test_a_name_twice_is_refused(
    members: list[tuple[str, Any]], data: st.DataObject, compact: bool
) -> None:
    """C-31: wherever it stands, with equal or other values, in either spelling."""
    again = data.draw(st.sampled_from(members))[0]
    members = [*members, (again, data.draw(SCALARS))]
    separators = (",", ":") if compact else (", ", ": ")
    pairs = [
        separators[1].join(
            (json.dumps(name, ensure_ascii=data.draw(st.booleans())), json.dumps(each))
        )
        for name, each in members
    ]
    text = "{" + separators[0].join(pairs) + "}"
    try:
        read(text)
    except InvalidInput:
        return
    raise AssertionError(text)


@given(
    st.binary(max_size=60) | st.text(max_size=60) | st.text('{}[]",:\\u01deE+-. aNn', max_size=30)
)
def test_noise_is_json_or_refused(data: bytes | str) -> None:
    """C-31: nothing but InvalidInput; whatever is read, a lenient reader agrees on."""
    try:
        value = read(data)
    except InvalidInput:
        return
    assert json.loads(data) == value
    orjson.dumps(value)


@given(VALUES)
def test_the_canonical_form_does_not_depend_on_the_order(value: Any) -> None:
    """RFC 8785, section 3.2.3."""

    def backwards(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: backwards(value[name]) for name in reversed(value)}
        return [backwards(each) for each in value] if isinstance(value, list) else value

    try:
        form = canonical_json(value)
    except InvalidInput:
        return
    assert canonical_json(backwards(value)) == form


@given(st.integers() | st.floats() | st.booleans() | st.none() | st.text())
def test_a_numeric_date_is_a_time_or_refused(value: object) -> None:
    """C-42."""
    try:
        moment = from_numeric_date(value)
    except InvalidInput:
        return
    assert to_numeric_date(moment) == value
