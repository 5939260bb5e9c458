"""Access and refresh tokens as rows: made, withdrawn.

A token is opaque and stored hashed; it begins with the ids of its offer and its own row. An access
token is bound to the DPoP key of the request that got it, a refresh token to the attested key of
the wallet instance instead, so it outlives any DPoP key; it is not rotated. RFC 7009; PROFILE I-48,
I-53, I-54, S-01.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Table, bindparam, insert, select, update

from shared.oauth import dpop
from shared.oauth.errors import InvalidAuthorizationDetails, InvalidGrant, InvalidRequest
from shared.oauth.messages import AuthorizationDetail, TokenResponse
from shared.runtime.prepared import Prepared

from . import auditing, clients
from .access import Headers
from .clients import Caller
from .context import Issuer, Tenant, row_id
from .offers import Content, hashed
from .tables import grants, refresh_tokens

_GRANT = Prepared(insert(grants))
_REFRESH = Prepared(insert(refresh_tokens))


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the tokens of one token response allow.

    Attributes:
        identified: whether credentials are asked for by `credential_identifier` (I-66).
        scope: if it differs from what the wallet asked for.
    """

    offer_id: str
    configuration_ids: tuple[str, ...]
    identified: bool
    scope: str | None = None


def narrowed(
    details: Sequence[AuthorizationDetail] | None, granted: tuple[str, ...]
) -> tuple[str, ...]:
    """What of *granted* a token request asks for: it may be less, never more (I-52).

    Raises:
        InvalidAuthorizationDetails: one was not granted.

    Specification: RFC 9396, section 5; OpenID4VCI 1.0, section 6.1.1.
    """
    if details is None:
        return granted
    asked = dict.fromkeys(each.credential_configuration_id for each in details)
    if not set(asked) <= set(granted):
        raise InvalidAuthorizationDetails("token request: more than was granted")
    return tuple(asked)


def mint(
    issuer: Issuer,
    connection: Connection,
    tenant: Tenant,
    allowed: Allowed,
    caller: Caller,
    *,
    content: Content | None = None,
) -> TokenResponse:
    """An access token in the transaction of *connection*, and the answer that carries it.

    With the *content* of its offer a refresh token comes along, if there is something to bind it
    to; claims that came with the offer are not kept for that: only a register can be asked again.
    """
    grant_id = issuer.new_id("grt")
    token = issuer.new_code(allowed.offer_id, grant_id)
    lifetime = timedelta(seconds=issuer.settings.access_token_seconds)
    _GRANT.changed(
        connection,
        {
            "tenant": tenant.name,
            "id": grant_id,
            "token_hash": hashed(token),
            "offer_id": allowed.offer_id,
            "jkt": caller.proof.jkt,
            "client_id": caller.client_id,
            "attested": caller.attested is not None,
            "configuration_ids": " ".join(allowed.configuration_ids),
            "identified": allowed.identified,
            "expires_at": caller.now + lifetime,
            "issued": 0,
            "revoked_at": None,
        },
    )
    refresh_token = None
    if content is not None and content.subject is not None and not content.claims:
        refresh_token = _refresh_token(issuer, connection, tenant, allowed, caller)
    details = tuple(
        AuthorizationDetail(
            type="openid_credential",
            credential_configuration_id=each,
            credential_identifiers=(each,),
        )
        for each in allowed.configuration_ids
    )
    return TokenResponse(
        access_token=token,
        token_type="DPoP",  # noqa: S106 - not a secret
        expires_in=int(lifetime.total_seconds()),
        refresh_token=refresh_token,
        scope=allowed.scope,
        authorization_details=details if allowed.identified else None,
    )


