"""Orders by their merchants' own numbers: which order a number stands for."""

from collections.abc import Sequence

from data_contracts.orders import ORDERS
from serving.domain.errors import UnknownOrder
from serving.domain.order_numbers import OrderAddress
from serving.store.decision_log import decisions_about
from serving.store.id_lists import lists_of_ids
from serving.store.ledger_rows import decode_row
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction


def lock_of_number(merchant_id: str, number: str) -> str:
    """What a writer locks who gives a merchant's number to an order."""
    return f"orders.merchant_order_number-{merchant_id} {number}"


def keep_number(tx: Transaction, *, merchant_id: str, number: str, order_id: str) -> None:
    """From now on the number stands for this order. The caller holds `lock_of_number`."""
    tx.execute(
        "INSERT INTO merchant_orders (merchant_id, merchant_order_number, order_id) VALUES (?, ?, ?) "
        "ON CONFLICT (merchant_id, merchant_order_number) DO UPDATE SET order_id = excluded.order_id",
        (merchant_id, number, order_id),
    )


def order_numbered(tx: Transaction, merchant_id: str, number: str) -> str | None:
    """The order_id of the order that was given this number last; None where none was."""
    rows = tx.execute(
        "SELECT order_id FROM merchant_orders WHERE merchant_id = ? AND merchant_order_number = ?",
        (merchant_id, number),
    )
    return str(rows[0][0]) if rows else None


def order_under(tx: Transaction, merchant_id: str, number: str) -> str | None:
    """The order_id of a merchant's number; None where it stands for no order.

    An order that came without a number of its merchant's, as all did before there were such numbers, has its
    order_id for one.
    """
    order_id = order_numbered(tx, merchant_id, number)
    if order_id is not None:
        return order_id
    return number if _is_unnumbered_order_of(tx, merchant_id, number) else None


def _is_unnumbered_order_of(tx: Transaction, merchant_id: str, order_id: str) -> bool:
    decisions = decisions_about(tx, order_id)
    row = decisions[0].record["order"] if decisions else standing_row(tx, ORDERS, order_id)
    return row is not None and row["merchant_id"] == merchant_id and row.get("merchant_order_number") is None


def number_of_order(tx: Transaction, order_id: str) -> str | None:
    """The number that an order has at its merchant; None where it has none, or the ledger no such order."""
    row = standing_row(tx, ORDERS, order_id)
    return None if row is None else row.get("merchant_order_number")


def order_id_at(tx: Transaction, address: OrderAddress) -> str:
    """The order_id of an order that a caller names. Raises UnknownOrder for a number that stands for none."""
    if address.merchant_id is None:
        return address.name
    order_id = order_under(tx, address.merchant_id, address.name)
    if order_id is None:
        raise UnknownOrder(f"no decision was made about {address.in_words}")
    return order_id


def orders_numbered(tx: Transaction, number: str, limit: int) -> list[str]:
    """The order_ids of all merchants' orders with this number."""
    rows = tx.execute(
        "SELECT order_id FROM merchant_orders WHERE merchant_order_number = ? ORDER BY merchant_id LIMIT ?",
        (number, limit),
    )
    return [str(order_id) for (order_id,) in rows]


def numbers_of_orders(tx: Transaction, order_ids: Sequence[str]) -> dict[str, str]:
    """The numbers that some orders have at their merchants, by order_id; those without one are left out."""
    numbers: dict[str, str] = {}
    for marks, ids in lists_of_ids(order_ids):
        for (body,) in tx.execute(
            f"SELECT body FROM ledger_events WHERE contract = ? AND subject_id IN ({marks}) "  # noqa: S608 - placeholders only
            "ORDER BY recorded_at_ms",
            (ORDERS.name, *ids),
        ):
            row = decode_row(body)
            if row.get("merchant_order_number") is not None:
                numbers[row["order_id"]] = row["merchant_order_number"]
    return numbers
