"""What a new policy would have done to the orders of the past, beside the policy in force.

Figures are of three kinds and never mixed: *realised*, where the outcome is known; *expected*, by the
calibrated probability, for invoices that are too young; and a *range* for orders that were never invoiced,
because nobody saw how they would have ended. The range has two forms: the bounds, from all paid to all
lost (Manski, 1989), and reject inference, where such an order is LOW to HIGH times as likely not to be paid
as the model says. Intervals are 95 %, from a bootstrap that draws customers.
"""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import iso_instant
from evidence.customer_bootstrap import BOOTSTRAP_ROUNDS, Totals, customer_bootstrap
from evidence.intervals import AmountInterval
from features.instants import Float64Array
from serving.domain.policy import CostPolicy, Policy
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
    REALISED,
    Evidence,
    OrderEvidence,
    OrderOutcomes,
    OrderWorth,
    order_evidence,
    order_worth,
)
from serving.policy_backtest.policy_replay import PolicyDecisions, Replay, ReplayedOrders, training_warnings

REJECT_FACTORS = (1.0, 3.0)
"""Orders that a lender declined turn out worse than its model says of them; how much, no book can show."""
EXAMPLES = 10
SEGMENTS_SHOWN = 12
SCORE_BAND_POINTS = 40

BoolArray = NDArray[np.bool_]
Columns = dict[str, Float64Array]


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
    columns: Columns = {"orders": np.ones(len(orders))}
    growing = next((policy for policy in (after, before) if policy.policy.limit_growth is not None), None)
    masks = {
        "before": before.approved,
        "after": after.approved,
        "declined": only_before,
        "approved": only_after,
    }
    if growing is not None:
        masks["grown"] = growing.approved
        masks["ungrown"] = growing.approved_without_growth
        masks["growth_declined"] = growing.approved_without_growth & ~growing.approved
    for prefix, mask in masks.items():
        columns |= _columns(prefix, mask, orders, evidence, worth, reject_factors)
    totals = bootstrap.totals(columns)
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
        before=_policy_figures("before", before, totals, evidence, orders, has_costs=costs is not None),
        after=_policy_figures("after", after, totals, evidence, orders, has_costs=costs is not None),
        difference=_difference(totals, has_costs=costs is not None),
        limit_growth=(
            None if growing is None else _limit_growth(growing, totals, orders, has_costs=costs is not None)
        ),
        newly_declined=_change("declined", only_before, after, totals, orders, evidence, standing, costs),
        newly_approved=_change("approved", only_after, before, totals, orders, evidence, standing, costs),
        segments=_segments(orders, standing, before.approved, after.approved),
        cut_offs_before=tuple((group, cut_off_of(before.policy, group)) for group in GROUPS),
        curves=cut_off_curves(orders, after, evidence, worth, bootstrap),
        warnings=_warnings(replay, evidence, costs_policy, trained_until_ms),
    )


def _columns(
    prefix: str,
    mask: BoolArray,
    orders: ReplayedOrders,
    evidence: OrderEvidence,
    worth: OrderWorth | None,
    reject_factors: tuple[float, float],
) -> Columns:
    """What is added up about the orders under `mask`."""
    known, realised = evidence.is_one_of(*KNOWN), evidence.is_one_of(*REALISED)
    bad = evidence.is_one_of(Evidence.NOT_PAID)
    young = evidence.is_one_of(Evidence.MATURING)
    unknown = evidence.is_one_of(Evidence.NEVER_INVOICED)
    inferred = [np.minimum(orders.probability_of_default * factor, 1.0) for factor in reject_factors]
    named: dict[str, NDArray[Any]] = {
        "orders": np.ones(len(orders)),
        "known": known,
        "bad": bad,
        "judged": known | unknown,
        "bad_or_unknown": bad | unknown,
        "bad_inferred_low": bad + unknown * inferred[0],
        "bad_inferred_high": bad + unknown * inferred[1],
    }
    if worth is not None:
        for part, chosen in (("realised", realised), ("expected", young)):
            named |= {
                f"{part}_margin": worth.fee_cents * chosen,
                f"{part}_loss": worth.loss_cents * chosen,
                f"{part}_handling": worth.handling_cents * chosen,
                f"{part}_net": worth.net_cents * chosen,
            }
        seen = worth.net_cents * (realised | young)
        open_net = (worth.fee_cents - worth.handling_cents) * unknown
        named |= {
            "net_worst": seen + open_net - worth.at_stake_cents * unknown,
            "net_best": seen + open_net,
            "net_inferred_worst": seen + open_net - worth.loss_high_cents * unknown,
            "net_inferred_best": seen + open_net - worth.loss_low_cents * unknown,
        }
    return {
        f"{prefix}_{name}": np.where(mask, values, 0).astype(np.float64) for name, values in named.items()
    }


