"""Who did what, why: rows written in the transaction of the act, chained and signed afterwards.

An act only inserts its row, so acts never wait for each other; a job then gives the rows of a
tenant their sequence, hashes each with its predecessor and signs the newest hash. A row that is
later changed, removed or slipped in breaks the chain, and `check_chain` says where. No row names a
person.
"""

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from shared.crypto.keys import PublicKey, Signer
from shared.encoding import JsonValue, canonical_json, to_numeric_date
from shared.errors import VerificationError
from shared.jose import jws
from shared.runtime.database import Database
from shared.runtime.prepared import Prepared

from .context import Issuer, Tenant
from .tables import audit, audit_heads

HEAD_TYP = "audit-head+jwt"
_BATCH = 1_000
_INSERT = Prepared(insert(audit))
_NEXT = (
    select(audit).where(audit.c.sequence.is_(None)).order_by(audit.c.at, audit.c.id).limit(_BATCH)
)


def record(
    issuer: Issuer,
    connection: Connection,
    tenant: Tenant,
    *,
    actor: str,
    act: str,
    on: str,
    reason: str | None = None,
    legal_basis: str | None = None,
    second_approver: str | None = None,
) -> None:
    """Write one row; it counts exactly if the transaction of *connection* does.

    Args:
        issuer: gives the row its id and its time.
        connection: in the transaction of the act.
        tenant: whose trail.
        actor: an API client, or "wallet".
        act: what was done, such as "credential_revoked".
        on: the id of what it was done to.
        reason: a reason code.
        legal_basis: as the actor states it.
        second_approver: as the actor states it.
    """
    _INSERT.changed(
        connection,
        {
            "tenant": tenant.name,
            "id": issuer.new_id("aud"),
            "at": issuer.clock(),
            "actor": actor,
            "act": act,
            "object": on,
            "reason": reason,
            "legal_basis": legal_basis,
            "second_approver": second_approver,
            "sequence": None,
            "hash": None,
        },
    )


def _link(previous: bytes, sequence: int, row: Any) -> bytes:
    content: dict[str, JsonValue] = {
        "sequence": sequence,
        "tenant": row.tenant,
        "id": row.id,
        "at": row.at.isoformat(),
        "actor": row.actor,
        "act": row.act,
        "object": row.object,
        "reason": row.reason,
        "legal_basis": row.legal_basis,
        "second_approver": row.second_approver,
    }
    return hashlib.sha256(previous + canonical_json(content)).digest()


def chain(database: Database, *, tenant: str, signer: Signer, now: datetime) -> int:
    """Chain what is not chained yet of *tenant* and sign the new head; returns how many rows."""
    with database.transaction() as connection:
        head = connection.execute(
            select(audit_heads)
            .where(audit_heads.c.tenant == tenant)
            .order_by(audit_heads.c.sequence.desc())
            .limit(1)
        ).one_or_none()
        sequence, previous = (head.sequence, head.hash) if head else (0, b"")
        rows = connection.execute(_NEXT.where(audit.c.tenant == tenant)).all()
        for row in rows:
            sequence += 1
            previous = _link(previous, sequence, row)
            connection.execute(
                update(audit)
                .where(audit.c.tenant == tenant, audit.c.id == row.id)
                .values(sequence=sequence, hash=previous)
            )
        if rows:
            claims: dict[str, JsonValue] = {
                "sub": tenant,
                "iat": to_numeric_date(now),
                "sequence": sequence,
                "hash": previous.hex(),
            }
            signature = jws.sign_jwt(claims, typ=HEAD_TYP, signer=signer)
            connection.execute(
                insert(audit_heads).values(
                    tenant=tenant, sequence=sequence, at=now, hash=previous, signature=signature
                )
            )
    return len(rows)


def check_chain(database: Database, *, tenant: str, key: PublicKey) -> int:
    """How many rows of *tenant* stand unbroken under the newest signed head.

    Raises:
        VerificationError: a row was changed, removed or added; the text says at which sequence.
    """
    with database.reading() as connection:
        heads = {
            head.sequence: head
            for head in connection.execute(
                select(audit_heads).where(audit_heads.c.tenant == tenant)
            )
        }
        rows = connection.execute(
            select(audit)
            .where(audit.c.tenant == tenant, audit.c.sequence.is_not(None))
            .order_by(audit.c.sequence)
        ).all()
    previous = b""
    for expected, row in enumerate(rows, start=1):
        previous = _link(previous, expected, row)
        if row.sequence != expected or row.hash != previous:
            raise VerificationError(f"audit: broken at {expected}")
        if head := heads.get(expected):
            signed = jws.verify_jwt(
                head.signature, key=key, typ=HEAD_TYP, algorithms=("ES256",)
            ).claims
            if signed.get("hash") != previous.hex() or signed.get("sub") != tenant:
                raise VerificationError(f"audit: the head signed at {expected} is another one")
    if max(heads, default=0) != len(rows):
        raise VerificationError(f"audit: rows are missing after {len(rows)}")
    return len(rows)


def unchained(database: Database) -> set[str]:
    """Tenants with rows that wait for the job."""
    with database.reading() as connection:
        found = connection.execute(
            select(audit.c.tenant).where(audit.c.sequence.is_(None)).distinct()
        )
        return set(found.scalars())


def count(database: Database, *, tenant: str) -> int:
    """How many rows *tenant* has."""
    with database.reading() as connection:
        return connection.execute(
            select(func.count()).select_from(audit).where(audit.c.tenant == tenant)
        ).scalar_one()
