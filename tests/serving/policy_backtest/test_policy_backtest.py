"""What a backtest says, on a dozen orders where every figure can be worked out by hand."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from evidence.intervals import AmountInterval, Interval
from serving.domain.policy import Policy
from serving.policy_backtest.backtest import backtest
from serving.policy_backtest.backtest_figures import Backtest, Span
from serving.policy_backtest.backtest_page import backtest_page
from serving.policy_backtest.backtest_text import backtest_text, verdict
from tests.serving.replayed_book import COSTS, POLICY, PlantedOrder, outcomes_of, replayed

NEW = replace(POLICY, version="new", cut_off_stranger=560, cut_off_known=480)
BOOK = [
    # Strangers: the new policy declines those from 500 to 559.
    PlantedOrder(score=520),
    PlantedOrder(score=530, label=1, lost=8_000),
    PlantedOrder(score=540, amount=20_000, owed=15_000, label=None, probability=0.2),
    PlantedOrder(score=550, owed=None, label=None, amount=5_000),
    PlantedOrder(score=555, fraud=True, label=None),
    PlantedOrder(score=600),
    PlantedOrder(score=610, label=1, lost=10_000),
    PlantedOrder(score=620, owed=0, label=None),
    # Known customers: the new policy also approves those from 480 to 499.
    PlantedOrder(score=485, paid_before=2, amount=4_000, owed=4_000),
    PlantedOrder(score=490, paid_before=2, owed=None, label=None, amount=6_000, probability=0.3),
    PlantedOrder(score=700, paid_before=9),
    # Whom a knock-out rule refuses, both policies refuse.
    PlantedOrder(score=700, paid_before=9, rules=("open_arrears",)),
]


def a_backtest(
    orders: list[PlantedOrder], old: Policy = POLICY, new: Policy = NEW, **options: Any
) -> Backtest:
    return backtest(
        replayed(orders, old, new),
        outcomes_of(orders),
        model="invoice-eligibility 1",
        outcomes_until_ms=2_000_000_000_000,
        trained_until_ms=0,
        **options,
    )


def cents(span: Span | None) -> tuple[int, int]:
    assert span is not None
    assert isinstance(span.low, AmountInterval)
    assert isinstance(span.high, AmountInterval)
    return span.low.cents, span.high.cents


def test_every_figure_of_the_book_made_by_hand() -> None:
    result = a_backtest(BOOK)
    before, after = result.before, result.after
    assert (before.approved, after.approved) == (9, 6)
    assert before.approval_rate.value == 9 / 12
    assert {kind: count.orders for kind, count in before.evidence.items()} == {
        "paid": 3,
        "not_paid": 2,
        "nothing_owed": 1,
        "maturing": 1,
        "fraud": 1,
        "never_invoiced": 1,
    }
    assert before.bad_rate is not None
    assert before.bad_rate.value == 2 / 5
    # Fees of 5 % on 5 orders of 100, 10 cents of handling each for 6, 80 and 100 lost.
    assert before.realised is not None
    assert before.realised.margin.cents == 2_500
    assert before.realised.handling.cents == 60
    assert before.realised.loss.cents == 18_000
    assert before.realised.net.cents == 2_500 - 60 - 18_000
    # The young one owes 150: 0.2 * 60 % of it is expected to be lost.
    assert before.expected is not None
    assert (before.expected.margin.cents, before.expected.loss.cents) == (750, 1_800)
    seen = -15_560 + 750 - 1_800 - 10
    assert cents(before.net_bounds) == (seen + 250 - 10 - 5_000, seen + 250 - 10)
    assert cents(before.net_inferred) == (seen + 240 - round(0.3 * 0.6 * 5_000), seen + 240 - 300)
    assert isinstance(before.bad_rate_bounds.low, Interval)
    assert isinstance(before.bad_rate_bounds.high, Interval)
    assert (before.bad_rate_bounds.low.value, before.bad_rate_bounds.high.value) == (2 / 6, 3 / 6)


def test_the_difference_is_that_of_the_orders_that_change() -> None:
    result = a_backtest(BOOK)
    declined, approved, change = result.newly_declined, result.newly_approved, result.difference
    assert (declined.orders, declined.amount_cents) == (5, 55_000)
    assert (declined.known, declined.bads, declined.unknown, declined.fraud) == (2, 1, 1, 1)
    assert declined.by_rule == {"score_below_cut_off": 5}
    assert declined.amount_by_rule_cents == {"score_below_cut_off": 55_000}
    assert [example.order_id for example in declined.examples] == ["o0", "o1", "o2", "o3", "o4"]
    assert declined.examples[1].outcome == "not_paid"
    assert (approved.orders, approved.known, approved.bads, approved.unknown) == (2, 1, 0, 1)
    assert change.realised_net is not None
    assert change.expected_net is not None
    # Gone: 2 fees of 5 with handling of 20 cents and a loss of 80. New: a fee of 2 less 10 cents.
    assert change.realised_net.cents == -(1_000 - 20 - 8_000) + (200 - 10)
    assert change.expected_net.cents == -(750 - 1_800 - 10)
    seen = 7_210 + 1_060
    # Never invoiced: o3 leaves (worth 240 or -4,760), o9 comes (worth 290 or -5,710).
    assert cents(change.net_bounds) == (seen - 240 - 5_710, seen + 4_760 + 290)
    worst_of_new = 290 - round(0.9 * 0.6 * 6_000)
    best_of_new = 290 - round(0.3 * 0.6 * 6_000)
    assert cents(change.net_inferred) == (
        seen - (240 - 300) + worst_of_new,
        seen - (240 - 900) + best_of_new,
    )
    by_standing = {row.name: row for row in result.segments["standing"]}
    assert (by_standing["stranger"].newly_declined, by_standing["known"].newly_approved) == (5, 2)
    assert (by_standing["established"].orders, by_standing["established"].approved_after) == (2, 1)


def test_the_same_policy_changes_nothing() -> None:
    result = a_backtest(BOOK, new=replace(POLICY, version="same"))
    nothing = AmountInterval(cents=0, low_cents=None, high_cents=None)
    assert (result.newly_declined.orders, result.newly_approved.orders) == (0, 0)
    assert result.difference.approval_rate == Interval(value=0, low=0, high=0)
    assert result.difference.realised_net == result.difference.expected_net == nothing
    assert result.difference.net_bounds == result.difference.net_inferred == Span(low=nothing, high=nothing)


def test_what_the_growth_of_limits_costs_is_said_beside_the_same_policy_without_it() -> None:
    book = [replace(order, exceeds_growth=place in {5, 6, 10, 11}) for place, order in enumerate(BOOK)]
    without = replace(POLICY, limit_growth=None)
    result = a_backtest(book, old=without, new=POLICY)
    effect = result.limit_growth
    assert effect is not None
    # Of four orders above the limit one is declined for its arrears anyway.
    assert (effect.declined, effect.declined_cents, effect.approved) == (3, 30_000, 0)
    assert (effect.declined, effect.declined_cents) == (
        result.newly_declined.orders,
        result.newly_declined.amount_cents,
    )
    assert effect.approval_rate == result.difference.approval_rate
    assert effect.lost is not None
    assert effect.lost.value == 3 / 9
    assert effect.realised_net == result.difference.realised_net
    assert effect.expected_net == result.difference.expected_net
    assert result.to_json()["limit_growth"]["declined"] == 3
    text, page = backtest_text(result), backtest_page(result)
    assert "declined by it alone 3 orders, EUR 300: 33.33 %" in text
    assert "declined by it alone" in page
    assert "3 orders" in page
    # Both policies with the section: the new one's is spoken of; none with it: nothing is.
    assert a_backtest(book, old=POLICY, new=NEW).limit_growth is not None
    none = a_backtest(book, old=without, new=replace(NEW, limit_growth=None))
    assert none.limit_growth is None
    assert "limit_growth" not in backtest_text(none) + backtest_page(none)


def test_without_costs_there_are_counts_and_no_amounts() -> None:
    result = a_backtest(BOOK, old=replace(POLICY, costs=None), new=replace(NEW, costs=None))
    assert (result.costs, result.before.realised, result.difference.net_bounds) == (None, None, None)
    assert result.newly_declined.orders == 5
    assert any("[costs]" in warning for warning in result.warnings)
    assert "no amounts" in verdict(result)
    assert "Net, EUR" not in backtest_page(result)


def test_the_costs_of_the_new_policy_count_for_both() -> None:
    dear = replace(COSTS, handling_cents=100)
    result = a_backtest(BOOK, new=replace(NEW, costs=dear))
    assert result.costs == dear
    assert result.before.realised is not None
    assert result.before.realised.handling.cents == 600
    assert any("differ in [costs]" in warning for warning in result.warnings)
    assert a_backtest(BOOK, new=replace(NEW, costs=None)).costs == COSTS


def test_orders_that_the_model_was_trained_on_are_named() -> None:
    result = backtest(
        replayed(BOOK, POLICY, NEW),
        outcomes_of(BOOK),
        model="m 1",
        outcomes_until_ms=2_000_000_000_000,
        trained_until_ms=1_767_225_600_000 + 3 * 86_400_000 + 1,
    )
    assert any("4 of the 12 orders" in warning and "2026-01-05" in warning for warning in result.warnings)


def test_reject_factors_stand_in_order() -> None:
    with pytest.raises(ValueError, match="lower one first"):
        a_backtest(BOOK, reject_factors=(3.0, 1.0))


planted_orders = st.lists(
    st.builds(
        PlantedOrder,
        score=st.integers(400, 800),
        amount=st.integers(100, 50_000),
        owed=st.integers(0, 50_000),
        label=st.sampled_from([0, 1, None]),
        lost=st.just(0),
        paid_before=st.sampled_from([0, 1, 6]),
        probability=st.floats(0.001, 0.9),
        rules=st.sampled_from([(), (), (), ("open_arrears",)]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=25)
@given(planted_orders, st.integers(0, 200), st.integers(0, 200))
def test_a_higher_cut_off_never_approves_more(orders: list[PlantedOrder], stranger: int, known: int) -> None:
    higher = replace(
        POLICY,
        version="higher",
        cut_off_stranger=POLICY.cut_off_stranger + stranger,
        cut_off_known=POLICY.cut_off_known + known,
    )
    result = a_backtest(orders, new=higher, rounds=5)
    assert result.newly_approved.orders == 0
    assert result.before.approved - result.after.approved == result.newly_declined.orders


@settings(max_examples=25)
@given(planted_orders, st.data())
def test_the_bounds_hold_the_truth_once_it_is_revealed(orders: list[PlantedOrder], data: Any) -> None:
    revealed = []
    for order in orders:
        label = data.draw(st.sampled_from([0, 1]))
        lost = data.draw(st.integers(0, order.amount)) if label else 0
        revealed.append(replace(order, owed=order.amount, label=label, lost=lost))
    # Half of the orders were declined in history: what they would have done is hidden.
    hidden = [
        replace(order, owed=None, label=None, lost=0) if place % 2 else order
        for place, order in enumerate(revealed)
    ]
    truth, guess = a_backtest(revealed, rounds=5), a_backtest(hidden, rounds=5)
    for side in ("before", "after"):
        low, high = cents(getattr(guess, side).net_bounds)
        assert low <= getattr(truth, side).realised.net.cents <= high
        rate, bounds = getattr(truth, side).bad_rate, getattr(guess, side).bad_rate_bounds
        if rate is not None:
            assert bounds.low.value <= rate.value <= bounds.high.value
    low, high = cents(guess.difference.net_bounds)
    assert truth.difference.realised_net is not None
    assert low <= truth.difference.realised_net.cents <= high
    inferred_low, inferred_high = cents(guess.difference.net_inferred)
    assert low <= inferred_low <= inferred_high <= high


def test_each_point_of_the_curve_is_the_policy_with_that_cut_off() -> None:
    random = np.random.default_rng(2)
    orders = [
        PlantedOrder(
            score=int(random.integers(450, 700)),
            label=int(random.random() < 0.2),
            lost=0,
            paid_before=int(random.integers(0, 3)),
            customer=f"c{place // 3}",
        )
        for place in range(300)
    ]
    curves = {curve.group: curve for curve in a_backtest(orders).curves}
    for point in curves["stranger"].points[::5]:
        other = a_backtest(
            orders, new=replace(NEW, version="x", cut_off_stranger=point.cut_off), rounds=5
        ).after
        strangers = [order for order in orders if order.paid_before == 0]
        assert point.approval_rate.value == pytest.approx(
            sum(order.score >= point.cut_off for order in strangers) / len(strangers)
        )
        known = sum(order.paid_before > 0 and order.score >= NEW.cut_off_known for order in orders)
        assert other.approved == known + round(point.approval_rate.value * len(strangers))


def test_a_bad_rate_of_none_still_has_an_interval() -> None:
    result = a_backtest([PlantedOrder(score=700) for _ in range(40)])
    assert result.after.bad_rate is not None
    assert (result.after.bad_rate.value, result.after.bad_rate.low) == (0.0, 0.0)
    assert result.after.bad_rate.high == pytest.approx(0.0876, abs=1e-3)


def test_orders_of_one_customer_prove_little_in_a_book_of_many() -> None:
    paid = [PlantedOrder(score=700, customer="one") for _ in range(40)]
    declined = [PlantedOrder(score=400, owed=None, label=None) for _ in range(500)]
    result = a_backtest(paid + declined)
    assert result.after.bad_rate is not None
    assert result.after.bad_rate.high == pytest.approx(wilson_by_scipy(0, 1)[1])
    curve = next(curve for curve in result.curves if curve.group == "stranger")
    rates = [point.bad_rate for point in curve.points if point.bad_rate is not None]
    assert {round(rate.high, 6) for rate in rates} == {round(wilson_by_scipy(0, 1)[1], 6)}


def wilson_by_scipy(successes: int, trials: int) -> tuple[float, float]:
    ends = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return float(ends.low), float(ends.high)


def test_no_bads_on_either_side_are_no_proof_of_no_difference() -> None:
    orders = [PlantedOrder(score=700) for _ in range(30)] + [PlantedOrder(score=520) for _ in range(10)]
    difference = a_backtest(orders).difference.bad_rate
    assert difference is not None
    # Nobody of 30 after, nobody of 40 before.
    after, before = wilson_by_scipy(0, 30)[1], wilson_by_scipy(0, 40)[1]
    assert (difference.value, difference.low, difference.high) == pytest.approx((0.0, -before, after))


def test_an_amount_that_nobody_adds_to_has_no_interval() -> None:
    result = a_backtest([PlantedOrder(score=700) for _ in range(40)])
    assert result.after.realised is not None
    assert result.after.realised.loss == AmountInterval(cents=0, low_cents=None, high_cents=None)
    assert result.after.realised.margin.low_cents is not None
    assert "realised loss       0 [no interval]" in backtest_text(result)
    assert "no amount differs" in verdict(result)
    assert "[no interval]" in backtest_page(result)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_one_file_with_words_for_every_picture_and_no_mark_up_from_data() -> None:
    page = backtest_page(a_backtest(BOOK, new=replace(NEW, version="<b>new</b>")))
    assert "<b>new</b>" not in page
    read = Page()
    read.feed(page)
    assert not [tag for tag, _ in read.tags if tag in {"script", "link", "img", "iframe"}]
    pictures = [attributes for tag, attributes in read.tags if tag == "svg"]
    assert len(pictures) == 9
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in pictures)
    assert ("html", {"lang": "en"}) in read.tags


def test_the_text_names_ranges_and_never_one_figure_for_what_nobody_saw() -> None:
    text = backtest_text(a_backtest(BOOK))
    assert "new approves fewer of the orders: -25.00 points" in text
    assert "all, bounds         +23 to +133" in text
    assert "never invoiced      1, EUR 50; confirmed fraud 1" in text
