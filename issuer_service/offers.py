"""Offers as rows: what they hold sealed, in which state they are, how an agency sees them.

What an offer carries in secret (its codes, the reference to a person, claims that the caller gave) lies
sealed in its row until the offer ends, then is erased.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel
from sqlalchemy import Connection, RowMapping, select

from shared.crypto.sealing import open_row, seal_row
from shared.encoding import JsonValue, dump_json
from shared.errors import Conflict, NotFound
from shared.oid4vci.offer import CredentialOffer, Grants, PreAuthorizedGrant, TxCode, offer_link

from .context import Issuer, Tenant
from .tables import grants, offers

MAX_TRIES = 5  # I-51
Row: TypeAlias = "RowMapping | Mapping[str, Any]"
_SCHEMA = 1
_COLLECTED = (
    select(grants.c.id)
    .where(
        grants.c.tenant == offers.c.tenant, grants.c.offer_id == offers.c.id, grants.c.issued > 0
    )
    .exists()
)
SELECT = select(offers, _COLLECTED.label("collected"))
State = Literal["open", "expired", "locked", "redeemed", "collected", "cancelled"]
MOVES: Mapping[State, tuple[str, ...]] = {
    "open": ("cancel", "renew"),
    "expired": ("cancel", "renew"),
    "locked": ("cancel", "renew"),
    "redeemed": ("cancel", "renew"),
    "collected": (),
    "cancelled": (),
}


class OfferEnded(Conflict):
    """Collected or cancelled: nothing can be done with it any more."""

    code = "offer_ended"

    def __init__(self, state: str) -> None:
        super().__init__(f"offer: {state}")
        self.public = f"The offer is {state}: it cannot be changed any more."
        self.next_step = (
            "Revoke the issued credential instead."
            if state == "collected"
            else "Create a new offer."
        )


@dataclass(frozen=True, slots=True)
class Content:
    """What a row holds sealed."""

    code: str
    reference: str
    tx_code: str
    input_mode: Literal["numeric", "text"]
    description: str | None
    subject: str | None
    claims: Mapping[str, Mapping[str, JsonValue]]

    def seal(self, issuer: Issuer, tenant: str, offer_id: str) -> bytes:
        """As it is stored."""
        members: dict[str, JsonValue] = {
            "code": self.code,
            "reference": self.reference,
            "tx_code": self.tx_code,
            "input_mode": self.input_mode,
            "description": self.description,
            "subject": self.subject,
            "claims": self.claims,
        }
        return seal_row(
            issuer.secrets.offers,
            dump_json(members),
            table="offers",
            row=offer_id,
            owner=tenant,
            schema=_SCHEMA,
            random_bytes=issuer.random_bytes,
        )

    @classmethod
    def open(cls, issuer: Issuer, tenant: str, offer_id: str, sealed: bytes) -> "Content":
        """What `seal` sealed."""
        plain = open_row(
            issuer.secrets.offers,
            sealed,
            table="offers",
            row=offer_id,
            owner=tenant,
            schema=_SCHEMA,
        )
        return cls(**json.loads(plain))

    def offer(self, tenant: Tenant, configuration_ids: Sequence[str]) -> CredentialOffer:
        """The Credential Offer itself (section 4.1.1)."""
        shape = TxCode(
            input_mode=self.input_mode, length=len(self.tx_code), description=self.description
        )
        grant = PreAuthorizedGrant(pre_authorized_code=self.code, tx_code=shape)
        return CredentialOffer(
            credential_issuer=tenant.identifier,
            credential_configuration_ids=tuple(configuration_ids),
            grants=Grants(pre_authorized=grant),
        )


def hashed(secret: str) -> bytes:
    """A code or token as it is stored (S-01)."""
    return hashlib.sha256(secret.encode()).digest()


def read_row(connection: Connection, tenant: Tenant, offer_id: str) -> RowMapping:
    row = (
        connection.execute(SELECT.where(offers.c.tenant == tenant.name, offers.c.id == offer_id))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFound("offer: unknown")
    return row


def content_of(issuer: Issuer, tenant: Tenant, row: Row) -> Content | None:
    if not row["content"]:
        return None
    return Content.open(issuer, tenant.name, row["id"], row["content"])


def state_of(row: Row, now: datetime) -> State:
    if row["collected"]:
        return "collected"
    if row["state"] == "open":
        if row["expires_at"] <= now:
            return "expired"
        return "locked" if row["tries"] >= MAX_TRIES else "open"
    return "cancelled" if row["state"] == "cancelled" else "redeemed"


class OfferView(BaseModel):
    """An offer as its agency sees it; links and QR code as long as it can be collected.

    Attributes:
        allowed: what may be done with it now.
        link: for a QR code, a button, an e-mail: it carries a reference, nothing about a person.
        tx_code: only in the answer that made it; it goes to the citizen by another channel.
    """

    offer_id: str
    state: State
    allowed: tuple[str, ...]
    credentials: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime
    credential_offer_uri: str | None = None
    link: str | None = None
    links: dict[str, str] | None = None
    qr: str | None = None
    credential_offer: CredentialOffer | None = None
    tx_code: str | None = None


def view(
    issuer: Issuer,
    tenant: Tenant,
    row: Row,
    content: Content | None,
    now: datetime,
    *,
    with_tx_code: bool = False,
) -> OfferView:
    """The offer in *row*; *content* gives its links, and *with_tx_code* its secrets too."""
    state = state_of(row, now)
    credentials = tuple(row["configuration_ids"].split())
    shown = OfferView(
        offer_id=row["id"],
        state=state,
        allowed=MOVES[state],
        credentials=credentials,
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
    )
    if state == "open" and content is not None:
        uri = f"{tenant.identifier}/offers/{content.reference}"
        shown.credential_offer_uri = uri
        shown.link = offer_link(offer_uri=uri)
        shown.links = {
            "openid_credential_offer": shown.link,
            "haip_vci": offer_link(offer_uri=uri, endpoint="haip-vci://"),
        }
        shown.qr = f"{issuer.settings.public_url}/api/v1/{tenant.name}/offers/{row['id']}/qr.svg"
        if with_tx_code:
            shown.credential_offer = content.offer(tenant, credentials)
            shown.tx_code = content.tx_code
    return shown
