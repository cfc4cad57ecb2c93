"""The order-risk model as a task: is an approved order fraud?

Purpose fraud: own features, model and thresholds. What counts is how much fraud is among the orders that
a team can look at, so candidates are compared by average precision, and the figures at the team's daily
capacity stand beside it; AUC alone would not tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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
from evidence.intervals import Interval
from features.decisions import Decisions
from features.feature_sets import ORDER_RISK, FeatureSet
from features.instants import Int64Array
from features.order_risk_offline import approval_decisions, change_decisions
from training.candidates.tuning import tuned_lines
from training.capacity import CapacityFigures, at_daily_capacity
from training.errors import TrainingError
from training.evaluation import Evaluation, average_precision_difference
from training.gates.gates import Gate, feature_directions_gate
from training.labels import seen_until_ms
from training.order_risk_labels import (
    LABEL_DELAY_DAYS,
    OrderLabels,
    RiskSplit,
    delayed_split,
    fraud_known_at_ms,
    known_order_risk_labels,
    order_risk_labels,
)
from training.training_task import (
    DirectionEvidence,
    FittedCandidates,
    JudgedCandidates,
    Ranking,
    TimeSplit,
    TrainingRequest,
    TrainingResult,
    TrainingTask,
)
from training.validation.evidence import Wording
from training.validation.label_maturity import LabelledDecisions, labelled_decisions
from training.validation.model_card import ModelCard, order_risk_card

LOWEST_LIFT = 3.0
MEAN_PROBABILITY_FACTOR = 2.5
"""Wider than for credit: fraud comes in waves, and a quarter of a year may see twice as much as the next."""


@dataclass(frozen=True, kw_only=True)
class OrderRiskResult(TrainingResult):
    """What one training run came to.

    evaluations: on the labelled test orders at approval. capacity: on all test orders, labelled or not.
    average_precision_difference: of lightgbm minus scorecard, paired.
    """

    capacity: dict[str, CapacityFigures]
    average_precision_difference: Interval

    def candidate_lines(self) -> list[str]:
        """What a person reads of each candidate, and of the two compared."""
        lines = []
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
        return [
            *lines,
            *tuned_lines(self.facts["tuning"], "average precision"),
            f"  lightgbm minus scorecard in average precision, paired: {self.average_precision_difference}",
        ]


def _split(request: TrainingRequest) -> TimeSplit:
    directory, terms = request.directory, request.terms
    split = delayed_split(directory, request.as_of_ms, terms)
    training = _with_changes(directory, split)
    calibration = _calibration_slice(split, training)
    if training.label[calibration].max() <= 0 or training.label[~calibration].max() <= 0:
        raise TrainingError("the training period has no confirmed fraud early or late in it")
    return TimeSplit(
        test_starts_ms=split.test_starts_ms,
        training=training.decisions,
        label=training.label,
        calibration=calibration,
        first_looks=len(split.training),
        test=split.test.decisions,
        test_label=split.test.label,
        labelled=_labelled(directory, split, request.as_of_ms),
        labels_known_at=lambda at_ms: order_risk_labels(directory, at_ms, terms).by_decision(),
        facts={
            "label": "confirmed fraud; orders cleared or paid in full are not, all others have no label",
            "split": f"out of time, with a gap of {LABEL_DELAY_DAYS} days in which labels arrive",
            "test_starts": moment(split.test_starts_ms).date().isoformat(),
            "trained_until": iso_instant(split.test_starts_ms),
            "training_screenings": len(training),
            "training_frauds": int((training.label == 1).sum()),
            "test_orders": len(split.test),
            "test_orders_labelled": int(split.test.is_known.sum()),
            "test_frauds": int((split.test.label == 1).sum()),
            "currency": _currency(directory),
        },
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


def _figure_gates(evaluation: Evaluation) -> tuple[Gate, ...]:
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
    )


def _directions(evidence: DirectionEvidence) -> Gate:
    """On single features: what an order shares with others is no history that one row could worsen."""
    return feature_directions_gate(evidence.model, evidence.feature_set, evidence.values, seed=evidence.seed)


def _capacity(
    fitted: FittedCandidates, feature_set: FeatureSet, request: TrainingRequest
) -> dict[str, CapacityFigures]:
    amount: Int64Array = fitted.test_values[:, feature_set.names.index("order_amount_cents_last")].astype(
        np.int64
    )
    return {
        name: at_daily_capacity(
            fitted.test_label,
            given,
            amount,
            fitted.test.as_of_ms,
            orders_per_day=request.orders_per_day,
            seed=request.seed,
        )
        for name, given in fitted.test_probability.items()
    }


def _capacity_of(judged: JudgedCandidates) -> dict[str, CapacityFigures]:
    if judged.capacity is None:
        raise ValueError("the figures at the team's capacity belong to this task")
    return judged.capacity


def _card(judged: JudgedCandidates) -> ModelCard:
    return order_risk_card(
        feature_set=judged.feature_set,
        kind=judged.winner,
        evaluations=judged.evaluations,
        capacity=_capacity_of(judged)[judged.winner],
        gates=judged.gates,
        facts=judged.facts,
    )


def _result(judged: JudgedCandidates, shared: Mapping[str, Any]) -> OrderRiskResult:
    return OrderRiskResult(
        **shared,
        capacity=_capacity_of(judged),
        average_precision_difference=judged.difference,
    )


ORDER_RISK_TASK = TrainingTask(
    name=ORDER_RISK.name,
    wording=Wording(
        bad="confirmed as fraud",
        good="not fraud",
        ranking_figure="average_precision",
        refused_share=0.01,
        refused="flags",
    ),
    ranking=Ranking(
        figure="average_precision",
        word="average precision",
        of=lambda label, probability: float(average_precision_score(label, probability)),
        difference=average_precision_difference,
    ),
    labels=known_order_risk_labels,
    takes_given_labels=False,
    decisions=approval_decisions,
    split=_split,
    says_cost_of_directions=False,
    figure_gates=_figure_gates,
    directions=_directions,
    mean_probability_factor=MEAN_PROBABILITY_FACTOR,
    capacity=_capacity,
    card=_card,
    result=_result,
)
