"""Which decisions were about the amendment of an order that stands: declined, they leave it as it was.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

works_with_code_since = "0010"
"""It only adds: what code of before decides is about no amendment, as the default says."""


def upgrade() -> None:
    """Add the column; orders were never amended before."""
    op.add_column(
        "decisions",
        sa.Column(
            "amends",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="1 where an order that stands was judged with another amount or address",
        ),
    )


def downgrade() -> None:
    """Leave out the column."""
    op.drop_column("decisions", "amends")
