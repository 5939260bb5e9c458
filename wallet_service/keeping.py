"""Rows of a card that was checked: itself, its copies, spare keys, and what renews it.

The refresh token lies apart from the card, so that opening a wallet does not open it. Spare keys
have no credential yet; each becomes a copy when its agency refills the card (`renewing.py`).

Specification: WALLET_SECURITY, sections 2 and 3; PROFILE W-43 to W-45.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from shared.encoding import b64url_decode, start_of_day

from . import labelling
from .tables import copies, credentials, renewals, spare_keys
from .vault import OpenWallet

_NOT_OF_THE_CARD = frozenset({"copies", "labels", "configuration"})


def store(
    connection: Connection,
    opened: OpenWallet,
    card_id: str,
    state: Mapping[str, Any],
    data: Mapping[str, Any],
    *,
    now: datetime,
) -> None:
    """Everything of one received card, within the transaction that keeps it."""
    connection.execute(
        insert(credentials).values(
            id=card_id,
            wallet=opened.id,
            sealed=opened.seal(credentials, card_id, card_of(data)),
            labels=labelling.seal_labels(opened, card_id, data["labels"]),
        )
    )
    add_copies(connection, opened, card_id, data["copies"], _blobs(state["copies"]))
    if state["refresh_token"] is None:
        return
    configuration = data["configuration"]
    renewal = {
        name: state[name]
        for name in ("issuer", "entity", "server", "line", "refresh_token", "identifiers")
    }
    connection.execute(
        insert(renewals).values(
            credential=card_id,
            wallet=opened.id,
            sealed=opened.seal(
                renewals, card_id, {**renewal, "configuration": configuration, "pending": None}
            ),
            not_before=start_of_day(now),
        )
    )
    rows = [
        {
            "id": copy,
            "wallet": opened.id,
            "credential": card_id,
            "sealed": opened.seal(spare_keys, copy, {"jwk": each["jwk"]}),
            "key_blob": b64url_decode(each["key_blob"]),
        }
        for copy, each in state["spares"].items()
        if each["configuration"] == configuration
    ]
    if rows:
        connection.execute(insert(spare_keys), rows)


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
