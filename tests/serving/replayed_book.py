"""Replayed orders and outcomes made by hand, and decisions that follow from score and cut-off alone."""

from dataclasses import dataclass, replace

import numpy as np

from serving.domain.policy import CostPolicy, Policy
from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_activation import POLICY_FILE
from serving.policy_backtest.order_evidence import OrderOutcomes
from serving.policy_backtest.policy_replay import PolicyDecisions, Replay, ReplayedOrders
from tests.builders import DAY, ms

COSTS = CostPolicy(margin_per_mille=50, loss_given_default_percent=60, handling_cents=10, review_cents=500)
POLICY = replace(
    parse_policy(POLICY_FILE.read_text()), version="old", costs=COSTS, cut_off_stranger=500, cut_off_known=500
)
START = ms("2026-01-01")


@dataclass(frozen=True, kw_only=True)
class PlantedOrder:
    """label: 1 not paid, 0 paid, None too young. owed: None where it was never invoiced.

    exceeds_growth: whether a policy with [limit_growth] finds the order above the limit.
    """

    score: int
    amount: int = 10_000
    label: int | None = 0
    owed: int | None = 10_000
    lost: int = 0
    fraud: bool = False
    paid_before: int = 0
    customer: str | None = None
    probability: float = 0.1
    rules: tuple[str, ...] = ()
    exceeds_growth: bool = False


def decided(orders: list[PlantedOrder], policy: Policy) -> PolicyDecisions:
    """What the policy's cut-offs decide where no other rule failed."""
    failed, without_growth, familiarity = [], [], []
    for order in orders:
        is_known = order.paid_before >= policy.known_paid_invoices
        needed = policy.cut_off_known if is_known else policy.cut_off_stranger
        rules = order.rules or (("score_below_cut_off",) if order.score < needed else ())
        without_growth.append(not rules)
        is_above = policy.limit_growth is not None and order.exceeds_growth and not order.rules
        failed.append((*rules, "credit_limit") if is_above else rules)
        is_established = order.paid_before >= policy.established_paid_invoices
        familiarity.append("established" if is_established else "known" if is_known else "stranger")
    return PolicyDecisions(
        policy=policy,
        approved=np.array([not rules for rules in failed], dtype=bool),
        approved_without_growth=np.array(without_growth, dtype=bool),
        familiarity=np.array(familiarity, dtype=object),
        failed_rules=tuple(failed),
        reasons=tuple(failed),
    )


def replayed(orders: list[PlantedOrder], *policies: Policy) -> Replay:
    """The orders, one a day, and what each policy decides."""
    size = len(orders)
    customers = [order.customer or f"c{place}" for place, order in enumerate(orders)]
    return Replay(
        orders=ReplayedOrders(
            order_id=np.array([f"o{place}" for place in range(size)], dtype=object),
            customer_id=np.array(customers, dtype=object),
            merchant_id=np.array(["m1"] * size, dtype=object),
            country=np.array(["DE"] * size, dtype=object),
            as_of_ms=START + np.arange(size, dtype=np.int64) * DAY,
            amount_cents=np.array([order.amount for order in orders], dtype=np.int64),
            score=np.array([order.score for order in orders], dtype=np.int64),
            probability_of_default=np.array([order.probability for order in orders]),
            currency="EUR",
            selected_from=size,
        ),
        decisions=tuple(decided(orders, policy) for policy in policies),
    )


def outcomes_of(orders: list[PlantedOrder]) -> OrderOutcomes:
    """The outcomes in another order than the orders; what was never invoiced is not among them."""
    rows = [
        (f"o{place}", order) for place, order in enumerate(orders) if order.owed is not None or order.fraud
    ][::-1]
    return OrderOutcomes(
        order_id=np.array([order_id for order_id, _ in rows], dtype=object),
        label=np.array([-1 if order.label is None else order.label for _, order in rows], dtype=np.int8),
        is_fraud=np.array([order.fraud for _, order in rows], dtype=bool),
        is_invoiced=np.array([order.owed is not None for _, order in rows], dtype=bool),
        owed_cents=np.array([order.owed or 0 for _, order in rows], dtype=np.int64),
        lost_cents=np.array([order.lost for _, order in rows], dtype=np.int64),
    )
