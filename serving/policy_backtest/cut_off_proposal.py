"""Proposes cut-offs from costs: the pair that would have left most of the orders of the past.

The book is searched as a whole, every pair of whole points against every other. What was chosen on a
sample looks better on it than elsewhere, so the gain is also measured on the customers that a round of the
bootstrap left out, with the pair that the round would have chosen.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evidence.customer_bootstrap import BOOTSTRAP_ROUNDS, Totals, customer_bootstrap
from evidence.intervals import HIGH, LOW, AmountInterval, Interval, amount_interval
from features.instants import Float64Array
from serving.policy_backtest.cut_off_curve import (
    GROUPS,
    LOWEST_SCORE,
    SumsByCutOff,
    cut_off_of,
    eligible_but_for_score,
    evidence_from,
    group_of,
    has_outcome,
    sums_by_cut_off,
)
from serving.policy_backtest.order_evidence import (
    Evidence,
    OrderEvidence,
    OrderOutcomes,
    order_evidence,
    order_worth,
)
from serving.policy_backtest.policy_replay import Replay, training_warnings

HIGHEST_CUT_OFF = 999
FLAT_SHARE = 0.01
"""Cut-offs whose net amount is within this share of the best are as good as the best."""


class NoProposalError(Exception):
    """No cut-off can be proposed; the message says why."""


@dataclass(frozen=True, kw_only=True)
class ProposalConstraints:
    """What a proposal must keep, over all orders. None: no such wish.

    extrapolate_factor: look also where outcomes are not known, and take an order that was never invoiced to
        be so many times as likely not to be paid as the model says.
    """

    lowest_approval_rate: float | None = None
    highest_bad_rate: float | None = None
    extrapolate_factor: float | None = None


@dataclass(frozen=True, kw_only=True)
class ProposedCutOff:
    """One of the two cut-offs.

    low, high: where 95 % of the bootstrap's rounds put it. flat_from, flat_to: around the proposal, as
    good as it within 1 % of the net amount. evidence_from: outcomes are known down to this score, None if
    nowhere.
    """

    group: str
    present: int
    proposed: int
    low: int
    high: int
    flat_from: int
    flat_to: int
    evidence_from: int | None


@dataclass(frozen=True, kw_only=True)
class CutOffProposal:
    """Two cut-offs and what they would have given, beside the present ones.

    net: realised where known and expected where the invoice is too young. gain: of the proposal, paired;
    gain_on_others: on customers who had no part in choosing, for a book of the same size.
    present_is_feasible: whether the present pair keeps the constraints; where it does not, the gain may be
    a loss.
    """

    cut_offs: tuple[ProposedCutOff, ...]
    orders: int
    currency: str
    net_present: AmountInterval
    net_proposed: AmountInterval
    gain: AmountInterval
    gain_on_others: AmountInterval
    approval_rate_present: Interval
    approval_rate_proposed: Interval
    bad_rate_present: Interval | None
    bad_rate_proposed: Interval | None
    present_is_feasible: bool
    warnings: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether a cut-off other than the present one is proposed."""
        return any(cut_off.proposed != cut_off.present for cut_off in self.cut_offs)

    @property
    def is_clearly_better(self) -> bool:
        """Whether the whole interval of the gain lies above 0."""
        return self.gain.low_cents is not None and self.gain.low_cents > 0

    def proposed(self, group: str) -> int:
        """The proposed cut-off of a group."""
        return next(cut_off.proposed for cut_off in self.cut_offs if cut_off.group == group)

    def to_json(self) -> dict[str, Any]:
        """The proposal as JSON values."""
        return {**asdict(self), "changes": self.changes, "is_clearly_better": self.is_clearly_better}


Sums = dict[str, SumsByCutOff]
Pair = tuple[int, int]


