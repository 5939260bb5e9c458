"""What goes wrong with a database and is no bug: it passes, or was the input."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ..errors import InvalidInput, Unavailable
from .logs import get_log

log = get_log(__name__)

# SQLSTATE classes that waiting or reconnecting can cure: 08 connection, 40 rollback, 53 resources,
# 57 operator (shutdown, cancelled), 55P03 lock not available, 25006 read-only after a fail-over.
_PASSING = ("08", "40", "53", "57", "55P03", "25006")

_UNKEEPABLE = {"DataError", "22021"}  # a NUL: noticed by psycopg, or by the server


def _passing(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_PASSING)
    if isinstance(error, OperationalError):
        # SQLite: locked, busy, disk full, cannot open. "no such table" is a bug, not the weather.
        return "no such" not in str(error.orig) and "syntax" not in str(error.orig)
    return isinstance(error, InterfaceError | InternalError)


@contextmanager
def weather() -> Iterator[None]:
    """What can pass by waiting becomes Unavailable, a text with a NUL InvalidInput."""
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable("database: no connection is free") from error
    except DataError as error:
        if state_of(error.orig) in _UNKEEPABLE:
            raise InvalidInput("database: a text with a NUL") from error
        raise
    except DBAPIError as error:
        if not _passing(error):
            raise
        state = state_of(error.orig)
        log.warning("database_unavailable", state=state)
        raise Unavailable(f"database: {state}") from error


def state_of(error: BaseException | None) -> str:
    """What may stand in a log: the SQLSTATE or the kind of error, no message, no values."""
    return str(getattr(error, "sqlstate", None) or type(error).__name__)
