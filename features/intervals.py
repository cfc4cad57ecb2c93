"""The engine: sums of values over the intervals that cover each moment of decision.

An interval (enter, leave] of an entity adds its value to every decision of that entity with
`enter < as_of <= leave`. Both ends become signed steps on one axis, sorted by (entity, time); a
running total in int64 then answers each decision by one binary search. No join multiplies rows,
and the cost is the same for one window or ten. Totals may wrap around 2**64; differences do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.instants import Int64Array


class TooManyEntitiesError(Exception):
    """The entities times the span of time do not fit into 62 bits; split the decisions by entity."""


@dataclass(frozen=True, kw_only=True)
class DecisionAxis:
    """The moments of decision, ordered by (entity, time), and how instants map onto one int64 axis.

    Shapes: all arrays (n_decisions,). `sorted_keys` is ascending; `restore[i]` is the place in it of
    decision i.
    """

    first_ms: int
    span_ms: int
    sorted_keys: Int64Array
    order: NDArray[np.intp]

    @classmethod
    def of(cls, entity: Int64Array, as_of_ms: Int64Array) -> "DecisionAxis":
        """Lay out the decisions of entities coded 0, 1, 2, ...

        Raises TooManyEntitiesError when the keys would not fit.
        """
        first_ms = int(as_of_ms.min()) - 1 if len(as_of_ms) else 0
        span_ms = int(as_of_ms.max()) - first_ms + 1 if len(as_of_ms) else 1
        entities = int(entity.max()) + 1 if len(entity) else 0
        if entities * span_ms >= 2**62:
            raise TooManyEntitiesError(f"{entities} entities over {span_ms} ms do not fit into one axis")
        keys = entity * span_ms + (as_of_ms - first_ms)
        order = np.argsort(keys, kind="stable")
        return cls(first_ms=first_ms, span_ms=span_ms, sorted_keys=keys[order], order=order)

    def keys_of(self, entity: Int64Array, instant_ms: Int64Array) -> Int64Array:
        """Place instants on the axis; those before the first or after the last decision go to its ends."""
        clipped = np.clip(instant_ms, self.first_ms, self.first_ms + self.span_ms - 1)
        return np.asarray(entity * self.span_ms + (clipped - self.first_ms), dtype=np.int64)


def covering_sums(
    axis: DecisionAxis,
    entity: Int64Array,
    enter_ms: Int64Array,
    leave_ms: Int64Array,
    values: Sequence[Int64Array],
) -> list[Int64Array]:
    """The sum of each of `values` over the intervals (enter, leave] that cover each decision.

    entity, enter_ms, leave_ms and each of values: shape (n_intervals,). An interval that ends before
    it begins is empty. Entities are coded as in `axis`.
    Returns one array of shape (n_decisions,) per entry of values, in the decisions' own order.
    """
    enter_keys = axis.keys_of(entity, enter_ms)
    leave_keys = np.maximum(axis.keys_of(entity, leave_ms), enter_keys)
    keys = np.concatenate([enter_keys, leave_keys])
    # Timsort is linear on the long ascending runs that a ledger kept by (entity, time) brings.
    order = np.argsort(keys, kind="stable")
    places = np.searchsorted(keys[order], axis.sorted_keys, side="left")
    sums = []
    for value in values:
        running = np.zeros(len(keys) + 1, dtype=np.int64)
        np.cumsum(np.concatenate([value, -value])[order], out=running[1:])
        answer = np.empty(len(places), dtype=np.int64)
        answer[axis.order] = running[places]
        sums.append(answer)
    return sums
