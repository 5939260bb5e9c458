"""A verifier with many open counters, for `test_counter_streams.py`: one worker, one process.

Prints one line of JSON when it serves: its port, the clerk's cookie, and the visits to listen to.
`GET /measure` tells what the process holds.
"""

import asyncio
import gc
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import orjson
import uvicorn

from shared.runtime.serving import BoundedHttp
from tests.support.counter import Clerk
from tests.support.databases import sqlite_url
from tests.support.verifier import TENANT, HolderWallet, VerifierWorld
from verifier_service import desks


class Measured:
    """The app, and beside it what it holds."""

    def __init__(self, world: VerifierWorld, *, leaking: bool) -> None:
        self.world = world
        self.leaking = leaking
        self.kept: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/measure":
            if self.leaking:
                self.kept.append(os.urandom(16 * 1024))
            await self.world.client.app(scope, receive, send)
            return
        gc.collect()
        poller = self.world.verifier.events
        polling = [each for each in asyncio.all_tasks() if each is poller._task]
        body = orjson.dumps(
            {
                "kib": _resident(),
                "threads": threading.active_count(),
                "listeners": len(poller._listeners),
                "polling": len(polling),
            }
        )
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def main(folder: Path, counters: int, *, leaking: bool) -> None:
    names = [str(number) for number in range(counters)]
    tenants = {"counter": TENANT | {"desks": names}}
    with VerifierWorld.make(folder, sqlite_url(folder), tenants=tenants) as world:
        clerk = Clerk.at(world, names[0])
        scope = {"path": "/", "headers": [(b"cookie", clerk.staff.cookie.encode())]}
        staff = world.verifier.staff.sessions.check(scope, "counter")
        seated = desks.Clerk("counter", staff.id, staff.secret)
        for name in names:
            desks.sit(world.verifier, seated, name)
            desks.ask(world.verifier, seated, name, "over_18")
        link = clerk.now()["link"]
        wallet = HolderWallet(world)
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        answer = wallet.encrypt(opened := wallet.open(link), wallet.present(opened))
        ready = {
            "port": listener.getsockname()[1],
            "cookie": clerk.staff.cookie,
            "visit": clerk.now()["visit"],
            "response": [opened.response_path, answer.decode()],
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        app = Measured(world, leaking=leaking)
        quiet: dict[str, Any] = {"log_config": None, "access_log": False, "lifespan": "off"}
        config = uvicorn.Config(app, http=BoundedHttp, ws="none", **quiet)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), leaking=len(sys.argv) > 3)
