"""The smallest service, for tests of the server itself."""

import os

from shared.runtime.app import ServiceApp, make_app
from shared.runtime.routes import (
    Answer,
    Call,
    MalformedRequest,
    ProtocolRouter,
    protocol_router,
)


def make() -> ServiceApp:
    router: ProtocolRouter[None] = protocol_router(malformed=MalformedRequest)

    @router.get("/who")
    def who(_call: Call, _context: None) -> Answer:
        return {"pid": os.getpid()}

    return make_app(
        title="Sample",
        service="sample",
        public_url="https://sample.example",
        context=None,
        routers=[router],
        ready=dict,
    )
