"""Train the eligibility model: labels, features, two candidates on one split, the better one registered."""

import json
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.progress import Progress, no_progress
from features.decisions import LABELS_FILE
from features.feature_sets import INVOICE_ELIGIBILITY, FeatureSet
from features.instants import Float64Array
from features.offline import build_features
from training.boosted_trees import PARAMETERS
from training.candidates import fit_candidates, fit_without_directions
from training.errors import TrainingError
from training.evaluation import Evaluation, Interval, auc_difference, evaluate
from training.gates import Gate, gates
from training.labels import LABEL_HORIZON_DAYS, Labels, file_labels
from training.model_artifact import CalibratedModel, write_model
from training.model_card import model_card
from training.plots import write_plots
from training.registry import ModelRegistry, data_fingerprint, flat_metrics, iso_instant
from training.splits import out_of_time_split, random_calibration_slice, stratified_folds

PROTOCOL_FILE = "protocol.toml"
STEP = "train invoice-eligibility"


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What one training run came to.

    evaluations: figures on the test decisions by candidate. fold_auc: AUC of each fold by candidate,
        empty for a split by time.
    """

    model_name: str
    version: str
    run_id: str
    winner: str
    became_champion: bool
    evaluations: dict[str, Evaluation]
    fold_auc: dict[str, tuple[float, ...]]
    auc_difference: Interval
    direction_cost_auc: Interval
    gates: tuple[Gate, ...]
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """The result in a few lines for a person."""
        lines = [f"{self.model_name} version {self.version}: {self.winner}"]
        for name, evaluation in self.evaluations.items():
            lines.append(
                f"  {name:<10} AUC {evaluation.auc}  KS {evaluation.ks.value:.3f}  "
                f"Brier {evaluation.brier.value:.4f}  "
                f"calibration error {evaluation.calibration_error.value:.4f}"
            )
            if self.fold_auc:
                folds = np.array(self.fold_auc[name])
                lines.append(f"  {'':<10} AUC by fold: mean {folds.mean():.4f}, sd {folds.std():.4f}")
        lines.append(f"  lightgbm minus scorecard, paired: {self.auc_difference}")
        lines.append(f"  cost of the directions in AUC, paired: {self.direction_cost_auc}")
        lines += [
            f"  gate {gate.name}: {'passed' if gate.passed else 'FAILED'} ({gate.finding})"
            for gate in self.gates
        ]
        lines.append("  now champion" if self.became_champion else "  registered as a challenger")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class _Candidates:
    """Both candidates as they will be registered, and what they say of the test decisions."""

    models: dict[str, CalibratedModel]
    test_label: NDArray[np.int8]
    test_customer: NDArray[np.object_]
    test_probability: dict[str, Float64Array]
    unconstrained_probability: Float64Array
    fold_auc: dict[str, tuple[float, ...]]
    values: Float64Array
    label: NDArray[np.int8]
    facts: dict[str, Any]


def train(
    directory: Path,
    *,
    tracking_uri: str,
    artifact_root: Path,
    seed: int = 0,
    progress: Progress = no_progress,
) -> TrainingResult:
    """Train on a ledger folder and register the better candidate.

    A folder with labels of its own (labels.parquet, protocol.toml) is judged by stratified folds; any
    other by a split in time with a gap of the label horizon. The first version that passes every gate
    becomes `@champion`. Raises TrainingError where the data do not suffice.
    """
    feature_set = INVOICE_ELIGIBILITY
    if (directory / LABELS_FILE).exists():
        candidates = _by_folds(directory, feature_set, seed, progress)
    else:
        candidates = _by_time(directory, feature_set, seed, progress)
    progress(STEP, done=3, total=5)
    evaluations = {
        name: evaluate(candidates.test_label, probability, candidates.test_customer, seed=seed)
        for name, probability in candidates.test_probability.items()
    }
    paired: Callable[[Float64Array, Float64Array], Interval] = lambda one, other: auc_difference(  # noqa: E731 - three arguments stay the same
        candidates.test_label, one, other, candidates.test_customer, seed=seed
    )
    difference = paired(candidates.test_probability["lightgbm"], candidates.test_probability["scorecard"])
    direction_cost = paired(candidates.unconstrained_probability, candidates.test_probability["lightgbm"])
    # What cannot be told apart is decided for the model that a person can read.
    winner = "lightgbm" if difference.low > 0 else "scorecard"
    model = candidates.models[winner]
    judged = gates(model, feature_set, evaluations[winner], candidates.values, seed)
    progress(STEP, done=4, total=5)
    now = datetime.now(UTC)
    facts = {
        **candidates.facts,
        "data_fingerprint": data_fingerprint(directory),
        "trained_at": now.isoformat(timespec="seconds"),
        "seed": seed,
    }
    registered = None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_model(
            folder / "model",
            model,
            feature_set,
            typical=np.median(candidates.values[candidates.label == 0], axis=0),
            facts={**facts, "metrics": evaluations[winner].to_json()},
        )
        contributions = model.estimator.contributions(candidates.values[:5000])
        importance = dict(zip(feature_set.names, np.abs(contributions).mean(axis=0).tolist(), strict=True))
        write_plots(
            folder / "plots",
            candidates.test_label,
            candidates.test_probability,
            winner,
            evaluations[winner],
            importance,
        )
        (folder / "model_card.md").write_text(
            model_card(
                feature_set=feature_set,
                kind=winner,
                evaluations=evaluations,
                difference=difference,
                direction_cost=direction_cost,
                gates=judged,
                facts=facts,
            )
        )
        (folder / "evaluation.json").write_text(
            json.dumps({name: evaluation.to_json() for name, evaluation in evaluations.items()}, indent=1)
        )
        registered = ModelRegistry(tracking_uri, artifact_root).register(
            feature_set.name,
            folder,
            parameters={**PARAMETERS, "seed": seed, "features": len(feature_set.features)},
            metrics=flat_metrics({name: figures.to_json() for name, figures in evaluations.items()}),
            tags={
                "kind": winner,
                "feature_set_version": feature_set.version,
                "data_fingerprint": facts["data_fingerprint"],
                "trained_until": facts["trained_until"],
                "gates": "passed" if all(gate.passed for gate in judged) else "failed",
            },
            now_ms=time.time_ns() // 1_000_000,
            may_become_champion=all(gate.passed for gate in judged),
        )
    progress(STEP, done=5, total=5)
    return TrainingResult(
        model_name=feature_set.name,
        version=registered.version,
        run_id=registered.run_id,
        winner=winner,
        became_champion=registered.became_champion,
        evaluations=evaluations,
        fold_auc=candidates.fold_auc,
        auc_difference=difference,
        direction_cost_auc=direction_cost,
        gates=judged,
        facts=facts,
    )


def _by_time(directory: Path, feature_set: FeatureSet, seed: int, progress: Progress) -> _Candidates:
    progress(STEP, done=0, total=5)
    split = out_of_time_split(directory)
    progress(STEP, done=1, total=5)
    values = build_features(directory, split.training.decisions, feature_set, progress).values
    test_values = build_features(directory, split.test.decisions, feature_set, progress).values
    progress(STEP, done=2, total=5)
    label = split.training.label
    models = fit_candidates(values, label, split.calibration, feature_set, seed)
    free = fit_without_directions(values, label, split.calibration, feature_set, seed)
    return _Candidates(
        models=models,
        test_label=split.test.label,
        test_customer=split.test.decisions.customer_id,
        test_probability={name: model.probability(test_values) for name, model in models.items()},
        unconstrained_probability=free.probability(test_values),
        fold_auc={},
        values=values,
        label=label,
        facts={
            "label": f"not paid in full more than {LABEL_HORIZON_DAYS} days past due, paused days excluded",
            "split": "out of time; training sees only what was recorded before the test period",
            "test_starts": datetime.fromtimestamp(split.test_starts_ms / 1000, UTC).date().isoformat(),
            "trained_until": iso_instant(split.test_starts_ms),
            "training_decisions": len(split.training),
            "training_bads": int(label.sum()),
            "test_decisions": len(split.test),
            "test_bads": int(split.test.label.sum()),
        },
    )


def _by_folds(directory: Path, feature_set: FeatureSet, seed: int, progress: Progress) -> _Candidates:
    protocol = _protocol(directory)
    labels: Labels = file_labels(directory)
    values = build_features(directory, labels.decisions, feature_set, progress).values
    label = labels.label
    probability = {name: np.empty(len(label)) for name in ("lightgbm", "scorecard", "unconstrained")}
    fold_auc: dict[str, list[float]] = {"lightgbm": [], "scorecard": []}
    folds = stratified_folds(label, protocol.folds, protocol.seed)
    for number, (training, test) in enumerate(folds):
        slice_ = random_calibration_slice(label[training], seed)
        fitted = fit_candidates(values[training], label[training], slice_, feature_set, seed)
        fitted["unconstrained"] = fit_without_directions(
            values[training], label[training], slice_, feature_set, seed
        )
        for name, model in fitted.items():
            probability[name][test] = model.probability(values[test])
        for name, aucs in fold_auc.items():
            one_each = labels.decisions.decision_id[test]
            aucs.append(evaluate(label[test], probability[name][test], one_each, rounds=2).auc.value)
        progress("cross-validation", done=number + 1, total=len(folds))
    models = fit_candidates(values, label, random_calibration_slice(label, seed), feature_set, seed)
    unconstrained = probability.pop("unconstrained")
    return _Candidates(
        models=models,
        test_label=label,
        test_customer=labels.decisions.customer_id,
        test_probability=probability,
        unconstrained_probability=unconstrained,
        fold_auc={name: tuple(aucs) for name, aucs in fold_auc.items()},
        values=values,
        label=label,
        facts={
            "label": protocol.label_description,
            "split": f"{protocol.folds} stratified folds, each tested by models that did not see it; "
            "the registered model saw all",
            "trained_until": iso_instant(int(labels.known_at_ms.max()) + 1),
            "decisions": len(labels),
            "bads": int(label.sum()),
        },
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
    document = tomllib.loads(file.read_text())
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
