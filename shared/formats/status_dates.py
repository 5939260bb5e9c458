"""Dates of Status Lists: the `iat` of one that follows another, and the time one speaks about."""

from datetime import datetime, timedelta

from .status_list import LEEWAY, VerifiedStatusList


def dated(now: datetime, published_at: datetime) -> datetime:
    """When a list is dated whose predecessor was dated *published_at*.

    It is later, else who remembers the newest `iat` refuses it (ST-54). But one that lies further
    ahead than any reader takes was signed while the clock was wrong: nobody believed it, so nobody
    remembers it, and it is not waited for.
    """
    return now if misdated(now, published_at) else max(now, published_at + timedelta(seconds=1))


def misdated(now: datetime, published_at: datetime) -> bool:
    """Whether no reader believes a list of *published_at* yet, so that it is to be signed again."""
    return published_at > now + LEEWAY


def usable_for(verified: VerifiedStatusList, moment: datetime) -> bool:
    """Whether the list says something about *moment*, a time in the past (section 8.4; ST-57)."""
    return verified.issued_at <= moment and (
        verified.expires_at is None or moment < verified.expires_at
    )
