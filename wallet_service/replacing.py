"""The same document twice: which card a new one replaces, what differs, which are one to people.

A card is another issue of one that is held if the same agency issued the same type in the same
format to the same person. Whether it is the same person shows only in its content: so the citizen
agrees to the exchange when accepting, and a card that then turns out to be somebody else's stays
beside the old one. Formats of one document that an agency issues for different readers are one card
to people. Everything here looks at opened cards and decides nothing alone.

Specification: PAIN_POINTS 16 and 19; WALLET_SECURITY 4 and 6.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.encoding import JsonValue

from . import labelling
from .labelling import Labels

_NUMBER = ("personal_administrative_number",)
_PERSON = (("family_name",), ("given_name",), ("birthdate", "birth_date"))
"""What tells people apart; the names that formats have for one thing stand together."""


def same_kind(held: Mapping[str, Any], entity: str, part: Mapping[str, Any]) -> bool:
    """Whether a new document of *entity*, as *part* says, would be another issue of *held*."""
    of = (held["issuer"]["entity"], held["format"], held["type"])
    return of == (entity, part["format"], part["type"])


def same_person(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether nothing in the claims of two cards says that they are about different people."""
    number, another = _said(one, _NUMBER), _said(other, _NUMBER)
    if number is not None and another is not None:
        return number == another
    pairs = [(_said(one, names), _said(other, names)) for names in _PERSON]
    return all(a == b for a, b in pairs if a is not None and b is not None)


def changed(
    old: Mapping[str, JsonValue], new: Mapping[str, JsonValue], labels: Labels, *, locale: str
) -> list[JsonValue]:
    """The labels of what *new* says differently, has more or has no more."""
    found: dict[str, None] = {}
    before, after = (_by_path(each, labels, locale) for each in (old, new))
    for path, claim in (before | after).items():
        if before.get(path) != after.get(path):
            found[claim["label"]] = None
    return list(found)


def groups(cards: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Ids of cards that are one document to people, each once, in the order they came.

    One document: the same agency, the same name in a language both have, nothing that tells two
    people apart, and no format twice.
    """
    found: list[tuple[list[str], set[str]]] = []  # ids, and the formats they have
    for card_id, data in cards.items():
        for ids, formats in found:
            if data["format"] in formats:
                continue
            if all(_one_document(cards[each], data) for each in ids):
                ids.append(card_id)
                formats.add(data["format"])
                break
        else:
            found.append(([card_id], {data["format"]}))
    return [ids for ids, _ in found]


def _one_document(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return (
        one["issuer"]["entity"] == other["issuer"]["entity"]
        and any(other["names"].get(tag) == name for tag, name in one["names"].items())
        and same_person(one["claims"], other["claims"])
    )


def _by_path(
    claims: Mapping[str, JsonValue], labels: Labels, locale: str
) -> dict[tuple[object, ...], dict[str, Any]]:
    shown: list[Any] = labelling.claims_shown(claims, labels, locale=locale)
    return {tuple(each["path"]): each for each in shown}


def _said(claims: Mapping[str, Any], names: Sequence[str]) -> object:
    """The value of the first of *names* at the top, or in the namespaces of an mdoc."""
    inside = [each for each in claims.values() if isinstance(each, Mapping)]
    for place in (claims, *inside):
        for name in names:
            if place.get(name) not in (None, ""):
                return place[name]
    return None
