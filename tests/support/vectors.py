"""Official vectors, read from ../shared/specs/vectors beside the repository, or skipped."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

_BESIDE = Path(__file__).parents[3] / "shared" / "specs" / "vectors"


def vectors(path: str) -> Path:
    """The file or folder *path* below the vectors; `SPEC_VECTORS` names another place."""
    found = Path(os.environ.get("SPEC_VECTORS", _BESIDE)) / path
    if not found.exists():
        pytest.skip(f"official vectors are not beside the repository: {path}")
    return found


def vector_json(path: str) -> Any:
    return json.loads(vectors(path).read_text(encoding="utf-8"))


def vector_text(path: str) -> str:
    return vectors(path).read_text(encoding="utf-8").strip()
