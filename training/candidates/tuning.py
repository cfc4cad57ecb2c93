"""Hyper-parameters by Optuna, within a budget of trials, on folds inside the training period only.

The first trial is what is usual, so a choice is never worse than that on the folds. Trials run one after
the other from a seeded sampler: the same data, seed and budget choose the same. A trial that falls behind
the median of those before it, fold by fold, is given up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from data_contracts.progress import Progress, no_progress
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from training.candidates.boosted_trees import PARAMETERS
from training.candidates.candidates import HyperParameters, fit_candidate
from training.candidates.scorecard import ScorecardShape
from training.splits import FoldPlaces

STEP = "tune"
KINDS = ("lightgbm", "scorecard")
TRIALS_BEFORE_GIVING_UP = 5

Ranking = Callable[[NDArray[np.int8], Float64Array], float]
"""What is made as high as possible: label and probability, each of shape (n,), to one figure."""


@dataclass(frozen=True, kw_only=True)
class TuningFold:
    """Rows to fit and calibrate on, and later rows to be judged by.

    values, later_values: shape (n, n_features). calibration: shape (n,), picks rows of `values`.
    """

    values: Float64Array
    label: NDArray[np.int8]
    calibration: NDArray[np.bool_]
    later_values: Float64Array
    later_label: NDArray[np.int8]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What was chosen, and the mean figure over the folds of what is usual and of the choice, by kind."""

    chosen: HyperParameters
    usual_figure: dict[str, float]
    chosen_figure: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the facts of a training run."""
        return {
            kind: {"usual": self.usual_figure[kind], "chosen": self.chosen_figure[kind]} for kind in KINDS
        }


def tuning_folds(
    values: Float64Array, label: NDArray[np.int8], places: Sequence[FoldPlaces]
) -> tuple[TuningFold, ...]:
    """The folds with their rows; values of shape (n, n_features), label (n,)."""
    return tuple(
        TuningFold(
            values=values[fold.training],
            label=fold.label,
            calibration=fold.calibration,
            later_values=values[fold.later],
            later_label=label[fold.later],
        )
        for fold in places
    )


def tune(
    folds: Sequence[TuningFold],
    feature_set: FeatureSet,
    *,
    ranking: Ranking,
    trials: int,
    seed: int,
    progress: Progress = no_progress,
) -> Tuned:
    """Choose hyper-parameters of both candidates by `trials` trials each.

    folds: one or more. progress: is told each trial, first of the trees, then of the scorecard.
    """
    studies: dict[str, optuna.Study] = {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for place, kind in enumerate(KINDS):

        def objective(trial: optuna.Trial, kind: str = kind) -> float:
            chosen = _proposed(trial, kind)
            figures = []
            for number, fold in enumerate(folds):
                model = fit_candidate(
                    kind, fold.values, fold.label, fold.calibration, feature_set, seed, chosen
                )
                figures.append(ranking(fold.later_label, model.probability(fold.later_values)))
                trial.report(float(np.mean(figures)), number)
                if number + 1 < len(folds) and trial.should_prune():
                    raise optuna.TrialPruned
            return float(np.mean(figures))

        def tell(_: optuna.Study, trial: optuna.trial.FrozenTrial, before: int = place * trials) -> None:
            progress(STEP, done=before + trial.number + 1, total=trials * len(KINDS))

        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=TRIALS_BEFORE_GIVING_UP),
        )
        study.enqueue_trial(_usual(kind))
        study.optimize(objective, n_trials=trials, callbacks=[tell])
        studies[kind] = study
    card = studies["scorecard"].best_params
    return Tuned(
        chosen=HyperParameters(
            trees=MappingProxyType(studies["lightgbm"].best_params),
            scorecard=ScorecardShape(cuts_per_feature=card["cuts_per_feature"], penalty=card["penalty"]),
        ),
        usual_figure={kind: _value(study.trials[0]) for kind, study in studies.items()},
        chosen_figure={kind: study.best_value for kind, study in studies.items()},
    )


def _value(trial: optuna.trial.FrozenTrial) -> float:
    """The first trial is never given up, so it has a value."""
    if trial.value is None:
        raise ValueError(f"trial {trial.number} has no value")
    return trial.value


def _usual(kind: str) -> dict[str, Any]:
    if kind == "scorecard":
        usual = ScorecardShape()
        return {"cuts_per_feature": usual.cuts_per_feature, "penalty": usual.penalty}
    names = (
        "max_depth",
        "num_leaves",
        "min_data_in_leaf",
        "feature_fraction",
        "bagging_fraction",
        "lambda_l2",
    )
    return {name: PARAMETERS[name] for name in names}


def _proposed(trial: optuna.Trial, kind: str) -> HyperParameters:
    if kind == "scorecard":
        return HyperParameters(
            scorecard=ScorecardShape(
                cuts_per_feature=trial.suggest_int("cuts_per_feature", 3, 20),
                penalty=trial.suggest_float("penalty", 1.0, 500.0, log=True),
            )
        )
    return HyperParameters(
        trees={
            # Deeper trees cost every refusal at checkout: reasons take time with leaves times depth squared.
            "max_depth": trial.suggest_int("max_depth", 2, 6),
            "num_leaves": trial.suggest_int("num_leaves", 4, 24),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 10, 300, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
            "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
        }
    )


def tuned_lines(tuning: Mapping[str, Any] | None, figure: str) -> list[str]:
    """What tuning gained, for a person; `tuning` as in the facts of a run, None where nothing was tuned."""
    if tuning is None:
        return []
    gains = ", ".join(
        f"{kind} {figures['usual']:.4f} -> {figures['chosen']:.4f}" for kind, figures in tuning.items()
    )
    return [f"  tuned inside the training period, {figure}: {gains}"]
