"""shared/formats/index_permutation.py: which place of a list the n-th credential gets."""

from itertools import pairwise

import pytest

from shared.errors import InvalidInput
from shared.formats.index_permutation import IndexPermutation

KEY = bytes(range(32))


@pytest.mark.parametrize("size", [2, 3, 5, 16, 17, 1000, 1024, 4096, 10_007])
def test_every_place_is_met_exactly_once(size: int) -> None:
    """ST-31: collision-free at any fill, also where the size is no power of two."""
    permutation = IndexPermutation(KEY, size)
    assert sorted(permutation.index(each) for each in range(size)) == list(range(size))


def test_a_list_of_a_million_places_has_no_collision_in_a_long_run() -> None:
    """ST-31, ST-32: 2^20 by default."""
    permutation = IndexPermutation(KEY)
    places = {permutation.index(each) for each in range(20_000)}
    assert permutation.size == 2**20
    assert len(places) == 20_000
    assert 0 <= min(places) <= max(places) < 2**20


def test_places_follow_no_pattern() -> None:
    """ST-31, CERTIFICATION 2.2.7: unpredictable; no arithmetic progression."""
    permutation = IndexPermutation(KEY)
    places = [permutation.index(each) for each in range(200)]
    steps = {b - a for a, b in pairwise(places)}
    assert len(steps) > 190
    halves = sum(each >= 2**19 for each in places)
    assert 60 < halves < 140


def test_another_key_gives_other_places() -> None:
    """ST-31: who does not know the key cannot tell."""
    one, other = IndexPermutation(KEY), IndexPermutation(KEY[::-1])
    same = sum(one.index(each) == other.index(each) for each in range(500))
    assert same < 5
    again = IndexPermutation(KEY)
    assert [one.index(each) for each in range(50)] == [again.index(each) for each in range(50)]


@pytest.mark.parametrize("counter", [-1, 2**20, 2**40])
def test_a_full_list_says_so(counter: int) -> None:
    """ST-31: never a second time round."""
    with pytest.raises(InvalidInput):
        IndexPermutation(KEY).index(counter)


def test_keys_and_sizes_that_are_too_small_are_refused() -> None:
    """S-01: at least 128 bits of key."""
    for key in (b"", bytes(15), bytes(65)):
        with pytest.raises(InvalidInput):
            IndexPermutation(key)
    for size in (-1, 0, 1):
        with pytest.raises(InvalidInput):
            IndexPermutation(KEY, size)
