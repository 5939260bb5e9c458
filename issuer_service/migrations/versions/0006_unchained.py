"""What of the audit trail waits for its job is found without reading the trail."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only an addition: the version before goes on working meanwhile."""
    unchained = sa.text("sequence IS NULL")
    op.create_index(
        "ix_audit_unchained",
        "audit",
        ["tenant", "at"],
        sqlite_where=unchained,
        postgresql_where=unchained,
    )


def downgrade() -> None:
    """Back to 0005."""
    op.drop_index("ix_audit_unchained", "audit")
