"""The two candidates of every training run: boosted trees and a scorecard, each with its calibration."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.feature_sets import FeatureSet
from features.instants import Float64Array
from training.candidates.boosted_trees import PARAMETERS, BoostedTrees, fit_boosted_trees
from training.candidates.calibration import fit_calibration
from training.candidates.model_artifact import CalibratedModel
from training.candidates.scorecard import Scorecard, ScorecardShape, fit_scorecard


@dataclass(frozen=True, kw_only=True)
class HyperParameters:
    """What is chosen before the candidates are fitted.

    trees: replaces some of the usual parameters of LightGBM. scorecard: its cuts and penalty.
    """

    trees: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    scorecard: ScorecardShape = field(default_factory=ScorecardShape)

    def to_json(self) -> dict[str, Any]:
        """All of them, the usual ones included, under one dotted name each."""
        trees = {f"lightgbm.{name}": value for name, value in {**PARAMETERS, **self.trees}.items()}
        return {**trees, **{f"scorecard.{name}": value for name, value in asdict(self.scorecard).items()}}


AS_USUAL = HyperParameters()


def fit_candidate(
    kind: str,
    values: Float64Array,
    label: NDArray[np.int8],
    calibration: NDArray[np.bool_],
    feature_set: FeatureSet,
    seed: int,
    chosen: HyperParameters = AS_USUAL,
) -> CalibratedModel:
    """One candidate, `lightgbm` or `scorecard`: calibrated on what `calibration` picks, fitted on the rest.

    values: shape (n, n_features); label and calibration: shape (n,).
    """
    if kind == "lightgbm":
        trees = fit_boosted_trees(values, label, calibration, feature_set, seed=seed, tuned=chosen.trees)
        return _calibrated(trees, values, label, calibration)
    card = fit_scorecard(values[~calibration], label[~calibration], feature_set, chosen.scorecard)
    return _calibrated(card, values, label, calibration)


def fit_candidates(
    values: Float64Array,
    label: NDArray[np.int8],
    calibration: NDArray[np.bool_],
    feature_set: FeatureSet,
    seed: int,
    chosen: HyperParameters = AS_USUAL,
) -> dict[str, CalibratedModel]:
    """Both candidates by kind; see `fit_candidate`."""
    return {
        kind: fit_candidate(kind, values, label, calibration, feature_set, seed, chosen)
        for kind in ("lightgbm", "scorecard")
    }


def fit_without_directions(
    values: Float64Array,
    label: NDArray[np.int8],
    calibration: NDArray[np.bool_],
    feature_set: FeatureSet,
    seed: int,
    chosen: HyperParameters = AS_USUAL,
) -> CalibratedModel:
    """LightGBM without directions, to say what they cost; it is never registered."""
    trees = fit_boosted_trees(
        values, label, calibration, feature_set, seed=seed, with_directions=False, tuned=chosen.trees
    )
    return _calibrated(trees, values, label, calibration)


def _calibrated(
    estimator: BoostedTrees | Scorecard,
    values: Float64Array,
    label: NDArray[np.int8],
    calibration: NDArray[np.bool_],
) -> CalibratedModel:
    raw = estimator.raw_log_odds(values[calibration])
    return CalibratedModel(estimator=estimator, calibration=fit_calibration(raw, label[calibration]))
