"""How far score and features of the test decisions lie from those that the model was trained on."""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evidence.drift import Drift, binned_numbers, drift
from evidence.stability import CHANCE_OF_FALSE_ALARM
from features.decisions import Decisions
from features.instants import Float64Array, Int64Array
from training.candidates.model_artifact import CalibratedModel
from training.validation.curves import log_odds

MOVED_FROM = 0.1
MOVED_MUCH_FROM = 0.25
"""The rule of thumb of the field; either counts only where the index is beyond chance as well."""
SCORE = "score (log-odds)"


class ShiftLevel(enum.StrEnum):
    """How far, as far as it is more than chance."""

    STABLE = "stable"
    MOVED_LITTLE = "moved a little"
    MOVED = "moved"
    MOVED_MUCH = "moved much"


@dataclass(frozen=True, kw_only=True)
class Shift:
    """One quantity, training against test.

    chance_limit: the index that chance alone exceeds once in a thousand times, with customers as the unit;
        None where there are too few decisions to say. is_beyond_chance: the index is above it.
    usual_index: the highest of the training months against each other, None where there is only one.
    largest_change: the bin whose share changed most, in words.
    """

    name: str
    stability_index: float
    chance_limit: float | None
    is_beyond_chance: bool
    usual_index: float | None
    level: ShiftLevel
    largest_change: str


@dataclass(frozen=True, kw_only=True)
class TrainingRows:
    """What a model was trained on; values of shape (n, n_features), score in log-odds and the others (n,)."""

    values: Float64Array
    score: Float64Array
    customer_id: NDArray[np.object_]
    as_of_ms: Int64Array


def training_rows(model: CalibratedModel, values: Float64Array, decisions: Decisions) -> TrainingRows:
    """The training decisions with what the model says of them; values of shape (n, n_features)."""
    return TrainingRows(
        values=values,
        score=log_odds(model.probability(values)),
        customer_id=decisions.customer_id,
        as_of_ms=decisions.as_of_ms,
    )


def population_shifts(
    training: TrainingRows,
    names: tuple[str, ...],
    *,
    test_values: Float64Array,
    test_score: Float64Array,
    test_customer_id: NDArray[np.object_],
) -> tuple[Shift, ...]:
    """The score first, then the features from the largest index down; both sides hold decisions."""
    people = np.concatenate([training.customer_id, test_customer_id]).astype(str)
    _, customer = np.unique(people, return_inverse=True)
    before, after = customer[: len(training.score)], customer[len(training.score) :]
    month = training.as_of_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)

    def shift(name: str, earlier: Float64Array, later: Float64Array) -> Shift:
        return _judged(drift(name, binned_numbers(earlier, later), before, after, month))

    features = [
        shift(name, training.values[:, index], test_values[:, index]) for index, name in enumerate(names)
    ]
    features.sort(key=lambda found: -found.stability_index)
    return (shift(SCORE, training.score, test_score), *features)


def _judged(found: Drift) -> Shift:
    limit = None if found.test is None else found.test.chance_stability_index(CHANCE_OF_FALSE_ALARM)
    is_beyond = limit is not None and found.stability_index > limit
    level = ShiftLevel.STABLE
    if is_beyond:
        level = ShiftLevel.MOVED_LITTLE
        if found.stability_index >= MOVED_FROM:
            level = ShiftLevel.MOVED
        if found.stability_index >= MOVED_MUCH_FROM:
            level = ShiftLevel.MOVED_MUCH
    return Shift(
        name=found.name,
        stability_index=found.stability_index,
        chance_limit=limit,
        is_beyond_chance=is_beyond,
        usual_index=found.usual_index,
        level=level,
        largest_change=found.largest_change,
    )
