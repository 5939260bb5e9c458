"""The authorization code grant: a code that a person's consent gave, redeemed once.

What the code is bound to is looked at before it is consumed, so who guesses consumes nothing. A
code that comes a second time stops every token that was made from it. RFC 6749, section 4.1.3;
RFC 7636; RFC 9449, section 10; PROFILE I-44, I-48, I-50, I-55.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from shared.errors import ProtocolError
from shared.oauth import pkce
from shared.oauth.errors import InvalidGrant
from shared.oauth.messages import AuthorizationCodeRequest, TokenResponse
from shared.runtime.prepared import Prepared

from . import auditing, authorizations, clients, tokens
from .clients import Caller
from .context import Issuer, Tenant, row_id
from .offers import Content, hashed
from .tables import authorizations as rows
from .tables import offers
from .tokens import Allowed

_BY_CODE = (
    (rows.c.tenant == bindparam("of_tenant"))
    & (rows.c.id == bindparam("of_request"))
    & (rows.c.code_hash == bindparam("by_code"))
)
_FIND = Prepared(select(rows).where(_BY_CODE))
_REDEEM = Prepared(
    update(rows)
    .where(_BY_CODE, rows.c.outcome == "granted", rows.c.expires_at > bindparam("now"))
    .values(outcome="redeemed", person=None, offer_id=bindparam("offer"))
)
_TAKE_OFFER = Prepared(
    update(offers)
    .where(
        offers.c.tenant == bindparam("of_tenant"),
        offers.c.id == bindparam("of_offer"),
        offers.c.state == "open",
    )
    .values(state="redeemed")
    .returning(offers.c.content)
)
_OWN_OFFER = Prepared(insert(offers))


def redeem(
    issuer: Issuer, tenant: Tenant, request: AuthorizationCodeRequest, caller: Caller
) -> TokenResponse:
    """Tokens for an authorization code.

    Raises:
        InvalidGrant: unknown, expired, used, another wallet's, or bound to something else.
        InvalidAuthorizationDetails: asks for more than was granted.

    Specification: RFC 6749, section 4.1.3; PROFILE I-50, I-52, I-55.
    """
    key = {
        "of_tenant": tenant.name,
        "of_request": row_id("azr", request.code),
        "by_code": hashed(request.code),
    }
    found = _FIND.row(issuer.database, key)
    _check_bound(found, request, caller)
    own = found.offer_id is None
    offer_id = issuer.new_id("off") if own else found.offer_id
    granted = tuple(found.configuration_ids.split())
    details = request.authorization_details
    allowed = Allowed(
        offer_id,
        tokens.narrowed(details, granted),
        identified=found.identified or details is not None,
        scope=found.scope,
    )
    answer: TokenResponse | ProtocolError
    with issuer.database.transaction() as connection:
        clients.use(connection, tenant, caller.attested, caller.proof, caller.now)
        if not _REDEEM.changed(connection, {**key, "now": caller.now, "offer": offer_id}):
            answer = _refused(issuer, connection, tenant, key, caller)
        else:
            if own:
                reference = authorizations.person(issuer, tenant, found.id, found.person)
                content = _own_offer(
                    issuer, connection, tenant, allowed, reference=reference, now=caller.now
                )
            else:
                content = _taken_offer(issuer, connection, tenant, offer_id)
            answer = tokens.mint(issuer, connection, tenant, allowed, caller, content=content)
    if isinstance(answer, ProtocolError):
        raise answer
    return answer


def _check_bound(found: Any, request: AuthorizationCodeRequest, caller: Caller) -> None:
    """The code is this wallet's, for this place, by its verifier and its DPoP key (I-48)."""
    if found is None:
        raise InvalidGrant("token request: unknown code")
    if found.client_id != caller.client_id or found.attested != (caller.attested is not None):
        raise InvalidGrant("token request: the code is another wallet's")
    if found.redirect_uri != request.redirect_uri:
        raise InvalidGrant("token request: another redirect_uri")
    pkce.verify(request.code_verifier, code_challenge=found.code_challenge)
    if found.dpop_jkt not in {None, caller.proof.jkt}:
        raise InvalidGrant("token request: the code is bound to another DPoP key")


def _refused(
    issuer: Issuer,
    connection: Connection,
    tenant: Tenant,
    key: Mapping[str, object],
    caller: Caller,
) -> ProtocolError:
    """Why a code that fits could not be redeemed; what was made from a used one is stopped."""
    found = _FIND.row(connection, key)
    if found.outcome != "redeemed":
        return InvalidGrant("token request: the code has expired")
    tokens.stop(connection, tenant, found.offer_id, caller.now)
    auditing.record(
        issuer, connection, tenant, actor="wallet", act="code_used_twice", on=found.offer_id
    )
    return InvalidGrant("token request: the code was used already")


def _taken_offer(issuer: Issuer, connection: Connection, tenant: Tenant, offer_id: str) -> Content:
    """The agency's offer that led here, taken once whatever number of requests it led to."""
    row = _TAKE_OFFER.returned(connection, {"of_tenant": tenant.name, "of_offer": offer_id})
    if row is None:
        raise InvalidGrant("token request: the offer was taken or cancelled meanwhile")
    return Content.open(issuer, tenant.name, offer_id, row.content)


def _own_offer(
    issuer: Issuer,
    connection: Connection,
    tenant: Tenant,
    allowed: Allowed,
    *,
    reference: str,
    now: datetime,
) -> Content:
    """A wallet that came by itself leaves an offer, too: what hangs on one is the same for all."""
    content = Content(
        code=issuer.new_code(allowed.offer_id),
        reference=issuer.new_code(allowed.offer_id),
        tx_code=None,
        input_mode="numeric",
        description=None,
        subject=reference,
        claims={},
    )
    about = issuer.secrets.person(tenant.name, reference)
    _OWN_OFFER.changed(
        connection,
        {
            "tenant": tenant.name,
            "id": allowed.offer_id,
            "state": "redeemed",
            "generation": 0,
            "created_at": now,
            "expires_at": now,
            "created_by": "citizen",
            "configuration_ids": " ".join(allowed.configuration_ids),
            "subject": about,
            "holder": about,
            "content": content.seal(issuer, tenant.name, allowed.offer_id),
            **content.secret_columns(issuer),
        },
    )
    return content
