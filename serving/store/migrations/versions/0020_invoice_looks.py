"""Customers whose invoices are to be looked at, so that nobody searches the ledger for what falls due.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

works_with_code_since = "0010"
"""It only adds: the release before goes on beside it, and asks for no looks; see `docs/invoices.md`."""


def upgrade() -> None:
    """Make the table, and ask for a look at everybody who has invoices."""
    op.create_table(
        "invoice_looks",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("look_at_ms", sa.BigInteger(), nullable=False, comment="when; 0 since the last news"),
        sa.Column(
            "due_at_ms",
            sa.BigInteger(),
            nullable=True,
            comment="when the first of what is owed falls due; null where nothing does",
        ),
        sa.PrimaryKeyConstraint("customer_id"),
        sqlite_with_rowid=False,
    )
    op.get_bind().execute(
        sa.text(
            "INSERT INTO invoice_looks (customer_id, look_at_ms) "
            "SELECT DISTINCT entity_id, 0 FROM ledger_events WHERE contract = 'invoices'"
        )
    )
    op.create_index("invoice_looks_by_time", "invoice_looks", ["look_at_ms"])
    op.create_index("invoice_looks_by_due_date", "invoice_looks", ["due_at_ms"])


def downgrade() -> None:
    """Leave out the table."""
    op.drop_table("invoice_looks")
