"""What each feature does in a model: how much it moves the answer, which way, and whether that is allowed."""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from evidence.customer_bootstrap import CustomerBootstrap
from evidence.intervals import Interval, interval_of
from features.declarations import Direction
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from training.candidates.model_artifact import CalibratedModel
from training.gates.gates import PROBED_ROWS, violations_by_feature

EXPLAINED_ROWS = 4000
STRONGEST = 5
PARTIAL_DEPENDENCE_ROWS = 300
PARTIAL_DEPENDENCE_POINTS = 12
CLEAR_TREND = 0.1
"""Rank correlation of value and contribution from which on a feature is said to rise or fall."""


class Trend(enum.StrEnum):
    """What the model's estimate does as the feature grows."""

    RISES = "rises"
    FALLS = "falls"
    MIXED = "neither"
    UNUSED = "unused"


@dataclass(frozen=True, kw_only=True)
class DependencePoint:
    """The mean probability if every sampled decision had this value of the feature."""

    feature_value: float
    probability: Interval


@dataclass(frozen=True, kw_only=True)
class FeatureBehaviour:
    """One feature in the model, on test decisions.

    mean_contribution: mean absolute contribution in log-odds before calibration. share: of all features'.
    probes, violations: how often a worse value was tried, and how often it scored better; 0 probes where
        no direction is declared. dependence: for the strongest features only.
    """

    name: str
    description: str
    group: str
    unit: str
    direction: str
    mean_contribution: Interval
    share: float
    trend: Trend
    probes: int
    violations: int
    contradicts_direction: bool
    dependence: tuple[DependencePoint, ...]


def feature_behaviours(
    model: CalibratedModel,
    feature_set: FeatureSet,
    values: Float64Array,
    bootstrap: CustomerBootstrap,
    *,
    seed: int,
) -> tuple[FeatureBehaviour, ...]:
    """Every feature, strongest first; values: test rows of shape (n, n_features).

    A direction is contradicted where a probe scores better after the feature got worse, or where the trend
    runs against it.
    """
    generator = np.random.default_rng(seed)
    rows = np.sort(generator.permutation(len(values))[:EXPLAINED_ROWS])
    explained = values[rows]
    contributions = model.estimator.contributions(explained)
    picked = np.zeros(len(values), dtype=bool)
    picked[rows] = True
    strength = bootstrap.where(picked).means(np.abs(contributions))
    total = max(float(strength[0].sum()), 1e-12)
    violations = violations_by_feature(model, feature_set, values, seed=seed)
    few = np.sort(generator.permutation(len(values))[:PARTIAL_DEPENDENCE_ROWS])
    strongest = np.argsort(-strength[0], kind="stable")
    behaviours = []
    for rank, index in enumerate(strongest.tolist()):
        feature = feature_set.features[index]
        mean = interval_of(strength[:, index])
        if mean is None:
            raise ValueError(f"{feature.name} has no contribution")
        trend = _trend(explained[:, index], contributions[:, index])
        violated = violations.get(feature.name, 0)
        against = {Direction.HIGHER_IS_WORSE: Trend.FALLS, Direction.HIGHER_IS_BETTER: Trend.RISES}
        dependence: tuple[DependencePoint, ...] = ()
        if rank < STRONGEST and trend is not Trend.UNUSED:
            dependence = _dependence(model, values, index, few, bootstrap)
        behaviours.append(
            FeatureBehaviour(
                name=feature.name,
                description=feature.description,
                group=feature.group.value,
                unit=feature.unit,
                direction=feature.direction.value,
                mean_contribution=mean,
                share=mean.value / total,
                trend=trend,
                probes=PROBED_ROWS if feature.name in violations else 0,
                violations=violated,
                contradicts_direction=violated > 0 or against.get(feature.direction) is trend,
                dependence=dependence,
            )
        )
    return tuple(behaviours)


def _trend(column: Float64Array, contribution: Float64Array) -> Trend:
    """By the rank correlation of value and contribution among the decisions that have a value."""
    known = ~np.isnan(column)
    if not known.any() or np.ptp(contribution) == 0:
        return Trend.UNUSED
    if np.ptp(column[known]) == 0 or np.ptp(contribution[known]) == 0:
        return Trend.MIXED
    ranks = rankdata(column[known]), rankdata(contribution[known])
    correlation = float(np.corrcoef(*ranks)[0, 1])
    if correlation >= CLEAR_TREND:
        return Trend.RISES
    return Trend.FALLS if correlation <= -CLEAR_TREND else Trend.MIXED


def _dependence(
    model: CalibratedModel,
    values: Float64Array,
    index: int,
    rows: NDArray[np.intp],
    bootstrap: CustomerBootstrap,
) -> tuple[DependencePoint, ...]:
    column = values[:, index]
    known = column[~np.isnan(column)]
    grid = np.unique(np.quantile(known, np.linspace(0.01, 0.99, PARTIAL_DEPENDENCE_POINTS), method="lower"))
    moved = np.repeat(values[rows], len(grid), axis=0)
    moved[:, index] = np.tile(grid, len(rows))
    probability = model.probability(moved).reshape(len(rows), len(grid))
    mask = np.zeros(len(values), dtype=bool)
    mask[rows] = True
    means = bootstrap.where(mask).means(probability)
    found = [(float(value), interval_of(means[:, place])) for place, value in enumerate(grid.tolist())]
    return tuple(
        DependencePoint(feature_value=value, probability=interval)
        for value, interval in found
        if interval is not None
    )
