"""The verifier's own database: transactions, and the audit trail of what was done with them.

A transaction is one row for its whole life; `state` moves forward only, each move is one guarded
UPDATE (V-03). The row never shows a claim: `sealed_claims` opens with the secret its asker holds,
alone. Tenant is part of every key; both names of a transaction are random, so no row is hot. The
row is also the record of its own start and end, in the transaction of the act; it cannot be erased
before a job has copied that to the audit trail, which is chained and signed for each tenant.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from shared.runtime.database import UtcDateTime, new_metadata
from shared.runtime.tables import add_runtime_tables, add_staff_tables

metadata = new_metadata()
runtime = add_runtime_tables(metadata)
staff = add_staff_tables(metadata)

_TENANT, _ID = String(64), String(64)

transactions = Table(
    "transactions",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("id", _ID, primary_key=True),  # trx_…, known to the asker
    Column("request_id", _ID, nullable=False),  # known to the wallet (V-02)
    Column("client", String(64), nullable=False),
    Column("query", String(64), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("flow", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("fingerprint", LargeBinary(32)),  # of what was asked, with an Idempotency-Key
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("due_at", UtcDateTime, nullable=False),  # when retention looks at it again
    Column("return_url", Text),
    Column("request_object", Text),  # as signed, until answered (V-13)
    Column("sealed_request", LargeBinary),  # keys, nonce, state; until answered (V-21)
    Column("response_code_hash", LargeBinary(32)),
    Column("reason", String(64)),  # of the end, as the verdict has it
    Column("outcome", Text),  # the verdict with its reasons, without claims
    Column("sealed_claims", LargeBinary),
    Column("claims_until", UtcDateTime),
    Column("audited", Boolean, nullable=False),
    Column("browser_hash", LargeBinary(32)),  # the start cookie, while its browser is away (V-50)
    Column("sealed_dc", LargeBinary),  # of a request over the Digital Credentials API (V-71)
    Column("held_until", UtcDateTime),  # a legal hold: nothing is erased before
    UniqueConstraint("tenant", "request_id"),
    Index(None, "due_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("id", String(100), primary_key=True),  # the transaction and the act
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("act", String(32), nullable=False),
    Column("subject", _ID, nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("reason", String(64)),
    Column("legal_basis", String(200)),
    Column("second_approver", String(64)),
    Column("sequence", Integer),  # in the chain of its tenant, given by a job
    Column("hash", LargeBinary(32)),
    UniqueConstraint("tenant", "sequence"),
    Index(None, "tenant", "at"),
)

_UNCHAINED = audit.c.sequence.is_(None)
Index("ix_audit_unchained", audit.c.at, sqlite_where=_UNCHAINED, postgresql_where=_UNCHAINED)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("signature", Text, nullable=False),
)

# What a tenant's webhook is to be told; written in the transaction of what it tells.
webhooks = Table(
    "webhooks",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("id", String(100), primary_key=True),  # the transaction and its end: told once
    Column("at", UtcDateTime, nullable=False),
    Column("subject", _ID, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcDateTime),  # the next attempt; none after delivery or the last one
    Column("delivered_at", UtcDateTime),
    Index(None, "due_at"),
    Index(None, "tenant", "at"),
)

# A desk at a counter: who works there, and what it asks or shows now (desks.py, codes.py).
desks = Table(
    "desks",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("id", String(16), primary_key=True),
    Column("holder", LargeBinary(32), nullable=False),  # a session, hashed
    Column("visit", Integer, nullable=False),
    Column("transaction_id", _ID),
    Column("code_hash", LargeBinary(32)),  # of the short code, under a key
    Column("code_browser", LargeBinary(32)),  # that came with it first
    UniqueConstraint("code_hash"),
)

# Wrong short codes of one hour (codes.py).
guesses = Table(
    "guesses",
    metadata,
    Column("bucket", LargeBinary(32), primary_key=True),
    Column("tries", Integer, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "expires_at"),
)
