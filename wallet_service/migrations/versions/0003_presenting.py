"""Coarse deadlines, the list of shown copies, and counted guesses."""

import sqlalchemy as sa
from alembic import op

from shared.runtime.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UNDER_WAY = ("sessions", "approvals", "callbacks", "issuances", "presentations")


def upgrade() -> None:
    """What is under way is begun anew: its exact deadlines are sealed from now on."""
    for table in _UNDER_WAY:
        op.execute(f"DELETE FROM {table}")  # noqa: S608  # names of ours
    op.create_table(
        "guesses",
        sa.Column("bucket", sa.LargeBinary(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", name=op.f("pk_guesses")),
    )
    with op.batch_alter_table("guesses") as batch:
        batch.create_index(op.f("ix_guesses_expires_at"), ["expires_at"])
    with op.batch_alter_table("sessions") as batch:
        batch.drop_column("idle_until")
    with op.batch_alter_table("wallets") as batch:
        batch.add_column(sa.Column("spent", sa.LargeBinary(), nullable=False, server_default=""))


def downgrade() -> None:
    """Back to deadlines in the clear."""
    for table in _UNDER_WAY:
        op.execute(f"DELETE FROM {table}")  # noqa: S608  # names of ours
    with op.batch_alter_table("wallets") as batch:
        batch.drop_column("spent")
    with op.batch_alter_table("sessions") as batch:
        batch.add_column(sa.Column("idle_until", UtcDateTime(), nullable=False))
    op.drop_table("guesses")
