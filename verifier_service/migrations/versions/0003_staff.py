"""accounts and sessions of staff."""

import sqlalchemy as sa
from alembic import op

from shared.runtime.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only additions: the version before goes on working meanwhile."""
    op.create_table(
        "staff_account",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("roles", sa.String(length=400), nullable=False),
        sa.Column("by_provider", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("invitation_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("invited_until", UtcDateTime(), nullable=True),
        sa.Column("enrolled_at", UtcDateTime(), nullable=True),
        sa.Column("passkey_id", sa.LargeBinary(), nullable=True),
        sa.Column("passkey", sa.LargeBinary(), nullable=True),
        sa.Column("sign_count", sa.Integer(), nullable=False),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.Column("lookups", sa.Integer(), nullable=False),
        sa.Column("lookups_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_staff_account")),
    )
    op.create_table(
        "staff_session",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_staff_session")),
    )
    op.create_index(
        op.f("ix_staff_session_tenant_account_id"), "staff_session", ["tenant", "account_id"]
    )
    op.create_index(op.f("ix_staff_session_ends_at"), "staff_session", ["ends_at"])
    op.create_table(
        "staff_challenge",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "hash", name=op.f("pk_staff_challenge")),
    )
    op.create_index(op.f("ix_staff_challenge_expires_at"), "staff_challenge", ["expires_at"])


def downgrade() -> None:
    """Staff have no accounts here any more."""
    op.drop_table("staff_challenge")
    op.drop_table("staff_session")
    op.drop_table("staff_account")
