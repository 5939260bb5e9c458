"""The tables of docs/operations.md are those of the code."""

from tests.architecture.settings_tables import DOCUMENT, write


def test_the_tables_are_up_to_date() -> None:
    """If this fails: `python -m tests.architecture.settings_tables`."""
    assert write(DOCUMENT.read_text()) == DOCUMENT.read_text()
