"""wallet_service/saying.py: what a citizen reads of a claim's value, in their language."""

import pytest

from shared.encoding import JsonValue
from wallet_service.saying import said


@pytest.mark.parametrize(
    ("name", "value", "locale", "text"),
    [
        ("birthdate", "1964-08-12", "en", "August 12, 1964"),
        ("birthdate", "1964-08-12", "de", "12. August 1964"),
        ("birthdate", "1964-08-12", "de-AT", "12. August 1964"),
        ("birthdate", "1964-08-12", "ar", "12 أغسطس 1964"),
        ("birthdate", "1964-08-12", "xx", "August 12, 1964"),
        ("birthdate", "1964-13-12", "en", "1964-13-12"),
        ("birthdate", "2026-01-02T10:00:00Z", "fr", "2 janv. 2026, 10:00:00"),
        ("18", True, "de", "ja"),
        ("18", False, "ar", "لا"),
        ("nationalities", ["FR", "DE", "AV"], "de", "Frankreich, Deutschland, AV"),
        ("nationalities", ["FR", "DE"], "ar", "فرنسا، ألمانيا"),
        ("title", "DE", "de", "DE"),
        ("sex", 2, "en", "female"),
        ("sex", 7, "en", "7"),
        ("floor", 2, "en", "2"),
        ("floor", None, "en", "\N{EN DASH}"),
        ("floor", [], "en", "\N{EN DASH}"),
        ("address", {"locality": "Avelon", "country": "FR"}, "en", "Avelon, France"),
    ],
)
def test_values_are_said_in_words(name: str, value: JsonValue, locale: str, text: str) -> None:
    """PAIN_POINTS 11: dates, yes and no, countries and lists for the locale."""
    assert said(value, ("ns", name), locale=locale) == text
