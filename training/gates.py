"""Named gates that a version passes before it may decide about anybody."""

from dataclasses import dataclass

import numpy as np

from features.declarations import Direction
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from training.evaluation import Evaluation
from training.model_artifact import CalibratedModel

LOWEST_AUC = 0.55
MEAN_PROBABILITY_FACTOR = 1.5
PROBED_ROWS = 300


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate: its name, whether it was passed, and the figure behind that."""

    name: str
    passed: bool
    finding: str


def gates(
    model: CalibratedModel, feature_set: FeatureSet, evaluation: Evaluation, values: Float64Array, seed: int
) -> tuple[Gate, ...]:
    """Judge a candidate; `values` are rows to probe, shape (n, n_features)."""
    factor = evaluation.mean_probability / evaluation.bad_rate
    violations = direction_violations(model, feature_set, values, seed=seed)
    return (
        Gate(
            name="discrimination",
            passed=evaluation.auc.low >= LOWEST_AUC,
            finding=f"AUC {evaluation.auc}, its interval must begin at {LOWEST_AUC} or above",
        ),
        Gate(
            name="calibration",
            passed=1 / MEAN_PROBABILITY_FACTOR <= factor <= MEAN_PROBABILITY_FACTOR,
            finding=f"mean probability is {factor:.2f} times the bad rate",
        ),
        Gate(
            name="directions",
            passed=violations == 0,
            finding=f"{violations} of the probed rows score better after a feature got worse",
        ),
    )


def direction_violations(
    model: CalibratedModel, feature_set: FeatureSet, values: Float64Array, *, seed: int
) -> int:
    """How many probes score better although one directed feature was moved to a worse value.

    Each probe takes a row and gives one of its directed features the value of another row.
    """
    generator = np.random.default_rng(seed)
    rows = values[generator.integers(0, len(values), PROBED_ROWS)]
    donors = values[generator.integers(0, len(values), PROBED_ROWS)]
    before = model.probability(rows)
    violations = 0
    for index, feature in enumerate(feature_set.features):
        if feature.direction is Direction.NONE:
            continue
        worse = rows.copy()
        pick = np.maximum if feature.direction is Direction.HIGHER_IS_WORSE else np.minimum
        worse[:, index] = pick(rows[:, index], donors[:, index])
        violations += int(np.sum(model.probability(worse) < before))
    return violations
