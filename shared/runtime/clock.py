"""The clock of a process; everything else is handed one."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time now, aware."""
    return datetime.now(UTC)  # noqa: TID251  # here, and nowhere else
