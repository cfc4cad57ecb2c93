"""What earlier orders tell about a card order: windows over card, address, device, e-mail domain, client.

Every figure is a sum over the intervals that cover the moment of the order (features/intervals.py), or the
last earlier row of a sorted column, so an order sees strictly earlier orders only: neither itself, nor one
of the same instant, nor the future. Windows are half-open, [as_of - window, as_of).

Counts that grow with a data set's age ("orders ever") do not transfer to a later period. So windows are
fixed, what looks back to the beginning is a mean or a share, and the features come in groups, for a
benchmark to keep or drop by measurement.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, HOUR_MS
from features.instants import NEVER, Float64Array, Int64Array
from features.intervals import DecisionAxis, covering_sums

BoolArray = NDArray[np.bool_]
FeatureColumns = dict[str, NDArray[np.float32]]

FINDING_DELAY_DAYS = 30
"""How long after an order it is known whether it was fraud."""

_WINDOW_MS = {"1h": HOUR_MS, "1d": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS}


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
class CardOrders:
    """Card orders in ascending order of time. All arrays of shape (n,).

    occurred_ms: instant. amount_mills: in thousandths of the currency's unit, as the source has them.
    card_number, card, address, device, email_domain, product: codes; -1 where the order names none.
        card_number is one part of card.
    running_totals_mills: totals that came with the order of what its client had spent before it, each by a
        rule of its own, the most telling first; 0 where there was nothing.
    finding: 1 found to be fraud, 0 not, -1 never to be known here. It counts FINDING_DELAY_DAYS later.
    """

    occurred_ms: Int64Array
    amount_mills: Int64Array
    card_number: Int64Array
    card: Int64Array
    address: Int64Array
    device: Int64Array
    email_domain: Int64Array
    product: Int64Array
    running_totals_mills: tuple[Int64Array, ...]
    finding: NDArray[np.int8]

    def __post_init__(self) -> None:
        if np.any(np.diff(self.occurred_ms) < 0):
            raise ValueError("the orders must ascend by time")

    def __len__(self) -> int:
        return len(self.occurred_ms)


def dense_codes(*columns: Int64Array) -> Int64Array:
    """Codes 0, 1, 2, ... of the distinct rows of some columns; -1 where any column is negative.

    >>> dense_codes(np.array([7, 7, 3, -1]), np.array([1, 1, 1, 1]))
    array([ 1,  1,  0, -1])
    """
    absent = np.zeros(len(columns[0]), dtype=bool)
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        absent |= column < 0
        values, place = np.unique(column, return_inverse=True)
        codes = np.unique(codes * len(values) + place, return_inverse=True)[1].astype(np.int64)
    present = np.flatnonzero(~absent)
    answer = np.full(len(codes), -1, dtype=np.int64)
    answer[present] = np.unique(codes[present], return_inverse=True)[1]
    return answer


def last_earlier(key: Int64Array, wanted: Int64Array, occurred_ms: Int64Array) -> NDArray[np.intp]:
    """For each row the last strictly earlier row whose `key` is this row's `wanted`, or -1.

    All arrays of shape (n,). A negative key or wish matches nothing. Of several rows at one instant the last
    in the table is taken.
    """
    rows = len(key)
    place = np.unique(np.concatenate([key, wanted]), return_inverse=True)[1].astype(np.int64)
    axis = DecisionAxis.of(place, np.concatenate([occurred_ms, occurred_ms]))
    keys = axis.keys_of(place, np.concatenate([occurred_ms, occurred_ms]))
    order = np.argsort(keys[:rows], kind="stable")
    before = np.searchsorted(keys[:rows][order], keys[rows:], side="left") - 1
    found = order[np.maximum(before, 0)]
    matches = (before >= 0) & (place[:rows][found] == place[rows:]) & (wanted >= 0)
    return np.where(matches, found, -1)


def previous_order_of_client(orders: CardOrders) -> NDArray[np.intp]:
    """The order that a client placed before each one, shape (n,); -1 where none is recognised.

    The source names no client. But an order carries the totals that its client had spent before. So the
    previous order is the last earlier one on the same card whose total plus amount is this order's total.
    Totals are compared in hundredths, because they are rounded in the source.
    """
    previous = np.full(len(orders), -1, dtype=np.intp)
    scale = np.int64(1)
    for total in orders.running_totals_mills:
        scale = np.maximum(scale, (total + orders.amount_mills).max() // 10 + 2)
    for total in orders.running_totals_mills:
        after = orders.card * scale + np.rint((total + orders.amount_mills) / 10).astype(np.int64)
        before = orders.card * scale + np.rint(total / 10).astype(np.int64)
        can_match = (total > 0) & (orders.card >= 0)
        found = last_earlier(
            np.where(orders.card >= 0, after, -1), np.where(can_match, before, -1), orders.occurred_ms
        )
        previous = np.where(previous >= 0, previous, found)
    return previous


def clients_of(previous: NDArray[np.intp]) -> Int64Array:
    """A code for each chain of orders: the row of its first order. Shape (n,).

    >>> clients_of(np.array([-1, 0, -1, 1]))
    array([0, 0, 2, 0])
    """
    first = np.where(previous >= 0, previous, np.arange(len(previous)))
    while True:
        further = first[first]
        if np.array_equal(further, first):
            return first.astype(np.int64)
        first = further


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """An entity laid out for the engine; orders that name none share theirs with nobody."""

    code: Int64Array
    present: BoolArray
    axis: DecisionAxis
    previous: NDArray[np.intp]


def _absent_as_nan(layout: _Axis, values: Int64Array) -> Float64Array:
    return np.asarray(np.where(layout.present, values, np.nan), dtype=np.float64)


@dataclass(kw_only=True)
class _Past:
    """The orders with each entity's layout, made at its first use."""

    orders: CardOrders
    previous_of_client: NDArray[np.intp]
    layouts: dict[Entity, _Axis] = field(default_factory=dict)
    counts: dict[tuple[Entity, str], Int64Array] = field(default_factory=dict)

    def codes(self, entity: Entity) -> Int64Array:
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

    def layout(self, entity: Entity) -> _Axis:
        if entity not in self.layouts:
            code = dense_codes(self.codes(entity))
            present = code >= 0
            alone = int(code.max(initial=-1)) + 1 + np.arange(int((~present).sum()))
            code[~present] = alone
            self.layouts[entity] = _Axis(
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
            leave_ms = occurred + _WINDOW_MS.get(window, NEVER)
        total = covering_sums(layout.axis, layout.code, occurred, leave_ms, [values])[0]
        return _absent_as_nan(layout, total)

    def sums_of(self, entity: Entity, window: str, values: list[Int64Array]) -> list[Float64Array]:
        layout = self.layout(entity)
        occurred = self.orders.occurred_ms
        totals = covering_sums(
            layout.axis, layout.code, occurred, occurred + _WINDOW_MS.get(window, NEVER), values
        )
        return [_absent_as_nan(layout, total) for total in totals]

    def count(self, entity: Entity, window: str) -> Float64Array:
        key = (entity, window)
        if key not in self.counts:
            layout = self.layout(entity)
            occurred = self.orders.occurred_ms
            self.counts[key] = covering_sums(
                layout.axis,
                layout.code,
                occurred,
                occurred + _WINDOW_MS.get(window, NEVER),
                [np.ones(len(occurred), dtype=np.int64)],
            )[0]
        return _absent_as_nan(self.layout(entity), self.counts[key])

    def since_previous_s(self, entity: Entity) -> Float64Array:
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
        leave = occurred + _WINDOW_MS[window]
        order = np.lexsort((occurred, pairs.code))
        follows = pairs.code[order][1:] == pairs.code[order][:-1]
        earlier, later = order[:-1][follows], order[1:][follows]
        leave[earlier] = np.minimum(leave[earlier], occurred[later])
        return self.sum(entity, window, pairs.present.astype(np.int64), leave_ms=leave)


def _ratio(numerator: Float64Array, denominator: Float64Array) -> Float64Array:
    quotient = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.nan_to_num(denominator) != 0)
    return quotient


