"""What this service keeps about its own acts: the audit trail, legal holds, keys of receipts."""

from collections.abc import Mapping

from shared.encoding import JsonValue
from shared.errors import InvalidInput
from shared.oauth.errors import InvalidRequest
from shared.runtime.calls import Call
from shared.runtime.routes import ApiRouter, ProtocolRouter, hot_api_router, protocol_router

from ..answers import AuditAnswer, HoldAnswer, HoldRequest
from ..context import Verifier
from ..records import hold, lift, read_audit
from .asking import AUDITOR, SUPERVISOR, caller

router: ApiRouter[Verifier] = hot_api_router("/api/v1")
keys: ProtocolRouter[Verifier] = protocol_router(malformed=InvalidRequest)

_HOLD = "/{tenant}/transactions/{transaction_id}/hold"


@router.get("/{tenant}/audit", answer=AuditAnswer)
def get_audit(call: Call, verifier: Verifier) -> AuditAnswer:
    """Rows above `after`, at most 500 at once, as chained and signed."""
    after = call.query.get("after", "0")
    if not after.isascii() or not after.isdigit() or len(after) > 9:
        raise InvalidInput("after: not a sequence number")
    return read_audit(verifier, caller(call, verifier, AUDITOR), after=int(after))


@router.post(_HOLD, body=HoldRequest, answer=HoldAnswer)
def post_hold(call: Call, verifier: Verifier) -> HoldAnswer:
    """Nothing of the transaction is erased before the end of the hold; recorded with its basis."""
    asked = call.message(HoldRequest)
    who = caller(call, verifier, SUPERVISOR)
    return hold(verifier, who, call.path["transaction_id"], asked)


@router.delete(_HOLD, answer=HoldAnswer)
def delete_hold(call: Call, verifier: Verifier) -> HoldAnswer:
    """Lift the hold; retention goes on where it would be."""
    return lift(verifier, caller(call, verifier, SUPERVISOR), call.path["transaction_id"])


@keys.get("/{tenant}/jwks", cors=True, cache="public, max-age=3600")
def get_keys(call: Call, verifier: Verifier) -> Mapping[str, JsonValue]:
    """The key that signs deletion receipts and heads of the audit trail (RFC 7517)."""
    tenant = verifier.tenant(call.path["tenant"])
    key = verifier.records_key(tenant.id)
    jwk = {**key.public.to_jwk(), "kid": key.kid, "use": "sig", "alg": "ES256"}
    return {"keys": [jwk]}
