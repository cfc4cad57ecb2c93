"""What a new policy would have done to the orders of the past, beside the policy in force.

Figures are of three kinds and never mixed: *realised*, where the outcome is known; *expected*, by the
calibrated probability, for invoices that are too young; and a *range* for orders that were never invoiced,
because nobody saw how they would have ended. The range has two forms: the bounds, from all paid to all
lost (Manski, 1989), and reject inference, where such an order is LOW to HIGH times as likely not to be paid
as the model says. Intervals are 95 %, from a bootstrap that draws customers.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import iso_instant
from evidence.customer_bootstrap import BOOTSTRAP_ROUNDS, Totals, customer_bootstrap
from evidence.intervals import AmountInterval
from serving.domain.policy import Policy
from serving.policy_backtest.backtest_figures import (
    Backtest,
    Change,
    Difference,
    EvidenceCount,
    Example,
    LimitGrowthEffect,
    Money,
    PolicyFigures,
    SegmentChange,
    Span,
)
from serving.policy_backtest.cut_off_curve import GROUPS, cut_off_curves, cut_off_of
from serving.policy_backtest.order_evidence import (
    EVIDENCE,
    KNOWN,
    Evidence,
    OrderEvidence,
    OrderOutcomes,
    order_evidence,
    order_worth,
)
from serving.policy_backtest.order_sums import (
    ALL_ORDERS,
    CostSums,
    MoneySums,
    NetSums,
    OrderSums,
    SummedColumns,
)
from serving.policy_backtest.policy_replay import PolicyDecisions, Replay, ReplayedOrders, training_warnings

REJECT_FACTORS = (1.0, 3.0)
"""Orders that a lender declined turn out worse than its model says of them; how much, no book can show."""
EXAMPLES = 10
SEGMENTS_SHOWN = 12
SCORE_BAND_POINTS = 40

BoolArray = NDArray[np.bool_]


def backtest(
    replay: Replay,
    outcomes: OrderOutcomes,
    *,
    model: str,
    outcomes_until_ms: int,
    trained_until_ms: int | None,
    reject_factors: tuple[float, float] = REJECT_FACTORS,
    seed: int = 0,
    rounds: int = BOOTSTRAP_ROUNDS,
) -> Backtest:
    """Compare the second policy of a replay with the first.

    model: name and version, for the report. outcomes_until_ms: when the ledger ends. trained_until_ms: rows
        recorded before it were trained on, None where the model does not say.
    Raises ValueError for factors that are not in order, or below 0.
    """
    if not 0 <= reject_factors[0] <= reject_factors[1]:
        raise ValueError("reject factors must not be negative, the lower one first")
    orders = replay.orders
    before, after = replay.decisions
    evidence = order_evidence(orders, outcomes)
    costs_policy = after.policy if after.policy.costs is not None else before.policy
    costs = costs_policy.costs
    worth = None if costs is None else order_worth(orders, evidence, costs, reject_factors=reject_factors)
    bootstrap = customer_bootstrap(orders.customer_id, seed=seed, rounds=rounds)
    only_before = before.approved & ~after.approved
    only_after = after.approved & ~before.approved
    growing = next((policy for policy in (after, before) if policy.policy.limit_growth is not None), None)
    summing = SummedColumns(orders=orders, evidence=evidence, worth=worth, reject_factors=reject_factors)
    before_sums = summing.under(before.approved, "before")
    after_sums = summing.under(after.approved, "after")
    declined_sums = summing.under(only_before, "declined")
    approved_sums = summing.under(only_after, "approved")
    growth_sums = None if growing is None else _growth_sums(growing, summing)
    totals = bootstrap.totals(summing.columns)
    # How well each customer was known at the order, by the older policy's numbers.
    standing = before.familiarity
    return Backtest(
        model=model,
        orders=len(orders),
        customers=bootstrap.customers,
        selected_from=orders.selected_from,
        first_order_at=iso_instant(int(orders.as_of_ms.min()), "seconds"),
        last_order_at=iso_instant(int(orders.as_of_ms.max()), "seconds"),
        outcomes_until=iso_instant(outcomes_until_ms, "seconds"),
        currency=orders.currency,
        costs=costs,
        costs_of=None if costs is None else costs_policy.version,
        reject_factors=reject_factors,
        before=_policy_figures(before_sums, before, totals, evidence, orders),
        after=_policy_figures(after_sums, after, totals, evidence, orders),
        difference=_difference(
            totals, before=before_sums, after=after_sums, declined=declined_sums, approved=approved_sums
        ),
        limit_growth=(
            None
            if growing is None or growth_sums is None
            else _limit_growth(growing, growth_sums, totals, orders)
        ),
        newly_declined=_change(declined_sums, only_before, after, totals, orders, evidence, standing),
        newly_approved=_change(approved_sums, only_after, before, totals, orders, evidence, standing),
        segments=_segments(orders, standing, before.approved, after.approved),
        cut_offs_before=tuple((group, cut_off_of(before.policy, group)) for group in GROUPS),
        curves=cut_off_curves(orders, after, evidence, worth, bootstrap),
        warnings=_warnings(replay, evidence, costs_policy, trained_until_ms),
    )


def _policy_figures(
    sums: OrderSums,
    decided: PolicyDecisions,
    totals: Totals,
    evidence: OrderEvidence,
    orders: ReplayedOrders,
) -> PolicyFigures:
    approved = decided.approved
    count = int(approved.sum())
    rate = totals.rate(sums.orders, ALL_ORDERS)
    if rate is None:
        raise ValueError("there are no orders")

    def evidence_count(kind: Evidence) -> EvidenceCount:
        chosen = approved & evidence.is_one_of(kind)
        return EvidenceCount(
            orders=int(chosen.sum()),
            amount_cents=int(orders.amount_cents[chosen].sum()),
            share=float(chosen.sum() / count) if count else 0.0,
        )

    return PolicyFigures(
        policy_version=decided.policy.version,
        approved=count,
        approved_amount_cents=int(orders.amount_cents[approved].sum()),
        approval_rate=rate,
        evidence={kind.value: evidence_count(kind) for kind in EVIDENCE},
        bad_rate=totals.rate(sums.bad, sums.known),
        bad_rate_bounds=Span(
            low=totals.rate(sums.bad, sums.judged), high=totals.rate(sums.bad_or_unknown, sums.judged)
        ),
        bad_rate_inferred=Span(
            low=totals.rate(sums.bad_inferred_low, sums.judged),
            high=totals.rate(sums.bad_inferred_high, sums.judged),
        ),
        realised=None if sums.costs is None else _money(sums.costs.realised, totals),
        expected=None if sums.costs is None else _money(sums.costs.expected, totals),
        net_bounds=None if sums.costs is None else _net_span(sums.costs.net_bounds, totals),
        net_inferred=None if sums.costs is None else _net_span(sums.costs.net_inferred, totals),
    )


def _money(sums: MoneySums, totals: Totals) -> Money:
    return Money(
        margin=totals.amount(sums.margin),
        loss=totals.amount(sums.loss),
        handling=totals.amount(sums.handling),
        net=totals.amount(sums.net),
    )


def _net_span(sums: NetSums, totals: Totals) -> Span:
    return Span(low=totals.amount(sums.worst), high=totals.amount(sums.best))


def _difference(
    totals: Totals, *, before: OrderSums, after: OrderSums, declined: OrderSums, approved: OrderSums
) -> Difference:
    """declined, approved: of the orders that only the new policy declines, or approves."""
    approval = totals.rate_difference((after.orders, ALL_ORDERS), (before.orders, ALL_ORDERS))
    if approval is None:
        raise ValueError("there are no orders")

    def span(ends: Callable[[CostSums], NetSums]) -> Span | None:
        # What both approve cancels out; the worst for the change is that what it lets in goes badly and
        # what it turns away would have gone well.
        if approved.costs is None or declined.costs is None:
            return None
        let_in, turned_away = ends(approved.costs), ends(declined.costs)
        return Span(
            low=totals.amount(let_in.worst, turned_away.best),
            high=totals.amount(let_in.best, turned_away.worst),
        )

    return Difference(
        approval_rate=approval,
        bad_rate=totals.rate_difference((after.bad, after.known), (before.bad, before.known)),
        realised_margin=_amount(totals, lambda costs: costs.realised.margin, after, before),
        realised_loss=_amount(totals, lambda costs: costs.realised.loss, after, before),
        realised_net=_amount(totals, lambda costs: costs.realised.net, after, before),
        expected_net=_amount(totals, lambda costs: costs.expected.net, after, before),
        net_bounds=span(lambda costs: costs.net_bounds),
        net_inferred=span(lambda costs: costs.net_inferred),
    )


def _amount(
    totals: Totals, name: Callable[[CostSums], str], of: OrderSums, minus: OrderSums
) -> AmountInterval | None:
    """The difference of one sum in cents between two masks; None without costs."""
    if of.costs is None or minus.costs is None:
        return None
    return totals.amount(name(of.costs), name(minus.costs))


@dataclass(frozen=True, kw_only=True)
class _GrowthSums:
    """Of the orders that a policy approves with its [limit_growth] and without, and that only it declines."""

    grown: OrderSums
    ungrown: OrderSums
    declined: OrderSums


def _growth_sums(growing: PolicyDecisions, summing: SummedColumns) -> _GrowthSums:
    return _GrowthSums(
        grown=summing.under(growing.approved, "grown"),
        ungrown=summing.under(growing.approved_without_growth, "ungrown"),
        declined=summing.under(growing.approved_without_growth & ~growing.approved, "growth_declined"),
    )


def _limit_growth(
    growing: PolicyDecisions, sums: _GrowthSums, totals: Totals, orders: ReplayedOrders
) -> LimitGrowthEffect:
    grown, ungrown = sums.grown, sums.ungrown
    approval = totals.rate_difference((grown.orders, ALL_ORDERS), (ungrown.orders, ALL_ORDERS))
    if approval is None:
        raise ValueError("there are no orders")
    declined = growing.approved_without_growth & ~growing.approved
    approved = growing.approved & ~growing.approved_without_growth
    return LimitGrowthEffect(
        policy_version=growing.policy.version,
        declined=int(declined.sum()),
        declined_cents=int(orders.amount_cents[declined].sum()),
        approved=int(approved.sum()),
        approved_cents=int(orders.amount_cents[approved].sum()),
        lost=totals.rate(sums.declined.orders, ungrown.orders),
        approval_rate=approval,
        realised_net=_amount(totals, lambda costs: costs.realised.net, grown, ungrown),
        expected_net=_amount(totals, lambda costs: costs.expected.net, grown, ungrown),
    )


def _change(
    sums: OrderSums,
    mask: BoolArray,
    declining: PolicyDecisions,
    totals: Totals,
    orders: ReplayedOrders,
    evidence: OrderEvidence,
    standing: NDArray[np.object_],
) -> Change:
    places = np.flatnonzero(mask)
    rules: Counter[str] = Counter()
    amounts: Counter[str] = Counter()
    for place in places.tolist():
        for code in declining.failed_rules[place]:
            rules[code] += 1
            amounts[code] += int(orders.amount_cents[place])
    unknown = mask & evidence.is_one_of(Evidence.NEVER_INVOICED)
    first = places[np.argsort(orders.as_of_ms[places], kind="stable")][:EXAMPLES]
    return Change(
        orders=len(places),
        amount_cents=int(orders.amount_cents[mask].sum()),
        known=int((mask & evidence.is_one_of(*KNOWN)).sum()),
        bads=int((mask & evidence.is_one_of(Evidence.NOT_PAID)).sum()),
        bad_rate=totals.rate(sums.bad, sums.known),
        realised_net=None if sums.costs is None else totals.amount(sums.costs.realised.net),
        expected_net=None if sums.costs is None else totals.amount(sums.costs.expected.net),
        unknown=int(unknown.sum()),
        unknown_amount_cents=int(orders.amount_cents[unknown].sum()),
        fraud=int((mask & evidence.is_one_of(Evidence.FRAUD)).sum()),
        by_rule=dict(rules.most_common()),
        amount_by_rule_cents={code: amounts[code] for code, _ in rules.most_common()},
        examples=tuple(
            Example(
                order_id=str(orders.order_id[place]),
                ordered_at=iso_instant(int(orders.as_of_ms[place]), "seconds"),
                amount_cents=int(orders.amount_cents[place]),
                score=int(orders.score[place]),
                standing=str(standing[place]),
                country=str(orders.country[place]),
                merchant_id=str(orders.merchant_id[place]),
                rules=declining.failed_rules[place],
                reasons=declining.reasons[place],
                outcome=EVIDENCE[evidence.kind[place]].value,
            )
            for place in first.tolist()
        ),
    )


def _segments(
    orders: ReplayedOrders, standing: NDArray[np.object_], before: BoolArray, after: BoolArray
) -> dict[str, tuple[SegmentChange, ...]]:
    first_of_band = orders.score // SCORE_BAND_POINTS * SCORE_BAND_POINTS
    bands = np.array(
        [f"{first:03d} to {first + SCORE_BAND_POINTS - 1:03d}" for first in first_of_band.tolist()],
        dtype=object,
    )
    parts = {
        "standing": (standing, False),
        "country": (orders.country, True),
        "merchant": (orders.merchant_id, True),
        "score band": (bands, False),
    }
    found = {}
    for title, (values, changed_first) in parts.items():
        rows = [_segment(name, values == name, orders, before, after) for name in sorted(set(values))]
        if changed_first:
            rows.sort(key=lambda row: (-(row.newly_declined + row.newly_approved), -row.orders, row.name))
            rows = rows[:SEGMENTS_SHOWN]
        found[title] = tuple(rows)
    return found


def _segment(
    name: str, chosen: BoolArray, orders: ReplayedOrders, before: BoolArray, after: BoolArray
) -> SegmentChange:
    declined, approved = chosen & before & ~after, chosen & after & ~before
    return SegmentChange(
        name=name,
        orders=int(chosen.sum()),
        approved_before=int((chosen & before).sum()),
        approved_after=int((chosen & after).sum()),
        newly_declined=int(declined.sum()),
        newly_approved=int(approved.sum()),
        newly_declined_cents=int(orders.amount_cents[declined].sum()),
        newly_approved_cents=int(orders.amount_cents[approved].sum()),
    )


def _warnings(
    replay: Replay, evidence: OrderEvidence, costs_policy: Policy, trained_until_ms: int | None
) -> tuple[str, ...]:
    orders = replay.orders
    before, after = (decided.policy for decided in replay.decisions)
    said = []
    if costs_policy.costs is None:
        said.append("neither policy has a table [costs], so there are no amounts of margin and loss")
    elif after.costs is None:
        said.append(f"policy {after.version} has no table [costs]; those of {before.version} were used")
    elif before.costs is not None and before.costs != after.costs:
        said.append(f"the policies differ in [costs]; those of {after.version} were used for both")
    said += training_warnings(orders, trained_until_ms)
    newly = replay.decisions[1].approved & ~replay.decisions[0].approved
    unknown = int((newly & evidence.is_one_of(Evidence.NEVER_INVOICED)).sum())
    if unknown:
        said.append(
            f"{unknown:,} of {int(newly.sum()):,} newly approved orders were never invoiced: how they would "
            "have ended is not known, and their effect is a range"
        )
    if before.version == after.version and before != after:
        said.append(f"both policies are called {before.version}: give the changed one its own version")
    return tuple(said)
