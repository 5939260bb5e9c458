"""Images of cards."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Sealed beside each card."""
    op.create_table(
        "pictures",
        sa.Column("credential", sa.String(length=64), nullable=False),
        sa.Column("wallet", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("credential", name=op.f("pk_pictures")),
    )
    op.create_index(op.f("ix_pictures_wallet"), "pictures", ["wallet"], unique=False)


def downgrade() -> None:
    """Without them."""
    op.drop_table("pictures")
