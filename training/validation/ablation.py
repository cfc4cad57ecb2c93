"""What each group of features is worth: the same kind of model fitted again without it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data_contracts.progress import Progress, no_progress
from evidence.intervals import Interval
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from training.candidates.model_artifact import CalibratedModel
from training.errors import TrainingError

MOST_TRAINING_ROWS = 12_000
"""More would double the time of a training run; all models of a comparison see the same rows."""

Fit = Callable[[Float64Array, NDArray[np.int8], NDArray[np.bool_], FeatureSet], CalibratedModel]
"""Fits the kind of model that won: values, label, calibration rows, features."""


class Difference(Protocol):
    """One figure of two models, paired."""

    def __call__(
        self,
        label: NDArray[np.int8],
        probability: Float64Array,
        rival: Float64Array,
        customer_id: NDArray[np.object_],
        /,
        *,
        seed: int = 0,
    ) -> Interval:
        """The figure of `probability` minus the figure of `rival`; all arrays of shape (n,)."""
        ...


@dataclass(frozen=True, kw_only=True)
class AblationData:
    """Training and test rows of a comparison; values of shape (n, n_features), the others (n,).

    calibration: which training rows set trees and calibration.
    """

    values: Float64Array
    label: NDArray[np.int8]
    calibration: NDArray[np.bool_]
    customer_id: NDArray[np.object_]
    test_values: Float64Array
    test_label: NDArray[np.int8]
    test_customer_id: NDArray[np.object_]

    def __post_init__(self) -> None:
        if not len(self.values) == len(self.label) == len(self.calibration) == len(self.customer_id):
            raise ValueError("training rows differ in number")


@dataclass(frozen=True, kw_only=True)
class GroupCost:
    """What leaving a group out costs: the figure with all groups minus the figure without this one.

    cost: None where no model could be fitted without the group; `problem` then says why.
    """

    group: str
    features: int
    cost: Interval | None
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """The costs of all groups, largest first. figure: what they are in."""

    figure: str
    training_rows: int
    test_rows: int
    groups: tuple[GroupCost, ...]


def ablate(
    feature_set: FeatureSet,
    data: AblationData,
    fit: Fit,
    difference: Difference,
    *,
    figure: str,
    seed: int,
    progress: Progress = no_progress,
    step: str = "ablation",
) -> Ablation:
    """Fit with all groups and without each, on the same rows, and compare on the same test rows."""
    counts = Counter(feature.group for feature in feature_set.features)
    sample = _sample(data.label, data.customer_id, seed)
    rows = (data.values[sample], data.label[sample], data.calibration[sample])
    total = len(counts) + 1
    progress(step, done=0, total=total)
    everything = fit(*rows, feature_set).probability(data.test_values)
    progress(step, done=1, total=total)
    costs = []
    for done, (group, count) in enumerate(counts.items()):
        kept = np.array([feature.group is not group for feature in feature_set.features])
        cost, problem = None, None
        if not kept.any():
            problem = "there is no other group"
        else:
            reduced = FeatureSet(
                name=feature_set.name,
                purpose=feature_set.purpose,
                features=tuple(feature for feature in feature_set.features if feature.group is not group),
            )
            try:
                rival = fit(rows[0][:, kept], rows[1], rows[2], reduced).probability(
                    data.test_values[:, kept]
                )
                cost = difference(data.test_label, everything, rival, data.test_customer_id)
            except TrainingError as unfit:
                problem = str(unfit)
        costs.append(GroupCost(group=group.value, features=count, cost=cost, problem=problem))
        progress(step, done=done + 2, total=total)
    costs.sort(key=lambda cost: -np.inf if cost.cost is None else -cost.cost.value)
    return Ablation(
        figure=figure, training_rows=len(rows[0]), test_rows=len(data.test_label), groups=tuple(costs)
    )


def _sample(label: NDArray[np.int8], customer_id: NDArray[np.object_], seed: int) -> NDArray[np.intp]:
    """All rows of the customers with a bad one, and of others drawn at random, MOST_TRAINING_ROWS in all.

    Taking more of the bad ones shifts all probabilities alike, which leaves a comparison of rankings whole.
    """
    if len(label) <= MOST_TRAINING_ROWS:
        return np.arange(len(label))
    _, customer = np.unique(customer_id.astype(str), return_inverse=True)
    people = int(customer.max()) + 1
    has_bad = np.bincount(customer, label, people) > 0
    # Customers with a bad order come first, then the others in a random order.
    turn = np.random.default_rng(seed).permutation(people) + np.where(has_bad, 0, people)
    order = np.argsort(turn[customer], kind="stable")
    return np.sort(order[:MOST_TRAINING_ROWS])
