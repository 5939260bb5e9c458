"""Pages of lists: newest first, from a cursor on, steady while rows are added."""

from datetime import datetime

from sqlalchemy import ColumnElement, Table, and_, or_

from shared.encoding import b64url_decode, b64url_encode
from shared.errors import InvalidInput


def cursor(at: datetime, row_id: str) -> str:
    """Where a page that ended with this row goes on."""
    return b64url_encode(f"{at.isoformat()} {row_id}".encode())


def before(table: Table, column: str, after: str) -> ColumnElement[bool]:
    """The rows of *table* after the cursor *after*, in the order of *column* and id, descending.

    Raises:
        InvalidInput: not a cursor of ours.
    """
    try:
        moment, _, row_id = b64url_decode(after).decode().partition(" ")
        at = datetime.fromisoformat(moment)
    except (ValueError, InvalidInput) as error:
        raise InvalidInput("page: not a cursor") from error
    if at.tzinfo is None:
        raise InvalidInput("page: not a cursor")
    time, identifier = table.c[column], table.c.id
    return or_(time < at, and_(time == at, identifier < row_id))
