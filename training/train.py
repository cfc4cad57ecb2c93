"""One training run of any task: labels, features, two candidates on one split, the better one registered."""

from datetime import UTC, datetime

from data_contracts.progress import Progress, no_progress
from evidence.intervals import Interval
from training.candidates.candidates import fit_candidate
from training.evaluation import evaluate
from training.fitting import fit
from training.gates.leaks import LabelledFeatures, gates_without_rival
from training.registry.registration import register_winner
from training.training_task import (
    DirectionEvidence,
    FittedCandidates,
    JudgedCandidates,
    TrainingRequest,
    TrainingResult,
    TrainingTask,
)
from training.validation.evidence import ValidationEvidence
from training.validation.population_shift import training_rows
from training.validation.segment_attributes import segment_attributes


def train(
    task: TrainingTask, request: TrainingRequest, *, progress: Progress = no_progress
) -> TrainingResult:
    """Train on a ledger folder and register the better candidate.

    The first version that passes every gate becomes `@champion`. Raises TrainingError where the data do not
    suffice.
    """
    step, directory, seed = f"train {task.name}", request.directory, request.seed
    feature_set = task.feature_set(request.terms, request.linked_customers_maximum)
    fitted = fit(task, request, feature_set, progress)
    progress(step, done=3, total=5)
    known = fitted.is_labelled
    test, label, values = fitted.test.where(known), fitted.test_label[known], fitted.test_values[known]
    probability = {name: given[known] for name, given in fitted.test_probability.items()}
    evaluations = {
        name: evaluate(label, given, test.customer_id, seed=seed) for name, given in probability.items()
    }
    difference = task.ranking.difference(
        label, probability["lightgbm"], probability["scorecard"], test.customer_id, seed=seed
    )
    # What cannot be told apart is decided for the model that a person can read.
    winner = "lightgbm" if difference.low > 0 else "scorecard"
    model = fitted.models[winner]
    gates = (
        *task.figure_gates(evaluations[winner]),
        task.directions(
            DirectionEvidence(
                directory=directory,
                decisions=fitted.test,
                feature_set=feature_set,
                values=fitted.test_values,
                model=model,
                probability=model.probability,
                seed=seed,
            )
        ),
        *gates_without_rival(
            feature_set,
            feature_set.names,
            LabelledFeatures(directory=directory, decisions=test, label=label, values=values),
            model_auc=evaluations[winner].auc.value,
            seed=seed,
        ),
    )
    progress(step, done=4, total=5)
    judged = JudgedCandidates(
        feature_set=feature_set,
        winner=winner,
        evaluations=evaluations,
        fold_auc=dict(fitted.fold_auc),
        difference=difference,
        direction_cost=_direction_cost(task, fitted, seed),
        capacity=None if task.capacity is None else task.capacity(fitted, feature_set, request),
        gates=gates,
        facts={**fitted.facts, **request.facts(trained_at=datetime.now(UTC))},
    )
    evidence = ValidationEvidence(
        feature_set=feature_set,
        model=model,
        wording=task.wording,
        card=task.card(judged),
        facts=judged.facts,
        gates=gates,
        evaluations=evaluations,
        test=test,
        test_label=label,
        test_values=values,
        test_probability=probability,
        attributes=segment_attributes(directory, test),
        training=None
        if fitted.first_looks is None
        else training_rows(model, fitted.values[: len(fitted.first_looks)], fitted.first_looks),
        labelled=fitted.labelled,
        ablation=fitted.ablation,
        fit=lambda rows, bad, late, features: fit_candidate(
            winner, rows, bad, late, features, seed, fitted.chosen
        ),
        difference=task.ranking.difference,
        seed=seed,
    )
    capacity = judged.capacity or {}
    registered = register_winner(
        request,
        evidence,
        values=fitted.values,
        label=fitted.label,
        chosen=fitted.chosen,
        figures={
            name: {**evaluation.to_json(), **(capacity[name].to_json() if name in capacity else {})}
            for name, evaluation in evaluations.items()
        },
        progress=progress,
    )
    progress(step, done=5, total=5)
    return task.result(
        judged,
        {
            "model_name": task.name,
            "version": registered.version,
            "run_id": registered.run_id,
            "winner": winner,
            "became_champion": registered.became_champion,
            "evaluations": evaluations,
            "gates": gates,
            "facts": judged.facts,
        },
    )


def _direction_cost(task: TrainingTask, fitted: FittedCandidates, seed: int) -> Interval | None:
    if fitted.unconstrained_probability is None:
        return None
    known = fitted.is_labelled
    return task.ranking.difference(
        fitted.test_label[known],
        fitted.unconstrained_probability[known],
        fitted.test_probability["lightgbm"][known],
        fitted.test.customer_id[known],
        seed=seed,
    )
