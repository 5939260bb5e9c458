"""docs/openapi says what the services say, so that a change of an API is seen when it is read."""

import pytest

from tests.architecture.openapi import SERVICES, describe, place


@pytest.mark.parametrize("service", SERVICES)
def test_the_document_is_up_to_date(service: str) -> None:
    """If this fails: `python -m tests.architecture.openapi`."""
    assert describe(service) == place(service).read_text(encoding="utf-8")
