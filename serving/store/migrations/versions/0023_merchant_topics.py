"""Of which topics a merchant is told, and by which channel.

Revision ID: 0023
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0021"
branch_labels = None
depends_on = None

works_with_code_since = "0010"
"""It only adds: code of before tells merchants what is mandatory, as ever."""


def upgrade() -> None:
    """Add the table; nobody has chosen anything yet."""
    op.create_table(
        "merchant_topics",
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False, comment="type of the webhook that tells of it"),
        sa.Column("channel", sa.Text(), nullable=False, comment="webhook, email or off"),
        sa.Column("chosen_by", sa.Text(), nullable=False, comment="key or command that chose"),
        sa.Column("chosen_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "topic"),
    )
    op.create_index("merchant_topics_by_topic", "merchant_topics", ["topic"])


def downgrade() -> None:
    """Leave out the table."""
    op.drop_table("merchant_topics")
