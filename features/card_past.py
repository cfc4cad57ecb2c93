"""What a card, address, device, e-mail domain or client did before each order: counts, sums and time since.

Every figure is a sum over the intervals that cover the moment of the order (features/intervals.py), or the
last earlier row of a sorted column, so an order sees strictly earlier orders only: neither itself, nor one
of the same instant, nor the future. Windows are half-open, [as_of - window, as_of).
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, HOUR_MS
from features.card_orders import CardOrders, clients_of, dense_codes, last_earlier
from features.instants import NEVER, Float64Array, Int64Array
from features.intervals import DecisionAxis, covering_sums

BoolArray = NDArray[np.bool_]

WINDOW_MS = {"1h": HOUR_MS, "1d": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS}


class Entity(StrEnum):
    """What orders can share; a pair is shared when both parts are."""

    CARD_NUMBER = "card_number"
    CARD = "card"
    ADDRESS = "address"
    DEVICE = "device"
    EMAIL_DOMAIN = "email_domain"
    PRODUCT = "product"
    CARD_ADDRESS = "card_address"
    CARD_DEVICE = "card_device"
    CARD_EMAIL_DOMAIN = "card_email_domain"
    CARD_PRODUCT = "card_product"
    CARD_AMOUNT = "card_amount"
    PRODUCT_AMOUNT = "product_amount"
    CLIENT = "client"


@dataclass(frozen=True, kw_only=True)
class EntityLayout:
    """An entity laid out for the engine; orders that name none share theirs with nobody.

    All arrays of shape (n,). code: of the entity of each order. present: whether the order names one.
    previous: the row of its last strictly earlier order, -1 where there is none.
    """

    code: Int64Array
    present: BoolArray
    axis: DecisionAxis
    previous: NDArray[np.intp]


def _absent_as_nan(layout: EntityLayout, values: Int64Array) -> Float64Array:
    return np.asarray(np.where(layout.present, values, np.nan), dtype=np.float64)


@dataclass(kw_only=True)
class CardPast:
    """The orders with each entity's layout, made at its first use."""

    orders: CardOrders
    previous_of_client: NDArray[np.intp]
    layouts: dict[Entity, EntityLayout] = field(default_factory=dict)
    counts: dict[tuple[Entity, str], Int64Array] = field(default_factory=dict)

    def codes(self, entity: Entity) -> Int64Array:
        """A code for each order's entity, shape (n,), negative where the order names none."""
        orders = self.orders
        match entity:
            case Entity.CLIENT:
                return clients_of(self.previous_of_client)
            case Entity.CARD_ADDRESS:
                # An absent address is an address too: the cards used without one.
                return dense_codes(orders.card, orders.address + 1)
            case Entity.CARD_DEVICE:
                return dense_codes(orders.card, orders.device)
            case Entity.CARD_EMAIL_DOMAIN:
                return dense_codes(orders.card, orders.email_domain)
            case Entity.CARD_PRODUCT:
                return dense_codes(orders.card, orders.product)
            case Entity.CARD_AMOUNT:
                return dense_codes(orders.card, orders.amount_mills)
            case Entity.PRODUCT_AMOUNT:
                return dense_codes(orders.product, orders.amount_mills)
            case _:
                return np.asarray(getattr(orders, entity.value), dtype=np.int64)

    def layout(self, entity: Entity) -> EntityLayout:
        """The entity's layout; made once."""
        if entity not in self.layouts:
            code = dense_codes(self.codes(entity))
            present = code >= 0
            alone = int(code.max(initial=-1)) + 1 + np.arange(int((~present).sum()))
            code[~present] = alone
            self.layouts[entity] = EntityLayout(
                code=code,
                present=present,
                axis=DecisionAxis.of(code, self.orders.occurred_ms),
                previous=last_earlier(code, code, self.orders.occurred_ms),
            )
        return self.layouts[entity]

    def sum(
        self, entity: Entity, window: str, values: Int64Array, *, leave_ms: Int64Array | None = None
    ) -> Float64Array:
        """Sum of `values` over the entity's orders in the window ("ever" for all); NaN without entity."""
        layout = self.layout(entity)
        occurred = self.orders.occurred_ms
        if leave_ms is None:
            leave_ms = occurred + WINDOW_MS.get(window, NEVER)
        total = covering_sums(layout.axis, layout.code, occurred, leave_ms, [values])[0]
        return _absent_as_nan(layout, total)

    def sums_of(self, entity: Entity, window: str, values: list[Int64Array]) -> list[Float64Array]:
        """The `sum` of each of several columns."""
        layout = self.layout(entity)
        occurred = self.orders.occurred_ms
        totals = covering_sums(
            layout.axis, layout.code, occurred, occurred + WINDOW_MS.get(window, NEVER), values
        )
        return [_absent_as_nan(layout, total) for total in totals]

    def count(self, entity: Entity, window: str) -> Float64Array:
        """How many orders the entity had in the window, shape (n,); NaN without entity."""
        key = (entity, window)
        if key not in self.counts:
            layout = self.layout(entity)
            occurred = self.orders.occurred_ms
            self.counts[key] = covering_sums(
                layout.axis,
                layout.code,
                occurred,
                occurred + WINDOW_MS.get(window, NEVER),
                [np.ones(len(occurred), dtype=np.int64)],
            )[0]
        return _absent_as_nan(self.layout(entity), self.counts[key])

    def since_previous_s(self, entity: Entity) -> Float64Array:
        """Seconds since the entity's last strictly earlier order, shape (n,); NaN where there is none."""
        previous = self.layout(entity).previous
        occurred = self.orders.occurred_ms
        return np.asarray(np.where(previous >= 0, (occurred - occurred[previous]) / 1000, np.nan))

    def distinct(self, entity: Entity, pair: Entity, window: str) -> Float64Array:
        """How many different partners the entity had in the window.

        Each order of a pair is seen until the pair's next order or the window's end: of a pair that was seen
        in the window, exactly one interval covers the decision.
        """
        pairs = self.layout(pair)
        occurred = self.orders.occurred_ms
        leave = occurred + WINDOW_MS[window]
        order = np.lexsort((occurred, pairs.code))
        follows = pairs.code[order][1:] == pairs.code[order][:-1]
        earlier, later = order[:-1][follows], order[1:][follows]
        leave[earlier] = np.minimum(leave[earlier], occurred[later])
        return self.sum(entity, window, pairs.present.astype(np.int64), leave_ms=leave)
