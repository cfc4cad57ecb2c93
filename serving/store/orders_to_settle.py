"""Which orders wait to be settled: at most one row for an order, written with the row that asks for it."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.contract import Contract
from data_contracts.instants import MINUTE_MS
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.order_events import AMENDED, ORDER_EVENTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from serving.store.ledger_rows import with_corrected
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

NEWS, HISTORY = 0, 1
"""Ranks: what is new about an order goes before history that is caught up, however much of that there is."""
POSTPONED_MS = MINUTE_MS
"""An order that cannot be settled is tried again so long after."""

_OF_INVOICES = frozenset({INVOICE_ADJUSTMENTS.name, INVOICE_PAYMENTS.name})
_OF_ORDERS = frozenset({INVOICES.name, ORDER_OUTCOMES.name})
_SETTLED_EVENTS = frozenset({AMENDED, "shipment_booked", "shipped", "delivered", "returned", "cancelled"})


@dataclass(frozen=True, kw_only=True)
class OrderToSettle:
    """An order that waits. ask_id: another one than was read means that something came meanwhile."""

    order_id: str
    customer_id: str
    ask_id: str
    due_at_ms: int


def ask_to_settle_what_a_row_concerns(
    tx: Transaction, contract: Contract, row: Mapping[str, Any], now_ms: int
) -> None:
    """Leave the orders that a new ledger row is about to be settled anew.

    A row that corrects another may have taken something away from that one's order. A payment counts: a
    refund lowers what is owed only by what came in.
    """
    for order_id in sorted(set(_orders_of(tx, contract, row))):
        ask_to_settle(tx, {order_id: row["customer_id"]}, due_at_ms=now_ms)


def _orders_of(tx: Transaction, contract: Contract, row: Mapping[str, Any]) -> Iterator[str]:
    is_correction = row.get("corrects") is not None
    if contract.name in _OF_INVOICES:
        for version in with_corrected(tx, row):
            invoice = standing_row(tx, INVOICES, version["invoice_id"])
            if invoice is not None:
                yield invoice["order_id"]
    elif (
        contract.name in _OF_ORDERS
        or (contract is ORDERS and is_correction)
        or (contract is ORDER_EVENTS and (is_correction or row["kind"] in _SETTLED_EVENTS))
    ):
        for version in with_corrected(tx, row):
            yield version["order_id"]


def ask_to_settle(
    tx: Transaction, customer_of: Mapping[str, str], *, due_at_ms: int, rank: int = NEWS
) -> None:
    """Leave orders to be settled; one that waits already is settled once, as early as either asks.

    customer_of: by order_id.
    """
    tx.execute_many(
        "INSERT INTO orders_to_settle (order_id, customer_id, rank, due_at_ms, ask_id) "  # noqa: S608 - constants
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (order_id) DO UPDATE SET ask_id = excluded.ask_id, "
        f"rank = {_smaller('rank')}, due_at_ms = {_smaller('due_at_ms')}",
        # In one order, so that two who ask for the same orders do not wait for each other.
        [
            (order_id, customer_id, rank, due_at_ms, secrets.token_hex(6))
            for order_id, customer_id in sorted(customer_of.items())
        ],
    )


def _smaller(column: str) -> str:
    before = f"orders_to_settle.{column}"
    return f"CASE WHEN excluded.{column} < {before} THEN excluded.{column} ELSE {before} END"


def due_to_settle(tx: Transaction, limit: int, *, now_ms: int) -> list[OrderToSettle]:
    """The orders that wait, news before history, the longest first.

    One that is due further ahead than any is postponed was left by a clock that was wrong: it is due too.
    """
    rows = tx.execute(
        "SELECT order_id, customer_id, ask_id, due_at_ms FROM orders_to_settle "
        "WHERE due_at_ms <= ? OR due_at_ms > ? ORDER BY rank, due_at_ms, order_id LIMIT ?",
        (now_ms, now_ms + POSTPONED_MS, limit),
    )
    return [
        OrderToSettle(order_id=row[0], customer_id=row[1], ask_id=row[2], due_at_ms=int(row[3]))
        for row in rows
    ]


def take_to_settle(tx: Transaction, waiting: OrderToSettle) -> bool:
    """Take an order out with this transaction; False where another has, or something came meanwhile."""
    return bool(
        tx.execute(
            "DELETE FROM orders_to_settle WHERE order_id = ? AND ask_id = ? RETURNING order_id",
            (waiting.order_id, waiting.ask_id),
        )
    )


def postpone_settling(tx: Transaction, waiting: OrderToSettle, *, due_at_ms: int) -> None:
    """Let an order wait until later, so that one that cannot be settled holds up none of the others."""
    tx.execute(
        "UPDATE orders_to_settle SET due_at_ms = ? WHERE order_id = ? AND ask_id = ?",
        (due_at_ms, waiting.order_id, waiting.ask_id),
    )


def orders_after(tx: Transaction, order_id: str, limit: int) -> list[tuple[str, str]]:
    """The next orders of the ledger by their ids, each with its customer: a page of all that there are."""
    rows = tx.execute(
        "SELECT DISTINCT subject_id, entity_id FROM ledger_events WHERE contract = ? AND subject_id > ? "
        "ORDER BY subject_id LIMIT ?",
        (ORDERS.name, order_id, limit),
    )
    return [(str(row[0]), str(row[1])) for row in rows]
