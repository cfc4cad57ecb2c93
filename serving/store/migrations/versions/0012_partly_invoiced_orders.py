"""Orders that are invoiced in part hold the rest.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

works_with_code_since = "0010"
"""It only adds: to code of before, an order that is invoiced in part is confirmed and holds what is left."""


def upgrade() -> None:
    """Whether invoices took a part of what an order holds; null for all that are there."""
    op.add_column(
        "reservations",
        sa.Column(
            "partly_invoiced_at_ms",
            sa.BigInteger(),
            nullable=True,
            comment="when an invoice last took a part of a confirmed order; null where none did",
        ),
    )


def downgrade() -> None:
    """They count as confirmed."""
    op.drop_column("reservations", "partly_invoiced_at_ms")
