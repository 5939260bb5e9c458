"""Which place of a status list the n-th credential gets: a keyed permutation of the counter.

Without the key the places look random; each is met exactly once, at any fill, in constant time. A
counter is leased in blocks per process, so no row is hot (DESIGN, "Decided"). It is a balanced
Feistel network of ten rounds over the next even number of bits, walked on while it leads past the
end (as NIST SP 800-38G does). Specification: PROFILE ST-31, ST-32.
"""

from hashlib import blake2b

from ..errors import InvalidInput

_ROUNDS = 10


class IndexPermutation:
    """A permutation of 0 to *size* - 1 chosen by *key*; one key for one list."""

    __slots__ = ("_half", "_mask", "_rounds", "size")

    def __init__(self, key: bytes, size: int = 2**20) -> None:
        """*key*: 16 to 64 secret bytes. *size*: number of places, at least 2."""
        if not 16 <= len(key) <= 64:
            raise InvalidInput("index permutation: the key has not 16 to 64 bytes")
        if size < 2:
            raise InvalidInput("index permutation: fewer than two places")
        self.size = size
        self._half = ((size - 1).bit_length() + 1) // 2
        self._mask = (1 << self._half) - 1
        self._rounds = tuple(
            blake2b(key=key, digest_size=8, person=b"list-index", salt=bytes([each]))
            for each in range(_ROUNDS)
        )

    def index(self, counter: int) -> int:
        """The place of *counter*.

        Raises:
            InvalidInput: *counter* is not in 0 to *size* - 1: the list is full.
        """
        if not 0 <= counter < self.size:
            raise InvalidInput("index permutation: the list is full")
        place = self._once(counter)
        while place >= self.size:
            place = self._once(place)
        return place

    def _once(self, value: int) -> int:
        left, right = value >> self._half, value & self._mask
        for prepared in self._rounds:
            keyed = prepared.copy()
            keyed.update(right.to_bytes(8, "big"))
            left, right = right, left ^ (int.from_bytes(keyed.digest(), "big") & self._mask)
        return left << self._half | right
