"""Which accounts may be one person's, filled from the customers that the ledger holds.

Revision ID: 0004
Revises: 0003
"""

import json

import sqlalchemy as sa
from alembic import op

from serving.domain.same_person import person_keys

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 10_000


def upgrade() -> None:
    """Create the table and its index, and enter every row of the contract `customers`."""
    op.create_table(
        "person_keys",
        sa.Column(
            "person_key",
            sa.Text(),
            nullable=False,
            comment="hash of a document, or of name, birth date and residence",
        ),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person_key", "customer_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("person_keys_by_customer", "person_keys", ["customer_id"])
    _enter_customers(op.get_bind())


def _enter_customers(connection: sa.Connection) -> None:
    # Rows are entered in the form of today's code: a change of the form fills the table anew.
    rows = connection.execute(
        sa.text("SELECT entity_id, body FROM ledger_events WHERE contract = 'customers'").execution_options(
            stream_results=True
        )
    )
    for part in rows.partitions(ROWS_AT_ONCE):
        found = sorted(
            {(key, customer_id) for customer_id, body in part for key in person_keys(json.loads(body))}
        )
        if found:
            connection.execute(
                sa.text(
                    "INSERT INTO person_keys (person_key, customer_id) VALUES (:key, :customer_id) "
                    "ON CONFLICT (person_key, customer_id) DO NOTHING"
                ),
                [{"key": key, "customer_id": customer_id} for key, customer_id in found],
            )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("person_keys")
