"""Authorization requests: pushed by a wallet, opened by a person, granted or refused, once.

A request may be opened any number of times until it is completed; one guarded UPDATE completes it.
`request_uri` and code begin with the id of their row and are stored hashed; who logged in lies
sealed until the code is redeemed. The pages call `begin`, `resume`, `grant` and `refuse`.
OpenID4VCI 1.0, section 5; RFC 9126; RFC 9207; PROFILE I-41, I-46 to I-49.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection, bindparam, insert, select, update

from shared.crypto.sealing import open_row, seal_row
from shared.errors import Forbidden
from shared.oauth.errors import InvalidRequestUri
from shared.runtime.languages import mark
from shared.runtime.prepared import Prepared

from . import auditing
from .context import Issuer, Tenant, row_id
from .offers import hashed
from .tables import authorizations, offers

REQUEST_URI = "urn:ietf:params:oauth:request_uri:"
REQUEST_LIFE = timedelta(seconds=90)  # I-41
LOGIN_LIFE = timedelta(minutes=10)  # I-41: from the first page on
CODE_LIFE = timedelta(seconds=60)  # I-48
_SCHEMA = 1

_PUSH = Prepared(insert(authorizations))
_THIS = (authorizations.c.tenant == bindparam("of_tenant")) & (
    authorizations.c.id == bindparam("of_request")
)
_UNFINISHED = (
    _THIS & authorizations.c.outcome.is_(None) & (authorizations.c.expires_at > bindparam("now"))
)
_FIND = Prepared(
    select(
        *(each for each in authorizations.c if each.name not in {"code_hash", "person"}),
        offers.c.holder,
    )
    .join_from(
        authorizations,
        offers,
        (authorizations.c.tenant == offers.c.tenant) & (authorizations.c.offer_id == offers.c.id),
        isouter=True,
    )
    .where(_THIS)
)
_OPEN = Prepared(
    update(authorizations)
    .where(_UNFINISHED, authorizations.c.opened_at.is_(None))
    .values(opened_at=bindparam("now"), expires_at=bindparam("until"))
)
_GRANT = Prepared(
    update(authorizations)
    .where(_UNFINISHED)
    .values(
        outcome="granted",
        expires_at=bindparam("until"),
        code_hash=bindparam("code"),
        person=bindparam("who"),
    )
)
_REFUSE = Prepared(update(authorizations).where(_UNFINISHED).values(outcome="refused"))


class RequestGone(InvalidRequestUri):
    """Unknown, expired, of another client, or completed: nobody learns which (I-46, S-42)."""

    public = mark(
        "This request is not open any more: it was completed, or too much time has passed."
    )
    next_step = mark("Go back to your wallet and start again.")


class AnotherPerson(Forbidden):
    """The offer is for somebody else than the person who logged in (I-44)."""

    code = "another_person"
    public = mark("This offer is for another person than the one who signed in.")
    next_step = mark("Sign in as the person to whom the offer was made, or cancel.")


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What a wallet asks a person to allow.

    Attributes:
        client_id: the wallet, vouched for by its provider if *attested*.
        wallet_name: for people, as its provider says.
        configurations: ids of what would be issued.
        offer_id: the offer that led here by its `issuer_state`; None if the wallet came by itself.
        bound_subject: whom that offer is for, as `Secrets.person` has it.
        expires_at: until then the person may take.
    """

    id: str
    tenant: Tenant
    client_id: str
    attested: bool
    wallet_name: str | None
    configurations: tuple[str, ...]
    offer_id: str | None
    bound_subject: bytes | None
    redirect_uri: str
    state: str | None
    expires_at: datetime


def store(connection: Connection, row: Mapping[str, object], *, secret: str) -> None:
    """Keep a pushed request; *secret* is the part of its `request_uri` behind the prefix."""
    rest = dict.fromkeys(("opened_at", "outcome", "code_hash", "person"))
    _PUSH.changed(connection, {**row, **rest, "request_hash": hashed(secret)})


def begin(
    issuer: Issuer, tenant: Tenant, *, client_id: str | None, request_uri: str | None
) -> AuthorizationRequest:
    """The pushed request that a browser brings; its own lifetime ends with the first page.

    Raises:
        RequestGone: not pushed, unknown, expired, of another client, or completed.

    Specification: RFC 9126, section 4; PROFILE I-41, I-46.
    """
    secret = (request_uri or "").removeprefix(REQUEST_URI)
    request_id = row_id("azr", secret)
    now = issuer.clock()
    found = _find(issuer, tenant, request_id, now)
    if found.request_hash != hashed(secret) or found.client_id != client_id:
        raise RequestGone("authorization request: another secret or client")
    until = found.expires_at
    if found.opened_at is None:
        until = now + LOGIN_LIFE
        values = {"of_tenant": tenant.name, "of_request": request_id, "now": now, "until": until}
        if not _OPEN.changed(issuer.database, values):  # opened by another page meanwhile
            return resume(issuer, tenant, request_id)
    return _request(tenant, found, until)


