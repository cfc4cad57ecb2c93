"""What earlier orders tell about a card order: windows over card, address, device, e-mail domain, client.

An order sees strictly earlier orders only (features/card_past.py).

Counts that grow with a data set's age ("orders ever") do not transfer to a later period. So windows are
fixed, what looks back to the beginning is a mean or a share, and the features come in groups, for a
benchmark to keep or drop by measurement.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS
from features.card_orders import CardOrders, clients_of, previous_order_of_client
from features.card_past import WINDOW_MS, CardPast, Entity
from features.instants import NEVER, Float64Array
from features.intervals import DecisionAxis, covering_sums

FeatureColumns = dict[str, NDArray[np.float32]]

FINDING_DELAY_DAYS = 30
"""How long after an order it is known whether it was fraud."""


def _ratio(numerator: Float64Array, denominator: Float64Array) -> Float64Array:
    quotient = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.nan_to_num(denominator) != 0)
    return quotient


def _velocity(past: CardPast) -> dict[str, Float64Array]:
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


def _pace(past: CardPast) -> dict[str, Float64Array]:
    named = {}
    for entity in (Entity.CARD, Entity.CARD_ADDRESS, Entity.DEVICE, Entity.EMAIL_DOMAIN, Entity.ADDRESS):
        month = past.count(entity, "30d")
        for window in ("1h", "1d", "7d"):
            named[f"{entity}_order_share_{window}_of_30d"] = _ratio(past.count(entity, window), month)
    return named


def _amount(past: CardPast) -> dict[str, Float64Array]:
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


def _recency(past: CardPast) -> dict[str, Float64Array]:
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


def _repeated_amount(past: CardPast) -> dict[str, Float64Array]:
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


def _sharing(past: CardPast) -> dict[str, Float64Array]:
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


def _novelty(past: CardPast) -> dict[str, Float64Array]:
    named = {}
    for what, pair in _PAIRS.items():
        for window in ("7d", "30d", "ever"):
            named[f"card_same_{what}_share_{window}"] = _ratio(
                past.count(pair, window), past.count(Entity.CARD, window)
            )
    return named


def _popularity(past: CardPast) -> dict[str, Float64Array]:
    everyone = covering_sums(
        DecisionAxis.of(np.zeros(len(past.orders), dtype=np.int64), past.orders.occurred_ms),
        np.zeros(len(past.orders), dtype=np.int64),
        past.orders.occurred_ms,
        past.orders.occurred_ms + WINDOW_MS["30d"],
        [np.ones(len(past.orders), dtype=np.int64)],
    )[0].astype(np.float64)
    return {
        f"{entity}_share_of_all_30d": _ratio(past.count(entity, "30d"), everyone)
        for entity in (Entity.CARD_NUMBER, Entity.CARD, Entity.ADDRESS, Entity.DEVICE, Entity.EMAIL_DOMAIN)
    }


def _client(past: CardPast) -> dict[str, Float64Array]:
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


def _findings(past: CardPast) -> dict[str, Float64Array]:
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
    build: Callable[[CardPast], dict[str, Float64Array]]


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
    past = CardPast(orders=orders, previous_of_client=previous_order_of_client(orders))
    built: dict[str, FeatureColumns] = {}
    for group in HISTORY_GROUPS:
        if group.name not in wanted:
            continue
        began = time.perf_counter()
        built[group.name] = {name: column.astype(np.float32) for name, column in group.build(past).items()}
        if seconds_by_group is not None:
            seconds_by_group[group.name] = time.perf_counter() - began
    return built
