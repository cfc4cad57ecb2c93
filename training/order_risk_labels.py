"""Labels of the order-risk model: was the order fraud?

| what the ledger says at the cut-off | label |
|---|---|
| fraud chargeback, identity misuse upheld, stop request upheld | 1 |
| cleared: review released, stop request or misuse claim rejected, dispute decided for the merchant | 0 |
| every invoice paid (up to what is immaterial), and the order older than the label delay | 0 |
| anything else | none: not yet known is not good |

A finding of fraud stands until it is corrected; of two decisions of one dispute, the later one stands.

Findings take weeks, so only orders older than the label delay are used, of either label: among younger
ones the quick findings would crowd. A label counts only from when it was recorded.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from features.decisions import Decisions
from features.order_risk_offline import approval_decisions
from features.settlement_terms import USUAL_TERMS, SettlementTerms
from features.supersession import milliseconds
from training.errors import TrainingError
from training.labels import UNLABELLED, Labels, seen_until_ms, standing_table, states_by_order

LABEL_DELAY_DAYS = 90
CLEARED_OUTCOMES = (
    "review_released",
    "stop_request_rejected",
    "identity_misuse_rejected",
    "dispute_decided_for_merchant",
)
TEST_SHARE = 0.3
CALIBRATION_SHARE = 0.25
MINIMUM_FRAUDS = 20


@dataclass(frozen=True, kw_only=True)
class OrderLabels:
    """Orders at approval. label: shape (n,), int8: 1 fraud, 0 not, -1 not known."""

    decisions: Decisions
    label: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.label)

    def by_decision(self) -> dict[str, int]:
        """The known labels by order."""
        known = self.where(self.is_known)
        return dict(zip(known.decisions.decision_id.tolist(), known.label.tolist(), strict=True))

    def where(self, mask: NDArray[np.bool_]) -> "OrderLabels":
        """The orders that `mask` picks."""
        return OrderLabels(decisions=self.decisions.where(mask), label=self.label[mask])

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Which orders have a label."""
        return np.asarray(self.label != UNLABELLED)


@dataclass(frozen=True, kw_only=True)
class RiskSplit:
    """Training orders, labelled as known when the test period began, and all orders of that period.

    calibration: the latest part of training, which sets the number of trees and the calibration.
    test: the unlabelled orders too, as the team meets them. everything: all orders that are old enough.
    """

    test_starts_ms: int
    training: OrderLabels
    calibration: NDArray[np.bool_]
    test: OrderLabels
    everything: OrderLabels


def order_risk_labels(directory: Path, cut_off_ms: int, terms: SettlementTerms = USUAL_TERMS) -> OrderLabels:
    """Every order older than the label delay, with its label as known at the cut-off."""
    decisions = approval_decisions(directory)
    old_enough = decisions.as_of_ms + LABEL_DELAY_DAYS * DAY_MS < cut_off_ms
    decisions = decisions.where(old_enough)
    outcomes = standing_table(directory, ORDER_OUTCOMES, ["order_id", "kind"], cut_off_ms)
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for order_id, kind in zip(outcomes["order_id"].to_pylist(), outcomes["kind"].to_pylist(), strict=True):
        kinds[order_id].add(kind)
    states = states_by_order(directory, cut_off_ms, terms)
    label = np.full(len(decisions), UNLABELLED, dtype=np.int8)
    for place, order_id in enumerate(decisions.decision_id.tolist()):
        found = kinds.get(order_id, set())
        if not found.isdisjoint(FRAUD_OUTCOMES):
            label[place] = 1
        elif not found.isdisjoint(CLEARED_OUTCOMES):
            label[place] = 0
        else:
            invoices = [state for state in states.get(order_id, ()) if not state.cancelled]
            if invoices and all(state.paid_at is not None for state in invoices):
                label[place] = 0
    return OrderLabels(decisions=decisions, label=label)


def known_order_risk_labels(directory: Path, cut_off_ms: int, terms: SettlementTerms = USUAL_TERMS) -> Labels:
    """The orders that have a label at the cut-off.

    Known since the end of the label delay: a finding counts only once the order is old enough for findings of
    either kind.
    """
    found = order_risk_labels(directory, cut_off_ms, terms)
    found = found.where(found.is_known)
    return Labels(
        decisions=found.decisions,
        label=found.label,
        known_at_ms=found.decisions.as_of_ms + LABEL_DELAY_DAYS * DAY_MS,
    )


def fraud_known_at_ms(directory: Path, cut_off_ms: int) -> dict[str, int]:
    """Since when each order with a finding of fraud that stands at the cut-off was known to be fraud."""
    outcomes = standing_table(directory, ORDER_OUTCOMES, ["order_id", "kind"], cut_off_ms)
    known_at: dict[str, int] = {}
    for order_id, kind, at in zip(
        outcomes["order_id"].to_pylist(),
        outcomes["kind"].to_pylist(),
        milliseconds(outcomes["recorded_at"]).tolist(),
        strict=True,
    ):
        if kind in FRAUD_OUTCOMES:
            known_at[order_id] = min(at, known_at.get(order_id, at))
    return known_at


def delayed_split(
    directory: Path, as_of_ms: int | None = None, terms: SettlementTerms = USUAL_TERMS
) -> RiskSplit:
    """Split a ledger folder by time, with a gap of the label delay before the test period.

    as_of_ms: what was recorded from then on is not seen; by default the whole folder is. terms: by which an
    invoice counts as paid.
    Raises TrainingError where either side has too little confirmed fraud.
    """
    everything = order_risk_labels(directory, seen_until_ms(directory, as_of_ms), terms)
    if len(everything) == 0:
        raise TrainingError(
            f"no order is older than {LABEL_DELAY_DAYS} days; simulate or export a longer period, or "
            "train as of a later day"
        )
    test_starts_ms = int(np.quantile(everything.decisions.as_of_ms, 1 - TEST_SHARE, method="lower"))
    test = everything.where(everything.decisions.as_of_ms >= test_starts_ms)
    training = order_risk_labels(directory, test_starts_ms, terms)
    training = training.where(training.is_known)
    for part, labels in (("training", training), ("test", test)):
        frauds = int((labels.label == 1).sum())
        if frauds < MINIMUM_FRAUDS:
            raise TrainingError(
                f"the {part} period has {frauds} confirmed frauds among {len(labels)} orders; at least "
                f"{MINIMUM_FRAUDS} are needed: use more customers or months"
            )
    starts = np.quantile(training.decisions.as_of_ms, 1 - CALIBRATION_SHARE, method="lower")
    return RiskSplit(
        test_starts_ms=test_starts_ms,
        training=training,
        calibration=training.decisions.as_of_ms >= starts,
        test=test,
        everything=everything,
    )
