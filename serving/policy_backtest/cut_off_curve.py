"""What every cut-off would give: net amount, approvals and bad rate, all of them from one pass.

Only orders that nothing but the score keeps from approval depend on a cut-off: knock-out rules and the
credit limit are the same under each. So all that a cut-off gives is a sum over scores from it upwards.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evidence.customer_bootstrap import CustomerBootstrap, Totals
from evidence.intervals import AmountInterval, Interval
from features.instants import Float64Array, Int64Array
from serving.domain.credit_limit import Familiarity
from serving.domain.policy import Policy
from serving.domain.recourse import SCORE_TOO_LOW
from serving.policy_backtest.order_evidence import KNOWN, REALISED, Evidence, OrderEvidence, OrderWorth
from serving.policy_backtest.policy_replay import PolicyDecisions, ReplayedOrders

SCORES = 1_001
"""Scores run from 100 to 999; a cut-off of 1,000 approves nobody."""
LOWEST_SCORE = 100
GROUPS = ("stranger", "known")
CURVE_STEP_POINTS = 10
EVIDENCE_BAND_POINTS = 20
EVIDENCE_MINIMUM_ORDERS = 20
EVIDENCE_MINIMUM_SHARE = 0.5
BY_SCORE = ("orders", "known", "bad", "net")

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """What one cut-off gives in its group. approval_rate: of all its orders. net: None without costs."""

    cut_off: int
    approval_rate: Interval
    bad_rate: Interval | None
    net: AmountInterval | None


@dataclass(frozen=True, kw_only=True)
class CutOffCurve:
    """One group of customers. evidence_from: the lowest score down to which outcomes are known, None if
    nowhere; below it the curve says nothing.
    """

    group: str
    orders: int
    cut_off: int
    evidence_from: int | None
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True, kw_only=True)
class SumsByCutOff:
    """Sums over the orders of one group that each cut-off approves.

    point: by name (orders, known, bad, net), shape (SCORES,). rounds: shape (rounds, SCORES).
    left_out_net: of the customers that a round did not draw, shape (rounds, SCORES).
    all_orders: of the group, approved or not. highest_score: by name (known, all), each customer's highest
    score among the orders that count there, shape (n_customers,), -1 where none does: whoever has one from a
    cut-off upwards is among its customers.
    """

    point: dict[str, Float64Array]
    rounds: dict[str, Float64Array]
    left_out_net: Float64Array
    all_orders: float
    all_orders_rounds: Float64Array
    highest_score: dict[str, Int64Array]

    def at(self, cut_off: int) -> Totals:
        """The sums of one cut-off."""
        return Totals(
            point={
                **{name: float(values[cut_off]) for name, values in self.point.items()},
                "all": self.all_orders,
            },
            rounds={
                **{name: values[:, cut_off] for name, values in self.rounds.items()},
                "all": self.all_orders_rounds,
            },
            customers={name: int(having.sum()) for name, having in self.customers_at(cut_off).items()},
        )

    def customers_at(self, cut_off: int) -> dict[str, BoolArray]:
        """Who has an order that counts under a cut-off, by name (known, all), shape (n_customers,)."""
        return {
            "known": self.highest_score["known"] >= cut_off,
            "all": self.highest_score["all"] >= 0,
        }


def group_of(decided: PolicyDecisions) -> dict[str, BoolArray]:
    """The orders to which each of the two cut-offs applies."""
    is_stranger = np.asarray(decided.familiarity == Familiarity.STRANGER.value, dtype=bool)
    return {"stranger": is_stranger, "known": ~is_stranger}


def cut_off_of(policy: Policy, group: str) -> int:
    """The cut-off in the policy for a group."""
    return {"stranger": policy.cut_off_stranger, "known": policy.cut_off_known}[group]


def eligible_but_for_score(decided: PolicyDecisions) -> BoolArray:
    """Which orders nothing but the score keeps, or would keep, from being approved."""
    return np.array([set(codes) <= {SCORE_TOO_LOW} for codes in decided.failed_rules], dtype=bool)


def approved_at(orders: ReplayedOrders, decided: PolicyDecisions, policy: Policy) -> BoolArray:
    """Which orders are approved under `policy`, which differs from the replayed one in its cut-offs only."""
    needed = np.zeros(len(orders), dtype=np.int64)
    for name, mask in group_of(decided).items():
        needed[mask] = cut_off_of(policy, name)
    return eligible_but_for_score(decided) & (orders.score >= needed)


def evidence_from(score: Int64Array, is_known: BoolArray) -> int | None:
    """The lowest score down to which enough outcomes are known, None if nowhere.

    score, is_known: of the orders that a cut-off could approve, shape (n,). Goes down from the median of the
    known ones, band by band of 20 points, and ends above the first band that has fewer than 20 known outcomes
    or where less than half of the orders have one.
    """
    if not is_known.any():
        return None
    counts = np.bincount(score, minlength=SCORES)
    known = np.bincount(score[is_known], minlength=SCORES)
    reached: int | None = None
    # Bands that contain the median and end at round numbers.
    low = int(np.median(score[is_known])) // EVIDENCE_BAND_POINTS * EVIDENCE_BAND_POINTS
    while low >= LOWEST_SCORE:
        band = slice(low, low + EVIDENCE_BAND_POINTS)
        enough = known[band].sum() >= EVIDENCE_MINIMUM_ORDERS
        if not enough or known[band].sum() < EVIDENCE_MINIMUM_SHARE * counts[band].sum():
            break
        reached = low
        low -= EVIDENCE_BAND_POINTS
    return reached


def sums_by_cut_off(
    orders: ReplayedOrders,
    decided: PolicyDecisions,
    evidence: OrderEvidence,
    net_cents: Float64Array,
    bootstrap: CustomerBootstrap,
) -> dict[str, SumsByCutOff]:
    """The sums of every cut-off from 0 to 1,000, for both groups. net_cents: shape (n_orders,)."""
    eligible = eligible_but_for_score(decided)
    groups = group_of(decided)
    columns = {
        "orders": np.ones(len(orders)),
        "known": evidence.is_one_of(*KNOWN).astype(np.float64),
        "bad": evidence.is_one_of(Evidence.NOT_PAID).astype(np.float64),
        "net": net_cents,
    }
    places = {name: np.flatnonzero(mask & eligible) for name, mask in groups.items()}
    rounds: dict[str, dict[str, list[Float64Array]]] = {
        name: {key: [] for key in BY_SCORE} for name in GROUPS
    }
    left_out: dict[str, list[Float64Array]] = {name: [] for name in GROUPS}
    all_orders: dict[str, list[float]] = {name: [] for name in GROUPS}
    for weight in bootstrap.round_weights():
        for name in GROUPS:
            at = places[name]
            own = weight[at]
            for key in BY_SCORE:
                rounds[name][key].append(_from_each_score(orders.score[at], own * columns[key][at]))
            left_out[name].append(_from_each_score(orders.score[at], (own == 0) * columns["net"][at]))
            all_orders[name].append(float(weight[groups[name]].sum()))
    return {
        name: SumsByCutOff(
            point={
                key: _from_each_score(orders.score[places[name]], columns[key][places[name]])
                for key in BY_SCORE
            },
            rounds={key: np.array(rounds[name][key]) for key in BY_SCORE},
            left_out_net=np.array(left_out[name]),
            all_orders=float(groups[name].sum()),
            all_orders_rounds=np.array(all_orders[name]),
            highest_score={
                "known": bootstrap.highest(
                    orders.score, groups[name] & eligible & evidence.is_one_of(*KNOWN)
                ),
                "all": bootstrap.highest(orders.score, groups[name]),
            },
        )
        for name in GROUPS
    }


def _from_each_score(score: Int64Array, values: Float64Array) -> Float64Array:
    """The sum of the values at each score and above."""
    by_score = np.bincount(score, values, SCORES)
    return np.asarray(np.cumsum(by_score[::-1])[::-1], dtype=np.float64)


def has_outcome(evidence: OrderEvidence) -> BoolArray:
    """Which orders' outcome is known, or soon will be."""
    return evidence.is_one_of(*REALISED, Evidence.MATURING)


