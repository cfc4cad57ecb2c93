"""How well a model will have done, estimated from its probabilities alone, months before labels arrive.

If the probabilities are calibrated, they say how often each order will turn out bad, and so also what
every figure of the model will come to: the estimate that the field calls confidence-based. It follows a
change of the orders (easier, harder, more alike); it cannot see a change of what bad orders look like,
which is what the realised figures are for. Everything is a sum over pairs or ranks of

    P(order i is bad) = p_i, independent given the probabilities.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from evidence.intervals import Interval, interval_around
from features.instants import Float64Array, Int64Array

DRAWS = 200
_NUMBERS_PER_BLOCK = 4_000_000


@dataclass(frozen=True, kw_only=True)
class EstimatedPerformance:
    """What the figures of these decisions are expected to come to once their labels are known.

    Intervals: 95 % of the outcomes that the probabilities allow, decisions being independent given them.
    """

    decisions: int
    bad_rate: Interval
    auc: Interval
    average_precision: Interval
    brier: Interval


@dataclass(frozen=True, kw_only=True)
class PairCounts:
    """For each decision, what the others put above and below it; ties count half. Shapes (n,).

    goods_below: expected number of good decisions with a lower probability.
    bads_above: expected number of bad decisions with a higher probability.
    """

    goods_below: Float64Array
    bads_above: Float64Array


def expected_auc(probability: Float64Array) -> float:
    """Expected area under the ROC curve.

    The expected number of pairs (i bad, j good, p_i > p_j, ties half) over the expected number of pairs
    (i bad, j good), i and j being different decisions: their ratio, to first order the ratio's mean.

    >>> expected_auc(np.array([0.0, 1.0]))
    1.0

    Raises ValueError where no pair can be expected.
    """
    pairs = _pairs(probability)
    if pairs <= 0:
        raise ValueError("good and bad decisions must both be possible")
    return float(np.sum(probability * _pair_counts(probability).goods_below) / pairs)


def expected_average_precision(probability: Float64Array) -> float:
    """Expected average precision.

    Average precision is the mean, over the bad decisions, of the share of bad ones among all that have
    at least the same probability. Where decision i is bad, that share is expected to be
    (1 + sum of the p_j of the others among the k) / k, k being how many have at least p_i.
    """
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    ends = np.searchsorted(-ranked, -ranked, side="right")
    expected_bads = np.cumsum(ranked)[ends - 1]
    precision = (1 + expected_bads - ranked) / ends
    return float(np.sum(ranked * precision) / np.sum(ranked))


def estimated_performance(
    probability: Float64Array, *, seed: int = 0, draws: int = DRAWS
) -> EstimatedPerformance:
    """Estimate the figures of decisions whose labels are not known yet.

    probability: calibrated, shape (n,). Raises ValueError where good and bad ones are not both possible.
    """
    bad_rate, auc, average_precision, brier = _drawn(probability, np.random.default_rng(seed), draws)
    return EstimatedPerformance(
        decisions=len(probability),
        bad_rate=interval_around(float(probability.mean()), bad_rate),
        auc=interval_around(expected_auc(probability), auc),
        average_precision=interval_around(expected_average_precision(probability), average_precision),
        brier=interval_around(float(np.mean(probability * (1 - probability))), brier),
    )


@dataclass(frozen=True, kw_only=True)
class Change:
    """A figure on both sides and the chance of such a difference where there is none."""

    earlier: float
    later: float
    p_value: float


def expected_auc_change(
    earlier: Float64Array,
    later: Float64Array,
    earlier_customer: Int64Array,
    later_customer: Int64Array,
) -> Change:
    """How the expected area under the ROC curve differs between two sets of decisions.

    The difference is judged by each customer's part in it, a customer's part being the derivative of the
    ratio of pairs by the weight of that customer's decisions, on both sides.

    earlier_customer, later_customer: a number for each decision's customer, the same on both sides.
    Raises ValueError where no pair can be expected on one of them.
    """
    found, customer = np.unique(np.concatenate([earlier_customer, later_customer]), return_inverse=True)
    parts = np.concatenate([-_influence(earlier), _influence(later)])
    deviation = float(np.sqrt(np.sum(np.bincount(customer, parts, len(found)) ** 2)))
    return _change(expected_auc(earlier), expected_auc(later), deviation)


def mean_change(
    earlier: Float64Array,
    later: Float64Array,
    earlier_customer: Int64Array,
    later_customer: Int64Array,
) -> Change:
    """How the mean probability, the expected bad rate, differs; judged as in `expected_auc_change`."""
    found, customer = np.unique(np.concatenate([earlier_customer, later_customer]), return_inverse=True)
    means = float(earlier.mean()), float(later.mean())
    parts = np.concatenate([(means[0] - earlier) / len(earlier), (later - means[1]) / len(later)])
    return _change(*means, float(np.sqrt(np.sum(np.bincount(customer, parts, len(found)) ** 2))))


def _change(earlier: float, later: float, deviation: float) -> Change:
    p_value = float(2 * norm.sf(abs(later - earlier) / deviation)) if deviation > 0 else 1.0
    return Change(earlier=earlier, later=later, p_value=p_value)


def _influence(probability: Float64Array) -> Float64Array:
    """What each decision adds to the expected area per unit of its weight; sums to zero."""
    pairs = _pairs(probability)
    counts = _pair_counts(probability)
    good = 1 - probability
    favourable = probability * counts.goods_below + good * counts.bads_above
    possible = probability * (good.sum() - good) + good * (probability.sum() - probability)
    area = float(np.sum(probability * counts.goods_below)) / pairs
    return np.asarray((favourable - area * possible) / pairs, dtype=np.float64)


def _pairs(probability: Float64Array) -> float:
    """Expected number of pairs of a bad and a good decision."""
    good = 1 - probability
    return float(probability.sum() * good.sum() - np.sum(probability * good))


def _pair_counts(probability: Float64Array) -> PairCounts:
    ordered = np.sort(probability)
    first = np.searchsorted(ordered, probability, side="left")
    last = np.searchsorted(ordered, probability, side="right")
    goods = np.concatenate([[0.0], np.cumsum(1 - ordered)])
    bads = np.concatenate([[0.0], np.cumsum(ordered)])
    tied_goods = goods[last] - goods[first] - (1 - probability)
    tied_bads = bads[last] - bads[first] - probability
    return PairCounts(
        goods_below=goods[first] + tied_goods / 2, bads_above=bads[-1] - bads[last] + tied_bads / 2
    )


def _drawn(
    probability: Float64Array, generator: np.random.Generator, draws: int
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """Bad rate, area, average precision and Brier score of labels drawn from the probabilities.

    Draws without a bad or without a good decision have no area and are left out of all four.
    """
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    rank = rankdata(ranked)
    ends = np.searchsorted(-ranked, -ranked, side="right")
    size = len(ranked)
    block = max(1, _NUMBERS_PER_BLOCK // max(size, 1))
    figures: list[Float64Array] = []
    for start in range(0, draws, block):
        label = (generator.random((min(block, draws - start), size)) < ranked).astype(np.float64)
        bads = label.sum(axis=1)
        label, bads = label[(bads > 0) & (bads < size)], bads[(bads > 0) & (bads < size)]
        area = (label @ rank - bads * (bads + 1) / 2) / (bads * (size - bads))
        precision = np.cumsum(label, axis=1)[:, ends - 1] / ends
        figures.append(
            np.array(
                [
                    bads / size,
                    area,
                    np.sum(label * precision, axis=1) / bads,
                    np.mean((label - ranked) ** 2, axis=1),
                ]
            )
        )
    found = np.concatenate(figures, axis=1)
    if found.shape[1] == 0:
        raise ValueError("good and bad decisions must both be possible")
    return found[0], found[1], found[2], found[3]
