"""runtime/threads.py: acts in threads, their results and errors where they are awaited."""

import asyncio
import threading
import time

import pytest

from shared.errors import NotFound
from shared.runtime.threads import Threads


def test_results_and_errors_come_back_to_who_waits() -> None:
    def refuses() -> None:
        raise NotFound("sample: gone")

    async def work() -> None:
        threads = Threads(2)
        assert await threads.run(lambda: threading.current_thread().name) == "act-1"
        with pytest.raises(NotFound, match="sample: gone"):
            await threads.run(refuses)
        assert await threads.run(lambda: 7) == 7
        threads.stop()

    asyncio.run(work())


def test_no_more_run_at_once_than_allowed_and_none_is_lost() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def act(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return number

    async def work() -> list[int]:
        threads = Threads(4)
        try:
            return await asyncio.gather(
                *(threads.run(lambda number=number: act(number)) for number in range(40))  # type: ignore[misc]
            )
        finally:
            threads.stop()

    assert asyncio.run(work()) == list(range(40))
    assert most == 4


def test_one_after_the_other_needs_one_thread() -> None:
    async def work() -> set[str]:
        threads = Threads(8)
        names = {await threads.run(lambda: threading.current_thread().name) for _ in range(20)}
        threads.stop()
        return names

    assert asyncio.run(work()) == {"act-1"}


def test_who_no_longer_waits_is_not_answered() -> None:
    ended = threading.Event()

    def slow() -> None:
        time.sleep(0.05)
        ended.set()

    async def work() -> None:
        threads = Threads(1)
        waiting = asyncio.ensure_future(threads.run(slow))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await threads.run(lambda: "next") == "next"
        threads.stop()

    asyncio.run(work())
    assert ended.is_set()
