"""Estimator, number of trees and calibration, chosen on inner folds alone, and the fit of what was chosen.

The simplest candidate whose log loss there is within one standard error of the best is taken, because on
small or weak tables a straight line beats boosting.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import lightgbm
import numpy as np

from features.feature_sets import FeatureSet
from features.instants import Float64Array
from training.candidates.boosted_trees import CONSTRAINT_OF, PARAMETERS, BoostedTrees
from training.candidates.calibration import Calibration, fit_calibration
from training.candidates.directed_logistic import DirectedLogistic, fit_directed_logistic
from training.candidates.scorecard import Scorecard, fit_scorecard
from training.flat_tables.table_columns import Labels, ModelColumns, columns_of_rows
from training.flat_tables.table_folds import Fold

Estimator = BoostedTrees | Scorecard | DirectedLogistic

SEEDS = 2
MOST_TREES = 1500
EARLY_STOPPING_ROUNDS = 50
TREE_PARAMETERS: dict[str, Any] = {
    **PARAMETERS,
    "learning_rate": 0.04,
    # As good here as the finer method, and many times faster where every fold is fitted several times.
    "monotone_constraints_method": "basic",
}


class Candidate(enum.Enum):
    """The estimators, the simplest first."""

    LOGISTIC = "logistic"
    SCORECARD = "scorecard"
    LIGHTGBM = "lightgbm"


@dataclass(frozen=True, kw_only=True)
class InnerJudgement:
    """A candidate on the inner folds: log loss and AUC of the rows they judge, before calibration."""

    log_loss: float
    auc: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the training rows of one fold chose. trees: the number, were it LightGBM."""

    candidate: Candidate
    trees: int
    calibration: Calibration
    judged: dict[Candidate, InnerJudgement]


@dataclass(frozen=True, kw_only=True)
class TableModel:
    """A chosen, fitted and calibrated estimator; several boosters count with the mean of their log-odds."""

    estimators: tuple[Estimator, ...]
    calibration: Calibration

    def probability(self, values: Float64Array) -> Float64Array:
        """Probability of bad, shape (n,), for values of shape (n, n_columns)."""
        raw = np.mean([estimator.raw_log_odds(values) for estimator in self.estimators], axis=0)
        return self.calibration.probability(raw)


def choose(columns: ModelColumns, label: Labels, inner: Sequence[Fold], *, seed: int) -> Choice:
    """Choose estimator, number of trees and calibration on the inner folds alone."""
    raw: dict[Candidate, list[Float64Array]] = {candidate: [] for candidate in Candidate}
    trees = []
    for fold in inner:
        training, held = columns_of_rows(columns, fold.training), columns.values[fold.test]
        for candidate in (Candidate.LOGISTIC, Candidate.SCORECARD):
            estimator = _fit(candidate, training, label[fold.training], trees=0, seed=seed)
            raw[candidate].append(estimator.raw_log_odds(held))
        booster = _fit_until_no_better(columns, label, fold, seed)
        trees.append(booster.booster.current_iteration())
        raw[Candidate.LIGHTGBM].append(booster.raw_log_odds(held))
    judged_label = np.concatenate([label[fold.test] for fold in inner])
    joined = {candidate: np.concatenate(parts) for candidate, parts in raw.items()}
    losses = {
        candidate: np.logaddexp(0.0, log_odds) - judged_label * log_odds
        for candidate, log_odds in joined.items()
    }
    candidate = simplest_within_one_standard_error(losses)
    return Choice(
        candidate=candidate,
        trees=round(float(np.mean(trees))),
        calibration=fit_calibration(joined[candidate], judged_label),
        judged={
            rival: InnerJudgement(log_loss=float(losses[rival].mean()), auc=_auc(judged_label, joined[rival]))
            for rival in Candidate
        },
    )


def simplest_within_one_standard_error(losses: dict[Candidate, Float64Array]) -> Candidate:
    """The simplest candidate that is not clearly worse than the best.

    losses: of the same rows, shape (n,) each. Clearly: the mean difference to the best exceeds its standard
    error, paired by row.
    """
    best = min(Candidate, key=lambda candidate: float(losses[candidate].mean()))
    for candidate in Candidate:
        difference = losses[candidate] - losses[best]
        if difference.mean() <= difference.std(ddof=1) / np.sqrt(len(difference)):
            return candidate
    return best


def fit_chosen(choice: Choice, columns: ModelColumns, label: Labels, *, seed: int) -> TableModel:
    """Fit what was chosen on all training rows; of LightGBM, boosters from several seeds."""
    seeds = range(seed, seed + SEEDS) if choice.candidate is Candidate.LIGHTGBM else (seed,)
    return TableModel(
        estimators=tuple(
            _fit(choice.candidate, columns, label, trees=choice.trees, seed=each) for each in seeds
        ),
        calibration=choice.calibration,
    )


def _fit(candidate: Candidate, columns: ModelColumns, label: Labels, *, trees: int, seed: int) -> Estimator:
    match candidate:
        case Candidate.LOGISTIC:
            return fit_directed_logistic(columns.values, label, columns.directions)
        case Candidate.SCORECARD:
            # Of a feature set the scorecard reads each feature's name and direction, which ours have too.
            return fit_scorecard(columns.values, label, cast("FeatureSet", columns))
        case Candidate.LIGHTGBM:
            parameters = _tree_parameters(columns, seed)
            data = lightgbm.Dataset(columns.values, label, params=parameters)
            return BoostedTrees(booster=lightgbm.train(parameters, data, num_boost_round=trees))


def _fit_until_no_better(columns: ModelColumns, label: Labels, fold: Fold, seed: int) -> BoostedTrees:
    """Boosted trees on the fold's training rows, as many as serve its other rows best."""
    parameters = _tree_parameters(columns, seed)
    fitting = lightgbm.Dataset(columns.values[fold.training], label[fold.training], params=parameters)
    watching = lightgbm.Dataset(
        columns.values[fold.test], label[fold.test], reference=fitting, params=parameters
    )
    booster = lightgbm.train(
        parameters,
        fitting,
        num_boost_round=MOST_TREES,
        valid_sets=[watching],
        callbacks=[lightgbm.early_stopping(EARLY_STOPPING_ROUNDS, verbose=False)],
    )
    text = booster.model_to_string(num_iteration=booster.best_iteration)
    return BoostedTrees(booster=lightgbm.Booster(model_str=text))


def _tree_parameters(columns: ModelColumns, seed: int) -> dict[str, Any]:
    constraints = [CONSTRAINT_OF[direction] for direction in columns.directions]
    return {**TREE_PARAMETERS, "seed": seed, "monotone_constraints": constraints}


def _auc(label: Labels, score: Float64Array) -> float:
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 # slow to import

    return float(roc_auc_score(label, score))
