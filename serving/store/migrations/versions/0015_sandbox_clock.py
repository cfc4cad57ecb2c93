"""A sandbox, and how far its clock was moved.

A table is added, and nothing else changes: a store without rows in it is none.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

works_with_code_since = "0010"
"""It only adds. Code of before knows no sandbox: who marks a store as one asks there for this code."""

_STAYS = "a sandbox stays one, and its clock is only moved on"


def upgrade() -> None:
    """Make the table; what is in it is never changed nor taken away, whoever tries."""
    op.create_table(
        "sandbox_clock_steps",
        sa.Column("step", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("asked_at_ms", sa.BigInteger(), nullable=False, comment="by the machine's clock"),
        sa.Column(
            "effective_at_ms",
            sa.BigInteger(),
            nullable=False,
            comment="likewise: when every process begins to go by it",
        ),
        sa.Column(
            "ahead_ms", sa.BigInteger(), nullable=False, comment="how far ahead of the machine's clock"
        ),
        sa.PrimaryKeyConstraint("step"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER sandbox_clock_steps_stay_{event.lower()} BEFORE {event} "
                f"ON sandbox_clock_steps BEGIN SELECT RAISE(ABORT, '{_STAYS}'); END"
            )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION sandbox_clock_steps_stay() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_STAYS}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER sandbox_clock_steps_stay BEFORE UPDATE OR DELETE ON sandbox_clock_steps "
        "FOR EACH ROW EXECUTE FUNCTION sandbox_clock_steps_stay()"
    )


def downgrade() -> None:
    """A sandbox would go on as a real store, at a time that has not come."""
    if op.get_bind().execute(sa.text("SELECT 1 FROM sandbox_clock_steps LIMIT 1")).first():
        raise RuntimeError(_STAYS)
    op.drop_table("sandbox_clock_steps")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION sandbox_clock_steps_stay()")
