"""runtime/logs.py: one JSON line an event, nothing personal in it (S-44)."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Column, String, Table, insert

from shared.errors import InvalidInput
from shared.runtime import logs
from shared.runtime.database import Database, new_metadata


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    logs.configure(service="sample", level="INFO", stream=written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    logs.request_id.set("")


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(each) for each in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_the_request_id(stream: io.StringIO) -> None:
    logs.request_id.set("0123456789abcdef")
    logs.get_log("issuer_service.offering").info("offer_created", count=2, text="a\nb")
    (line,) = _lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "offer_created",
        "count": 2,
        "text": "a\nb",
        "service": "sample",
        "logger": "issuer_service.offering",
        "level": "info",
        "request_id": "0123456789abcdef",
    }


def test_lines_of_libraries_have_the_same_shape(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 1)
    (line,) = _lines(stream)
    assert (line["event"], line["logger"]) == ("Started server process [1]", "uvicorn.error")


def test_access_logs_and_chatty_libraries_are_not_written(stream: io.StringIO) -> None:
    """Paths carry ids, connection logs carry hosts."""
    logging.getLogger("uvicorn.access").info("GET /offers/secret")
    logging.getLogger("httpcore2.connection").info("connect_tcp host=agency.example")
    logging.getLogger("httpx2").info("HTTP Request: GET https://agency.example/secret")
    assert _lines(stream) == []


def test_below_the_level_nothing_is_written(stream: io.StringIO) -> None:
    logs.get_log("x").debug("detail")
    assert _lines(stream) == []


def test_a_traceback_has_places_and_types_but_no_foreign_message(stream: io.StringIO) -> None:
    """A foreign message may repeat the value that it could not read; ours never does."""
    secret = "Astrid Lindqvist"  # a name, no password

    def reads() -> None:
        try:
            int(secret)
        except ValueError as error:
            raise InvalidInput("register: not a number") from error

    try:
        reads()
    except InvalidInput:
        logs.get_log("x").exception("bug")
    (line,) = _lines(stream)
    assert "test_runtime_logs.py" in line["exception"]
    assert "builtins.ValueError" in line["exception"]
    assert "shared.errors.InvalidInput: register: not a number" in line["exception"]
    assert "Astrid" not in stream.getvalue().replace('secret = "Astrid Lindqvist"', "")


def test_exceptions_of_libraries_keep_their_message_to_themselves_too(stream: io.StringIO) -> None:
    try:
        raise KeyError("family_name=Lindqvist")
    except KeyError:
        logging.getLogger("somebody").exception("failed")
    (line,) = _lines(stream)
    assert "builtins.KeyError" in line["exception"]
    assert "\nbuiltins.KeyError: " not in line["exception"]


def test_values_of_a_failed_statement_are_in_no_error(tmp_path: Any) -> None:
    metadata = new_metadata()
    people = Table("people", metadata, Column("name", String(40), primary_key=True))
    database = Database(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(Exception, match="no such table") as caught, database.single() as one:
        one.execute(insert(people), {"name": "Astrid Lindqvist"})
    assert "Astrid" not in str(caught.value)
    database.close()
