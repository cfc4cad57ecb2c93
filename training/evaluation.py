"""How good a model is, with confidence intervals that know a customer has several orders."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evidence.customer_bootstrap import customer_bootstrap
from evidence.intervals import Interval, interval_around
from features.instants import Float64Array

BOOTSTRAP_ROUNDS = 200
CALIBRATION_BINS = 10
APPROVAL_RATES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
CUT_OFF_SHARE = 0.05
"""The policy-free cut-off: each model refuses the riskiest twentieth by its own order."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A model's figures on one test set.

    bad_rate_by_approval_rate: bad rate among the best share of orders, for each share.
    """

    decisions: int
    bads: int
    bad_rate: float
    auc: Interval
    gini: Interval
    ks: Interval
    average_precision: Interval
    brier: Interval
    calibration_error: Interval
    recall_at_1pct_fpr: Interval
    recall_at_5pct_fpr: Interval
    mean_probability: float
    bad_rate_by_approval_rate: dict[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class _Ranked:
    """Probabilities from the highest down, with where each run of equal ones ends."""

    label: Float64Array
    probability: Float64Array
    order: NDArray[np.intp]
    ends: NDArray[np.intp]


def _ranked(label: NDArray[np.int8], probability: Float64Array) -> _Ranked:
    order = np.argsort(-probability, kind="stable")
    in_order = probability[order]
    ends = np.append(np.flatnonzero(np.diff(in_order)), len(in_order) - 1)
    return _Ranked(label=label[order].astype(np.float64), probability=in_order, order=order, ends=ends)


def _figures(ranked: _Ranked, weight: Float64Array) -> dict[str, float]:
    """All figures under case weights; ties share their rank."""
    bad = np.cumsum(weight * ranked.label)[ranked.ends]
    good = np.cumsum(weight * (1 - ranked.label))[ranked.ends]
    true_positive = np.concatenate([[0.0], bad / bad[-1]])
    false_positive = np.concatenate([[0.0], good / good[-1]])
    flagged = bad + good
    precision = np.divide(bad, flagged, out=np.zeros_like(bad), where=flagged > 0)
    auc = float(np.trapezoid(true_positive, false_positive))
    figures = {
        "auc": auc,
        "gini": 2 * auc - 1,
        "ks": float(np.max(true_positive - false_positive)),
        "average_precision": float(np.sum(np.diff(true_positive) * precision)),
        "brier": float(np.average((ranked.probability - ranked.label) ** 2, weights=weight)),
        "calibration_error": _calibration_error(ranked, weight),
        "recall_at_1pct_fpr": float(np.max(true_positive[false_positive <= 0.01])),
        "recall_at_5pct_fpr": float(np.max(true_positive[false_positive <= 0.05])),
    }
    from_best = weight[::-1]
    share = np.cumsum(from_best) / from_best.sum()
    bads_from_best = np.cumsum(from_best * ranked.label[::-1])
    for rate in APPROVAL_RATES:
        last = min(int(np.searchsorted(share, rate)), len(share) - 1)
        figures[_rate_name(rate)] = float(bads_from_best[last] / (share[last] * from_best.sum()))
    return figures


def _rate_name(rate: float) -> str:
    return f"bad_rate_at_{rate:.0%}"


def _calibration_error(ranked: _Ranked, weight: Float64Array) -> float:
    """Expected calibration error over bins of equal weight."""
    place = np.cumsum(weight)
    bins = np.minimum((place / place[-1] * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    mass = np.bincount(bins, weight, CALIBRATION_BINS)
    gap = np.bincount(bins, weight * (ranked.probability - ranked.label), CALIBRATION_BINS)
    return float(np.sum(np.abs(gap)) / mass.sum())


def evaluate(
    label: NDArray[np.int8],
    probability: Float64Array,
    customer_id: NDArray[np.object_],
    *,
    seed: int = 0,
    rounds: int = BOOTSTRAP_ROUNDS,
) -> Evaluation:
    """Evaluate probabilities of default; all arrays of shape (n,), both kinds of label present.

    Intervals are percentiles over a bootstrap that draws customers, not orders.
    Raises ValueError if only one kind of label is there.
    """
    if label.min() == label.max():
        raise ValueError("good and bad decisions are both needed")
    ranked = _ranked(label, probability)
    point = _figures(ranked, np.ones(len(label)))
    bootstrap = customer_bootstrap(customer_id, seed=seed, rounds=rounds)
    drawn: list[dict[str, float]] = []
    for drawn_weight in bootstrap.round_weights():
        weight = drawn_weight[ranked.order]
        if 0 < np.sum(weight * ranked.label) < np.sum(weight):
            drawn.append(_figures(ranked, weight))
    intervals = {
        name: interval_around(value, [figures[name] for figures in drawn]) for name, value in point.items()
    }
    return Evaluation(
        decisions=len(label),
        bads=int(label.sum()),
        bad_rate=float(label.mean()),
        mean_probability=float(probability.mean()),
        bad_rate_by_approval_rate={f"{rate:.0%}": intervals[_rate_name(rate)] for rate in APPROVAL_RATES},
        **{
            name: intervals[name]
            for name in (
                "auc",
                "gini",
                "ks",
                "average_precision",
                "brier",
                "calibration_error",
                "recall_at_1pct_fpr",
                "recall_at_5pct_fpr",
            )
        },
    )


def auc_difference(
    label: NDArray[np.int8],
    probability: Float64Array,
    rival: Float64Array,
    customer_id: NDArray[np.object_],
    *,
    seed: int = 0,
    rounds: int = BOOTSTRAP_ROUNDS,
) -> Interval:
    """AUC of `probability` minus AUC of `rival` on the same rows, with a paired bootstrap interval."""
    return _difference(_auc, label, probability, rival, customer_id, seed=seed, rounds=rounds)


def average_precision_difference(
    label: NDArray[np.int8],
    probability: Float64Array,
    rival: Float64Array,
    customer_id: NDArray[np.object_],
    *,
    seed: int = 0,
    rounds: int = BOOTSTRAP_ROUNDS,
) -> Interval:
    """Average precision of `probability` minus that of `rival`, with a paired bootstrap interval."""
    return _difference(_average_precision, label, probability, rival, customer_id, seed=seed, rounds=rounds)


def _difference(
    figure: Callable[[_Ranked, Float64Array], float],
    label: NDArray[np.int8],
    probability: Float64Array,
    rival: Float64Array,
    customer_id: NDArray[np.object_],
    *,
    seed: int,
    rounds: int,
) -> Interval:
    one, other = _ranked(label, probability), _ranked(label, rival)
    ones = np.ones(len(label))
    differences = [
        figure(one, weight[one.order]) - figure(other, weight[other.order])
        for weight in customer_bootstrap(customer_id, seed=seed, rounds=rounds).round_weights()
        if 0 < np.sum(weight * label) < np.sum(weight)
    ]
    return interval_around(figure(one, ones) - figure(other, ones), differences)


def _average_precision(ranked: _Ranked, weight: Float64Array) -> float:
    bad = np.cumsum(weight * ranked.label)[ranked.ends]
    flagged = np.cumsum(weight)[ranked.ends]
    precision = np.divide(bad, flagged, out=np.zeros_like(bad), where=flagged > 0)
    return float(np.sum(np.diff(bad / bad[-1], prepend=0.0) * precision))


def _auc(ranked: _Ranked, weight: Float64Array) -> float:
    bad = np.cumsum(weight * ranked.label)[ranked.ends]
    good = np.cumsum(weight * (1 - ranked.label))[ranked.ends]
    return float(np.trapezoid(np.append(0.0, bad / bad[-1]), np.append(0.0, good / good[-1])))


def auc_under_weights(
    label: NDArray[np.int8], probability: Float64Array, weights: Iterable[Float64Array]
) -> Float64Array:
    """AUC under each set of case weights, each of shape (n,); NaN where only one kind of label has weight."""
    if len(label) == 0 or label.min() == label.max():
        return np.full(sum(1 for _ in weights), np.nan)
    ranked = _ranked(label, probability)
    bad = label == 1
    return np.array(
        [
            _auc(ranked, weight[ranked.order]) if 0 < np.sum(weight[bad]) < np.sum(weight) else np.nan
            for weight in weights
        ]
    )
