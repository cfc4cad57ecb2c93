"""Orders at what very many name are counted by kept sums, so that a look does not count them one by one.

Tables and a column are added, and nothing else changes: the release before goes on beside this one. It makes
links that are not summed, which is what the column says of them by itself.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

works_with_code_since = "0010"
"""It only adds: links of code of before are not summed and are counted one by one."""

WIDTHS_MS = tuple(1 << bits for bits in (13, 17, 21, 25, 29))
SUMMED_FROM = 32
LINKING = "('device', 'delivery_address', 'mailbox', 'phone')"
_SUMMED = "FROM order_links WHERE is_summed = 1"
_WAITING = "is_plain = 1 AND is_summed = 0"
_TO_TAKE_OUT = "is_plain = 0 AND is_summed = 1"
_READ_BY_ITSELF = "own_links < 1 OR (own_links = 1 AND is_plain = 0)"
_OF_OLDER_RELEASE = "own_links = -1 OR (own_links = 1 AND is_plain = 0)"
_FRAUD = "('fraud_chargeback', 'identity_misuse_upheld', 'stop_request_upheld')"


def upgrade() -> None:
    """Make the tables, and sum up the plain orders of what many orders name."""
    connection = op.get_bind()
    _add_columns()
    _make_tables()
    _tell_plain_orders(connection)
    connection.execute(
        sa.text(
            "UPDATE order_links SET own_links = "
            "CASE WHEN entity_kind = 'merchant' AND is_finding = 0 THEN 0 ELSE 2 END"
        )
    )
    _sum_up(connection)
    _make_indexes()


def _add_columns() -> None:
    for column in (
        sa.Column(
            "is_summed",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="1: order_sums counts it, also where it is plain no more",
        ),
        sa.Column(
            "own_links",
            sa.BigInteger(),
            nullable=False,
            server_default="-1",
            comment="at the merchant, 1: the customer's own links were made too, 0: they were not; "
            "2: elsewhere; -1: by a release that knows none",
        ),
        sa.Column(
            "amount_cents",
            sa.BigInteger(),
            nullable=True,
            comment="at the customer, what is added up of the order; else null",
        ),
        sa.Column("night", sa.BigInteger(), nullable=True, comment="likewise, 1: ordered at night"),
        sa.Column(
            "resellable",
            sa.BigInteger(),
            nullable=True,
            comment="likewise, 1: goods that sell again easily",
        ),
    ):
        op.add_column("order_links", column)


def _make_tables() -> None:
    op.create_table(
        "order_sums",
        sa.Column("entity_kind", sa.Text(), nullable=False, comment="as in order_links"),
        sa.Column("entity_key", sa.Text(), nullable=False),
        sa.Column("is_finding", sa.BigInteger(), nullable=False),
        sa.Column("width_ms", sa.BigInteger(), nullable=False, comment="how long the stretch is"),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("orders", sa.BigInteger(), nullable=False, comment="links in it that are summed"),
        sa.Column(
            "amount_cents",
            sa.BigInteger(),
            nullable=False,
            comment="the sum of what order_links says; else 0",
        ),
        sa.Column("night", sa.BigInteger(), nullable=False, comment="likewise"),
        sa.Column("resellable", sa.BigInteger(), nullable=False, comment="likewise"),
        sa.Column(
            "recorded_to_ms", sa.BigInteger(), nullable=False, comment="none of them was recorded later"
        ),
        sa.PrimaryKeyConstraint("entity_kind", "entity_key", "is_finding", "width_ms", "start_ms"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "order_sum_customers",
        sa.Column("entity_kind", sa.Text(), nullable=False),
        sa.Column("entity_key", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger(), nullable=False, comment="when the first of them happened"),
        sa.Column("first_recorded_ms", sa.BigInteger(), nullable=False, comment="and was recorded"),
        sa.Column(
            "known_from_ms",
            sa.BigInteger(),
            nullable=False,
            comment="when any of them was recorded first",
        ),
        sa.PrimaryKeyConstraint("entity_kind", "entity_key", "customer_id"),
        sqlite_with_rowid=False,
    )


def _tell_plain_orders(connection: sa.Connection) -> None:
    """Orders that came from a ledger folder are plain where all about them is in one row, as others are.

    Corrected ones are not, of whichever row the link is.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    order_id, kind = (
        f"json_extract(body, '$.{name}')" if is_sqlite else f"(body::json ->> '{name}')"
        for name in ("order_id", "kind")
    )
    corrected = (
        "SELECT subject_id FROM ledger_events WHERE contract = 'orders' AND subject_id IS NOT NULL "
        "GROUP BY subject_id HAVING count(*) > 1"
    )
    told = (
        f"SELECT {order_id} FROM ledger_events WHERE contract = 'order_events' "  # noqa: S608 - constants
        "AND body LIKE '%new_delivery_%' "
        f"UNION SELECT {order_id} FROM ledger_events WHERE contract = 'order_outcomes' AND {kind} IN {_FRAUD}"
    )
    connection.execute(
        sa.text(f"UPDATE order_links SET is_plain = 0 WHERE is_plain = 1 AND order_id IN ({corrected})")  # noqa: S608 - constants
    )
    connection.execute(
        sa.text(
            "UPDATE order_links SET is_plain = 1, recorded_at_ms = (SELECT e.recorded_at_ms "  # noqa: S608 - constants
            "FROM ledger_events e WHERE e.event_id = order_links.event_id) "
            "WHERE is_plain = 0 AND is_finding = 0 AND EXISTS (SELECT 1 FROM ledger_events e "
            "WHERE e.event_id = order_links.event_id AND e.contract = 'orders' "
            "AND e.occurred_at_ms <= e.recorded_at_ms) "
            f"AND order_id NOT IN ({corrected}) AND order_id NOT IN ({told})"
        )
    )


