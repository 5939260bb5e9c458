"""What wallets call at the Credential Issuer without a token: offers by reference, nonce."""

from shared.oauth.errors import InvalidRequest, UseDpopNonce
from shared.oid4vci.messages import NonceResponse
from shared.oid4vci.offer import CredentialOffer
from shared.runtime.routes import Answer, Call, ProtocolRouter, json_answer, protocol_router

from .. import offers
from ..context import Issuer

oauth: ProtocolRouter[Issuer] = protocol_router(InvalidRequest)


@oauth.get("/{tenant}/offers/{reference}")
def credential_offer(call: Call, issuer: Issuer) -> CredentialOffer:
    """A Credential Offer by reference (OpenID4VCI 1.0, section 4.1.3; I-23)."""
    tenant = issuer.tenant(call.path["tenant"])
    return offers.by_reference(issuer, tenant, call.path["reference"])


@oauth.post("/{tenant}/nonce", waits=False)
def nonce(call: Call, issuer: Issuer) -> Answer:
    """Nonce Endpoint (OpenID4VCI 1.0, section 7; I-60): no row is made, so it never waits.

    It brings the DPoP nonce of the request that follows, too, where one is demanded.
    """
    tenant, now = issuer.tenant(call.path["tenant"]), issuer.clock()
    headers = {}
    if tenant.file.dpop_nonce:
        headers[UseDpopNonce.header] = tenant.rs_nonces.make(now, issuer.random_bytes)
    made = NonceResponse(c_nonce=tenant.c_nonces.make(now, issuer.random_bytes))
    return json_answer(made, headers=headers)
