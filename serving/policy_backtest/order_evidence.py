"""What history says about each replayed order, and what approving it brought or would bring.

A declined order has no outcome. Neither does one that was never invoiced for another reason; a ledger
does not say which. Confirmed fraud is the other system's loss and takes no part in these amounts.
"""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.instants import Float64Array, Int64Array
from serving.domain.policy import CostPolicy
from serving.policy_backtest.policy_replay import ReplayedOrders

UNLABELLED = -1


class Evidence(enum.Enum):
    """What is known of an order's outcome."""

    PAID = "paid"
    NOT_PAID = "not_paid"
    NOTHING_OWED = "nothing_owed"
    """Invoiced and wholly taken back."""
    MATURING = "maturing"
    """Invoiced, and too young for a label: expected by the model's probability."""
    FRAUD = "fraud"
    NEVER_INVOICED = "never_invoiced"
    """Declined, cancelled or too young: no outcome, only a range."""


EVIDENCE = tuple(Evidence)
KNOWN = (Evidence.PAID, Evidence.NOT_PAID)
REALISED = (*KNOWN, Evidence.NOTHING_OWED)


@dataclass(frozen=True, kw_only=True)
class OrderOutcomes:
    """Outcomes of orders as plain data, in any order; who is not among them was never invoiced.

    All shapes (n,). label: 1 not paid within 60 days after it was due, 0 paid, -1 not known or nothing was
    owed. owed_cents: total of the invoices after credit notes. lost_cents: what was still owed 60 days
    after it was due, 0 where label is not 1.
    """

    order_id: NDArray[np.object_]
    label: NDArray[np.int8]
    is_fraud: NDArray[np.bool_]
    is_invoiced: NDArray[np.bool_]
    owed_cents: Int64Array
    lost_cents: Int64Array


@dataclass(frozen=True, kw_only=True)
class OrderEvidence:
    """Outcomes in the order of the replayed orders. All shapes (n_orders,).

    kind: place in EVIDENCE. owed_cents: what the merchant's fee is due on; the order's amount where there is
    no invoice.
    """

    kind: NDArray[np.int8]
    owed_cents: Int64Array
    lost_cents: Int64Array

    def is_one_of(self, *kinds: Evidence) -> NDArray[np.bool_]:
        """Which orders have evidence of these kinds."""
        return np.asarray(np.isin(self.kind, [EVIDENCE.index(kind) for kind in kinds]))


def order_evidence(orders: ReplayedOrders, outcomes: OrderOutcomes) -> OrderEvidence:
    """Find the outcome of each replayed order."""
    place_of = {order_id: place for place, order_id in enumerate(outcomes.order_id.tolist())}
    places = np.array([place_of.get(order_id, -1) for order_id in orders.order_id.tolist()], dtype=np.int64)
    has_row = places >= 0
    label = np.where(has_row, _taken(outcomes.label, places, UNLABELLED), UNLABELLED)
    is_fraud = has_row & (_taken(outcomes.is_fraud, places, 0) > 0)
    is_invoiced = has_row & (_taken(outcomes.is_invoiced, places, 0) > 0)
    owed = np.where(is_invoiced, _taken(outcomes.owed_cents, places, 0), orders.amount_cents)
    kind = np.select(
        [is_fraud, ~is_invoiced, owed == 0, label == 1, label == 0],
        [
            EVIDENCE.index(found)
            for found in (
                Evidence.FRAUD,
                Evidence.NEVER_INVOICED,
                Evidence.NOTHING_OWED,
                Evidence.NOT_PAID,
                Evidence.PAID,
            )
        ],
        EVIDENCE.index(Evidence.MATURING),
    )
    lost = np.where(label == 1, _taken(outcomes.lost_cents, places, 0), 0)
    return OrderEvidence(kind=kind.astype(np.int8), owed_cents=owed, lost_cents=lost)


def _taken(values: NDArray[np.generic], places: Int64Array, missing: int) -> Int64Array:
    """The values at places, `missing` where the place is -1."""
    padded = np.append(values.astype(np.int64), missing)
    return np.asarray(padded[places], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class OrderWorth:
    """What approving each order brings, in whole cents. All shapes (n_orders,), dtype float64.

    fee_cents: the merchant's fee on what is owed. loss_cents: lost where the outcome is known, expected by
        the model's probability where it is not. loss_low_cents, loss_high_cents: expected at the lowest and
        the highest factor of reject inference; `loss_cents` where the outcome is known or only young.
        at_stake_cents: the most that can be lost. handling_cents: the same for every order.
    """

    fee_cents: Float64Array
    loss_cents: Float64Array
    loss_low_cents: Float64Array
    loss_high_cents: Float64Array
    at_stake_cents: Float64Array
    handling_cents: Float64Array

    @property
    def net_cents(self) -> Float64Array:
        """Fee minus loss minus handling."""
        return self.fee_cents - self.loss_cents - self.handling_cents


def order_worth(
    orders: ReplayedOrders,
    evidence: OrderEvidence,
    costs: CostPolicy,
    *,
    reject_factors: tuple[float, float],
) -> OrderWorth:
    """What approving each order brings under these costs.

    reject_factors: an order that was never invoiced is taken to be so many times as likely not to be paid as
    the model says, lowest and highest; a probability never exceeds 1.
    """
    owed = evidence.owed_cents
    is_settled = evidence.is_one_of(*REALISED)
    is_unknown = evidence.is_one_of(Evidence.NEVER_INVOICED)

    def expected(factor: float) -> Float64Array:
        probability = np.minimum(orders.probability_of_default * factor, 1.0)
        return np.rint(probability * owed * costs.loss_given_default_percent / 100)

    by_model = expected(1.0)
    loss = np.where(is_settled, evidence.lost_cents, by_model).astype(np.float64)
    low, high = (np.where(is_unknown, expected(factor), loss) for factor in reject_factors)
    return OrderWorth(
        # Half a cent is rounded up, in whole numbers.
        fee_cents=((owed * costs.margin_per_mille + 500) // 1000).astype(np.float64),
        loss_cents=loss,
        loss_low_cents=low,
        loss_high_cents=high,
        at_stake_cents=owed.astype(np.float64),
        handling_cents=np.full(len(owed), float(costs.handling_cents)),
    )
