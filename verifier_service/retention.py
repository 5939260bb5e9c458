"""What time does to transactions, by a job any replica may take: end, record, forget.

Nothing waits for this job to be true: what has run out is treated as over from that moment on. The
job makes it so in the database, in small portions found by `due_at` alone (S-03, V-03, DESIGN
section 6). A transaction's start and end reach the audit trail before anything of it is erased, and
nothing is erased that is under a legal hold.
"""

from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Delete,
    Update,
    bindparam,
    case,
    delete,
    insert,
    literal,
    null,
    or_,
    select,
    tuple_,
    union_all,
    update,
)

from shared.runtime.database import portions
from shared.runtime.document_store import forget_documents

from . import webhooks
from .context import Verifier
from .results import rejection
from .tables import audit, guesses, metadata, transactions
from .transactions import ENDED, OPEN, UNLESS_HELD, State, values

_PORTION = 512
_DOCUMENTS = timedelta(days=365)  # fetched ones, which end long before
_t = transactions.c
_KEY = tuple_(_t.tenant, _t.id)
_ENDING = {
    "due_at": bindparam("now_"),
    "ended_at": _t.expires_at,
    "request_object": null(),
    "sealed_request": null(),
    "sealed_claims": null(),
    "claims_until": null(),
    "response_code_hash": null(),
    "sealed_dc": null(),
}
_NOT_HELD = or_(_t.held_until.is_(None), _t.held_until <= bindparam("now_"))


def _due(statement: Update | Delete, *which: ColumnElement[bool]) -> Update | Delete:
    found = select(_t.tenant, _t.id).where(_t.due_at <= bindparam("now_"), *which).limit(_PORTION)
    return statement.where(_KEY.in_(found), *which)


_END = (
    # 1. Nobody answered in time (V-03); the decryption key goes with it (V-21).
    _due(
        update(transactions).values(state=State.EXPIRED.value, **_ENDING),
        _t.state.in_(values(OPEN)),
    ),
    # 2. Answered, but the browser did not come back (V-50).
    _due(
        update(transactions).values(
            state=State.REJECTED.value,
            reason="not_returned",
            outcome=rejection("not_returned"),
            **(_ENDING | UNLESS_HELD),
        ),
        _t.state == State.RESPONDED.value,
    ),
)
_FORGET = (
    # 4. The claims' retention has ended; the result outlives them.
    _due(
        update(transactions).values(
            due_at=bindparam("later_"), sealed_claims=null(), claims_until=null()
        ),
        _t.audited,
        _t.sealed_claims.is_not(None),
        _NOT_HELD,
    ),
    # 5. The result's retention has ended as well.
    _due(delete(transactions), _t.audited, _t.sealed_claims.is_(None), _NOT_HELD),
)

# 3. What ended is recorded, once.
_ENDED = (
    select(_t.tenant, _t.id)
    .where(_t.due_at <= bindparam("now_"), ~_t.audited, _t.state.in_(values(ENDED)))
    .limit(_PORTION)
)
_THESE = _KEY.in_(bindparam("keys_", expanding=True))


def _records() -> CompoundSelect[tuple[object, ...]]:
    start = select(
        _t.tenant,
        _t.id + ":start",
        _t.created_at,
        _t.client,
        literal("start"),
        _t.id,
        _t.purpose,
        null(),
    ).where(_THESE)
    end = select(
        _t.tenant,
        _t.id + ":end",
        _t.ended_at,
        case((_t.state == State.EXPIRED.value, "time"), else_="wallet"),
        literal("end"),
        _t.id,
        _t.purpose,
        case((_t.reason.is_(None), _t.state), else_=_t.reason),
    ).where(_THESE)
    return union_all(start, end)


_COLUMNS = ["tenant", "id", "at", "actor", "act", "subject", "purpose", "reason"]
_RECORD = insert(audit).from_select(_COLUMNS, _records())
_RECORDED = (
    update(transactions)
    .where(_THESE)
    .values(
        audited=True,
        due_at=case((_t.sealed_claims.is_not(None), _t.claims_until), else_=bindparam("later_")),
    )
)


def erase_due(verifier: Verifier, now: datetime) -> int:
    """Do what is due at *now*; returns how often a transaction was touched."""
    times = {"now_": now, "later_": now + verifier.settings.result_retention}
    touched = sum(_all(verifier, statement, times) for statement in _END)
    touched += _record(verifier, times)
    with verifier.database.single() as connection:
        connection.execute(delete(guesses).where(guesses.c.expires_at <= now))
    return touched + sum(_all(verifier, statement, times) for statement in _FORGET)


def forget(verifier: Verifier, now: datetime) -> None:
    """Delete messages that were delivered or given up, and what was fetched long ago."""
    before = now - verifier.settings.result_retention
    webhooks.forget(verifier.database, verifier.tenants, before=before)
    forget_documents(verifier.database, metadata, before=now - _DOCUMENTS)


def _all(verifier: Verifier, statement: Update | Delete, times: dict[str, datetime]) -> int:
    touched = 0
    while True:
        with verifier.database.single() as connection:
            count = connection.execute(statement, times).rowcount
        touched += count
        if count < _PORTION:
            return touched


def _record(verifier: Verifier, times: dict[str, datetime]) -> int:
    touched = 0
    while True:
        with verifier.database.transaction() as connection:
            found = connection.execute(_ENDED, times).all()
            if found:
                ended = [(each.tenant, each.id) for each in found]
                (keys,) = portions(ended, _PORTION)
                connection.execute(_RECORD, {"keys_": keys})
                connection.execute(_RECORDED, {**times, "keys_": keys})
                told = [key for key in ended if verifier.has_webhook(key[0])]
                for these in portions(told, _PORTION):
                    webhooks.tell_ended(connection, these, now=times["now_"])
        touched += len(found)
        if len(found) < _PORTION:
            return touched
