"""What became of each order in money: labels say whether it was paid, this how much was lost."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from features.instants import Int64Array
from features.settlement_terms import USUAL_TERMS, SettlementTerms
from training.labels import UNLABELLED, invoices_by_order, order_labels, standing_table


@dataclass(frozen=True, kw_only=True)
class RealisedOutcomes:
    """The orders of a ledger folder that were invoiced or found to be fraud. All shapes (n,).

    label: 1 not paid, 0 paid, -1 where the label of the eligibility model has no value.
    owed_cents: total of the invoices after credit notes, 0 where everything was taken back.
    lost_cents: of an order that was not paid, what was still owed at the label's horizon; else 0.
    """

    order_id: NDArray[np.object_]
    label: NDArray[np.int8]
    is_fraud: NDArray[np.bool_]
    is_invoiced: NDArray[np.bool_]
    owed_cents: Int64Array
    lost_cents: Int64Array


def realised_outcomes(
    directory: Path, cut_off_ms: int, terms: SettlementTerms = USUAL_TERMS
) -> RealisedOutcomes:
    """The outcomes of the orders of a ledger folder as they were known at the cut-off.

    Raises NoDecisionsError if the folder holds no orders.
    """
    invoices = invoices_by_order(directory, cut_off_ms, terms)
    label_of = order_labels(directory, cut_off_ms, terms).by_decision()
    findings = standing_table(directory, ORDER_OUTCOMES, ["order_id", "kind"], cut_off_ms)
    fraud = {
        order_id
        for order_id, kind in zip(findings["order_id"].to_pylist(), findings["kind"].to_pylist(), strict=True)
        if kind in FRAUD_OUTCOMES
    }
    order_ids = sorted({*invoices, *fraud})
    rows = []
    for order_id in order_ids:
        own = invoices.get(order_id, [])
        label = label_of.get(order_id, UNLABELLED)
        owed = sum(invoice.state().net_amount_cents for invoice in own)
        lost = sum(invoice.owed_at_horizon_cents() for invoice in own) if label == 1 else 0
        rows.append((label, order_id in fraud, bool(own), owed, lost))
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), 5)
    return RealisedOutcomes(
        order_id=np.array(order_ids, dtype=object),
        label=columns[:, 0].astype(np.int8),
        is_fraud=columns[:, 1].astype(bool),
        is_invoiced=columns[:, 2].astype(bool),
        owed_cents=columns[:, 3].copy(),
        lost_cents=columns[:, 4].copy(),
    )
