"""A bank's reference in one form: two that differ in case or blanks alone are one transfer's.

What was sent stays in each row. Of pairs that were let in before, both stand until one is corrected.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FOUND_BY_REFERENCE = ("ledger_events", "held_events", "refused_events")
WAITING = ("held_events", "refused_events")
CONTRACTS = ("invoice_payments", "invoice_adjustments")


def upgrade() -> None:
    """Find rows, and what waits for a reference, by its one form; a reference is ASCII."""
    connection = op.get_bind()
    for table in FOUND_BY_REFERENCE:
        connection.execute(
            sa.text(
                f"UPDATE {table} SET subject_id = lower(replace(subject_id, ' ', '')) "  # noqa: S608 - names of tables
                "WHERE contract IN (:payments, :adjustments) AND subject_id IS NOT NULL"
            ),
            dict(zip(("payments", "adjustments"), CONTRACTS, strict=True)),
        )
    for table in WAITING:
        for contract in CONTRACTS:
            connection.execute(
                sa.text(
                    f"UPDATE {table} SET missing_id = :contract || ' ' || "  # noqa: S608 - names of tables
                    "lower(replace(substr(missing_id, :after), ' ', '')) "
                    "WHERE missing_contract = 'bank_reference' AND substr(missing_id, 1, :length) = :prefix"
                ),
                {
                    "contract": contract,
                    "after": len(contract) + 2,
                    "length": len(contract) + 1,
                    "prefix": f"{contract} ",
                },
            )


def downgrade() -> None:
    """The forms stay: an older release finds no transfer by a reference with blanks or capitals."""