def propose_cut_offs(
    replay: Replay,
    outcomes: OrderOutcomes,
    constraints: ProposalConstraints,
    *,
    trained_until_ms: int | None,
    seed: int = 0,
    rounds: int = BOOTSTRAP_ROUNDS,
) -> CutOffProposal:
    """Propose cut-offs for the only policy of a replay.

    Raises NoProposalError where the policy has no costs, outcomes are known nowhere, or no pair keeps the
    constraints.
    """
    orders = replay.orders
    decided = replay.decisions[0]
    policy = decided.policy
    if policy.costs is None:
        raise NoProposalError(f"policy {policy.version} has no table [costs] to weigh")
    evidence = order_evidence(orders, outcomes)
    factor = constraints.extrapolate_factor
    worth = order_worth(orders, evidence, policy.costs, reject_factors=(factor or 1.0, factor or 1.0))
    counts = has_outcome(evidence)
    net = worth.net_cents * counts
    if factor is not None:
        unknown = evidence.is_one_of(Evidence.NEVER_INVOICED)
        net += (worth.fee_cents - worth.loss_low_cents - worth.handling_cents) * unknown
    bootstrap = customer_bootstrap(orders.customer_id, seed=seed, rounds=rounds)
    sums = sums_by_cut_off(orders, decided, evidence, net, bootstrap)
    eligible = {name: mask & eligible_but_for_score(decided) for name, mask in group_of(decided).items()}
    known_from = {name: evidence_from(orders.score[mask], counts[mask]) for name, mask in eligible.items()}
    if factor is None and all(found is None for found in known_from.values()):
        raise NoProposalError(
            "too few outcomes are known at any score: use a longer book, or a longer period of it"
        )
    present = (policy.cut_off_stranger, policy.cut_off_known)
    candidates = [
        _candidates(
            cut_off_of(policy, name),
            known_from[name],
            orders.score[eligible[name]],
            extrapolates=factor is not None,
        )
        for name in GROUPS
    ]
    search = _Search(sums=sums, candidates=candidates, present=present, constraints=constraints)
    proposed = search.best_pair(None)
    if proposed is None:
        raise NoProposalError(search.why_none())
    of_rounds = [search.best_pair(place) for place in range(bootstrap.rounds)]
    drawn = [pair for pair in of_rounds if pair is not None]
    if not drawn:
        raise NoProposalError("no round of the bootstrap keeps the constraints: loosen them a little")
    cut_offs = tuple(
        _proposed_cut_off(search, proposed, group, [pair[group] for pair in drawn], known_from[name])
        for group, name in enumerate(GROUPS)
    )
    at_present, at_proposed = _together(sums, present), _together(sums, proposed)
    paired = Totals(
        point={"present": at_present.point["net"], "proposed": at_proposed.point["net"]},
        rounds={"present": at_present.rounds["net"], "proposed": at_proposed.rounds["net"]},
        customers={},
    )
    without_approval = {
        name
        for name, cut_off in zip(GROUPS, proposed, strict=True)
        if known_from[name] is not None and sums[name].point["orders"][cut_off] == 0
    }
    approval = [totals.rate("orders", "all") for totals in (at_present, at_proposed)]
    if approval[0] is None or approval[1] is None:
        raise NoProposalError("there are no orders")
    return CutOffProposal(
        cut_offs=cut_offs,
        orders=len(orders),
        currency=orders.currency,
        net_present=paired.amount("present"),
        net_proposed=paired.amount("proposed"),
        gain=paired.amount("proposed", "present"),
        gain_on_others=_gain_on_others(search, of_rounds),
        approval_rate_present=approval[0],
        approval_rate_proposed=approval[1],
        bad_rate_present=at_present.rate("bad", "known"),
        bad_rate_proposed=at_proposed.rate("bad", "known"),
        present_is_feasible=search.present_is_feasible(),
        warnings=(
            *training_warnings(orders, trained_until_ms),
            *_mostly_expected(evidence),
            *_limits_of_evidence(cut_offs, without_approval, extrapolates=factor is not None),
        ),
    )


