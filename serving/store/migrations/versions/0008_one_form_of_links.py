"""Keys of links and of persons in their one form: both tables are filled anew from the ledger.

Revision ID: 0008
Revises: 0007
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from data_contracts.order_outcomes import FRAUD_OUTCOMES
from features.order_links import Keys, address_keys, delivery_key, order_keys
from serving.domain.same_person import person_keys
from serving.store.order_links import INSERT_LINK, link_parameters

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 10_000
PERSON_KEY = (
    "INSERT INTO person_keys (person_key, customer_id) VALUES (?, ?) "
    "ON CONFLICT (person_key, customer_id) DO NOTHING"
)


def upgrade() -> None:
    """Fill both tables anew. Rows are entered in the form of today's code."""
    connection = op.get_bind()
    connection.execute(sa.text("DELETE FROM order_links"))
    connection.execute(sa.text("DELETE FROM person_keys"))
    for part in _rows(connection, "customers"):
        _insert(
            connection,
            PERSON_KEY,
            sorted({(key, row["customer_id"]) for row in part for key in person_keys(row)}),
        )
    found_about: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for part in _rows(connection, "order_outcomes"):
        for row in part:
            if row["kind"] in FRAUD_OUTCOMES:
                found_about[row["order_id"]].append(row)
    for part in _rows(connection, "orders"):
        _enter(connection, ((row, order_keys(row)) for row in part), found_about)
    for part in _rows(connection, "order_events"):
        moves = ((row, delivery_key(row, "new_delivery")) for row in part)
        _enter(
            connection,
            ((row, address_keys(row["customer_id"], place)) for row, place in moves if place is not None),
            found_about,
        )


def _rows(connection: sa.Connection, contract: str) -> Iterator[list[dict[str, Any]]]:
    bodies = connection.execute(
        sa.text("SELECT body FROM ledger_events WHERE contract = :contract").execution_options(
            stream_results=True
        ),
        {"contract": contract},
    )
    for part in bodies.partitions(ROWS_AT_ONCE):
        yield [json.loads(body) for (body,) in part]


def _enter(
    connection: sa.Connection,
    naming: Iterable[tuple[dict[str, Any], Keys]],
    found_about: dict[str, list[dict[str, Any]]],
) -> None:
    """What each row names, and under it the findings of fraud about its order."""
    links: dict[tuple[object, ...], None] = {}
    for row, keys in naming:
        links |= dict.fromkeys(link_parameters(keys, row, is_finding=False))
        for finding in found_about.get(row["order_id"], ()):
            links |= dict.fromkeys(link_parameters(keys, finding, is_finding=True))
    _insert(connection, INSERT_LINK, list(links))


def _insert(connection: sa.Connection, statement: str, rows: list[tuple[object, ...]]) -> None:
    if not rows:
        return
    names = [f"p{place}" for place in range(len(rows[0]))]
    for name in names:
        statement = statement.replace("?", f":{name}", 1)
    connection.execute(sa.text(statement), [dict(zip(names, row, strict=True)) for row in rows])


def downgrade() -> None:
    """The keys stay: an older release finds less by them, and enters its own."""
