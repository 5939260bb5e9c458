"""What a wallet with an access token calls: credential, deferred credential, notification."""

from starlette.responses import Response

from shared.oid4vci.errors import InvalidCredentialRequest, InvalidNotificationRequest
from shared.oid4vci.messages import (
    MAX_REQUEST_BYTES,
    CredentialRequest,
    DeferredRequest,
    NotificationRequest,
)
from shared.runtime.routes import Call, ProtocolRouter, protocol_router

from .. import access, issuing, notifying
from ..access import Headers
from ..context import Issuer
from ..envelopes import open_request

credentials: ProtocolRouter[Issuer] = protocol_router(InvalidCredentialRequest)
notifications: ProtocolRouter[Issuer] = protocol_router(InvalidNotificationRequest)


@credentials.post("/{tenant}/credential", max_bytes=MAX_REQUEST_BYTES)
def credential(call: Call, issuer: Issuer) -> Response:
    """Credential Endpoint (OpenID4VCI 1.0, section 8)."""
    tenant = issuer.tenant(call.path["tenant"])
    grant = access.access_grant(issuer, tenant, Headers.of(call), call.query, endpoint="credential")
    opened = open_request(
        issuer,
        tenant,
        CredentialRequest,
        media_type=call.media_type,
        body=call.body,
        plain=call.json,
        now=issuer.clock(),
    )
    return opened.answer(issuing.issue_credentials(issuer, tenant, grant, opened.message))


@credentials.post("/{tenant}/deferred_credential")
def deferred_credential(call: Call, issuer: Issuer) -> Response:
    """Deferred Credential Endpoint (OpenID4VCI 1.0, section 9)."""
    tenant = issuer.tenant(call.path["tenant"])
    headers = Headers.of(call)
    grant = access.access_grant(issuer, tenant, headers, call.query, endpoint="deferred_credential")
    opened = open_request(
        issuer,
        tenant,
        DeferredRequest,
        media_type=call.media_type,
        body=call.body,
        plain=call.json,
        now=issuer.clock(),
    )
    return opened.answer(issuing.collect(issuer, tenant, grant, opened.message))


@notifications.post("/{tenant}/notification")
def notification(call: Call, issuer: Issuer) -> None:
    """Notification Endpoint (OpenID4VCI 1.0, section 11)."""
    tenant = issuer.tenant(call.path["tenant"])
    headers = Headers.of(call)
    grant = access.access_grant(issuer, tenant, headers, call.query, endpoint="notification")
    notifying.notify(issuer, tenant, grant, NotificationRequest.from_object(call.json()))
