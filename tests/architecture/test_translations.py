"""Every text for people is said in every language, with the same placeholders, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from shared import errors as shared_errors
from shared.runtime import errors as runtime_errors
from tests.support.messages import messages

ROOT = Path(__file__).parents[2]
CATALOGUES = sorted(
    path
    for package in ("shared", "issuer_service", "wallet_service", "verifier_service")
    for path in (ROOT / package).rglob("locale/*.po")
)
_PLACEHOLDER = re.compile(r"%\(\w+\)\w")


def _general() -> Iterator[str]:
    """What any page may say of any error."""
    kinds = [each for each in vars(shared_errors).values() if isinstance(each, type)]
    yield from (each.public for each in kinds if issubclass(each, shared_errors.ExpectedError))
    refusals = [each for _, each in runtime_errors._MAPPING]
    yield from (each.next_step for each in [*refusals, runtime_errors.BUG])
    yield runtime_errors.BUG_DETAIL
    yield runtime_errors.TooLarge.public


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_is_translated(path: Path) -> None:
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.stem)
    package = path.parents[1]
    said = set(messages(package))
    if package.name == "runtime":
        said |= set(_general())
    known = {str(each.id): each for each in catalogue if each.id}
    assert said - set(known) == set()
    assert set(known) - said == set()
    for text, each in known.items():
        assert each.string, text
        assert not each.fuzzy, text
        assert set(_PLACEHOLDER.findall(text)) == set(_PLACEHOLDER.findall(str(each.string))), text


def test_each_package_with_pages_speaks_its_languages() -> None:
    """What a service says, the frame can say; citizens read Arabic, too, in their wallet."""
    spoken: dict[str, set[str]] = {}
    for path in CATALOGUES:
        spoken.setdefault(path.parents[1].name, set()).add(path.stem)
    assert spoken == {
        "runtime": {"ar", "de"},
        "wallet_service": {"ar", "de"},
        "issuer_service": {"de"},
        "verifier_service": {"de"},
    }
    pages = {path.parents[1].name for path in ROOT.glob("*/templates/*.html")}
    assert pages <= set(spoken)
