"""The curves of a model on its test decisions, each with its 95 % band (bootstrap by customer)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evidence.customer_bootstrap import CustomerBootstrap
from evidence.intervals import HIGH, LOW, Interval, interval_of
from features.instants import Float64Array

GRID_POINTS = 61
# Squares: what matters to a risk team happens among the first few per cent.
GRID: Float64Array = np.linspace(0, 1, GRID_POINTS) ** 2
RISKIEST_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
DISTRIBUTION_BINS = 36


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a curve with their 95 % band; all of one length."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Capture:
    """What the riskiest share of the decisions holds: the share of all bad ones, and the lift."""

    riskiest_share: float
    captured_share: Interval
    lift: Interval


@dataclass(frozen=True, kw_only=True)
class RankingCurves:
    """roc: true against false positive rate. precision_recall: precision against recall.

    bad_found, good_found: the share of bad and of good decisions among the riskiest share (the KS plot).
    """

    roc: Curve
    precision_recall: Curve
    bad_found: Curve
    good_found: Curve
    captures: tuple[Capture, ...]


@dataclass(frozen=True, kw_only=True)
class ScoreDistribution:
    """Share of the good, bad and training decisions in each bin of log-odds.

    log_odds_edges: one more than bins. training_share: empty where there are no separate training decisions.
    """

    log_odds_edges: tuple[float, ...]
    good_share: tuple[float, ...]
    bad_share: tuple[float, ...]
    training_share: tuple[float, ...]


def ranking_curves(
    label: NDArray[np.int8], probability: Float64Array, bootstrap: CustomerBootstrap
) -> RankingCurves:
    """All curves in one pass; label, probability: shape (n,), both kinds of label present."""
    order = np.argsort(-probability, kind="stable")
    in_order = probability[order]
    ends = np.append(np.flatnonzero(np.diff(in_order)), len(in_order) - 1)
    is_bad = label[order].astype(np.float64)
    draws: list[tuple[Float64Array, ...]] = []
    for weight in bootstrap.weights():
        mine = weight[order]
        bad = np.append(0.0, np.cumsum(mine * is_bad)[ends])
        flagged = np.append(0.0, np.cumsum(mine)[ends])
        if 0 < bad[-1] < flagged[-1]:
            draws.append(_at_grid(bad, flagged))
    roc, precision, bad_found, good_found, captured = (np.array(part) for part in zip(*draws, strict=True))
    captures = []
    for number, share in enumerate(RISKIEST_SHARES):
        found = interval_of(captured[:, number])
        if found is not None:
            lift = Interval(value=found.value / share, low=found.low / share, high=found.high / share)
            captures.append(Capture(riskiest_share=share, captured_share=found, lift=lift))
    return RankingCurves(
        roc=_curve(roc),
        precision_recall=_curve(precision),
        bad_found=_curve(bad_found),
        good_found=_curve(good_found),
        captures=tuple(captures),
    )


def _at_grid(bad: Float64Array, flagged: Float64Array) -> tuple[Float64Array, ...]:
    good = flagged - bad
    true_positive, false_positive, share = bad / bad[-1], good / good[-1], flagged / flagged[-1]
    # Where the false positive rate stands still the curve climbs: the upper end of the step counts.
    roc = np.interp(GRID, false_positive, np.maximum.accumulate(true_positive))
    reached = np.minimum(np.searchsorted(true_positive, GRID, side="left"), len(bad) - 1)
    reached = np.maximum(reached, 1)
    # Customers that were not drawn may stand at the front: there is no precision yet.
    precision = bad[reached] / np.maximum(flagged[reached], 1e-9)
    return (
        roc,
        precision,
        np.interp(GRID, share, true_positive),
        np.interp(GRID, share, false_positive),
        np.interp(RISKIEST_SHARES, share, true_positive),
    )


def _curve(draws: Float64Array) -> Curve:
    low, high = np.quantile(draws[1:], [LOW, HIGH], axis=0)
    return Curve(
        x=tuple(GRID.tolist()),
        y=tuple(draws[0].tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )


def score_distribution(
    label: NDArray[np.int8], probability: Float64Array, training_probability: Float64Array | None
) -> ScoreDistribution:
    """Histograms over log-odds of bad; the outermost bins hold what lies beyond the central 99.8 %."""
    scores = log_odds(probability)
    low, high = np.quantile(scores, [0.001, 0.999])
    edges = np.linspace(low, high if high > low else low + 1.0, DISTRIBUTION_BINS + 1)

    def shares(values: Float64Array) -> tuple[float, ...]:
        place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, DISTRIBUTION_BINS - 1)
        return tuple((np.bincount(place, minlength=DISTRIBUTION_BINS) / len(values)).tolist())

    return ScoreDistribution(
        log_odds_edges=tuple(edges.tolist()),
        good_share=shares(scores[label == 0]),
        bad_share=shares(scores[label == 1]),
        training_share=() if training_probability is None else shares(log_odds(training_probability)),
    )


def log_odds(probability: Float64Array) -> Float64Array:
    """Log-odds of bad, finite for every probability in [0, 1]."""
    inside = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)
