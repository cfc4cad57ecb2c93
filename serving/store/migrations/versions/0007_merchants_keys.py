"""What merchants' own keys ask and hold, and by which numbers of their own they name orders.

Reservations from before do not say who placed them: they count against limits as ever, and are none of a
merchant's key. Orders from before have no number of their merchant's and need no row: their order_id is their
number.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column(
        "reservations",
        sa.Column(
            "placed_by",
            sa.Text(),
            nullable=True,
            comment="role of the key that had it decided; null before that was kept",
        ),
    )
    op.create_table(
        "merchant_questions",
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="precheck or order"),
        sa.Column("asked_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("question_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "customer_id", "kind", "asked_at_ms", "question_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "merchant_questions_by_time", "merchant_questions", ["merchant_id", "kind", "asked_at_ms"]
    )
    op.create_table(
        "merchant_orders",
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("merchant_order_number", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "merchant_order_number"),
        sqlite_with_rowid=False,
    )
    op.create_index("merchant_orders_by_number", "merchant_orders", ["merchant_order_number"])


def downgrade() -> None:
    """Leave out what was added."""
    op.drop_table("merchant_orders")
    op.drop_table("merchant_questions")
    op.drop_column("reservations", "placed_by")
