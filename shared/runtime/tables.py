"""The tables that parts of `shared.runtime` keep in a service's own database.

Each service calls `add_runtime_tables(metadata)` in its tables.py, so they are in its own MetaData
and its own migrations; nothing is shared at run time.
"""

from dataclasses import dataclass

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, MetaData, String, Table

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


@dataclass(frozen=True, slots=True)
class StaffTables:
    """The tables of `sign_in.py` and `staff_accounts.py`, in services that have pages for staff."""

    account: Table
    session: Table
    challenge: Table


def add_staff_tables(metadata: MetaData) -> StaffTables:
    """Add the tables of staff accounts and sessions to *metadata* and return them."""
    return StaffTables(
        account=Table(
            "staff_account",
            metadata,
            Column("tenant", String(64), primary_key=True),
            Column("id", String(40), primary_key=True),  # stf_…
            Column("name", String(100), nullable=False),
            Column("roles", String(400), nullable=False),  # separated by spaces
            Column("by_provider", Boolean, nullable=False),  # signs in at an OpenID Provider
            Column("created_at", UtcDateTime, nullable=False),
            Column("invitation_hash", LargeBinary(32)),  # until it was used
            Column("invited_until", UtcDateTime),
            Column("enrolled_at", UtcDateTime),
            Column("passkey_id", LargeBinary),
            Column("passkey", LargeBinary),  # its public key, COSE
            Column("sign_count", Integer, nullable=False),
            Column("disabled_at", UtcDateTime),
            Column("lookups", Integer, nullable=False),  # of people, in the hour that ends at
            Column("lookups_until", UtcDateTime, nullable=False),
        ),
        session=Table(
            "staff_session",
            metadata,
            Column("tenant", String(64), primary_key=True),
            Column("id", String(40), primary_key=True),  # sts_…; its token begins with it
            Column("token_hash", LargeBinary(32), nullable=False),
            Column("account_id", String(40), nullable=False),
            Column("created_at", UtcDateTime, nullable=False),
            Column("seen_at", UtcDateTime, nullable=False),
            Column("ends_at", UtcDateTime, nullable=False),
            Index(None, "tenant", "account_id"),
            Index(None, "ends_at"),
        ),
        challenge=Table(
            "staff_challenge",
            metadata,
            Column("tenant", String(64), primary_key=True),
            Column("hash", LargeBinary(32), primary_key=True),  # of a sign-in, used (S-02)
            Column("expires_at", UtcDateTime, nullable=False),
            Index(None, "expires_at"),
        ),
    )
