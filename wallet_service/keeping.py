"""Rows of a card that was checked: itself, its copies, spare keys, and what renews it.

The refresh token lies apart from the card, so that opening a wallet does not open it; all cards of
one flow hold the same one (`refresh_tokens.py`), and a renewed card leaves it as it is. Spare keys
have no credential yet; each becomes a copy when its agency refills the card (`renewing.py`).

Specification: WALLET_SECURITY, sections 2 and 3; PROFILE W-43 to W-45.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from shared.encoding import b64url_decode, start_of_day
from shared.runtime.database import once

from . import labelling, picturing
from .flows import Flow
from .tables import copies, credentials, renewals, spare_keys
from .vault import OpenWallet

_NOT_OF_THE_CARD = frozenset({"copies", "labels", "configuration", "pictures"})


def store(
    connection: Connection,
    opened: OpenWallet,
    card_id: str,
    flow: Flow,
    data: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    """Everything of one received card, within the transaction that keeps it."""
    state = flow.state
    connection.execute(
        insert(credentials).values(
            id=card_id,
            wallet=opened.id,
            sealed=opened.seal(credentials, card_id, card_of(data)),
            labels=labelling.seal_labels(opened, card_id, data["labels"]),
        )
    )
    picturing.store(connection, opened, card_id, data.get("pictures", {}))
    add_copies(connection, opened, card_id, data["copies"], _blobs(state["copies"]))
    if not _renewable(connection, opened, card_id, flow, data, now=now):
        return
    rows = [
        {
            "id": copy,
            "wallet": opened.id,
            "credential": card_id,
            "sealed": opened.seal(spare_keys, copy, {"jwk": each["jwk"]}),
            "key_blob": b64url_decode(each["key_blob"]),
        }
        for copy, each in state["spares"].items()
        if each["configuration"] == data["configuration"]
    ]
    if rows:
        connection.execute(insert(spare_keys), rows)


def _renewable(
    connection: Connection,
    opened: OpenWallet,
    card_id: str,
    flow: Flow,
    data: Mapping[str, Any],
    *,
    now: datetime,
) -> bool:
    """What renews the card is stored; a renewed one keeps what it has, if it still has it."""
    state, today = flow.state, start_of_day(now)
    if state.get("replaces") is not None:
        mine = update(renewals).where(
            renewals.c.credential == card_id, renewals.c.wallet == opened.id
        )
        return once(connection, mine.values(not_before=today))
    if state["refresh_token"] is None:
        return False
    names = ("issuer", "entity", "server", "line", "refresh_token", "identifiers")
    renewal = {
        **{name: state[name] for name in names},
        "configuration": data["configuration"],
        "authorization": flow.id,
        "busy": None,
    }
    connection.execute(
        insert(renewals).values(
            credential=card_id,
            wallet=opened.id,
            sealed=opened.seal(renewals, card_id, renewal),
            not_before=today,
        )
    )
    return True


def card_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a card's own row holds of it."""
    return {name: value for name, value in data.items() if name not in _NOT_OF_THE_CARD}


def add_copies(
    connection: Connection,
    opened: OpenWallet,
    card_id: str,
    held: Mapping[str, str],
    blobs: Mapping[str, bytes],
) -> None:
    """New copies, shown to nobody, each with its sealed key."""
    connection.execute(
        insert(copies),
        [
            {
                "id": copy,
                "wallet": opened.id,
                "credential": card_id,
                "state": "fresh",
                "uses": 0,
                "sealed": opened.seal(copies, copy, {"held": each, "shown_to": []}),
                "key_blob": blobs[copy],
            }
            for copy, each in held.items()
        ],
    )


def _blobs(keys: Mapping[str, Mapping[str, Any]]) -> dict[str, bytes]:
    return {copy: b64url_decode(each["key_blob"]) for copy, each in keys.items()}
