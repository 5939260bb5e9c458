"""Messages to a tenant's webhook: look at them, send one again."""

from typing import Any

from shared.runtime.calls import Call
from shared.runtime.routes import ApiRouter, hot_api_router

from .. import webhooks
from ..answers import Message, Messages
from ..context import Verifier
from ..transactions import timestamp
from .asking import OPERATOR, caller

router: ApiRouter[Verifier] = hot_api_router("/api/v1")
_LIMIT = 200


@router.get("/{tenant}/webhooks", answer=Messages)
def list_messages(call: Call, verifier: Verifier) -> Messages:
    """The newest messages; with `undelivered=true` those that were not taken yet."""
    tenant = caller(call, verifier, OPERATOR).tenant
    undelivered = call.query.get("undelivered") == "true"
    found = webhooks.listed(verifier.database, tenant, undelivered=undelivered, limit=_LIMIT)
    return Messages(messages=tuple(_message(each) for each in found))


@router.post("/{tenant}/webhooks/{message_id}/replay")
def replay_message(call: Call, verifier: Verifier) -> None:
    """Send it again, from the first attempt on."""
    tenant = caller(call, verifier, OPERATOR).tenant
    now = verifier.clock()
    webhooks.replay(verifier.database, tenant, call.path["message_id"], now=now)


def _message(row: Any) -> Message:
    return Message(
        id=row.id,
        transaction_id=row.subject,
        state=row.state,
        at=timestamp(row.at),
        attempts=row.attempts,
        next_attempt=None if row.due_at is None else timestamp(row.due_at),
        delivered_at=None if row.delivered_at is None else timestamp(row.delivered_at),
    )
