"""The window of time that is watched, and the reference before it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS
from features.instants import Int64Array

DEFAULT_DAYS = 30
DEFAULT_REFERENCE_DAYS = 180


@dataclass(frozen=True, kw_only=True)
class Period:
    """What is watched, and what it is compared with; half-open, in ms since 1970 UTC."""

    reference_from_ms: int
    window_from_ms: int
    window_until_ms: int

    def is_reference(self, instants: Int64Array) -> NDArray[np.bool_]:
        """Which instants lie in the reference."""
        return np.asarray((instants >= self.reference_from_ms) & (instants < self.window_from_ms))

    def is_window(self, instants: Int64Array) -> NDArray[np.bool_]:
        """Which instants lie in the window."""
        return np.asarray((instants >= self.window_from_ms) & (instants < self.window_until_ms))

    def month_of(self, instants: Int64Array) -> Int64Array:
        """Which stretch of the window's length before the window each instant lies in: 0 is the nearest."""
        length = self.window_until_ms - self.window_from_ms
        return np.asarray((self.window_from_ms - 1 - instants) // length, dtype=np.int64)


def period_until(until_ms: int, *, days: int, reference_days: int) -> Period:
    """The window of `days` that ends at an instant, and the reference before it.

    >>> period_until(40 * 86_400_000, days=10, reference_days=20).reference_from_ms // 86_400_000
    10
    """
    return Period(
        reference_from_ms=until_ms - (days + reference_days) * DAY_MS,
        window_from_ms=until_ms - days * DAY_MS,
        window_until_ms=until_ms,
    )
