"""What the wallet holds: cards with their state in words, details, keeping and deleting.

A card is one sealed row with everything a screen or a query needs, so that opening a wallet
decrypts each card once and parses no credential. The state of a card is what the last look at its
issuer's status list said (`refreshing.py`); showing or presenting a card never causes a fetch
(DESIGN 6.1).

Specification: WALLET_SECURITY, sections 3, 6 and 7; PROFILE W-44, W-46.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, select

from shared.encoding import JsonValue, b64url_decode, to_numeric_date
from shared.errors import NotFound
from shared.formats.credential import Candidate

from . import (
    approving,
    flows,
    keeping,
    labelling,
    logbook,
    obtaining,
    picturing,
    replacing,
    wording,
)
from .approving import Approved
from .context import Wallet
from .flows import Flow
from .labelling import Labels
from .registering import new_id
from .tables import (
    copies,
    credentials,
    issuances,
    pictures,
    renewals,
    spare_keys,
    wallets,
)
from .vault import OpenWallet

_WITH_IT = (copies, spare_keys, renewals, pictures)
_CARDS = select(credentials.c.id, credentials.c.sealed).where(
    credentials.c.wallet == bindparam("wallet")
)


@dataclass(frozen=True, slots=True)
class Card:
    """One credential of the wallet, opened."""

    id: str
    data: dict[str, Any]

    def candidate(self) -> Candidate:
        """As a query sees it (Q-10 to Q-14)."""
        data = self.data
        return Candidate(
            id=self.id,
            format=data["format"],
            type=data["type"],
            claims=data["claims"],
            authority_key_ids=frozenset(b64url_decode(each) for each in data["authority_key_ids"]),
            holder_bound=True,
        )

    def badge(self, now: datetime) -> str:
        """The state as a code: one of `wording.BADGES`."""
        moment, data = to_numeric_date(now), self.data
        if data["expires_at"] is not None and moment >= data["expires_at"]:
            return "expired"
        if data["not_before"] is not None and moment < data["not_before"]:
            return "not_yet_valid"
        if not data["statuses"]:
            return "valid"
        return str(data.get("status", "not_checked"))

    def usable(self, now: datetime) -> bool:
        """Whether a verifier can be expected to take it."""
        return self.badge(now) in {"valid", "not_checked"}


def cards(wallet: Wallet, opened: OpenWallet) -> list[Card]:
    """All cards of the open wallet, in the order they came."""
    with wallet.database.reading() as connection:
        rows = connection.execute(_CARDS, {"wallet": opened.id}).all()
    found = [Card(row.id, opened.open(credentials, row.id, row.sealed)) for row in rows]
    return sorted(found, key=lambda card: tuple(card.data["place"]))


def card(wallet: Wallet, opened: OpenWallet, card_id: str) -> Card:
    """One card; raises NotFound if it is not one of this wallet."""
    with wallet.database.reading() as connection:
        statement = select(credentials.c.sealed).where(
            credentials.c.id == card_id, credentials.c.wallet == opened.id
        )
        sealed = connection.execute(statement).scalar_one_or_none()
    if sealed is None:
        raise NotFound("card: not one of this wallet")
    return Card(card_id, opened.open(credentials, card_id, sealed))


def copies_left(wallet: Wallet, opened: OpenWallet) -> dict[str, int]:
    """How many unused copies each card has."""
    statement = (
        select(copies.c.credential, func.count())
        .where(copies.c.wallet == opened.id, copies.c.state == "fresh")
        .group_by(copies.c.credential)
    )
    with wallet.database.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(statement)}


def locale_of(wallet: Wallet, opened: OpenWallet) -> str:
    """The citizen's language."""
    with wallet.database.reading() as connection:
        return str(
            connection.execute(
                select(wallets.c.locale).where(wallets.c.id == opened.id)
            ).scalar_one()
        )


def summary(one: Card, *, locale: str, left: int, now: datetime) -> dict[str, JsonValue]:
    """A card as it stands in a list; `label` says all of it in one sentence."""
    data = one.data
    name = wording.choose(data["names"], locale)
    issuer = wording.choose(data["issuer"]["names"], locale)
    badge = one.badge(now)
    word = wording.choose(wording.BADGES[badge], locale)
    return {
        "id": one.id,
        "name": name,
        "issuer": issuer,
        "format": data["format"],
        "type": data["type"],
        "badge": badge,
        "badge_text": word,
        "next_step": wording.choose(wording.NEXT_STEPS.get(badge, {}), locale) or None,
        "label": f"{name}, {issuer}, {word}",
        "expires_at": data["expires_at"],
        "copies_left": left,
        **picturing.shown(one.id, data.get("look")),
    }


