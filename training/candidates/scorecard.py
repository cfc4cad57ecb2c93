"""The logistic scorecard: steps per feature that keep the feature's direction. The rival candidate.

Each feature is cut at quantiles; every cut point that a value exceeds adds its weight to the log-odds.
The weights of a directed feature all have one sign, so the card is monotone by construction.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import block_diag, csr_array, hstack
from scipy.special import expit

from features.declarations import Direction
from features.feature_sets import FeatureSet
from features.instants import Float64Array


@dataclass(frozen=True, kw_only=True)
class ScorecardShape:
    """What is chosen before a card is fitted.

    cuts_per_feature: quantiles at which a feature is cut. penalty: strength of the ridge on each step
        weight, in observations.
    """

    cuts_per_feature: int = 8
    penalty: float = 20.0


AS_USUAL = ScorecardShape()


@dataclass(frozen=True, kw_only=True)
class ScorecardFeature:
    """The steps of one feature: cut points ascending, one weight each, and the weight of a missing value."""

    name: str
    cut_points: tuple[float, ...]
    step_weights: tuple[float, ...]
    missing_weight: float
    mean_contribution: float


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """A fitted scorecard."""

    intercept: float
    features: tuple[ScorecardFeature, ...]

    def raw_log_odds(self, values: Float64Array) -> Float64Array:
        """Log-odds before calibration; values of shape (n, n_features), result (n,)."""
        total = np.full(len(values), self.intercept)
        for index in range(len(self.features)):
            total += self._steps(values, index)
        return total

    def contributions(self, values: Float64Array) -> Float64Array:
        """What each feature adds against its mean among the training rows, shape (n, n_features)."""
        parts = [
            self._steps(values, index) - feature.mean_contribution
            for index, feature in enumerate(self.features)
        ]
        return np.column_stack(parts)

    def _steps(self, values: Float64Array, index: int) -> Float64Array:
        feature = self.features[index]
        column = values[:, index]
        # Added up one by one from the left, as a serving process without numpy does it.
        totals = [0.0]
        for weight in feature.step_weights:
            totals.append(totals[-1] + weight)
        steps = np.array(totals)[np.searchsorted(np.array(feature.cut_points), column, side="left")]
        return np.where(np.isnan(column), feature.missing_weight, steps)


@dataclass(frozen=True, kw_only=True)
class _Design:
    """The card as two sparse matrices, so that the log-odds are intercept + bins @ (steps @ weights).

    bins: shape (n, n_bins), a one where a row's value lies in a bin; the first bin of a feature, below
        all cut points, adds nothing and has no ones. by_bin: the same, transposed.
    steps: shape (n_bins, n_weights), which weights add up in a bin. place: each value's bin, counted
        within its feature, shape (n, n_features). offsets: where a feature's weights begin.
    """

    bins: csr_array
    by_bin: csr_array
    steps: csr_array
    place: NDArray[np.int32]
    cut_points: list[Float64Array]
    offsets: list[int]


def _design(values: Float64Array, cuts_per_feature: int) -> _Design:
    columns, cut_points, offsets, steps = [], [], [], []
    size = 1
    for index in range(values.shape[1]):
        column = values[:, index]
        present = column[~np.isnan(column)]
        shares = np.linspace(0, 1, cuts_per_feature + 2)[1:-1]
        if len(present):
            quantiles = np.unique(np.quantile(present, shares, method="lower"))
            cuts = quantiles[quantiles < present.max()]
            # Rare events (one late payment in twenty) lie beyond every quantile: the lowest value gets a cut.
            if present.min() < present.max():
                cuts = np.union1d(cuts, [present.min(), np.quantile(present, 0.98, method="lower")])
                cuts = cuts[cuts < present.max()]
        else:
            cuts = np.zeros(0)
        places = np.searchsorted(cuts, column, side="left").astype(np.int32)
        places[np.isnan(column)] = len(cuts) + 1
        columns.append(places)
        cut_points.append(cuts)
        offsets.append(size)
        size += len(cuts) + 1
        # Bins in rows: none below all cuts, one more weight for each cut, and the missing value's own.
        steps.append(block_diag([np.tri(len(cuts) + 1, len(cuts), -1), [[1.0]]], format="csr"))
    place = np.column_stack(columns)
    widths = [block.shape[0] for block in steps]
    column = place + np.concatenate([[0], np.cumsum(widths)[:-1]])
    row = np.broadcast_to(np.arange(len(values))[:, None], place.shape)
    has_weight = place > 0
    bins = csr_array(
        (np.ones(int(has_weight.sum())), (row[has_weight], column[has_weight])),
        shape=(len(values), sum(widths)),
    )
    return _Design(
        bins=bins,
        by_bin=bins.T.tocsr(),
        steps=hstack([csr_array((sum(widths), 1)), block_diag(steps)], format="csr"),
        place=place,
        cut_points=cut_points,
        offsets=offsets,
    )


def _table_of(weights: Float64Array, cuts: Float64Array, offset: int) -> Float64Array:
    """Contribution by bin: 0, the first step, the first two ..., and last the missing value."""
    steps = np.cumsum(weights[offset : offset + len(cuts)])
    return np.concatenate([[0.0], steps, [weights[offset + len(cuts)]]])


def _loss_and_gradient(
    weights: Float64Array, design: _Design, label: Float64Array, penalty: float
) -> tuple[float, Float64Array]:
    scores = weights[0] + design.bins @ (design.steps @ weights)
    loss = float(np.sum(np.logaddexp(0.0, scores) - label * scores)) + penalty / 2 * float(
        weights[1:] @ weights[1:]
    )
    residual = expit(scores) - label
    gradient = design.steps.T @ (design.by_bin @ residual)
    gradient[0] = residual.sum()
    gradient[1:] += penalty * weights[1:]
    return loss, gradient


def fit_scorecard(
    values: Float64Array,
    label: NDArray[np.int8],
    feature_set: FeatureSet,
    shape: ScorecardShape = AS_USUAL,
) -> Scorecard:
    """Fit by penalised maximum likelihood, with the sign of each step bound by the feature's direction.

    values: shape (n, n_features); label: shape (n,), 1 is bad, both kinds present.
    """
    design = _design(values, shape.cuts_per_feature)
    bad = label.astype(np.float64)
    bounds: list[tuple[float | None, float | None]] = [(None, None)]
    for feature, cuts in zip(feature_set.features, design.cut_points, strict=True):
        sign = {
            Direction.HIGHER_IS_WORSE: (0.0, None),
            Direction.HIGHER_IS_BETTER: (None, 0.0),
            Direction.NONE: (None, None),
        }[feature.direction]
        bounds += [sign] * len(cuts)
        # A directed feature is never missing; its missing weight stays at nothing.
        bounds.append((None, None) if feature.direction is Direction.NONE else (0.0, 0.0))
    start = np.zeros(design.steps.shape[1])
    start[0] = np.log(bad.mean() / (1 - bad.mean()))
    fitted = minimize(
        _loss_and_gradient,
        start,
        args=(design, bad, shape.penalty),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 400},
    ).x
    features = []
    for index, (feature, cuts, offset) in enumerate(
        zip(feature_set.features, design.cut_points, design.offsets, strict=True)
    ):
        table = _table_of(fitted, cuts, offset)
        features.append(
            ScorecardFeature(
                name=feature.name,
                cut_points=tuple(cuts.tolist()),
                step_weights=tuple(fitted[offset : offset + len(cuts)].tolist()),
                missing_weight=float(table[-1]),
                mean_contribution=float(table[design.place[:, index]].mean()),
            )
        )
    return Scorecard(intercept=float(fitted[0]), features=tuple(features))
