"""deferred and renewed credentials."""

import sqlalchemy as sa
from alembic import op

from shared.runtime.database import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Deliveries of one record, deferrals, keys for encrypted requests, both forms of a list."""
    op.add_column("issuances", sa.Column("configuration_ids", sa.Text(), nullable=True))
    op.add_column("issuances", sa.Column("dataset", sa.String(length=100), nullable=True))
    op.drop_column("issuances", "notification_hash")
    op.add_column("copies", sa.Column("delivery_id", sa.String(length=40), nullable=True))
    op.add_column("status_lists", sa.Column("cwt", sa.LargeBinary(), nullable=True))
    op.add_column("status_lists", sa.Column("packed", sa.LargeBinary(), nullable=True))
    op.create_table(
        "deliveries",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("issuance_id", sa.String(length=40), nullable=False),
        sa.Column("offer_id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=200), nullable=True),
        sa.Column("configuration_id", sa.String(length=100), nullable=False),
        sa.Column("claims_fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("delivered_at", UtcDateTime(), nullable=False),
        sa.Column("notified", sa.String(length=30), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_deliveries")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "deferrals",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("offer_id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=200), nullable=True),
        sa.Column("configuration_id", sa.String(length=100), nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_deferrals")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_deferrals_expires_at"), "deferrals", ["expires_at"])
    op.create_table(
        "request_keys",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("kid", sa.String(length=43), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "period", name=op.f("pk_request_keys")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_request_keys_ends_at"), "request_keys", ["ends_at"])


def downgrade() -> None:
    """Back to one answer for each record, at once and in the clear."""
    op.drop_table("request_keys")
    op.drop_table("deferrals")
    op.drop_table("deliveries")
    op.drop_column("status_lists", "packed")
    op.drop_column("status_lists", "cwt")
    op.drop_column("copies", "delivery_id")
    op.drop_column("issuances", "dataset")
    before = sa.Column(
        "notification_hash", sa.LargeBinary(32), nullable=False, server_default=sa.text("''")
    )
    op.add_column("issuances", before)
    op.drop_column("issuances", "configuration_ids")
