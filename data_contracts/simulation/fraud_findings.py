"""How and when the fraud of an order comes to light, and the outcomes of orders in the ledger."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, HOUR_MS
from data_contracts.simulation.book_calendar import Instants
from data_contracts.simulation.fraud_rings import TAKEN_OVER
from data_contracts.simulation.fulfilment import Fulfilment
from data_contracts.simulation.orders_book import Orders, order_ids
from data_contracts.simulation.people import customer_ids
from data_contracts.simulation.recording_delay import within_hours
from data_contracts.simulation.repayment import DISPUTE, NEVER, Flags, Positions, Repayment
from data_contracts.simulation.text_columns import chosen

STOPPED, MISUSE_UPHELD, FRAUD_CHARGEBACK, NEVER_FOUND = 0, 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class FraudFindings:
    """How the fraud of each order came to light; meaningless for honest orders.

    finding: STOPPED, MISUSE_UPHELD, FRAUD_CHARGEBACK or NEVER_FOUND.
    stopped_early: the merchant stopped the order before it was shipped.
    found: when it was decided.
    """

    finding: Positions
    stopped_early: Flags
    found: Instants

    def take(self, at: NDArray[Any]) -> "FraudFindings":
        """The orders at positions, or under a mask."""
        return FraudFindings(**{field.name: getattr(self, field.name)[at] for field in fields(self)})


def draw_findings(random: np.random.Generator, *, orders: Orders) -> FraudFindings:
    """Draw how and when the fraud is found, weeks after the order for most."""
    size = len(orders)
    taken_over = orders.fraud == TAKEN_OVER
    roll = random.random(size)
    finding = np.digitize(roll, (0.33, 0.70, 0.86))
    finding = np.where(taken_over & (roll > 0.9), MISUSE_UPHELD, finding)
    weeks = np.where(finding == STOPPED, random.gamma(1.5, 0.7, size), 3.0 + random.gamma(2.5, 2.2, size))
    return FraudFindings(
        finding=finding,
        stopped_early=(finding == STOPPED) & (random.random(size) < 0.55),
        found=orders.occurred + 3 * DAY_MS + (weeks * 7 * DAY_MS).astype(np.int64),
    )


_OUTCOMES = (
    "stop_request_upheld", "identity_misuse_upheld", "fraud_chargeback", "dispute_decided_for_customer",
    "dispute_decided_for_merchant", "review_released", "stop_request_rejected", "identity_misuse_rejected",
)  # fmt: skip


def order_outcome_rows(
    random: np.random.Generator,
    *,
    orders: Orders,
    fulfilment: Fulfilment,
    repayment: Repayment,
    findings: FraudFindings,
) -> dict[str, Any]:
    """The ledger columns of `order_outcomes`."""
    fraud = orders.fraud > 0
    found = np.flatnonzero(fraud & (findings.finding != NEVER_FOUND))
    disputed = np.flatnonzero((repayment.pause == DISPUTE) & ~fulfilment.cancelled)
    suspected = np.flatnonzero(~fraud & (random.random(len(orders)) < 0.012))
    cleared_kind = 5 + random.choice(3, len(suspected), p=(0.7, 0.18, 0.12))
    order = np.concatenate([found, disputed, suspected])
    kind = np.concatenate(
        [findings.finding[found], np.where(repayment.dispute_for_customer[disputed], 3, 4), cleared_kind]
    )
    occurred = np.concatenate(
        [
            findings.found[found],
            repayment.pause_end[disputed],
            orders.occurred[suspected] + random.integers(6 * HOUR_MS, 25 * DAY_MS, len(suspected)),
        ]
    )
    return {
        "order_id": order_ids(order),
        "customer_id": customer_ids(orders.customer[order]),
        "kind": chosen(_OUTCOMES, kind),
        "occurred_at": occurred,
        "recorded_at": within_hours(random, occurred),
    }


def later_dispute_rows(
    random: np.random.Generator, *, orders: Orders, order: Positions, repayment: Repayment
) -> dict[str, Any]:
    """The columns of `order_outcomes` of disputes over returns that nobody booked, and of second invoices.

    order: the orders in question. repayment: of the invoices, one for each of those.
    """
    ends_as_dispute = (repayment.pause == DISPUTE) | (repayment.became_dispute_at < NEVER)
    invoice = np.flatnonzero(ends_as_dispute)
    occurred = repayment.pause_end[invoice]
    return {
        "order_id": order_ids(order[invoice]),
        "customer_id": customer_ids(orders.customer[order[invoice]]),
        "kind": chosen(_OUTCOMES, np.where(repayment.dispute_for_customer[invoice], 3, 4)),
        "occurred_at": occurred,
        "recorded_at": within_hours(random, occurred),
    }