def _candidates(
    present: int, known_from: int | None, score: NDArray[np.int64], *, extrapolates: bool
) -> NDArray[np.int64]:
    """The cut-offs to choose among, the present one always; only that in a group without evidence.

    They go down to the present one or to where outcomes end, whichever is lower. score: of the orders that a
    cut-off could approve. Between two scores nothing changes, so both ends of each such stretch stand for it.
    """
    lowest = LOWEST_SCORE if extrapolates else known_from
    if lowest is None:
        return np.array([present], dtype=np.int64)
    # Raising a cut-off that lies where outcomes are few asks nothing about orders that are declined today.
    lowest = min(lowest, present)
    turns = np.unique(np.concatenate([score, score + 1, [lowest, present]]))
    return turns[(turns >= lowest) & (turns <= HIGHEST_CUT_OFF)].astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class _Search:
    """The pairs to choose among. candidates: cut-offs of strangers, and of known customers."""

    sums: Sums
    candidates: list[NDArray[np.int64]]
    present: Pair
    constraints: ProposalConstraints

    def values(self, name: str, place: int | None) -> tuple[Float64Array, Float64Array]:
        """Sums of that name at the candidates of both groups; of a round, or of the book for None."""
        found = [
            self.sums[group].point[name] if place is None else self.sums[group].rounds[name][place]
            for group in GROUPS
        ]
        return found[0][self.candidates[0]], found[1][self.candidates[1]]

    def _pairs(self, name: str, place: int | None) -> Float64Array:
        stranger, known = self.values(name, place)
        return stranger[:, None] + known[None, :]

    def _is_feasible(self, place: int | None) -> NDArray[np.bool_]:
        feasible = np.ones(tuple(len(own) for own in self.candidates), dtype=bool)
        if self.constraints.lowest_approval_rate is not None:
            every = sum(
                group.all_orders if place is None else group.all_orders_rounds[place]
                for group in self.sums.values()
            )
            feasible &= self._pairs("orders", place) >= self.constraints.lowest_approval_rate * every
        if self.constraints.highest_bad_rate is not None:
            allowed = self.constraints.highest_bad_rate * self._pairs("known", place)
            feasible &= self._pairs("bad", place) <= allowed
        return feasible

    def present_is_feasible(self) -> bool:
        """Whether the present pair keeps the constraints in the book."""
        row, column = (
            int(np.searchsorted(own, present))
            for own, present in zip(self.candidates, self.present, strict=True)
        )
        return bool(self._is_feasible(None)[row, column])

    def best_pair(self, place: int | None) -> Pair | None:
        """The pair with the highest net amount; of equal ones the nearest to the present pair."""
        feasible = self._is_feasible(place)
        if not feasible.any():
            return None
        net = np.where(feasible, self._pairs("net", place), -np.inf)
        # Sums of cents are exact below 2**53, so equal ones are equal.
        rows, columns = np.nonzero(net == net.max())
        stranger, known = self.candidates[0][rows], self.candidates[1][columns]
        distance = np.abs(stranger - self.present[0]) + np.abs(known - self.present[1])
        nearest = int(np.argmin(distance))
        return int(stranger[nearest]), int(known[nearest])

    def why_none(self) -> str:
        """Which constraint cannot be kept, and what can."""
        every = sum(group.all_orders for group in self.sums.values())
        best_rate = float(self._pairs("orders", None).max() / every) if every else 0.0
        known = self._pairs("known", None)
        bad_rate = np.divide(
            self._pairs("bad", None), known, out=np.full_like(known, np.nan), where=known > 0
        )
        lowest_bad = float(np.nanmin(bad_rate)) if (known > 0).any() else float("nan")
        return (
            f"no pair of cut-offs keeps the constraints: where outcomes are known, at most {best_rate:.1%} "
            f"of the orders can be approved, and the bad rate cannot be below {lowest_bad:.2%}"
        )


