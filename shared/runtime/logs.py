"""Logs: one JSON line an event, with the request id and without personal data (S-44).

There is no filter that searches for secrets. Redaction is by construction: an event has a fixed
name and values that its author chose; errors name the check that failed, never its input; paths are
route templates; bodies, headers and queries are never logged.

Of an exception the places and the type are
logged, its message only if it is one of ours: a foreign one may repeat what it could not read.
"""

import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextvars import ContextVar
from typing import TextIO

import orjson

from ..errors import ExpectedError
from .imports import without

with without("rich"):  # which structlog has for consoles: 5 MB of each worker
    import structlog

request_id: ContextVar[str] = ContextVar("request_id", default="")

# Libraries that say more than we want at INFO: addresses, statements, connection details.
_QUIET = ("httpcore2", "httpx2", "alembic", "sqlalchemy", "multipart", "python_multipart", "tuf")


def _with_request_id(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    if current := request_id.get():
        event["request_id"] = current
    return event


def _with_exception(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()[1]
    elif isinstance(given, tuple):
        given = given[1]
    if isinstance(given, BaseException):
        event["exception"] = "\n".join(_traceback(given))
    return event


def _traceback(error: BaseException) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _traceback(before)
        yield "then:"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    yield f"{kind}: {error}" if isinstance(error, ExpectedError) else kind
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _traceback(each)


def _dump(event: MutableMapping[str, object], **_: object) -> str:
    return orjson.dumps(event, default=str).decode()


def _processors(service: str) -> list[structlog.typing.Processor]:
    def with_service(
        _logger: object, _method: str, event: MutableMapping[str, object]
    ) -> MutableMapping[str, object]:
        event["service"] = service
        return event

    return [
        with_service,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        _with_request_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_exception,
    ]


def configure(*, service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log record of this process, those of libraries too, to *stream* as JSON lines.

    Args:
        service: the value of the member "service" in each line.
        level: DEBUG, INFO, WARNING or ERROR.
        stream: standard error unless given.
    """
    processors = _processors(service)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=processors,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(serializer=_dump),
        ],
    )
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = name != "uvicorn.access"
    _use_standard_logging(processors)


def _use_standard_logging(processors: list[structlog.typing.Processor]) -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *processors,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


_use_standard_logging(_processors(""))  # until `configure`: quiet, and never with local variables


def get_log(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for the module *name*; use it as `log.info("event_name", key=value)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
