"""The life of a transaction: its states, and the statements that move it (V-03).

created → requested → verified | rejected | refused | expired, with `responded` before the end in
the flows of one device, where an answer is released only to the browser that comes back with it
(V-50); a clerk's override may follow rejected, deleted may follow anything. Every move is one
UPDATE whose WHERE names the states it may leave: of two that race, the row count says who was first
(S-02). Whatever leaves the open states loses its keys in the same statement.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from sqlalchemy import Connection, Update, bindparam, case, func, insert, null, or_, select, update

from shared.runtime.database import UtcDateTime, once
from shared.runtime.prepared import Prepared, PreparedInsert

from .tables import audit, transactions

TransactionRow: TypeAlias = Any
"""The columns of one of the SELECTs below, by name."""


class State(StrEnum):
    """Where a transaction is."""

    CREATED = "created"
    REQUESTED = "requested"  # a wallet has fetched the Request Object
    RESPONDED = "responded"  # same device: verified, the browser has not come back yet
    VERIFIED = "verified"
    REJECTED = "rejected"
    REFUSED = "refused"  # by the citizen, in the wallet
    EXPIRED = "expired"
    DELETED = "deleted"


OPEN = (State.CREATED, State.REQUESTED)
ENDED = frozenset(State).difference({*OPEN, State.RESPONDED})

# The number of the event that announces a state; states only move to a higher one (results by
# events).
EVENT_NUMBERS = {
    State.CREATED: 1,
    State.REQUESTED: 2,
    State.RESPONDED: 3,
    State.VERIFIED: 4,
    State.REFUSED: 4,
    State.EXPIRED: 4,
    State.REJECTED: 5,  # also after "verified": a response code that comes twice (V-50)
    State.DELETED: 6,
}


def state_now(row: TransactionRow, now: datetime) -> State:
    """The state in force: what has run out is over, also before the retention job says so."""
    state = State(row.state)
    if now >= row.expires_at:
        if state in OPEN:
            return State.EXPIRED
        if state is State.RESPONDED:
            return State.REJECTED
    return state


def timestamp(moment: datetime) -> str:
    """RFC 3339 in whole seconds, as answers say it."""
    return f"{moment.isoformat()[:19]}Z"


def values(states: Iterable[State]) -> list[str]:
    """As the database knows them."""
    return sorted(each.value for each in states)


_t = transactions.c
_HERE = _t.tenant == bindparam("tenant_"), _t.id == bindparam("id_")

FOR_CALLER = Prepared(
    select(
        _t.id,
        _t.client,
        _t.query,
        _t.purpose,
        _t.flow,
        _t.state,
        _t.secret_hash,
        _t.created_at,
        _t.expires_at,
        _t.ended_at,
        _t.reason,
        _t.outcome,
        _t.sealed_claims,
        _t.claims_until,
        _t.fingerprint,
        _t.held_until,
    ).where(*_HERE)
)

_BY_REQUEST = _t.tenant == bindparam("tenant_"), _t.request_id == bindparam("request_id_")

FOR_WALLET = Prepared(
    select(
        _t.id,
        _t.client,
        _t.query,
        _t.flow,
        _t.state,
        _t.expires_at,
        _t.return_url,
        _t.sealed_request,
        _t.browser_hash,
    ).where(*_BY_REQUEST)
)

FOR_BROWSER = Prepared(
    select(
        _t.id,
        _t.request_id,
        _t.client,
        _t.query,
        _t.purpose,
        _t.flow,
        _t.state,
        _t.reason,
        _t.expires_at,
        _t.return_url,
        _t.browser_hash,
        _t.sealed_request,
        _t.sealed_dc,
    ).where(*_HERE)
)

BIND_BROWSER = Prepared(
    update(transactions)
    .where(
        *_HERE,
        _t.browser_hash.is_(None),
        _t.state == State.CREATED.value,
        _t.expires_at > bindparam("now_"),
    )
    .values(browser_hash=bindparam("browser_hash_"))
)
"""The first browser that opens the page is the one that started; of two that race, one is."""

ASK_BROWSER = Prepared(
    update(transactions)
    .where(
        *_HERE,
        _t.browser_hash == bindparam("browser_hash_"),
        or_(_t.state == State.CREATED.value, _t.state == State.REQUESTED.value),
        _t.expires_at > bindparam("now_"),
    )
    .values(state=State.REQUESTED.value, sealed_dc=bindparam("sealed_dc_"))
)

COME_BACK = Prepared(
    update(transactions)
    .where(
        *_HERE,
        _t.browser_hash == bindparam("browser_hash_"),
        _t.response_code_hash == bindparam("response_code_hash_"),
        _t.state == State.RESPONDED.value,
        _t.expires_at > bindparam("now_"),
    )
    .values(browser_hash=null(), response_code_hash=bindparam("next_hash_"))
)
"""The start cookie and the response code together, once; the asker gets a code of its own."""

REQUEST_OBJECT = Prepared(
    select(_t.request_object, _t.query, _t.state, _t.expires_at).where(*_BY_REQUEST)
)

FETCH = Prepared(
    update(transactions)
    .where(*_BY_REQUEST, _t.state == State.CREATED.value, _t.expires_at > bindparam("now_"))
    .values(state=State.REQUESTED.value)
    .returning(_t.request_object)
)

_REQUIRED = [each.name for each in _t if not each.nullable]
BEGIN = PreparedInsert(
    transactions,
    [*_REQUIRED, "fingerprint", "return_url", "request_object", "sealed_request"],
)

_NO_KEYS = {"request_object": null(), "sealed_request": null(), "sealed_dc": null()}
_NO_CLAIMS = {
    "sealed_claims": null(),
    "claims_until": null(),
    "response_code_hash": null(),
}

ANSWER = Prepared(
    update(transactions)
    .where(
        *_HERE,
        or_(_t.state == State.CREATED.value, _t.state == State.REQUESTED.value),
        _t.expires_at > bindparam("now_"),
    )
    .values(
        state=bindparam("state_"),
        ended_at=bindparam("ended_at_"),
        due_at=bindparam("due_at_"),
        reason=bindparam("reason_"),
        outcome=bindparam("outcome_"),
        sealed_claims=bindparam("sealed_claims_"),
        claims_until=bindparam("claims_until_"),
        response_code_hash=bindparam("response_code_hash_"),
        browser_hash=bindparam("browser_hash_"),
        **_NO_KEYS,
    )
)

RELEASE = (
    update(transactions)
    .where(
        *_HERE,
        _t.state == State.RESPONDED.value,
        _t.expires_at > bindparam("now_"),
        _t.response_code_hash == bindparam("response_code_hash_"),
        _t.browser_hash.is_(None),  # a page of ours saw its cookie first
    )
    .values(state=State.VERIFIED.value, ended_at=bindparam("now_"), due_at=bindparam("now_"))
)


OVERRIDE = (
    update(transactions)
    .where(
        *_HERE,
        _t.state == State.REJECTED.value,
        _t.sealed_claims.is_not(None),
        _t.claims_until > bindparam("now_"),
    )
    .values(state=State.VERIFIED.value, reason=null(), outcome=bindparam("outcome_"))
)
"""Claims of a rejected answer are there only where a clerk may still accept it."""

HOLD = update(transactions).where(*_HERE).values(held_until=bindparam("until_"))


_HELD = _t.held_until > bindparam("now_", type_=UtcDateTime())
UNLESS_HELD = {
    name: case((_HELD, _t[name]), else_=null()) for name in ("sealed_claims", "claims_until")
}
"""Erases claims, unless somebody with the right to do so said that nothing is to be erased yet."""


def _end(state: State, *leaving: State, **claims: object) -> Update:
    return (
        update(transactions)
        .where(*_HERE, _t.state.in_(values(leaving)))
        .values(
            state=state.value,
            ended_at=func.coalesce(_t.ended_at, bindparam("now_")),
            due_at=bindparam("now_"),
            reason=bindparam("reason_"),
            outcome=bindparam("outcome_"),
            **(_NO_KEYS | _NO_CLAIMS | claims),
        )
    )


REJECT_RETURN = _end(State.REJECTED, State.RESPONDED, State.VERIFIED, **UNLESS_HELD)
DELETE = _end(State.DELETED, *(each for each in State if each is not State.DELETED)).where(
    or_(_t.held_until.is_(None), ~_HELD)
)

CANCEL = Prepared(
    update(transactions)
    .where(*_HERE, or_(_t.state == State.CREATED.value, _t.state == State.REQUESTED.value))
    .values(
        state=State.DELETED.value,
        ended_at=bindparam("now_"),
        due_at=bindparam("now_"),
        reason="cancelled",
        **_NO_KEYS,
        **_NO_CLAIMS,
    )
)
"""Withdrawn before an answer came."""

FORGET_CLAIMS = Prepared(
    update(transactions)
    .where(
        *_HERE,
        _t.sealed_claims.is_not(None),
        or_(_t.held_until.is_(None), _t.held_until <= bindparam("now_")),
    )
    .values(
        sealed_claims=null(),
        claims_until=null(),
        due_at=case((_t.audited, bindparam("later_", type_=UtcDateTime())), else_=_t.due_at),
    )
)
"""Before their retention ends; the result stays for its own."""

_AUDIT = insert(audit)


def record(
    connection: Connection,
    row: TransactionRow,
    *,
    tenant: str,
    actor: str,
    act: str,
    reason: str | None,
    now: datetime,
    number: str = "",
    legal_basis: str | None = None,
    second_approver: str | None = None,
) -> None:
    """Write the audit row of an act other than start and end, in the transaction of the act.

    Args:
        connection: in the transaction of the act.
        row: the transaction, with `id` and `purpose`.
        tenant: whose trail.
        actor: an API client, or "browser".
        act: what was done; with *number*, of something that may be done several times.
        reason: a reason code.
        now: when.
        number: makes the row's id unique beside the act.
        legal_basis: as the actor states it.
        second_approver: as the actor states it.
    """
    connection.execute(
        _AUDIT,
        {
            "tenant": tenant,
            "id": f"{row.id}:{act}{number}",
            "at": now,
            "actor": actor,
            "act": act,
            "subject": row.id,
            "purpose": row.purpose,
            "reason": reason,
            "legal_basis": legal_basis,
            "second_approver": second_approver,
            "sequence": None,
            "hash": None,
        },
    )


def move(connection: Connection, statement: Update, values: Mapping[str, object]) -> bool:
    """Whether this guarded UPDATE was the one that moved the transaction."""
    return once(connection, statement, values)
