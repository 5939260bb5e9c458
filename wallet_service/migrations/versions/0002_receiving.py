"""the wallet provider and the authorization code flow."""

import sqlalchemy as sa
from alembic import op

from shared.runtime.database import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Sign-ins at agencies, renewal without a gesture, the statuses of client instances."""
    op.create_table(
        "attestation_lists",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("covers", sa.Integer(), nullable=False),
        sa.Column("needed_until", UtcDateTime(), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_attestation_lists")),
    )
    op.create_table(
        "attestation_status",
        sa.Column("list", sa.Integer(), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("wallet", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("needed_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("list", "idx", name=op.f("pk_attestation_status")),
    )
    _index("attestation_status", "wallet", "needed_until")
    op.create_table(
        "callbacks",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("wallet", sa.String(length=64), nullable=False),
        sa.Column("session", sa.String(length=64), nullable=False),
        sa.Column("issuance", sa.String(length=64), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_callbacks")),
    )
    _index("callbacks", "wallet", "expires_at")
    op.create_table(
        "renewals",
        sa.Column("credential", sa.String(length=64), nullable=False),
        sa.Column("wallet", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("credential", name=op.f("pk_renewals")),
    )
    _index("renewals", "wallet")
    op.create_table(
        "spare_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("wallet", sa.String(length=64), nullable=False),
        sa.Column("credential", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("key_blob", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spare_keys")),
    )
    _index("spare_keys", "wallet", "credential")


def downgrade() -> None:
    """Without them."""
    for table in ("spare_keys", "renewals", "callbacks", "attestation_status", "attestation_lists"):
        op.drop_table(table)


def _index(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column], unique=False)
