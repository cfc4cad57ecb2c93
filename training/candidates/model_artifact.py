"""The folder that is registered as a model: `model.json`, and for boosted trees the booster's text.

It holds no class of ours and no pickle, and whoever serves it needs neither this package nor
scikit-learn: only LightGBM for the booster, or a page of arithmetic for the scorecard.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from features.feature_sets import FeatureSet
from features.instants import Float64Array
from features.model_columns import columns_of
from features.model_files import MODEL_FILE, ModelFiles
from training.candidates.boosted_trees import BoostedTrees
from training.candidates.calibration import Calibration
from training.candidates.scorecard import Scorecard, ScorecardFeature

FORMAT = 1
SCORE_SCALE = {"reference_points": 600.0, "reference_odds": 30.0, "points_to_double_odds": 40.0}
"""600 points at odds of 30 good orders to a bad one; 40 points more double the odds."""


@dataclass(frozen=True, kw_only=True)
class CalibratedModel:
    """A fitted candidate with its calibration."""

    estimator: BoostedTrees | Scorecard
    calibration: Calibration

    @property
    def kind(self) -> str:
        """`lightgbm` or `scorecard`, as the artefact names it."""
        return "scorecard" if isinstance(self.estimator, Scorecard) else "lightgbm"

    def probability(self, values: Float64Array) -> Float64Array:
        """Probability of default, shape (n,), for features of shape (n, n_features)."""
        return self.calibration.probability(self.estimator.raw_log_odds(values))


def write_model(
    folder: Path,
    model: CalibratedModel,
    feature_set: FeatureSet,
    *,
    typical: Float64Array,
    facts: dict[str, Any],
) -> None:
    """Write the artefact.

    typical: the usual value of each feature among customers who paid, shape (n_features,).
    facts: what else the artefact says of itself: label, data fingerprint, metrics, when it was trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "format": FORMAT,
        "model_name": feature_set.name,
        "kind": model.kind,
        "feature_set": {"name": feature_set.name, "version": feature_set.version},
        "settlement_terms": feature_set.terms.to_json(),
        "linked_customers_maximum": feature_set.linked_customers_maximum,
        # Whole, so that its decisions can be judged and explained when the declarations are no more.
        "features": [column.to_json() for column in columns_of(feature_set.features)],
        "calibration": asdict(model.calibration),
        "score_scale": SCORE_SCALE,
        "typical_values": {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(feature_set.names, typical, strict=True)
        },
        **facts,
    }
    if isinstance(model.estimator, Scorecard):
        document["scorecard"] = asdict(model.estimator)
    else:
        document["booster_file"] = "booster.txt"
        (folder / "booster.txt").write_text(model.estimator.booster.model_to_string())
    (folder / MODEL_FILE).write_text(json.dumps(document, indent=1))


def read_model(files: ModelFiles) -> CalibratedModel:
    """The model of a folder that `write_model` wrote."""
    document = files.document()
    calibration = Calibration(
        raw_log_odds=tuple(document["calibration"]["raw_log_odds"]),
        log_odds=tuple(document["calibration"]["log_odds"]),
    )
    if document["kind"] == "lightgbm":
        text = files.text(document["booster_file"])
        trees = BoostedTrees(booster=lightgbm.Booster(model_str=text))
        return CalibratedModel(estimator=trees, calibration=calibration)
    card = document["scorecard"]
    features = tuple(
        ScorecardFeature(
            name=feature["name"],
            cut_points=tuple(feature["cut_points"]),
            step_weights=tuple(feature["step_weights"]),
            missing_weight=feature["missing_weight"],
            mean_contribution=feature["mean_contribution"],
        )
        for feature in card["features"]
    )
    return CalibratedModel(
        estimator=Scorecard(intercept=card["intercept"], features=features), calibration=calibration
    )