def _velocity(past: _Past) -> dict[str, Float64Array]:
    named = {}
    for entity, windows in (
        (Entity.CARD, ("1h", "1d", "7d", "30d")),
        (Entity.CARD_ADDRESS, ("1h", "1d", "7d", "30d")),
        (Entity.DEVICE, ("1h", "1d", "7d")),
        (Entity.CARD_EMAIL_DOMAIN, ("1d", "7d")),
        (Entity.CARD_PRODUCT, ("1d", "7d")),
    ):
        for window in windows:
            named[f"{entity}_order_count_{window}"] = past.count(entity, window)
    return named


def _pace(past: _Past) -> dict[str, Float64Array]:
    named = {}
    for entity in (Entity.CARD, Entity.CARD_ADDRESS, Entity.DEVICE, Entity.EMAIL_DOMAIN, Entity.ADDRESS):
        month = past.count(entity, "30d")
        for window in ("1h", "1d", "7d"):
            named[f"{entity}_order_share_{window}_of_30d"] = _ratio(past.count(entity, window), month)
    return named


def _amount(past: _Past) -> dict[str, Float64Array]:
    amount = past.orders.amount_mills
    in_cents = amount // 10
    named = {}
    for entity in (Entity.CARD, Entity.CARD_ADDRESS, Entity.CARD_PRODUCT, Entity.DEVICE, Entity.EMAIL_DOMAIN):
        for window in ("30d", "ever"):
            total, squares = past.sums_of(entity, window, [in_cents, in_cents**2])
            count = past.count(entity, window)
            mean = _ratio(total, count)
            spread = np.sqrt(np.maximum(_ratio(squares, count) - mean**2, 0.0))
            named[f"{entity}_amount_ratio_to_mean_{window}"] = _ratio(in_cents.astype(float), mean)
            named[f"{entity}_amount_spreads_from_mean_{window}"] = _ratio(in_cents - mean, spread + 100)
    for entity in (Entity.CARD, Entity.CARD_ADDRESS, Entity.DEVICE):
        total = past.sum(entity, "1d", in_cents)
        named[f"{entity}_amount_cents_sum_1d"] = total
    previous = past.layout(Entity.CARD_ADDRESS).previous
    named["card_address_amount_ratio_to_previous"] = np.where(
        previous >= 0, amount / np.maximum(amount[previous], 1), np.nan
    )
    return named


