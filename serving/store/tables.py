"""The store's tables: the one declaration of the schema, for SQLite and PostgreSQL alike.

Migrations create them; a test compares both. Instants are milliseconds since 1970 UTC.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    func,
    or_,
)

metadata = MetaData()

ledger_events = Table(
    "ledger_events",
    metadata,
    Column("entity_id", Text, primary_key=True, comment="customer_id; merchant_id for merchants"),
    Column("contract", Text, primary_key=True, comment="kind of row"),
    Column("event_id", Text, primary_key=True, comment="key of the row"),
    Column(
        "subject_id",
        Text,
        comment="first key column: what the row is about; of a payment or adjustment the bank's reference",
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


def _rows_to_judge_again(name: str, *, missing_contract: str) -> Table:
    """Rows that are judged when something arrives or is corrected. missing_contract: the column's comment."""
    table = Table(
        name,
        metadata,
        Column("event_id", Text, primary_key=True),
        Column("contract", Text, nullable=False),
        Column("entity_id", Text, nullable=False, comment="as in ledger_events"),
        Column("subject_id", Text, comment="as in ledger_events"),
        Column("missing_contract", Text, nullable=False, comment=missing_contract),
        Column("missing_id", Text, nullable=False),
        Column(
            "received_at_ms", BigInteger, nullable=False, comment="by the entity's clock: no two are equal"
        ),
        Column("content_sha256", Text, nullable=False),
        Column("body", Text, nullable=False),
    )
    Index(f"{name}_by_missing", table.c.missing_contract, table.c.missing_id)
    Index(f"{name}_by_subject", table.c.contract, table.c.subject_id)
    return table


held_events = _rows_to_judge_again("held_events", missing_contract="what the row waits for")
Index("held_events_by_arrival", held_events.c.received_at_ms, held_events.c.entity_id)

# Refused rows that are judged again when what they rest on is corrected; they lie in quarantine too.
refused_events = _rows_to_judge_again("refused_events", missing_contract="the kind of what the row rests on")

