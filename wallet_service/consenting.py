"""The consent model: everything a citizen needs to decide, and nothing the request says of itself.

Name, purpose, retention and privacy policy come from the trust list. Optional sets are off until
chosen; what is asked without entitlement is marked claim by claim; the least that answers is
proposed.

Specification: WALLET_SECURITY, section 9; PROFILE W-57, Q-22; PAIN_POINTS 8 and 9.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from shared.encoding import JsonValue, to_numeric_date
from shared.formats.claims_path import ClaimPath
from shared.oid4vp.dcql_matching import Match

from . import labelling, wording
from .holding import Card
from .labelling import Labels
from .presenting import Question


def model(
    asked: Question,
    labels: Mapping[str, Labels],
    *,
    left: Mapping[str, int],
    lacks: Sequence[JsonValue],
    locale: str,
    now: datetime,
) -> dict[str, JsonValue]:
    """What to show for *asked*, in the citizen's language.

    Args:
        asked: the question and what would answer it.
        labels: by type.
        left: unused copies by card.
        lacks: what the wallet would need to have an answer (`lacking`).
        locale: the citizen's language.
        now: when it is shown.
    """
    state = asked.flow.state
    verifier = state["verifier"]
    proposal = asked.proposal(now) if asked.selection.satisfiable else {}
    needed = _needed(asked)
    return {
        "verifier": {
            "name": wording.choose(verifier["names"], locale),
            "entity": verifier["entity"],
            "trust": verifier["trust"],
        },
        "purpose": wording.choose(verifier["purpose_texts"], locale) or None,
        "retention_seconds": verifier["retention_seconds"],
        "privacy_policy": verifier["privacy_policy"],
        "cross_device": state["cross_device"],
        "website": state.get("website"),
        "answer_to": urlsplit(state["response_uri"]).netloc,
        "seconds_left": _seconds_left(state.get("answer_until"), now),
        "possible": asked.answerable,
        "blocked": asked.blocked,
        "lacking": list(lacks),
        "warnings": warnings(state["warnings"], locale),
        "credentials": [
            {
                "query": query_id,
                "chosen": list(proposal.get(query_id, ())),
                "multiple": asked.query.credential(query_id).multiple,
                "required": query_id in needed,
                "options": [
                    {
                        **_option(
                            asked,
                            query_id,
                            each,
                            labels[each.candidate.type],
                            locale=locale,
                            now=now,
                        ),
                        "warnings": warnings(
                            _card_warnings(asked.cards[each.candidate.id], left, now), locale
                        ),
                    }
                    for each in matches
                ],
                "over_asked": [list(path) for path in _over_asked(asked, query_id)],
            }
            for query_id, matches in asked.selection.matches.items()
        ],
        "transactions": [_transaction(each, locale=locale) for each in state["transactions"]],
        "sets": [
            {"required": each.required, "options": [list(option) for option in each.options]}
            for each in asked.selection.sets
        ],
        "if_refused": wording.choose(wording.REFUSING, locale),
    }


def warnings(codes: Iterable[str], locale: str) -> list[JsonValue]:
    """Warnings in words."""
    return [
        {"code": code, "text": wording.choose(wording.WARNINGS[code], locale)} for code in codes
    ]


def _card_warnings(card: Card, left: Mapping[str, int], now: datetime) -> list[str]:
    """What choosing this card would add to the warnings of the approval."""
    found = {"card_not_valid": not card.usable(now), "copy_reused": not left.get(card.id)}
    return [code for code, applies in found.items() if applies]


def _seconds_left(until: int | None, now: datetime) -> int | None:
    """How long the agency still waits, whatever the device's own clock says; None if for ever."""
    return None if until is None else max(0, until - to_numeric_date(now))


def _needed(asked: Question) -> set[str]:
    """The Credential Queries without which there is no answer: no option of theirs is left out."""
    return {
        query_id
        for each in asked.query.sets
        if each.required
        for query_id in set.intersection(*(set(option) for option in each.options))
    }


def _transaction(entry: Mapping[str, Any], *, locale: str) -> dict[str, JsonValue]:
    """What the citizen confirms beside the claims, in the agency's own words (HB-34)."""
    details = entry["details"]
    return {
        "type": entry["type"],
        "text": wording.choose(details["texts"], locale),
        "reference": details.get("reference"),
        "credential_ids": entry["credential_ids"],
    }


def _option(
    asked: Question,
    query_id: str,
    match: Match,
    labels: Labels,
    *,
    locale: str,
    now: datetime,
) -> dict[str, JsonValue]:
    card = asked.cards[match.candidate.id]
    data, badge = card.data, card.badge(now)
    over_asked = _over_asked(asked, query_id)
    claims: list[JsonValue] = [
        {
            "path": list(path),
            **labelling.labelled_value(labels, path, value, locale=locale),
            "entitled": not any(_covers(each, path) for each in over_asked),
        }
        for path, value in match.found
    ]
    always: list[JsonValue] = [
        {
            "path": [name],
            **labelling.labelled_value(labels, (name,), value, locale=locale),
        }
        for name, value in data["always"].items()
        if (name,) not in match.paths
    ]
    return {
        "credential": card.id,
        "name": wording.choose(data["names"], locale),
        "issuer": wording.choose(data["issuer"]["names"], locale),
        "badge": badge,
        "badge_text": wording.choose(wording.BADGES[badge], locale),
        "claims": claims,
        "always_disclosed": always,
    }


def _over_asked(asked: Question, query_id: str) -> list[ClaimPath]:
    return [
        tuple(path) for asked_by, path in asked.flow.state["over_asked"] if asked_by == query_id
    ]


def _covers(asked: ClaimPath, found: ClaimPath) -> bool:
    return len(asked) == len(found) and all(
        ours == theirs or (ours is None and isinstance(theirs, int))
        for ours, theirs in zip(asked, found, strict=True)
    )
