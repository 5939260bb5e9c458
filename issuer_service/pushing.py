"""A wallet pushes its authorization request: who it is, what it wants, where the answer may go.

Everything is checked here, so the authorization endpoint has a request that is complete and known
to be from this client. RFC 9126; OpenID4VCI 1.0, sections 5.1.1 to 5.1.3; PROFILE I-40 to I-45.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select

from shared.oauth import pkce
from shared.oauth.attestation import ClientAttestation
from shared.oauth.dpop import DpopProof
from shared.oauth.errors import (
    InvalidAuthorizationDetails,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
)
from shared.oauth.messages import (
    PushedRequest,
    PushedResponse,
    check_redirect_uri,
    parse_pushed_request,
)
from shared.runtime.prepared import Prepared

from . import authorizations, clients
from .access import Headers
from .authorizations import REQUEST_LIFE, REQUEST_URI
from .context import Issuer, Tenant, row_id
from .offers import issuer_state_hash
from .tables import offers

_OFFERED = Prepared(
    select(offers.c.id, offers.c.configuration_ids).where(
        offers.c.tenant == bindparam("of_tenant"),
        offers.c.id == bindparam("of_offer"),
        offers.c.code_hash == bindparam("by_state"),
        offers.c.state == "open",
        offers.c.expires_at > bindparam("now"),
    )
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    configurations: tuple[str, ...]
    identified: bool
    scope: str | None  # what is granted, if that is less than was asked for


def push(
    issuer: Issuer, tenant: Tenant, form: Mapping[str, str], headers: Headers
) -> PushedResponse:
    """The PAR endpoint.

    Raises:
        ProtocolError: a refusal of PROFILE 5.15; nothing was stored then.

    Specification: RFC 9126, section 2; RFC 9449, section 10.1; PROFILE I-40 to I-45.
    """
    now = issuer.clock()
    # 1. The wallet (RFC 9126, section 2.1, step 1).
    client = clients.authenticate(issuer, tenant, headers, form.get("client_id"), now)
    # 2. What it sent, and nothing that is itself a reference.
    request = parse_pushed_request(form)
    # 3. PKCE with S256, and a place where the answer may go.
    challenge = pkce.check_challenge(request.code_challenge, request.code_challenge_method)
    _check_redirect(tenant, request, client)
    # 4. The key that the code is to be bound to: by a proof, by name, or both (I-35).
    proof = None
    if headers.dpop:
        proof = clients.proof_of_possession(issuer, tenant, headers, endpoint="par", now=now)
    jkt = _bound_key(request, proof)
    # 5. What is asked for: by scope, by details, within the offer if one led here.
    if request.resource not in {None, tenant.identifier}:
        raise InvalidTarget("pushed request: resource is not this issuer")
    wanted = _wanted(tenant, request)
    offer_id = None
    if request.issuer_state is not None:
        offer_id, wanted = _within_offer(issuer, tenant, request.issuer_state, wanted, now)
    # 6. One row; its secret part is stored hashed.
    request_id = issuer.new_id("azr")
    secret = issuer.new_code(request_id)
    with issuer.database.transaction() as connection:
        clients.use(connection, tenant, client, proof, now)
        authorizations.store(
            connection,
            {
                "tenant": tenant.name,
                "id": request_id,
                "client_id": request.client_id,
                "attested": client is not None,
                "wallet_name": None if client is None else client.wallet_name,
                "redirect_uri": request.redirect_uri,
                "state": request.state,
                "code_challenge": challenge,
                "dpop_jkt": jkt,
                "configuration_ids": " ".join(wanted.configurations),
                "identified": wanted.identified,
                "scope": wanted.scope,
                "offer_id": offer_id,
                "expires_at": now + REQUEST_LIFE,
            },
            secret=secret,
        )
    return PushedResponse(
        request_uri=f"{REQUEST_URI}{secret}", expires_in=int(REQUEST_LIFE.total_seconds())
    )


def _check_redirect(
    tenant: Tenant, request: PushedRequest, client: ClientAttestation | None
) -> None:
    """I-43, ADR 0011: an attested wallet says where it is, unless the tenant has written it down.

    A wallet that proves nothing about itself may use only what was written down for it.
    """
    check_redirect_uri(request.redirect_uri)
    registered = tenant.file.redirect_uris.get(request.client_id)
    if registered is None and client is None:
        raise InvalidRequest("redirect_uri: none is registered for a wallet without attestation")
    if registered is not None and request.redirect_uri not in registered:
        raise InvalidRequest("redirect_uri: not one that is registered for this wallet")


def _bound_key(request: PushedRequest, proof: DpopProof | None) -> str | None:
    if proof is None:
        return request.dpop_jkt
    if request.dpop_jkt not in {None, proof.jkt}:
        raise InvalidRequest("dpop_jkt: not the key of the DPoP proof")
    return proof.jkt


def _wanted(tenant: Tenant, request: PushedRequest) -> _Wanted:
    """Scope and details both count (I-42); what is unknown in a scope is left out."""
    asked = (request.scope or "").split()
    known = [
        each
        for each in dict.fromkeys(asked)
        if any(found.file.scope == each for found in tenant.configurations.values())
    ]
    by_scope = [name for name, found in tenant.configurations.items() if found.file.scope in known]
    by_details = []
    for detail in request.authorization_details or ():
        if detail.credential_configuration_id not in tenant.configurations:
            raise InvalidAuthorizationDetails("pushed request: unknown configuration")
        if detail.locations is not None and tenant.identifier not in detail.locations:
            raise InvalidAuthorizationDetails("pushed request: locations without this issuer")
        by_details.append(detail.credential_configuration_id)
    configurations = tuple(dict.fromkeys((*by_details, *by_scope)))
    if not configurations:
        raise InvalidScope("pushed request: asks for nothing that is offered here")
    return _Wanted(
        configurations,
        identified=bool(by_details),
        scope=" ".join(known) if known != asked else None,
    )


def _within_offer(
    issuer: Issuer, tenant: Tenant, issuer_state: str, wanted: _Wanted, now: datetime
) -> tuple[str, _Wanted]:
    """What of *wanted* was offered. It only selects: the login says who the person is (I-44)."""
    values = {
        "of_tenant": tenant.name,
        "of_offer": row_id("off", issuer_state),
        "by_state": issuer_state_hash(issuer_state),
        "now": now,
    }
    row = _OFFERED.row(issuer.database, values)
    if row is None:
        raise InvalidRequest("issuer_state: no open offer")
    offered = row.configuration_ids.split()
    both = tuple(each for each in wanted.configurations if each in offered)
    if not both:
        raise InvalidScope("pushed request: asks for nothing that was offered")
    return row.id, _Wanted(both, wanted.identified, wanted.scope)
