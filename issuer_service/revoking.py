"""Revoke, suspend, reinstate: by credential or by person, with a reason, audited (I-113).

One issuance is the same data given to one person in every format and copy, and its state is the
state of each of them.
Moves are one guarded UPDATE; a move that the state does not allow is refused with those that it
does. Lists show the change within five seconds; nobody is told it happened before it is in the
database.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, RowMapping, select, update

from shared.encoding import JsonValue, dump_json
from shared.errors import Conflict, InvalidInput, NotFound
from shared.formats.status_states import Status, allowed_moves
from shared.runtime.client_credentials import ApiCaller
from shared.runtime.database import once
from shared.runtime.idempotency import Stored, idempotent

from . import auditing
from .context import Issuer, Tenant
from .offering import Reference
from .paging import before, cursor
from .status_tokens import STATES
from .tables import issuances, metadata

Move = Literal["revoke", "suspend", "reinstate"]
_TARGETS: Mapping[Move, str] = {"revoke": "revoked", "suspend": "suspended", "reinstate": "valid"}
_ACTS: Mapping[Move, str] = {
    "revoke": "credential_revoked",
    "suspend": "credential_suspended",
    "reinstate": "credential_reinstated",
}
_NAMES: Mapping[Status, Move] = {
    Status.INVALID: "revoke",
    Status.SUSPENDED: "suspend",
    Status.VALID: "reinstate",
}
REASONS: Mapping[Move, frozenset[str]] = {
    "revoke": frozenset(
        {
            "issued_in_error",
            "data_changed",
            "superseded",
            "withdrawn",
            "deceased",
            "lost_or_stolen",
            "holder_request",
            "court_order",
        }
    ),
    "suspend": frozenset({"under_review", "lost_or_stolen", "holder_request", "court_order"}),
    "reinstate": frozenset({"review_ended", "found", "holder_request", "court_order"}),
}


PUBLISHED_WITHIN = timedelta(seconds=5)  # ST-33


class Order(BaseModel):
    """Why a state is changed, and on whose word.

    Attributes:
        subject: all credentials about this person, instead of one named in the path.
        credential: with *subject*, only of this configuration.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    reason: Annotated[str, Field(max_length=40)]
    legal_basis: Annotated[str, Field(max_length=200)] | None = None
    second_approver: Annotated[str, Field(max_length=100)] | None = None
    subject: Reference | None = None
    credential: str | None = None


class IssuanceView(BaseModel):
    """An issuance as its agency sees it: no place in a list, no reference to a person.

    Attributes:
        credentials: the configurations it went out as; *credential* is the first of them.
        published_by: when every list shows the last change.
        refresh_after: when a claim that was derived from a date becomes stale.
    """

    issuance_id: str
    offer_id: str
    credential: str
    credentials: list[str]
    state: str
    allowed: list[Move]
    reason: str | None
    issued_at: datetime
    expires_at: datetime
    changed_at: datetime | None
    published_by: datetime | None
    recipient: str | None
    register_version: str | None
    refresh_after: datetime | None
    notified: str | None


class IssuancePage(BaseModel):
    """Some issuances, and the cursor of the next ones if there are more."""

    issuances: list[IssuanceView]
    next: str | None = None


class UnknownReason(InvalidInput):
    """Not one of the reason codes."""

    code = "unknown_reason"

    def __init__(self, move: Move) -> None:
        super().__init__(f"{move}: unknown reason code")
        self.public = f"The reason is not one of: {', '.join(sorted(REASONS[move]))}."


class MoveNotAllowed(Conflict):
    """The state does not allow the move; `allowed` says what it does allow."""

    code = "move_not_allowed"

    def __init__(self, state: str, allowed: Sequence[str]) -> None:
        super().__init__(f"issuance: {state}, so not this move")
        self.public = f"The credential is {state}. Allowed now: {', '.join(allowed) or 'nothing'}."
        self.next_step = f"Choose one of: {', '.join(allowed)}." if allowed else "Issue a new one."
        self.members: Mapping[str, JsonValue] = {"state": state, "allowed": list(allowed)}


