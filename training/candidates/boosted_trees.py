"""LightGBM with the directions of the features: the first candidate."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from features.declarations import Direction
from features.feature_sets import FeatureSet
from features.instants import Float64Array

BOOSTING_ROUNDS = 1500
EARLY_STOPPING_ROUNDS = 60
CONSTRAINT_OF = {Direction.HIGHER_IS_WORSE: 1, Direction.HIGHER_IS_BETTER: -1, Direction.NONE: 0}

PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.03,
    # Shallow trees cost no discrimination here and make reasons seven times cheaper.
    "num_leaves": 16,
    "max_depth": 4,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 255,
    "monotone_constraints_method": "intermediate",
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "verbosity": -1,
}


@dataclass(frozen=True, kw_only=True)
class BoostedTrees:
    """A fitted booster; log-odds of bad are its raw scores."""

    booster: lightgbm.Booster

    def raw_log_odds(self, values: Float64Array) -> Float64Array:
        """Log-odds before calibration; values of shape (n, n_features), result (n,)."""
        return np.asarray(self.booster.predict(values, raw_score=True), dtype=np.float64)

    def contributions(self, values: Float64Array) -> Float64Array:
        """What each feature adds against the average, shape (n, n_features); exact TreeSHAP."""
        return np.asarray(self.booster.predict(values, pred_contrib=True), dtype=np.float64)[:, :-1]


def fit_boosted_trees(
    values: Float64Array,
    label: NDArray[np.int8],
    stopping: NDArray[np.bool_],
    feature_set: FeatureSet,
    *,
    seed: int,
    with_directions: bool = True,
    tuned: Mapping[str, Any] = MappingProxyType({}),
) -> BoostedTrees:
    """Fit on the rows outside `stopping`, as many trees as serve the rows inside it best.

    with_directions: False only to measure what the directions cost. tuned: replaces some of PARAMETERS.
    """
    constraints = [CONSTRAINT_OF[feature.direction] for feature in feature_set.features]
    parameters = {**PARAMETERS, **tuned, "seed": seed, "monotone_constraints": constraints}
    if not with_directions:
        parameters["monotone_constraints"] = [0] * len(constraints)
    names = list(feature_set.names)
    fitting = lightgbm.Dataset(values[~stopping], label[~stopping], feature_name=names, params=parameters)
    watching = lightgbm.Dataset(values[stopping], label[stopping], reference=fitting, params=parameters)
    booster = lightgbm.train(
        parameters,
        fitting,
        num_boost_round=BOOSTING_ROUNDS,
        valid_sets=[watching],
        callbacks=[lightgbm.early_stopping(EARLY_STOPPING_ROUNDS, verbose=False)],
    )
    # From text and back: what is measured is what is registered, to the last bit.
    text = booster.model_to_string(num_iteration=booster.best_iteration)
    return BoostedTrees(booster=lightgbm.Booster(model_str=text))
