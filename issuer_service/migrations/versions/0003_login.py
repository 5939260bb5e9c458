"""citizens who log in at the agency."""

import sqlalchemy as sa
from alembic import op

from shared.runtime.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One-time codes that a clerk hands out."""
    op.create_table(
        "desk_codes",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_desk_codes")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("desk_codes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_desk_codes_expires_at"), ["expires_at"], unique=False)


def downgrade() -> None:
    op.drop_table("desk_codes")
