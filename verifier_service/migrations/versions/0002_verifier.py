"""start cookies, holds, a chained audit trail, webhooks."""

import sqlalchemy as sa
from alembic import op

from shared.runtime.database import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UNCHAINED = sa.text("sequence IS NULL")


def upgrade() -> None:
    """Only additions: the version before goes on working meanwhile."""
    op.create_table(
        "audit_heads",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "sequence", name=op.f("pk_audit_heads")),
    )
    op.create_table(
        "webhooks",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=100), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("delivered_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_webhooks")),
    )
    with op.batch_alter_table("webhooks") as batch_op:
        batch_op.create_index(batch_op.f("ix_webhooks_due_at"), ["due_at"])
        batch_op.create_index(batch_op.f("ix_webhooks_tenant_at"), ["tenant", "at"])
    with op.batch_alter_table("transactions") as batch_op:
        batch_op.add_column(sa.Column("browser_hash", sa.LargeBinary(length=32), nullable=True))
        batch_op.add_column(sa.Column("sealed_dc", sa.LargeBinary(), nullable=True))
        batch_op.add_column(sa.Column("held_until", UtcDateTime(), nullable=True))
    with op.batch_alter_table("audit") as batch_op:
        batch_op.add_column(sa.Column("legal_basis", sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column("second_approver", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("sequence", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("hash", sa.LargeBinary(length=32), nullable=True))
        batch_op.create_unique_constraint(
            batch_op.f("uq_audit_tenant_sequence"), ["tenant", "sequence"]
        )
    op.create_index(
        "ix_audit_unchained",
        "audit",
        ["at"],
        sqlite_where=_UNCHAINED,
        postgresql_where=_UNCHAINED,
    )


def downgrade() -> None:
    """Back to 0001: what only 0002 knows is gone."""
    op.drop_index("ix_audit_unchained", table_name="audit")
    with op.batch_alter_table("audit") as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_audit_tenant_sequence"), type_="unique")
        for name in ("hash", "sequence", "second_approver", "legal_basis"):
            batch_op.drop_column(name)
    with op.batch_alter_table("transactions") as batch_op:
        for name in ("held_until", "sealed_dc", "browser_hash"):
            batch_op.drop_column(name)
    op.drop_table("webhooks")
    op.drop_table("audit_heads")
