"""Access tokens for agencies' systems (RFC 6749, section 4.4)."""

from collections.abc import Mapping

from shared.encoding import JsonValue
from shared.oauth.errors import InvalidRequest
from shared.runtime.calls import Call
from shared.runtime.routes import ProtocolRouter, protocol_router

from ..context import Verifier

router: ProtocolRouter[Verifier] = protocol_router(malformed=InvalidRequest)


@router.post("/api/v1/{tenant}/token")
def token(call: Call, verifier: Verifier) -> Mapping[str, JsonValue]:
    """`grant_type=client_credentials`, by HTTP Basic or form."""
    tenant = verifier.tenant(call.path["tenant"])
    return verifier.clients.token(
        tenant.id, form=call.form(), authorization=call.header("authorization")
    )