def _together(sums: Sums, pair: Pair) -> Totals:
    """The sums of both groups under a pair of cut-offs."""
    parts = [sums[name].at(cut_off) for name, cut_off in zip(GROUPS, pair, strict=True)]
    # Whoever was a stranger first and known later has orders in both groups and counts once.
    having = [sums[name].customers_at(cut_off) for name, cut_off in zip(GROUPS, pair, strict=True)]
    return Totals(
        point={name: parts[0].point[name] + parts[1].point[name] for name in parts[0].point},
        rounds={name: parts[0].rounds[name] + parts[1].rounds[name] for name in parts[0].rounds},
        customers={name: int((having[0][name] | having[1][name]).sum()) for name in having[0]},
    )


def _proposed_cut_off(
    search: _Search, pair: Pair, group: int, drawn: list[int], known_from: int | None
) -> ProposedCutOff:
    own = search.sums[GROUPS[group]].point["net"]
    other = search.sums[GROUPS[1 - group]].point["net"][pair[1 - group]]
    best = own[pair[group]] + other
    is_flat = own + other >= best - FLAT_SHARE * abs(best)
    low = high = pair[group]
    while low > search.candidates[group][0] and is_flat[low - 1]:
        low -= 1
    while high < search.candidates[group][-1] and is_flat[high + 1]:
        high += 1
    return ProposedCutOff(
        group=GROUPS[group],
        present=search.present[group],
        proposed=pair[group],
        low=round(float(np.quantile(drawn, LOW))),
        high=round(float(np.quantile(drawn, HIGH))),
        flat_from=low,
        flat_to=high,
        evidence_from=known_from,
    )


def _gain_on_others(search: _Search, of_rounds: Sequence[Pair | None]) -> AmountInterval:
    """What the pair chosen in each round gains on the customers that it did not draw."""
    gains = []
    for place, pair in enumerate(of_rounds):
        if pair is None:
            continue
        gain = sum(
            search.sums[name].left_out_net[place][chosen] - search.sums[name].left_out_net[place][before]
            for name, chosen, before in zip(GROUPS, pair, search.present, strict=True)
        )
        # A round draws a customer with Poisson weight 1, so it leaves out a share of exp(-1).
        gains.append(float(gain) * np.e)
    return amount_interval(float(np.mean(gains)) if gains else 0.0, gains)


def _mostly_expected(evidence: OrderEvidence) -> list[str]:
    """A warning where most amounts are the model's expectation: intervals then do not doubt the model."""
    young = int(evidence.is_one_of(Evidence.MATURING).sum())
    counted = int(has_outcome(evidence).sum())
    if 2 * young <= counted:
        return []
    return [
        (
            f"{young:,} of {counted:,} invoiced orders are too young for an outcome; there the model's own "
            "probability counts, which the intervals take as true: use an earlier period"
        )
    ]


def _limits_of_evidence(
    cut_offs: tuple[ProposedCutOff, ...], without_approval: set[str], *, extrapolates: bool
) -> list[str]:
    said = []
    for cut_off in cut_offs:
        if cut_off.evidence_from is None:
            said.append(
                f"{cut_off.group}: too few outcomes are known at any score"
                + ("" if extrapolates else f"; the cut-off stays at {cut_off.present}")
            )
        elif not extrapolates and cut_off.proposed < cut_off.evidence_from:
            said.append(
                f"{cut_off.group}: few outcomes are known from {cut_off.proposed} to "
                f"{cut_off.evidence_from}, so little speaks for or against a higher cut-off"
            )
        elif cut_off.proposed < cut_off.evidence_from:
            said.append(
                f"{cut_off.group}: the proposal lies below {cut_off.evidence_from}, where outcomes end: it "
                "rests on an assumption, not on a book"
            )
        elif not extrapolates and cut_off.proposed == cut_off.evidence_from <= cut_off.present:
            said.append(
                f"{cut_off.group}: outcomes end at {cut_off.evidence_from}, and the best cut-off found is "
                "just there; a lower one may be better, which only approving some of those orders could show"
            )
        if cut_off.group in without_approval:
            said.append(f"{cut_off.group}: at these costs no approval pays; check [costs]")
    return said
