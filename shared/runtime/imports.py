"""Imports that stay small: libraries load what they find installed, needed or not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Let what is imported in this block find none of *names*, unless they are loaded already.

    For packages with a plan for their absence, at the top of a module. Afterwards they can be
    imported as ever.
    """
    modules: dict[str, Any] = sys.modules
    hidden = [each for each in names if each not in modules]
    modules |= dict.fromkeys(hidden)  # None: Python says that there is no such module
    try:
        yield
    finally:
        for each in hidden:
            del modules[each]