def details(
    one: Card, labels: Labels, *, locale: str, left: int, now: datetime
) -> dict[str, JsonValue]:
    """A card with its claims, each under the label of its type in the citizen's language."""
    return {
        **summary(one, locale=locale, left=left, now=now),
        "claims": labelling.claims_shown(one.data["claims"], labels, locale=locale),
        "received": one.data["received"],
        "not_before": one.data["not_before"],
        "status_checked": one.data.get("status_checked"),
    }


def keep(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """The citizen has seen the content and keeps it: stored, logged, issuer told (W-41, W-42)."""
    flows.expect(flow, "review", now=now)
    replaced = flow.state.get("replaces")
    ids = [replaced or new_id(wallet, "crd") for _ in flow.state["checked"]]
    kept: list[JsonValue] = [*ids]
    exchanged = exchanges(wallet, opened, flow.state)
    with wallet.database.transaction() as connection:
        # The step first: of two taps at once the second stops here.
        done = flows.advance(
            connection, opened, issuances, flow, to="stored", state={"credentials": kept}
        )
        version = logbook.head(connection, opened.id).version
        if replaced is not None:
            _erase(connection, opened, replaced, (copies, spare_keys))
        for old in exchanged:
            if old is not None:
                _erase(connection, opened, old.id, _WITH_IT)
        for number, (card_id, data) in enumerate(zip(ids, flow.state["checked"], strict=True)):
            old = exchanged[number]
            place = flow.state.get("place") if old is None else old.data["place"]
            placed = {**data, "place": place or [version, number]}
            keeping.store(connection, opened, card_id, flow, placed, now=now)
        logbook.append(
            connection,
            opened,
            kind="issuance",
            result="stored" if replaced is None else "renewed",
            body={
                "issuer": flow.state["entity"],
                "names": flow.state["entity_names"],
                "types": [each["type"] for each in flow.state["checked"]],
                "credentials": kept,
                "replaced": [old.id for old in exchanged if old is not None],
                **flow.state["receipt"],
            },
            now=now,
        )
    obtaining.notify(wallet, flow.state, "credential_accepted", now=now)
    return done


def exchanges(wallet: Wallet, opened: OpenWallet, state: Mapping[str, Any]) -> list[Card | None]:
    """For each part of a flow at `review` the card it takes the place of, as the citizen agreed.

    A card about somebody else stays, whatever was agreed to.
    """
    agreed = state.get("exchange") or ()
    free = [card for card in cards(wallet, opened) if card.id in agreed] if agreed else []
    found: list[Card | None] = []
    for new in state["checked"]:
        old = next(
            (
                card
                for card in free
                if replacing.same_kind(card.data, state["entity"], new)
                and replacing.same_person(card.data["claims"], new["claims"])
            ),
            None,
        )
        found.append(old)
        free = [card for card in free if card is not old]
    return found


def discard(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """The citizen has seen the content and does not want it (W-42: `credential_deleted`)."""
    flows.expect(flow, "review", now=now)
    done = flows.record(wallet, opened, issuances, flow, to="discarded", state={})
    obtaining.notify(wallet, flow.state, "credential_deleted", now=now)
    return done


def propose_delete(wallet: Wallet, opened: OpenWallet, card_id: str, *, now: datetime) -> str:
    """Deleting a card is approved like everything else; returns the approval's id."""
    one = card(wallet, opened, card_id)
    body: dict[str, JsonValue] = {
        "credential": card_id,
        "names": one.data["names"],
        "issuer": one.data["issuer"]["names"],
    }
    with wallet.database.transaction() as connection:
        return approving.propose(
            wallet, connection, opened, kind="delete_credential", body=body, now=now
        )


def delete_card(wallet: Wallet, opened: OpenWallet, approved: Approved, *, now: datetime) -> None:
    """Destroy the approved card with all its keys."""
    card_id = approved.payload["credential"]
    with wallet.database.transaction() as connection:
        _erase(connection, opened, card_id, _WITH_IT)
        logbook.append(
            connection,
            opened,
            kind="credential_deleted",
            result="done",
            body={
                "credential": card_id,
                "document": approved.payload["names"],
                **approved.receipt(),
            },
            now=now,
        )


def _erase(
    connection: Connection, opened: OpenWallet, card_id: str, with_it: tuple[Table, ...]
) -> None:
    for table in with_it:
        connection.execute(
            delete(table).where(table.c.credential == card_id, table.c.wallet == opened.id)
        )
    connection.execute(
        delete(credentials).where(credentials.c.id == card_id, credentials.c.wallet == opened.id)
    )
