"""Held rows know whose they are and what they are about, and can be ended by hand.

A payment is found by its bank's reference; rows from before it was part of the contract have none.

Revision ID: 0003
Revises: 0002
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY_OF = {
    "credit_accounts": "account_id",
    "customers": "customer_id",
    "invoice_pauses": "pause_id",
    "invoices": "invoice_id",
    "merchants": "merchant_id",
    "orders": "order_id",
}
"""Of the contracts at this revision; the rows of all others are found by their event_id alone."""

SUBJECT_BEFORE = "first key column: what the row is about; null where that is event_id"
SUBJECT = "first key column: what the row is about; of a payment the bank's reference; null for others"


def upgrade() -> None:
    """Make the table of held rows anew with what it holds, and add to those of refused ones."""
    connection = op.get_bind()
    held = [dict(row) for row in connection.execute(sa.text("SELECT * FROM held_events")).mappings()]
    op.drop_index("held_events_by_missing", table_name="held_events")
    op.drop_table("held_events")
    table = op.create_table(
        "held_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False, comment="as in ledger_events"),
        sa.Column("subject_id", sa.Text(), nullable=True, comment="as in ledger_events"),
        sa.Column("missing_contract", sa.Text(), nullable=False, comment="what the row waits for"),
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
    if held:
        op.bulk_insert(table, [_with_its_ids(row) for row in held])
    op.create_index("held_events_by_missing", "held_events", ["missing_contract", "missing_id"], unique=False)
    op.create_index("held_events_by_subject", "held_events", ["contract", "subject_id"], unique=False)
    op.create_index("held_events_by_arrival", "held_events", ["received_at_ms", "entity_id"], unique=False)
    op.add_column(
        "quarantined_events",
        sa.Column("event_id", sa.Text(), nullable=True, comment="as far as it could be told"),
    )
    op.add_column(
        "quarantined_events",
        sa.Column(
            "ended_by",
            sa.Text(),
            nullable=True,
            comment="who ended the waiting of a held row; null for refused ones",
        ),
    )
    op.create_index("quarantined_events_by_contract", "quarantined_events", ["contract"], unique=False)
    op.create_index("quarantined_events_by_event", "quarantined_events", ["event_id"], unique=False)
    _describe_subject(SUBJECT, SUBJECT_BEFORE)


def _with_its_ids(held: dict[str, Any]) -> dict[str, Any]:
    row = json.loads(held["body"])
    entity = "merchant_id" if held["contract"] == "merchants" else "customer_id"
    key = KEY_OF.get(held["contract"])
    return {**held, "entity_id": row[entity], "subject_id": None if key is None else row[key]}


def _describe_subject(comment: str, existing: str) -> None:
    # SQLite keeps no comments.
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("ledger_events", "subject_id", comment=comment, existing_comment=existing)


def downgrade() -> None:
    """Leave out what was added."""
    _describe_subject(SUBJECT_BEFORE, SUBJECT)
    op.drop_index("quarantined_events_by_event", table_name="quarantined_events")
    op.drop_index("quarantined_events_by_contract", table_name="quarantined_events")
    op.drop_column("quarantined_events", "ended_by")
    op.drop_column("quarantined_events", "event_id")
    op.drop_index("held_events_by_arrival", table_name="held_events")
    op.drop_index("held_events_by_subject", table_name="held_events")
    op.drop_column("held_events", "subject_id")
    op.drop_column("held_events", "entity_id")
