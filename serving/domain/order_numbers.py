"""Orders by their merchant's own number, and the order_id that we make for one: no two merchants collide."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MADE_ORDER_ID_PREFIX = "mo-"
"""With this begin the order_ids that we make; nobody else gives one that does."""


def order_id_for(merchant_id: str, number: str) -> str:
    """The order_id that we make for a merchant's own number: always the same, and no other merchant's.

    >>> order_id_for("m1", "1001")
    'mo-3d6f1d7618e0ac58927a9a0713aa389c'
    """
    digest = hashlib.sha256(f"{merchant_id}\n{number}".encode()).hexdigest()
    return f"{MADE_ORDER_ID_PREFIX}{digest[:32]}"


def is_made_for_another(order: Mapping[str, Any]) -> bool:
    """Whether an order's order_id has the form of those that we make, but not for its merchant's number."""
    order_id, number = order.get("order_id"), order.get("merchant_order_number")
    if not isinstance(order_id, str) or not order_id.startswith(MADE_ORDER_ID_PREFIX):
        return False
    return number is None or order_id != order_id_for(str(order.get("merchant_id")), str(number))


@dataclass(frozen=True, kw_only=True)
class OrderAddress:
    """How a caller names an order.

    name: an order_id; where there is a merchant_id, that merchant's own number.
    """

    name: str
    merchant_id: str | None = None

    @property
    def in_words(self) -> str:
        """For messages: as the caller named it, and nothing that the caller did not say."""
        return f"order {self.name}"