def _recency(past: _Past) -> dict[str, Float64Array]:
    return {
        f"{entity}_since_previous_s": past.since_previous_s(entity)
        for entity in (
            Entity.CARD,
            Entity.CARD_ADDRESS,
            Entity.CARD_PRODUCT,
            Entity.DEVICE,
            Entity.CARD_EMAIL_DOMAIN,
            Entity.CARD_DEVICE,
            Entity.ADDRESS,
        )
    }


def _repeated_amount(past: _Past) -> dict[str, Float64Array]:
    return {
        "card_same_amount_since_previous_s": past.since_previous_s(Entity.CARD_AMOUNT),
        "card_same_amount_order_count_1d": past.count(Entity.CARD_AMOUNT, "1d"),
        "card_same_amount_order_count_30d": past.count(Entity.CARD_AMOUNT, "30d"),
        "card_same_amount_share_30d": _ratio(
            past.count(Entity.CARD_AMOUNT, "30d"), past.count(Entity.CARD, "30d")
        ),
        "product_same_amount_since_previous_s": past.since_previous_s(Entity.PRODUCT_AMOUNT),
        "product_same_amount_share_1d": _ratio(
            past.count(Entity.PRODUCT_AMOUNT, "1d"), past.count(Entity.PRODUCT, "1d")
        ),
        "product_same_amount_share_30d": _ratio(
            past.count(Entity.PRODUCT_AMOUNT, "30d"), past.count(Entity.PRODUCT, "30d")
        ),
    }


