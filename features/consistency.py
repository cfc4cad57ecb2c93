"""Whether features that were computed online come out the same offline, bit for bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_contracts.progress import Progress, no_progress
from features.decisions import Decisions
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from features.offline import build_features


@dataclass(frozen=True, kw_only=True)
class FeatureDifference:
    """A feature that came out differently. place: of the decision among those compared."""

    place: int
    feature: str
    logged: float
    rebuilt: float


def rebuilt_differences(
    directory: Path,
    decisions: Decisions,
    logged: Float64Array,
    feature_set: FeatureSet,
    progress: Progress = no_progress,
) -> tuple[FeatureDifference, ...]:
    """Rebuild the features of decisions from a ledger folder and compare them with what was logged.

    logged: shape (n_decisions, n_features), in the order of the feature set.
    """
    rebuilt = build_features(directory, decisions, feature_set, progress).values
    return differences(logged, rebuilt, feature_set.names)


def differences(
    logged: Float64Array, rebuilt: Float64Array, names: Sequence[str]
) -> tuple[FeatureDifference, ...]:
    """Every value whose bits differ, decision by decision; whatever is missing on both sides is the same.

    logged, rebuilt: shape (n_decisions, n_features).

    >>> differences(np.array([[1.0, np.nan]]), np.array([[1.5, np.nan]]), ["late_payment_days_sum_90d", "x"])
    (FeatureDifference(place=0, feature='late_payment_days_sum_90d', logged=1.0, rebuilt=1.5),)
    """
    same = logged.view(np.int64) == rebuilt.view(np.int64)
    same |= np.isnan(logged) & np.isnan(rebuilt)
    return tuple(
        FeatureDifference(
            place=place,
            feature=names[column],
            logged=float(logged[place, column]),
            rebuilt=float(rebuilt[place, column]),
        )
        for place, column in np.argwhere(~same).tolist()
    )
