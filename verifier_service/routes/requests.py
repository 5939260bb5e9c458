"""The Request Object, for wallets (OpenID4VP 1.0, section 5.10)."""

from starlette.responses import Response

from shared.oauth.errors import InvalidRequest
from shared.oid4vp.request import MEDIA_TYPE
from shared.runtime.calls import Call
from shared.runtime.routes import ProtocolRouter, protocol_router

from ..context import Verifier
from ..requesting import fetch, fetch_for

router: ProtocolRouter[Verifier] = protocol_router(malformed=InvalidRequest)


@router.get("/{tenant}/request/{request_id}")
def get_request(call: Call, verifier: Verifier) -> Response:
    """The signed object; may be fetched again (V-13)."""
    return _object(fetch(verifier, call.path["tenant"], call.path["request_id"]))


@router.post("/{tenant}/request/{request_id}")
def post_request(call: Call, verifier: Verifier) -> Response:
    """The same, bound to the wallet's `wallet_nonce` (section 5.10.1)."""
    form = call.form() if call.body else {}
    return _object(fetch_for(verifier, call.path["tenant"], call.path["request_id"], form))


def _object(signed: str) -> Response:
    return Response(signed, 200, {"Cache-Control": "no-store"}, MEDIA_TYPE)