repeated_events = Table(
    "repeated_events",
    metadata,
    # One bank transfer under a second event_id: corrections of it concern the row that stands.
    Column("event_id", Text, primary_key=True),
    Column("first_event_id", Text, nullable=False, comment="under which the transfer stands"),
    Column("content_sha256", Text, nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
)

quarantined_events = Table(
    "quarantined_events",
    metadata,
    Column("quarantine_id", Text, primary_key=True),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("contract", Text, comment="as far as it could be told"),
    Column("event_id", Text, comment="as far as it could be told"),
    Column("ended_by", Text, comment="who ended the waiting of a held row; null for refused ones"),
    Column(
        "taken_back_at_ms",
        BigInteger,
        comment="when a refused row was let in after all, waited, or was sent anew; null while it is refused",
    ),
    Column("violations", Text, nullable=False, comment="JSON list: column, rule, value, message"),
    Column("body", Text, nullable=False, comment="the row as it came"),
)
Index("quarantined_events_by_contract", quarantined_events.c.contract)
Index("quarantined_events_by_event", quarantined_events.c.event_id)

customer_clocks = Table(
    "customer_clocks",
    metadata,
    Column("entity_id", Text, primary_key=True),
    Column("last_ms", BigInteger, nullable=False, comment="latest recorded_at or as_of of the customer"),
    sqlite_with_rowid=False,
)

person_keys = Table(
    "person_keys",
    metadata,
    # Derived from the ledger's customers, and only ever added to: finds accounts that may be one person's.
    Column(
        "person_key",
        Text,
        primary_key=True,
        comment="hash of a document, or of name, birth date and residence",
    ),
    Column("customer_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)
Index("person_keys_by_customer", person_keys.c.customer_id)

decisions = Table(
    "decisions",
    metadata,
    Column(
        "position",
        # The key of SQLite's own rows, so that it costs no page.
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        comment="1, 2, 3, ... as they were written; on PostgreSQL a later commit may have a smaller one",
    ),
    Column("decision_id", Text, nullable=False, unique=True),
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
    Column(
        "amends",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="1 where an order that stands was judged with another amount or address",
    ),
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
    Column("placed_by", Text, comment="role of the key that had it decided; null before that was kept"),
    Column(
        "partly_invoiced_at_ms",
        BigInteger,
        comment="when an invoice last took a part of a confirmed order; null where none did",
    ),
    sqlite_with_rowid=False,
)

merchant_questions = Table(
    "merchant_questions",
    metadata,
    # Each time that a merchant's key asks about a customer. What is a day old counts no more, and goes.
    Column("merchant_id", Text, primary_key=True),
    Column("customer_id", Text, primary_key=True),
    Column("kind", Text, primary_key=True, comment="precheck or order"),
    Column("asked_at_ms", BigInteger, primary_key=True),
    Column("question_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)
Index(
    "merchant_questions_by_time",
    merchant_questions.c.merchant_id,
    merchant_questions.c.kind,
    merchant_questions.c.asked_at_ms,
)

merchant_orders = Table(
    "merchant_orders",
    metadata,
    # Derived from the orders that have a number of their merchant's: finds them by it.
    Column("merchant_id", Text, primary_key=True),
    Column("merchant_order_number", Text, primary_key=True),
    Column("order_id", Text, nullable=False),
    sqlite_with_rowid=False,
)
Index("merchant_orders_by_number", merchant_orders.c.merchant_order_number)

invoice_looks = Table(
    "invoice_looks",
    metadata,
    # Customers whose invoices are to be looked at: of whom something is owed, or of whom news came.
    Column("customer_id", Text, primary_key=True),
    Column("look_at_ms", BigInteger, nullable=False, comment="when; 0 since the last news"),
    Column(
        "due_at_ms", BigInteger, comment="when the first of what is owed falls due; null where nothing does"
    ),
    sqlite_with_rowid=False,
)
Index("invoice_looks_by_time", invoice_looks.c.look_at_ms)
Index("invoice_looks_by_due_date", invoice_looks.c.due_at_ms)

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
    Column("role", Text, nullable=False, comment="checkout, merchant, ledger, fraud or admin"),
    Column("merchant_id", Text, comment="whose orders a merchant key may see"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger),
    Column("expires_at_ms", BigInteger, comment="null for a key that works until it is revoked"),
    Column("last_used_at_ms", BigInteger, comment="to the minute; null before its first use"),
)

replaced_api_keys = Table(
    "replaced_api_keys",
    metadata,
    Column("key_sha256", Text, primary_key=True, comment="of a secret that another took the place of"),
    Column("name", Text, nullable=False, comment="of the key, as in api_keys"),
    Column("replaced_at_ms", BigInteger, nullable=False),
    Column("ends_at_ms", BigInteger, nullable=False, comment="until then it works as well"),
)
Index("replaced_api_keys_by_name", replaced_api_keys.c.name)

policies = Table(
    "policies",
    metadata,
    Column("version", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("content", Text, nullable=False, comment="the policy file as it was"),
    Column("first_used_at_ms", BigInteger, nullable=False),
)

policy_activations = Table(
    "policy_activations",
    metadata,
    # Lines are only ever added: which version was in force from when, and who put it there.
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3, ..."),
    Column("version", Text, nullable=False),
    Column("policy_sha256", Text, nullable=False, comment="of the policy's text"),
    Column("kind", Text, nullable=False, comment="first, activated or rolled_back"),
    Column("actor", Text, nullable=False, comment="a name, or system"),
    Column("reason", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("line_before_sha256", Text, nullable=False, comment="line_sha256 of the line before"),
    Column("line_sha256", Text, nullable=False, comment="of all other columns"),
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
    # Each kind in the order in which it waits; a message that is worked off is deleted with the same commit.
    Column("kind", Text, primary_key=True),
    Column("created_at_ms", BigInteger, primary_key=True, comment="when it is due"),
    Column("message_id", Text, primary_key=True),
    Column("payload", Text, nullable=False),
    sqlite_with_rowid=False,
)

log_cursors = Table(
    "log_cursors",
    metadata,
    # How far a reader of the decision log has come.
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False, comment="of the last decision that is worked off"),
    Column("gap_to", BigInteger, comment="end of the gap that it waits at; null where at none"),
    Column("writers_before", BigInteger, comment="the gap is skipped once all of them have ended"),
    sqlite_with_rowid=False,
)

waiting_looks = Table(
    "waiting_looks",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("trigger", Text, primary_key=True, comment="why it is to be looked at"),
    Column("rank", BigInteger, nullable=False, comment="0: first look, 1: news, 2: an order like it"),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("ask_id", Text, nullable=False, comment="another one where it is asked again during a look"),
    Column("taken_until_ms", BigInteger, comment="so long a worker has it; null while none does"),
    sqlite_with_rowid=False,
)
Index("waiting_looks_in_order_of_work", waiting_looks.c.rank, waiting_looks.c.due_at_ms)

order_links = Table(
    "order_links",
    metadata,
    Column("entity_kind", Text, primary_key=True, comment="what orders can have in common: a device, ..."),
    Column("entity_key", Text, primary_key=True),
    Column("is_finding", BigInteger, primary_key=True, comment="1: fraud was confirmed about the order"),
    Column("occurred_at_ms", BigInteger, primary_key=True),
    Column("event_id", Text, primary_key=True, comment="ledger row that makes the link"),
    Column("order_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("recorded_at_ms", BigInteger, comment="of that row, where the link is plain"),
    Column(
        "is_plain",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="1: all that the order ever said is in this row, so that it may be counted unread",
    ),
    Column(
        "is_summed",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="1: order_sums counts it, also where it is plain no more",
    ),
    Column(
        "own_links",
        BigInteger,
        nullable=False,
        server_default="-1",
        comment="at the merchant, 1: the customer's own links were made too, 0: they were not; "
        "2: elsewhere; -1: by a release that knows none",
    ),
    Column("amount_cents", BigInteger, comment="at the customer, what is added up of the order; else null"),
    Column("night", BigInteger, comment="likewise, 1: ordered at night"),
    Column("resellable", BigInteger, comment="likewise, 1: goods that sell again easily"),
    sqlite_with_rowid=False,
)
_is_not_plain = order_links.c.is_plain == 0
Index(
    "order_links_to_read",
    # First, and all that is asked for behind: or SQLite would rather go through the plain ones too.
    order_links.c.is_plain,
    order_links.c.entity_kind,
    order_links.c.entity_key,
    order_links.c.is_finding,
    order_links.c.occurred_at_ms,
    order_links.c.order_id,
    order_links.c.customer_id,
    sqlite_where=_is_not_plain,
    postgresql_where=_is_not_plain,
)
# Another way to say the kind: or PostgreSQL, where it does not know how many links an entity has, would
# rather go through all of them by the table's own key.
_KIND = func.lower(order_links.c.entity_kind)
_waits_to_be_summed = and_(order_links.c.is_plain == 1, order_links.c.is_summed == 0)
Index(
    "order_links_to_sum",
    order_links.c.is_plain,
    order_links.c.is_summed,
    _KIND,
    order_links.c.entity_key,
    order_links.c.is_finding,
    order_links.c.occurred_at_ms,
    order_links.c.recorded_at_ms,
    order_links.c.customer_id,
    order_links.c.amount_cents,
    order_links.c.night,
    order_links.c.resellable,
    sqlite_where=_waits_to_be_summed,
    postgresql_where=_waits_to_be_summed,
)
_is_summed_and_to_read = and_(order_links.c.is_plain == 0, order_links.c.is_summed == 1)
Index(
    "order_links_to_take_out",
    order_links.c.is_plain,
    order_links.c.is_summed,
    _KIND,
    order_links.c.entity_key,
    order_links.c.is_finding,
    order_links.c.occurred_at_ms,
    # All that is asked for, as above.
    order_links.c.recorded_at_ms,
    order_links.c.customer_id,
    order_links.c.amount_cents,
    order_links.c.night,
    order_links.c.resellable,
    sqlite_where=_is_summed_and_to_read,
    postgresql_where=_is_summed_and_to_read,
)
# No text in these conditions: SQLite would prepare anew each statement that binds such a value.
_is_flipped = and_(order_links.c.own_links == 1, order_links.c.is_plain == 0)
_is_read_by_itself = or_(order_links.c.own_links < 1, _is_flipped)
Index(
    "order_links_of_customer",
    order_links.c.customer_id,
    order_links.c.entity_kind,
    order_links.c.order_id,
    order_links.c.is_plain,
    sqlite_where=_is_read_by_itself,
    postgresql_where=_is_read_by_itself,
)
_is_of_older_release = or_(order_links.c.own_links == -1, _is_flipped)
Index(
    "order_links_of_older_release",
    order_links.c.order_id,
    sqlite_where=_is_of_older_release,
    postgresql_where=_is_of_older_release,
)

order_sums = Table(
    "order_sums",
    metadata,
    # Of what many orders name: how many happened in each stretch of time, so that no look counts them all.
    Column("entity_kind", Text, primary_key=True, comment="as in order_links"),
    Column("entity_key", Text, primary_key=True),
    Column("is_finding", BigInteger, primary_key=True),
    Column("width_ms", BigInteger, primary_key=True, comment="how long the stretch is"),
    Column("start_ms", BigInteger, primary_key=True),
    Column("orders", BigInteger, nullable=False, comment="links in it that are summed"),
    Column("amount_cents", BigInteger, nullable=False, comment="the sum of what order_links says; else 0"),
    Column("night", BigInteger, nullable=False, comment="likewise"),
    Column("resellable", BigInteger, nullable=False, comment="likewise"),
    Column("recorded_to_ms", BigInteger, nullable=False, comment="none of them was recorded later"),
    sqlite_with_rowid=False,
)

order_sum_customers = Table(
    "order_sum_customers",
    metadata,
    # Of what ties customers to each other: whose the summed orders are.
    Column("entity_kind", Text, primary_key=True),
    Column("entity_key", Text, primary_key=True),
    Column("customer_id", Text, primary_key=True),
    Column("first_at_ms", BigInteger, nullable=False, comment="when the first of them happened"),
    Column("first_recorded_ms", BigInteger, nullable=False, comment="and was recorded"),
    Column("known_from_ms", BigInteger, nullable=False, comment="when any of them was recorded first"),
    sqlite_with_rowid=False,
)

screenings = Table(
    "screenings",
    metadata,
    Column("screening_id", Text, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("as_of_ms", BigInteger, nullable=False),
    Column("trigger", Text, nullable=False, comment="what made us look, such as order_approved"),
    Column("outcome", Text, nullable=False, comment="clear or flagged"),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("feature_set_version", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("features", LargeBinary, nullable=False, comment="as in decisions"),
    Column("record", Text, nullable=False, comment="JSON: probability, raw log-odds, reasons"),
)
Index("screenings_by_order", screenings.c.order_id, screenings.c.as_of_ms)

review_cases = Table(
    "review_cases",
    metadata,
    Column("case_id", Text, primary_key=True),
    Column("order_id", Text, nullable=False, unique=True, comment="one case for an order, for ever"),
    Column("customer_id", Text, nullable=False),
    Column("merchant_id", Text, nullable=False),
    Column("state", Text, nullable=False, comment="open, claimed, contacting_customer or closed"),
    Column("priority", BigInteger, nullable=False, comment="saving lost by waiting; renewed each minute"),
    Column("reviewer", Text, comment="who holds it"),
    Column("version", BigInteger, nullable=False, comment="raised by every change"),
    Column("record", Text, nullable=False, comment="JSON: the case, and what its priority rests on"),
)
Index(
    "review_cases_in_order_of_work",
    review_cases.c.state,
    review_cases.c.priority.desc(),
    review_cases.c.case_id.desc(),
)
Index("review_cases_by_customer", review_cases.c.customer_id)

case_history = Table(
    "case_history",
    metadata,
    Column("case_id", Text, primary_key=True),
    Column("entry", BigInteger, primary_key=True, comment="1, 2, 3, ..."),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False, comment="a reviewer, or system"),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False, comment="JSON"),
    sqlite_with_rowid=False,
)
Index("case_history_by_action", case_history.c.action, case_history.c.at_ms)

stop_requests = Table(
    "stop_requests",
    metadata,
    Column("stop_request_id", Text, primary_key=True),
    Column("case_id", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("merchant_id", Text, nullable=False),
    Column("state", Text, nullable=False, comment="requested, answered, expired or withdrawn"),
    Column("answer_due_at_ms", BigInteger, comment="null until the merchant was reached"),
    Column("version", BigInteger, nullable=False, comment="raised by every change"),
    Column("record", Text, nullable=False, comment="JSON: the request with its answers"),
)
Index("stop_requests_by_order", stop_requests.c.order_id)
Index("stop_requests_by_case", stop_requests.c.case_id)
Index("stop_requests_by_due", stop_requests.c.state, stop_requests.c.answer_due_at_ms)

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", Text, primary_key=True, comment="webhook-id: the same at every attempt"),
    Column("merchant_id", Text, nullable=False),
    Column("stop_request_id", Text, comment="null for a notice about the merchant's account itself"),
    Column("event_type", Text, nullable=False, comment="such as stop_request.created"),
    Column("channel", Text, nullable=False, comment="webhook or email"),
    Column("body", Text, nullable=False, comment="what is sent, to the byte"),
    Column("state", Text, nullable=False, comment="waiting, delivered, gone, given_up or dropped"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("next_attempt_at_ms", BigInteger, comment="null once nothing more is tried"),
    Column("attempts", BigInteger, nullable=False),
    Column("sent_to", Text, comment="a contact that the merchant had before; null for the one it has"),
)
Index("deliveries_by_next_attempt", deliveries.c.next_attempt_at_ms)
Index("deliveries_by_stop_request", deliveries.c.stop_request_id)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("attempt", BigInteger, primary_key=True, comment="1, 2, 3, ..."),
    Column("at_ms", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False, comment="delivered, gone or retry"),
    Column("status", BigInteger, comment="HTTP status, null where there was no answer"),
    Column("detail", Text, nullable=False),
    sqlite_with_rowid=False,
)

merchant_contact_changes = Table(
    "merchant_contact_changes",
    metadata,
    # Lines are only ever added: when a merchant was reached elsewhere from then on.
    Column("event_id", Text, primary_key=True, comment="ledger row that changed it"),
    Column("merchant_id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("record", Text, nullable=False, comment="JSON: the account's contacts before and after"),
)
Index(
    "merchant_contact_changes_by_merchant",
    merchant_contact_changes.c.merchant_id,
    merchant_contact_changes.c.at_ms,
)

merchant_topics = Table(
    "merchant_topics",
    metadata,
    Column("merchant_id", Text, primary_key=True),
    Column("topic", Text, primary_key=True, comment="type of the webhook that tells of it"),
    Column("channel", Text, nullable=False, comment="webhook, email or off"),
    Column("chosen_by", Text, nullable=False, comment="key or command that chose"),
    Column("chosen_at_ms", BigInteger, nullable=False),
)
Index("merchant_topics_by_topic", merchant_topics.c.topic)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("merchant_id", Text, primary_key=True),
    Column("ended_at_ms", BigInteger, comment="when it answered 410: nothing is sent there any more"),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("merchant_id", Text, primary_key=True),
    Column("created_at_ms", BigInteger, primary_key=True),
    Column("secret", Text, nullable=False),
    Column("ends_at_ms", BigInteger, comment="null for the one in force; a rotated one overlaps until then"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("name", Text, primary_key=True, comment="what is signed with it"),
    Column("secret", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

recall_tasks = Table(
    "recall_tasks",
    metadata,
    Column("stop_request_id", Text, primary_key=True),
    Column("carrier", Text, nullable=False),
    Column("tracking_number", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("result", Text, comment="recalled or failed; null while it is open"),
    Column("done_at_ms", BigInteger),
    Column("done_by", Text),
)

investigations = Table(
    "investigations",
    metadata,
    Column("case_id", Text, primary_key=True, comment="one investigation at a time"),
    Column("state", Text, nullable=False, comment="open or closed"),
    Column("opened_at_ms", BigInteger, nullable=False, comment="when it was last opened"),
    Column("version", BigInteger, nullable=False, comment="raised by every change"),
    Column("record", Text, nullable=False, comment="JSON: triggers, answers, questions, finding"),
)
Index("investigations_by_state", investigations.c.state, investigations.c.opened_at_ms)

disputes = Table(
    "disputes",
    metadata,
    Column("dispute_id", Text, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("merchant_id", Text, nullable=False),
    Column("state", Text, nullable=False, comment="opened, answered, ..., closed"),
    Column("opened_at_ms", BigInteger, nullable=False),
    Column("due_at_ms", BigInteger, comment="until when the one it waits for has time; null without a time"),
    Column("shown_to_merchant", BigInteger, nullable=False, comment="1, or 0 while the fraud team has it"),
    Column("version", BigInteger, nullable=False, comment="raised by every change"),
    Column("record", Text, nullable=False, comment="JSON: the dispute"),
)
Index("disputes_by_order", disputes.c.order_id)
Index("disputes_by_customer", disputes.c.customer_id)
Index("disputes_by_merchant", disputes.c.merchant_id, disputes.c.state, disputes.c.due_at_ms)
Index("disputes_by_due", disputes.c.state, disputes.c.due_at_ms)

dispute_history = Table(
    "dispute_history",
    metadata,
    # Lines are only ever added.
    Column("dispute_id", Text, primary_key=True),
    Column("entry", BigInteger, primary_key=True, comment="1, 2, 3, ..."),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False, comment="a key's name, a user, merchant, or system"),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False, comment="JSON"),
    sqlite_with_rowid=False,
)

dispute_files = Table(
    "dispute_files",
    metadata,
    # What a file holds lies in the home, below evidence/, by dispute and SHA-256.
    Column("dispute_id", Text, primary_key=True),
    Column("party", Text, primary_key=True, comment="customer or merchant: who handed it in"),
    Column("sha256", Text, primary_key=True, comment="of the content, in hexadecimal"),
    Column("file_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False, comment="by the content"),
    Column("size_bytes", BigInteger, nullable=False),
    Column("added_at_ms", BigInteger, nullable=False),
    Column("added_by", Text, nullable=False),
    sqlite_with_rowid=False,
)

settlement_postings = Table(
    "settlement_postings",
    metadata,
    Column("settlement_id", Text, primary_key=True, comment="what was posted together, and sums to zero"),
    Column("line", BigInteger, primary_key=True, comment="1, 2, 3, ..."),
    Column("side", BigInteger, primary_key=True, comment="1, 2: the sides of the line's double entry"),
    Column("case_id", Text, comment="whose fraud the line is about; null for any other line"),
    Column("order_id", Text, nullable=False),
    Column("merchant_id", Text, nullable=False),
    Column("text", Text, nullable=False, comment="of the line on the settlement note"),
    Column("account", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False, comment="a debit is positive, a credit negative"),
    Column("currency", Text, nullable=False),
    Column("posted_at_ms", BigInteger, nullable=False),
    Column("invoice_id", Text, comment="which invoice the line is about; null for the whole order"),
    Column(
        "period",
        Text,
        comment="the month in which it was posted, such as 2026-11; null until it is given one",
    ),
    Column(
        "is_reversal",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="1: takes back a line that was posted before",
    ),
)
Index("settlement_postings_by_case", settlement_postings.c.case_id)
_has_no_period = settlement_postings.c.period.is_(None)
Index(
    "settlement_postings_without_period",
    settlement_postings.c.posted_at_ms,
    sqlite_where=_has_no_period,
    postgresql_where=_has_no_period,
)
Index("settlement_postings_by_order", settlement_postings.c.order_id)
Index(
    "settlement_postings_by_merchant",
    settlement_postings.c.merchant_id,
    settlement_postings.c.period,
    settlement_postings.c.posted_at_ms,
)

orders_to_settle = Table(
    "orders_to_settle",
    metadata,
    # What is settled is taken out with the same commit.
    Column("order_id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False, comment="whose rows the settlement reads"),
    Column(
        "rank", BigInteger, nullable=False, comment="0: news about the order, 1: history that is caught up"
    ),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("ask_id", Text, nullable=False, comment="another one where something new came meanwhile"),
    sqlite_with_rowid=False,
)
Index("orders_to_settle_in_order_of_work", orders_to_settle.c.rank, orders_to_settle.c.due_at_ms)

shadow_decisions = Table(
    "shadow_decisions",
    metadata,
    # What a challenger would have answered, beside what the champion did: a report reads this table alone.
    Column("model_name", Text, primary_key=True),
    Column("model_version", Text, primary_key=True, comment="the challenger"),
    Column("subject_id", Text, primary_key=True, comment="decision_id, or screening_id for order risk"),
    Column("order_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("as_of_ms", BigInteger, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("policy_version", Text, nullable=False, comment="of the champion's answer, and so of both"),
    Column("champion_version", Text, nullable=False),
    Column("champion_outcome", Text, nullable=False),
    Column("champion_probability", Double, nullable=False),
    Column("champion_points", BigInteger, comment="null for order risk, where points mean nothing"),
    Column("outcome", Text, nullable=False, comment="of the challenger; unavailable where it failed"),
    Column("raw_log_odds", Double, comment="null where it failed"),
    Column("probability", Double, comment="null where it failed"),
    Column("points", BigInteger, comment="null where it failed, and for order risk"),
    Column("record", Text, nullable=False, comment="JSON: failed rules and reasons of both, or the failure"),
    sqlite_with_rowid=False,
)

shadow_progress = Table(
    "shadow_progress",
    metadata,
    Column("model_name", Text, primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("answers_from_ms", BigInteger, nullable=False, comment="what was decided before is not answered"),
    Column("answered_to", Text, nullable=False, comment="subject_id: up to it nothing waits for an answer"),
    Column("answered", BigInteger, nullable=False, comment="rows of shadow_decisions"),
    Column("differing", BigInteger, nullable=False, comment="those of them with another outcome"),
    Column("failed", BigInteger, nullable=False, comment="those of them where the challenger failed"),
    Column("problem", Text, comment="why it cannot answer now; null while it can"),
    sqlite_with_rowid=False,
)

daily_flow = Table(
    "daily_flow",
    metadata,
    # Summed up by the worker from the decisions, so that an overview reads days and not decisions.
    Column("time_zone", Text, primary_key=True, comment="whose days they are"),
    Column("day", Text, primary_key=True, comment="ISO date"),
    Column("merchant_id", Text, primary_key=True),
    Column("orders", BigInteger, nullable=False, comment="orders whose newest decision is of that day"),
    Column("approved", BigInteger, nullable=False, comment="those of them that it approved"),
    sqlite_with_rowid=False,
)

flow_progress = Table(
    "flow_progress",
    metadata,
    Column("time_zone", Text, primary_key=True),
    Column("counted_to", Text, nullable=False, comment="the last decision_id that daily_flow counts"),
    sqlite_with_rowid=False,
)

running_processes = Table(
    "running_processes",
    metadata,
    # Who works on the store now: asked before a migration takes something away.
    Column("process_id", Text, primary_key=True),
    Column("kind", Text, nullable=False, comment="service or worker"),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("code_revision", Text, nullable=False, comment="the last migration that its code comes with"),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False, comment="when it last said that it runs"),
    sqlite_with_rowid=False,
)

sandbox_clock_steps = Table(
    "sandbox_clock_steps",
    metadata,
    # Empty in a real store. Rows are only added: the first marks a new store as a sandbox, each other one
    # moves its clock on.
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("asked_at_ms", BigInteger, nullable=False, comment="by the machine's clock"),
    Column(
        "effective_at_ms",
        BigInteger,
        nullable=False,
        comment="likewise: when every process begins to go by it",
    ),
    Column("ahead_ms", BigInteger, nullable=False, comment="how far ahead of the machine's clock"),
)

console_users = Table(
    "console_users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False, comment="fraud, analyst or admin"),
    Column("password_hash", Text, nullable=False, comment="argon2id, with its parameters"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("password_set_at_ms", BigInteger, nullable=False),
    Column("disabled_at_ms", BigInteger, comment="null while the user may sign in"),
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("session_sha256", Text, primary_key=True),
    Column("user_name", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("last_used_at_ms", BigInteger, nullable=False),
    Column("notice", Text, comment="for the next page that is shown"),
)
Index("console_sessions_by_user", console_sessions.c.user_name)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("name_sha256", Text, primary_key=True, comment="hashed: a password is easily typed there"),
    Column("at_ms", BigInteger, primary_key=True),
    Column("try_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)
Index("sign_in_failures_by_age", sign_in_failures.c.at_ms)

goods_returns = Table(
    "goods_returns",
    metadata,
    Column("return_id", Text, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("merchant_id", Text, nullable=False),
    Column("state", Text, nullable=False, comment="announced, booked, not_booked or lapsed"),
    Column("announced_at_ms", BigInteger, nullable=False),
    Column(
        "look_at_ms",
        BigInteger,
        comment="when the worker looks at it next: it runs out, or the ledger has news; null for never",
    ),
    Column("record", Text, nullable=False, comment="JSON: the return"),
)
Index("goods_returns_by_order", goods_returns.c.order_id)
Index("goods_returns_by_customer", goods_returns.c.customer_id)
Index(
    "goods_returns_by_state",
    goods_returns.c.state,
    goods_returns.c.merchant_id,
    goods_returns.c.announced_at_ms,
)
Index("goods_returns_by_look", goods_returns.c.look_at_ms)
