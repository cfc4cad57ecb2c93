"""Logistic regression whose weights keep the direction of their column: for small or weak tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from features.declarations import Direction
from features.instants import Float64Array

PENALTY = 10.0
"""Strength of the ridge on each weight of a standardised column, in observations."""
WINSORISED_SHARE = 0.01
"""Values beyond this share at either end count as the value there: one wild income must not turn a line."""


@dataclass(frozen=True, kw_only=True)
class DirectedLogistic:
    """A fitted line. low, high, mean, spread, weight, missing_weight: shape (n_columns,).

    A missing value stands at the mean and adds the column's missing_weight.
    """

    intercept: float
    low: Float64Array
    high: Float64Array
    mean: Float64Array
    spread: Float64Array
    weight: Float64Array
    missing_weight: Float64Array

    def raw_log_odds(self, values: Float64Array) -> Float64Array:
        """Log-odds before calibration; values of shape (n, n_columns), result (n,)."""
        missing = np.isnan(values)
        standard = (np.clip(values, self.low, self.high) - self.mean) / self.spread
        total = np.where(missing, 0.0, standard) @ self.weight + missing @ self.missing_weight
        return np.asarray(total + self.intercept, dtype=np.float64)


def fit_directed_logistic(
    values: Float64Array, label: NDArray[np.int8], directions: Sequence[Direction]
) -> DirectedLogistic:
    """Fit by penalised maximum likelihood, with the sign of each weight bound by its column's direction.

    values: shape (n, n_columns), NaN for missing; label: shape (n,), 1 is bad, both kinds present.
    """
    missing = np.isnan(values)
    # A column with nothing in it has no quantiles; it says nothing by its values.
    filled = np.where(missing.all(axis=0), 0.0, values)
    low, high = np.nanquantile(filled, [WINSORISED_SHARE, 1 - WINSORISED_SHARE], axis=0)
    # A rare event lies beyond both quantiles; without its range it would be a constant.
    is_flat = low == high
    low = np.where(is_flat, np.nanmin(filled, axis=0), low)
    high = np.where(is_flat, np.nanmax(filled, axis=0), high)
    clipped = np.clip(filled, low, high)
    mean, spread = np.nanmean(clipped, axis=0), np.nanstd(clipped, axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    standard = np.where(missing, 0.0, (clipped - mean) / spread)
    gaps = np.flatnonzero(missing.any(axis=0))
    design = np.column_stack([np.ones(len(values)), standard, missing[:, gaps]])
    bad = label.astype(np.float64)

    def loss_and_gradient(weights: Float64Array) -> tuple[float, Float64Array]:
        scores = design @ weights
        slopes = np.concatenate([[0.0], weights[1:]])
        loss = float(np.sum(np.logaddexp(0.0, scores) - bad * scores)) + PENALTY / 2 * float(slopes @ slopes)
        return loss, design.T @ (expit(scores) - bad) + PENALTY * slopes

    bounds: list[tuple[float | None, float | None]] = [(None, None)]
    bounds += [_BOUNDS_OF[direction] for direction in directions]
    bounds += [(None, None)] * len(gaps)
    start = np.zeros(design.shape[1])
    start[0] = np.log(bad.mean() / (1 - bad.mean()))
    fitted = minimize(
        loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 400}
    ).x
    columns = values.shape[1]
    missing_weight = np.zeros(columns)
    missing_weight[gaps] = fitted[1 + columns :]
    return DirectedLogistic(
        intercept=float(fitted[0]),
        low=low,
        high=high,
        mean=mean,
        spread=spread,
        weight=fitted[1 : 1 + columns],
        missing_weight=missing_weight,
    )


_BOUNDS_OF: dict[Direction, tuple[float | None, float | None]] = {
    Direction.HIGHER_IS_WORSE: (0.0, None),
    Direction.HIGHER_IS_BETTER: (None, 0.0),
    Direction.NONE: (None, None),
}
