"""Desks of a counter, and wrong short codes."""

import sqlalchemy as sa
from alembic import op

from shared.runtime.database import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only additions: the version before goes on working meanwhile."""
    op.create_table(
        "desks",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("holder", sa.LargeBinary(length=32), nullable=False),
        sa.Column("visit", sa.Integer(), nullable=False),
        sa.Column("transaction_id", sa.String(length=64), nullable=True),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("code_browser", sa.LargeBinary(length=32), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_desks")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_desks_code_hash")),
    )
    op.create_table(
        "guesses",
        sa.Column("bucket", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", name=op.f("pk_guesses")),
    )
    op.create_index(op.f("ix_guesses_expires_at"), "guesses", ["expires_at"])


def downgrade() -> None:
    """Back to 0003: what only 0004 knows is gone."""
    op.drop_table("guesses")
    op.drop_table("desks")