def change(
    issuer: Issuer,
    tenant: Tenant,
    caller: ApiCaller,
    move: Move,
    order: Order,
    *,
    issuance_id: str | None,
    key: str | None,
) -> IssuancePage:
    """Make *move* with one issuance, or with all of a person where the state allows it.

    Returns:
        the issuances that were changed, as they are now.

    Raises:
        UnknownReason: the reason is not one for this move.
        NotFound: this tenant has no such issuance, or none about this person.
        MoveNotAllowed: the state does not allow it (of a person: of none of the issuances).

    Specification: Token Status List, section 7.1; PROFILE I-113, ST-04.
    """
    if order.reason not in REASONS[move]:
        raise UnknownReason(move)
    now = issuer.clock()

    def act(connection: Connection) -> Stored:
        rows = _found(issuer, connection, tenant, order, issuance_id)
        moved = [
            row["id"]
            for row in rows
            if move in _moves(tenant, row) and _move(connection, row, move, order, now)
        ]
        if not moved:
            raise MoveNotAllowed(rows[0]["state"], _moves(tenant, rows[0]))
        for each in moved:
            auditing.record(
                issuer,
                connection,
                tenant,
                actor=caller.client_id,
                act=_ACTS[move],
                on=each,
                reason=order.reason,
                legal_basis=order.legal_basis,
                second_approver=order.second_approver,
            )
        return Stored(200, " ".join(moved).encode())

    stored = idempotent(
        issuer.database,
        metadata,
        tenant=tenant.name,
        client=caller.client_id,
        key=key,
        request=dump_json([move, issuance_id, order.model_dump_json()]),
        now=now,
        act=act,
    )
    return IssuancePage(
        issuances=[get(issuer, tenant, each) for each in stored.body.decode().split()]
    )


def _found(
    issuer: Issuer,
    connection: Connection,
    tenant: Tenant,
    order: Order,
    issuance_id: str | None,
) -> Sequence[RowMapping]:
    statement = select(issuances).where(issuances.c.tenant == tenant.name)
    if issuance_id is not None:
        statement = statement.where(issuances.c.id == issuance_id)
    elif order.subject is not None:
        person = issuer.secrets.person(tenant.name, order.subject)
        statement = statement.where(issuances.c.subject == person)
    else:
        raise InvalidInput("order: neither an issuance nor a subject")
    # Locked: what another clerk moves at this moment is moved before or after, and not missed.
    statement = statement.order_by(issuances.c.id).with_for_update()
    rows = connection.execute(statement).mappings().all()
    if order.credential is not None:
        rows = [row for row in rows if order.credential in _configurations(row)]
    if not rows:
        raise NotFound("issuance: unknown")
    return rows


def _configurations(row: RowMapping) -> list[str]:
    return str(row["configuration_ids"] or row["configuration_id"]).split()


def _moves(tenant: Tenant, row: RowMapping) -> list[Move]:
    """What may be done with an issuance now; nothing once it is revoked (ST-04)."""
    known = (tenant.configurations.get(each) for each in _configurations(row))
    suspendable = all(each is None or each.file.status.suspension for each in known)
    moves = allowed_moves(STATES[row["state"]], suspendable=suspendable)
    return sorted(_NAMES[each] for each in moves)


def _move(connection: Connection, row: RowMapping, move: Move, order: Order, now: datetime) -> bool:
    """Whether the state was still that of *row*: of two clerks at once one moves first."""
    return once(
        connection,
        update(issuances)
        .where(
            issuances.c.tenant == row["tenant"],
            issuances.c.id == row["id"],
            issuances.c.state == row["state"],
        )
        .values(state=_TARGETS[move], reason=order.reason, changed_at=now),
    )


def get(issuer: Issuer, tenant: Tenant, issuance_id: str) -> IssuanceView:
    """One issuance; raises NotFound if this tenant has no such one."""
    with issuer.database.reading() as connection:
        row = (
            connection.execute(
                select(issuances).where(
                    issuances.c.tenant == tenant.name, issuances.c.id == issuance_id
                )
            )
            .mappings()
            .one_or_none()
        )
    if row is None:
        raise NotFound("issuance: unknown")
    return _view(tenant, row)


def page(
    issuer: Issuer,
    tenant: Tenant,
    *,
    subject: str | None,
    limit: int,
    after: str | None,
) -> IssuancePage:
    """At most *limit* issuances, of one person or of all, newest first."""
    statement = select(issuances).where(issuances.c.tenant == tenant.name)
    if subject is not None:
        person = issuer.secrets.person(tenant.name, subject)
        statement = statement.where(issuances.c.subject == person)
    if after is not None:
        statement = statement.where(before(issuances, "issued_at", after))
    statement = statement.order_by(issuances.c.issued_at.desc(), issuances.c.id.desc())
    with issuer.database.reading() as connection:
        rows = connection.execute(statement.limit(limit + 1)).mappings().all()
    last = rows[limit - 1] if len(rows) > limit else None
    shown = [_view(tenant, row) for row in rows[:limit]]
    return IssuancePage(issuances=shown, next=last and cursor(last["issued_at"], last["id"]))


def _view(tenant: Tenant, row: RowMapping) -> IssuanceView:
    changed_at = row["changed_at"]
    return IssuanceView(
        issuance_id=row["id"],
        offer_id=row["offer_id"],
        credential=row["configuration_id"],
        credentials=_configurations(row),
        state=row["state"],
        allowed=_moves(tenant, row),
        reason=row["reason"],
        issued_at=row["issued_at"],
        expires_at=row["expires_at"],
        changed_at=changed_at,
        published_by=changed_at and changed_at + PUBLISHED_WITHIN,
        recipient=row["recipient"],
        register_version=row["register_version"],
        refresh_after=row["refresh_after"],
        notified=row["notified"],
    )
