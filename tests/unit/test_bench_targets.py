"""bench/targets.py: what a figure may be on this machine."""

import pytest

from bench import targets
from bench.in_process import Figure

FLOORS: dict[str, Figure] = {
    name: {"value": 0.0, "unit": "µs", "floor": reference * 1.5, "ratio": 1.0}
    for name, reference in targets.REFERENCE.items()
}


@pytest.mark.parametrize(
    ("name", "value", "unit", "floor", "met"),
    [
        ("http.sqlite.verification", 2.0, "ms", 1.4, True),  # of a machine that is slower by half
        ("http.sqlite.verification", 2.2, "ms", 1.4, False),
        ("http.sqlite.issuance_haip", 6.1, "ms", 6.0, False),  # its floor is of the same run
        ("http.status.answers", 19_000.0, "per s", 20_000.0, False),
        ("wallet.open", 16.0, "ms", 15.0, False),  # holds on any machine
        ("wallet.receive", 10.0, "ms", 2.0, None),
        ("mdoc.verify", 131.0, "µs", 100.0, False),
        ("mdoc.verify", 130.0, "µs", 100.0, True),
    ],
)
def test_a_figure_is_held_against_its_target(
    name: str, value: float, unit: str, floor: float, met: bool | None
) -> None:
    figure: Figure = {"value": value, "unit": unit, "floor": floor, "ratio": value / floor}
    limit = targets.target(name, figure, targets.factor(FLOORS))
    assert (None if limit is None else targets.met(name, figure, limit)) == met
