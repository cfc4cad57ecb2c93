"""Running processes say of which revision their code is: a migration that takes something away asks.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

works_with_code_since = "0010"
"""It only adds."""


def upgrade() -> None:
    """A table beside the others."""
    op.create_table(
        "running_processes",
        sa.Column("process_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="service or worker"),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column(
            "code_revision",
            sa.Text(),
            nullable=False,
            comment="the last migration that its code comes with",
        ),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False, comment="when it last said that it runs"),
        sa.PrimaryKeyConstraint("process_id"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Nobody registers any more."""
    op.drop_table("running_processes")
