"""Texts for people in their language: gettext catalogues, kept as .po, compiled when loaded.

A message's id is its English text, so English needs no catalogue. Each package that has texts keeps
them in `locale/<tag>.po`; a test compares the catalogues with what templates and modules say.
"""

import gettext
from collections.abc import Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

SOURCE = "en"
"""The language of the message ids."""


def mark(text: str) -> str:
    """*text* itself: says to the extraction that it is shown to people, translated later."""
    return text


# Said by the catalogues themselves: Babel would load 2 MB of every language for these two words.
_OWN_NAME = mark("English")
_DIRECTION = mark("ltr")


class Languages:
    """The languages in which everything in *directories* can be said, and how.

    Args:
        directories: the `locale` directories of the packages whose texts are shown together.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        found = [{path.stem for path in each.glob("*.po")} for each in directories]
        self.tags = (SOURCE, *sorted(set.intersection(*found)))
        self._translations = {
            tag: _merged([each / f"{tag}.po" for each in directories if tag != SOURCE])
            for tag in self.tags
        }

    def translations(self, tag: str) -> gettext.NullTranslations:
        """The catalogue of *tag*, one of `tags`."""
        return self._translations[tag]

    def text(self, tag: str, message: str) -> str:
        """*message* in the language *tag*; as it is if the catalogue does not know it."""
        return self._translations[tag].gettext(message) if message else ""

    def preferred(self, accept: str) -> str:
        """The language that an Accept-Language header likes best (RFC 9110, section 12.5.4)."""
        liked: list[tuple[float, str]] = []
        for each in accept[:1_000].split(","):
            name, _, parameters = each.strip().partition(";")
            weight = parameters.strip().removeprefix("q=") or "1"
            try:
                liked.append((float(weight), name.partition("-")[0].strip().lower()))
            except ValueError:
                continue
        for likes, tag in sorted(liked, key=lambda each: -each[0]):
            if likes > 0 and tag in self.tags:
                return tag
        return SOURCE

    def names(self) -> tuple[tuple[str, str], ...]:
        """Every tag with the language's own name."""
        return tuple((tag, self.text(tag, _OWN_NAME)) for tag in self.tags)

    def direction(self, tag: str) -> str:
        """How *tag* is written: "ltr" or "rtl"."""
        return self.text(tag, _DIRECTION)


def choose(texts: Mapping[str, str], tag: str) -> str:
    """Of a map by language tag the text for *tag*, else for English, else the first one."""
    return texts.get(spoken(texts, tag), "")


def spoken(texts: Mapping[str, str], tag: str) -> str:
    """The language that `choose` gives: *tag* if *texts* have it, else English, else the first."""
    return next((each for each in (tag, SOURCE) if texts.get(each)), next(iter(texts), tag))


def _merged(files: Sequence[Path]) -> gettext.NullTranslations:
    merged: gettext.NullTranslations = gettext.NullTranslations()
    for path in files:
        found = _compiled(path)
        found.add_fallback(merged)
        merged = found
    return merged


def _compiled(path: Path) -> gettext.GNUTranslations:
    return gettext.GNUTranslations(BytesIO(_mo(path)))


@lru_cache
def _mo(path: Path) -> bytes:
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.stem)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    return compiled.getvalue()
