"""Proposals find the break-even point where it is known, and stop where outcomes do."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.instants import DAY_MS
from serving.domain.errors import PolicyInvalid
from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_activation import POLICY_FILE
from serving.policy_backtest.backtest_text import proposal_text
from serving.policy_backtest.cut_off_curve import evidence_from
from serving.policy_backtest.cut_off_proposal import (
    CutOffProposal,
    NoProposalError,
    ProposalConstraints,
    propose_cut_offs,
)
from serving.policy_backtest.policy_text import with_values
from serving.policy_backtest.review_capacity import propose_flag
from tests.serving.replayed_book import POLICY, PlantedOrder, outcomes_of, replayed

NO_CONSTRAINT = ProposalConstraints()
SCORES = range(480, 680, 2)
PER_SCORE = 40
BREAK_EVEN = 580


def bad_share(score: int) -> float:
    """Not paid: 100 lost against a fee of 5 less 10 cents, so 4.9 % breaks even, at 580 points."""
    return 0.049 + (BREAK_EVEN - 1 - score) * 0.001


def a_book(paid_before: int = 0, seen_from: int = 0) -> list[PlantedOrder]:
    """At each score the planned share is bad to the nearest order; below `seen_from` nothing was invoiced."""
    orders = []
    carried = 0.0
    for score in SCORES:
        share = max(bad_share(score), 0.0) * PER_SCORE + carried
        bads = round(share)
        carried = share - bads
        for place in range(PER_SCORE):
            is_bad = place < bads
            seen = score >= seen_from
            orders.append(
                PlantedOrder(
                    score=score,
                    label=int(is_bad) if seen else None,
                    owed=10_000 if seen else None,
                    lost=10_000 if is_bad and seen else 0,
                    paid_before=paid_before,
                    probability=min(max(bad_share(score), 0.001), 0.999),
                )
            )
    return orders


def proposed(
    orders: list[PlantedOrder],
    constraints: ProposalConstraints = NO_CONSTRAINT,
    *,
    present: int = 500,
    rounds: int = 100,
) -> CutOffProposal:
    policy = replace(POLICY, cut_off_stranger=present, cut_off_known=present)
    return propose_cut_offs(
        replayed(orders, policy), outcomes_of(orders), constraints, trained_until_ms=0, seed=3, rounds=rounds
    )


@pytest.fixture(scope="module")
def both() -> CutOffProposal:
    return proposed(a_book() + a_book(paid_before=3))


def test_the_break_even_cut_off_is_found(both: CutOffProposal) -> None:
    for cut_off in both.cut_offs:
        # Between 560 and 600 an order gains or loses less than 2 % of its amount, so luck decides a little.
        assert abs(cut_off.proposed - BREAK_EVEN) <= 20
        assert cut_off.low <= cut_off.proposed <= cut_off.high
        assert cut_off.low <= BREAK_EVEN <= cut_off.high
        assert cut_off.flat_from <= cut_off.proposed <= cut_off.flat_to
        assert cut_off.evidence_from == 480
    assert both.gain.low_cents is not None
    assert both.gain.low_cents > 0
    assert both.gain.cents == both.net_proposed.cents - both.net_present.cents


def test_the_pair_is_the_best_of_all_pairs() -> None:
    random = np.random.default_rng(4)
    orders = []
    for place in range(1_000):
        label = int(random.random() < 0.08)
        orders.append(
            PlantedOrder(
                score=500 + int(random.integers(0, 20)) * 5,
                label=label,
                lost=10_000 * label,
                paid_before=int(random.integers(0, 2)),
                customer=f"c{place // 4}",
            )
        )
    found = proposed(orders)
    worth = [490 - order.lost for order in orders]

    def net(stranger: int, known: int) -> int:
        return sum(
            value
            for value, order in zip(worth, orders, strict=True)
            if order.score >= (known if order.paid_before else stranger)
        )

    every_pair = [net(stranger, known) for stranger in range(500, 606, 5) for known in range(500, 606, 5)]
    assert found.net_proposed.cents == max(every_pair)
    assert found.net_proposed.cents == net(found.proposed("stranger"), found.proposed("known"))
    # What was picked for its luck gains less where it had none.
    assert found.gain_on_others.cents < found.gain.cents


def test_nothing_is_proposed_below_the_last_known_outcome_unless_it_is_asked_for() -> None:
    orders = a_book(seen_from=620)
    found = proposed(orders, present=640)
    stranger = found.cut_offs[0]
    assert stranger.evidence_from == 620
    assert stranger.proposed == 620
    assert any("outcomes end at 620" in warning for warning in found.warnings)
    further = proposed(orders, ProposalConstraints(extrapolate_factor=1.0), present=640)
    # An assumed order loses 60 % of what is owed: 0.0816 breaks even, at 547 points.
    assert abs(further.proposed("stranger") - 547) <= 3
    assert any("rests on an assumption" in warning for warning in further.warnings)


def a_book_with_a_thin_tail() -> list[PlantedOrder]:
    """Every outcome is known, and nearly every order is paid, also the few at the lowest scores."""
    random = np.random.default_rng(0)
    return [
        PlantedOrder(score=int(score), label=int(is_bad), lost=5_000 * int(is_bad))
        for score, is_bad in zip(
            np.clip(random.normal(640, 70, 4_000), 100, 999), random.random(4_000) < 0.01, strict=True
        )
    ]


def test_a_present_cut_off_below_the_end_of_outcomes_is_not_raised_at_a_loss() -> None:
    found = proposed(a_book_with_a_thin_tail(), present=380)
    stranger = found.cut_offs[0]
    assert stranger.evidence_from is not None
    assert stranger.evidence_from > 380
    assert stranger.proposed == 380
    assert (found.changes, found.is_clearly_better, found.gain.cents) == (False, False, 0)
    text = proposal_text(found, None)
    assert text.startswith("no better than the present cut-offs")
    assert "only approving some of those orders could show" not in text
    assert any("few outcomes are known from 380" in warning for warning in found.warnings)


def test_a_gain_that_may_be_chance_is_not_called_better() -> None:
    # One order of two below 510 is not paid at a loss that the other's fee pays for but for a few cents.
    orders = [
        PlantedOrder(score=505 if place < 60 else 620, label=place % 2 if place < 60 else 0, lost=lost)
        for place, lost in enumerate([0, 1_000] * 30 + [0] * 600)
    ]
    found = proposed(orders)
    assert found.changes
    assert found.gain.cents > 0
    assert found.gain.low_cents is not None
    assert found.gain.low_cents <= 0
    assert proposal_text(found, None).startswith("not clearly better than the present cut-offs")


def test_what_a_constraint_costs_is_said(both: CutOffProposal) -> None:
    forced = proposed(a_book(), ProposalConstraints(lowest_approval_rate=0.95), present=600)
    assert not forced.present_is_feasible
    assert proposal_text(forced, None).startswith("the present cut-offs do not keep the constraints")
    assert both.present_is_feasible
    assert proposal_text(both, None).startswith("better than the present cut-offs: +")


planted_orders = st.lists(
    st.builds(
        PlantedOrder,
        score=st.sampled_from([385, 440, 505, 520, 545, 610]),
        label=st.sampled_from([0, 0, 0, 1, None]),
        owed=st.sampled_from([10_000, 10_000, None]),
        lost=st.sampled_from([0, 4_000, 10_000]),
        paid_before=st.sampled_from([0, 3]),
        customer=st.sampled_from(["a", "b", "c", None]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(planted_orders, st.integers(300, 700), st.sampled_from([None, 1.0, 3.0]))
def test_without_constraints_a_proposal_never_loses(
    orders: list[PlantedOrder], present: int, factor: float | None
) -> None:
    # Twenty orders of each make outcomes enough, and most orders have 600 points, where the search begins.
    found = proposed(
        orders * 20 + [PlantedOrder(score=600)] * 250,
        ProposalConstraints(extrapolate_factor=factor),
        present=present,
        rounds=3,
    )
    assert found.gain.cents >= 0
    assert found.present_is_feasible
    for cut_off in found.cut_offs:
        if factor is None and cut_off.evidence_from is not None:
            assert cut_off.proposed >= min(cut_off.present, cut_off.evidence_from)


def test_a_customer_with_orders_in_both_groups_counts_once() -> None:
    orders = [replace(order, customer="one", label=0, lost=0) for order in a_book() + a_book(paid_before=3)]
    found = proposed(orders)
    assert found.bad_rate_proposed is not None
    # Wilson's upper end for none of one: 1.96^2 / (1 + 1.96^2).
    assert found.bad_rate_proposed.high == pytest.approx(0.793, abs=1e-3)


def test_a_group_without_outcomes_keeps_its_cut_off(both: CutOffProposal) -> None:
    found = proposed(a_book())
    assert found.cut_offs[1].proposed == found.cut_offs[1].present == POLICY.cut_off_known
    assert found.cut_offs[1].evidence_from is None
    assert any("known: too few outcomes" in warning for warning in found.warnings)
    assert "cut_off_stranger" in proposal_text(both, None)


def test_where_no_approval_pays_the_costs_are_doubted() -> None:
    orders = [replace(order, label=1, lost=10_000) for order in a_book()]
    found = proposed(orders)
    assert found.net_proposed.cents == 0
    assert any("no approval pays" in warning for warning in found.warnings)


def test_a_proposal_that_rests_on_the_model_says_so(both: CutOffProposal) -> None:
    young = [replace(order, label=None, lost=0) for order in a_book()]
    assert any("too young for an outcome" in warning for warning in proposed(young).warnings)
    assert not any("too young for an outcome" in warning for warning in both.warnings)


def test_constraints_are_kept_or_refused_with_what_is_possible() -> None:
    orders = a_book()
    approving = proposed(orders, ProposalConstraints(lowest_approval_rate=0.9))
    assert approving.approval_rate_proposed.value >= 0.9
    careful = proposed(orders, ProposalConstraints(highest_bad_rate=0.005))
    assert careful.bad_rate_proposed is not None
    assert careful.bad_rate_proposed.value <= 0.005
    with pytest.raises(NoProposalError, match=r"at most 100\.0%"):
        proposed(orders, ProposalConstraints(lowest_approval_rate=0.99, highest_bad_rate=0.001))


def test_without_costs_or_outcomes_there_is_no_proposal() -> None:
    orders = a_book()
    with pytest.raises(NoProposalError, match=r"\[costs\]"):
        propose_cut_offs(
            replayed(orders, replace(POLICY, costs=None)),
            outcomes_of(orders),
            NO_CONSTRAINT,
            trained_until_ms=None,
        )
    with pytest.raises(NoProposalError, match="too few outcomes"):
        proposed(a_book(seen_from=900))


def test_evidence_ends_above_the_first_band_that_mostly_has_none() -> None:
    score = np.repeat(np.arange(500, 700), 3)
    assert evidence_from(score, score >= 0) == 500
    assert evidence_from(score, score >= 570) == 560
    assert evidence_from(score, score >= 571) == 580
    assert evidence_from(score, score < 0) is None


def test_only_the_named_values_of_a_policy_change() -> None:
    text = POLICY_FILE.read_text()
    present = parse_policy(text)
    wanted = replace(present, version="x", cut_off_known=511)
    changed = with_values(text, {"version": "x", "cut_off_known": 511}, wanted)
    lines = [pair for pair in zip(text.splitlines(), changed.splitlines(), strict=True) if pair[0] != pair[1]]
    assert [new for _, new in lines] == ['version = "x"', "cut_off_known = 511"]
    with pytest.raises(PolicyInvalid, match="cut_off_known: must stand once"):
        with_values(text.replace("cut_off_known", "cut_off_knwn"), {"cut_off_known": 511}, wanted)
    with pytest.raises(PolicyInvalid, match="does not read as the proposal"):
        with_values(text, {"cut_off_known": 512}, wanted)


def test_the_flag_takes_what_the_team_can_look_at() -> None:
    days, per_day = 50, 100
    # Each day the probabilities 1, 2, ... 100 per mille come once, and the highest is a fraud.
    per_mille = np.tile(np.arange(1, per_day + 1), days)
    when = np.repeat(np.arange(days) * DAY_MS, per_day)
    is_fraud = per_mille == per_day
    amounts = np.full(len(per_mille), 20_000)

    def flag(reviews: int, sample_share: float) -> tuple[int, float]:
        found = propose_flag(
            per_mille / 1000,
            when,
            amounts,
            is_fraud,
            present=50,
            reviews_per_day=reviews,
            sample_share=sample_share,
            review_cents=500,
        )
        assert (found.days, found.fraud_found, found.busiest_day) == (days, 1.0, found.flagged_per_day)
        assert found.review_cents_per_day == found.flagged_per_day * 500
        assert (found.flagged_per_day_present, found.fraud_cents_per_day) == (51, 20_000)
        return found.proposed, found.flagged_per_day

    assert flag(10, 0.0) == (91, 10)
    # One in ten of the others is looked at as well: 9 of them beside one flagged order would be 10.9.
    assert flag(15, 0.1) == (96, 5)
    with pytest.raises(ValueError, match="orders are needed"):
        propose_flag(
            np.array([]),
            np.array([], dtype=np.int64),
            np.array([], dtype=np.int64),
            np.array([], dtype=bool),
            present=50,
            reviews_per_day=1,
            sample_share=0.0,
            review_cents=None,
        )
