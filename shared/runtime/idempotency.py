"""Idempotency-Key for the agency APIs: one key, one execution, one answer.

The key is inserted, the act done and its answer stored in one transaction, so two requests at once
with the same key cannot both act: the second waits at the unique key and then reads the answer. A
store of answers must not become a store of secrets: let `act` return ids and render them again.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, MetaData, bindparam, delete, select, update

from ..errors import Conflict, InvalidInput
from .database import Database, insert_once

KEY_LENGTH = 200


class KeyReused(Conflict):
    """The same Idempotency-Key came with another request."""

    public = "This Idempotency-Key was used for another request."
    code = "idempotency_key_reused"
    status = 422
    next_step = "Use a new Idempotency-Key for a new request."


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer as it is repeated."""

    status: int
    body: bytes


def idempotent(
    database: Database,
    metadata: MetaData,
    *,
    tenant: str,
    client: str,
    key: str | None,
    request: bytes,
    now: datetime,
    act: Callable[[Connection], Stored],
) -> Stored:
    """What `act` returns, or what it returned the first time this *key* came.

    Args:
        database: of the service.
        metadata: with the table `idempotent_request`.
        tenant: whose data; keys of different tenants and clients do not meet.
        client: who asks.
        key: the header; None: the act is done without remembering it.
        request: method, path and body, as bytes; another one under the same key is refused.
        now: for the clean-up by age.
        act: runs inside the transaction; what it raises undoes everything, so the key stays free.

    Raises:
        KeyReused: the key came with another request before.
        InvalidInput: the key is empty, too long, or not printable ASCII.
    """
    if key is None:
        with database.transaction() as connection:
            return act(connection)
    if not 0 < len(key) <= KEY_LENGTH or not (key.isascii() and key.isprintable()):
        raise InvalidInput("Idempotency-Key: not 1 to 200 printable ASCII characters")
    table = metadata.tables["idempotent_request"]
    row = {
        "tenant": tenant,
        "client": client,
        "key_hash": hashlib.sha256(key.encode()).digest(),
    }
    request_hash = hashlib.sha256(request).digest()
    mine = [column == bindparam(f"p_{column.name}") for column in table.primary_key]
    where = {f"p_{name}": value for name, value in row.items()}
    with database.transaction() as connection:
        new = {**row, "request_hash": request_hash, "created_at": now}
        if insert_once(connection, table, new):
            stored = act(connection)
            connection.execute(
                update(table).where(*mine).values(status=stored.status, answer=stored.body), where
            )
            return stored
        columns = (table.c.request_hash, table.c.status, table.c.answer)
        known, status, answer = connection.execute(select(*columns).where(*mine), where).one()
    if known != request_hash:
        raise KeyReused("Idempotency-Key: came with another request before")
    return Stored(status, bytes(answer))


def forget_requests(database: Database, metadata: MetaData, *, before: datetime) -> int:
    """Delete keys older than *before* (S-03); how many there were."""
    table = metadata.tables["idempotent_request"]
    with database.single() as connection:
        return connection.execute(delete(table).where(table.c.created_at < before)).rowcount
