"""What the operator can see of a wallet: said of the tables as they are, not as they were meant.

Every column of both databases is readable, sealed, or a fingerprint. One that nobody has described
counts as readable, so that a new column can only make this page say too much; a test wants words
for each. Specification: WALLET_SECURITY 2 and 3; PAIN_POINTS 1, number 15.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Table

from shared.runtime.languages import mark

from .shares import tables as share_tables
from .tables import metadata

_SEALED = frozenset(
    {
        "wallets.spent",
        "wraps.blob",
        "sessions.sealed_key",
        "approvals.payload",
        "credentials.sealed",
        "credentials.labels",
        "pictures.sealed",
        "copies.sealed",
        "copies.key_blob",
        "issuances.sealed",
        "presentations.sealed",
        "renewals.sealed",
        "spare_keys.sealed",
        "spare_keys.key_blob",
        "log_entries.head",
        "log_entries.body",
        "shares.blob",
    }
)
"""Under a key that comes with the citizen; `wraps` and `shares` each under a second one."""

_FINGERPRINTS = frozenset(
    {
        "wallets.log_head",
        "wallets.unlockers_mac",
        "sessions.token_hash",
        "approvals.payload_hash",
        "issuances.request_key",
        "presentations.request_key",
        "callbacks.hash",
        "log_entries.body_hash",
        "log_entries.previous_hash",
        "log_entries.entry_hash",
        "codes.mac",
    }
)
"""Hashes and MACs: they show that something is the same, never what it is."""

TITLES = {
    "wallets": mark("Your wallet: that it exists, its language, on which day it was made"),
    "unlockers": mark("Your passkeys and your recovery code: their public halves"),
    "wraps": mark("Your two keys, locked twice: once by you, once by us"),
    "shares": mark("Our lock, in a database of its own; destroyed first when you leave"),
    "sessions": mark("Where your wallet is open, by the hour"),
    "approvals": mark("What you are asked to approve: only of which kind, and whether you did"),
    "credentials": mark("Your documents: only how many"),
    "pictures": mark("The pictures on your documents"),
    "copies": mark("The copies of your documents: how many, and whether one was used"),
    "spare_keys": mark("Keys for copies to come"),
    "issuances": mark("Documents that you are receiving: only how far it is"),
    "presentations": mark("Documents that you are showing: only how far it is"),
    "renewals": mark("What renews your documents: only from when it may be tried"),
    "callbacks": mark("Sign-ins at agencies that you have begun"),
    "log_entries": mark("Your history: only how many entries"),
    "attestation_status": mark("That a wallet vouched for by us is in order"),
    "codes": mark("Your two codes: only whether a recovery has begun"),
}


@dataclass
class Seen:
    """One table as the page shows it."""

    title: str
    readable: list[str] = field(default_factory=list)
    sealed: list[str] = field(default_factory=list)
    fingerprints: list[str] = field(default_factory=list)


def tables_of_wallets() -> Iterator[Table]:
    """All tables with rows of one wallet, in both databases."""
    found = [*metadata.tables.values(), *share_tables.metadata.tables.values()]
    yield from (each for each in found if each.name == "wallets" or "wallet" in each.columns)


def seen() -> list[Seen]:
    """Everything that is kept of one wallet, table by table."""
    order = [*TITLES]
    tables = sorted(
        tables_of_wallets(),
        key=lambda each: order.index(each.name) if each.name in TITLES else len(order),
    )
    return [_seen(each) for each in tables]


def _seen(table: Table) -> Seen:
    shown = Seen(TITLES.get(table.name, table.name))
    for column in table.columns:
        name = f"{table.name}.{column.name}"
        if name in _SEALED:
            shown.sealed.append(column.name)
        elif name in _FINGERPRINTS:
            shown.fingerprints.append(column.name)
        else:
            shown.readable.append(column.name)
    return shown
