"""The candidates of a task, fitted on one side of its data and asked about the other."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_contracts.edited_text import read_edited_text
from data_contracts.instants import iso_instant
from data_contracts.ledger_folder import LABELS_FILE, PROTOCOL_FILE
from data_contracts.progress import Progress
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from features.offline import build_features
from training.candidates.candidates import (
    AS_USUAL,
    HyperParameters,
    fit_candidates,
    fit_without_directions,
)
from training.candidates.tuning import Tuned, tune, tuning_folds
from training.errors import TrainingError
from training.evaluation import evaluate
from training.labels import UNLABELLED, file_labels
from training.splits import (
    FoldPlaces,
    random_calibration_slice,
    stratified_fold_places,
    stratified_folds,
    time_ordered_folds,
)
from training.training_task import FittedCandidates, TrainingRequest, TrainingTask
from training.validation.ablation import AblationData
from training.validation.label_maturity import labelled_decisions


def fit(
    task: TrainingTask, request: TrainingRequest, feature_set: FeatureSet, progress: Progress
) -> FittedCandidates:
    """Fit the candidates of a task.

    A folder with labels of its own (labels.parquet, protocol.toml) is judged by stratified folds, where the
    task takes them; any other by a split in time. Raises TrainingError where the data do not suffice.
    """
    if task.takes_given_labels and (request.directory / LABELS_FILE).exists():
        return fit_by_folds(task, request, feature_set, progress)
    return fit_out_of_time(task, request, feature_set, progress)


def fit_out_of_time(
    task: TrainingTask, request: TrainingRequest, feature_set: FeatureSet, progress: Progress
) -> FittedCandidates:
    """Fit the candidates on the decisions before a day and ask them about those from that day on."""
    directory, seed, step = request.directory, request.seed, f"train {task.name}"
    progress(step, done=0, total=5)
    split = task.split(request)
    progress(step, done=1, total=5)
    values = build_features(directory, split.training, feature_set, progress).values
    test_values = build_features(directory, split.test, feature_set, progress).values
    progress(step, done=2, total=5)
    tuned = None
    if request.tuning_trials:
        places = time_ordered_folds(split.training, split.label, split.labels_known_at)
        tuned = _tuned(task, request, feature_set, values, split.label, places, progress)
    chosen = tuned.chosen if tuned else AS_USUAL
    training = (values, split.label, split.calibration, feature_set, seed, chosen)
    models = fit_candidates(*training)
    free = fit_without_directions(*training) if task.says_cost_of_directions else None
    is_labelled = split.test_label != UNLABELLED
    return FittedCandidates(
        models=models,
        chosen=chosen,
        values=values,
        label=split.label,
        first_looks=split.training.where(np.arange(len(split.label)) < split.first_looks),
        test=split.test,
        test_label=split.test_label,
        test_values=test_values,
        test_probability={name: model.probability(test_values) for name, model in models.items()},
        unconstrained_probability=None if free is None else free.probability(test_values),
        fold_auc={},
        labelled=split.labelled,
        ablation=AblationData(
            values=values,
            label=split.label,
            calibration=split.calibration,
            customer_id=split.training.customer_id,
            test_values=test_values[is_labelled],
            test_label=split.test_label[is_labelled],
            test_customer_id=split.test.customer_id[is_labelled],
        ),
        facts={**split.facts, "tuning": tuned.to_json() if tuned else None},
    )


def fit_by_folds(
    task: TrainingTask, request: TrainingRequest, feature_set: FeatureSet, progress: Progress
) -> FittedCandidates:
    """Fit the candidates on all labelled decisions, and judge them by folds that they did not see.

    Raises TrainingError for a protocol that says no such split.
    """
    directory, seed = request.directory, request.seed
    protocol = _protocol(directory)
    labels = file_labels(directory)
    if request.as_of_ms is not None:
        labels = labels.where(labels.known_at_ms < request.as_of_ms)
    values = build_features(directory, labels.decisions, feature_set, progress).values
    label = labels.label
    probability = {name: np.empty(len(label)) for name in ("lightgbm", "scorecard", "unconstrained")}
    fold_auc: dict[str, list[float]] = {"lightgbm": [], "scorecard": []}
    folds = stratified_folds(label, protocol.folds, protocol.seed)

    def chosen_for(rows: NDArray[np.intp]) -> tuple[HyperParameters, Tuned | None]:
        if not request.tuning_trials:
            return AS_USUAL, None
        places = stratified_fold_places(label[rows], seed)
        tuned = _tuned(task, request, feature_set, values[rows], label[rows], places, progress)
        return tuned.chosen, tuned

    for number, (training, test) in enumerate(folds):
        slice_ = random_calibration_slice(label[training], seed)
        rows, bad = values[training], label[training]
        chosen, _ = chosen_for(training)
        fitted = fit_candidates(rows, bad, slice_, feature_set, seed, chosen)
        fitted["unconstrained"] = fit_without_directions(rows, bad, slice_, feature_set, seed, chosen)
        for name, model in fitted.items():
            probability[name][test] = model.probability(values[test])
        for name, aucs in fold_auc.items():
            one_each = labels.decisions.decision_id[test]
            aucs.append(evaluate(label[test], probability[name][test], one_each, rounds=2).auc.value)
        progress("cross-validation", done=number + 1, total=len(folds))
    chosen, tuned = chosen_for(np.arange(len(label)))
    models = fit_candidates(values, label, random_calibration_slice(label, seed), feature_set, seed, chosen)
    unconstrained = probability.pop("unconstrained")
    first_training, first_test = folds[0]
    return FittedCandidates(
        models=models,
        chosen=chosen,
        values=values,
        label=label,
        first_looks=None,
        test=labels.decisions,
        test_label=label,
        test_values=values,
        test_probability=probability,
        unconstrained_probability=unconstrained,
        fold_auc={name: tuple(aucs) for name, aucs in fold_auc.items()},
        labelled=labelled_decisions(labels.decisions, labels.decisions, label, labels.known_at_ms),
        ablation=AblationData(
            values=values[first_training],
            label=label[first_training],
            calibration=random_calibration_slice(label[first_training], seed),
            customer_id=labels.decisions.customer_id[first_training],
            test_values=values[first_test],
            test_label=label[first_test],
            test_customer_id=labels.decisions.customer_id[first_test],
        ),
        facts={
            "label": protocol.label_description,
            "split": f"{protocol.folds} stratified folds, each tested by models that did not see it; "
            "the registered model saw all",
            "trained_until": iso_instant(int(labels.known_at_ms.max()) + 1),
            "decisions": len(labels),
            "bads": int(label.sum()),
            "tuning": tuned.to_json() if tuned else None,
        },
    )


def _tuned(
    task: TrainingTask,
    request: TrainingRequest,
    feature_set: FeatureSet,
    values: Float64Array,
    label: NDArray[np.int8],
    places: Sequence[FoldPlaces],
    progress: Progress,
) -> Tuned:
    return tune(
        tuning_folds(values, label, places),
        feature_set,
        ranking=task.ranking.of,
        trials=request.tuning_trials,
        seed=request.seed,
        progress=progress,
    )


@dataclass(frozen=True, kw_only=True)
class _Protocol:
    folds: int
    seed: int
    label_description: str


def _protocol(directory: Path) -> _Protocol:
    file = directory / PROTOCOL_FILE
    if not file.exists():
        raise TrainingError(
            f"{directory / LABELS_FILE} needs {PROTOCOL_FILE} beside it, which names the split"
        )
    try:
        document = tomllib.loads(read_edited_text(file))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise TrainingError(f"{file} is no TOML: {problem}") from problem
    if document.get("split") != "stratified_k_fold":
        raise TrainingError(f'{file}: split must be "stratified_k_fold"')
    for name in ("folds", "seed"):
        if not isinstance(document.get(name), int):
            raise TrainingError(f"{file}: {name} must be a whole number")
    return _Protocol(
        folds=document["folds"],
        seed=document["seed"],
        label_description=str(document.get("label_description", "as it came with the data")),
    )