def _sum_up(connection: sa.Connection) -> None:
    connection.execute(
        sa.text(
            f"UPDATE order_links SET is_summed = 1 WHERE {_WAITING} AND (entity_kind, entity_key) IN "  # noqa: S608 - constants
            f"(SELECT entity_kind, entity_key FROM order_links WHERE {_WAITING} "
            "GROUP BY entity_kind, entity_key HAVING count(*) >= :many)"
        ),
        {"many": SUMMED_FROM},
    )
    for width_ms in WIDTHS_MS:
        connection.execute(
            sa.text(
                "INSERT INTO order_sums (entity_kind, entity_key, is_finding, width_ms, start_ms, orders, "
                "amount_cents, night, resellable, recorded_to_ms) "
                f"SELECT entity_kind, entity_key, is_finding, {width_ms}, "
                f"occurred_at_ms / {width_ms} * {width_ms}, count(*), 0, 0, 0, max(recorded_at_ms) {_SUMMED} "
                f"GROUP BY entity_kind, entity_key, is_finding, occurred_at_ms / {width_ms} * {width_ms}"
            )
        )
    connection.execute(
        sa.text(
            "INSERT INTO order_sum_customers (entity_kind, entity_key, customer_id, first_at_ms, "  # noqa: S608 - constants
            "first_recorded_ms, known_from_ms) SELECT entity_kind, entity_key, customer_id, first_at_ms, "
            "min(CASE WHEN occurred_at_ms = first_at_ms THEN recorded_at_ms END), min(recorded_at_ms) "
            "FROM (SELECT entity_kind, entity_key, customer_id, occurred_at_ms, recorded_at_ms, "
            "min(occurred_at_ms) OVER (PARTITION BY entity_kind, entity_key, customer_id) AS first_at_ms "
            f"{_SUMMED} AND entity_kind IN {LINKING}) AS summed "
            "GROUP BY entity_kind, entity_key, customer_id, first_at_ms"
        )
    )


def _make_indexes() -> None:
    at_entity: list[str | sa.TextClause] = [
        sa.text("lower(entity_kind)"),
        "entity_key",
        "is_finding",
        "occurred_at_ms",
    ]
    said: list[str | sa.TextClause] = ["recorded_at_ms", "customer_id", "amount_cents", "night", "resellable"]
    for name, columns, where in (
        ("order_links_to_sum", ["is_plain", "is_summed", *at_entity, *said], _WAITING),
        ("order_links_to_take_out", ["is_plain", "is_summed", *at_entity, *said], _TO_TAKE_OUT),
        (
            "order_links_of_customer",
            list[str | sa.TextClause](("customer_id", "entity_kind", "order_id", "is_plain")),
            _READ_BY_ITSELF,
        ),
        ("order_links_of_older_release", list[str | sa.TextClause](("order_id",)), _OF_OLDER_RELEASE),
    ):
        op.create_index(
            name,
            "order_links",
            columns,
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )


def downgrade() -> None:
    """Without sums every link is counted by itself: nothing is lost."""
    op.drop_table("order_sum_customers")
    op.drop_table("order_sums")
    op.execute(
        "DELETE FROM order_links WHERE entity_kind IN ('customer', 'customer_device', 'customer_address')"
    )
    for name in ("to_sum", "to_take_out", "of_customer", "of_older_release"):
        op.drop_index(f"order_links_{name}", table_name="order_links")
    for column in ("resellable", "night", "amount_cents", "own_links", "is_summed"):
        op.drop_column("order_links", column)
