"""The state of each card, from its issuer's status lists, while the wallet is open (W-46).

Lists come through a shared cache that renews what is in use at times of its own, so that neither
opening a wallet nor presenting tells an issuer anything (DESIGN 6.1). What was found is sealed into
the card with the list's `iat`: an older list cannot undo it. The cache is in memory alone, since a
list on disk would name issuers.

Specification: Token Status List, section 8.3; PROFILE ST-50 to ST-56, W-46, S-41.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import update

from shared.encoding import to_numeric_date
from shared.errors import ExpectedError, Revoked, Suspended
from shared.formats import status_cwt, status_list
from shared.formats.status_list import StatusReference, VerifiedStatusList
from shared.runtime.documents import Document
from shared.trust import Entity, Role, TrustList

from . import holding
from .context import Wallet
from .holding import Card
from .tables import credentials
from .vault import OpenWallet

MAX_BYTES = 4 * 1024 * 1024  # S-20
_WORST_FIRST = ("revoked", "suspended", "valid")


def refresh(wallet: Wallet, opened: OpenWallet, *, now: datetime) -> None:
    """Look at every list that the cards of this wallet name; what cannot be had stays as it was."""
    trust = wallet.trust.current()
    for card in holding.cards(wallet, opened):
        found = _look(wallet, trust, card, now=now)
        if found is not None and any(card.data.get(name) != found[name] for name in found):
            sealed = opened.seal(credentials, card.id, {**card.data, **found})
            with wallet.database.single() as connection:
                connection.execute(
                    update(credentials)
                    .where(credentials.c.id == card.id, credentials.c.wallet == opened.id)
                    .values(sealed=sealed)
                )


def _look(wallet: Wallet, trust: TrustList, card: Card, *, now: datetime) -> dict[str, Any] | None:
    if not card.data["statuses"]:
        return None
    states: set[str] = set()
    newest = 0
    try:
        entity = trust.entity_by_id(card.data["issuer"]["entity"])
        for uri, indexes in card.data["statuses"].items():
            found = _list(wallet, trust, entity, uri)
            newest = max(newest, to_numeric_date(found.issued_at))
            states |= {_state(found, StatusReference(each, uri), now=now) for each in indexes}
    except ExpectedError:
        return None
    if newest < card.data.get("status_issued", 0):
        return None
    state = next(each for each in _WORST_FIRST if each in states)
    return {
        "status": state,
        "status_issued": newest,
        "status_checked": to_numeric_date(now),
    }


def _list(wallet: Wallet, trust: TrustList, entity: Entity, uri: str) -> VerifiedStatusList:
    def verify(body: bytes, moment: datetime) -> Document[VerifiedStatusList]:
        found = status_cwt.verify_token(  # a JWT, too
            body,
            uri=uri,
            anchors=entity.anchors_for(Role.STATUS),
            now=moment,
            algorithms=("ES256",),
            newest=None,
            revoked=trust.revoked,
            pinned=trust.pinned(Role.STATUS, now=moment),
        )
        return Document(found, found.issued_at, found.expires_at, found.ttl)

    return wallet.documents.get(
        uri,
        verify=verify,
        verified_for=(entity.id, trust.version),
        accept=(status_list.MEDIA_TYPE, status_cwt.MEDIA_TYPE),
        max_bytes=MAX_BYTES,
    )


def _state(found: VerifiedStatusList, reference: StatusReference, *, now: datetime) -> str:
    try:
        found.check(reference, now=now)
    except Revoked:
        return "revoked"
    except Suspended:
        return "suspended"
    return "valid"
