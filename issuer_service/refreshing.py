"""The refresh token grant: a wallet renews what it holds without its citizen (I-54).

A refresh token is bound to the client and to the attested key of the wallet instance, not to a DPoP
key: each access token is bound to the key that this request proves. It is not rotated, so an answer
that is lost costs nothing. RFC 6749, section 6; ABCA, section 10.3; HAIP 4.4.
"""

from sqlalchemy import bindparam, update

from shared.oauth import dpop
from shared.oauth.errors import InvalidClient, InvalidGrant, InvalidScope
from shared.oauth.messages import RefreshRequest, TokenResponse
from shared.runtime.prepared import Prepared

from . import clients, tokens
from .clients import Caller
from .context import Issuer, Tenant
from .tables import refresh_tokens as rows
from .tokens import Allowed

# An UPDATE, not a SELECT: who withdraws the token at this moment comes before or after, and in the
# second case finds the access token that was made.
_USE = Prepared(
    update(rows)
    .where(
        rows.c.tenant == bindparam("of_tenant"),
        rows.c.offer_id == bindparam("of_offer"),
        rows.c.id == bindparam("of_row"),
        rows.c.token_hash == bindparam("by_token"),
        rows.c.client_id == bindparam("of_client"),
        rows.c.instance_jkt == bindparam("of_instance"),
        rows.c.revoked_at.is_(None),
        rows.c.expires_at > bindparam("now"),
    )
    .values(used_at=bindparam("now"))
    .returning(rows.c.offer_id, rows.c.configuration_ids, rows.c.identified)
)


def redeem(
    issuer: Issuer, tenant: Tenant, request: RefreshRequest, caller: Caller
) -> TokenResponse:
    """A new access token.

    Raises:
        InvalidClient: the wallet does not say who it is.
        InvalidGrant: unknown, expired, withdrawn, or another client's or instance's.
        InvalidScope, InvalidAuthorizationDetails: asks for what was not granted.

    Specification: RFC 6749, section 6; PROFILE I-52, I-54.
    """
    if caller.attested is None:
        raise InvalidClient("refresh: without client attestation")
    values = {
        "of_tenant": tenant.name,
        **tokens.key_of(request.refresh_token, "rft"),
        "of_client": caller.client_id,
        "of_instance": dpop.thumbprint(caller.attested.key),
        "now": caller.now,
    }
    with issuer.database.transaction() as connection:
        clients.use(connection, tenant, caller.attested, caller.proof, caller.now)
        row = _USE.returned(connection, values)
        if row is None:
            raise InvalidGrant("refresh: not a refresh token of this wallet instance")
        granted = tokens.narrowed(
            request.authorization_details, tuple(row.configuration_ids.split())
        )
        if request.scope is not None:
            granted = _within_scope(tenant, request.scope, granted)
        allowed = Allowed(row.offer_id, granted, row.identified)
        return tokens.mint(issuer, connection, tenant, allowed, caller)


def _within_scope(tenant: Tenant, scope: str, granted: tuple[str, ...]) -> tuple[str, ...]:
    asked = scope.split()
    found = tuple(
        each
        for each in granted
        if each in tenant.configurations and tenant.configurations[each].file.scope in asked
    )
    if not found:
        raise InvalidScope("refresh: none of this scope was granted")
    return found
