"""How far a distribution has moved, and how far chance alone would have moved it."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

STABILITY_BINS = 10
CHANCE_OF_FALSE_ALARM = 0.001


def population_stability_index(
    expected: NDArray[np.float64], actual: NDArray[np.float64], *, bins: int = STABILITY_BINS
) -> float:
    """How far scores have moved: the sum over bins of (actual - expected) * ln(actual / expected).

    Bins are quantiles of `expected`; equal scores share a bin, so there may be fewer than asked for. A
    bin that is empty on one side counts as half an observation there, so the index stays finite.

    >>> population_stability_index(np.arange(100.0), np.arange(100.0))
    0.0

    Raises ValueError if either side is empty.
    """
    if len(expected) == 0 or len(actual) == 0:
        raise ValueError("scores are needed on both sides")
    edges = np.unique(np.quantile(expected, np.linspace(0, 1, bins + 1)[1:-1]))
    counts = np.array(
        [
            np.bincount(np.searchsorted(edges, side, side="left"), minlength=len(edges) + 1)
            for side in (expected, actual)
        ]
    )
    return stability_index_of_counts(counts[0], counts[1])


def stability_index_of_counts(expected: NDArray[np.int64], actual: NDArray[np.int64]) -> float:
    """The stability index of counts by bin, shapes (n_bins,); bins that are empty on both sides do not count.

    >>> round(stability_index_of_counts(np.array([50, 50]), np.array([60, 40])), 4)
    0.0405

    Raises ValueError if either side is empty.
    """
    counts = np.array([expected, actual])
    sizes = counts.sum(axis=1, keepdims=True)
    if sizes.min() == 0:
        raise ValueError("decisions are needed on both sides")
    counts = counts[:, counts.any(axis=0)]
    shares = np.maximum(counts, 0.5) / sizes
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def chance_stability_index(*, bins: int, earlier: int, later: int) -> float:
    """The stability index that two samples of one distribution exceed once in a thousand times.

    To second order the index is the chi-square statistic of homogeneity times (1/earlier + 1/later):
    ln(p/q) is (p - q)/q there. So it has the chi-square quantile at `bins` - 1 degrees of freedom.

    >>> round(chance_stability_index(bins=10, earlier=100, later=100), 2)
    0.56
    """
    quantile = float(chi2.ppf(1 - CHANCE_OF_FALSE_ALARM, max(bins - 1, 1)))
    return quantile * (1 / earlier + 1 / later)
