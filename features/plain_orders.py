"""Orders that are counted without being read: so many at an entity, and since when by each customer.

An order is plain where a single ledger row says all about it that features of order risk look at in another
order: no correction, no move, no amendment, no finding. Thousands of them at one merchant come to a few
numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from features.declarations import ORDER_FACT_OF, Measure
from features.entities import EntityKind
from features.feature_sets import FeatureSet

IS_FIRST = "is_first_of_customer"
SUMMED_VALUES = ("amount_cents", "night", "resellable")
"""The columns of an order that are added up, of a customer's own orders."""


class SumWithin(NamedTuple):
    """What is added up of the orders in a window. value: a column of theirs; None counts them.

    window_ms: those that happened in [as_of - window, as_of); None for all.
    """

    value: str | None
    window_ms: int | None


@dataclass(frozen=True, kw_only=True)
class PlainOrders:
    """The plain orders at one entity.

    sums: by what is added up. first_at_ms: when each customer's first happened; empty where no feature counts
    customers. read_too: the ids of those among them that are read for another reason.
    """

    sums: Mapping[SumWithin, int]
    first_at_ms: Mapping[str, int] = field(default_factory=dict)
    read_too: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class CountedOrders:
    """What a feature set counts of the orders at an entity. by_customer: customers too."""

    sums: tuple[SumWithin, ...]
    by_customer: bool


@lru_cache(maxsize=64)
def counted_orders(feature_set: FeatureSet, entity: EntityKind) -> CountedOrders | None:
    """What is counted of the orders at an entity; None where features ask for more than sums over windows and
    the first orders of customers, so that the orders must be read.
    """
    measures = [m for m in feature_set.distinct_measures() if m.fact is ORDER_FACT_OF[entity]]
    sums = [_sum_of(measure) for measure in measures if not _is_of_firsts(measure)]
    if None in sums:
        return None
    return CountedOrders(
        sums=tuple(
            sorted(
                {one for one in sums if one is not None},
                key=lambda one: (one.value or "", one.window_ms or 0),
            )
        ),
        by_customer=any(_is_of_firsts(measure) for measure in measures),
    )


def _sum_of(measure: Measure) -> SumWithin | None:
    """What a measure adds up where that can be kept; else None."""
    if measure.runs is not None or measure.above_column is not None:
        return None
    if measure.value is not None and (
        measure.value not in SUMMED_VALUES or measure.fact is not ORDER_FACT_OF[EntityKind.CUSTOMER]
    ):
        return None
    if _is_windowed(measure):
        return SumWithin(measure.value, measure.leaves_after_ms)
    return SumWithin(measure.value, None) if _is_of_all_time(measure) else None


def _is_of_firsts(measure: Measure) -> bool:
    """Whether a measure can be told from when each customer's first order happened."""
    counts = measure.value == IS_FIRST and measure.runs is None and measure.above_column is None
    return _is_age(measure) or (counts and (_is_windowed(measure) or _is_of_all_time(measure)))


def _is_age(measure: Measure) -> bool:
    """Whether a measure is the time since the first orders of customers."""
    return (
        _is_of_all_time(measure)
        and (measure.value, measure.runs) == ("minus_occurred_at", IS_FIRST)
        and (measure.above_column, measure.above) == (IS_FIRST, 0)
    )


def _is_windowed(measure: Measure) -> bool:
    return (measure.enters, measure.enters_after_ms, measure.leaves) == ("occurred_at", 0, "occurred_at")


def _is_of_all_time(measure: Measure) -> bool:
    return (measure.enters, measure.enters_after_ms, measure.leaves) == (None, 0, None)


class _Addition(NamedTuple):
    """What plain orders add to a measure. added: None where their customers' first orders tell it."""

    measure: Measure
    entity: EntityKind
    added: SumWithin | None
    window_ms: int | None
    is_age: bool


@lru_cache(maxsize=8)
def _additions(feature_set: FeatureSet) -> tuple[_Addition, ...]:
    entity_of = {fact: entity for entity, fact in ORDER_FACT_OF.items()}
    return tuple(
        _Addition(
            measure=measure,
            entity=entity_of[measure.fact],
            added=None if _is_of_firsts(measure) else _sum_of(measure),
            window_ms=None if measure.leaves is None else measure.leaves_after_ms,
            is_age=_is_age(measure),
        )
        for measure in feature_set.distinct_measures()
        if measure.fact in entity_of
    )


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
    firsts_at_ms = {
        entity: [
            at_ms
            for customer, at_ms in orders.first_at_ms.items()
            if is_first(orders, customer, first_read_at_ms[entity].get(customer))
        ]
        for entity, orders in plain.items()
        if orders.first_at_ms
    }
    sums: dict[Measure, int] = {}
    for one in _additions(feature_set):
        if one.entity not in plain:
            continue
        if one.added is not None:
            sums[one.measure] = plain[one.entity].sums[one.added]
            continue
        since_ms = 0 if one.window_ms is None else as_of_ms - one.window_ms
        counted = [at_ms for at_ms in firsts_at_ms.get(one.entity, ()) if at_ms >= since_ms]
        sums[one.measure] = as_of_ms * len(counted) - sum(counted) if one.is_age else len(counted)
    return sums


def is_first(plain: PlainOrders, customer_id: str, read_at_ms: int | None) -> bool:
    """Whether a customer's first order at an entity is plain. read_at_ms: of the first that was read."""
    first_at_ms = plain.first_at_ms.get(customer_id)
    return first_at_ms is not None and (read_at_ms is None or first_at_ms <= read_at_ms)
