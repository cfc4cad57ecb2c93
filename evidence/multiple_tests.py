"""Many comparisons at once: what chance does in one of a hundred looks must not count as found."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

CONFIDENCE = 0.95


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Holm's adjusted p-values: whoever rejects those up to a level keeps it for the whole family.

    The k-th smallest of m is multiplied by m - k + 1, and never falls below the one before it.

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    return adjusted


def family_wise_z(comparisons: int) -> float:
    """How many standard errors a figure must be off so that chance does it in one table out of twenty.

    Bonferroni: a table of many rows would otherwise nearly always have one row beyond its interval.

    >>> round(family_wise_z(1), 2), round(family_wise_z(20), 2)
    (1.96, 3.02)
    """
    return float(norm.ppf(1 - (1 - CONFIDENCE) / (2 * max(comparisons, 1))))
