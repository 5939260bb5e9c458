"""Long flows as resources: a step, what may be done next, an end; resumable and idempotent.

The step and everything needed to go on are recorded, sealed, before each call to the outside, so a
crash resumes. A flow changes by one guarded UPDATE, from what was read: of two requests, one goes
on, also when both would leave it at the same step.

Specification: WALLET_SECURITY, sections 6 and 9.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, bindparam, select, update

from shared.encoding import JsonValue, from_numeric_date, to_numeric_date
from shared.errors import Conflict, ExpectedError, NotFound, Unavailable
from shared.runtime.database import insert_once
from shared.runtime.prepared import Prepared

from . import coarse
from .context import Wallet
from .registering import new_id
from .vault import OpenWallet

_NOT_ANSWERED = ("failed", "unavailable")


class StepChanged(Conflict):
    """The flow is elsewhere, or has ended."""

    code = "step_changed"
    public = "This has gone on meanwhile, or has ended."
    next_step = "Read the resource again: allowed_actions says what can be done."


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow, opened. *state* is a copy: `advance` stores what it is given.

    *sealed* is the row as it was read or written last: who finds another one there stops.
    """

    id: str
    step: str
    state: dict[str, Any]
    expires_at: datetime
    sealed: bytes


def begin(
    wallet: Wallet,
    opened: OpenWallet,
    table: Table,
    *,
    prefix: str,
    step: str,
    state: Mapping[str, JsonValue],
    idempotency_key: str | None,
    expires_at: datetime,
) -> tuple[Flow, bool]:
    """A new flow, or the one begun with the same Idempotency-Key; and whether it is new."""
    request_key = wallet.random_bytes(32)
    if idempotency_key is not None:
        request_key = hashlib.sha256(idempotency_key.encode()).digest()
    flow_id, expires_at = new_id(wallet, prefix), expires_at.replace(microsecond=0)
    row: dict[str, Any] = {
        "id": flow_id,
        "wallet": opened.id,
        "step": step,
        "request_key": request_key,
        "sealed": _seal(opened, table, flow_id, state, expires_at),
        "expires_at": coarse.by_day(expires_at),
    }
    with wallet.database.transaction() as connection:
        if insert_once(connection, table, row):
            return Flow(flow_id, step, dict(state), expires_at, row["sealed"]), True
        found = connection.execute(
            select(table.c.id).where(
                table.c.wallet == opened.id, table.c.request_key == request_key
            )
        ).scalar_one()
    return load(wallet, opened, table, found), False


def load(wallet: Wallet, opened: OpenWallet, table: Table, flow_id: str) -> Flow:
    """The flow as it stands; raises NotFound if it is not one of this wallet."""
    row = _found(table).row(wallet.database, {"of_flow": flow_id, "of_wallet": opened.id})
    if row is None:
        raise NotFound("flow: not one of this wallet")
    return _open(opened, table, row)


def under_way(
    wallet: Wallet, opened: OpenWallet, table: Table, steps: Collection[str], *, now: datetime
) -> list[Flow]:
    """The flows of this wallet that stand at one of *steps* and have not expired."""
    statement = select(table.c.id, table.c.step, table.c.sealed).where(
        table.c.wallet == opened.id, table.c.step.in_(steps), table.c.expires_at > now
    )
    with wallet.database.reading() as connection:
        rows = connection.execute(statement).all()
    found = [_open(opened, table, row) for row in rows]
    return [each for each in found if now < each.expires_at]


def expect(flow: Flow, *steps: str, now: datetime) -> None:
    """The flow stands at one of *steps* and has not expired; raises StepChanged otherwise."""
    if flow.step not in steps or now >= flow.expires_at:
        raise StepChanged(f"flow: at {flow.step}")


def advance(
    connection: Connection,
    opened: OpenWallet,
    table: Table,
    flow: Flow,
    *,
    to: str,
    state: Mapping[str, JsonValue],
    expires_at: datetime | None = None,
) -> Flow:
    """Go from where *flow* stands to the step *to*, if nobody touched it since it was read."""
    end = (expires_at or flow.expires_at).replace(microsecond=0)
    sealed = _seal(opened, table, flow.id, state, end)
    values = {
        "of_flow": flow.id,
        "of_wallet": opened.id,
        "at_step": flow.step,
        "as_read": flow.sealed,
        "new_step": to,
        "new_sealed": sealed,
        "new_end": coarse.by_day(end),
    }
    if not _moved(table).changed(connection, values):
        raise StepChanged(f"flow: not as it was at {flow.step}")
    return Flow(flow.id, to, dict(state), end, sealed)


def record(
    wallet: Wallet,
    opened: OpenWallet,
    table: Table,
    flow: Flow,
    *,
    to: str,
    state: Mapping[str, JsonValue],
    expires_at: datetime | None = None,
) -> Flow:
    """`advance` as a transaction of its own: before and after each call to the outside."""
    with wallet.database.single() as connection:
        return advance(connection, opened, table, flow, to=to, state=state, expires_at=expires_at)


@cache
def _found(table: Table) -> Prepared:
    mine = (table.c.id == bindparam("of_flow"), table.c.wallet == bindparam("of_wallet"))
    return Prepared(select(table.c.id, table.c.step, table.c.sealed).where(*mine))


@cache
def _moved(table: Table) -> Prepared:
    return Prepared(
        update(table)
        .where(
            table.c.id == bindparam("of_flow"),
            table.c.wallet == bindparam("of_wallet"),
            table.c.step == bindparam("at_step"),
            table.c.sealed == bindparam("as_read"),
        )
        .values(
            step=bindparam("new_step"),
            sealed=bindparam("new_sealed"),
            expires_at=bindparam("new_end"),
        )
    )


def _seal(
    opened: OpenWallet, table: Table, flow_id: str, state: Mapping[str, JsonValue], end: datetime
) -> bytes:
    """What the row holds: the state, and the exact end, of which the clear tells only the day."""
    return opened.seal(table, flow_id, {"until": to_numeric_date(end), "state": state})


def _open(opened: OpenWallet, table: Table, row: Any) -> Flow:
    content = opened.open(table, row.id, row.sealed)
    end = from_numeric_date(content["until"])
    return Flow(row.id, row.step, content["state"], end, row.sealed)


def unresolved(flow: Flow) -> bool:
    """Whether a repeated scan has to look again: cut off, or somebody did not answer."""
    return flow.step == "resolving" or (flow.step, flow.state.get("reason")) == _NOT_ANSWERED


def failure(error: ExpectedError, *, otherwise: str) -> dict[str, JsonValue]:
    """The state of a flow that *error* ends at `resolving`."""
    if isinstance(error, Unavailable):
        return {"reason": "unavailable"}
    return {"reason": getattr(error, "error", getattr(error, "reason", otherwise))}


def resolve(
    wallet: Wallet,
    opened: OpenWallet,
    table: Table,
    flow: Flow,
    *,
    to: str,
    state: Mapping[str, JsonValue],
    expires_at: datetime | None = None,
) -> Flow:
    """`record` at the end of `resolving`: it only reads, so who repeats a scan does it again.

    After a crash that finishes the flow; of two at once the first decides for both.
    """
    try:
        return record(wallet, opened, table, flow, to=to, state=state, expires_at=expires_at)
    except StepChanged:
        return load(wallet, opened, table, flow.id)
