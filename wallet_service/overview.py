"""The first screen of an open wallet: cards, what needs doing, what is under way."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, select, update

from shared.encoding import JsonValue, b64url_encode, to_numeric_date
from shared.errors import ExpectedError

from . import flows, holding, logbook, replacing, wording
from .context import Wallet
from .holding import Card
from .tables import codes, issuances, presentations, renewals, unlockers, wallets
from .vault import OpenWallet

_UNDER_WAY = (
    "tx_code",
    "sign_in",
    "authorizing",
    "redeeming",
    "preview",
    "accepted",
    "requesting",
    "deferred",
    "review",
    "consent",
    "answered",
)
_SOON = timedelta(days=30)  # before its end a card is spoken of
_RECENT = timedelta(days=14)  # so long a change of the unlockers is spoken of
_OF_UNLOCKERS = ("unlocker_added", "recovered", "code_replaced")


def overview(wallet: Wallet, opened: OpenWallet, *, now: datetime) -> dict[str, JsonValue]:
    """Cards with their state in words, version and log head, unlockers, notices, open flows.

    `documents` says which cards are one to people: formats of the same document.
    """
    with wallet.database.reading() as connection:
        row = connection.execute(select(wallets).where(wallets.c.id == opened.id)).mappings().one()
        recovering = connection.execute(
            select(codes.c.not_before).where(
                codes.c.wallet == opened.id, codes.c.kind == "recovery"
            )
        ).scalar_one_or_none()
        known = connection.execute(
            select(unlockers.c.id, unlockers.c.kind).where(unlockers.c.wallet == opened.id)
        ).all()
        renewing = connection.execute(
            select(renewals.c.credential).where(renewals.c.wallet == opened.id)
        ).scalars()
        renewed = frozenset(renewing)
    cards, left = holding.cards(wallet, opened), holding.copies_left(wallet, opened)
    locale = row["locale"]
    notices: list[JsonValue] = []
    if not row["backed_up"]:
        notices.append({"code": "second_unlocker_needed"})
    if recovering is not None:
        notices.append({"code": "recovery_begun", "not_before": to_numeric_date(recovering)})
    if row["state"] == "frozen":
        notices.append({"code": "wallet_frozen"})
    notices += [
        {"code": kind, "seq": seq, "time": time}
        for seq, time, kind, body in logbook.recent(
            wallet, opened, kinds=_OF_UNLOCKERS, since=now - _RECENT
        )
        if body["unlocker"] != opened.unlocker
    ]
    for card in cards:
        notices += _notices(
            card, left.get(card.id, 0), renews_itself=card.id in renewed, locale=locale, now=now
        )
    return {
        "wallet": opened.id,
        "state": row["state"],
        "locale": locale,
        "test": _is_test(wallet),
        "wallet_version": row["version"],
        "log_head": b64url_encode(row["log_head"]),
        "cards": [
            {
                **holding.summary(card, locale=locale, left=left.get(card.id, 0), now=now),
                "renews_itself": card.id in renewed,
            }
            for card in cards
        ],
        "documents": replacing.groups({card.id: card.data for card in cards}),
        "unlockers": [
            {"id": each.id, "kind": each.kind, "this_one": each.id == opened.unlocker}
            for each in known
        ],
        "notices": notices,
        "under_way": [
            *_under_way(wallet, opened, issuances, "issuance", locale=locale, now=now),
            *_under_way(wallet, opened, presentations, "presentation", locale=locale, now=now),
        ],
    }


def set_locale(wallet: Wallet, opened: OpenWallet, locale: str) -> None:
    """The citizen reads another language from now on."""
    with wallet.database.single() as connection:
        connection.execute(update(wallets).where(wallets.c.id == opened.id).values(locale=locale))


def _is_test(wallet: Wallet) -> bool:
    """Whether what is in this wallet counts in tests and pilots alone (DESIGN 4)."""
    try:
        return wallet.trust.current().is_test
    except ExpectedError:  # the list is too old: nothing is received or shown meanwhile
        return False


def _notices(
    card: Card, left: int, *, renews_itself: bool, locale: str, now: datetime
) -> list[JsonValue]:
    """What its citizen should know about a card: that it does not count, or soon will not."""
    badge, end = card.badge(now), card.data["expires_at"]
    about: dict[str, JsonValue] = {
        "card": card.id,
        "name": wording.choose(card.data["names"], locale),
        "issuer": wording.choose(card.data["issuer"]["names"], locale),
    }
    if badge in wording.NEXT_STEPS:
        text = wording.choose(wording.BADGES[badge], locale)
        step = wording.choose(wording.NEXT_STEPS[badge], locale)
        return [{"code": f"card_{badge}", **about, "text": text, "next_step": step}]
    found: list[JsonValue] = []
    if end is not None and not renews_itself and end - to_numeric_date(now) < _SOON.days * 86400:
        found.append({"code": "card_expires_soon", **about, "expires_at": end})
    if left == 0:
        found.append({"code": "no_copies_left", **about})
    return found


def _under_way(
    wallet: Wallet,
    opened: OpenWallet,
    table: Table,
    kind: str,
    *,
    locale: str,
    now: datetime,
) -> list[JsonValue]:
    found = flows.under_way(wallet, opened, table, _UNDER_WAY, now=now)
    return [
        {
            "kind": kind,
            "id": flow.id,
            "step": flow.step,
            "expires_at": to_numeric_date(flow.expires_at),
            **_about(flow.state, locale),
        }
        for flow in found
    ]


def _about(state: Mapping[str, Any], locale: str) -> dict[str, JsonValue]:
    """With whom and about what a flow is, as far as it says so."""
    if "parts" in state:
        return {
            "party": wording.choose(state["entity_names"], locale),
            "documents": [wording.choose(each["names"], locale) for each in state["parts"]],
            "retry_at": state.get("retry_at"),
            "renews": state.get("replaces"),
        }
    return {"party": wording.choose((state.get("verifier") or {}).get("names", {}), locale)}
