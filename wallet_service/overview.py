"""The first screen of an open wallet: cards, what needs doing, what is under way."""

from datetime import datetime

from sqlalchemy import Table, select, update

from shared.encoding import JsonValue, b64url_encode, to_numeric_date

from . import flows, holding
from .context import Wallet
from .tables import codes, issuances, presentations, unlockers, wallets
from .vault import OpenWallet

_UNDER_WAY = ("tx_code", "preview", "accepted", "requesting", "review", "consent", "answered")


def overview(wallet: Wallet, opened: OpenWallet, *, now: datetime) -> dict[str, JsonValue]:
    """Cards with their state in words, version and log head, unlockers, notices, open flows."""
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
    left = holding.copies_left(wallet, opened)
    notices: list[JsonValue] = []
    if not row["backed_up"]:
        notices.append({"code": "second_unlocker_needed"})
    if recovering is not None:
        notices.append({"code": "recovery_begun", "not_before": to_numeric_date(recovering)})
    if row["state"] == "frozen":
        notices.append({"code": "wallet_frozen"})
    return {
        "wallet": opened.id,
        "state": row["state"],
        "locale": row["locale"],
        "wallet_version": row["version"],
        "log_head": b64url_encode(row["log_head"]),
        "cards": [
            holding.summary(card, locale=row["locale"], left=left.get(card.id, 0), now=now)
            for card in holding.cards(wallet, opened)
        ],
        "unlockers": [
            {"id": each.id, "kind": each.kind, "this_one": each.id == opened.unlocker}
            for each in known
        ],
        "notices": notices,
        "under_way": [
            *_under_way(wallet, opened, issuances, "issuance", now=now),
            *_under_way(wallet, opened, presentations, "presentation", now=now),
        ],
    }


def set_locale(wallet: Wallet, opened: OpenWallet, locale: str) -> None:
    """The citizen reads another language from now on."""
    with wallet.database.single() as connection:
        connection.execute(update(wallets).where(wallets.c.id == opened.id).values(locale=locale))


def _under_way(
    wallet: Wallet, opened: OpenWallet, table: Table, kind: str, *, now: datetime
) -> list[JsonValue]:
    found = flows.under_way(wallet, opened, table, _UNDER_WAY, now=now)
    return [{"kind": kind, "id": flow.id, "step": flow.step} for flow in found]
