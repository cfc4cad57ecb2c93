"""The first tables: ledger, decisions, reservations, keys, policies, outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "api_keys",
        sa.Column("key_sha256", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False, comment="checkout or merchant"),
        sa.Column("merchant_id", sa.Text(), nullable=True, comment="whose orders a merchant key may see"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key_sha256"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "customer_clocks",
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column(
            "last_ms", sa.BigInteger(), nullable=False, comment="latest recorded_at or as_of of the customer"
        ),
        sa.PrimaryKeyConstraint("entity_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("as_of_ms", sa.BigInteger(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=True),
        sa.Column("model_version", sa.Text(), nullable=True),
        sa.Column("feature_set_version", sa.Text(), nullable=True),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column(
            "features",
            sa.LargeBinary(),
            nullable=True,
            comment="float64 values, little-endian, in the order of the feature set",
        ),
        sa.Column(
            "record", sa.Text(), nullable=False, comment="JSON: every input, and the answer as it was given"
        ),
        sa.PrimaryKeyConstraint("decision_id"),
    )
    op.create_index("decisions_by_order", "decisions", ["order_id", "as_of_ms"], unique=False)
    op.create_table(
        "held_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("missing_contract", sa.Text(), nullable=False, comment="what the row waits for"),
        sa.Column("missing_id", sa.Text(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("held_events_by_missing", "held_events", ["missing_contract", "missing_id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.Text(), nullable=False, comment="name of the API key"),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("request_sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("caller", "idempotency_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_events",
        sa.Column("entity_id", sa.Text(), nullable=False, comment="customer_id; merchant_id for merchants"),
        sa.Column("contract", sa.Text(), nullable=False, comment="kind of row"),
        sa.Column("event_id", sa.Text(), nullable=False, comment="key of the row"),
        sa.Column(
            "subject_id",
            sa.Text(),
            nullable=True,
            comment="first key column: what the row is about; null where that is event_id",
        ),
        sa.Column("occurred_at_ms", sa.BigInteger(), nullable=False, comment="when it happened"),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False, comment="when we knew"),
        sa.Column("corrects", sa.Text(), nullable=True, comment="event_id of the row that this one replaces"),
        sa.Column("content_sha256", sa.Text(), nullable=False, comment="of the content without recorded_at"),
        sa.Column("body", sa.Text(), nullable=False, comment="the row as JSON, in ledger row form"),
        sa.PrimaryKeyConstraint("entity_id", "contract", "event_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ledger_events_by_corrects",
        "ledger_events",
        ["corrects"],
        unique=False,
        sqlite_where=sa.text("corrects IS NOT NULL"),
        postgresql_where=sa.text("corrects IS NOT NULL"),
    )
    op.create_index("ledger_events_by_id", "ledger_events", ["event_id"], unique=True)
    op.create_index(
        "ledger_events_by_subject",
        "ledger_events",
        ["contract", "subject_id"],
        unique=False,
        sqlite_where=sa.text("subject_id IS NOT NULL"),
        postgresql_where=sa.text("subject_id IS NOT NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("created_at_ms", "message_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "policies",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False, comment="the policy file as it was"),
        sa.Column("first_used_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "quarantined_events",
        sa.Column("quarantine_id", sa.Text(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=True, comment="as far as it could be told"),
        sa.Column("violations", sa.Text(), nullable=False, comment="JSON list: column, rule, value, message"),
        sa.Column("body", sa.Text(), nullable=False, comment="the row as it came"),
        sa.PrimaryKeyConstraint("quarantine_id"),
    )
    op.create_table(
        "reservations",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="reserved, confirmed, invoiced, cancelled or released"
        ),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "order_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "review_requests",
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("requested_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id"),
    )


def downgrade() -> None:
    """Drop every table."""
    op.drop_table("review_requests")
    op.drop_table("reservations")
    op.drop_table("quarantined_events")
    op.drop_table("policies")
    op.drop_table("outbox")
    op.drop_index(
        "ledger_events_by_subject",
        table_name="ledger_events",
        sqlite_where=sa.text("subject_id IS NOT NULL"),
        postgresql_where=sa.text("subject_id IS NOT NULL"),
    )
    op.drop_index("ledger_events_by_id", table_name="ledger_events")
    op.drop_index(
        "ledger_events_by_corrects",
        table_name="ledger_events",
        sqlite_where=sa.text("corrects IS NOT NULL"),
        postgresql_where=sa.text("corrects IS NOT NULL"),
    )
    op.drop_table("ledger_events")
    op.drop_table("idempotency_keys")
    op.drop_index("held_events_by_missing", table_name="held_events")
    op.drop_table("held_events")
    op.drop_index("decisions_by_order", table_name="decisions")
    op.drop_table("decisions")
    op.drop_table("customer_clocks")
    op.drop_table("api_keys")
