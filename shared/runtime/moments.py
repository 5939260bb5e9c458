"""Times for people: the server says them in UTC, `times.js` in the time of the reader's clock."""

from datetime import datetime

from babel.dates import format_date
from markupsafe import Markup


def in_utc(at: datetime, language: str) -> str:
    """*at* as people write it, in UTC."""
    return f"{format_date(at, 'medium', locale=language)}, {at:%H:%M} UTC"


def moment(at: datetime, language: str) -> Markup:
    """*at* for a page of `staff.html`: in UTC where no scripts run, else by the reader's clock."""
    return Markup('<time datetime="{}">{}</time>').format(f"{at:%FT%TZ}", in_utc(at, language))
