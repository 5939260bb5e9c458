"""Transactions, for the systems of agencies: start one, read its result; a check takes no more."""

import orjson
from starlette.responses import Response

from shared.errors import InvalidInput
from shared.runtime.calls import Call
from shared.runtime.client_credentials import describe_token
from shared.runtime.routes import ApiRouter, hot_api_router

from ..answers import (
    Queries,
    QueryAnswer,
    Reason,
    Receipt,
    Return,
    Started,
    StartRequest,
    TransactionAnswer,
)
from ..context import Verifier
from ..requesting import start
from ..results import Content, delete, override, read, release
from .asking import SUPERVISOR, asker, caller

router: ApiRouter[Verifier] = hot_api_router("/api/v1")
describe_token(router.described)

_HERE = "/{tenant}/transactions/{transaction_id}"
_MAX_KEY = 200


@router.get("/{tenant}/queries", answer=Queries)
def list_queries(call: Call, verifier: Verifier) -> Queries:
    """The questions this tenant may ask, with their purposes and texts."""
    tenant = verifier.tenant(caller(call, verifier).tenant)
    return Queries(
        queries=tuple(
            QueryAnswer(
                id=each.id,
                purpose=each.purpose,
                texts=dict(each.texts),
                flows=each.flows,
                show=each.show,
            )
            for each in tenant.queries.values()
        )
    )


@router.post("/{tenant}/transactions", body=StartRequest, answer=Started, status=201, keyed=True)
def start_transaction(call: Call, verifier: Verifier) -> Started:
    """Ask a question; the answer holds the link to open or to show as QR code (V-01)."""
    key = call.header("idempotency-key")
    if key is not None and not 1 <= len(key) <= _MAX_KEY:
        raise InvalidInput("Idempotency-Key: empty or too long")
    asked = call.message(StartRequest)
    return start(verifier, caller(call, verifier), asked, idempotency_key=key)


@router.get(_HERE, answer=TransactionAnswer)
def read_transaction(call: Call, verifier: Verifier) -> Response:
    """The state; once ended, the verdict, and the claims until their retention ends (V-02)."""
    return _json(read(verifier, asker(call, verifier), call.path["transaction_id"]))


@router.post(_HERE + "/return", body=Return, answer=TransactionAnswer)
def return_transaction(call: Call, verifier: Verifier) -> Response:
    """Same device: the browser came back with this response code; releases the result, once."""
    code = call.message(Return).response_code
    return _json(release(verifier, asker(call, verifier), call.path["transaction_id"], code))


@router.post(_HERE + "/override", body=Reason, answer=TransactionAnswer)
def override_transaction(call: Call, verifier: Verifier) -> Response:
    """A clerk accepts an answer of which only the status is unknown; it is recorded who and why."""
    reason = call.message(Reason).reason
    who = asker(call, verifier, SUPERVISOR)
    return _json(override(verifier, who, call.path["transaction_id"], reason=reason))


@router.delete(_HERE, answer=Receipt)
def delete_transaction(call: Call, verifier: Verifier) -> Receipt:
    """Erase everything about it now; the receipt is signed with a key of `/{tenant}/jwks`."""
    who = asker(call, verifier)
    return Receipt(receipt=delete(verifier, who, call.path["transaction_id"]))


def _json(content: Content) -> Response:
    return Response(orjson.dumps(content), 200, {"Cache-Control": "no-store"}, "application/json")
