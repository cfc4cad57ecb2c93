"""Orders that are counted without being read: so many at an entity, and since when by each customer.

An order is plain where a single ledger row says all about it that features of order risk look at in another
order: no correction, no move, no finding. Thousands of them at one merchant come to a few numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from features.declarations import ORDER_FACT_OF, Measure
from features.entities import EntityKind
from features.feature_sets import FeatureSet

IS_FIRST = "is_first_of_customer"


@dataclass(frozen=True, kw_only=True)
class PlainOrders:
    """The plain orders of other customers at one entity.

    count_within: how many happened in [as_of - window, as_of), by window in ms. first_at_ms: when each
    customer's first happened; empty where no feature counts customers.
    """

    count_within: Mapping[int, int]
    first_at_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CountedOrders:
    """What a feature set counts of the orders at an entity. by_customer: customers too."""

    windows_ms: tuple[int, ...]
    by_customer: bool


@lru_cache(maxsize=64)
def counted_orders(feature_set: FeatureSet, entity: EntityKind) -> CountedOrders | None:
    """What is counted of the orders at an entity; None where features ask for more than numbers of orders and
    of customers, so that the orders must be read.
    """
    measures = [m for m in feature_set.distinct_measures() if m.fact is ORDER_FACT_OF[entity]]
    if not all(_is_count(measure) for measure in measures):
        return None
    return CountedOrders(
        windows_ms=tuple(sorted({m.leaves_after_ms for m in measures if m.value is None})),
        by_customer=any(measure.value == IS_FIRST for measure in measures),
    )


def _is_count(measure: Measure) -> bool:
    interval = (measure.enters, measure.enters_after_ms, measure.leaves)
    is_windowed = interval == ("occurred_at", 0, "occurred_at")
    is_of_all_time = interval == (None, 0, None) and measure.value == IS_FIRST
    adds_a_number = measure.value in {None, IS_FIRST} and measure.runs is None
    return adds_a_number and measure.above_column is None and (is_windowed or is_of_all_time)


def sums_of_plain_orders(
    feature_set: FeatureSet,
    plain: Mapping[EntityKind, PlainOrders],
    first_read_at_ms: Mapping[EntityKind, Mapping[str, int]],
    as_of_ms: int,
) -> dict[Measure, int]:
    """What plain orders add to the measures of a feature set.

    first_read_at_ms: when the first order of each customer happened among those that were read. A customer
    counts here where the first of all is plain.
    """
    sums: dict[Measure, int] = {}
    for measure in feature_set.distinct_measures():
        for entity, orders in plain.items():
            if measure.fact is not ORDER_FACT_OF[entity]:
                continue
            if measure.value is None:
                sums[measure] = orders.count_within[measure.leaves_after_ms]
                continue
            read = first_read_at_ms[entity]
            since_ms = 0 if measure.leaves is None else as_of_ms - measure.leaves_after_ms
            sums[measure] = sum(
                since_ms <= at_ms and is_first(orders, customer, read.get(customer))
                for customer, at_ms in orders.first_at_ms.items()
            )
    return sums


def is_first(plain: PlainOrders, customer_id: str, read_at_ms: int | None) -> bool:
    """Whether a customer's first order at an entity is plain. read_at_ms: of the first that was read."""
    first_at_ms = plain.first_at_ms.get(customer_id)
    return first_at_ms is not None and (read_at_ms is None or first_at_ms <= read_at_ms)
