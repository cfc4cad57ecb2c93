"""The eligibility model as a task: is an order paid in full within 60 days after its invoice was due?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from data_contracts.instants import iso_instant, moment
from evidence.intervals import Interval
from features.decisions import Decisions, order_decisions
from features.feature_sets import INVOICE_ELIGIBILITY
from training.candidates.tuning import tuned_lines
from training.evaluation import CUT_OFF_SHARE, auc_difference
from training.gates.direction_probes import direction_probes
from training.gates.gates import MEAN_PROBABILITY_FACTOR, Gate, directions_gate, figure_gates
from training.labels import LABEL_HORIZON_DAYS, order_labels
from training.splits import out_of_time_split
from training.training_task import (
    DirectionEvidence,
    JudgedCandidates,
    Ranking,
    TimeSplit,
    TrainingRequest,
    TrainingResult,
    TrainingTask,
)
from training.validation.evidence import Wording
from training.validation.label_maturity import labelled_decisions
from training.validation.model_card import ModelCard, eligibility_card


@dataclass(frozen=True, kw_only=True)
class EligibilityResult(TrainingResult):
    """What one training run came to. fold_auc: AUC of each fold by candidate, empty for a split by time."""

    fold_auc: dict[str, tuple[float, ...]]
    auc_difference: Interval
    direction_cost_auc: Interval

    def candidate_lines(self) -> list[str]:
        """What a person reads of each candidate, and of the two compared."""
        lines = []
        for name, evaluation in self.evaluations.items():
            lines.append(
                f"  {name:<10} AUC {evaluation.auc}  KS {evaluation.ks.value:.3f}  "
                f"Brier {evaluation.brier.value:.4f}  "
                f"calibration error {evaluation.calibration_error.value:.4f}"
            )
            if self.fold_auc:
                folds = np.array(self.fold_auc[name])
                lines.append(f"  {'':<10} AUC by fold: mean {folds.mean():.4f}, sd {folds.std():.4f}")
        return [
            *lines,
            *tuned_lines(self.facts["tuning"], "AUC"),
            f"  lightgbm minus scorecard, paired: {self.auc_difference}",
            f"  cost of the directions in AUC, paired: {self.direction_cost_auc}",
        ]


def _split(request: TrainingRequest) -> TimeSplit:
    directory, terms = request.directory, request.terms
    split = out_of_time_split(directory, request.as_of_ms, terms)
    label = split.training.label
    return TimeSplit(
        test_starts_ms=split.test_starts_ms,
        training=split.training.decisions,
        label=label,
        calibration=split.calibration,
        first_looks=len(label),
        test=split.test.decisions,
        test_label=split.test.label,
        labelled=labelled_decisions(
            _seen(order_decisions(directory), request.as_of_ms),
            split.matured.decisions,
            split.matured.label,
            split.matured.known_at_ms,
        ),
        labels_known_at=lambda at_ms: order_labels(directory, at_ms, terms).by_decision(),
        facts={
            "label": f"not paid in full more than {LABEL_HORIZON_DAYS} days past due, paused days excluded",
            "split": "out of time; training sees only what was recorded before the test period",
            "test_starts": moment(split.test_starts_ms).date().isoformat(),
            "trained_until": iso_instant(split.test_starts_ms),
            "training_decisions": len(split.training),
            "training_bads": int(label.sum()),
            "test_decisions": len(split.test),
            "test_bads": int(split.test.label.sum()),
        },
    )


def _seen(decisions: Decisions, as_of_ms: int | None) -> Decisions:
    return decisions if as_of_ms is None else decisions.where(decisions.as_of_ms < as_of_ms)


def _directions(evidence: DirectionEvidence) -> Gate:
    """On whole rows of ledgers: one more open invoice, a later payment, an inquiry."""
    return directions_gate(
        direction_probes(
            evidence.directory,
            evidence.decisions,
            evidence.feature_set,
            evidence.probability,
            seed=evidence.seed,
        )
    )


def _cost_of_directions(judged: JudgedCandidates) -> Interval:
    if judged.direction_cost is None:
        raise ValueError("the cost of the directions belongs to the figures of this task")
    return judged.direction_cost


def _card(judged: JudgedCandidates) -> ModelCard:
    return eligibility_card(
        feature_set=judged.feature_set,
        kind=judged.winner,
        evaluations=judged.evaluations,
        difference=judged.difference,
        direction_cost=_cost_of_directions(judged),
        gates=judged.gates,
        facts=judged.facts,
    )


def _result(judged: JudgedCandidates, shared: Mapping[str, Any]) -> EligibilityResult:
    return EligibilityResult(
        **shared,
        fold_auc=judged.fold_auc,
        auc_difference=judged.difference,
        direction_cost_auc=_cost_of_directions(judged),
    )


INVOICE_ELIGIBILITY_TASK = TrainingTask(
    name=INVOICE_ELIGIBILITY.name,
    wording=Wording(
        bad="not paid", good="paid", ranking_figure="auc", refused_share=CUT_OFF_SHARE, refused="refuses"
    ),
    ranking=Ranking(
        figure="auc",
        word="AUC",
        of=lambda label, probability: float(roc_auc_score(label, probability)),
        difference=auc_difference,
    ),
    labels=order_labels,
    takes_given_labels=True,
    decisions=order_decisions,
    split=_split,
    says_cost_of_directions=True,
    figure_gates=figure_gates,
    directions=_directions,
    mean_probability_factor=MEAN_PROBABILITY_FACTOR,
    capacity=None,
    card=_card,
    result=_result,
)
