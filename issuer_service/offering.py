"""An agency offers: Credential Offer, Pre-Authorized Code, Transaction Code.

A code is good once. Whoever never collected gets a new one by one call, with the Transaction Code
that is already in the post. OpenID4VCI 1.0, section 4; PROFILE I-20 to I-25.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic import JsonValue as JsonMember
from sqlalchemy import Connection, insert, select, update

from shared.encoding import dump_json
from shared.errors import Conflict, InvalidInput
from shared.oid4vci.offer import offer_link
from shared.runtime.client_credentials import ApiCaller
from shared.runtime.database import once
from shared.runtime.idempotency import Stored, idempotent
from shared.runtime.prepared import Prepared

from . import auditing
from .context import Issuer, Tenant
from .datasets import dataset
from .offers import Content, OfferEnded, OfferView, Row, content_of, get, read_row, view
from .registers import EntryNotReady, RegisterLater, RegisterUnavailable
from .tables import grants, metadata, offers
from .tokens import stop_refreshing

_INSERT = Prepared(insert(offers))
Reference = Annotated[str, Field(min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class WantedTxCode(_Body):
    """The Transaction Code: given by the caller (it is in a letter already), or made here."""

    value: Annotated[str, Field(min_length=4, max_length=64)] | None = None
    length: Annotated[int, Field(ge=4, le=12)] = 6
    input_mode: Literal["numeric", "text"] = "numeric"
    description: Annotated[str, Field(max_length=300)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.value is not None and self.input_mode == "numeric":
            if not (self.value.isascii() and self.value.isdigit()):
                raise ValueError("a numeric code has digits only")
        elif self.value is None and self.input_mode == "text":
            raise ValueError("codes made here are numeric")
        return self


class NewOffer(_Body):
    """What an agency asks for.

    Attributes:
        credentials: ids of configurations.
        subject: the register's reference of the person the claims are about.
        holder: the reference of the person who is to hold the credential, if another one.
        claims: by configuration, given instead of asking the register.
        grant: how the wallet gets its token: with the code in the offer and a Transaction Code, or
            after this person has logged in at the authorization endpoint.
        expires_in: seconds.
        wallet_endpoint: a wallet's own https endpoint for offers, to make a link to (I-24).
    """

    credentials: Annotated[tuple[str, ...], Field(min_length=1, max_length=20)]
    subject: Reference | None = None
    holder: Reference | None = None
    claims: dict[str, dict[str, JsonMember]] = Field(default_factory=dict)
    grant: Literal["pre-authorized_code", "authorization_code"] = "pre-authorized_code"
    tx_code: WantedTxCode = WantedTxCode()
    expires_in: Annotated[int, Field(ge=30)] | None = None
    wallet_endpoint: Annotated[str, Field(pattern=r"^https://[^\s#]+$", max_length=2000)] | None = (
        None
    )

    @model_validator(mode="after")
    def _for_somebody(self) -> Self:
        if self.grant == "authorization_code" and self.subject is None:
            raise ValueError("who logs in has to be the subject, so there must be one")
        return self


class Renewal(_Body):
    """How an offer is renewed; what is not said stays as it was."""

    expires_in: Annotated[int, Field(ge=30)] | None = None
    new_tx_code: bool = False


class UnknownConfiguration(InvalidInput):
    """Not a configuration that this tenant offers."""

    code = "unknown_configuration"
    public = "A credential is not among those that this tenant offers."
    next_step = "Use the keys of credential_configurations_supported."


def _numeric_code(issuer: Issuer, length: int) -> str:
    return str(int.from_bytes(issuer.random_bytes(16), "big") % 10**length).zfill(length)


def _lifetime(issuer: Issuer, wanted: int | None) -> timedelta:
    seconds = issuer.settings.offer_seconds if wanted is None else wanted
    return timedelta(seconds=min(seconds, issuer.settings.offer_seconds_max))


def create(
    issuer: Issuer, tenant: Tenant, caller: ApiCaller, wanted: NewOffer, *, key: str | None
) -> OfferView:
    """Offer credentials to one person; the same *key* with the same request gives the same offer.

    Raises:
        UnknownConfiguration, SubjectUnknown, SubjectRefused, ClaimsNotFitting: nothing was offered.
        Unavailable: the register does not answer; the same request may be sent again.
        KeyReused: the idempotency key belongs to another request.

    Specification: OpenID4VCI 1.0, section 4; PROFILE I-20 to I-23.
    """
    now = issuer.clock()
    for each in wanted.credentials:
        if each not in tenant.configurations:
            raise UnknownConfiguration("offer: a configuration is not this tenant's")
        configuration = tenant.configurations[each]
        try:
            dataset(tenant, configuration, subject=wanted.subject, given=wanted.claims, now=now)
        except RegisterLater as error:  # an offer names a person whom somebody has looked up
            raise RegisterUnavailable("offer: nobody could be looked up") from error
        except EntryNotReady:
            if not configuration.file.deferral_days:
                raise  # otherwise the wallet is asked to come again (I-85)
    offer_id = issuer.new_id("off")
    content = Content(
        code=issuer.new_code(offer_id),
        reference=issuer.new_code(offer_id),
        tx_code=None
        if wanted.grant == "authorization_code"
        else wanted.tx_code.value or _numeric_code(issuer, wanted.tx_code.length),
        input_mode=wanted.tx_code.input_mode,
        description=wanted.tx_code.description,
        subject=wanted.subject,
        claims=wanted.claims,
    )
    subject, holder = wanted.subject, wanted.holder or wanted.subject
    row = {
        "tenant": tenant.name,
        "id": offer_id,
        "state": "open",
        "generation": 0,
        "created_at": now,
        "expires_at": now + _lifetime(issuer, wanted.expires_in),
        "created_by": caller.client_id,
        "configuration_ids": " ".join(dict.fromkeys(wanted.credentials)),
        "subject": subject and issuer.secrets.person(tenant.name, subject),
        "holder": holder and issuer.secrets.person(tenant.name, holder),
        "content": content.seal(issuer, tenant.name, offer_id),
        **content.secret_columns(issuer),
    }

    def act(connection: Connection) -> str:
        _INSERT.changed(connection, row)
        auditing.record(
            issuer, connection, tenant, actor=caller.client_id, act="offer_created", on=offer_id
        )
        return offer_id

    made = _once(
        issuer, tenant, caller, key=key, request=("create", wanted.model_dump_json()), act=act
    )
    if made == offer_id:
        fresh = {**row, "collected": False}
        shown = view(issuer, tenant, fresh, content, now, with_tx_code=True)
    else:
        shown = get(issuer, tenant, made, with_tx_code=True)
    if wanted.wallet_endpoint is not None and shown.links is not None:
        link = offer_link(offer_uri=shown.credential_offer_uri, endpoint=wanted.wallet_endpoint)
        shown.links["wallet"] = link
    return shown


def cancel(
    issuer: Issuer, tenant: Tenant, caller: ApiCaller, offer_id: str, *, key: str | None
) -> OfferView:
    """Withdraw an offer that was not collected; codes and tokens made from it are dead at once.

    Raises:
        NotFound: this tenant has no such offer.
        OfferEnded: collected or cancelled already.
    """
    now = issuer.clock()

    def act(connection: Connection) -> str:
        row = _unended(connection, tenant, offer_id)
        _change(connection, tenant, row, now, {"state": "cancelled", "content": b""})
        auditing.record(
            issuer, connection, tenant, actor=caller.client_id, act="offer_cancelled", on=offer_id
        )
        return offer_id

    _once(issuer, tenant, caller, key=key, request=("cancel", offer_id), act=act)
    return get(issuer, tenant, offer_id)


def renew(
    issuer: Issuer,
    tenant: Tenant,
    caller: ApiCaller,
    offer_id: str,
    wanted: Renewal,
    *,
    key: str | None,
) -> OfferView:
    """Give an uncollected offer new codes and a new life; what was made from the old ones is dead.

    Raises:
        NotFound: this tenant has no such offer.
        OfferEnded: collected or cancelled, or so old that its content was erased.
    """
    now = issuer.clock()

    def act(connection: Connection) -> str:
        row = _unended(connection, tenant, offer_id)
        old = content_of(issuer, tenant, row)
        if old is None:
            raise OfferEnded("erased")
        content = replace(old, code=issuer.new_code(offer_id), reference=issuer.new_code(offer_id))
        if wanted.new_tx_code and old.tx_code is not None:
            fresh = _numeric_code(issuer, max(6, len(old.tx_code)))
            content = replace(content, tx_code=fresh, input_mode="numeric")
        changes = {
            "state": "open",
            "expires_at": now + _lifetime(issuer, wanted.expires_in),
            "content": content.seal(issuer, tenant.name, offer_id),
            **content.secret_columns(issuer),
        }
        _change(connection, tenant, row, now, changes)
        auditing.record(
            issuer, connection, tenant, actor=caller.client_id, act="offer_renewed", on=offer_id
        )
        return offer_id

    _once(
        issuer,
        tenant,
        caller,
        key=key,
        request=("renew", offer_id, wanted.model_dump_json()),
        act=act,
    )
    return get(issuer, tenant, offer_id, with_tx_code=True)


def _unended(connection: Connection, tenant: Tenant, offer_id: str) -> Row:
    row = read_row(connection, tenant, offer_id)
    if row["collected"] or row["state"] == "cancelled":
        raise OfferEnded("collected" if row["collected"] else "cancelled")
    return row


def _change(
    connection: Connection,
    tenant: Tenant,
    row: Row,
    now: datetime,
    changes: Mapping[str, object],
) -> None:
    """Change an uncollected offer and kill its grants, whoever redeems or issues at the same time.

    The order matters: the offer's row first, so that whoever redeems waits or has finished; then
    the grants that issued nothing; then a look at whether one did.
    """
    changed = once(
        connection,
        update(offers)
        .where(
            offers.c.tenant == tenant.name,
            offers.c.id == row["id"],
            offers.c.generation == row["generation"],
            offers.c.state != "cancelled",
        )
        .values(generation=row["generation"] + 1, **changes),
    )
    of_offer = (grants.c.tenant == tenant.name) & (grants.c.offer_id == row["id"])
    stop_refreshing(connection, tenant, row["id"], now)
    connection.execute(
        update(grants)
        .where(of_offer, grants.c.issued == 0, grants.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    if connection.execute(select(grants.c.id).where(of_offer, grants.c.issued > 0)).first():
        raise OfferEnded("collected")
    if not changed:
        raise Conflict("offer: changed by somebody else meanwhile")


def _once(
    issuer: Issuer,
    tenant: Tenant,
    caller: ApiCaller,
    *,
    key: str | None,
    request: tuple[str, ...],
    act: Callable[[Connection], str],
) -> str:
    """Do *act* once for each idempotency *key*; returns the id that it gave the first time.

    Only the id is kept under the key, so no code is stored in the clear for a repeated answer.
    """
    stored = idempotent(
        issuer.database,
        metadata,
        tenant=tenant.name,
        client=caller.client_id,
        key=key,
        request=dump_json(request),
        now=issuer.clock(),
        act=lambda connection: Stored(200, act(connection).encode()),
    )
    return stored.body.decode()
