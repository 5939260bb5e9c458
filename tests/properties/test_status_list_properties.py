"""Properties of status lists and of the index permutation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ExpectedError
from shared.formats.index_permutation import IndexPermutation
from shared.formats.status_list import StatusList, expand, parse_aggregation, status_reference

bits = st.sampled_from([1, 2, 4, 8])


@given(bits, st.data())
def test_a_list_is_an_array_of_small_integers(width: int, data: st.DataObject) -> None:
    """ST-01: entries do not touch each other, whatever the order of writing."""
    size = data.draw(st.integers(1, 200))
    model = [0] * size
    status_list = StatusList.empty(width, size)
    assert len(status_list) >= size
    for _ in range(data.draw(st.integers(0, 40))):
        index = data.draw(st.integers(0, size - 1))
        value = data.draw(st.integers(0, 2**width - 1))
        model[index] = value
        status_list.set(index, value)
    again = StatusList.from_json(status_list.to_json())
    assert [again.get(each) for each in range(size)] == model
    assert not any(again.get(each) for each in range(size, len(again)))


@given(st.binary(max_size=300))
def test_any_bytes_come_back(data: bytes) -> None:
    """ST-02: expand(compress(x)) == x."""
    if data:
        assert expand(StatusList(8, data).compress()) == data


@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda each: b"\x78\xda" + each))
def test_noise_raises_nothing_but_our_errors(data: bytes) -> None:
    """ST-53: neither in ZLIB nor in JSON."""
    for call in (expand, parse_aggregation):
        try:
            call(data)
        except ExpectedError:
            continue


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4))
def test_references_of_any_kind_raise_nothing_but_our_errors(raw: object) -> None:
    """ST-30: status holds what it holds."""
    with pytest.raises(ExpectedError):
        status_reference({"status": raw})  # type: ignore[dict-item]  # noise on purpose


@given(st.binary(min_size=16, max_size=64), st.integers(2, 300))
def test_every_permutation_is_one(key: bytes, size: int) -> None:
    """ST-31: each place exactly once, for every key and size."""
    permutation = IndexPermutation(key, size)
    assert {permutation.index(each) for each in range(size)} == set(range(size))
