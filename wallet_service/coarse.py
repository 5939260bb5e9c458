"""Deadlines as they stand in the clear: rounded up, since seconds tell who did what when.

Together with an agency's own times, a stolen database would otherwise say who showed something.
The exact deadline lies sealed beside what it ends. Specification: WALLET_SECURITY, section 2.
"""

from datetime import datetime, timedelta

from shared.encoding import start_of_day


def by_hour(moment: datetime) -> datetime:
    """The next full hour: for what lives for minutes."""
    return moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def by_day(moment: datetime) -> datetime:
    """The end of the day."""
    return start_of_day(moment) + timedelta(days=1)
