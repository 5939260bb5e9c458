"""The threads that run acts.

An act is a plain `def`: it calls the database, an HSM, another service, and blocks while it does.
One hop to one of these threads costs about half of what a general executor takes
(ADR 0008): one queue there, one `call_soon_threadsafe` back, no second future, no copied
context.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class _Task(Generic[T]):
    __slots__ = ("act", "error", "loop", "result", "waiting")

    def __init__(self, act: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        self.act = act
        self.loop = loop
        self.waiting: asyncio.Future[T] = loop.create_future()
        self.result: T
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.act()
        except BaseException as error:  # noqa: BLE001  # it is raised again where it is awaited
            self.error = error
        try:
            self.loop.call_soon_threadsafe(self.settle)
        except RuntimeError:  # the loop has ended, nobody waits any more
            return

    def settle(self) -> None:
        if self.waiting.cancelled():
            return
        if self.error is None:
            self.waiting.set_result(self.result)
        else:
            self.waiting.set_exception(self.error)


class Threads:
    """At most *size* daemon threads, started as they are needed."""

    def __init__(self, size: int = 32) -> None:
        self._queue: SimpleQueue[_Task[object] | None] = SimpleQueue()
        self._size = size
        self._running = 0
        self._busy = 0
        self._lock = threading.Lock()

    async def run(self, act: Callable[[], T]) -> T:
        """The result of `act()`, or what it raised."""
        task = _Task(act, asyncio.get_running_loop())
        if self._busy >= self._running < self._size:
            self._start()
        self._busy += 1
        try:
            self._queue.put(task)  # type: ignore[arg-type]  # the queue does not look into tasks
            return await task.waiting
        finally:
            self._busy -= 1

    def _start(self) -> None:
        with self._lock:
            self._running += 1
            name = f"act-{self._running}"
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            task.run()
            del task  # what an act held must not live until the next one comes

    def stop(self) -> None:
        """Let the threads end after what is queued."""
        with self._lock:
            for _ in range(self._running):
                self._queue.put(None)
            self._running = 0
