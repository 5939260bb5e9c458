"""The audit trail of a tenant, and legal holds: explicit, with their basis, recorded (DESIGN 6)."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, insert

from shared.encoding import Clock, RandomBytes
from shared.errors import InvalidInput, NotFound
from shared.runtime.audit import AuditTrail
from shared.runtime.client_credentials import ApiCaller
from shared.runtime.sign_in import Recorder, StaffAct

from .answers import AuditAnswer, HoldAnswer, HoldRequest
from .context import Verifier
from .tables import audit, audit_heads
from .transactions import FOR_CALLER, HOLD, State, TransactionRow, move, record, timestamp

TRAIL = AuditTrail(audit, audit_heads)
_ROWS = 500
_PORTIONS = 30
_LONGEST = timedelta(days=3_650)


def of_staff(clock: Clock, random_bytes: RandomBytes) -> Recorder:
    """Writes what staff do with their accounts and sessions."""

    def write(connection: Connection, said: StaffAct) -> None:
        connection.execute(
            insert(audit),
            {
                "tenant": said.tenant,
                "id": f"{said.on}:{said.act}:{random_bytes(6).hex()}",
                "at": clock(),
                "actor": said.actor,
                "act": said.act,
                "subject": said.on,
                "purpose": "staff",
                "reason": said.reason,
            },
        )

    return write


def chain_all(verifier: Verifier, now: datetime) -> None:
    """Chain and sign what is not chained yet, tenant by tenant, some portions in a run."""
    for tenant in TRAIL.unchained(verifier.database) & set(verifier.tenants):
        key = verifier.records_key(tenant)
        for _ in range(_PORTIONS):
            if not TRAIL.chain(verifier.database, tenant=tenant, signer=key, now=now):
                break


def read_audit(verifier: Verifier, caller: ApiCaller, *, after: int) -> AuditAnswer:
    """Rows of the caller's tenant above the sequence *after*."""
    with verifier.database.reading() as connection:
        rows = tuple(TRAIL.read(connection, tenant=caller.tenant, after=after, limit=_ROWS))
        head = TRAIL.newest_head(connection, tenant=caller.tenant)
    last = rows[-1]["sequence"] if len(rows) == _ROWS else None
    return AuditAnswer(rows=rows, head=head, next_after=last if isinstance(last, int) else None)


def hold(
    verifier: Verifier, caller: ApiCaller, transaction_id: str, asked: HoldRequest
) -> HoldAnswer:
    """Let nothing of a transaction be erased before a date.

    It opens nothing: claims stay sealed to whoever asked for them.

    Raises:
        NotFound: no such transaction of this tenant.
        InvalidInput: the end is no time, past, or more than ten years away.
    """
    now = verifier.clock()
    try:
        until = datetime.fromisoformat(asked.until)
    except ValueError as error:
        raise InvalidInput("until: not a time such as 2026-01-31T00:00:00Z") from error
    if until.tzinfo is None or not now < until <= now + _LONGEST:
        raise InvalidInput("until: without a time zone, past, or too far away")
    until = until.astimezone(UTC)
    _set(verifier, caller, transaction_id, until, act="hold", asked=asked)
    return HoldAnswer(transaction_id=transaction_id, held_until=timestamp(until))


def lift(verifier: Verifier, caller: ApiCaller, transaction_id: str) -> HoldAnswer:
    """End a hold. Raises NotFound."""
    _set(verifier, caller, transaction_id, None, act="lift_hold", asked=None)
    return HoldAnswer(transaction_id=transaction_id)


def _set(
    verifier: Verifier,
    caller: ApiCaller,
    transaction_id: str,
    until: datetime | None,
    *,
    act: str,
    asked: HoldRequest | None,
) -> None:
    now = verifier.clock()
    values = {"tenant_": caller.tenant, "id_": transaction_id}
    row: TransactionRow = FOR_CALLER.row(verifier.database, values)
    if row is None or row.state == State.DELETED.value:
        raise NotFound("transaction: unknown to this tenant")
    with verifier.database.transaction() as connection:
        if not move(connection, HOLD, values | {"until_": until}):
            raise NotFound("transaction: gone meanwhile")
        record(
            connection,
            row,
            tenant=caller.tenant,
            actor=caller.client_id,
            act=act,
            reason=None if asked is None else asked.reason,
            now=now,
            number=f":{verifier.random_bytes(6).hex()}",
            legal_basis=None if asked is None else asked.legal_basis,
            second_approver=None if asked is None else asked.second_approver,
        )
