"""Which other orders have something in common with the order of a case, confirmed frauds first."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from data_contracts.order_events import ORDER_EVENTS
from data_contracts.orders import ORDERS
from features.entities import EntityKind
from features.order_links import Keys
from features.order_risk_online import keys_at
from serving.cases.order_facts import Row
from serving.domain.review_case import ReviewCase
from serving.store.case_search import (
    SharingOrder,
    case_ids_about,
    confirmed_among,
    orders_sharing,
    standing_orders,
)
from serving.store.order_links import crowded_entities
from serving.store.store import Transaction

LINKED_MAXIMUM = 20


class SharedBy(enum.Enum):
    """What two orders can have in common."""

    DEVICE = "device"
    DELIVERY_ADDRESS = "delivery_address"
    EMAIL = "email"
    PHONE = "phone"


@dataclass(frozen=True, kw_only=True)
class LinkedOrder:
    """Another order that has something in common with this one. case_id: None where it has no case."""

    order_id: str
    ordered_at_ms: int
    amount_cents: int
    currency: str
    is_same_customer: bool
    is_confirmed_fraud: bool
    shared: tuple[SharedBy, ...]
    case_id: str | None


@dataclass(frozen=True, kw_only=True)
class LinkedOrders:
    """The linked orders, confirmed frauds first. is_more: whether there are others that are not named."""

    orders: tuple[LinkedOrder, ...]
    is_more: bool


def linked_orders(
    tx: Transaction,
    case: ReviewCase,
    versions: Sequence[Row],
    events: Sequence[Row],
    as_of_ms: int,
    customers_maximum: int,
) -> LinkedOrders:
    """The orders linked to a case's order, by the rows about it that are visible at an instant.

    customers_maximum: what more customers than this share links nobody.
    """
    keys = keys_at(case.order_id, {ORDERS.name: versions, ORDER_EVENTS.name: events}, as_of_ms) or {}
    crowded = crowded_entities(tx, keys, customers_maximum, as_of_ms)
    shared: dict[str, set[SharedBy]] = {}
    known: dict[str, SharingOrder] = {}
    is_more = False
    keys = {entity: key for entity, key in keys.items() if entity not in crowded}
    for entity, by in (
        (EntityKind.DEVICE, SharedBy.DEVICE),
        (EntityKind.DELIVERY_ADDRESS, SharedBy.DELIVERY_ADDRESS),
        (EntityKind.MAILBOX, SharedBy.EMAIL),
        (EntityKind.PHONE, SharedBy.PHONE),
    ):
        newest = _sharing(tx, keys, entity, LINKED_MAXIMUM + 2)
        is_more = is_more or len(newest) == LINKED_MAXIMUM + 2
        for order in [*_sharing(tx, keys, entity, LINKED_MAXIMUM, confirmed=True), *newest]:
            shared.setdefault(order.order_id, set()).add(by)
            known.setdefault(order.order_id, order)
    bodies = standing_orders(tx, sorted(known))
    known.pop(case.order_id, None)
    confirmed = confirmed_among(tx, known.values(), as_of_ms)
    cases = case_ids_about(tx, sorted(known))
    orders = [
        LinkedOrder(
            order_id=order.order_id,
            ordered_at_ms=bodies[order.order_id]["occurred_at"],
            amount_cents=bodies[order.order_id]["amount_cents"],
            currency=bodies[order.order_id]["currency"],
            is_same_customer=bodies[order.order_id]["customer_id"] == case.customer_id,
            is_confirmed_fraud=order.order_id in confirmed,
            shared=tuple(by for by in SharedBy if by in shared[order.order_id]),
            case_id=cases.get(order.order_id),
        )
        for order in known.values()
        if order.order_id in bodies
    ]
    orders.sort(key=lambda order: order.order_id)
    orders.sort(key=lambda order: order.ordered_at_ms, reverse=True)
    orders.sort(key=lambda order: (not order.is_confirmed_fraud, -len(order.shared)))
    return LinkedOrders(
        orders=tuple(orders[:LINKED_MAXIMUM]), is_more=is_more or len(orders) > LINKED_MAXIMUM
    )


def _sharing(
    tx: Transaction, keys: Keys, entity: EntityKind, limit: int, *, confirmed: bool = False
) -> list[SharingOrder]:
    key = keys.get(entity)
    return [] if key is None else orders_sharing(tx, entity, key, limit=limit, confirmed=confirmed)
