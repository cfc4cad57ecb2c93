"""The two candidates of every training run: boosted trees and a scorecard, each with its calibration."""

import numpy as np
from numpy.typing import NDArray

from features.feature_sets import FeatureSet
from features.instants import Float64Array
from training.boosted_trees import BoostedTrees, fit_boosted_trees
from training.calibration import fit_calibration
from training.model_artifact import CalibratedModel
from training.scorecard import Scorecard, fit_scorecard


def _calibrated(
    estimator: BoostedTrees | Scorecard,
    values: Float64Array,
    label: NDArray[np.int8],
    calibration: NDArray[np.bool_],
) -> CalibratedModel:
    raw = estimator.raw_log_odds(values[calibration])
    return CalibratedModel(estimator=estimator, calibration=fit_calibration(raw, label[calibration]))


def fit_candidates(
    values: Float64Array,
    label: NDArray[np.int8],
    calibration: NDArray[np.bool_],
    feature_set: FeatureSet,
    seed: int,
) -> dict[str, CalibratedModel]:
    """Both candidates, calibrated on the rows that `calibration` picks and fitted on the others."""
    trees = fit_boosted_trees(values, label, calibration, feature_set, seed=seed)
    card = fit_scorecard(values[~calibration], label[~calibration], feature_set)
    return {
        "lightgbm": _calibrated(trees, values, label, calibration),
        "scorecard": _calibrated(card, values, label, calibration),
    }


def fit_without_directions(
    values: Float64Array,
    label: NDArray[np.int8],
    calibration: NDArray[np.bool_],
    feature_set: FeatureSet,
    seed: int,
) -> CalibratedModel:
    """LightGBM without directions, to say what they cost; it is never registered."""
    trees = fit_boosted_trees(values, label, calibration, feature_set, seed=seed, with_directions=False)
    return _calibrated(trees, values, label, calibration)
