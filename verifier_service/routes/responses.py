"""The Response URI, for wallets (OpenID4VP 1.0, section 8.2)."""

from collections.abc import Mapping

from shared.encoding import JsonValue
from shared.errors import InvalidInput
from shared.oauth.errors import InvalidRequest
from shared.oid4vp.response import MAX_FORM_BYTES
from shared.runtime.calls import Call
from shared.runtime.routes import ProtocolRouter, protocol_router

from ..context import Verifier
from ..receiving import receive

router: ProtocolRouter[Verifier] = protocol_router(malformed=InvalidRequest)


@router.post("/{tenant}/response/{request_id}", max_bytes=MAX_FORM_BYTES)
def post_response(call: Call, verifier: Verifier) -> Mapping[str, JsonValue]:
    """`direct_post.jwt`: an encrypted response, or an error sent plain (V-40)."""
    if call.media_type != "application/x-www-form-urlencoded":
        raise InvalidInput("response: not application/x-www-form-urlencoded")
    return receive(verifier, call.path["tenant"], call.path["request_id"], call.body)