def cut_off_curves(
    orders: ReplayedOrders,
    decided: PolicyDecisions,
    evidence: OrderEvidence,
    worth: OrderWorth | None,
    bootstrap: CustomerBootstrap,
) -> tuple[CutOffCurve, ...]:
    """One curve for each group that has orders: what other cut-offs would give, all else as in the policy.

    The net amount is realised where the outcome is known and expected where the invoice is too young; orders
    never invoiced add nothing to it.
    """
    net = np.zeros(len(orders)) if worth is None else worth.net_cents * has_outcome(evidence)
    sums = sums_by_cut_off(orders, decided, evidence, net, bootstrap)
    eligible = eligible_but_for_score(decided)
    curves = []
    for name, mask in group_of(decided).items():
        own = mask & eligible
        if not own.any():
            continue
        score = orders.score[own]
        first = int(np.quantile(score, 0.001)) // CURVE_STEP_POINTS * CURVE_STEP_POINTS
        last = int(np.quantile(score, 0.999)) + CURVE_STEP_POINTS
        curves.append(
            CutOffCurve(
                group=name,
                orders=int(mask.sum()),
                cut_off=cut_off_of(decided.policy, name),
                evidence_from=evidence_from(score, has_outcome(evidence)[own]),
                points=tuple(
                    _curve_point(sums[name], cut_off, has_costs=worth is not None)
                    for cut_off in range(first, last + 1, CURVE_STEP_POINTS)
                ),
            )
        )
    return tuple(curves)


def _curve_point(sums: SumsByCutOff, cut_off: int, *, has_costs: bool) -> CurvePoint:
    totals = sums.at(cut_off)
    approval = totals.rate("orders", "all")
    if approval is None:
        raise ValueError("a group without orders has no curve")
    return CurvePoint(
        cut_off=cut_off,
        approval_rate=approval,
        bad_rate=totals.rate("bad", "known"),
        net=totals.amount("net") if has_costs else None,
    )
