"""How well a model did, once the labels are known: ranking and calibration, with customers as the unit.

A customer in trouble leaves several invoices unpaid at once, so decisions are not independent even given
their probabilities. Tests therefore sum up each customer's decisions first; where customers have one
decision each they are the textbook's.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincc
from scipy.stats import norm, rankdata

from evidence.intervals import Interval
from features.instants import Float64Array, Int64Array

BANDS = 5
_MOST_EXACT = 20_000


@dataclass(frozen=True, kw_only=True)
class CalibrationBand:
    """Decisions of similar probability: how many bad ones were expected, how many there were.

    expected_low, expected_high: 95 % of what the probabilities allow, decisions being independent.
    """

    decisions: int
    lowest_probability: float
    highest_probability: float
    expected_bads: float
    expected_low: int
    expected_high: int
    bads: int


@dataclass(frozen=True, kw_only=True)
class RealisedPerformance:
    """A model's figures on labelled decisions, beside what its probabilities had promised.

    observed_to_expected: bad decisions over the sum of the probabilities, with a 95 % interval.
    count_p_value: that the number of bad ones is as expected; count_is_exact where that is the exact
        distribution's, False where an approximation had to do. spiegelhalter_z, spiegelhalter_p_value: that
        the probabilities are calibrated all along their range.
    auc: with a 95 % interval; None without decisions of both kinds.
    """

    decisions: int
    bads: int
    bad_rate: float
    mean_probability: float
    expected_low: int
    expected_high: int
    observed_to_expected: Interval
    count_p_value: float
    count_is_exact: bool
    spiegelhalter_z: float
    spiegelhalter_p_value: float
    brier: float
    expected_brier: float
    auc: Interval | None
    auc_deviation: float | None
    bands: tuple[CalibrationBand, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self)


def realised_performance(
    label: NDArray[np.int8], probability: Float64Array, customer: Int64Array
) -> RealisedPerformance:
    """Judge probabilities by the labels that came; all arrays of shape (n,).

    customer: a number for each decision's customer. Raises ValueError if there is no decision.

    The number of bad decisions is judged by its exact distribution, the Poisson binomial, where a customer's
    decisions are not alike, and otherwise by the one that `_approximate_tail` describes. Spiegelhalter's z
    weighs each difference label - p by 1 - 2p, and so is the Brier score minus its expectation, over its
    standard deviation. For independent decisions the variance is the sum of w^2 p (1 - p); it is multiplied
    by how alike a customer's decisions are: the sum over customers of (sum of w (label - q))^2 over the sum
    of w^2 q (1 - q), at least 1. There q is p times observed over expected, or a bad rate that has doubled
    would pass for customers being alike.
    """
    if len(label) == 0:
        raise ValueError("labelled decisions are needed")
    expected = float(probability.sum())
    ratio = float(label.sum()) / expected if expected > 0 else float("nan")
    observed = np.minimum(probability * ratio, 1.0) if label.any() and expected > 0 else probability
    ones = np.ones(len(label))
    # Decisions of different customers differ from independent ones by chance only.
    has_one_each = len(np.unique(customer)) == len(customer)
    alike = 1.0 if has_one_each else _alike(label, observed, customer, ones)
    is_exact = alike == 1 and len(label) < _MOST_EXACT
    tail = _exact_tail if is_exact else _approximate_tail
    weight = 1 - 2 * probability
    variance = float(np.sum(weight**2 * probability * (1 - probability)))
    brier_deviation = float(np.sqrt(_alike(label, observed, customer, weight) * variance))
    brier_z = float(np.sum((label - probability) * weight)) / brier_deviation if brier_deviation > 0 else 0.0
    low, high = expected_bads(probability)
    # The interval is about what was observed, the tests about what was promised.
    reach = float(norm.ppf(0.975) * np.sqrt(alike * np.sum(observed * (1 - observed))))
    spread = reach / expected if expected > 0 else float("nan")
    area = clustered_auc(label, probability, customer)
    return RealisedPerformance(
        decisions=len(label),
        bads=int(label.sum()),
        bad_rate=float(label.mean()),
        mean_probability=float(probability.mean()),
        expected_low=low,
        expected_high=high,
        observed_to_expected=Interval(value=ratio, low=max(ratio - spread, 0.0), high=ratio + spread),
        count_p_value=tail(int(label.sum()), probability, alike),
        count_is_exact=is_exact,
        spiegelhalter_z=brier_z,
        spiegelhalter_p_value=float(2 * norm.sf(abs(brier_z))),
        brier=float(np.mean((label - probability) ** 2)),
        expected_brier=float(np.mean(probability * (1 - probability))),
        auc=None if area is None else area[0],
        auc_deviation=None if area is None else area[1],
        bands=_bands(label, probability),
    )


def expected_bads(probability: Float64Array, *, coverage: float = 0.95) -> tuple[int, int]:
    """The range in which the number of bad decisions lies with at least this probability.

    Exact for independent decisions (Poisson binomial); from _MOST_EXACT decisions on by the normal
    distribution, which differs by less than one there.
    """
    mean = float(probability.sum())
    deviation = float(np.sqrt(np.sum(probability * (1 - probability))))
    tail = (1 - coverage) / 2
    reach = float(norm.isf(tail)) * deviation
    if len(probability) >= _MOST_EXACT:
        return int(np.floor(mean - reach)), int(np.ceil(mean + reach))
    at_most = np.cumsum(_chance_of_counts(probability))
    low = int(np.searchsorted(at_most, tail, side="right"))
    high = int(np.searchsorted(at_most, 1 - tail, side="left"))
    return low, min(high, len(probability))


def _exact_tail(bads: int, probability: Float64Array, _: float) -> float:
    """Two-sided p-value of a count of independent bad decisions: twice the smaller tail, at most 1."""
    chance = _chance_of_counts(probability)
    return min(2 * float(min(chance[: bads + 1].sum(), chance[bads:].sum())), 1.0)


def _approximate_tail(bads: int, probability: Float64Array, alike: float) -> float:
    """Two-sided p-value where the variance is `alike` times that of independent decisions.

    The count is taken for a multiple of a Poisson variable with the same mean and variance, continued
    between whole numbers by the incomplete gamma function: bad decisions that come in clusters of one size
    have just that distribution. The normal distribution has too thin an upper tail at few expected ones.
    """
    mean = float(probability.sum())
    variance = alike * float(np.sum(probability * (1 - probability)))
    if variance <= 0:
        return 1.0 if bads == mean else 0.0
    size = variance / mean
    at_least = float(gammainc(bads / size, mean / size)) if bads else 1.0
    at_most = float(gammaincc(bads / size + 1, mean / size))
    return min(2 * min(at_least, at_most), 1.0)


def _chance_of_counts(probability: Float64Array) -> Float64Array:
    """Chance of 0, 1, 2, ... bad decisions; scipy's poisson_binom gives the same and takes much longer.

    Groups of decisions are counted side by side, one decision of each at a time, and then put together.
    """
    groups = max(int(np.sqrt(len(probability))), 1)
    padded = np.zeros((groups, -(-len(probability) // groups)))
    padded.flat[: len(probability)] = probability
    chance = np.zeros((groups, padded.shape[1] + 1))
    chance[:, 0] = 1.0
    for column in padded.T:
        chance[:, 1:] += column[:, None] * (chance[:, :-1] - chance[:, 1:])
        chance[:, 0] *= 1 - column
    together = chance[0]
    for group in chance[1:]:
        together = np.convolve(together, group)
    return np.asarray(together, dtype=np.float64)


def clustered_auc(
    label: NDArray[np.int8], probability: Float64Array, customer: Int64Array
) -> tuple[Interval, float] | None:
    """Area under the ROC curve with its standard deviation; None without decisions of both kinds.

    A bad decision's part is the share of good ones below it, a good one's the share of bad ones above
    (ties half); the area is the mean of either. The variance is the sum over customers of the squared sum
    of (part - area) / count of the kind: DeLong's estimate, with decisions summed up by customer.
    """
    bad = label == 1
    bads, goods = int(bad.sum()), int((~bad).sum())
    if bads == 0 or goods == 0:
        return None
    rank = rankdata(probability)
    part = np.empty(len(label))
    part[bad] = (rank[bad] - rankdata(probability[bad])) / goods
    part[~bad] = 1 - (rank[~bad] - rankdata(probability[~bad])) / bads
    area = float(part[bad].mean())
    centred = (part - area) / np.where(bad, bads, goods)
    _, place = np.unique(customer, return_inverse=True)
    deviation = float(np.sqrt(np.sum(np.bincount(place, centred) ** 2)))
    reach = float(norm.ppf(0.975)) * deviation
    return Interval(value=area, low=max(area - reach, 0.0), high=min(area + reach, 1.0)), deviation


def _alike(
    label: NDArray[np.int8], probability: Float64Array, customer: Int64Array, weight: Float64Array
) -> float:
    """By how much the variance of a weighted sum exceeds that of independent decisions; at least 1."""
    independent = float(np.sum(weight**2 * probability * (1 - probability)))
    if independent <= 0:
        return 1.0
    _, place = np.unique(customer, return_inverse=True)
    by_customer = np.bincount(place, weight * (label - probability))
    return max(float(np.sum(by_customer**2)) / independent, 1.0)


def _bands(label: NDArray[np.int8], probability: Float64Array) -> tuple[CalibrationBand, ...]:
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, BANDS + 1)[1:-1]))
    place = np.searchsorted(edges, probability, side="left")
    bands = []
    for band in np.unique(place).tolist():
        inside = place == band
        low, high = expected_bads(probability[inside])
        bands.append(
            CalibrationBand(
                decisions=int(inside.sum()),
                lowest_probability=float(probability[inside].min()),
                highest_probability=float(probability[inside].max()),
                expected_bads=float(probability[inside].sum()),
                expected_low=low,
                expected_high=high,
                bads=int(label[inside].sum()),
            )
        )
    return tuple(bands)
