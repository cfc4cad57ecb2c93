"""Train the eligibility model: labels, features, two candidates on one split, the better one registered."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from data_contracts.edited_text import read_edited_text
from data_contracts.instants import iso_instant, moment
from data_contracts.ledger_folder import LABELS_FILE, PROTOCOL_FILE
from data_contracts.progress import Progress, no_progress
from features.decisions import Decisions, order_decisions
from features.feature_sets import INVOICE_ELIGIBILITY, FeatureSet
from features.instants import Float64Array
from features.offline import build_features
from features.settlement_terms import USUAL_TERMS, SettlementTerms
from training.candidates.candidates import (
    AS_USUAL,
    HyperParameters,
    fit_candidate,
    fit_candidates,
    fit_without_directions,
)
from training.candidates.model_artifact import CalibratedModel
from training.candidates.tuning import Tuned, tune, tuned_lines, tuning_folds
from training.errors import TrainingError
from training.evaluation import CUT_OFF_SHARE, Evaluation, Interval, auc_difference, evaluate
from training.gates.direction_probes import direction_probes
from training.gates.gates import Gate, directions_gate, gates
from training.gates.leaks import LabelledFeatures, gates_without_rival
from training.labels import LABEL_HORIZON_DAYS, Labels, file_labels, order_labels
from training.registry.registration import TrainingRequest, register_winner
from training.splits import (
    FoldPlaces,
    out_of_time_split,
    random_calibration_slice,
    stratified_fold_places,
    stratified_folds,
    time_ordered_folds,
)
from training.validation.ablation import AblationData
from training.validation.evidence import ValidationEvidence, Wording
from training.validation.label_maturity import LabelledDecisions, labelled_decisions
from training.validation.model_card import eligibility_card
from training.validation.population_shift import training_rows
from training.validation.segment_attributes import segment_attributes

STEP = "train invoice-eligibility"
WORDING = Wording(
    bad="not paid", good="paid", ranking_figure="auc", refused_share=CUT_OFF_SHARE, refused="refuses"
)


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
        lines += tuned_lines(self.facts["tuning"], "AUC")
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
    """Both candidates as they will be registered, and what they say of the test decisions.

    values, label: what they were fitted on; training: the decisions of those, None where they are also the
    test decisions. ablation: rows of one split, to fit without a group of features again.
    """

    models: dict[str, CalibratedModel]
    chosen: HyperParameters
    test: Decisions
    test_label: NDArray[np.int8]
    test_values: Float64Array
    test_probability: dict[str, Float64Array]
    unconstrained_probability: Float64Array
    fold_auc: dict[str, tuple[float, ...]]
    values: Float64Array
    label: NDArray[np.int8]
    training: Decisions | None
    labelled: LabelledDecisions
    ablation: AblationData
    facts: dict[str, Any]


def train(
    directory: Path,
    *,
    tracking_uri: str,
    artifact_root: Path,
    seed: int = 0,
    as_of_ms: int | None = None,
    tuning_trials: int = 0,
    terms: SettlementTerms = USUAL_TERMS,
    progress: Progress = no_progress,
) -> TrainingResult:
    """Train on a ledger folder and register the better candidate.

    A folder with labels of its own (labels.parquet, protocol.toml) is judged by stratified folds; any
    other by a split in time with a gap of the label horizon. as_of_ms: only what was recorded before it
    is seen. tuning_trials: hyper-parameters are chosen by so many trials for each candidate, inside the
    training decisions; 0 takes the usual ones. terms: when an invoice counts as paid and as late, for
    features and labels: the policy's under which the model is to decide. The first version that passes
    every gate becomes `@champion`. Raises TrainingError where the data do not suffice.
    """
    feature_set = INVOICE_ELIGIBILITY.under(terms)
    request = TrainingRequest(
        directory=directory,
        tracking_uri=tracking_uri,
        artifact_root=artifact_root,
        seed=seed,
        as_of_ms=as_of_ms,
        tuning_trials=tuning_trials,
        terms=terms,
    )
    if (directory / LABELS_FILE).exists():
        candidates = _by_folds(request, feature_set, progress)
    else:
        candidates = _by_time(request, feature_set, progress)
    progress(STEP, done=3, total=5)
    evaluations = {
        name: evaluate(candidates.test_label, probability, candidates.test.customer_id, seed=seed)
        for name, probability in candidates.test_probability.items()
    }
    paired: Callable[[Float64Array, Float64Array], Interval] = lambda one, other: auc_difference(  # noqa: E731 - three arguments stay the same
        candidates.test_label, one, other, candidates.test.customer_id, seed=seed
    )
    difference = paired(candidates.test_probability["lightgbm"], candidates.test_probability["scorecard"])
    direction_cost = paired(candidates.unconstrained_probability, candidates.test_probability["lightgbm"])
    # What cannot be told apart is decided for the model that a person can read.
    winner = "lightgbm" if difference.low > 0 else "scorecard"
    model = candidates.models[winner]
    judged = (
        *gates(
            evaluations[winner],
            directions_gate(
                direction_probes(directory, candidates.test, feature_set, model.probability, seed=seed)
            ),
        ),
        *gates_without_rival(
            feature_set,
            feature_set.names,
            LabelledFeatures(
                directory=directory,
                decisions=candidates.test,
                label=candidates.test_label,
                values=candidates.test_values,
            ),
            model_auc=evaluations[winner].auc.value,
            seed=seed,
        ),
    )
    progress(STEP, done=4, total=5)
    facts = {**candidates.facts, **request.facts()}

    card = eligibility_card(
        feature_set=feature_set,
        kind=winner,
        evaluations=evaluations,
        difference=difference,
        direction_cost=direction_cost,
        gates=judged,
        facts=facts,
    )
    evidence = ValidationEvidence(
        feature_set=feature_set,
        model=model,
        wording=WORDING,
        card=card,
        facts=facts,
        gates=judged,
        evaluations=evaluations,
        test=candidates.test,
        test_label=candidates.test_label,
        test_values=candidates.test_values,
        test_probability=candidates.test_probability,
        attributes=segment_attributes(directory, candidates.test),
        training=None
        if candidates.training is None
        else training_rows(model, candidates.values, candidates.training),
        labelled=candidates.labelled,
        ablation=candidates.ablation,
        fit=lambda values, label, calibration, features: fit_candidate(
            winner, values, label, calibration, features, seed, candidates.chosen
        ),
        difference=auc_difference,
        seed=seed,
    )

    registered = register_winner(
        request,
        evidence,
        values=candidates.values,
        label=candidates.label,
        chosen=candidates.chosen,
        figures={name: evaluation.to_json() for name, evaluation in evaluations.items()},
        progress=progress,
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


def _by_time(request: TrainingRequest, feature_set: FeatureSet, progress: Progress) -> _Candidates:
    progress(STEP, done=0, total=5)
    directory, seed = request.directory, request.seed
    split = out_of_time_split(directory, request.as_of_ms, request.terms)
    progress(STEP, done=1, total=5)
    decisions = split.training.decisions
    values = build_features(directory, decisions, feature_set, progress).values
    test_values = build_features(directory, split.test.decisions, feature_set, progress).values
    progress(STEP, done=2, total=5)
    label = split.training.label
    tuned = None
    if request.tuning_trials:
        places = time_ordered_folds(
            decisions, label, lambda at_ms: order_labels(directory, at_ms, request.terms).by_decision()
        )
        tuned = _tuned(request, feature_set, values, label, places, progress)
    chosen = tuned.chosen if tuned else AS_USUAL
    models = fit_candidates(values, label, split.calibration, feature_set, seed, chosen)
    free = fit_without_directions(values, label, split.calibration, feature_set, seed, chosen)
    return _Candidates(
        models=models,
        chosen=chosen,
        test=split.test.decisions,
        test_label=split.test.label,
        test_values=test_values,
        test_probability={name: model.probability(test_values) for name, model in models.items()},
        unconstrained_probability=free.probability(test_values),
        fold_auc={},
        values=values,
        label=label,
        training=decisions,
        labelled=labelled_decisions(
            _seen(order_decisions(directory), request.as_of_ms),
            split.matured.decisions,
            split.matured.label,
            split.matured.known_at_ms,
        ),
        ablation=AblationData(
            values=values,
            label=label,
            calibration=split.calibration,
            customer_id=decisions.customer_id,
            test_values=test_values,
            test_label=split.test.label,
            test_customer_id=split.test.decisions.customer_id,
        ),
        facts={
            "label": f"not paid in full more than {LABEL_HORIZON_DAYS} days past due, paused days excluded",
            "split": "out of time; training sees only what was recorded before the test period",
            "test_starts": moment(split.test_starts_ms).date().isoformat(),
            "trained_until": iso_instant(split.test_starts_ms),
            "training_decisions": len(split.training),
            "training_bads": int(label.sum()),
            "test_decisions": len(split.test),
            "test_bads": int(split.test.label.sum()),
            "tuning": tuned.to_json() if tuned else None,
        },
    )


def _seen(decisions: Decisions, as_of_ms: int | None) -> Decisions:
    return decisions if as_of_ms is None else decisions.where(decisions.as_of_ms < as_of_ms)


def _tuned(
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
        ranking=lambda later_label, probability: float(roc_auc_score(later_label, probability)),
        trials=request.tuning_trials,
        seed=request.seed,
        progress=progress,
    )


def _by_folds(request: TrainingRequest, feature_set: FeatureSet, progress: Progress) -> _Candidates:
    directory, seed = request.directory, request.seed
    protocol = _protocol(directory)
    labels: Labels = file_labels(directory)
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
        tuned = _tuned(request, feature_set, values[rows], label[rows], places, progress)
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
    return _Candidates(
        models=models,
        chosen=chosen,
        test=labels.decisions,
        test_label=label,
        test_values=values,
        test_probability=probability,
        unconstrained_probability=unconstrained,
        fold_auc={name: tuple(aucs) for name, aucs in fold_auc.items()},
        values=values,
        label=label,
        training=None,
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
