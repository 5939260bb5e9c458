"""The tables that parts of `shared.runtime` keep in a service's own database.

Each service calls `add_runtime_tables(metadata)` in its tables.py, so they are in its own MetaData
and its own migrations; nothing is shared at run time.
"""

from dataclasses import dataclass

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table

from .database import UtcDateTime


@dataclass(frozen=True, slots=True)
class RuntimeTables:
    """The tables by name, each for the part of the runtime that is named like it."""

    job: Table
    fetched_document: Table
    idempotent_request: Table
    api_client: Table
    trust_state: Table


def add_runtime_tables(metadata: MetaData) -> RuntimeTables:
    """Add the runtime's tables to *metadata* and return them."""
    return RuntimeTables(
        job=Table(
            "job",
            metadata,
            Column("name", String(80), primary_key=True),
            Column("next_run", UtcDateTime, nullable=False),
            Column("leased_until", UtcDateTime),
            Column("holder", String(40)),
            Column("last_success", UtcDateTime),
        ),
        fetched_document=Table(
            "fetched_document",
            metadata,
            Column("url_hash", LargeBinary(32), primary_key=True),
            Column("issued_at", UtcDateTime, nullable=False),
            Column("fetched_at", UtcDateTime, nullable=False),
            Column("content_type", String(100), nullable=False),
            Column("content", LargeBinary, nullable=False),
        ),
        idempotent_request=Table(
            "idempotent_request",
            metadata,
            Column("tenant", String(64), primary_key=True),
            Column("client", String(64), primary_key=True),
            Column("key_hash", LargeBinary(32), primary_key=True),
            Column("request_hash", LargeBinary(32), nullable=False),
            Column("created_at", UtcDateTime, nullable=False),
            Column("status", Integer),
            Column("answer", LargeBinary),
            Index(None, "created_at"),
        ),
        api_client=Table(
            "api_client",
            metadata,
            Column("tenant", String(64), primary_key=True),
            Column("client_id", String(64), primary_key=True),
            Column("secret_hash", LargeBinary(32), nullable=False),
            Column("roles", String(400), nullable=False),
            Column("created_at", UtcDateTime, nullable=False),
            Column("disabled_at", UtcDateTime),
        ),
        trust_state=Table(
            "trust_state",
            metadata,
            Column("name", String(64), primary_key=True),
            Column("version", Integer, nullable=False),
            Column("data", LargeBinary, nullable=False),
        ),
    )
