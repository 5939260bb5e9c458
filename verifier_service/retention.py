"""What time does to transactions, by a job any replica may take: end, forget claims, forget all.

Nothing waits for this job to be true: what has run out is treated as over from that moment on. The
    job makes it so in the database, in small portions found by `due_at` alone (S-03, V-03, DESIGN
    section 6).
"""

from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Delete,
    Update,
    bindparam,
    delete,
    null,
    select,
    tuple_,
    update,
)

from .context import Verifier
from .results import rejection
from .tables import transactions
from .transactions import ENDED, OPEN, State, values

_PORTION = 500
_t = transactions.c
_ENDING = {
    "due_at": bindparam("later_"),
    "ended_at": _t.expires_at,
    "request_object": null(),
    "sealed_request": null(),
    "sealed_claims": null(),
    "claims_until": null(),
    "response_code_hash": null(),
}


def _due(statement: Update | Delete, *which: ColumnElement[bool]) -> Update | Delete:
    found = select(_t.tenant, _t.id).where(_t.due_at <= bindparam("now_"), *which).limit(_PORTION)
    return statement.where(tuple_(_t.tenant, _t.id).in_(found), *which)


_STEPS = (
    # 1. Nobody answered in time (V-03); the decryption key goes with it (V-21).
    _due(update(transactions).values(state=State.EXPIRED.value, **_ENDING), _t.state.in_(values(OPEN))),
    # 2. Answered, but the browser did not come back (V-50).
    _due(
        update(transactions).values(
            state=State.REJECTED.value, outcome=rejection("not_returned"), **_ENDING
        ),
        _t.state == State.RESPONDED.value,
    ),
    # 3. The claims' retention has ended; the result outlives them.
    _due(
        update(transactions).values(
            due_at=bindparam("later_"), sealed_claims=null(), claims_until=null()
        ),
        _t.state == State.VERIFIED.value,
        _t.sealed_claims.is_not(None),
    ),
    # 4. The result's retention has ended as well.
    _due(
        delete(transactions),
        _t.state.in_(values(ENDED)),
        _t.sealed_claims.is_(None),
    ),
)


def erase_due(verifier: Verifier, now: datetime) -> int:
    """Do what is due at *now*; returns how many transactions were touched."""
    touched = 0
    times = {"now_": now, "later_": now + verifier.settings.result_retention}
    for statement in _STEPS:
        while True:
            with verifier.database.single() as connection:
                count = connection.execute(statement, times).rowcount
            touched += count
            if count < _PORTION:
                break
    return touched
