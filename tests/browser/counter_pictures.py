"""The pictures of `docs/counter-guide.md`, made anew by its journeys.

python -m tests.browser.counter_pictures
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs/pictures"
NAMES = ("desks", "choose", "asking", "yes", "revoked")


def main() -> None:
    """Walk the journeys, keep the pictures that the guide shows."""
    with TemporaryDirectory() as folder:
        journeys = ROOT / "tests/browser/test_counter_journeys.py"
        command = [sys.executable, "-m", "pytest", str(journeys), "-q"]
        subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"SHOTS": folder})
        PICTURES.mkdir(exist_ok=True)
        for name in NAMES:
            made = Path(folder, f"counter-{name}-en-light-768.png")
            shutil.copyfile(made, PICTURES / f"counter-{name}.png")


if __name__ == "__main__":
    main()