_PAIRS = {
    "address": Entity.CARD_ADDRESS,
    "device": Entity.CARD_DEVICE,
    "email_domain": Entity.CARD_EMAIL_DOMAIN,
    "product": Entity.CARD_PRODUCT,
}


def _sharing(past: _Past) -> dict[str, Float64Array]:
    named = {}
    for what, pair in _PAIRS.items():
        for window in ("7d", "30d"):
            named[f"card_{what}_distinct_{window}"] = past.distinct(Entity.CARD, pair, window)
    for entity, pair in ((Entity.DEVICE, Entity.CARD_DEVICE), (Entity.ADDRESS, Entity.CARD_ADDRESS)):
        for window in ("1d", "7d"):
            cards = past.distinct(entity, pair, window)
            named[f"{entity}_card_distinct_{window}"] = cards
            named[f"{entity}_cards_per_order_{window}"] = _ratio(cards, past.count(entity, window))
    return named


def _novelty(past: _Past) -> dict[str, Float64Array]:
    named = {}
    for what, pair in _PAIRS.items():
        for window in ("7d", "30d", "ever"):
            named[f"card_same_{what}_share_{window}"] = _ratio(
                past.count(pair, window), past.count(Entity.CARD, window)
            )
    return named


def _popularity(past: _Past) -> dict[str, Float64Array]:
    everyone = covering_sums(
        DecisionAxis.of(np.zeros(len(past.orders), dtype=np.int64), past.orders.occurred_ms),
        np.zeros(len(past.orders), dtype=np.int64),
        past.orders.occurred_ms,
        past.orders.occurred_ms + _WINDOW_MS["30d"],
        [np.ones(len(past.orders), dtype=np.int64)],
    )[0].astype(np.float64)
    return {
        f"{entity}_share_of_all_30d": _ratio(past.count(entity, "30d"), everyone)
        for entity in (Entity.CARD_NUMBER, Entity.CARD, Entity.ADDRESS, Entity.DEVICE, Entity.EMAIL_DOMAIN)
    }


def _client(past: _Past) -> dict[str, Float64Array]:
    orders = past.orders
    amount = orders.amount_mills // 10
    previous = past.previous_of_client
    known = previous >= 0
    count = past.count(Entity.CLIENT, "ever")
    total, squares = past.sums_of(Entity.CLIENT, "ever", [amount, amount**2])
    mean = _ratio(total, count)
    spread = np.sqrt(np.maximum(_ratio(squares, count) - mean**2, 0.0))
    occurred = orders.occurred_ms
    first = clients_of(previous)
    named = {
        "client_order_count_ever": count,
        "client_order_count_1h": past.count(Entity.CLIENT, "1h"),
        "client_order_count_1d": past.count(Entity.CLIENT, "1d"),
        "client_order_count_7d": past.count(Entity.CLIENT, "7d"),
        "client_age_days": (occurred - occurred[first]) / DAY_MS,
        "client_since_previous_s": past.since_previous_s(Entity.CLIENT),
        "client_amount_ratio_to_mean_ever": _ratio(amount.astype(float), mean),
        "client_amount_spreads_from_mean_ever": _ratio(amount - mean, spread + 100),
        "client_amount_cents_mean_ever": mean,
        "client_amount_ratio_to_previous": np.where(known, amount / np.maximum(amount[previous], 1), np.nan),
        "client_of_card_share_30d": _ratio(
            past.count(Entity.CLIENT, "30d"), past.count(Entity.CARD_ADDRESS, "30d")
        ),
    }
    for what in ("product", "address", "device", "email_domain"):
        now = getattr(orders, what)
        named[f"client_{what}_changed"] = np.where(known, now != now[previous], np.nan)
    return named


