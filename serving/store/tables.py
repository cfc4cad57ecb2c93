"""The store's tables: the one declaration of the schema, for SQLite and PostgreSQL alike.

Migrations create them; a test compares both. Instants are milliseconds since 1970 UTC.
"""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, Table, Text

metadata = MetaData()

ledger_events = Table(
    "ledger_events",
    metadata,
    Column("entity_id", Text, primary_key=True, comment="customer_id; merchant_id for merchants"),
    Column("contract", Text, primary_key=True, comment="kind of row"),
    Column("event_id", Text, primary_key=True, comment="key of the row"),
    Column(
        "subject_id", Text, comment="first key column: what the row is about; null where that is event_id"
    ),
    Column("occurred_at_ms", BigInteger, nullable=False, comment="when it happened"),
    Column("recorded_at_ms", BigInteger, nullable=False, comment="when we knew"),
    Column("corrects", Text, comment="event_id of the row that this one replaces"),
    Column("content_sha256", Text, nullable=False, comment="of the content without recorded_at"),
    Column("body", Text, nullable=False, comment="the row as JSON, in ledger row form"),
    # Kept in the order of its key: a customer's rows lie together, and a decision reads them at a stretch.
    sqlite_with_rowid=False,
)
Index("ledger_events_by_id", ledger_events.c.event_id, unique=True)
_has_subject = ledger_events.c.subject_id.is_not(None)
Index(
    "ledger_events_by_subject",
    ledger_events.c.contract,
    ledger_events.c.subject_id,
    sqlite_where=_has_subject,
    postgresql_where=_has_subject,
)
_is_correction = ledger_events.c.corrects.is_not(None)
Index(
    "ledger_events_by_corrects",
    ledger_events.c.corrects,
    sqlite_where=_is_correction,
    postgresql_where=_is_correction,
)

held_events = Table(
    "held_events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("contract", Text, nullable=False),
    Column("missing_contract", Text, nullable=False, comment="what the row waits for"),
    Column("missing_id", Text, nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("content_sha256", Text, nullable=False),
    Column("body", Text, nullable=False),
)
Index("held_events_by_missing", held_events.c.missing_contract, held_events.c.missing_id)

quarantined_events = Table(
    "quarantined_events",
    metadata,
    Column("quarantine_id", Text, primary_key=True),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("contract", Text, comment="as far as it could be told"),
    Column("violations", Text, nullable=False, comment="JSON list: column, rule, value, message"),
    Column("body", Text, nullable=False, comment="the row as it came"),
)

customer_clocks = Table(
    "customer_clocks",
    metadata,
    Column("entity_id", Text, primary_key=True),
    Column("last_ms", BigInteger, nullable=False, comment="latest recorded_at or as_of of the customer"),
    sqlite_with_rowid=False,
)

decisions = Table(
    "decisions",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("merchant_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("as_of_ms", BigInteger, nullable=False),
    Column("model_name", Text),
    Column("model_version", Text),
    Column("feature_set_version", Text),
    Column("policy_version", Text, nullable=False),
    Column("features", LargeBinary, comment="float64 values, little-endian, in the order of the feature set"),
    Column("record", Text, nullable=False, comment="JSON: every input, and the answer as it was given"),
)
Index("decisions_by_order", decisions.c.order_id, decisions.c.as_of_ms)

reservations = Table(
    "reservations",
    metadata,
    Column("customer_id", Text, primary_key=True),
    Column("order_id", Text, primary_key=True),
    Column("merchant_id", Text, nullable=False),
    Column("decision_id", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("state", Text, nullable=False, comment="reserved, confirmed, invoiced, cancelled or released"),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", Text, primary_key=True, comment="name of the API key"),
    Column("idempotency_key", Text, primary_key=True),
    Column("request_sha256", Text, nullable=False),
    Column("status", BigInteger, nullable=False),
    Column("answer", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_sha256", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False, comment="checkout or merchant"),
    Column("merchant_id", Text, comment="whose orders a merchant key may see"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger),
)

policies = Table(
    "policies",
    metadata,
    Column("version", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("content", Text, nullable=False, comment="the policy file as it was"),
    Column("first_used_at_ms", BigInteger, nullable=False),
)

review_requests = Table(
    "review_requests",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("requested_at_ms", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    # In the order in which they wait; a message that is worked off is deleted with the same commit.
    Column("created_at_ms", BigInteger, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("payload", Text, nullable=False),
    sqlite_with_rowid=False,
)
