"""`make heist`: a whole system, a thief with everything but the citizens, and what they gain."""

import sys
import tempfile
from pathlib import Path

from . import at_home, at_the_door, erasing, history, inside, striking
from .report import Report
from .scene import prepared


def heist(folder: Path) -> Report:
    """Every attack, once, on a system of its own in *folder*."""
    report = Report()
    with prepared(folder) as scene:
        burglar = at_home.break_in(scene, report)
        at_home.control(scene, report)
        at_home.search(scene, report, burglar)
        at_the_door.knock(scene, report, burglar)
        inside.tamper(scene, report, burglar)
        history.bring_back(scene, report)
        stolen = striking.strike(scene, report)
        rotated = erasing.erase(scene, report)
        striking.after_rotation(scene, report, stolen, rotated)
    return report


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="heist-") as folder:
        report = heist(Path(folder))
    print(report)  # noqa: T201
    return 1 if report.holes else 0


if __name__ == "__main__":
    sys.exit(main())
