"""What becomes of an order before it is invoiced: amended, shipped in parts, the rest released."""

import dataclasses
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, MINUTE_MS
from data_contracts.order_events import AMENDED
from data_contracts.simulation.book_calendar import Instants
from data_contracts.simulation.fulfilment import CARRIERS, Flags, Fulfilment, Positions
from data_contracts.simulation.merchants_book import Merchants
from data_contracts.simulation.orders_book import Orders, is_service, order_ids
from data_contracts.simulation.people import customer_ids
from data_contracts.simulation.recording_delay import within_hours, within_minutes
from data_contracts.simulation.text_columns import chosen, joined, numbered, text_where, where_present

_AMENDED_RATE = 0.022
_MADE_SMALLER = 0.72
_AMENDED_TWICE = 0.08
_IN_PARTS_RATE = 0.026
_REST_RELEASED = 0.22
_SMALLEST_IN_PARTS_CENTS = 4_000

_AMENDED, _SHIPPED, _DELIVERED, _RELEASED = range(4)
_KINDS = (AMENDED, "shipped", "delivered", "released")


@dataclass(frozen=True, kw_only=True)
class OrderChanges:
    """The changes of each order, as if none were cancelled. Instants are -1 where nothing happened.

    amended_cents: what the first amendment makes of it; second_amended_cents: a later one.
    first_cents: amount of the first invoice. rest_cents: what the first invoice leaves, 0 for nothing.
    rest_issued: when the second invoice is issued; rest_released: when the merchant lets the rest go instead.
    """

    amended: Instants
    amended_cents: Positions
    second_amended: Instants
    second_amended_cents: Positions
    first_cents: Positions
    rest_cents: Positions
    rest_issued: Instants
    rest_released: Instants

    def take(self, at: NDArray[Any]) -> "OrderChanges":
        """The orders at positions, or under a mask."""
        return OrderChanges(**{field.name: getattr(self, field.name)[at] for field in fields(self)})

    def second_invoices(self, fulfilment: Fulfilment) -> Positions:
        """The positions of the orders that have a second invoice."""
        return np.flatnonzero((self.rest_issued >= 0) & ~fulfilment.cancelled)


def draw_order_changes(
    random: np.random.Generator, *, orders: Orders, merchants: Merchants, fulfilment: Fulfilment
) -> OrderChanges:
    """Draw what is changed before the invoice, and what is shipped later.

    A service is invoiced at once. An order that is fraud is shipped whole, before somebody looks.
    """
    size = len(orders)
    goods = ~is_service(orders, merchants)
    amended_now = goods & (random.random(size) < _AMENDED_RATE)
    smaller = random.random(size) < _MADE_SMALLER
    factor = np.where(smaller, random.uniform(0.35, 0.95, size), random.uniform(1.04, 1.45, size))
    amended_cents = np.maximum((orders.amount_cents * factor).astype(np.int64), 1)
    again = amended_now & (random.random(size) < _AMENDED_TWICE)
    again_cents = np.maximum((amended_cents * random.uniform(0.7, 1.15, size)).astype(np.int64), 1)
    # The basket is closed when the parcel is booked, a few hours before it leaves.
    open_ms = np.maximum(fulfilment.shipped - fulfilment.confirmed, 2 * MINUTE_MS)
    first_at = fulfilment.confirmed + (open_ms * random.uniform(0.02, 0.35, size)).astype(np.int64)
    second_at = fulfilment.confirmed + (open_ms * random.uniform(0.4, 0.7, size)).astype(np.int64)
    ordered_cents = np.select([again, amended_now], [again_cents, amended_cents], orders.amount_cents)

    in_parts = goods & (orders.fraud == 0) & (ordered_cents >= _SMALLEST_IN_PARTS_CENTS)
    in_parts &= random.random(size) < _IN_PARTS_RATE
    share = random.uniform(0.3, 0.85, size)
    first_cents = np.where(in_parts, (ordered_cents * share).astype(np.int64), ordered_cents)
    released = in_parts & (random.random(size) < _REST_RELEASED)
    later = fulfilment.issued + (random.uniform(1.0, 12.0, size) * DAY_MS).astype(np.int64)
    return OrderChanges(
        amended=np.where(amended_now, first_at, -1),
        amended_cents=amended_cents,
        second_amended=np.where(again, second_at, -1),
        second_amended_cents=again_cents,
        first_cents=first_cents,
        rest_cents=ordered_cents - first_cents,
        rest_issued=np.where(in_parts & ~released, later, -1),
        rest_released=np.where(released, later, -1),
    )


def fulfilment_of_rest(fulfilment: Fulfilment, changes: OrderChanges, order: Positions) -> Fulfilment:
    """The stations of the second parcels of the orders at positions `order`."""
    first, issued = fulfilment.take(order), changes.rest_issued[order]
    return dataclasses.replace(
        first,
        shipped=issued - 2 * MINUTE_MS,
        issued=issued,
        delivered=issued + (first.delivered - first.issued),
    )


def order_change_rows(
    random: np.random.Generator, *, orders: Orders, fulfilment: Fulfilment, changes: OrderChanges
) -> dict[str, Any]:
    """The ledger columns of the order events that tell of it."""
    goes_on = ~fulfilment.cancelled
    rest = fulfilment_of_rest(fulfilment, changes, np.arange(len(orders)))
    in_two = goes_on & (changes.rest_issued >= 0)
    nothing = np.full(len(orders), -1)
    parts: list[tuple[Flags, Instants, int, Positions]] = [
        (goes_on & (changes.amended >= 0), changes.amended, _AMENDED, changes.amended_cents),
        (
            goes_on & (changes.second_amended >= 0),
            changes.second_amended,
            _AMENDED,
            changes.second_amended_cents,
        ),
        (in_two, rest.shipped, _SHIPPED, nothing),
        (in_two, rest.delivered, _DELIVERED, nothing),
        (goes_on & (changes.rest_released >= 0), changes.rest_released, _RELEASED, nothing),
    ]
    order = np.concatenate([np.flatnonzero(mask) for mask, _, _, _ in parts])
    occurred = np.concatenate([instants[mask] for mask, instants, _, _ in parts])
    kind = np.concatenate([np.full(int(mask.sum()), kind) for mask, _, kind, _ in parts])
    amount = np.concatenate([cents[mask] for mask, _, _, cents in parts])
    by_carrier = (kind == _SHIPPED) | (kind == _DELIVERED)
    recorded = np.where(kind == _DELIVERED, within_hours(random, occurred), within_minutes(random, occurred))
    return {
        "order_id": order_ids(order),
        "customer_id": customer_ids(orders.customer[order]),
        "kind": chosen(_KINDS, kind),
        "carrier": text_where(by_carrier, chosen(CARRIERS, fulfilment.carrier[order])),
        "tracking_number": text_where(
            by_carrier, joined("TN", numbered("", 5_000_000_000 + order, width=10), "DE")
        ),
        "new_amount_cents": where_present(amount),
        "occurred_at": occurred,
        "recorded_at": recorded,
    }
