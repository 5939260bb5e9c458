"""Server-sent events: an open wallet's flows as they move, on whichever replica they moved.

The database is what replicas share, so each worker asks it, in one statement a table for everybody
who listens here; nothing runs while nobody listens. An event has the ids and steps of the resources
and nothing else; what there is to see is read from them. Who listens again is told first what is
under way, so nothing has to be resumed. Listening ends with the session and does not prolong it.

Specification: WALLET_SECURITY, section 9; WHATWG HTML, section 9.2.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from weakref import WeakSet

from sqlalchemy import Connection, select

from shared.encoding import dump_json
from shared.errors import TooManyRequests, Unavailable
from shared.runtime.database import Database, portions

from .tables import approvals, issuances, presentations, wallets

Steps: TypeAlias = Mapping[tuple[str, str], Mapping[str, str | int]]
"""By kind and id: what an event says of it."""
Look: TypeAlias = tuple[Mapping[str, Steps], Collection[bytes]]
InThread: TypeAlias = Callable[[Callable[[], Look]], Awaitable[Look]]
StillOpen: TypeAlias = Callable[[Collection[bytes]], Collection[bytes]]

MAX_OF_ONE_WALLET = 4
MAX_LISTENERS = 200  # of one process
_KEEP_ALIVE_SECONDS = 15.0
_PORTION = 256
_ENDED = frozenset({"stored", "discarded", "failed", "refused", "done", "consumed"})
_FLOWS = (
    ("issuance", issuances, issuances.c.step),
    ("presentation", presentations, presentations.c.step),
    ("approval", approvals, approvals.c.state),
)


class TooManyListeners(TooManyRequests):
    """Somebody forgot to hang up."""

    code = "too_many_streams"
    public = "This wallet is listening at too many places."
    next_step = "Close one of them, or read the resource from time to time instead."


@dataclass(eq=False)
class Listener:
    """One stream; forgotten with it, also if it never began."""

    wallet: str
    token: bytes = field(repr=False)
    steps: Steps = field(default_factory=dict)
    open: bool = True
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, steps: Steps, *, is_open: bool) -> None:
        """What was found now."""
        if steps != self.steps or not is_open:
            self.steps, self.open = steps, is_open
            self.moved.set()


class Events:
    """One for each worker: tells those who listen here when something in their wallet moved.

    Args:
        database: where the flows are.
        still_open: which of some session tokens have not ended, see `sessions.py`.
        interval: seconds between two looks.
    """

    def __init__(self, database: Database, still_open: StillOpen, *, interval: float) -> None:
        self._database = database
        self._still_open = still_open
        self._interval = interval
        self._listeners: WeakSet[Listener] = WeakSet()
        self._task: asyncio.Task[None] | None = None

    def listen(self, wallet_id: str, token: bytes) -> Listener:
        """A place for one more of the session of *token*; raises TooManyListeners."""
        mine = sum(each.wallet == wallet_id for each in self._listeners)
        if mine >= MAX_OF_ONE_WALLET or len(self._listeners) >= MAX_LISTENERS:
            raise TooManyListeners("events: too many listen")
        listener = Listener(wallet_id, token)
        self._listeners.add(listener)
        return listener

    async def stream(self, listener: Listener, *, in_thread: InThread) -> AsyncIterator[bytes]:
        """What moves in the wallet of *listener*, until its session ends.

        Args:
            listener: from `listen`, so its right to listen was checked.
            in_thread: runs what blocks elsewhere.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll(in_thread))
        told: Steps = {}
        try:
            yield b"retry: 2000\n\n"
            while listener.open:
                try:
                    await asyncio.wait_for(listener.moved.wait(), _KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                listener.moved.clear()
                for (kind, name), said in listener.steps.items():
                    before = told.get((kind, name))
                    if said != before and (before is not None or said["step"] not in _ENDED):
                        yield _event(kind, {"id": name, **said})
                told = listener.steps
            yield _event("end", {})
        finally:
            self._listeners.discard(listener)

    async def _poll(self, in_thread: InThread) -> None:
        while self._listeners:
            await self._tell(in_thread)
            await asyncio.sleep(self._interval)

    async def _tell(self, in_thread: InThread) -> None:
        listeners = tuple(self._listeners)
        try:
            found, still_open = await in_thread(lambda: self._look(listeners))
        except Unavailable:
            return  # the database is away for a moment; it was logged
        for each in listeners:
            each.tell(found.get(each.wallet, {}), is_open=each.token in still_open)

    def _look(self, listeners: Collection[Listener]) -> Look:
        still_open = self._still_open({each.token for each in listeners})
        found: dict[str, Steps] = {}
        with self._database.reading() as connection:
            for ids in portions(list({each.wallet for each in listeners}), _PORTION):
                found |= _steps(connection, ids)
        return found, still_open


def _steps(connection: Connection, wallet_ids: Collection[str]) -> Mapping[str, Steps]:
    found: dict[str, dict[tuple[str, str], Mapping[str, str | int]]] = defaultdict(dict)
    for kind, table, step in _FLOWS:
        flows = select(table.c.wallet, table.c.id, step.label("step")).where(
            table.c.wallet.in_(wallet_ids)
        )
        for row in connection.execute(flows):
            found[row.wallet][kind, row.id] = {"step": row.step}
    whole = select(wallets.c.id, wallets.c.state, wallets.c.version).where(
        wallets.c.id.in_(wallet_ids)
    )
    for row in connection.execute(whole):
        found[row.id]["wallet", row.id] = {"step": row.state, "version": row.version}
    return found


def _event(kind: str, said: Mapping[str, str | int]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), dump_json(said))
