"""The `iat` of a Status List that follows another one."""

from datetime import datetime, timedelta

from .status_list import LEEWAY


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
