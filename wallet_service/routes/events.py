"""`GET /events`, for whoever waits: the only `async def` here."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from shared.runtime.calls import Call
from shared.runtime.routes import api_router, service

from ..context import Wallet
from .signed_in import open_wallet, session_token

router = api_router()


@router.get("/events", response_class=StreamingResponse)
async def read_events(
    request: Request, wallet: Annotated[Wallet, Depends(service)]
) -> StreamingResponse:
    """What is under way in this wallet, and each step of it as it is taken, while it is open."""
    call = Call(request.scope, b"", 0)
    opened = await run_in_threadpool(lambda: open_wallet(call, wallet))
    listener = wallet.events.listen(opened.id, session_token(call))
    stream = wallet.events.stream(listener, in_thread=run_in_threadpool)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
