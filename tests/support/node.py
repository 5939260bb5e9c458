"""Libraries of other projects that run in node: one process, a JSON line in, a JSON line out.

`npm ci` in tests/interop installs what package.json pins; without it these tests are skipped, and
fail in CI.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from .components import missing

_INTEROP = Path(__file__).parents[1] / "interop"


class Ask(Protocol):
    def __call__(self, question: Any) -> Any: ...


@contextmanager
def node(script: str, *, package: str) -> Iterator[Ask]:
    """Run *script* of tests/interop, which needs the npm *package*."""
    program = shutil.which("node")
    if program is None or not (_INTEROP / "node_modules" / package).is_dir():
        missing(f"npm ci in tests/interop installs {package}")
    with subprocess.Popen(
        [program, str(_INTEROP / script)],
        cwd=_INTEROP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        questions, answers = process.stdin, process.stdout

        def ask(question: Any) -> Any:
            questions.write(json.dumps(question) + "\n")
            questions.flush()
            line = answers.readline()
            assert line, "node ended; its message stands on stderr"
            return json.loads(line)

        yield ask
