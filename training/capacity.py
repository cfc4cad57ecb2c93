"""What a risk model is worth to a team that can look at so many orders a day."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS
from evidence.intervals import Interval, interval_around
from features.instants import Float64Array, Int64Array
from training.evaluation import BOOTSTRAP_ROUNDS

DEFAULT_ORDERS_PER_DAY = 5


@dataclass(frozen=True, kw_only=True)
class CapacityFigures:
    """Figures of a review at a daily capacity, with 95 % intervals (bootstrap by day).

    precision: confirmed fraud among the reviewed orders; one without a label counts as none, so the
        truth is no lower. recall: of all confirmed fraud. saved_cents_per_day: total of the confirmed
        frauds among the reviewed orders. saved_share: of the total of all confirmed fraud.
    """

    orders_per_day: int
    days: int
    precision: Interval
    recall: Interval
    saved_cents_per_day: Interval
    saved_share: Interval

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self)


def at_daily_capacity(
    label: NDArray[np.int8],
    probability: Float64Array,
    amount_cents: Int64Array,
    as_of_ms: Int64Array,
    *,
    orders_per_day: int,
    seed: int,
) -> CapacityFigures:
    """Review each day the orders with the highest probability times amount, as the queue does.

    All arrays of shape (n_orders,); label: 1 fraud, anything else is not confirmed.
    """
    day = as_of_ms // DAY_MS
    order = np.lexsort((-(probability * amount_cents), day))
    day_in_order = day[order]
    first = np.searchsorted(day_in_order, day_in_order, side="left")
    reviewed = np.arange(len(order)) - first < orders_per_day
    is_fraud = label[order] == 1
    days, place = np.unique(day_in_order, return_inverse=True)
    amount = amount_cents[order]
    per_day = np.column_stack(
        [
            np.bincount(place, weights, len(days))
            for weights in (
                reviewed.astype(float),
                (reviewed & is_fraud).astype(float),
                is_fraud.astype(float),
                amount * (reviewed & is_fraud),
                (amount * is_fraud).astype(float),
            )
        ]
    )
    generator = np.random.default_rng(seed)
    point = _figures(per_day.sum(axis=0), len(days))
    rounds = np.array(
        [
            _figures(per_day[generator.integers(0, len(days), len(days))].sum(axis=0), len(days))
            for _ in range(BOOTSTRAP_ROUNDS)
        ]
    )
    precision, recall, saved, share = (interval_around(point[index], rounds[:, index]) for index in range(4))
    return CapacityFigures(
        orders_per_day=orders_per_day,
        days=len(days),
        precision=precision,
        recall=recall,
        saved_cents_per_day=saved,
        saved_share=share,
    )


def _figures(totals: Float64Array, days: int) -> tuple[float, float, float, float]:
    reviewed, hits, frauds, saved, at_stake = totals.tolist()
    return (
        hits / reviewed if reviewed else 0.0,
        hits / frauds if frauds else 0.0,
        saved / days,
        saved / at_stake if at_stake else 0.0,
    )
