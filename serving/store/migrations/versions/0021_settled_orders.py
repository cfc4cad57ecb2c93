"""What is posted belongs to an order, with or without a case, and to a period; orders wait to be settled.

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

works_with_code_since = "0010"
"""It only adds: code of before posts the frauds of cases, which the worker then gives periods. The orders of
rows that it takes in meanwhile are settled by `bonitas settlement catch-up`."""


def upgrade() -> None:
    """What is posted is about the whole order; the worker gives it a period, in the policy's zone."""
    with op.batch_alter_table("settlement_postings") as table:
        table.alter_column(
            "case_id",
            existing_type=sa.Text(),
            existing_nullable=False,
            nullable=True,
            comment="whose fraud the line is about; null for any other line",
        )
        table.add_column(
            sa.Column(
                "invoice_id",
                sa.Text(),
                nullable=True,
                comment="which invoice the line is about; null for the whole order",
            )
        )
        table.add_column(
            sa.Column(
                "period",
                sa.Text(),
                nullable=True,
                comment="the month in which it was posted, such as 2026-11; null until it is given one",
            )
        )
        table.add_column(
            sa.Column(
                "is_reversal",
                sa.BigInteger(),
                nullable=False,
                server_default="0",
                comment="1: takes back a line that was posted before",
            )
        )
    op.create_index(
        "settlement_postings_without_period",
        "settlement_postings",
        ["posted_at_ms"],
        sqlite_where=sa.text("period IS NULL"),
        postgresql_where=sa.text("period IS NULL"),
    )
    op.create_index("settlement_postings_by_order", "settlement_postings", ["order_id"])
    op.create_index(
        "settlement_postings_by_merchant", "settlement_postings", ["merchant_id", "period", "posted_at_ms"]
    )
    op.create_table(
        "orders_to_settle",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False, comment="whose rows the settlement reads"),
        sa.Column(
            "rank",
            sa.BigInteger(),
            nullable=False,
            comment="0: news about the order, 1: history that is caught up",
        ),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "ask_id", sa.Text(), nullable=False, comment="another one where something new came meanwhile"
        ),
        sa.PrimaryKeyConstraint("order_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("orders_to_settle_in_order_of_work", "orders_to_settle", ["rank", "due_at_ms"])


def downgrade() -> None:
    """What was posted about orders without a case is lost: code of before cannot hold it."""
    op.drop_table("orders_to_settle")
    op.execute("DELETE FROM settlement_postings WHERE case_id IS NULL")
    for name in ("merchant", "order"):
        op.drop_index(f"settlement_postings_by_{name}", "settlement_postings")
    op.drop_index("settlement_postings_without_period", "settlement_postings")
    with op.batch_alter_table("settlement_postings") as table:
        table.drop_column("is_reversal")
        table.drop_column("period")
        table.drop_column("invoice_id")
        table.alter_column("case_id", existing_type=sa.Text(), nullable=False)
