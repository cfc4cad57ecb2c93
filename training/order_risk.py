"""`bonitas train order-risk`: labels that arrive late, two candidates, the better one registered.

Purpose fraud: own features, model and thresholds. What counts is how much fraud is among the orders that
a team can look at, so candidates are compared by average precision, and the figures at the team's daily
capacity stand beside it; AUC alone would not tell.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from data_contracts.currencies import major_units
from data_contracts.instants import iso_instant, moment
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import read_table
from data_contracts.progress import Progress, no_progress
from features.decisions import Decisions
from features.feature_sets import LINKED_CUSTOMERS_MAXIMUM, ORDER_RISK
from features.instants import Float64Array, Int64Array
from features.offline import build_features
from features.order_risk_offline import approval_decisions, change_decisions
from features.settlement_terms import USUAL_TERMS, SettlementTerms
from training.candidates.candidates import AS_USUAL, fit_candidate, fit_candidates
from training.candidates.model_artifact import CalibratedModel
from training.candidates.tuning import Tuned, tune, tuned_lines, tuning_folds
from training.capacity import CapacityFigures, at_daily_capacity
from training.errors import TrainingError
from training.evaluation import Evaluation, Interval, average_precision_difference, evaluate
from training.gates.gates import Gate, feature_directions_gate
from training.gates.leaks import LabelledFeatures, gates_without_rival
from training.labels import seen_until_ms
from training.order_risk_labels import (
    LABEL_DELAY_DAYS,
    OrderLabels,
    RiskSplit,
    delayed_split,
    fraud_known_at_ms,
    order_risk_labels,
)
from training.registry.registration import TrainingRequest, register_winner
from training.splits import time_ordered_folds
from training.validation.ablation import AblationData
from training.validation.evidence import ValidationEvidence, Wording
from training.validation.label_maturity import LabelledDecisions, labelled_decisions
from training.validation.model_card import order_risk_card
from training.validation.population_shift import training_rows
from training.validation.segment_attributes import segment_attributes

STEP = "train order-risk"
LOWEST_LIFT = 3.0
MEAN_PROBABILITY_FACTOR = 2.5
"""Wider than for credit: fraud comes in waves, and a quarter of a year may see twice as much as the next."""
DEFAULT_CAPACITY_PER_DAY = 5
WORDING = Wording(
    bad="confirmed as fraud",
    good="not fraud",
    ranking_figure="average_precision",
    refused_share=0.01,
    refused="flags",
)


@dataclass(frozen=True, kw_only=True)
class OrderRiskResult:
    """What one training run came to.

    evaluations: on the labelled test orders at approval. capacity: on all test orders, labelled or not.
    average_precision_difference: of lightgbm minus scorecard, paired.
    """

    model_name: str
    version: str
    run_id: str
    winner: str
    became_champion: bool
    evaluations: dict[str, Evaluation]
    capacity: dict[str, CapacityFigures]
    average_precision_difference: Interval
    gates: tuple[Gate, ...]
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """The result in a few lines for a person."""
        lines = [f"{self.model_name} version {self.version}: {self.winner}"]
        for name, evaluation in self.evaluations.items():
            at = self.capacity[name]
            saved, currency = at.saved_cents_per_day, str(self.facts["currency"])
            day, low, high = (
                f"{major_units(minor, currency):,.2f}" for minor in (saved.value, saved.low, saved.high)
            )
            lines += [
                f"  {name}",
                f"    average precision {evaluation.average_precision}, base rate {evaluation.bad_rate:.4f}",
                f"    recall at 1 % false positives {evaluation.recall_at_1pct_fpr}",
                f"    recall at 5 % false positives {evaluation.recall_at_5pct_fpr}",
                f"    with {at.orders_per_day} orders a day reviewed:",
                f"    precision {at.precision}, recall {at.recall}",
                f"    {currency} {day} a day saved, {at.saved_share.value:.0%} of what was taken",
                f"    (95 % interval {low} to {high})",
            ]
        lines += tuned_lines(self.facts["tuning"], "average precision")
        lines.append(
            f"  lightgbm minus scorecard in average precision, paired: {self.average_precision_difference}"
        )
        lines += [
            f"  gate {gate.name}: {'passed' if gate.passed else 'FAILED'} ({gate.finding})"
            for gate in self.gates
        ]
        lines.append("  now champion" if self.became_champion else "  registered as a challenger")
        return "\n".join(lines)


def train(
    directory: Path,
    *,
    tracking_uri: str,
    artifact_root: Path,
    seed: int = 0,
    as_of_ms: int | None = None,
    tuning_trials: int = 0,
    orders_per_day: int = DEFAULT_CAPACITY_PER_DAY,
    linked_customers_maximum: int = LINKED_CUSTOMERS_MAXIMUM,
    terms: SettlementTerms = USUAL_TERMS,
    progress: Progress = no_progress,
) -> OrderRiskResult:
    """Train on a ledger folder and register the better candidate.

    as_of_ms: only what was recorded before it is seen. tuning_trials: hyper-parameters are chosen by so
    many trials for each candidate, inside the training orders; 0 takes the usual ones. orders_per_day: how
    many orders the team can review a day. linked_customers_maximum: what more customers share links nobody.
    terms: by which an invoice of a label counts as paid. The
    first version that passes every gate becomes `@champion`.

    Raises TrainingError where the data do not suffice.
    """
    feature_set = ORDER_RISK.linking(linked_customers_maximum)
    request = TrainingRequest(
        directory=directory,
        tracking_uri=tracking_uri,
        artifact_root=artifact_root,
        seed=seed,
        as_of_ms=as_of_ms,
        tuning_trials=tuning_trials,
        terms=terms,
    )
    progress(STEP, done=0, total=5)
    split = delayed_split(directory, as_of_ms, terms)
    progress(STEP, done=1, total=5)
    training = _with_changes(directory, split)
    values = build_features(directory, training.decisions, feature_set, progress).values
    test_values = build_features(directory, split.test.decisions, feature_set, progress).values
    progress(STEP, done=2, total=5)
    calibration = _calibration_slice(split, training)
    if training.label[calibration].max() <= 0 or training.label[~calibration].max() <= 0:
        raise TrainingError("the training period has no confirmed fraud early or late in it")
    tuned = _tuned(request, training, values, progress) if tuning_trials else None
    chosen = tuned.chosen if tuned else AS_USUAL
    models = fit_candidates(values, training.label, calibration, feature_set, seed, chosen)
    progress(STEP, done=3, total=5)
    known = split.test.is_known
    amount: Int64Array = test_values[:, feature_set.names.index("order_amount_cents_last")].astype(np.int64)
    probability = {name: model.probability(test_values) for name, model in models.items()}
    evaluations = {
        name: evaluate(
            split.test.label[known], given[known], split.test.decisions.customer_id[known], seed=seed
        )
        for name, given in probability.items()
    }
    capacity = {
        name: at_daily_capacity(
            split.test.label,
            given,
            amount,
            split.test.decisions.as_of_ms,
            orders_per_day=orders_per_day,
            seed=seed,
        )
        for name, given in probability.items()
    }
    difference = average_precision_difference(
        split.test.label[known],
        probability["lightgbm"][known],
        probability["scorecard"][known],
        split.test.decisions.customer_id[known],
        seed=seed,
    )
    # What cannot be told apart is decided for the model that a person can read.
    winner = "lightgbm" if difference.low > 0 else "scorecard"
    model = models[winner]
    labelled_test = split.test.where(known)
    judged = (
        *_gates(model, evaluations[winner], test_values, seed),
        *gates_without_rival(
            feature_set,
            feature_set.names,
            LabelledFeatures(
                directory=directory,
                decisions=labelled_test.decisions,
                label=labelled_test.label,
                values=test_values[known],
            ),
            model_auc=evaluations[winner].auc.value,
            seed=seed,
        ),
    )
    progress(STEP, done=4, total=5)
    facts: dict[str, Any] = {
        "label": "confirmed fraud; orders cleared or paid in full are not, all others have no label",
        "split": f"out of time, with a gap of {LABEL_DELAY_DAYS} days in which labels arrive",
        "test_starts": moment(split.test_starts_ms).date().isoformat(),
        "trained_until": iso_instant(split.test_starts_ms),
        "training_screenings": len(training),
        "training_frauds": int((training.label == 1).sum()),
        "test_orders": len(split.test),
        "test_orders_labelled": int(known.sum()),
        "test_frauds": int((split.test.label == 1).sum()),
        "currency": _currency(directory),
        "tuning": tuned.to_json() if tuned else None,
        **request.facts(),
    }
    card = order_risk_card(
        feature_set=feature_set,
        kind=winner,
        evaluations=evaluations,
        capacity=capacity[winner],
        gates=judged,
        facts=facts,
    )
    at_approval = len(split.training)
    evidence = ValidationEvidence(
        feature_set=feature_set,
        model=model,
        wording=WORDING,
        card=card,
        facts=facts,
        gates=judged,
        evaluations=evaluations,
        test=labelled_test.decisions,
        test_label=labelled_test.label,
        test_values=test_values[known],
        test_probability={name: given[known] for name, given in probability.items()},
        attributes=segment_attributes(directory, labelled_test.decisions),
        # The test orders are judged at approval, so changes of delivery are left out on this side too.
        training=training_rows(model, values[:at_approval], split.training.decisions),
        labelled=_labelled(directory, split, as_of_ms),
        ablation=AblationData(
            values=values,
            label=training.label,
            calibration=calibration,
            customer_id=training.decisions.customer_id,
            test_values=test_values[known],
            test_label=labelled_test.label,
            test_customer_id=labelled_test.decisions.customer_id,
        ),
        fit=lambda rows, label, late, features: fit_candidate(
            winner, rows, label, late, features, seed, chosen
        ),
        difference=average_precision_difference,
        seed=seed,
    )

    figures = {name: {**evaluations[name].to_json(), **capacity[name].to_json()} for name in evaluations}
    registered = register_winner(
        request,
        evidence,
        values=values,
        label=training.label,
        chosen=chosen,
        figures=figures,
        progress=progress,
    )
    progress(STEP, done=5, total=5)
    return OrderRiskResult(
        model_name=feature_set.name,
        version=registered.version,
        run_id=registered.run_id,
        winner=winner,
        became_champion=registered.became_champion,
        evaluations=evaluations,
        capacity=capacity,
        average_precision_difference=difference,
        gates=judged,
        facts=facts,
    )


def _tuned(
    request: TrainingRequest, training: OrderLabels, values: Float64Array, progress: Progress
) -> Tuned:
    places = time_ordered_folds(
        training.decisions,
        training.label,
        lambda at_ms: order_risk_labels(request.directory, at_ms, request.terms).by_decision(),
    )
    return tune(
        tuning_folds(values, training.label, places),
        ORDER_RISK,
        ranking=lambda label, probability: float(average_precision_score(label, probability)),
        trials=request.tuning_trials,
        seed=request.seed,
        progress=progress,
    )


def _labelled(directory: Path, split: RiskSplit, as_of_ms: int | None) -> LabelledDecisions:
    """All orders with the labels of those that are old enough to have one."""
    cut_off_ms = seen_until_ms(directory, as_of_ms)
    decisions = approval_decisions(directory)
    labelled = split.everything.where(split.everything.is_known)
    found_at = fraud_known_at_ms(directory, cut_off_ms)
    known_at = [found_at.get(order_id, 0) for order_id in labelled.decisions.decision_id.tolist()]
    return labelled_decisions(
        decisions.where(decisions.as_of_ms < cut_off_ms),
        labelled.decisions,
        labelled.label,
        np.array(known_at, dtype=np.int64),
    )


def _currency(directory: Path) -> str:
    """The currency of the orders' amounts; all of them, where a book has several."""
    return ", ".join(sorted(pc.unique(read_table(directory, ORDERS, ["currency"])["currency"]).to_pylist()))


