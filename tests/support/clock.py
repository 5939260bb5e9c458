"""Time and chance for tests: passed in where the product takes `now`, a clock or `random_bytes`."""

import hashlib
from datetime import UTC, datetime, timedelta

NOW = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)


class FixedClock:
    """A clock that stands until told: `clock()` is its `now`."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, step: timedelta | None = None, **parts: float) -> datetime:
        """Move on by *step*, or by `seconds=…`, `hours=…`, and return the new time."""
        self.now += step if step is not None else timedelta(**parts)
        return self.now


class CountingBytes:
    """Bytes that look random, never repeat, and are the same in every run."""

    def __init__(self, seed: str = "") -> None:
        self.seed = seed
        self.calls = 0

    def __call__(self, count: int) -> bytes:
        self.calls += 1
        return hashlib.shake_256(f"{self.seed}:{self.calls}".encode()).digest(count)
