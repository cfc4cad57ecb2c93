"""Decisions have a position, so that what follows from them is worked off by a cursor over the log and not
by messages; looks wait in a table of their own, one row for an order and a reason.

Revision ID: 0009
Revises: 0008
"""

import json
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COLUMNS = (
    "decision_id, order_id, customer_id, merchant_id, outcome, as_of_ms, model_name, model_version, "
    "feature_set_version, policy_version, features, record"
)
POSITION = "1, 2, 3, ... as they were written; on PostgreSQL a later commit may have a smaller one"


def upgrade() -> None:
    """Number the decisions as they were written; links and looks that wait go on where they stood."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _number_in_sqlite(connection)
    else:
        connection.execute(sa.text("ALTER TABLE decisions ADD COLUMN position BIGSERIAL"))
        connection.execute(sa.text("ALTER TABLE decisions DROP CONSTRAINT decisions_pkey"))
        connection.execute(sa.text("ALTER TABLE decisions ADD PRIMARY KEY (position)"))
        connection.execute(sa.text("ALTER TABLE decisions ADD UNIQUE (decision_id)"))
        connection.execute(sa.text(f"COMMENT ON COLUMN decisions.position IS '{POSITION}'"))
    op.create_table(
        "log_cursors",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "position", sa.BigInteger(), nullable=False, comment="of the last decision that is worked off"
        ),
        sa.Column(
            "gap_to",
            sa.BigInteger(),
            nullable=True,
            comment="end of the gap that it waits at; null where at none",
        ),
        sa.Column(
            "writers_before",
            sa.BigInteger(),
            nullable=True,
            comment="the gap is skipped once all of them have ended",
        ),
        sa.PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "waiting_looks",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False, comment="why it is to be looked at"),
        sa.Column(
            "rank",
            sa.BigInteger(),
            nullable=False,
            comment="0: first look, 1: news, 2: an order like it",
        ),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "ask_id", sa.Text(), nullable=False, comment="another one where it is asked again during a look"
        ),
        sa.Column(
            "taken_until_ms",
            sa.BigInteger(),
            nullable=True,
            comment="so long a worker has it; null while none does",
        ),
        sa.PrimaryKeyConstraint("order_id", "trigger"),
        sqlite_with_rowid=False,
    )
    op.create_index("waiting_looks_in_order_of_work", "waiting_looks", ["rank", "due_at_ms"])
    op.add_column(
        "order_links",
        sa.Column(
            "recorded_at_ms", sa.BigInteger(), nullable=True, comment="of that row, where the link is plain"
        ),
    )
    op.add_column(
        "order_links",
        sa.Column(
            "is_plain",
            sa.BigInteger(),
            nullable=False,
            # Links that there are stay read one by one: that is always right.
            server_default="0",
            comment="1: all that the order ever said is in this row, so that it may be counted unread",
        ),
    )
    op.create_index(
        "order_links_to_read",
        "order_links",
        [
            "is_plain",
            "entity_kind",
            "entity_key",
            "is_finding",
            "occurred_at_ms",
            "order_id",
            "customer_id",
        ],
        sqlite_where=sa.text("is_plain = 0"),
        postgresql_where=sa.text("is_plain = 0"),
    )
    _begin_where_messages_stand(connection)
    _take_over_looks(connection)


def _number_in_sqlite(connection: sa.Connection) -> None:
    # SQLite cannot give a table another key; rows are copied as they are, in the order of their writing.
    op.drop_index("decisions_by_order", table_name="decisions")
    op.rename_table("decisions", "decisions_before")
    op.create_table(
        "decisions",
        sa.Column("position", sa.Integer(), nullable=False, comment=POSITION),
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
        sa.Column("features", sa.LargeBinary(), nullable=True),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("decision_id"),
    )
    connection.execute(
        sa.text(
            f"INSERT INTO decisions (position, {COLUMNS}) "  # noqa: S608 - constants
            f"SELECT row_number() OVER (ORDER BY rowid), {COLUMNS} FROM decisions_before ORDER BY rowid"
        )
    )
    op.drop_table("decisions_before")
    op.create_index("decisions_by_order", "decisions", ["order_id", "as_of_ms"])


def _begin_where_messages_stand(connection: sa.Connection) -> None:
    """The cursor stands before the first decision whose order still waits to be linked."""
    waiting = [
        message_id.removeprefix("link-")
        for (message_id,) in connection.execute(
            sa.text("SELECT message_id FROM outbox WHERE kind = 'link_order'")
        )
    ]
    (position,) = connection.execute(sa.text("SELECT coalesce(max(position), 0) FROM decisions")).one()
    for decision_id in waiting:
        found = connection.execute(
            sa.text("SELECT position FROM decisions WHERE decision_id = :id"), {"id": decision_id}
        ).scalar()
        position = position if found is None else min(position, found - 1)
    # A reader without a row is at the beginning.
    if position > 0:
        connection.execute(
            sa.text("INSERT INTO log_cursors (name, position) VALUES ('order_links', :position)"),
            {"position": position},
        )
    connection.execute(sa.text("DELETE FROM outbox WHERE kind = 'link_order'"))


def _take_over_looks(connection: sa.Connection) -> None:
    for payload, due_at_ms in connection.execute(
        sa.text("SELECT payload, created_at_ms FROM outbox WHERE kind = 'screen_order'")
    ).all():
        asked = json.loads(payload)
        trigger = asked.get("trigger", "order_approved")
        connection.execute(
            sa.text(
                "INSERT INTO waiting_looks (order_id, trigger, rank, due_at_ms, ask_id) "
                "VALUES (:order_id, :trigger, :rank, :due, :ask_id) "
                "ON CONFLICT (order_id, trigger) DO NOTHING"
            ),
            {
                "order_id": asked["order_id"],
                "trigger": trigger,
                "rank": {"order_approved": 0, "linked_order": 2}.get(trigger, 1),
                "due": due_at_ms,
                "ask_id": secrets.token_hex(6),
            },
        )
    connection.execute(sa.text("DELETE FROM outbox WHERE kind = 'screen_order'"))


def downgrade() -> None:
    """Leave messages for what waits, and take the positions away."""
    connection = op.get_bind()
    looks = connection.execute(
        sa.text("SELECT order_id, trigger, due_at_ms, ask_id FROM waiting_looks")
    ).all()
    for order_id, trigger, due_at_ms, ask_id in looks:
        payload = {"order_id": order_id, "trigger": trigger}
        _leave_message(connection, "screen_order", due_at_ms, f"{trigger}-{order_id}-{ask_id}", payload)
    not_linked = connection.execute(
        sa.text(
            "SELECT decision_id, order_id, outcome, as_of_ms FROM decisions "
            "WHERE position > (SELECT coalesce(max(position), 0) FROM log_cursors WHERE name = 'order_links')"
        )
    ).all()
    for decision_id, order_id, outcome, as_of_ms in not_linked:
        payload = {"order_id": order_id, "approved": outcome == "approved"}
        _leave_message(connection, "link_order", as_of_ms, f"link-{decision_id}", payload)
    op.drop_index("order_links_to_read", table_name="order_links")
    op.drop_column("order_links", "is_plain")
    op.drop_column("order_links", "recorded_at_ms")
    op.drop_table("waiting_looks")
    op.drop_table("log_cursors")
    if connection.dialect.name == "sqlite":
        with op.batch_alter_table("decisions") as decisions:
            decisions.drop_column("position")
            decisions.create_primary_key("decisions_pkey", ["decision_id"])
    else:
        connection.execute(sa.text("ALTER TABLE decisions DROP COLUMN position"))
        connection.execute(sa.text("ALTER TABLE decisions DROP CONSTRAINT decisions_decision_id_key"))
        connection.execute(sa.text("ALTER TABLE decisions ADD PRIMARY KEY (decision_id)"))


def _leave_message(
    connection: sa.Connection, kind: str, due_at_ms: int, message_id: str, payload: dict[str, object]
) -> None:
    connection.execute(
        sa.text(
            "INSERT INTO outbox (kind, created_at_ms, message_id, payload) "
            "VALUES (:kind, :due, :id, :payload)"
        ),
        {"kind": kind, "due": due_at_ms, "id": message_id, "payload": json.dumps(payload)},
    )
