"""What a backtest comes to: the figures of both policies, their difference, who is decided otherwise."""

from dataclasses import asdict, dataclass
from typing import Any

from evidence.intervals import AmountInterval, Interval
from serving.domain.policy import CostPolicy
from serving.policy_backtest.cut_off_curve import CutOffCurve


@dataclass(frozen=True, kw_only=True)
class Span:
    """A range of what cannot be known, and beyond its ends what chance adds. low, high: of
    an amount or of a share.
    """

    low: AmountInterval | Interval | None
    high: AmountInterval | Interval | None


@dataclass(frozen=True, kw_only=True)
class Money:
    """Amounts of some orders: the fee, what was or will be lost, handling, and what is left of it."""

    margin: AmountInterval
    loss: AmountInterval
    handling: AmountInterval
    net: AmountInterval


@dataclass(frozen=True, kw_only=True)
class EvidenceCount:
    """How many approved orders have evidence of a kind, their total and their share of those approved."""

    orders: int
    amount_cents: int
    share: float


@dataclass(frozen=True, kw_only=True)
class PolicyFigures:
    """One policy on the replayed orders.

    bad_rate: among approved orders with a known outcome. bad_rate_bounds: among these and the ones never
        invoiced, were none or all of them bad; bad_rate_inferred: by reject inference.
    realised, expected: amounts, None without costs. net_bounds, net_inferred: realised and expected net with
        the range of the orders never invoiced; both ends are equal where there are none.
    """

    policy_version: str
    approved: int
    approved_amount_cents: int
    approval_rate: Interval
    evidence: dict[str, EvidenceCount]
    bad_rate: Interval | None
    bad_rate_bounds: Span
    bad_rate_inferred: Span
    realised: Money | None
    expected: Money | None
    net_bounds: Span | None
    net_inferred: Span | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The new policy minus the old one on the same orders, paired."""

    approval_rate: Interval
    bad_rate: Interval | None
    realised_margin: AmountInterval | None
    realised_loss: AmountInterval | None
    realised_net: AmountInterval | None
    expected_net: AmountInterval | None
    net_bounds: Span | None
    net_inferred: Span | None


@dataclass(frozen=True, kw_only=True)
class LimitGrowthEffect:
    """What a policy's [limit_growth] does to its own approvals, beside the same policy without it; paired.

    declined, approved: orders that only the section declines, or lets in. lost: the declined ones as a share
        of what the policy would approve without it, None where that is nothing.
    approval_rate: the difference.
    realised_net, expected_net: the difference, None without costs.
    """

    policy_version: str
    declined: int
    declined_cents: int
    approved: int
    approved_cents: int
    lost: Interval | None
    approval_rate: Interval
    realised_net: AmountInterval | None
    expected_net: AmountInterval | None


@dataclass(frozen=True, kw_only=True)
class Example:
    """One order that is decided otherwise. rules: that failed under the policy that declines it."""

    order_id: str
    ordered_at: str
    amount_cents: int
    score: int
    standing: str
    country: str
    merchant_id: str
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """The orders that only one of the policies approves.

    known, bads: how many have a known outcome, and how many of them were not paid. net: realised of those
        with an outcome; expected_net of those that are too young. unknown: never invoiced.
    by_rule: how many orders failed each rule, an order once for each; examples: the first in time.
    """

    orders: int
    amount_cents: int
    known: int
    bads: int
    bad_rate: Interval | None
    realised_net: AmountInterval | None
    expected_net: AmountInterval | None
    unknown: int
    unknown_amount_cents: int
    fraud: int
    by_rule: dict[str, int]
    amount_by_rule_cents: dict[str, int]
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class SegmentChange:
    """One part of the orders before and after."""

    name: str
    orders: int
    approved_before: int
    approved_after: int
    newly_declined: int
    newly_approved: int
    newly_declined_cents: int
    newly_approved_cents: int


@dataclass(frozen=True, kw_only=True)
class Backtest:
    """All of it. costs_of: the version of the policy whose costs were used for both; None without costs.

    limit_growth: of the new policy, or of the old one where only that has the section; None without any.
    segments: by standing, country, merchant (those that change most) and score band. curves: of the new
        policy, by group; cut_offs_before: (group, cut-off) of the old one.
    """

    model: str
    orders: int
    customers: int
    selected_from: int
    first_order_at: str
    last_order_at: str
    outcomes_until: str
    currency: str
    costs: CostPolicy | None
    costs_of: str | None
    reject_factors: tuple[float, float]
    before: PolicyFigures
    after: PolicyFigures
    difference: Difference
    limit_growth: LimitGrowthEffect | None
    newly_declined: Change
    newly_approved: Change
    segments: dict[str, tuple[SegmentChange, ...]]
    cut_offs_before: tuple[tuple[str, int], ...]
    curves: tuple[CutOffCurve, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self)
