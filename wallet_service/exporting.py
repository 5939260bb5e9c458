"""Everything that moves a wallet elsewhere, for a file that the citizen's browser seals.

The list of documents says where each can be had again, the log what happened; no claim, no key and
no copy is in it: holder keys never leave their wallet, so another one asks each agency anew. The
browser seals it under a code that only the citizen gets (`static/portable.js`).

Specification: DESIGN 2.6; WALLET_SECURITY 4; TS10 1.2, sections 3.17 to 3.19 and 4.2; ARF Mig_01
to Mig_03.
"""

from datetime import datetime

from shared.encoding import JsonValue

from . import approving, holding, logbook
from .approving import Approved
from .context import Wallet
from .holding import Card
from .transactions import identifier, texts, transactions
from .vault import OpenWallet


def propose(wallet: Wallet, opened: OpenWallet, *, now: datetime) -> str:
    """Ask the citizen to approve an export; returns the approval's id."""
    with wallet.database.transaction() as connection:
        return approving.propose(wallet, connection, opened, kind="export", body={}, now=now)


def export(
    wallet: Wallet, opened: OpenWallet, approved: Approved, *, now: datetime
) -> dict[str, JsonValue]:
    """The `MigrationData` of the open wallet; the log says that it was taken."""
    if approved.type != "export":
        raise approving.ApprovalUsed("export: approved for something else")
    with wallet.database.transaction() as connection:
        logbook.append(
            connection, opened, kind="exported", result="done", body=approved.receipt(), now=now
        )
    listed = {
        (e.data["issuer"]["identifier"], e.data["format"], e.data["type"]): e
        for e in holding.cards(wallet, opened)
    }
    return {
        "transactionLog": transactions(wallet, logbook.read(wallet, opened)),
        "listOfCredentials": [_listed(each) for each in listed.values()],
        "nonDeviceBoundCredentials": [],  # every document of this wallet is bound to a key
    }


def _listed(card: Card) -> dict[str, JsonValue]:
    """`CredentialInfo`; beside TS10 its name, for people."""
    issuer = card.data["issuer"]
    return {
        "credentialIdentifier": card.data["type"],
        "credentialName": texts(card.data["names"]),
        "format": card.data["format"],
        "issuerName": texts(issuer["names"]),
        "issuerIdentifier": [identifier(issuer["entity"])],
        "supplyPointURL": issuer["identifier"],
    }
