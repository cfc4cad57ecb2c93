"""An order under its merchant's own number: the order_id that it stands for, and what is locked meanwhile."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from serving.checkout.order_body import OrderBody
from serving.domain.errors import OrderNumberTaken
from serving.store.merchant_orders import lock_of_number, order_under
from serving.store.store import Transaction


def locks_of_number(row: Mapping[str, Any]) -> list[str]:
    """What is locked while a merchant's number is given to an order; nothing where there is none."""
    number = row.get("merchant_order_number")
    return [] if number is None else [lock_of_number(row["merchant_id"], number)]


def under_its_number(tx: Transaction, order: OrderBody) -> OrderBody:
    """The order with the order_id that its merchant's number stands for. Raises OrderNumberTaken."""
    row = order.row
    number = row.get("merchant_order_number")
    if number is None:
        return order
    known = order_under(tx, row["merchant_id"], number)
    if known is None or known == row["order_id"]:
        return order
    if not order.is_named_by_number:
        raise OrderNumberTaken(f"merchant_order_number {number} stands for another order of the merchant")
    return replace(order, row={**row, "order_id": known})
