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
        sa.Column("role", sa.Text(), nullable=False, comment="checkout, merchant or fraud"),
        sa.Column("merchant_id", sa.Text(), nullable=True, comment="whose orders a merchant key may see"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key_sha256"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "case_history",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False, comment="1, 2, 3, ..."),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="a reviewer, or system"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False, comment="JSON"),
        sa.PrimaryKeyConstraint("case_id", "entry"),
        sqlite_with_rowid=False,
    )
    op.create_index("case_history_by_action", "case_history", ["action", "at_ms"], unique=False)
    op.create_table(
        "console_sessions",
        sa.Column("session_sha256", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("notice", sa.Text(), nullable=True, comment="for the next page that is shown"),
        sa.PrimaryKeyConstraint("session_sha256"),
    )
    op.create_index("console_sessions_by_user", "console_sessions", ["user_name"], unique=False)
    op.create_table(
        "console_users",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False, comment="fraud, analyst or admin"),
        sa.Column("password_hash", sa.Text(), nullable=False, comment="argon2id, with its parameters"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("password_set_at_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "disabled_at_ms", sa.BigInteger(), nullable=True, comment="null while the user may sign in"
        ),
        sa.PrimaryKeyConstraint("name"),
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
        "daily_flow",
        sa.Column("time_zone", sa.Text(), nullable=False, comment="whose days they are"),
        sa.Column("day", sa.Text(), nullable=False, comment="ISO date"),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column(
            "orders", sa.BigInteger(), nullable=False, comment="orders whose newest decision is of that day"
        ),
        sa.Column("approved", sa.BigInteger(), nullable=False, comment="those of them that it approved"),
        sa.PrimaryKeyConstraint("time_zone", "day", "merchant_id"),
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
        "deliveries",
        sa.Column("delivery_id", sa.Text(), nullable=False, comment="webhook-id: the same at every attempt"),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("stop_request_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False, comment="such as stop_request.created"),
        sa.Column("channel", sa.Text(), nullable=False, comment="webhook or email"),
        sa.Column("body", sa.Text(), nullable=False, comment="what is sent, to the byte"),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="waiting, delivered, gone, given_up or dropped"
        ),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "next_attempt_at_ms", sa.BigInteger(), nullable=True, comment="null once nothing more is tried"
        ),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    op.create_index("deliveries_by_next_attempt", "deliveries", ["next_attempt_at_ms"], unique=False)
    op.create_index("deliveries_by_stop_request", "deliveries", ["stop_request_id"], unique=False)
    op.create_table(
        "delivery_attempts",
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False, comment="1, 2, 3, ..."),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False, comment="delivered, gone or retry"),
        sa.Column(
            "status", sa.BigInteger(), nullable=True, comment="HTTP status, null where there was no answer"
        ),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", "attempt"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "flow_progress",
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column(
            "counted_to", sa.Text(), nullable=False, comment="the last decision_id that daily_flow counts"
        ),
        sa.PrimaryKeyConstraint("time_zone"),
        sqlite_with_rowid=False,
    )
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
        "investigations",
        sa.Column("case_id", sa.Text(), nullable=False, comment="one investigation at a time"),
        sa.Column("state", sa.Text(), nullable=False, comment="open or closed"),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False, comment="when it was last opened"),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="raised by every change"),
        sa.Column("record", sa.Text(), nullable=False, comment="JSON: triggers, answers, questions, finding"),
        sa.PrimaryKeyConstraint("case_id"),
    )
    op.create_index("investigations_by_state", "investigations", ["state", "opened_at_ms"], unique=False)
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
        "order_links",
        sa.Column(
            "entity_kind", sa.Text(), nullable=False, comment="what orders can have in common: a device, ..."
        ),
        sa.Column("entity_key", sa.Text(), nullable=False),
        sa.Column(
            "is_finding", sa.BigInteger(), nullable=False, comment="1: fraud was confirmed about the order"
        ),
        sa.Column("occurred_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False, comment="ledger row that makes the link"),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entity_kind", "entity_key", "is_finding", "occurred_at_ms", "event_id"),
        sqlite_with_rowid=False,
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
        "recall_tasks",
        sa.Column("stop_request_id", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=False),
        sa.Column("tracking_number", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True, comment="recalled or failed; null while it is open"),
        sa.Column("done_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("done_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("stop_request_id"),
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
        "review_cases",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False, comment="one case for an order, for ever"),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="open, claimed, contacting_customer or closed"),
        sa.Column(
            "priority", sa.BigInteger(), nullable=False, comment="saving lost by waiting; renewed each minute"
        ),
        sa.Column("reviewer", sa.Text(), nullable=True, comment="who holds it"),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="raised by every change"),
        sa.Column(
            "record", sa.Text(), nullable=False, comment="JSON: the case, and what its priority rests on"
        ),
        sa.PrimaryKeyConstraint("case_id"),
        sa.UniqueConstraint("order_id"),
    )
    op.create_index("review_cases_by_customer", "review_cases", ["customer_id"], unique=False)
    op.create_index(
        "review_cases_in_order_of_work",
        "review_cases",
        ["state", sa.literal_column("priority DESC"), sa.literal_column("case_id DESC")],
        unique=False,
    )
    op.create_table(
        "review_requests",
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("requested_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id"),
    )
    op.create_table(
        "screenings",
        sa.Column("screening_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("as_of_ms", sa.BigInteger(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False, comment="what made us look, such as order_approved"),
        sa.Column("outcome", sa.Text(), nullable=False, comment="clear or flagged"),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("feature_set_version", sa.Text(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("features", sa.LargeBinary(), nullable=False, comment="as in decisions"),
        sa.Column("record", sa.Text(), nullable=False, comment="JSON: probability, raw log-odds, reasons"),
        sa.PrimaryKeyConstraint("screening_id"),
    )
    op.create_index("screenings_by_order", "screenings", ["order_id", "as_of_ms"], unique=False)
    op.create_table(
        "settlement_postings",
        sa.Column(
            "settlement_id", sa.Text(), nullable=False, comment="what was posted together, and sums to zero"
        ),
        sa.Column("line", sa.BigInteger(), nullable=False, comment="1, 2, 3, ..."),
        sa.Column(
            "side", sa.BigInteger(), nullable=False, comment="1, 2: the sides of the line's double entry"
        ),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False, comment="of the line on the settlement note"),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column(
            "amount_cents", sa.BigInteger(), nullable=False, comment="a debit is positive, a credit negative"
        ),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("posted_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("settlement_id", "line", "side"),
    )
    op.create_index("settlement_postings_by_case", "settlement_postings", ["case_id"], unique=False)
    op.create_table(
        "sign_in_failures",
        sa.Column(
            "name_sha256", sa.Text(), nullable=False, comment="hashed: a password is easily typed there"
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("try_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name_sha256", "at_ms", "try_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("sign_in_failures_by_age", "sign_in_failures", ["at_ms"], unique=False)
    op.create_table(
        "signing_keys",
        sa.Column("name", sa.Text(), nullable=False, comment="what is signed with it"),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "stop_requests",
        sa.Column("stop_request_id", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="requested, answered, expired or withdrawn"),
        sa.Column(
            "answer_due_at_ms", sa.BigInteger(), nullable=True, comment="null until the merchant was reached"
        ),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="raised by every change"),
        sa.Column("record", sa.Text(), nullable=False, comment="JSON: the request with its answers"),
        sa.PrimaryKeyConstraint("stop_request_id"),
    )
    op.create_index("stop_requests_by_case", "stop_requests", ["case_id"], unique=False)
    op.create_index("stop_requests_by_due", "stop_requests", ["state", "answer_due_at_ms"], unique=False)
    op.create_index("stop_requests_by_order", "stop_requests", ["order_id"], unique=False)
    op.create_table(
        "webhook_endpoints",
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column(
            "ended_at_ms",
            sa.BigInteger(),
            nullable=True,
            comment="when it answered 410: nothing is sent there any more",
        ),
        sa.PrimaryKeyConstraint("merchant_id"),
    )
    op.create_table(
        "webhook_secrets",
        sa.Column("merchant_id", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column(
            "ends_at_ms",
            sa.BigInteger(),
            nullable=True,
            comment="null for the one in force; a rotated one overlaps until then",
        ),
        sa.PrimaryKeyConstraint("merchant_id", "created_at_ms"),
    )


def downgrade() -> None:
    """Drop every table."""
    op.drop_table("webhook_secrets")
    op.drop_table("webhook_endpoints")
    op.drop_index("stop_requests_by_order", table_name="stop_requests")
    op.drop_index("stop_requests_by_due", table_name="stop_requests")
    op.drop_index("stop_requests_by_case", table_name="stop_requests")
    op.drop_table("stop_requests")
    op.drop_table("signing_keys")
    op.drop_index("sign_in_failures_by_age", table_name="sign_in_failures")
    op.drop_table("sign_in_failures")
    op.drop_index("settlement_postings_by_case", table_name="settlement_postings")
    op.drop_table("settlement_postings")
    op.drop_index("screenings_by_order", table_name="screenings")
    op.drop_table("screenings")
    op.drop_table("review_requests")
    op.drop_index("review_cases_in_order_of_work", table_name="review_cases")
    op.drop_index("review_cases_by_customer", table_name="review_cases")
    op.drop_table("review_cases")
    op.drop_table("reservations")
    op.drop_table("recall_tasks")
    op.drop_table("quarantined_events")
    op.drop_table("policies")
    op.drop_table("outbox")
    op.drop_table("order_links")
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
    op.drop_index("investigations_by_state", table_name="investigations")
    op.drop_table("investigations")
    op.drop_table("idempotency_keys")
    op.drop_index("held_events_by_missing", table_name="held_events")
    op.drop_table("held_events")
    op.drop_table("flow_progress")
    op.drop_table("delivery_attempts")
    op.drop_index("deliveries_by_stop_request", table_name="deliveries")
    op.drop_index("deliveries_by_next_attempt", table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index("decisions_by_order", table_name="decisions")
    op.drop_table("decisions")
    op.drop_table("daily_flow")
    op.drop_table("customer_clocks")
    op.drop_table("console_users")
    op.drop_index("console_sessions_by_user", table_name="console_sessions")
    op.drop_table("console_sessions")
    op.drop_index("case_history_by_action", table_name="case_history")
    op.drop_table("case_history")
    op.drop_table("api_keys")
