"""From a code to an access token: the token endpoint, and its pre-authorized code grant.

Every request says which wallet it is from and proves a DPoP key. The Pre-Authorized Code and the
Transaction Code are judged by one UPDATE: it redeems the code, or counts a wrong try, and of two at
once one wins. OpenID4VCI 1.0, section 6; RFC 6749, 9449; PROFILE I-28 to I-36, I-50 to I-56.
"""

import hmac
from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, case, select, update

from shared.errors import ProtocolError
from shared.oauth.errors import InvalidGrant, UnsupportedGrantType
from shared.oauth.messages import (
    AuthorizationCodeRequest,
    PreAuthorizedCodeRequest,
    TokenResponse,
    parse_token_request,
)
from shared.runtime.database import once
from shared.runtime.prepared import Prepared

from . import auditing, clients, codes, refreshing, tokens
from .access import Headers
from .clients import Caller
from .context import Issuer, Tenant, row_id
from .offers import MAX_TRIES, Content, hashed
from .tables import grants, offers
from .tokens import Allowed

_RIGHT = offers.c.tx_code == bindparam("right_tx_code")
_REDEEM = Prepared(
    update(offers)
    .where(
        offers.c.id == bindparam("of_offer"),
        offers.c.code_hash == bindparam("by_code"),
        offers.c.tenant == bindparam("of_tenant"),
        offers.c.state == "open",
        offers.c.expires_at > bindparam("now"),
        offers.c.tries < MAX_TRIES,
    )
    .values(
        state=case((_RIGHT, "redeemed"), else_=offers.c.state),
        tries=case((_RIGHT, offers.c.tries), else_=offers.c.tries + 1),
    )
    .returning(
        offers.c.id, offers.c.state, offers.c.tries, offers.c.configuration_ids, offers.c.content
    )
)


class CodeSpent(InvalidGrant):
    """Redeemed already: a code is good once, even if its answer was lost (DESIGN, "Decided")."""

    public = "The code was used already. Ask the agency to renew the offer; it takes one call."


class WrongTransactionCode(InvalidGrant):
    """Whoever holds the offer's own code learns how many tries are left (PAIN_POINTS 2)."""

    def __init__(self, tries: int) -> None:
        left = MAX_TRIES - tries
        super().__init__(f"token request: wrong tx_code, {left} tries left")
        self._left = left

    @property
    def headers(self) -> dict[str, str]:
        """A header of ours: the body has the registered members alone (CERTIFICATION 2.2)."""
        return {"Tx-Code-Tries-Left": str(self._left)}


def redeem(
    issuer: Issuer, tenant: Tenant, form: Mapping[str, str], headers: Headers
) -> TokenResponse:
    """The token endpoint.

    Raises:
        InvalidGrant: the code or token is wrong, expired, used or bound to something else.
        ProtocolError: any other refusal of section 6.3; then nothing was consumed.

    Specification: OpenID4VCI 1.0, sections 6.1 to 6.3; PROFILE I-50 to I-56.
    """
    request = parse_token_request(form)
    caller = clients.caller(issuer, tenant, headers, request.client_id, endpoint="token")
    if isinstance(request, PreAuthorizedCodeRequest):
        return _redeem_offer(issuer, tenant, request, caller)
    if isinstance(request, AuthorizationCodeRequest):
        return codes.redeem(issuer, tenant, request, caller)
    if not tenant.file.refresh_token_days:
        raise UnsupportedGrantType("token request: no refresh tokens here")
    return refreshing.redeem(issuer, tenant, request, caller)


def _redeem_offer(
    issuer: Issuer, tenant: Tenant, request: PreAuthorizedCodeRequest, caller: Caller
) -> TokenResponse:
    # 1. A Transaction Code is there: every offer with such a code demands one (I-22).
    request.check_tx_code(expected=True)
    # 2. The code, once; a wrong Transaction Code counts, so this commits before it refuses.
    offer_id = row_id("off", request.pre_authorized_code)
    code_hash = hashed(request.pre_authorized_code)
    tx_code = issuer.secrets.tx_code(code_hash, request.tx_code or "")
    key = {"of_tenant": tenant.name, "of_offer": offer_id, "by_code": code_hash}
    answer: TokenResponse | ProtocolError
    with issuer.database.transaction() as connection:
        clients.use(connection, tenant, caller.attested, caller.proof, caller.now)
        row = _REDEEM.returned(connection, {**key, "now": caller.now, "right_tx_code": tx_code})
        if row is None:
            answer = _refused(issuer, connection, tenant, key, tx_code=tx_code, caller=caller)
        elif row.state == "open":
            answer = WrongTransactionCode(row.tries)
        else:
            offered = tuple(row.configuration_ids.split())
            details = request.authorization_details
            allowed = Allowed(
                row.id, tokens.narrowed(details, offered), identified=details is not None
            )
            content = Content.open(issuer, tenant.name, row.id, row.content)
            answer = tokens.mint(issuer, connection, tenant, allowed, caller, content=content)
    if isinstance(answer, ProtocolError):
        raise answer
    return answer


def _refused(
    issuer: Issuer,
    connection: Connection,
    tenant: Tenant,
    key: Mapping[str, object],
    *,
    tx_code: bytes,
    caller: Caller,
) -> ProtocolError:
    """Why no offer could be redeemed; the log learns more than the wallet (I-95).

    Who has both codes of a redeemed offer is not the one who redeemed it, or lost the answer: what
    was not collected yet is stopped.
    """
    row = connection.execute(
        select(offers).where(
            offers.c.tenant == key["of_tenant"],
            offers.c.id == key["of_offer"],
            offers.c.code_hash == key["by_code"],
        )
    ).one_or_none()
    if row is None:
        return InvalidGrant("token request: unknown code")
    if row.state == "redeemed":
        if hmac.compare_digest(row.tx_code, tx_code):
            _stop_uncollected(issuer, connection, tenant, row.id, caller)
        return CodeSpent("token request: the code was used already")
    if row.tries >= MAX_TRIES:
        return WrongTransactionCode(MAX_TRIES)
    return InvalidGrant("token request: the offer is expired or cancelled")


def _stop_uncollected(
    issuer: Issuer, connection: Connection, tenant: Tenant, offer_id: str, caller: Caller
) -> None:
    stop = (
        update(grants)
        .where(grants.c.tenant == tenant.name, grants.c.offer_id == offer_id)
        .where(grants.c.issued == 0, grants.c.revoked_at.is_(None))
        .values(revoked_at=caller.now)
    )
    if once(connection, stop):
        tokens.stop_refreshing(connection, tenant, offer_id, caller.now)
        auditing.record(
            issuer, connection, tenant, actor="wallet", act="code_used_twice", on=offer_id
        )