def _policy_figures(
    prefix: str,
    decided: PolicyDecisions,
    totals: Totals,
    evidence: OrderEvidence,
    orders: ReplayedOrders,
    *,
    has_costs: bool,
) -> PolicyFigures:
    approved = decided.approved
    count = int(approved.sum())
    rate = totals.rate(f"{prefix}_orders", "orders")
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
        bad_rate=totals.rate(f"{prefix}_bad", f"{prefix}_known"),
        bad_rate_bounds=Span(
            low=totals.rate(f"{prefix}_bad", f"{prefix}_judged"),
            high=totals.rate(f"{prefix}_bad_or_unknown", f"{prefix}_judged"),
        ),
        bad_rate_inferred=Span(
            low=totals.rate(f"{prefix}_bad_inferred_low", f"{prefix}_judged"),
            high=totals.rate(f"{prefix}_bad_inferred_high", f"{prefix}_judged"),
        ),
        realised=_money(f"{prefix}_realised", totals) if has_costs else None,
        expected=_money(f"{prefix}_expected", totals) if has_costs else None,
        net_bounds=_net_span(totals, prefix, "net") if has_costs else None,
        net_inferred=_net_span(totals, prefix, "net_inferred") if has_costs else None,
    )


def _money(prefix: str, totals: Totals) -> Money:
    return Money(
        margin=totals.amount(f"{prefix}_margin"),
        loss=totals.amount(f"{prefix}_loss"),
        handling=totals.amount(f"{prefix}_handling"),
        net=totals.amount(f"{prefix}_net"),
    )


def _net_span(totals: Totals, prefix: str, name: str) -> Span:
    return Span(low=totals.amount(f"{prefix}_{name}_worst"), high=totals.amount(f"{prefix}_{name}_best"))


def _difference(totals: Totals, *, has_costs: bool) -> Difference:
    approval = totals.rate_difference(("after_orders", "orders"), ("before_orders", "orders"))
    if approval is None:
        raise ValueError("there are no orders")

    def amount(name: str) -> AmountInterval | None:
        return totals.amount(f"after_{name}", f"before_{name}") if has_costs else None

    def span(name: str) -> Span | None:
        # What both approve cancels out; the worst for the change is that what it lets in goes badly and
        # what it turns away would have gone well.
        if not has_costs:
            return None
        return Span(
            low=totals.amount(f"approved_{name}_worst", f"declined_{name}_best"),
            high=totals.amount(f"approved_{name}_best", f"declined_{name}_worst"),
        )

    return Difference(
        approval_rate=approval,
        bad_rate=totals.rate_difference(("after_bad", "after_known"), ("before_bad", "before_known")),
        realised_margin=amount("realised_margin"),
        realised_loss=amount("realised_loss"),
        realised_net=amount("realised_net"),
        expected_net=amount("expected_net"),
        net_bounds=span("net"),
        net_inferred=span("net_inferred"),
    )


def _limit_growth(
    growing: PolicyDecisions, totals: Totals, orders: ReplayedOrders, *, has_costs: bool
) -> LimitGrowthEffect:
    approval = totals.rate_difference(("grown_orders", "orders"), ("ungrown_orders", "orders"))
    if approval is None:
        raise ValueError("there are no orders")
    declined = growing.approved_without_growth & ~growing.approved
    approved = growing.approved & ~growing.approved_without_growth

    def amount(name: str) -> AmountInterval | None:
        return totals.amount(f"grown_{name}", f"ungrown_{name}") if has_costs else None

    return LimitGrowthEffect(
        policy_version=growing.policy.version,
        declined=int(declined.sum()),
        declined_cents=int(orders.amount_cents[declined].sum()),
        approved=int(approved.sum()),
        approved_cents=int(orders.amount_cents[approved].sum()),
        lost=totals.rate("growth_declined_orders", "ungrown_orders"),
        approval_rate=approval,
        realised_net=amount("realised_net"),
        expected_net=amount("expected_net"),
    )


def _change(
    prefix: str,
    mask: BoolArray,
    declining: PolicyDecisions,
    totals: Totals,
    orders: ReplayedOrders,
    evidence: OrderEvidence,
    standing: NDArray[np.object_],
    costs: CostPolicy | None,
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
        bad_rate=totals.rate(f"{prefix}_bad", f"{prefix}_known"),
        realised_net=None if costs is None else totals.amount(f"{prefix}_realised_net"),
        expected_net=None if costs is None else totals.amount(f"{prefix}_expected_net"),
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
