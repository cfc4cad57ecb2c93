"""What an instant stands for that another machine sent: by which of two states is the later one.

A row keeps its instants as they were sent. For windows, ages and what is visible it counts from when it was
recorded at the latest (`features.supersession.as_counted`); of two states of one thing the later is told by
what was sent, because clamped to their records all states of a clock that runs ahead would rank by arrival.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.contract import MAXIMUM_CLOCK_TOLERANCE_MS

HAPPENED_AT = "happened_at"
"""A row whose instants were changed for counting carries under this name when it happened, as it was sent."""


def happened_at(row: Mapping[str, Any]) -> int:
    """By when states rank, in ms: `occurred_at` as it was sent.

    No clock is ahead by more than the highest tolerance: what is sent as later still happened, at the latest,
    when it was recorded.

    >>> happened_at({"occurred_at": 5_900, "recorded_at": 5_000})
    5900
    >>> happened_at({"occurred_at": 3_600_001, "recorded_at": 0})
    0
    """
    kept: int | None = row.get(HAPPENED_AT)
    if kept is not None:
        return kept
    occurred_at: int = row["occurred_at"]
    recorded_at: int = row["recorded_at"]
    return occurred_at if occurred_at <= recorded_at + MAXIMUM_CLOCK_TOLERANCE_MS else recorded_at


def happened_at_of_columns(
    occurred_at: NDArray[np.int64], recorded_at: NDArray[np.int64]
) -> NDArray[np.int64]:
    """`happened_at` of whole columns of one shape."""
    return np.where(occurred_at <= recorded_at + MAXIMUM_CLOCK_TOLERANCE_MS, occurred_at, recorded_at)
