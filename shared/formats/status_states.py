"""What a status can be, and what it can become: valid, suspended, revoked.

Specification: Token Status List, section 7.1; PROFILE ST-04, I-113, E-01.
"""

from collections.abc import Collection
from enum import IntEnum

from ..errors import Conflict


class Status(IntEnum):
    """Registered values (section 7.1; ST-04); others are application specific or reserved."""

    VALID = 0
    INVALID = 1
    SUSPENDED = 2


class StatusMoveRefused(Conflict):
    """The status cannot become that; `allowed` says what it can become."""

    public = "The credential's status does not allow that."

    def __init__(self, current: Status, allowed: Collection[Status]) -> None:
        super().__init__(f"status: {current.name} cannot become that")
        self.allowed: tuple[Status, ...] = tuple(sorted(allowed))


def allowed_moves(current: Status, *, suspendable: bool) -> frozenset[Status]:
    """What *current* may become; INVALID is final (ST-04, I-113).

    Args:
        current: the status now.
        suspendable: whether the credential type knows suspension (two bits; never the PID, E-01).
    """
    if current is Status.INVALID:
        return frozenset()
    every = {Status.VALID, Status.INVALID, Status.SUSPENDED} - {current}
    return frozenset(every if suspendable else every - {Status.SUSPENDED})


def check_move(current: Status, target: Status, *, suspendable: bool) -> None:
    """Raise StatusMoveRefused, which names the allowed moves, unless *target* is one of them."""
    allowed = allowed_moves(current, suspendable=suspendable)
    if target not in allowed:
        raise StatusMoveRefused(current, allowed)
