"""Returns of goods that customers announce.

Revision ID: 0019
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None

works_with_code_since = "0010"
"""It only adds: code of before announces no return, and sees the pauses of those that were as rows."""


def upgrade() -> None:
    """A table beside the others."""
    op.create_table(
        "goods_returns",
        sa.Column("return_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="announced, booked, not_booked or lapsed"),
        sa.Column("announced_at_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "look_at_ms",
            sa.BigInteger(),
            nullable=True,
            comment="when the worker looks at it next: it runs out, or the ledger has news; null for never",
        ),
        sa.Column("record", sa.Text(), nullable=False, comment="JSON: the return"),
        sa.PrimaryKeyConstraint("return_id"),
    )
    op.create_index("goods_returns_by_order", "goods_returns", ["order_id"])
    op.create_index("goods_returns_by_customer", "goods_returns", ["customer_id"])
    op.create_index("goods_returns_by_state", "goods_returns", ["state", "merchant_id", "announced_at_ms"])
    op.create_index("goods_returns_by_look", "goods_returns", ["look_at_ms"])


def downgrade() -> None:
    """Leave the table out; the pauses stay rows of the ledger."""
    op.drop_table("goods_returns")
