"""Wallets that begin, leave or are frozen are found without reading all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only an addition: the version before goes on working meanwhile."""
    not_active = sa.text("state != 'active'")
    op.create_index(
        "wallets_not_active",
        "wallets",
        ["state"],
        sqlite_where=not_active,
        postgresql_where=not_active,
    )


def downgrade() -> None:
    """Back to 0004."""
    op.drop_index("wallets_not_active", "wallets")
