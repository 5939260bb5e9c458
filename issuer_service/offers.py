"""Offers as rows: what they hold sealed, in which state they are, how an agency sees them.

What an offer carries in secret (its codes, the reference to a person, claims that the caller gave)
lies sealed in its row until the offer ends, then is erased.
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
from shared.oid4vci.offer import (
    AuthorizationCodeGrant,
    CredentialOffer,
    Grants,
    PreAuthorizedGrant,
    TxCode,
    offer_link,
)

from .context import Issuer, Tenant, row_id
from .paging import before, cursor
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
    """What a row holds sealed.

    Attributes:
        code: the Pre-Authorized Code; without a *tx_code* the `issuer_state` instead, and the
            person has to log in.
    """

    code: str
    reference: str
    tx_code: str | None
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
        return CredentialOffer(
            credential_issuer=tenant.identifier,
            credential_configuration_ids=tuple(configuration_ids),
            grants=self._grants(),
        )

    def _grants(self) -> Grants:
        if self.tx_code is None:
            return Grants(authorization_code=AuthorizationCodeGrant(issuer_state=self.code))
        shape = TxCode(
            input_mode=self.input_mode, length=len(self.tx_code), description=self.description
        )
        grant = PreAuthorizedGrant(pre_authorized_code=self.code, tx_code=shape)
        return Grants(pre_authorized=grant)

    def secret_columns(self, issuer: Issuer) -> dict[str, object]:
        """What of it a row is found and judged by, hashed."""
        by_login = self.tx_code is None
        code_hash = issuer_state_hash(self.code) if by_login else hashed(self.code)
        return {
            "reference_hash": hashed(self.reference),
            "code_hash": code_hash,
            "tx_code": issuer.secrets.tx_code(code_hash, self.tx_code or ""),
            "tries": 0,
        }


def hashed(secret: str) -> bytes:
    """A code or token as it is stored (S-01)."""
    return hashlib.sha256(secret.encode()).digest()


def issuer_state_hash(issuer_state: str) -> bytes:
    """An `issuer_state` as it is stored; never that of a Pre-Authorized Code."""
    return hashed(f"issuer_state {issuer_state}")


def read_row(connection: Connection, tenant: Tenant, offer_id: str) -> RowMapping:
    """The row of one offer; raises NotFound if this tenant has no such one."""
    row = (
        connection.execute(SELECT.where(offers.c.tenant == tenant.name, offers.c.id == offer_id))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFound("offer: unknown")
    return row


def content_of(issuer: Issuer, tenant: Tenant, row: Row) -> Content | None:
    """What *row* holds sealed; None once it was erased."""
    if not row["content"]:
        return None
    return Content.open(issuer, tenant.name, row["id"], row["content"])


def state_of(row: Row, now: datetime) -> State:
    """The state that an agency is told."""
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


class OfferPage(BaseModel):
    """Some offers, and the cursor of the next ones if there are more."""

    offers: list[OfferView]
    next: str | None = None


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
            "haip_vci": shown.link.replace("openid-credential-offer", "haip-vci", 1),
        }
        shown.qr = f"{issuer.settings.public_url}/api/v1/{tenant.name}/offers/{row['id']}/qr.svg"
        if with_tx_code:
            shown.credential_offer = content.offer(tenant, credentials)
            shown.tx_code = content.tx_code
    return shown


def get(issuer: Issuer, tenant: Tenant, offer_id: str, *, with_tx_code: bool = False) -> OfferView:
    """One offer as the agency sees it; its links as long as it can be collected.

    Raises:
        NotFound: this tenant has no such offer.
    """
    with issuer.database.reading() as connection:
        row = read_row(connection, tenant, offer_id)
    content = content_of(issuer, tenant, row)
    return view(issuer, tenant, row, content, issuer.clock(), with_tx_code=with_tx_code)


def with_subject(issuer: Issuer, tenant: Tenant, offer_id: str) -> tuple[OfferView, str | None]:
    """As `get`, and the reference of whom it is about while the offer still holds it."""
    with issuer.database.reading() as connection:
        row = read_row(connection, tenant, offer_id)
    content = content_of(issuer, tenant, row)
    shown = view(issuer, tenant, row, content, issuer.clock())
    return shown, content.subject if content is not None else None


def page(
    issuer: Issuer, tenant: Tenant, *, limit: int, after: str | None, subject: str | None = None
) -> OfferPage:
    """At most *limit* offers, of one person or of all, newest first, from *after* on."""
    statement = SELECT.where(offers.c.tenant == tenant.name)
    if subject is not None:
        person = issuer.secrets.person(tenant.name, subject)
        statement = statement.where(offers.c.subject == person)
    if after is not None:
        statement = statement.where(before(offers, "created_at", after))
    statement = statement.order_by(offers.c.created_at.desc(), offers.c.id.desc())
    with issuer.database.reading() as connection:
        rows = connection.execute(statement.limit(limit + 1)).mappings().all()
    now = issuer.clock()
    shown = [view(issuer, tenant, row, None, now) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return OfferPage(offers=shown, next=last and cursor(last["created_at"], last["id"]))


def by_reference(issuer: Issuer, tenant: Tenant, reference: str) -> CredentialOffer:
    """The Credential Offer under the unguessable *reference* of its own URI (I-23).

    Raises:
        NotFound: unknown, expired, redeemed or cancelled: the same answer for all (S-42).
    """
    with issuer.database.reading() as connection:
        row = (
            connection.execute(
                SELECT.where(
                    offers.c.tenant == tenant.name,
                    offers.c.id == row_id("off", reference),
                    offers.c.reference_hash == hashed(reference),
                )
            )
            .mappings()
            .one_or_none()
        )
    if row is None or state_of(row, issuer.clock()) != "open":
        raise NotFound("offer: not open under this reference")
    content = Content.open(issuer, tenant.name, row["id"], row["content"])
    return content.offer(tenant, row["configuration_ids"].split())
