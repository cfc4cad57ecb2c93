"""Refused rows are judged again when what they rest on is corrected; a transfer knows its second event_id.

Rows that were refused before stay refused: they can be sent again.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SUBJECT_BEFORE = "first key column: what the row is about; of a payment the bank's reference; null for others"
SUBJECT = "first key column: what the row is about; of a payment or adjustment the bank's reference"


def upgrade() -> None:
    """Create the two tables, and let a refusal be taken back."""
    op.create_table(
        "refused_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False, comment="as in ledger_events"),
        sa.Column("subject_id", sa.Text(), nullable=True, comment="as in ledger_events"),
        sa.Column("missing_contract", sa.Text(), nullable=False, comment="the kind of what the row rests on"),
        sa.Column("missing_id", sa.Text(), nullable=False),
        sa.Column(
            "received_at_ms",
            sa.BigInteger(),
            nullable=False,
            comment="by the entity's clock: no two are equal",
        ),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("refused_events_by_missing", "refused_events", ["missing_contract", "missing_id"])
    op.create_index("refused_events_by_subject", "refused_events", ["contract", "subject_id"])
    op.create_table(
        "repeated_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("first_event_id", sa.Text(), nullable=False, comment="under which the transfer stands"),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.add_column(
        "quarantined_events",
        sa.Column(
            "taken_back_at_ms",
            sa.BigInteger(),
            nullable=True,
            comment="when a refused row was let in after all, waited, or was sent anew; null while it is "
            "refused",
        ),
    )
    _describe_subject(SUBJECT, SUBJECT_BEFORE)


def _describe_subject(comment: str, existing: str) -> None:
    # SQLite keeps no comments.
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("ledger_events", "subject_id", comment=comment, existing_comment=existing)


def downgrade() -> None:
    """Leave out what was added."""
    _describe_subject(SUBJECT_BEFORE, SUBJECT)
    op.drop_column("quarantined_events", "taken_back_at_ms")
    op.drop_table("repeated_events")
    op.drop_table("refused_events")