def _calibration_slice(split: RiskSplit, training: OrderLabels) -> NDArray[np.bool_]:
    """The screenings of the orders that were approved latest; a change goes with its order."""
    late = set(split.training.decisions.decision_id[split.calibration].tolist())
    return np.array([order_id in late for order_id in training.decisions.decision_id.tolist()], dtype=bool)


def _with_changes(directory: Path, split: RiskSplit) -> OrderLabels:
    """The training orders at approval, and once more at each change of their delivery.

    An order is screened again when its delivery changes; a model that never saw that could not tell.
    """
    label_of = split.training.by_decision()
    changes = change_decisions(directory)
    wanted = np.array(
        [
            order_id in label_of and as_of_ms < split.test_starts_ms
            for order_id, as_of_ms in zip(
                changes.decision_id.tolist(), changes.as_of_ms.tolist(), strict=True
            )
        ],
        dtype=bool,
    )
    changes = changes.where(wanted)
    first = split.training
    return OrderLabels(
        decisions=Decisions(
            decision_id=np.concatenate([first.decisions.decision_id, changes.decision_id]),
            customer_id=np.concatenate([first.decisions.customer_id, changes.customer_id]),
            as_of_ms=np.concatenate([first.decisions.as_of_ms, changes.as_of_ms]),
        ),
        label=np.concatenate(
            [first.label, np.array([label_of[name] for name in changes.decision_id.tolist()], dtype=np.int8)]
        ),
    )


def _gates(
    model: CalibratedModel, evaluation: Evaluation, values: Float64Array, seed: int
) -> tuple[Gate, ...]:
    factor = evaluation.mean_probability / evaluation.bad_rate
    lift = evaluation.average_precision.low / evaluation.bad_rate
    return (
        Gate(
            name="ranking",
            passed=lift >= LOWEST_LIFT,
            finding=f"average precision {evaluation.average_precision} is at least {lift:.1f} times the base "
            f"rate, {LOWEST_LIFT:.0f} are needed",
        ),
        Gate(
            name="calibration",
            passed=1 / MEAN_PROBABILITY_FACTOR <= factor <= MEAN_PROBABILITY_FACTOR,
            finding=f"mean probability is {factor:.2f} times the rate of fraud",
        ),
        feature_directions_gate(model, ORDER_RISK, values, seed=seed),
    )