def resume(issuer: Issuer, tenant: Tenant, request_id: str) -> AuthorizationRequest:
    """The request *request_id* that `begin` gave, as long as it is not completed.

    Raises:
        RequestGone: unknown, completed, or the person took too long.
    """
    found = _find(issuer, tenant, request_id, issuer.clock())
    return _request(tenant, found, found.expires_at)


def grant(issuer: Issuer, request: AuthorizationRequest, *, subject: str) -> str:
    """The person *subject* agreed: where the browser goes now, with a code.

    Args:
        issuer: the context.
        request: from `begin` or `resume`.
        subject: the register's reference of the person who logged in.

    Raises:
        RequestGone: completed by another page, or too late.
        AnotherPerson: the offer behind the request is for somebody else; nothing was completed.

    Specification: RFC 6749, section 4.1.2; RFC 9207; PROFILE I-44, I-48.
    """
    tenant = request.tenant
    now = issuer.clock()
    bound = request.bound_subject
    if request.offer_id and bound != issuer.secrets.person(tenant.name, subject):
        raise AnotherPerson("authorization request: the offer is for another person")
    code = issuer.new_code(request.id)
    values = {
        "of_tenant": tenant.name,
        "of_request": request.id,
        "now": now,
        "until": now + CODE_LIFE,
        "code": hashed(code),
        "who": seal_row(
            issuer.secrets.authorizations,
            subject.encode(),
            table="authorizations",
            row=request.id,
            owner=tenant.name,
            schema=_SCHEMA,
            random_bytes=issuer.random_bytes,
        ),
    }
    with issuer.database.transaction() as connection:
        if not _GRANT.changed(connection, values):
            raise RequestGone("authorization request: completed or too late")
        auditing.record(
            issuer, connection, tenant, actor="citizen", act="access_granted", on=request.id
        )
    return _redirect(request, {"code": code})


def refuse(issuer: Issuer, request: AuthorizationRequest, *, error: str) -> str:
    """The person refused, or it cannot be done: where the browser goes now, with *error*.

    Args:
        issuer: the context.
        request: from `begin` or `resume`.
        error: `access_denied`, `server_error` or `temporarily_unavailable`.

    Raises:
        RequestGone: completed by another page, or too late.

    Specification: RFC 6749, section 4.1.2.1; RFC 9207; PROFILE I-49.
    """
    values = {"of_tenant": request.tenant.name, "of_request": request.id, "now": issuer.clock()}
    if not _REFUSE.changed(issuer.database, values):
        raise RequestGone("authorization request: completed or too late")
    return _redirect(request, {"error": error})


def person(issuer: Issuer, tenant: Tenant, request_id: str, sealed: bytes) -> str:
    """Who granted the request: the reference that `grant` sealed."""
    plain = open_row(
        issuer.secrets.authorizations,
        sealed,
        table="authorizations",
        row=request_id,
        owner=tenant.name,
        schema=_SCHEMA,
    )
    return plain.decode()


def _find(issuer: Issuer, tenant: Tenant, request_id: str, now: datetime) -> Any:
    found = _FIND.row(issuer.database, {"of_tenant": tenant.name, "of_request": request_id})
    if found is None:
        raise RequestGone("authorization request: unknown")
    if found.outcome is not None or found.expires_at <= now:
        raise RequestGone("authorization request: completed or expired")
    return found


def _request(tenant: Tenant, found: Any, expires_at: datetime) -> AuthorizationRequest:
    return AuthorizationRequest(
        id=found.id,
        tenant=tenant,
        client_id=found.client_id,
        attested=found.attested,
        wallet_name=found.wallet_name,
        configurations=tuple(found.configuration_ids.split()),
        offer_id=found.offer_id,
        bound_subject=found.holder,
        redirect_uri=found.redirect_uri,
        state=found.state,
        expires_at=expires_at,
    )


def _redirect(request: AuthorizationRequest, answer: dict[str, str]) -> str:
    """The redirect URI with its own query kept, and nothing but the answer added (RFC 6749)."""
    if request.state is not None:
        answer["state"] = request.state
    answer["iss"] = request.tenant.identifier
    joint = "&" if "?" in request.redirect_uri else "?"
    return f"{request.redirect_uri}{joint}{urlencode(answer)}"
