"""How long a status list that was fetched may be used, and for which moments it speaks.

Specification: Token Status List draft 14, sections 8.2, 8.4 and 13.7; PROFILE ST-52, ST-56, ST-57.
"""

from datetime import datetime, timedelta

from .status_list import VerifiedStatusList

SHORTEST = timedelta(seconds=60)  # ST-52
LONGEST = timedelta(hours=24)  # ST-52
UNSAID = timedelta(minutes=15)  # ST-56


def fresh_until(
    verified: VerifiedStatusList,
    *,
    fetched_at: datetime,
    shortest: timedelta = SHORTEST,
    longest: timedelta = LONGEST,
) -> datetime:
    """Until when a copy fetched at *fetched_at* may be used without asking again.

    `ttl` counts from the fetch and is clamped to *shortest* … *longest*; without it `exp` is the
    end, with neither it is a quarter of an hour; never past `exp`, whatever HTTP headers say.

    Specification: Token Status List, sections 8.2 and 13.7; PROFILE ST-52, ST-56.
    """
    if verified.ttl is not None:
        wait = min(max(verified.ttl, shortest), longest)
    else:
        wait = UNSAID if verified.expires_at is None else longest
    end = fetched_at + wait
    return end if verified.expires_at is None else min(end, verified.expires_at)


def usable_for(verified: VerifiedStatusList, moment: datetime) -> bool:
    """Whether the list says something about *moment*, a time in the past (section 8.4; ST-57)."""
    return verified.issued_at <= moment and (
        verified.expires_at is None or moment < verified.expires_at
    )
