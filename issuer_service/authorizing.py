"""From a code to an access token: the token endpoint.

The Pre-Authorized Code and the Transaction Code are judged by one UPDATE: it redeems the code, or
counts a wrong try, and of two at once one wins. Tokens are opaque, stored hashed, bound to the DPoP
key. OpenID4VCI 1.0, section 6; RFC 9449; PROFILE I-28 to I-36, I-51 to I-56.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, case, insert, select, update

from shared.errors import ProtocolError
from shared.oauth import attestation, dpop
from shared.oauth.errors import (
    InvalidAuthorizationDetails,
    InvalidClient,
    InvalidDpopProof,
    InvalidGrant,
    UnsupportedGrantType,
)
from shared.oauth.messages import (
    AnyTokenRequest,
    AuthorizationDetail,
    PreAuthorizedCodeRequest,
    TokenResponse,
)
from shared.runtime.database import once
from shared.runtime.prepared import Prepared
from shared.trust import Role

from . import auditing
from .access import Headers, use_once
from .context import ID_LENGTH, Issuer, Tenant
from .offers import MAX_TRIES, hashed
from .tables import grants, offers

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
    .returning(offers.c.id, offers.c.state, offers.c.configuration_ids)
)
_GRANT = Prepared(insert(grants))


_POP_KEPT = 2 * attestation.POP_WINDOW


class CodeSpent(InvalidGrant):
    """Redeemed already: a code is good once, even if its answer was lost (DESIGN, "Decided")."""

    public = "The code was used already. Ask the agency to renew the offer; it takes one call."


def authenticate(
    issuer: Issuer, tenant: Tenant, headers: Headers, client_id: str | None, now: datetime
) -> attestation.ClientAttestation | None:
    """Who the wallet is; None only where the tenant accepts wallets that do not say.

    Raises:
        InvalidClient, UseAttestationChallenge: as ABCA, section 6.2.

    Specification: ABCA, section 9; HAIP 4.4.1; PROFILE I-28 to I-32.
    """
    if not headers.attestation and not headers.attestation_pop:
        if tenant.file.wallets_without_attestation:
            return None
        raise InvalidClient("client attestation: missing")
    trust = issuer.trust.current()
    return attestation.verify(
        headers.attestation,
        headers.attestation_pop,
        audience=tenant.identifier,
        client_id=client_id,
        anchors=trust.anchors(Role.WALLET_PROVIDER, now=now),
        now=now,
        challenges=issuer.nonce_source(tenant.challenges, now),
        revoked=trust.revoked,
    )


def redeem(
    issuer: Issuer, tenant: Tenant, request: AnyTokenRequest, headers: Headers
) -> TokenResponse:
    """The token endpoint for the pre-authorized code grant.

    Raises:
        InvalidGrant: the code or the Transaction Code is wrong, expired, used or locked.
        ProtocolError: any other refusal of section 6.3; then nothing was consumed.

    Specification: OpenID4VCI 1.0, sections 6.1 to 6.3; PROFILE I-51 to I-56.
    """
    if not isinstance(request, PreAuthorizedCodeRequest):
        raise UnsupportedGrantType("token request: a grant type that is not offered")
    now = issuer.clock()
    # 1. The wallet, as far as it has to say who it is.
    client = authenticate(issuer, tenant, headers, request.client_id, now)
    # 2. The DPoP proof; whatever key it is by, the token will be bound to it.
    proof = dpop.verify(
        headers.dpop,
        method="POST",
        url=f"{tenant.identifier}/token",
        now=now,
        access_token=None,
        expected_jkt=None,
        nonces=issuer.nonce_source(tenant.as_nonces, now) if tenant.file.dpop_nonce else None,
    )
    # 3. A Transaction Code is there: every offer of ours demands one (I-22).
    request.check_tx_code(expected=True)
    # 4. The code, once; a wrong Transaction Code counts, so this commits before it refuses.
    offer_id = f"off_{request.pre_authorized_code[:ID_LENGTH]}"
    grant_id = issuer.new_id("grt")
    token = issuer.new_code(offer_id, grant_id)
    code_hash = hashed(request.pre_authorized_code)
    tx_code = issuer.secrets.tx_code(code_hash, request.tx_code or "")
    lifetime = timedelta(seconds=issuer.settings.access_token_seconds)
    response: TokenResponse | ProtocolError
    with issuer.database.transaction() as connection:
        use_once(connection, tenant, proof.use, now + 2 * dpop.WINDOW, InvalidDpopProof)
        if client is not None:
            use_once(connection, tenant, client.use, now + _POP_KEPT, InvalidClient)
        row = _REDEEM.returned(
            connection,
            {
                "of_offer": offer_id,
                "by_code": code_hash,
                "of_tenant": tenant.name,
                "now": now,
                "right_tx_code": tx_code,
            },
        )
        if row is None:
            response = _refused(
                issuer,
                connection,
                tenant,
                offer_id=offer_id,
                code_hash=code_hash,
                tx_code=tx_code,
                now=now,
            )
        elif row.state == "open":
            response = InvalidGrant("token request: wrong tx_code")
        else:
            offered = tuple(row.configuration_ids.split())
            granted = _narrowed(request.authorization_details, offered)
            _GRANT.changed(
                connection,
                {
                    "tenant": tenant.name,
                    "id": grant_id,
                    "token_hash": hashed(token),
                    "offer_id": row.id,
                    "jkt": proof.jkt,
                    "client_id": request.client_id if client is None else client.client_id,
                    "attested": client is not None,
                    "configuration_ids": " ".join(granted),
                    "identified": request.authorization_details is not None,
                    "expires_at": now + lifetime,
                    "issued": 0,
                    "revoked_at": None,
                },
            )
            response = _response(request, token, lifetime, granted)
    if isinstance(response, ProtocolError):
        raise response
    return response


def _narrowed(
    details: Sequence[AuthorizationDetail] | None, offered: tuple[str, ...]
) -> tuple[str, ...]:
    """I-52: the token may cover less than was offered, never more."""
    if details is None:
        return offered
    asked = dict.fromkeys(each.credential_configuration_id for each in details)
    if not set(asked) <= set(offered):
        raise InvalidAuthorizationDetails("token request: more than was offered")
    return tuple(asked)


def _response(
    request: PreAuthorizedCodeRequest, token: str, lifetime: timedelta, granted: Sequence[str]
) -> TokenResponse:
    details = None
    if request.authorization_details is not None:
        details = tuple(
            AuthorizationDetail(
                type="openid_credential",
                credential_configuration_id=each,
                credential_identifiers=(each,),
            )
            for each in granted
        )
    return TokenResponse(
        access_token=token,
        token_type="DPoP",  # noqa: S106 - not a secret
        expires_in=int(lifetime.total_seconds()),
        authorization_details=details,
    )


def _refused(
    issuer: Issuer,
    connection: Connection,
    tenant: Tenant,
    *,
    offer_id: str,
    code_hash: bytes,
    tx_code: bytes,
    now: datetime,
) -> ProtocolError:
    """Why no offer could be redeemed; the log learns more than the wallet (I-95).

    Who has both codes of a redeemed offer is not the one who redeemed it, or lost the answer: what
    was not collected yet is stopped.
    """
    row = connection.execute(
        select(offers).where(
            offers.c.tenant == tenant.name,
            offers.c.id == offer_id,
            offers.c.code_hash == code_hash,
        )
    ).one_or_none()
    if row is None:
        return InvalidGrant("token request: unknown code")
    if row.state == "redeemed":
        if hmac.compare_digest(row.tx_code, tx_code):
            stop = (
                update(grants)
                .where(grants.c.tenant == tenant.name, grants.c.offer_id == row.id)
                .where(grants.c.issued == 0, grants.c.revoked_at.is_(None))
                .values(revoked_at=now)
            )
            if once(connection, stop):
                auditing.record(
                    issuer, connection, tenant, actor="wallet", act="code_used_twice", on=row.id
                )
        return CodeSpent("token request: the code was used already")
    if row.tries >= MAX_TRIES:
        return InvalidGrant("token request: locked after too many wrong tx_codes")
    return InvalidGrant("token request: the offer is expired or cancelled")
