"""The history of the policy in force, and what shadows answered.

Policies that were in use before get a line each, in the order of their first use, by "system": a text that is
kept without a line would pass for a damaged history.

Revision ID: 0002
Revises: 0001
"""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NO_LINE = "0" * 64


def upgrade() -> None:
    """Create the tables, and begin the history with the policies that are kept."""
    op.create_table(
        "policy_activations",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False, comment="1, 2, 3, ..."),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("policy_sha256", sa.Text(), nullable=False, comment="of the policy's text"),
        sa.Column("kind", sa.Text(), nullable=False, comment="first, activated or rolled_back"),
        sa.Column("actor", sa.Text(), nullable=False, comment="a name, or system"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("line_before_sha256", sa.Text(), nullable=False, comment="line_sha256 of the line before"),
        sa.Column("line_sha256", sa.Text(), nullable=False, comment="of all other columns"),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "shadow_decisions",
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False, comment="the challenger"),
        sa.Column(
            "subject_id", sa.Text(), nullable=False, comment="decision_id, or screening_id for order risk"
        ),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("as_of_ms", sa.BigInteger(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column(
            "policy_version",
            sa.Text(),
            nullable=False,
            comment="of the champion's answer, and so of both",
        ),
        sa.Column("champion_version", sa.Text(), nullable=False),
        sa.Column("champion_outcome", sa.Text(), nullable=False),
        sa.Column("champion_probability", sa.Double(), nullable=False),
        sa.Column(
            "champion_points",
            sa.BigInteger(),
            nullable=True,
            comment="null for order risk, where points mean nothing",
        ),
        sa.Column(
            "outcome",
            sa.Text(),
            nullable=False,
            comment="of the challenger; unavailable where it failed",
        ),
        sa.Column("raw_log_odds", sa.Double(), nullable=True, comment="null where it failed"),
        sa.Column("probability", sa.Double(), nullable=True, comment="null where it failed"),
        sa.Column(
            "points", sa.BigInteger(), nullable=True, comment="null where it failed, and for order risk"
        ),
        sa.Column(
            "record",
            sa.Text(),
            nullable=False,
            comment="JSON: failed rules and reasons of both, or the failure",
        ),
        sa.PrimaryKeyConstraint("model_name", "model_version", "subject_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "shadow_progress",
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column(
            "answers_from_ms",
            sa.BigInteger(),
            nullable=False,
            comment="what was decided before is not answered",
        ),
        sa.Column(
            "answered_to",
            sa.Text(),
            nullable=False,
            comment="subject_id: up to it nothing waits for an answer",
        ),
        sa.Column("answered", sa.BigInteger(), nullable=False, comment="rows of shadow_decisions"),
        sa.Column("differing", sa.BigInteger(), nullable=False, comment="those of them with another outcome"),
        sa.Column(
            "failed", sa.BigInteger(), nullable=False, comment="those of them where the challenger failed"
        ),
        sa.Column("problem", sa.Text(), nullable=True, comment="why it cannot answer now; null while it can"),
        sa.PrimaryKeyConstraint("model_name", "model_version"),
        sqlite_with_rowid=False,
    )
    _begin_history(op.get_bind())


def _begin_history(connection: sa.Connection) -> None:
    kept = connection.execute(
        sa.text("SELECT version, sha256, first_used_at_ms FROM policies ORDER BY first_used_at_ms, version")
    ).all()
    before = NO_LINE
    for number, (version, sha256, first_used_at_ms) in enumerate(kept, start=1):
        line: dict[str, Any] = {
            "number": number,
            "version": version,
            "policy_sha256": sha256,
            "kind": "first" if number == 1 else "activated",
            "actor": "system",
            "reason": "in use before the history began",
            "at_ms": int(first_used_at_ms),
            "line_before_sha256": before,
        }
        said = json.dumps(list(line.values()), ensure_ascii=False)
        before = hashlib.sha256(said.encode()).hexdigest()
        connection.execute(
            sa.text(
                "INSERT INTO policy_activations (number, version, policy_sha256, kind, actor, reason, at_ms, "
                "line_before_sha256, line_sha256) VALUES (:number, :version, :policy_sha256, :kind, :actor, "
                ":reason, :at_ms, :line_before_sha256, :line_sha256)"
            ),
            {**line, "line_sha256": before},
        )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("shadow_progress")
    op.drop_table("shadow_decisions")
    op.drop_table("policy_activations")
