"""A circuit breaker: who did not answer three times in a row is left in peace for a while."""

import threading
import time
from collections.abc import Callable

from shared.errors import Unavailable

_FAILURES = 3
_PAUSE = 10.0  # seconds; doubled with each further failure
_LONGEST_PAUSE = 120.0


class Breaker:
    """Stops asking who does not answer: one question at a time gets through after each pause."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_until = 0.0

    def enter(self) -> None:
        """Raises Unavailable while nobody is asked."""
        with self._lock:
            if self._failures < _FAILURES:
                return
            now = self._clock()
            if now < self._closed_until:
                raise Unavailable("not asked, it failed too often")
            self._closed_until = now + self._pause()  # this question is the trial

    def failed(self) -> None:
        """Whoever was asked did not answer."""
        with self._lock:
            self._failures += 1
            self._closed_until = self._clock() + self._pause()

    def answered(self) -> None:
        """Whoever was asked answered, whatever they said."""
        with self._lock:
            self._failures = 0

    def _pause(self) -> float:
        return min(_PAUSE * 2.0 ** min(max(self._failures - _FAILURES, 0), 10), _LONGEST_PAUSE)