def _findings(past: _Past) -> dict[str, Float64Array]:
    orders = past.orders
    known = (orders.finding >= 0).astype(np.int64)
    fraud = (orders.finding == 1).astype(np.int64)
    enter = orders.occurred_ms + FINDING_DELAY_DAYS * DAY_MS
    leave = np.full(len(orders), NEVER)
    nobody = np.zeros(len(orders), dtype=np.int64)
    all_known, all_fraud = covering_sums(
        DecisionAxis.of(nobody, orders.occurred_ms), nobody, enter, leave, [known, fraud]
    )
    rate = (all_fraud + 1.0) / (all_known + 30.0)
    named = {}
    for entity in (
        Entity.CARD_NUMBER,
        Entity.CARD,
        Entity.CARD_ADDRESS,
        Entity.CLIENT,
        Entity.DEVICE,
        Entity.CARD_EMAIL_DOMAIN,
        Entity.CARD_PRODUCT,
        Entity.EMAIL_DOMAIN,
        Entity.ADDRESS,
        Entity.PRODUCT_AMOUNT,
    ):
        layout = past.layout(entity)
        count, frauds = covering_sums(layout.axis, layout.code, enter, leave, [known, fraud])
        prior = 10.0
        named[f"{entity}_finding_rate_ratio_ever"] = np.where(
            layout.present, (frauds + prior * rate) / (count + prior) / rate, np.nan
        )
        if entity in (Entity.CARD, Entity.CARD_ADDRESS, Entity.CLIENT, Entity.CARD_EMAIL_DOMAIN):
            named[f"{entity}_finding_count_ever"] = np.where(layout.present, frauds, np.nan)
            named[f"{entity}_cleared_count_ever"] = np.where(layout.present, count - frauds, np.nan)
    return named


@dataclass(frozen=True, kw_only=True)
class HistoryGroup:
    """Features that are kept or dropped together."""

    name: str
    description: str
    build: Callable[[_Past], dict[str, Float64Array]]


HISTORY_GROUPS: tuple[HistoryGroup, ...] = (
    HistoryGroup(
        name="findings",
        description="frauds found and orders cleared, by entity, FINDING_DELAY_DAYS after the order",
        build=_findings,
    ),
    HistoryGroup(
        name="client",
        description="the chain of orders that one client placed: length, pace, amounts, what changed",
        build=_client,
    ),
    HistoryGroup(
        name="repeated_amount",
        description="the same amount again on a card, or on many",
        build=_repeated_amount,
    ),
    HistoryGroup(name="recency", description="time since the previous order", build=_recency),
    HistoryGroup(name="popularity", description="share of all orders of the last 30 days", build=_popularity),
    HistoryGroup(name="velocity", description="orders in fixed windows", build=_velocity),
    HistoryGroup(name="pace", description="orders of late as a share of the last 30 days", build=_pace),
    HistoryGroup(name="amount", description="this amount beside the entity's earlier ones", build=_amount),
    HistoryGroup(name="sharing", description="how many different partners an entity had", build=_sharing),
    HistoryGroup(
        name="novelty",
        description="share of the card's orders with this address, device, e-mail domain or product",
        build=_novelty,
    ),
)
"""In the order in which a benchmark tries them."""


def build_history(
    orders: CardOrders,
    *,
    groups: Collection[str] | None = None,
    seconds_by_group: dict[str, float] | None = None,
) -> dict[str, FeatureColumns]:
    """The features of the named groups (None: all), by group and name; shape (n,), NaN where not known.

    seconds_by_group: where to put how long each group took; what groups share counts for the first of them.
    Raises ValueError on a group that does not exist.
    """
    known = [group.name for group in HISTORY_GROUPS]
    wanted = set(known if groups is None else groups)
    unknown = wanted - set(known)
    if unknown:
        raise ValueError(f"there are no groups {', '.join(sorted(unknown))}")
    past = _Past(orders=orders, previous_of_client=previous_order_of_client(orders))
    built: dict[str, FeatureColumns] = {}
    for group in HISTORY_GROUPS:
        if group.name not in wanted:
            continue
        began = time.perf_counter()
        built[group.name] = {name: column.astype(np.float32) for name, column in group.build(past).items()}
        if seconds_by_group is not None:
            seconds_by_group[group.name] = time.perf_counter() - began
    return built
