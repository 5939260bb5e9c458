"""Server-sent events: the state of a transaction as it changes, on whichever replica it changed.

The database is what replicas share, so each worker asks it, in one statement for everybody who
listens here, a few times a second; nothing runs while nobody listens. An event's id is the number
of the state, so `Last-Event-ID` resumes without memory. Events carry no verdict and no claims:
those are read (V-52).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field

from sqlalchemy import bindparam, select, tuple_

from shared.encoding import Clock, dump_json
from shared.errors import Unavailable
from shared.runtime.database import Database, portions

from .tables import transactions
from .transactions import ENDED, EVENT_NUMBERS, State, state_now

Key = tuple[str, str]
"""Tenant and transaction id."""
InThread = Callable[[Callable[[], dict[Key, State]]], Awaitable[dict[Key, State]]]

_KEEP_ALIVE_SECONDS = 15.0
_PORTION = 256  # a power of two
_t = transactions.c
_STATES = select(_t.tenant, _t.id, _t.state, _t.expires_at).where(
    tuple_(_t.tenant, _t.id).in_(bindparam("keys_", expanding=True))
)


@dataclass(eq=False)
class _Listener:
    key: Key
    told: State
    states: asyncio.Queue[State] = field(default_factory=asyncio.Queue)


class Poller:
    """One for each worker: tells those who listen here when their transaction has moved."""

    def __init__(self, database: Database, clock: Clock, *, interval: float) -> None:
        self._database = database
        self._clock = clock
        self._interval = interval
        self._listeners: set[_Listener] = set()
        self._task: asyncio.Task[None] | None = None

    async def stream(
        self, key: Key, *, begin: State, after: int, in_thread: InThread
    ) -> AsyncIterator[bytes]:
        """The events of one transaction whose number is above *after*, until it has ended.

        Args:
            key: the right to listen to it was checked.
            begin: its state when that was checked.
            after: `Last-Event-ID`, or 0.
            in_thread: runs what blocks elsewhere.
        """
        listener = _Listener(key, begin)
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll(in_thread))
        state = begin
        try:
            yield b"retry: 1000\n\n"
            while True:
                if EVENT_NUMBERS[state] > after:
                    after = EVENT_NUMBERS[state]
                    data = dump_json({"state": state.value}).decode()
                    yield f"id: {after}\nevent: state\ndata: {data}\n\n".encode()
                if state in ENDED:
                    return
                try:
                    state = await asyncio.wait_for(listener.states.get(), _KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self._listeners.discard(listener)

    async def _poll(self, in_thread: InThread) -> None:
        while self._listeners:
            await asyncio.sleep(self._interval)
            listeners = tuple(self._listeners)
            keys = {each.key for each in listeners}
            try:
                found = await in_thread(lambda keys=keys: self._states(keys))  # type: ignore[misc]
            except Unavailable:
                continue  # the database is away for a moment; it was logged
            for each in listeners:
                state = found.get(each.key, State.DELETED)
                if state is not each.told:
                    each.told = state
                    each.states.put_nowait(state)

    def _states(self, keys: Collection[Key]) -> dict[Key, State]:
        now = self._clock()
        found: dict[Key, State] = {}
        with self._database.reading() as connection:
            for portion in portions(list(keys), _PORTION):
                for row in connection.execute(_STATES, {"keys_": portion}):
                    found[row.tenant, row.id] = state_now(row, now)
        return found
