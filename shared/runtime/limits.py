"""How many requests one address may send to one process (S-22).

A token bucket for each address: a steady rate, and a burst of ten seconds' worth. It keeps one
noisy caller from starving the others; guesses of secrets are counted in the database, where no
restart and no other process forgets them. Behind a proxy, TRUSTED_PROXIES must name it, or all
callers are one.
"""

from collections import OrderedDict
from time import monotonic

_BURST_SECONDS = 10
_ADDRESSES = 20_000  # the longest silent one is forgotten first


class RateLimit:
    """*rate* requests a second for each address; 0 lets everything pass."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._full = float(rate * _BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str | None, *, now: float | None = None) -> bool:
        """Count one request of *address*, None if unknown; *now* in monotonic seconds."""
        if not self._rate:
            return True
        if address is None:
            return False
        moment = monotonic() if now is None else now
        left, seen = self._buckets.pop(address, (self._full, moment))
        left = min(self._full, left + (moment - seen) * self._rate)
        allowed = left >= 1
        self._buckets[address] = (left - 1 if allowed else left, moment)
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        return allowed
