"""Disputes of customers, what was done with each, and which files were handed in.

Revision ID: 0017
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None

works_with_code_since = "0010"
"""It only adds: to code of before, a dispute is the pauses and outcomes that stand in the ledger."""


def upgrade() -> None:
    """Three tables beside the others."""
    op.create_table(
        "disputes",
        sa.Column("dispute_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="opened, answered, ..., closed"),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "due_at_ms",
            sa.BigInteger(),
            nullable=True,
            comment="until when the one it waits for has time; null without a time",
        ),
        sa.Column(
            "shown_to_merchant",
            sa.BigInteger(),
            nullable=False,
            comment="1, or 0 while the fraud team has it",
        ),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="raised by every change"),
        sa.Column("record", sa.Text(), nullable=False, comment="JSON: the dispute"),
        sa.PrimaryKeyConstraint("dispute_id"),
    )
    op.create_index("disputes_by_order", "disputes", ["order_id"])
    op.create_index("disputes_by_customer", "disputes", ["customer_id"])
    op.create_index("disputes_by_merchant", "disputes", ["merchant_id", "state", "due_at_ms"])
    op.create_index("disputes_by_due", "disputes", ["state", "due_at_ms"])
    op.create_table(
        "dispute_history",
        sa.Column("dispute_id", sa.Text(), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False, comment="1, 2, 3, ..."),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="a key's name, a user, merchant, or system"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False, comment="JSON"),
        sa.PrimaryKeyConstraint("dispute_id", "entry"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "dispute_files",
        sa.Column("dispute_id", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False, comment="customer or merchant: who handed it in"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the content, in hexadecimal"),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False, comment="by the content"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dispute_id", "party", "sha256"),
        sa.UniqueConstraint("file_id"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Disputes that are open are forgotten; the pauses of their invoices stand in the ledger."""
    for table in ("dispute_files", "dispute_history", "disputes"):
        op.drop_table(table)
