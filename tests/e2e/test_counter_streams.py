"""A thousand open counters on one worker: no thread each, one look at the database, no growth.

Every counter is a connection of its own that listens for its answer (server-sent events); they
come and go in rounds, as tablets do whose network fails. Bounds, not times.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COUNTERS = 1_000
WARM_UP, ROUNDS = 2, 3
AT_ONCE = 50  # are opened, so that the listener's queue holds them
KIB_OPEN = 100  # for each open counter, all caches of a process that had done nothing included
KIB_GONE = 3  # for each that has come and gone
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Live:
    """The process, and what it said."""

    port: int
    cookie: str
    visit: int
    response: tuple[str, str]

    async def send(self, head: str, body: str = "") -> tuple[Any, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = f"{head}\r\nHost: verifier.example\r\n"
        if body:
            lines += f"Content-Type: {FORM}\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{lines}\r\n{body}".encode())
        await writer.drain()
        return reader, writer

    async def listen(self, desk: int) -> tuple[Any, Any]:
        """An open stream, after its first event."""
        path = f"/staff/counter/desks/{desk}/events?visit={self.visit}"
        reader, writer = await self.send(f"GET {path} HTTP/1.1\r\nCookie: {self.cookie}")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readuntil(b'"}')
        return reader, writer

    async def measure(self) -> dict[str, int]:
        reader, writer = await self.send("GET /measure HTTP/1.1\r\nConnection: close")
        answer = await reader.read()
        writer.close()
        found: dict[str, int] = json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])
        return found

    async def settled(self, listeners: int) -> dict[str, int]:
        """What is held once so many listen."""
        while True:
            found = await self.measure()
            if found["listeners"] == listeners:
                return found
            await asyncio.sleep(0.05)


@contextmanager
def started(folder: Path, counters: int, *, leaking: bool = False) -> Iterator[Live]:
    arguments = [str(folder), str(counters), *(["leaking"] if leaking else [])]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.many_counters", *arguments], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield Live(said["port"], said["cookie"], said["visit"], tuple(said["response"]))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def open_all(live: Live, counters: int) -> list[tuple[Any, Any]]:
    opened: list[tuple[Any, Any]] = []
    for first in range(0, counters, AT_ONCE):
        opened += await asyncio.gather(*map(live.listen, range(first, first + AT_ONCE)))
    return opened


async def close_all(live: Live, opened: list[tuple[Any, Any]]) -> dict[str, int]:
    for _, writer in opened:
        writer.close()
    for _, writer in opened:
        with suppress(OSError):
            await writer.wait_closed()
    return await live.settled(0)


async def one_round(live: Live, counters: int) -> dict[str, int]:
    """All come, are held, and go; what is held while they are there."""
    opened = await open_all(live, counters)
    held = await live.settled(counters)
    await close_all(live, opened)
    return held


async def grown(live: Live, counters: int, *, warm_up: int, rounds: int) -> float:
    """KiB that each further stream leaves behind."""
    for _ in range(warm_up):
        held = await one_round(live, counters)
    for _ in range(rounds):
        last = await one_round(live, counters)
    return (last["kib"] - held["kib"]) / (rounds * counters)


async def whole(live: Live) -> None:
    before = await live.measure()
    held = await one_round(live, COUNTERS)
    assert held["threads"] <= before["threads"] + 80, "a thread for each counter"
    assert held["polling"] == 1, "one look at the database is enough for all"
    assert (held["kib"] - before["kib"]) / COUNTERS <= KIB_OPEN
    assert await grown(live, COUNTERS, warm_up=WARM_UP, rounds=ROUNDS) <= KIB_GONE
    await one_answer(live)


async def one_answer(live: Live) -> None:
    """A wallet answers at the first desk: its stream says so and ends; the others are silent."""
    opened = await open_all(live, COUNTERS)
    path, body = live.response
    reader, writer = await live.send(f"POST {path} HTTP/1.1", body)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    told = await opened[0][0].read()
    assert b'"state":"verified"' in told
    assert (await live.settled(COUNTERS - 1))["polling"] == 1
    assert not any(reader.at_eof() for reader, _ in opened[1:])
    await close_all(live, opened)


def test_a_thousand_counters_stream_on_one_worker(tmp_path: Path) -> None:
    """Issue, "Done when"; PERFORMANCE 4: bounded in memory and threads, whoever comes and goes."""
    with started(tmp_path, COUNTERS) as live:
        asyncio.run(asyncio.wait_for(whole(live), timeout=300))


def test_a_server_that_keeps_what_it_streamed_is_found_out(tmp_path: Path) -> None:
    """The positive control: 16 KiB of each stream are kept."""
    with started(tmp_path, 200, leaking=True) as live:
        growing = grown(live, 200, warm_up=2, rounds=3)
        assert asyncio.run(asyncio.wait_for(growing, timeout=300)) > KIB_GONE
