"""The log as its citizen reads it: with whom, why, which data, and what can be done about it.

`logbook` keeps and checks the entries; here they get names and labels in the citizen's language.
Labels come from the cards that are still held: of a deleted one its name and the claims' own names
remain. Specification: DESIGN, journey 7; WALLET_SECURITY 8; TS7 and TS8 of the EUDI wallet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from babel.dates import format_datetime

from shared.encoding import JsonValue, from_numeric_date
from shared.errors import NotFound

from . import contacting, holding, labelling, letters, logbook, saying, wording
from .context import Wallet
from .labelling import Labels
from .logbook import Entry
from .vault import OpenWallet

_REQUESTS: Mapping[str, letters.Kind] = {"erasure_asked": "erasure", "authority_told": "report"}
"""Types of log entries, and the letters they remember."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """What is needed to say in words what entries hold."""

    locale: str
    names: Mapping[str, Mapping[str, str]]  # of the cards still held
    labels: Mapping[str, Labels]

    def party(self, body: Mapping[str, Any]) -> dict[str, JsonValue] | None:
        """The other side: who asked, or who issued."""
        verifier = body.get("verifier")
        if verifier is not None:
            return {
                "entity": verifier["entity"],
                "name": wording.choose(verifier["names"], self.locale),
            }
        if "names" in body and "issuer" in body:
            return {"entity": body["issuer"], "name": wording.choose(body["names"], self.locale)}
        return None

    def documents(self, body: Mapping[str, Any]) -> list[JsonValue]:
        """What was received, shown or deleted, and of what was shown which claims."""
        if "items" in body:
            return [self._shown(each) for each in body["items"]]
        if "credentials" in body:
            pairs = zip(body["credentials"], body["types"], strict=True)
            return [self._document(card, {}, kind) for card, kind in pairs]
        if "credential" in body:
            return [self._document(body["credential"], body.get("document") or {}, "")]
        return []

    def _document(self, card: str, names: Mapping[str, str], kind: str) -> dict[str, JsonValue]:
        name = wording.choose(self.names.get(card) or names, self.locale) or kind
        return {"credential": card, "name": name, "held": card in self.names, "claims": []}

    def _shown(self, item: Mapping[str, Any]) -> dict[str, JsonValue]:
        labels = self.labels.get(item["credential"], ())
        paths = [tuple(each) for each in (*item["claims"], *([name] for name in item["always"]))]
        said = [labelling.label_of(labels, path, locale=self.locale) for path in paths]
        found = self._document(item["credential"], item.get("names") or {}, item["type"])
        return {**found, "claims": list(dict.fromkeys(said))}


def read(wallet: Wallet, opened: OpenWallet) -> list[JsonValue]:
    """Every entry in words, the newest first."""
    entries = logbook.read(wallet, opened)
    reader = _reader(wallet, opened, entries)
    asked = _asked(entries)
    return [_entry(reader, each, asked) for each in reversed(entries)]


def detail(wallet: Wallet, opened: OpenWallet, seq: int) -> dict[str, JsonValue]:
    """One entry with the contacts of the other side, and letters to send where data was shared."""
    entries = logbook.read(wallet, opened)
    entry = _found(entries, seq)
    reader = _reader(wallet, opened, [entry])
    shown = _entry(reader, entry, _asked(entries))
    body = entry.body or {}
    party = reader.party(body)
    entity = None if party is None else contacting.entity(wallet, str(party["entity"]))
    contacts = contacting.contacts(entity, locale=reader.locale)
    return {**shown, "contacts": contacts, "letters": _letters(reader, entry)}


def remember(
    wallet: Wallet, opened: OpenWallet, seq: int, kind: letters.Kind, *, now: datetime
) -> None:
    """The citizen sends a letter about entry *seq*: the log says when, to whom, about what.

    Specification: TS7, DATA_DLT_05 and DATA_DLT_06.
    """
    entry = _found(logbook.read(wallet, opened), seq)
    if not _shared(entry):
        raise NotFound("history: nothing was shared there")
    body = entry.body or {}
    kept = {name: body[name] for name in ("verifier", "items")}
    named = next(each for each, letter in _REQUESTS.items() if letter == kind)
    with wallet.database.transaction() as connection:
        logbook.append(
            connection,
            opened,
            kind=named,
            result="begun",
            body={"entry": seq, **kept},
            now=now,
        )


def _reader(wallet: Wallet, opened: OpenWallet, entries: Sequence[Entry]) -> _Reader:
    cards = holding.cards(wallet, opened)
    named = {item["credential"] for each in entries for item in (each.body or {}).get("items", ())}
    held = {card.id: card.data["names"] for card in cards}
    labels = labelling.labels_of(wallet, opened, [each for each in held if each in named])
    return _Reader(holding.locale_of(wallet, opened), held, labels)


def _entry(
    reader: _Reader, entry: Entry, asked: Mapping[int, Sequence[JsonValue]]
) -> dict[str, JsonValue]:
    body = entry.body or {}
    purposes = (body.get("verifier") or {}).get("purpose_texts") or {}
    return {
        "seq": entry.seq,
        "time": entry.time,
        "type": entry.type,
        "result": entry.result,
        "forgotten": entry.body is None,
        "about": body.get("entry", body.get("seq")),
        "party": reader.party(body),
        "purpose": wording.choose(purposes, reader.locale) or None,
        "documents": reader.documents(body),
        "warnings": [
            wording.choose(wording.WARNINGS[code], reader.locale)
            for code in body.get("warnings", ())
        ],
        "asked": list(asked.get(entry.seq, ())),
    }


def _letters(reader: _Reader, entry: Entry) -> dict[str, JsonValue] | None:
    if not _shared(entry):
        return None
    body = entry.body or {}
    said: dict[str, Any] = _entry(reader, entry, {})
    moment = format_datetime(
        from_numeric_date(entry.time), "long", locale=saying.locale_of(reader.locale)
    )
    claims = [label for each in said["documents"] for label in each["claims"]]
    return {
        kind: letters.letter(
            kind,
            agency=wording.choose(body["verifier"]["names"], reader.locale),
            moment=moment,
            purpose=said["purpose"] or "",
            claims=list(dict.fromkeys(claims)),
            locale=reader.locale,
        )
        for kind in _REQUESTS.values()
    }


def _asked(entries: Sequence[Entry]) -> dict[int, list[JsonValue]]:
    """By entry, what was asked for about it and when."""
    found: dict[int, list[JsonValue]] = {}
    for each in entries:
        if each.type in _REQUESTS and each.body is not None:
            asked: JsonValue = {"kind": _REQUESTS[each.type], "time": each.time}
            found.setdefault(each.body["entry"], []).append(asked)
    return found


def _shared(entry: Entry) -> bool:
    return entry.type == "presentation" and entry.result == "shared" and entry.body is not None


def _found(entries: Sequence[Entry], seq: int) -> Entry:
    if not 1 <= seq <= len(entries):
        raise NotFound("history: no such entry")
    return entries[seq - 1]
