"""The greatest value of each figure that is within its target, on the machine of this run.

Most targets are ratios, or absolute values that hold anywhere. Those of the flows over HTTP are
milliseconds of the reference machine of PERFORMANCE section 1: they are multiplied by how much
slower this machine made the same bare signatures and digests in the same run.
"""

import statistics
from collections.abc import Mapping

from .http_flows import TARGETS
from .in_process import Figure

# PERFORMANCE section 1: the floors of a credential with ten claims, microseconds.
REFERENCE = {"sdjwt.issue": 20.0, "sdjwt.present": 17.0, "sdjwt.verify": 99.0}
# PERFORMANCE section 2, last line: ratios to the floor of the same run.
RATIOS = {
    "sdjwt.issue": 2.2,
    "sdjwt.present": 2.2,
    "sdjwt.verify": 1.35,
    "mdoc.issue": 3.0,
    "mdoc.present": 2.2,
    "mdoc.verify": 1.3,
}
# Beside a floor, to be seen; nobody demands a value. How memory grows is `bench.soak`'s to say.
_WITHOUT = ("wallet.receive", "curve.")
_NOR_THESE = (".sign_in", ".after")


def factor(figures: Mapping[str, Figure]) -> float:
    """How many times slower this machine is: the mean over the floors of `REFERENCE`."""
    return statistics.mean(
        float(figures[name]["floor"]) / reference for name, reference in REFERENCE.items()
    )


def target(name: str, figure: Figure, slower: float) -> float | None:
    """What *figure* may be at most (`per s`: must be at least); None: it has no target."""
    floor = float(figure["floor"])
    if name.startswith(_WITHOUT) or name.endswith(_NOR_THESE):
        return None
    if name in RATIOS:
        return RATIOS[name] * floor
    if name.removeprefix("http.") in TARGETS:
        return slower * floor
    return floor


def met(name: str, figure: Figure, limit: float) -> bool:
    """Whether *figure* is within *limit*; a ratio is that of rounds in turns, not of medians."""
    if name in RATIOS:
        return float(figure["ratio"]) <= RATIOS[name]
    value = float(figure["value"])
    return value >= limit if figure["unit"] == "per s" else value <= limit
