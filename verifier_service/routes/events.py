"""Server-sent events about one transaction (WHATWG HTML, 9.2): the only `async def` here."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from shared.errors import InvalidInput
from shared.runtime.calls import Call
from shared.runtime.routes import api_router, service

from ..context import Verifier
from ..results import authorize
from ..transactions import State
from .asking import asker

router = api_router()


@router.get("/{tenant}/transactions/{transaction_id}/events", response_class=StreamingResponse)
async def read_events(
    request: Request, verifier: Annotated[Verifier, Depends(service)]
) -> StreamingResponse:
    """The state as it changes; resumes after `Last-Event-ID`, ends with the transaction."""
    call = Call(request.scope, b"", 0)
    transaction_id = call.path["transaction_id"]
    after = last_event(call)

    def authorized() -> tuple[str, State]:
        who = asker(call, verifier)
        return who.tenant, authorize(verifier, who, transaction_id)

    tenant, state = await run_in_threadpool(authorized)
    stream = verifier.events.stream(
        (tenant, transaction_id), begin=state, after=after, in_thread=run_in_threadpool
    )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def last_event(call: Call) -> int:
    """The number after which to go on; raises InvalidInput."""
    last = call.header("last-event-id")
    if last is None or last == "":
        return 0
    if not last.isascii() or not last.isdigit() or len(last) > 9:
        raise InvalidInput("Last-Event-ID: not one of ours")
    return int(last)
