"""Rows that hold two secrets, found without reading all: an unlocker is being removed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    two = sa.text("length(blob) > 95")
    op.create_index(
        "ix_shares_two_secrets", "shares", ["wallet"], sqlite_where=two, postgresql_where=two
    )


def downgrade() -> None:
    op.drop_index("ix_shares_two_secrets", "shares")
