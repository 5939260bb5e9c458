"""An audit trail whose rows are chained and signed, one chain for each tenant.

An act only inserts its row, in its own transaction, so acts never wait for each other; a job then
gives the rows of a tenant their sequence, hashes each with its predecessor and signs the newest
hash. A row that is later changed, removed or slipped in breaks the chain, and `check` says where.
No row names a person.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, update

from ..crypto.keys import PublicKey, Signer
from ..encoding import JsonValue, canonical_json, to_numeric_date
from ..errors import ExpectedError, VerificationError
from ..jose import jws
from .database import Database

HEAD_TYP = "audit-head+jwt"
_BATCH = 1_000


class BrokenChain(VerificationError):
    """The entry *sequence* is the first that is not there as it was written and signed."""

    def __init__(self, what: str, sequence: int) -> None:
        super().__init__(f"audit: {what}")
        self.sequence = sequence


class AuditTrail:
    """The rows and the signed heads of one service.

    Args:
        rows: with tenant, id, at, what the service says of an act, `sequence` and `hash`.
        heads: tenant, sequence, at, hash, signature.
    """

    def __init__(self, rows: Table, heads: Table) -> None:
        self._rows = rows
        self._heads = heads
        self._said = [each.name for each in rows.c if each.name not in {"sequence", "hash"}]
        self._next = (
            select(rows)
            .where(rows.c.sequence.is_(None))
            .order_by(rows.c.at, rows.c.id)
            .limit(_BATCH)
        )

    def chain(self, database: Database, *, tenant: str, signer: Signer, now: datetime) -> int:
        """Chain what is not chained yet of *tenant* and sign the head; returns how many rows."""
        rows, heads = self._rows, self._heads
        with database.transaction() as connection:
            head = connection.execute(
                select(heads)
                .where(heads.c.tenant == tenant)
                .order_by(heads.c.sequence.desc())
                .limit(1)
            ).one_or_none()
            sequence, previous = (head.sequence, head.hash) if head else (0, b"")
            found = connection.execute(self._next.where(rows.c.tenant == tenant)).all()
            for row in found:
                sequence += 1
                previous = self._link(previous, sequence, row)
                connection.execute(
                    update(rows)
                    .where(rows.c.tenant == tenant, rows.c.id == row.id)
                    .values(sequence=sequence, hash=previous)
                )
            if found:
                claims: dict[str, JsonValue] = {
                    "sub": tenant,
                    "iat": to_numeric_date(now),
                    "sequence": sequence,
                    "hash": previous.hex(),
                }
                signature = jws.sign_jwt(claims, typ=HEAD_TYP, signer=signer)
                connection.execute(
                    insert(heads).values(
                        tenant=tenant, sequence=sequence, at=now, hash=previous, signature=signature
                    )
                )
        return len(found)

    def check(self, database: Database, *, tenant: str, key: PublicKey) -> int:
        """How many rows of *tenant* stand unbroken under the newest signed head.

        A portion at a time, however long the trail is; rows that are chained meanwhile count, too.

        Raises:
            BrokenChain: a row was changed, removed or added, or a signed head was.
        """
        previous, whole = b"", 0
        while True:
            found, heads, newest = self._portion(database, tenant, whole)
            if not found and newest == whole:
                return whole
            if not found:
                raise BrokenChain(f"rows are missing after {whole}", whole + 1)
            for row in found:
                whole += 1
                previous = self._link(previous, whole, row)
                if row.sequence != whole or row.hash != previous:
                    raise BrokenChain(f"broken at {whole}", whole)
                if signature := heads.get(whole):
                    try:
                        signed = jws.verify_jwt(
                            signature, key=key, typ=HEAD_TYP, algorithms=("ES256",)
                        ).claims
                    except ExpectedError as error:
                        raise BrokenChain(f"no head signed at {whole}", whole) from error
                    if signed.get("hash") != previous.hex() or signed.get("sub") != tenant:
                        raise BrokenChain(f"the head signed at {whole} is another one", whole)

    def _portion(
        self, database: Database, tenant: str, after: int
    ) -> tuple[Sequence[Any], dict[int, str], int]:
        """Rows above the sequence *after*, the heads signed among them, and the newest head's.

        The newest head first: its rows can be seen then, and whatever is chained meanwhile comes in
        the next portion. The last row is read again, since a second one of the same sequence could
        stand behind it.
        """
        rows, heads = self._rows, self._heads
        known = 1 if after else 0
        above = rows.c.sequence >= after if known else rows.c.sequence.is_not(None)
        with database.reading() as connection:
            newest = connection.execute(
                select(func.max(heads.c.sequence)).where(heads.c.tenant == tenant)
            ).scalar_one()
            found = connection.execute(
                select(rows)
                .where(rows.c.tenant == tenant, above)
                .order_by(rows.c.sequence)
                .limit(_BATCH + known)
            ).all()[known:]
            signed = connection.execute(
                select(heads.c.sequence, heads.c.signature).where(
                    heads.c.tenant == tenant,
                    heads.c.sequence > after,
                    heads.c.sequence <= after + len(found),
                )
            )
            among = {head.sequence: head.signature for head in signed}
        return found, among, newest or 0

    def unchained(self, database: Database) -> set[str]:
        """Tenants with rows that wait for the job."""
        rows = self._rows
        with database.reading() as connection:
            found = connection.execute(
                select(rows.c.tenant).where(rows.c.sequence.is_(None)).distinct()
            )
            return set(found.scalars())

    def count(self, database: Database, *, tenant: str) -> int:
        """How many rows *tenant* has."""
        rows = self._rows
        with database.reading() as connection:
            return connection.execute(
                select(func.count()).select_from(rows).where(rows.c.tenant == tenant)
            ).scalar_one()

    def read(
        self, connection: Connection, *, tenant: str, after: int, limit: int
    ) -> Iterator[dict[str, JsonValue]]:
        """Chained rows of *tenant* above the sequence *after*, oldest first."""
        rows = self._rows
        statement = (
            select(rows)
            .where(rows.c.tenant == tenant, rows.c.sequence > after)
            .order_by(rows.c.sequence)
            .limit(limit)
        )
        for row in connection.execute(statement):
            yield self._content(row.sequence, row) | {"hash": row.hash.hex()}

    def latest(
        self, connection: Connection, *, tenant: str, before: int | None, limit: int
    ) -> Iterator[dict[str, JsonValue]]:
        """Chained rows of *tenant* below the sequence *before* (None: all), newest first."""
        rows = self._rows
        statement = select(rows).where(rows.c.tenant == tenant, rows.c.sequence.is_not(None))
        if before is not None:
            statement = statement.where(rows.c.sequence < before)
        for row in connection.execute(statement.order_by(rows.c.sequence.desc()).limit(limit)):
            yield self._content(row.sequence, row)

    def waiting(self, connection: Connection, *, tenant: str) -> int:
        """How many rows of *tenant* the job has still to chain."""
        rows = self._rows
        return connection.execute(
            select(func.count())
            .select_from(rows)
            .where(rows.c.tenant == tenant, rows.c.sequence.is_(None))
        ).scalar_one()

    def newest_head(self, connection: Connection, *, tenant: str) -> str | None:
        """The newest signed head of *tenant*, a JWT."""
        heads = self._heads
        return connection.execute(
            select(heads.c.signature)
            .where(heads.c.tenant == tenant)
            .order_by(heads.c.sequence.desc())
            .limit(1)
        ).scalar_one_or_none()

    def _content(self, sequence: int, row: Any) -> dict[str, JsonValue]:
        content: dict[str, JsonValue] = {"sequence": sequence}
        for name in self._said:
            value = getattr(row, name)
            content[name] = value.isoformat() if isinstance(value, datetime) else value
        return content

    def _link(self, previous: bytes, sequence: int, row: Any) -> bytes:
        return hashlib.sha256(previous + canonical_json(self._content(sequence, row))).digest()
