"""The comparison of a challenger's answers with the champion's, beside slow and independent figures."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from evidence.intervals import counted_share
from evidence.stability import population_stability_index
from serving.shadow.question import ELIGIBILITY, ORDER_RISK, Question
from serving.shadow.report import MINIMUM_DECISIONS, ShadowReport, shadow_report
from serving.shadow.report_text import report_text
from serving.store.decision_search import first_id_at
from serving.store.made_in_window import MadeInWindow
from serving.store.shadow_decisions import ModelAnswer, ShadowDecision
from tests.builders import DAY, ms

T0 = ms("2026-01-01")


def an_answer_of(
    outcome: str, points: int | None = 600, probability: float | None = 0.02, **more: str
) -> ModelAnswer:
    rule = more.get("rule")
    return ModelAnswer(
        outcome=outcome,
        probability=None if outcome == "unavailable" else probability,
        points=None if outcome == "unavailable" else points,
        failed_rules=() if rule is None else (rule,),
        reasons=() if rule is None else (f"reason_{rule}",),
    )


def an_answer(
    number: int,
    champion: ModelAnswer,
    challenger: ModelAnswer,
    *,
    cents: int = 10_000,
    currency: str = "EUR",
    order_id: str | None = None,
    customer_id: str | None = None,
) -> ShadowDecision:
    return ShadowDecision(
        model_name="invoice-eligibility",
        model_version="2",
        subject_id=f"{first_id_at(T0 + number * 1_000)}{number:016x}",
        order_id=order_id or f"o{number}",
        customer_id=customer_id or f"c{number}",
        as_of_ms=T0 + number * 1_000,
        amount_cents=cents,
        currency=currency,
        policy_version="1",
        champion_version="1",
        champion=champion,
        challenger=challenger,
        raw_log_odds=-3.0,
        failure="ZeroDivisionError: x" if challenger.outcome == "unavailable" else None,
    )


def answers_of(counts: dict[tuple[str, str], int]) -> list[ShadowDecision]:
    """So many answers for each pair of outcomes."""
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    return [
        an_answer(number, an_answer_of(champion), an_answer_of(challenger))
        for number, (champion, challenger) in enumerate(pairs)
    ]


def report_of(
    answers: list[ShadowDecision],
    *,
    labels: dict[str, int] | None = None,
    question: Question = ELIGIBILITY,
    made: MadeInWindow | None = None,
    answers_from_ms: int = T0,
    made_since_start: MadeInWindow | None = None,
    differences: int = 0,
) -> ShadowReport:
    made = made or MadeInWindow(made=len(answers), own=0, no_features=0)
    return shadow_report(
        answers,
        model_name="invoice-eligibility",
        version="2",
        question=question,
        since_ms=T0,
        answers_from_ms=answers_from_ms,
        made=made,
        made_since_start=made_since_start or made,
        labels=labels or {},
        differences=differences,
    )


BOTH, LOST, WON, NEITHER = (
    ("approved", "approved"),
    ("approved", "declined"),
    ("declined", "approved"),
    ("declined", "declined"),
)


def test_outcomes_rates_and_their_difference_come_out_as_counted_by_hand() -> None:
    report = report_of(answers_of({BOTH: 300, LOST: 40, WON: 10, NEITHER: 50}))
    assert {(cell.champion, cell.challenger): cell.decisions for cell in report.outcomes} == {
        BOTH: 300,
        LOST: 40,
        WON: 10,
        NEITHER: 50,
    }
    rates = report.rates
    assert rates is not None
    assert (rates.champion.value, rates.challenger.value) == (340 / 400, 310 / 400)
    assert rates.difference == pytest.approx(-30 / 400)
    assert (rates.only_champion, rates.only_challenger) == (40, 10)
    assert (rates.customers, rates.differing_customers) == (400, 50)
    assert rates.sign_flip_p_value == pytest.approx(binomtest(10, 50, 0.5).pvalue)
    # The normal approximation of a paired difference, written out.
    error = 1.96 * np.sqrt((40 + 10) / 400 - (30 / 400) ** 2) / np.sqrt(400)
    assert rates.difference_low == pytest.approx(-0.075 - error, abs=0.006)
    assert rates.difference_high == pytest.approx(-0.075 + error, abs=0.006)
    assert report.conclusion == (
        "Of 100 decisions the challenger would have approved 7.5 fewer than the champion; chance does not "
        "explain that."
    )


@given(successes=st.integers(0, 60), others=st.integers(0, 60))
@settings(max_examples=60)
def test_shares_agree_with_scipy(successes: int, others: int) -> None:
    of = successes + others
    assume(of)
    found = counted_share(successes, of)
    interval = binomtest(successes, of).proportion_ci(method="wilson")
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def with_three_tries_each(answers: list[ShadowDecision]) -> list[ShadowDecision]:
    """The same answers, where always three in a row are of one customer."""
    return [
        an_answer(number, answer.champion, answer.challenger, customer_id=f"c{number // 3}")
        for number, answer in enumerate(answers)
    ]


def test_tries_of_one_customer_are_no_independent_evidence_for_the_conclusion() -> None:
    answers = answers_of({LOST: 27, WON: 9, BOTH: 300})
    assert "chance does not explain that" in report_of(answers).conclusion
    report = report_of(with_three_tries_each(answers))
    assert report.rates is not None
    assert (report.rates.customers, report.rates.differing_customers) == (112, 12)
    assert report.rates.sign_flip_p_value == pytest.approx(binomtest(3, 12, 0.5).pvalue)
    assert "by no more than chance explains; 36 of 336 decisions" in report.conclusion


def test_few_customers_with_many_tries_are_too_few_to_tell() -> None:
    assert "about 40 customers (100 wanted)" in (
        report_of(with_three_tries_each(answers_of({BOTH: 60, LOST: 60}))).conclusion
    )
    few_that_differ = report_of(with_three_tries_each(answers_of({BOTH: 300, LOST: 15}))).conclusion
    assert "15 of 315 decisions came out otherwise, for 5 of 105 customers" in few_that_differ


def test_a_customer_who_won_as_often_as_lost_differs_but_tells_nothing_of_the_direction() -> None:
    pairs = [LOST, WON] * 50 + [BOTH] * 200
    answers = [
        an_answer(number, an_answer_of(champion), an_answer_of(challenger), customer_id=f"c{number // 2}")
        for number, (champion, challenger) in enumerate(pairs)
    ]
    report = report_of(answers)
    assert report.rates is not None
    assert (report.rates.differing_customers, report.rates.sign_flip_p_value) == (50, 1.0)
    assert "by no more than chance explains; 100 of 300 decisions" in report.conclusion


def test_orders_of_one_customer_widen_the_interval_of_the_difference() -> None:
    alone = answers_of({BOTH: 150, LOST: 50})
    together = [
        an_answer(number, answer.champion, answer.challenger, customer_id=f"c{number // 10}")
        for number, answer in enumerate(alone)
    ]
    width = {}
    for name, answers in (("alone", alone), ("together", together)):
        rates = report_of(answers).rates
        assert rates is not None
        width[name] = rates.difference_high - rates.difference_low
    assert width["together"] > 2 * width["alone"]


@pytest.mark.parametrize(
    ("counts", "conclusion"),
    [
        ({}, "Nothing to compare: no decision of this time has been answered by both."),
        (
            {BOTH: 20, LOST: 20},
            "Too few to tell: 40 decisions answered by both, about 40 customers (100 wanted), 20 with ",
        ),
        (
            {BOTH: 995, LOST: 5},
            "for 5 of 1,000 customers, in the long run for at most 1.2%; too few to tell which",
        ),
        ({BOTH: 900, LOST: 10, WON: 10}, "differs by no more than chance explains; 20 of 920 decisions"),
        ({BOTH: 100, WON: 20}, "would have approved 16.7 more than the champion"),
        ({("approved", "unavailable"): 7}, "The challenger failed at each of the 7 decisions"),
    ],
    ids=["none", "few", "few that differ", "no difference", "more", "all failed"],
)
def test_the_conclusion_says_plainly_what_is_known_and_when_it_is_too_little(
    counts: dict[tuple[str, str], int], conclusion: str
) -> None:
    report = report_of(answers_of(counts))
    assert conclusion in report.conclusion
    assert report.conclusion == report_text(report).splitlines()[1]


def test_every_decision_of_the_window_is_compared_or_accounted_for() -> None:
    answers = answers_of({BOTH: 5, ("declined", "unavailable"): 2})
    report = report_of(answers, made=MadeInWindow(made=20, own=3, no_features=4))
    assert (report.made, report.not_comparable, report.waiting, report.failed, report.compared) == (
        20,
        7,
        6,
        2,
        5,
    )
    assert report.made == report.not_comparable + report.waiting + report.failed + report.compared
    assert "before the shadow began" not in report_text(report)


def test_what_was_made_before_the_shadow_began_is_named_so_and_does_not_wait() -> None:
    # Of 20 in the window, 8 are from before this start; an earlier run had answered 2 of those.
    report = report_of(
        answers_of({BOTH: 6}),
        answers_from_ms=T0 + 2_000,
        made=MadeInWindow(made=20, own=3, no_features=4),
        made_since_start=MadeInWindow(made=12, own=2, no_features=1),
    )
    # Since the start 9 can be answered and 4 are; before it 4 could have been and 2 were.
    assert (report.waiting, report.before_start, report.not_comparable, report.compared) == (5, 2, 7, 6)
    assert report.made == (
        report.not_comparable + report.before_start + report.waiting + report.failed + report.compared
    )
    assert "5 wait for an answer" in report_text(report)
    assert "2 made before the shadow began" in report_text(report)


def test_scores_move_by_points_and_by_the_stability_index_of_training() -> None:
    random = np.random.default_rng(3)
    before, after = random.beta(1, 30, 500), random.beta(1, 20, 500)
    moved = random.integers(-40, 20, 500)
    answers = [
        an_answer(
            number,
            an_answer_of("approved", 600, float(before[number])),
            an_answer_of("approved", 600 + int(moved[number]), float(after[number])),
        )
        for number in range(500)
    ]
    scores = report_of(answers).scores
    assert scores is not None
    assert scores.unit == "points"
    assert scores.quantiles == tuple(np.quantile(moved, (0.05, 0.25, 0.5, 0.75, 0.95)))
    assert scores.stability_index == population_stability_index(before, after)
    few = report_of(answers[: MINIMUM_DECISIONS - 1]).scores
    assert few is not None
    assert few.stability_index is None


def test_order_risk_scores_move_by_percentage_points_of_probability() -> None:
    answers = [
        an_answer(number, an_answer_of("clear", None, 0.01), an_answer_of("flagged", None, 0.31))
        for number in range(3)
    ]
    report = report_of(answers, question=ORDER_RISK)
    assert report.scores is not None
    assert report.scores.unit == "percentage points"
    assert report.scores.quantiles == pytest.approx([30.0] * 5)
    assert report.rates is not None
    assert (report.rates.champion.value, report.rates.challenger.value) == (0.0, 1.0)


def test_rules_reasons_and_amounts_that_differ_are_counted_by_side_and_currency() -> None:
    answers = [
        an_answer(
            1, an_answer_of("approved"), an_answer_of("declined", rule="score_below_cut_off"), cents=12_345
        ),
        an_answer(2, an_answer_of("declined", rule="credit_limit"), an_answer_of("approved"), cents=700),
        an_answer(3, an_answer_of("declined", rule="age"), an_answer_of("declined", rule="age"), cents=99),
        an_answer(4, an_answer_of("approved"), an_answer_of("declined", rule="credit_limit"), currency="SEK"),
    ]
    report = report_of(answers)
    assert [(one.kind, one.code, one.only_champion, one.only_challenger) for one in report.grounds] == [
        ("rule", "credit_limit", 1, 1),
        ("rule", "score_below_cut_off", 0, 1),
        ("reason", "reason_credit_limit", 1, 1),
        ("reason", "reason_score_below_cut_off", 0, 1),
    ]
    assert [(one.currency, one.only_champion_cents, one.only_challenger_cents) for one in report.amounts] == [
        ("EUR", 12_345, 700),
        ("SEK", 10_000, 0),
    ]


def test_what_became_of_the_orders_counts_each_order_once_and_never_one_that_was_refused() -> None:
    answers = [
        *answers_of({BOTH: 4, LOST: 3, WON: 2}),
        an_answer(20, an_answer_of("approved"), an_answer_of("declined"), order_id="o0"),
    ]
    labels = {"o0": 1, "o1": 0, "o2": 0, "o4": 1, "o7": 1, "o8": 1}
    realised = {(cell.champion, cell.challenger): cell for cell in report_of(answers, labels=labels).realised}
    assert {pair: cell.orders for pair, cell in realised.items()} == {BOTH: 3, LOST: 4, WON: 2}
    both, lost = realised[BOTH].bad, realised[LOST].bad
    assert both is not None
    assert lost is not None
    assert (both.count, both.of) == (0, 2)
    assert (lost.count, lost.of) == (2, 2)
    assert realised[WON].bad is None
    assert "the champion refused them: nobody knows" in report_text(report_of(answers, labels=labels))


def test_a_clear_order_is_judged_too_where_the_question_is_order_risk() -> None:
    answers = [an_answer(number, an_answer_of("clear"), an_answer_of("flagged")) for number in range(3)]
    (cell,) = report_of(answers, labels={"o1": 1, "o2": 0}, question=ORDER_RISK).realised
    assert cell.bad is not None
    assert (cell.bad.count, cell.bad.of, cell.orders) == (1, 2, 3)


def test_the_newest_decisions_that_differ_are_listed_newest_first_and_the_report_is_json() -> None:
    report = report_of(answers_of({BOTH: 3, LOST: 4}), differences=2)
    assert [one.order_id for one in report.differing] == ["o6", "o5"]
    document = json.loads(json.dumps(report.to_json()))
    assert document["differing"][0]["order_id"] == "o6"
    assert document["since"] == "2026-01-01T00:00:00.000+00:00"
    assert document["question"]["subject"] == "decision"
    assert "dec_" in report_text(report)
    assert report_of(answers_of({BOTH: 1})).differing == ()


@given(
    st.lists(
        st.tuples(st.sampled_from(["approved", "declined"]), st.sampled_from(["approved", "declined"])),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=25)
def test_the_difference_of_rates_is_what_won_minus_what_was_lost(pairs: list[tuple[str, str]]) -> None:
    counts = Counter(pairs)
    report = report_of(answers_of(dict(counts)))
    assert report.rates is not None
    assert report.rates.difference == pytest.approx((counts[WON] - counts[LOST]) / len(pairs))
    assert report.rates.difference_low <= report.rates.difference + 1e-12
    assert report.rates.difference_high >= report.rates.difference - 1e-12
    assert sum(cell.decisions for cell in report.outcomes) == len(pairs)
    assert T0 <= (report.until_ms or 0) < T0 + DAY
