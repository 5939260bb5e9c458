"""What wallets call at the Authorization Server: PAR, token, revocation, challenge, its keys.

The authorization endpoint is for people: `login.py`.
"""

from starlette.responses import Response

from shared.oauth.errors import InvalidRequest
from shared.oauth.messages import ChallengeResponse
from shared.runtime.routes import Answer, Call, ProtocolRouter, json_answer, protocol_router

from .. import authorizing, clients, pushing, tokens
from ..access import Headers
from ..context import Issuer

router: ProtocolRouter[Issuer] = protocol_router(InvalidRequest)


def _form(call: Call) -> dict[str, str]:
    """Parameters without a value count as absent (RFC 6749, section 3.1)."""
    return {name: value for name, value in call.form().items() if value}


@router.post("/{tenant}/par")
def pushed_authorization_request(call: Call, issuer: Issuer) -> Answer:
    """Pushed Authorization Request Endpoint (RFC 9126; I-40, I-41)."""
    tenant = issuer.tenant(call.path["tenant"])
    pushed = pushing.push(issuer, tenant, _form(call), Headers.of(call))
    return json_answer(pushed, status=201, headers=clients.fresh(issuer, tenant))


@router.post("/{tenant}/token")
def token(call: Call, issuer: Issuer) -> Answer:
    """Token Endpoint (OpenID4VCI 1.0, section 6)."""
    tenant = issuer.tenant(call.path["tenant"])
    response = authorizing.redeem(issuer, tenant, _form(call), Headers.of(call))
    return json_answer(response, headers=clients.fresh(issuer, tenant))


@router.post("/{tenant}/revoke")
def revocation(call: Call, issuer: Issuer) -> Answer:
    """Revocation Endpoint (RFC 7009)."""
    tenant = issuer.tenant(call.path["tenant"])
    tokens.revoke(issuer, tenant, _form(call), Headers.of(call))
    return Response(None, 200, {"Cache-Control": "no-store"})


@router.post("/{tenant}/challenge")
def challenge(call: Call, issuer: Issuer) -> ChallengeResponse:
    """Challenge Endpoint for client attestations (ABCA, section 8; I-26)."""
    tenant = issuer.tenant(call.path["tenant"])
    fresh = tenant.challenges.make(issuer.clock(), issuer.random_bytes)
    return ChallengeResponse(attestation_challenge=fresh)


@router.get("/{tenant}/jwks", cors=True, cache="public, max-age=300")
def keys(call: Call, issuer: Issuer) -> Answer:
    """Public keys of what this issuer signs, for who cannot follow `x5c` (I-10, C-11)."""
    tenant = issuer.tenant(call.path["tenant"])
    signers = (tenant.credential_key, tenant.status_key, tenant.metadata_key)
    return {
        "keys": [
            {**each.public.to_jwk(), "kid": each.kid, "use": "sig", "alg": "ES256"}
            for each in signers
            if each is not None
        ]
    }
