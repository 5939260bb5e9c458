"""A moment of fuzzing in every run; `python -m tests.fuzz.run` takes its time."""

import random  # noqa: TID251 - a seeded generator, nothing secret
from itertools import islice

import pytest

from tests.fuzz.run import inputs, try_one
from tests.fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_parser_raises_only_ours(target: Target) -> None:
    """C-30, C-31, S-20, S-21; STYLE "Errors": 100 inputs near those it takes."""
    chance = random.Random(target.name)  # noqa: S311
    for data in islice(inputs(target.seeds, chance), 100):
        assert try_one(target.name, data) is None, data.hex()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_it_starts_from_is_taken(target: Target) -> None:
    """The noise begins at input that reaches the end of the parser."""
    target.run(target.seeds[0])
