"""What the wallet lacks when it has no answer: which documents, and who issues them.

Everything is known here already: the query, the cards, the trust list. Nothing is fetched, so
nobody learns that there was no match: neither who asked nor who could issue (S-42).

Specification: OpenID4VP 1.0, section 6.4.2; PAIN_POINTS 5 and 7.
"""

from collections.abc import Iterable
from datetime import datetime

from shared.encoding import JsonValue
from shared.oid4vp.dcql import CredentialQuery
from shared.trust import Entity, TrustList

from . import contacting, wording
from .presenting import Question


def lacking(
    asked: Question, trust: TrustList | None, *, locale: str, now: datetime
) -> list[JsonValue]:
    """For each part of the question that nothing answers: the ways to answer it.

    Each way is the list of documents that are missing for it: `name` (None if there is no word for
    the type), `type`, whether one is `held` that does not say what is asked, and `issuers`.
    """
    found: list[JsonValue] = []
    for wanted, choice in zip(asked.query.sets, asked.selection.sets, strict=True):
        if not wanted.required or choice.options:
            continue
        ways: list[JsonValue] = []
        for option in wanted.options:
            missing = [each for each in option if not asked.selection.matches[each]]
            way = _distinct(
                _document(asked, trust, asked.query.credential(each), locale=locale, now=now)
                for each in missing
            )
            if way not in ways:
                ways.append(way)
        found.append(ways)
    return found


def _distinct(documents: Iterable[dict[str, JsonValue]]) -> list[JsonValue]:
    """Formats of one document are one to people."""
    found: dict[JsonValue, dict[str, JsonValue]] = {}
    for each in documents:
        found.setdefault(each["name"] or each["type"], each)
    return list(found.values())


def _document(
    asked: Question,
    trust: TrustList | None,
    query: CredentialQuery,
    *,
    locale: str,
    now: datetime,
) -> dict[str, JsonValue]:
    types = query.types or ()
    held = [card for card in asked.cards.values() if card.data["type"] in types]
    names = held[0].data["names"] if held else _words(types)
    return {
        "name": wording.choose(names, locale) or None,
        "type": types[0] if types else None,
        "held": any(card.data["format"] == query.format for card in held),
        "issuers": [
            {
                "name": wording.choose(each.names, locale),
                "identifiers": list(each.credential_issuers),
                "format": query.format,
                "contact": contacting.contacts(each, locale=locale)["support"],
            }
            for each in _issuers(trust, query, types, now=now)
        ],
    }


def _words(types: Iterable[str]) -> dict[str, str]:
    return next((dict(wording.TYPES[each]) for each in types if each in wording.TYPES), {})


def _issuers(
    trust: TrustList | None, query: CredentialQuery, types: Iterable[str], *, now: datetime
) -> list[Entity]:
    """Who may issue such a document today, as the trust list says."""
    wanted = set(types)
    return [
        entity
        for entity in (() if trust is None else trust.entities)
        if entity.covers(now)
        and any(
            each.format == query.format and each.type in wanted and each.covers(now)
            for each in entity.issues
        )
    ]
