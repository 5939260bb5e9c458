"""Webhooks: an agency's system is told that a transaction has ended, and reads it then.

What to tell is written in the transaction of what it tells (an outbox), so it is lost with it or
not at all. A job posts it, in one process at a time, and again with growing pauses until the other
side answers 2xx. A message says which transaction and how it ended; verdict and claims are read
with the transaction's secret (V-52). Messages may come twice or out of order: `webhook-id` is the
same each time. Signed as Standard Webhooks 1.0 says, section "Signature scheme".
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, case, literal, null, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from shared.crypto.sealing import Keyring, hkdf
from shared.encoding import dump_json, to_numeric_date
from shared.errors import ExpectedError, NotFound
from shared.runtime.database import Database, insert_once, once
from shared.runtime.fetch import Fetcher
from shared.runtime.logs import get_log

from .tables import transactions, webhooks
from .tenants import Tenant
from .transactions import ENDED, State, timestamp, values

log = get_log(__name__)

TYPE = "transaction.ended"
PAUSES = tuple(
    timedelta(seconds=each) for each in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000)
)
"""Before each further attempt; after the last one the message waits to be replayed."""
_PORTION = 100
_RUN_SECONDS = 25.0
_MAX_ANSWER = 64 * 1024
_w = webhooks.c
_ONE = _w.tenant == bindparam("tenant_"), _w.id == bindparam("id_")


def tell(
    connection: Connection, tenant: Tenant, transaction_id: str, state: State, *, now: datetime
) -> None:
    """Note in the transaction of the act that the webhook of *tenant* is to be told."""
    if tenant.webhook_url is None:
        return
    row = {
        "tenant": tenant.id,
        "id": f"{transaction_id}:{state.value}",
        "at": now,
        "subject": transaction_id,
        "state": state.value,
        "attempts": 0,
        "due_at": now,
    }
    insert_once(connection, webhooks, row)


def tell_ended(connection: Connection, keys: list[tuple[str, str]], *, now: datetime) -> None:
    """As `tell`, for transactions that time has ended; what was told already stays as it is.

    Args:
        connection: in the transaction that records their end.
        keys: tenant and id of each; the tenants have webhooks.
        now: when.
    """
    t = transactions.c
    source = select(
        t.tenant,
        t.id + ":" + t.state,
        literal(now, _w.at.type),
        t.id,
        t.state,
        literal(0),
        literal(now, _w.at.type),
    ).where(
        t.tenant.in_({tenant for tenant, _ in keys}),
        t.id.in_([each for _, each in keys]),
        t.state.in_(values(ENDED - {State.DELETED})),
    )
    insert = sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert
    columns = ["tenant", "id", "at", "subject", "state", "attempts", "due_at"]
    connection.execute(insert(webhooks).from_select(columns, source).on_conflict_do_nothing())


def secret(ring: Keyring, tenant: str) -> str:
    """What a receiver verifies with, in the form of Standard Webhooks."""
    return f"whsec_{base64.b64encode(_key(ring.key(), tenant)).decode()}"


def headers(
    ring: Keyring, tenant: str, message_id: str, body: bytes, now: datetime
) -> dict[str, str]:
    """Id, time and a signature under each of our keys, so that they can rotate."""
    moment = to_numeric_date(now)
    signatures = [
        signature(_key(each, tenant), message_id, moment, body)
        for _, each in sorted(ring.keys.items(), reverse=True)
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(signatures),
    }


def signature(key: bytes, message_id: str, moment: int, body: bytes) -> str:
    """Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`, version 1."""
    signed = f"{message_id}.{moment}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def _key(key: bytes, tenant: str) -> bytes:
    return hkdf(key, "webhook", tenant)


def content(row: Any) -> bytes:
    """The body; the same at every attempt."""
    return dump_json(
        {
            "type": TYPE,
            "timestamp": timestamp(row.at),
            "data": {"transaction_id": row.subject, "state": row.state},
        }
    )


class Sender:
    """Posts what is due; made once for each process, used by its job."""

    def __init__(
        self,
        database: Database,
        fetcher: Fetcher,
        tenants: Mapping[str, Tenant],
        ring: Keyring,
        *,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._fetcher = fetcher
        self._tenants = tenants
        self._ring = ring
        self._elapsed = elapsed

    def send_due(self, now: datetime) -> int:
        """Post what is due at *now*; how many were delivered.

        One tenant whose system does not answer delays no other: after its first failure it waits
        for the next run.
        """
        with self._database.reading() as connection:
            due = connection.execute(
                select(webhooks).where(_w.due_at <= now).order_by(_w.due_at).limit(_PORTION)
            ).all()
        end = self._elapsed() + _RUN_SECONDS
        silent: set[str] = set()
        delivered = 0
        for row in due:
            if row.tenant in silent or self._elapsed() > end or not self._taken(row, now):
                continue
            if self._post(row, now):
                delivered += self._done(row, now)
            else:
                silent.add(row.tenant)
        return delivered

    def _taken(self, row: Any, now: datetime) -> bool:
        """Count the attempt before it is made: a crash costs a pause, never a message."""
        again = now + PAUSES[row.attempts] if row.attempts < len(PAUSES) else None
        statement = (
            update(webhooks)
            .where(*_ONE, _w.attempts == row.attempts, _w.due_at.is_not(None))
            .values(attempts=row.attempts + 1, due_at=again)
        )
        with self._database.single() as connection:
            return once(connection, statement, {"tenant_": row.tenant, "id_": row.id})

    def _post(self, row: Any, now: datetime) -> bool:
        tenant = self._tenants.get(row.tenant)
        if tenant is None or tenant.webhook_url is None:
            return False
        body = content(row)
        try:
            answer = self._fetcher.post_bytes(
                tenant.webhook_url,
                body,
                content_type="application/json",
                accept=None,
                max_bytes=_MAX_ANSWER,
                headers=headers(self._ring, row.tenant, row.id, body, now),
            )
        except ExpectedError as error:
            log.warning("webhook_not_delivered", tenant=row.tenant, reason=str(error))
            return False
        if not 200 <= answer.status < 300:
            log.warning("webhook_not_delivered", tenant=row.tenant, reason=str(answer.status))
        return 200 <= answer.status < 300

    def _done(self, row: Any, now: datetime) -> bool:
        statement = update(webhooks).where(*_ONE).values(due_at=null(), delivered_at=now)
        with self._database.single() as connection:
            return once(connection, statement, {"tenant_": row.tenant, "id_": row.id})


def listed(database: Database, tenant: str, *, undelivered: bool, limit: int) -> list[Any]:
    """The newest messages of *tenant*."""
    statement = select(webhooks).where(_w.tenant == tenant)
    if undelivered:
        statement = statement.where(_w.delivered_at.is_(None))
    with database.reading() as connection:
        return list(connection.execute(statement.order_by(_w.at.desc()).limit(limit)).all())


def replay(database: Database, tenant: str, message_id: str, *, now: datetime) -> None:
    """Send a message again, from the first pause on. Raises NotFound."""
    statement = (
        update(webhooks)
        .where(*_ONE)
        .values(
            attempts=0, delivered_at=null(), due_at=case((_w.due_at < now, _w.due_at), else_=now)
        )
    )
    with database.single() as connection:
        if not once(connection, statement, {"tenant_": tenant, "id_": message_id}):
            raise NotFound("webhook: no such message")


def forget(database: Database, tenants: Iterable[str], *, before: datetime) -> None:
    """Delete what was told, or given up, before *before* (S-03)."""
    # Written so that no database looks by `due_at`, which is null in nearly all of them.
    ended = case((_w.due_at.is_(None), 1), else_=0) == 1
    for tenant in tenants:
        over = webhooks.delete().where(_w.tenant == tenant, _w.at < before, ended)
        with database.single() as connection:
            connection.execute(over)