def _refresh_token(
    issuer: Issuer, connection: Connection, tenant: Tenant, allowed: Allowed, caller: Caller
) -> str | None:
    """Bound to the attested key of the wallet instance (I-54)."""
    days = tenant.file.refresh_token_days
    if caller.attested is None or not days:
        return None
    refresh_id = issuer.new_id("rft")
    token = issuer.new_code(allowed.offer_id, refresh_id)
    _REFRESH.changed(
        connection,
        {
            "tenant": tenant.name,
            "offer_id": allowed.offer_id,
            "id": refresh_id,
            "token_hash": hashed(token),
            "client_id": caller.client_id,
            "instance_jkt": dpop.thumbprint(caller.attested.key),
            "configuration_ids": " ".join(allowed.configuration_ids),
            "identified": allowed.identified,
            "used_at": None,
            "expires_at": caller.now + timedelta(days=days),
            "revoked_at": None,
        },
    )
    return token


def key_of(token: str, prefix: str) -> dict[str, object]:
    """The row that a token of the kind *prefix* says it is of."""
    return {
        "of_offer": row_id("off", token),
        "of_row": row_id(prefix, token, 1),
        "by_token": hashed(token),
    }


def _of_offer(table: Table) -> ColumnElement[bool]:
    return (table.c.tenant == bindparam("of_tenant")) & (table.c.offer_id == bindparam("of_offer"))


def _row(table: Table) -> ColumnElement[bool]:
    return (
        _of_offer(table)
        & (table.c.id == bindparam("of_row"))
        & (table.c.token_hash == bindparam("by_token"))
    )


_STOP_REFRESH, _STOP_ACCESS = (
    Prepared(
        update(table)
        .where(_of_offer(table), table.c.revoked_at.is_(None))
        .values(revoked_at=bindparam("now"))
    )
    for table in (refresh_tokens, grants)
)
_FIND_REFRESH, _FIND_ACCESS = (
    Prepared(select(table.c.client_id).where(_row(table))) for table in (refresh_tokens, grants)
)
_REVOKE_ACCESS = Prepared(
    update(grants)
    .where(_row(grants), grants.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
)


def stop(connection: Connection, tenant: Tenant, offer_id: str, now: datetime) -> None:
    """Withdraw every token of an offer; refresh tokens first, so that none makes another."""
    stop_refreshing(connection, tenant, offer_id, now)
    values = {"of_tenant": tenant.name, "of_offer": offer_id, "now": now}
    _STOP_ACCESS.changed(connection, values)


def stop_refreshing(connection: Connection, tenant: Tenant, offer_id: str, now: datetime) -> None:
    """No further access token is made from an offer."""
    values = {"of_tenant": tenant.name, "of_offer": offer_id, "now": now}
    _STOP_REFRESH.changed(connection, values)


def revoke(issuer: Issuer, tenant: Tenant, form: Mapping[str, str], headers: Headers) -> None:
    """The revocation endpoint: a wallet gives back a token, and with a refresh token all it made.

    A token that is unknown or dead already is no error.

    Raises:
        InvalidRequest: no token.
        InvalidClient: who does not say who it is cannot give back anything.
        InvalidGrant: the token is another client's.

    Specification: RFC 7009, section 2.
    """
    now = issuer.clock()
    client = clients.authenticate(issuer, tenant, headers, form.get("client_id"), now)
    token = form.get("token")
    if not token:
        raise InvalidRequest("revocation: token is missing")
    client_id = form.get("client_id") if client is None else client.client_id
    with issuer.database.transaction() as connection:
        clients.use(connection, tenant, client, None, now)
        for prefix, find in (("rft", _FIND_REFRESH), ("grt", _FIND_ACCESS)):
            values = {"of_tenant": tenant.name, **key_of(token, prefix)}
            found = find.row(connection, values)
            if found is None:
                continue
            if found.client_id != client_id:
                raise InvalidGrant("revocation: the token is another client's")
            if prefix == "grt":
                _REVOKE_ACCESS.changed(connection, values | {"now": now})
            else:
                stop(connection, tenant, str(values["of_offer"]), now)
                auditing.record(
                    issuer,
                    connection,
                    tenant,
                    actor="wallet",
                    act="tokens_given_back",
                    on=str(values["of_offer"]),
                )
