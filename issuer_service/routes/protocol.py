"""What wallets call: offers by reference, token, nonce, challenge, credential, notification."""

from shared.oauth.errors import InvalidRequest
from shared.oauth.messages import ChallengeResponse, TokenResponse, parse_token_request
from shared.oid4vci.errors import InvalidCredentialRequest, InvalidNotificationRequest
from shared.oid4vci.messages import (
    MAX_REQUEST_BYTES,
    CredentialRequest,
    CredentialResponse,
    NonceResponse,
    NotificationRequest,
)
from shared.oid4vci.offer import CredentialOffer
from shared.runtime.routes import Call, ProtocolRouter, protocol_router

from .. import access, authorizing, issuing, offers
from ..access import Headers
from ..context import Issuer

oauth: ProtocolRouter[Issuer] = protocol_router(InvalidRequest)
credentials: ProtocolRouter[Issuer] = protocol_router(InvalidCredentialRequest)
notifications: ProtocolRouter[Issuer] = protocol_router(InvalidNotificationRequest)


def _headers(call: Call) -> Headers:
    return Headers(
        authorization=call.headers("authorization"),
        dpop=call.headers("dpop"),
        attestation=call.headers("oauth-client-attestation"),
        attestation_pop=call.headers("oauth-client-attestation-pop"),
    )


@oauth.get("/{tenant}/offers/{reference}")
def credential_offer(call: Call, issuer: Issuer) -> CredentialOffer:
    """A Credential Offer by reference (OpenID4VCI 1.0, section 4.1.3; I-23)."""
    tenant = issuer.tenant(call.path["tenant"])
    return offers.by_reference(issuer, tenant, call.path["reference"])


@oauth.post("/{tenant}/token")
def token(call: Call, issuer: Issuer) -> TokenResponse:
    """Token Endpoint (OpenID4VCI 1.0, section 6)."""
    tenant = issuer.tenant(call.path["tenant"])
    request = parse_token_request(call.form())
    return authorizing.redeem(issuer, tenant, request, _headers(call))


@oauth.post("/{tenant}/nonce")
def nonce(call: Call, issuer: Issuer) -> NonceResponse:
    """Nonce Endpoint (OpenID4VCI 1.0, section 7; I-60): no row is made."""
    tenant = issuer.tenant(call.path["tenant"])
    return NonceResponse(c_nonce=tenant.c_nonces.make(issuer.clock(), issuer.random_bytes))


@oauth.post("/{tenant}/challenge")
def challenge(call: Call, issuer: Issuer) -> ChallengeResponse:
    """Challenge Endpoint for client attestations (ABCA, section 8; I-26)."""
    tenant = issuer.tenant(call.path["tenant"])
    fresh = tenant.challenges.make(issuer.clock(), issuer.random_bytes)
    return ChallengeResponse(attestation_challenge=fresh)


@credentials.post("/{tenant}/credential", max_bytes=MAX_REQUEST_BYTES)
def credential(call: Call, issuer: Issuer) -> CredentialResponse:
    """Credential Endpoint (OpenID4VCI 1.0, section 8)."""
    tenant = issuer.tenant(call.path["tenant"])
    grant = access.access_grant(issuer, tenant, _headers(call), call.query, endpoint="credential")
    request = CredentialRequest.from_object(call.json())
    return issuing.issue_credentials(issuer, tenant, grant, request)


@notifications.post("/{tenant}/notification")
def notification(call: Call, issuer: Issuer) -> None:
    """Notification Endpoint (OpenID4VCI 1.0, section 11)."""
    tenant = issuer.tenant(call.path["tenant"])
    grant = access.access_grant(issuer, tenant, _headers(call), call.query, endpoint="notification")
    issuing.notify(issuer, tenant, grant, NotificationRequest.from_object(call.json()))
