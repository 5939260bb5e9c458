"""docs/conformance.md says what is true."""

from tests.architecture.conformance import DOCUMENT, ID, ROW, write


def _rows() -> list[tuple[str, str, str, str]]:
    matches = (ROW.match(line) for line in DOCUMENT.read_text().splitlines())
    return [
        (row[1], row[2].strip(), row[3].strip(), row[4].strip())
        for row in matches
        if row and ID.fullmatch(row[1])
    ]


def test_the_document_is_up_to_date() -> None:
    """If this fails: `python -m tests.architecture.conformance`."""
    assert write(DOCUMENT.read_text()) == DOCUMENT.read_text()


def test_every_requirement_is_listed_once() -> None:
    ids = [row[0] for row in _rows()]
    assert len(ids) == len(set(ids)) == 337


def test_every_requirement_has_a_test_or_says_who_will_close_it() -> None:
    silent = [row[0] for row in _rows() if not row[2] and not row[3]]
    assert silent == []
