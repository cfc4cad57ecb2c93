"""Review cases: their steps, the order of work, hand-overs, and what a verdict teaches."""

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.order_outcomes import ORDER_OUTCOMES
from serving.domain.case_stakes import CaseStakes
from serving.domain.errors import RiskError
from serving.domain.review_case import (
    Action,
    CaseClosed,
    CaseHeldByAnother,
    CaseLabel,
    CaseNotClosed,
    CaseNotHeld,
    CaseOrigin,
    CaseState,
    ContactAlreadyUnderWay,
    ContactOutcome,
    EstablishedBy,
    NoContactUnderWay,
    NoStopToTakeBack,
    OrderOutcomeKind,
    ReasonMissing,
    ReviewCase,
    ReviewPolicy,
    StopStillHeld,
    UndoTooLate,
    Verdict,
    WithdrawalNotAllowed,
    claim,
    decide,
    expire_claim,
    expire_contact,
    give_back,
    is_sampled,
    label_of,
    next_handover_ms,
    open_case,
    priority,
    record_contact,
    renew_claim,
    reopen,
    reopen_linked,
    sample_priority,
    start_contact,
    stop_chance,
    undo_stop,
    withdraw_stop,
)
from serving.domain.verified_contacts import CustomerContact, NoVerifiedContact, verified_contacts

SECOND_MS, MINUTE_MS, HOUR_MS = 1_000, 60_000, 3_600_000
NOW_MS = 1_780_000_000_000
POLICY = ReviewPolicy(
    claim_minutes=15,
    contact_hours=24,
    undo_seconds=30,
    case_hours=48,
    half_chance_hours=3.0,
    handover_delay_hours=2.0,
    recall_chance=0.3,
    service_stop_chance=0.5,
    withdraw_roles=frozenset({"fraud_lead"}),
    sample_share=0.01,
    sample_worth_cents=1_000,
)
ORDERED_AT_MS = NOW_MS - 7 * MINUTE_MS
STAKES = CaseStakes(
    probability=0.8,
    amount_cents=100_000,
    currency="EUR",
    ordered_at_ms=ORDERED_AT_MS,
    handover_at_ms=NOW_MS + HOUR_MS,
    left=False,
    recallable=True,
    is_service=False,
)
OPEN = open_case(
    case_id="r1",
    order_id="o1",
    customer_id="c1",
    merchant_id="m1",
    origin=CaseOrigin.FLAGGED,
    now_ms=NOW_MS,
    policy=POLICY,
)
CLAIMED = claim(OPEN, "ada", NOW_MS, POLICY)
CONTACTING = start_contact(CLAIMED, "ada", NOW_MS, POLICY)
RELEASED = decide(CLAIMED, "ada", Verdict.RELEASED, NOW_MS, POLICY)
STOPPED = decide(CLAIMED, "ada", Verdict.STOP, NOW_MS, POLICY)
IN_EFFECT_MS = NOW_MS + 30 * SECOND_MS

# Every step that a reviewer can try on a case, as "ada".
STEPS: dict[str, Callable[[ReviewCase], ReviewCase]] = {
    "claim": lambda case: claim(case, "ada", NOW_MS, POLICY),
    "renew_claim": lambda case: renew_claim(case, "ada", NOW_MS, POLICY),
    "give_back": lambda case: give_back(case, "ada"),
    "start_contact": lambda case: start_contact(case, "ada", NOW_MS, POLICY),
    "record_contact": lambda case: record_contact(case, "ada", ContactOutcome.DENIED, NOW_MS, POLICY),
    "release": lambda case: decide(case, "ada", Verdict.RELEASED, NOW_MS, POLICY),
    "stop": lambda case: decide(case, "ada", Verdict.STOP, NOW_MS, POLICY),
    "undo_stop": lambda case: undo_stop(case, "ada", NOW_MS, POLICY),
    "withdraw_stop": lambda case: withdraw_stop(case, "ada", NOW_MS, POLICY, role="fraud_lead"),
    "reopen": lambda case: reopen(case, "new facts", IN_EFFECT_MS, POLICY),
}
HOLDER_STEPS = ("renew_claim", "give_back", "start_contact", "record_contact", "release", "stop")


def assert_is_legal(case: ReviewCase) -> None:
    is_closed = case.state is CaseState.CLOSED
    assert (case.reviewer is None) == (case.state is CaseState.OPEN)
    assert (case.claim_due_at_ms is not None) == (case.state is CaseState.CLAIMED)
    assert (case.contact_due_at_ms is not None) == (case.state is CaseState.CONTACTING_CUSTOMER)
    assert (case.verdict is not None) == (case.closed_at_ms is not None) == is_closed
    assert (case.stop_takes_effect_at_ms is not None) == (case.verdict is Verdict.STOP)


def test_a_new_case_is_open_and_due_after_the_hours_of_the_policy() -> None:
    assert_is_legal(OPEN)
    assert (OPEN.state, OPEN.version, OPEN.reopened_count) == (CaseState.OPEN, 1, 0)
    assert OPEN.due_at_ms == NOW_MS + 48 * HOUR_MS


def test_a_case_is_overdue_from_its_deadline_on_until_it_has_a_verdict() -> None:
    assert [OPEN.is_overdue(OPEN.due_at_ms + shift) for shift in (-1, 0)] == [False, True]
    assert not RELEASED.is_overdue(RELEASED.due_at_ms)


@pytest.mark.parametrize(
    ("case", "states"),
    [
        (OPEN, {"claim": CaseState.CLAIMED}),
        (
            CLAIMED,
            {
                "claim": CaseState.CLAIMED,
                "renew_claim": CaseState.CLAIMED,
                "give_back": CaseState.OPEN,
                "start_contact": CaseState.CONTACTING_CUSTOMER,
                "release": CaseState.CLOSED,
                "stop": CaseState.CLOSED,
            },
        ),
        (
            CONTACTING,
            {
                "claim": CaseState.CONTACTING_CUSTOMER,
                "renew_claim": CaseState.CONTACTING_CUSTOMER,
                "give_back": CaseState.OPEN,
                "record_contact": CaseState.CLAIMED,
                "release": CaseState.CLOSED,
                "stop": CaseState.CLOSED,
            },
        ),
        (RELEASED, {"reopen": CaseState.OPEN}),
        (
            STOPPED,
            {"undo_stop": CaseState.CLAIMED, "withdraw_stop": CaseState.CLOSED, "reopen": CaseState.OPEN},
        ),
    ],
    ids=["open", "claimed", "contacting_customer", "released", "stopped"],
)
def test_each_state_allows_its_steps_and_no_others(case: ReviewCase, states: dict[str, CaseState]) -> None:
    reached = {}
    sentences = []
    for name, step in STEPS.items():
        try:
            after = step(case)
        except RiskError as refusal:
            sentences.append(str(refusal))
            continue
        assert_is_legal(after)
        assert after.version == case.version + 1
        reached[name] = after.state
    assert reached == states
    assert all(sentence.endswith(".") for sentence in sentences), "a reviewer reads them"


@pytest.mark.parametrize("name", HOLDER_STEPS)
def test_a_step_on_a_case_is_for_its_holder_alone(name: str) -> None:
    with pytest.raises(CaseNotHeld, match="Claim it first"):
        STEPS[name](OPEN)
    for held in (replace(CLAIMED, reviewer="bo"), replace(CONTACTING, reviewer="bo")):
        with pytest.raises(CaseHeldByAnother, match="bo holds this case"):
            STEPS[name](held)
    for closed in (RELEASED, STOPPED):
        with pytest.raises(CaseClosed, match="re-opened"):
            STEPS[name](closed)


def test_a_case_that_another_holds_cannot_be_claimed() -> None:
    for held in (CLAIMED, CONTACTING):
        with pytest.raises(CaseHeldByAnother, match="ada holds this case"):
            claim(held, "bo", NOW_MS, POLICY)
    with pytest.raises(CaseClosed):
        claim(RELEASED, "bo", NOW_MS, POLICY)


def test_a_claim_nobody_worked_on_goes_back_to_the_queue() -> None:
    due_ms = NOW_MS + 15 * MINUTE_MS
    assert expire_claim(CLAIMED, due_ms - 1) is CLAIMED
    assert expire_claim(CLAIMED, due_ms) == replace(OPEN, version=3)
    for other in (OPEN, CONTACTING, RELEASED):
        assert expire_claim(other, due_ms) is other


def test_work_on_a_case_renews_its_claim() -> None:
    worked_on = renew_claim(CLAIMED, "ada", NOW_MS + 14 * MINUTE_MS, POLICY)
    assert expire_claim(worked_on, NOW_MS + 15 * MINUTE_MS) is worked_on
    assert expire_claim(worked_on, NOW_MS + 29 * MINUTE_MS).state is CaseState.OPEN


@pytest.mark.parametrize("outcome", ContactOutcome)
def test_every_outcome_of_a_contact_leaves_the_decision_to_its_reviewer(outcome: ContactOutcome) -> None:
    later_ms = NOW_MS + HOUR_MS
    after = record_contact(CONTACTING, "ada", outcome, later_ms, POLICY)
    assert (after.state, after.reviewer, after.contact_outcome) == (CaseState.CLAIMED, "ada", outcome)
    assert after.claim_due_at_ms == later_ms + 15 * MINUTE_MS
    assert decide(after, "ada", Verdict.STOP, later_ms, POLICY).contact_outcome is outcome


def test_a_customer_who_does_not_answer_in_time_counts_as_unreachable() -> None:
    due_ms = NOW_MS + 24 * HOUR_MS
    assert CONTACTING.contact_due_at_ms == due_ms
    assert expire_contact(CONTACTING, due_ms - 1) is CONTACTING
    expired = expire_contact(CONTACTING, due_ms)
    assert expired == replace(OPEN, contact_outcome=ContactOutcome.UNREACHABLE, version=4)
    assert expire_contact(expired, due_ms) is expired


def test_an_answer_after_the_deadline_is_taken_while_the_contact_has_not_expired() -> None:
    late_ms = NOW_MS + 25 * HOUR_MS
    after = record_contact(CONTACTING, "ada", ContactOutcome.CONFIRMED, late_ms, POLICY)
    assert after.contact_outcome is ContactOutcome.CONFIRMED


def test_a_customer_is_contacted_once_at_a_time_and_again_after_an_outcome() -> None:
    with pytest.raises(ContactAlreadyUnderWay):
        start_contact(CONTACTING, "ada", NOW_MS, POLICY)
    with pytest.raises(NoContactUnderWay):
        record_contact(CLAIMED, "ada", ContactOutcome.DENIED, NOW_MS, POLICY)
    unreachable = record_contact(CONTACTING, "ada", ContactOutcome.UNREACHABLE, NOW_MS, POLICY)
    assert start_contact(unreachable, "ada", NOW_MS, POLICY).state is CaseState.CONTACTING_CUSTOMER


def test_a_customer_is_contacted_only_by_what_was_verified_before_the_order() -> None:
    before = CustomerContact(channel="email", verified_at_ms=ORDERED_AT_MS - 1)
    with_the_order = CustomerContact(channel="phone", verified_at_ms=ORDERED_AT_MS)
    never = CustomerContact(channel="phone", verified_at_ms=None)
    assert verified_contacts([never, before, with_the_order], STAKES) == (before,)
    with pytest.raises(NoVerifiedContact):
        verified_contacts([never, with_the_order], STAKES)


def test_a_release_closes_the_case_at_once() -> None:
    assert_is_legal(RELEASED)
    assert (RELEASED.verdict, RELEASED.closed_at_ms, RELEASED.reviewer) == (
        Verdict.RELEASED,
        NOW_MS,
        "ada",
    )
    assert not RELEASED.is_stop_in_effect(NOW_MS + 10**12)


def test_a_stop_is_held_half_a_minute() -> None:
    assert STOPPED.stop_takes_effect_at_ms == IN_EFFECT_MS
    assert [STOPPED.is_stop_in_effect(IN_EFFECT_MS + shift) for shift in (-1, 0)] == [False, True]


def test_a_stop_can_be_undone_until_it_takes_effect_and_not_after() -> None:
    undone = undo_stop(STOPPED, "ada", IN_EFFECT_MS - 1, POLICY)
    assert_is_legal(undone)
    assert (undone.state, undone.reviewer) == (CaseState.CLAIMED, "ada")
    with pytest.raises(UndoTooLate, match="30 seconds"):
        undo_stop(STOPPED, "ada", IN_EFFECT_MS, POLICY)


def test_only_who_stopped_an_order_can_undo_it() -> None:
    with pytest.raises(CaseHeldByAnother, match="only they can undo"):
        undo_stop(STOPPED, "bo", NOW_MS, POLICY)


@pytest.mark.parametrize("case", [OPEN, CLAIMED, CONTACTING, RELEASED])
def test_without_a_stop_there_is_nothing_to_take_back(case: ReviewCase) -> None:
    with pytest.raises(NoStopToTakeBack):
        undo_stop(case, "ada", NOW_MS, POLICY)
    with pytest.raises(NoStopToTakeBack):
        withdraw_stop(case, "ada", NOW_MS, POLICY, role="fraud_lead")


def test_who_may_withdraw_a_stop_in_effect_is_policy() -> None:
    withdrawn = withdraw_stop(STOPPED, "bo", IN_EFFECT_MS, POLICY, role="fraud_lead")
    assert_is_legal(withdrawn)
    assert (withdrawn.verdict, withdrawn.reviewer) == (Verdict.RELEASED, "bo")
    with pytest.raises(WithdrawalNotAllowed, match="by fraud_lead, not with the role fraud"):
        withdraw_stop(STOPPED, "ada", IN_EFFECT_MS, POLICY, role="fraud")
    nobody = replace(POLICY, withdraw_roles=frozenset())
    with pytest.raises(WithdrawalNotAllowed, match="by nobody"):
        withdraw_stop(STOPPED, "ada", IN_EFFECT_MS, nobody, role="fraud_lead")


def test_a_closed_case_is_re_opened_with_a_reason_and_a_new_deadline() -> None:
    later_ms = NOW_MS + 100 * HOUR_MS
    reopened = reopen(RELEASED, "the merchant sent a photograph", later_ms, POLICY)
    assert reopened == replace(
        OPEN, due_at_ms=later_ms + 48 * HOUR_MS, reopened_count=1, version=RELEASED.version + 1
    )
    with pytest.raises(ReasonMissing):
        reopen(RELEASED, "  ", later_ms, POLICY)
    for case in (OPEN, CLAIMED, CONTACTING):
        with pytest.raises(CaseNotClosed):
            reopen(case, "why not", later_ms, POLICY)


def test_re_opening_is_no_way_around_the_undo_of_a_stop() -> None:
    with pytest.raises(StopStillHeld):
        reopen(STOPPED, "new facts", IN_EFFECT_MS - 1, POLICY)
    assert reopen(STOPPED, "new facts", IN_EFFECT_MS, POLICY).state is CaseState.OPEN


def test_a_confirmed_case_re_opens_the_released_cases_of_linked_orders_and_leaves_the_others() -> None:
    reopened = reopen_linked(RELEASED, NOW_MS, POLICY)
    assert (reopened.state, reopened.reopened_count) == (CaseState.OPEN, 1)
    for case in (OPEN, CLAIMED, CONTACTING, STOPPED, reopened):
        assert reopen_linked(case, NOW_MS, POLICY) is case


def test_the_sample_takes_the_share_that_the_policy_says() -> None:
    draws = [position / 1_000 for position in range(1_000)]
    assert sum(is_sampled(draw, POLICY) for draw in draws) == 10
    assert not is_sampled(0.0, replace(POLICY, sample_share=0.0))
    assert is_sampled(0.999, replace(POLICY, sample_share=1.0))


def test_names_of_actions_are_told_apart() -> None:
    assert all(action.value == action.name.lower() for action in Action)


REVIEWERS = st.sampled_from(["ada", "bo", "cy"])
MOVES = st.lists(
    st.tuples(
        st.sampled_from([*STEPS, "expire_claim", "expire_contact", "reopen_linked"]),
        REVIEWERS,
        st.sampled_from(ContactOutcome),
        st.sampled_from(["fraud", "fraud_lead"]),
        st.sampled_from([0, SECOND_MS, 30 * SECOND_MS, 15 * MINUTE_MS, 25 * HOUR_MS]),
    ),
    max_size=40,
)


def moved(
    case: ReviewCase, name: str, reviewer: str, outcome: ContactOutcome, role: str, now_ms: int
) -> ReviewCase:
    match name:
        case "claim":
            return claim(case, reviewer, now_ms, POLICY)
        case "renew_claim":
            return renew_claim(case, reviewer, now_ms, POLICY)
        case "give_back":
            return give_back(case, reviewer)
        case "start_contact":
            return start_contact(case, reviewer, now_ms, POLICY)
        case "record_contact":
            return record_contact(case, reviewer, outcome, now_ms, POLICY)
        case "release":
            return decide(case, reviewer, Verdict.RELEASED, now_ms, POLICY)
        case "stop":
            return decide(case, reviewer, Verdict.STOP, now_ms, POLICY)
        case "undo_stop":
            return undo_stop(case, reviewer, now_ms, POLICY)
        case "withdraw_stop":
            return withdraw_stop(case, reviewer, now_ms, POLICY, role=role)
        case "reopen":
            return reopen(case, "new facts", now_ms, POLICY)
        case "expire_claim":
            return expire_claim(case, now_ms)
        case "expire_contact":
            return expire_contact(case, now_ms)
        case "reopen_linked":
            return reopen_linked(case, now_ms, POLICY)
    raise AssertionError(name)


@given(MOVES)
def test_no_sequence_of_steps_reaches_an_illegal_state_two_holders_or_an_old_version(
    moves: list[tuple[str, str, ContactOutcome, str, int]],
) -> None:
    case, now_ms, holder = OPEN, NOW_MS, None
    for name, reviewer, outcome, role, elapsed_ms in moves:
        now_ms += elapsed_ms
        try:
            after = moved(case, name, reviewer, outcome, role, now_ms)
        except RiskError:
            continue
        assert_is_legal(after)
        assert after.version == case.version + (after is not case)
        assert after.opened_at_ms == OPEN.opened_at_ms
        assert after.reopened_count - case.reopened_count == (
            case.state is CaseState.CLOSED and after.state is CaseState.OPEN
        )
        is_held = after.state in {CaseState.CLAIMED, CaseState.CONTACTING_CUSTOMER}
        after_holder = after.reviewer if is_held else None
        assert holder is None or after_holder in {None, holder}, "a case changes hands through the queue"
        if case.is_stop_in_effect(now_ms) and after.verdict is not Verdict.STOP:
            assert name in {"withdraw_stop", "reopen"}
        case, holder = after, after_holder


def chance(hours: float, *, left: bool = False, recallable: bool = True, is_service: bool = False) -> float:
    return stop_chance(
        now_ms=NOW_MS,
        handover_at_ms=NOW_MS + round(hours * HOUR_MS),
        left=left,
        recallable=recallable,
        policy=POLICY,
        is_service=is_service,
    )


def cents_per_hour(
    probability: float,
    amount_cents: int,
    hours: float,
    *,
    left: bool = False,
    recallable: bool = True,
    policy: ReviewPolicy = POLICY,
) -> int:
    return priority(
        probability=probability,
        amount_cents=amount_cents,
        now_ms=NOW_MS,
        handover_at_ms=NOW_MS + round(hours * HOUR_MS),
        left=left,
        recallable=recallable,
        policy=policy,
    )


def test_an_early_stop_nearly_always_works_and_one_three_hours_before_the_last_moment_in_half() -> None:
    assert chance(240, recallable=False) > 0.999
    assert chance(1, recallable=False) == pytest.approx(0.5)
    assert chance(-2, recallable=False) == 0


def test_after_an_order_has_left_a_stop_can_bring_what_a_recall_can() -> None:
    assert chance(5, left=True) == chance(-2) == POLICY.recall_chance
    assert chance(5, left=True, recallable=False) == 0


def test_after_a_service_has_begun_a_stop_can_bring_what_cutting_it_can() -> None:
    assert chance(-5, left=True, is_service=True) == POLICY.service_stop_chance
    assert chance(-5, left=True, recallable=False, is_service=True) == 0


@given(st.floats(-500, 500), st.floats(0, 100), st.booleans(), st.booleans())
def test_the_chance_of_a_stop_is_a_probability_and_never_rises_with_time(
    hours: float, elapsed: float, recallable: bool, is_service: bool
) -> None:
    later = chance(hours - elapsed, recallable=recallable, is_service=is_service)
    now = chance(hours, recallable=recallable, is_service=is_service)
    assert 0 <= later <= now < 1
    assert chance(hours, left=True, recallable=recallable, is_service=is_service) <= later


@given(st.floats(-10, 200))
def test_the_chance_of_a_stop_falls_without_a_jump(hours: float) -> None:
    assert chance(hours) - chance(hours - 1 / 60) < 0.01


def test_the_priority_is_what_the_next_hour_loses_and_a_share_of_what_remains() -> None:
    policy = replace(POLICY, recall_chance=0.0)
    # One hour before the hand-over the chance is 1/2, at the hand-over 4/13.
    expected = 0.8 * 100_000 * (1 / 2 - 4 / 13 + 0.01 / 2)
    assert cents_per_hour(0.8, 100_000, 1, policy=policy) == round(expected)


@given(
    amount_cents=st.integers(1_000, 500_000),
    likely=st.floats(0.5, 0.9),
    surer=st.floats(0.7, 1.0),
    certain=st.floats(0.0, 1.0),
    hours_to_handover=st.floats(0.1, 1.0),
    recall_chance=st.floats(0.0, 0.5),
    recallable=st.booleans(),
)
def test_a_likely_fraud_that_leaves_within_the_hour_precedes_a_surer_one_and_both_one_that_left(
    amount_cents: int,
    likely: float,
    surer: float,
    certain: float,
    hours_to_handover: float,
    recall_chance: float,
    recallable: bool,
) -> None:
    policy = replace(POLICY, recall_chance=recall_chance)
    leaving = cents_per_hour(likely, amount_cents, hours_to_handover, recallable=recallable, policy=policy)
    days_away = cents_per_hour(surer, amount_cents, 120, recallable=recallable, policy=policy)
    left = cents_per_hour(certain, amount_cents, -6, left=True, policy=policy)
    assert leaving > days_away > left


def test_orders_far_from_their_hand_over_and_orders_that_left_are_ordered_by_what_is_at_stake() -> None:
    assert cents_per_hour(0.9, 200_000, 120) > cents_per_hour(0.9, 100_000, 120)
    assert cents_per_hour(0.9, 200_000, -6, left=True) > cents_per_hour(0.9, 100_000, -6, left=True)
    assert cents_per_hour(0.9, 200_000, -6, left=True) > 0
    assert cents_per_hour(0.9, 200_000, -6, left=True, recallable=False) == 0


@given(
    probabilities=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    amounts_cents=st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)),
    hours=st.floats(-500, 500),
    left=st.booleans(),
    recallable=st.booleans(),
)
def test_the_priority_is_never_negative_and_grows_with_probability_and_amount(
    probabilities: tuple[float, float],
    amounts_cents: tuple[int, int],
    hours: float,
    left: bool,
    recallable: bool,
) -> None:
    def of(probability: float, amount_cents: int) -> int:
        return cents_per_hour(probability, amount_cents, hours, left=left, recallable=recallable)

    low, high = sorted(probabilities)
    small, large = sorted(amounts_cents)
    assert 0 <= of(low, small) <= of(low, large) <= of(high, large)
    assert of(low, small) <= of(high, small) <= of(high, large)


@pytest.mark.parametrize(("probability", "amount_cents"), [(-0.1, 1), (1.1, 1), (float("nan"), 1), (0.5, -1)])
def test_a_priority_of_impossible_numbers_is_refused(probability: float, amount_cents: int) -> None:
    with pytest.raises(ValueError, match="must"):
        cents_per_hour(probability, amount_cents, 1)


def milliseconds(instant: datetime) -> int:
    return int(instant.timestamp()) * SECOND_MS


def handover(now: datetime, cutoff: str, first_possible: datetime | None = None) -> datetime:
    first_possible_ms = milliseconds(first_possible or now)
    at_ms = next_handover_ms(milliseconds(now), cutoff, "Europe/Berlin", first_possible_ms)
    return datetime.fromtimestamp(at_ms // SECOND_MS, UTC)


def test_the_next_hand_over_is_today_up_to_its_minute_and_tomorrow_after_it() -> None:
    at = datetime(2026, 6, 15, 15, 0, tzinfo=UTC)  # 17:00 in Berlin
    assert handover(at - timedelta(hours=3), "17:00") == at
    assert handover(at, "17:00") == at
    assert handover(at + timedelta(seconds=1), "17:00") == at + timedelta(days=1)


def test_an_order_that_cannot_be_packed_yet_leaves_with_a_later_hand_over() -> None:
    now = datetime(2026, 6, 15, 8, 0, tzinfo=UTC)
    assert handover(now, "17:00", now + timedelta(days=4)) == datetime(2026, 6, 19, 15, 0, tzinfo=UTC)
    assert handover(now, "17:00", now - timedelta(days=4)) == datetime(2026, 6, 15, 15, 0, tzinfo=UTC)


def test_a_hand_over_keeps_its_local_time_across_the_change_to_summer_time() -> None:
    assert handover(datetime(2026, 3, 28, 17, 0, tzinfo=UTC), "17:00").hour == 15
    assert handover(datetime(2026, 3, 27, 17, 0, tzinfo=UTC), "17:00").hour == 16


def test_a_local_time_that_does_not_exist_moves_forward() -> None:
    # On 29 March 2026 Berlin goes from 02:00 to 03:00, so 02:30 becomes 03:30, 01:30 UTC.
    expected = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert handover(datetime(2026, 3, 28, 12, 0, tzinfo=UTC), "02:30") == expected


def test_of_a_local_time_that_comes_twice_the_first_counts() -> None:
    # On 25 October 2026 Berlin has 02:30 at 00:30 and at 01:30 UTC.
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert handover(first - timedelta(hours=2), "02:30") == first
    assert handover(first + timedelta(minutes=1), "02:30") == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@given(
    change=st.sampled_from(
        ["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"]
    ),
    seconds_since=st.integers(-48 * 3_600, 48 * 3_600),
    minutes=st.integers(0, 24 * 60 - 1) | st.integers(0, 4 * 60),
    # Lord Howe turns its clocks by half an hour, Beirut and Havana at midnight.
    time_zone=st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "Asia/Beirut", "America/Havana"]),
)
def test_a_hand_over_is_found_as_by_looking_at_the_clock_every_minute(
    change: str, seconds_since: int, minutes: int, time_zone: str
) -> None:
    cutoff = f"{minutes // 60:02}:{minutes % 60:02}"
    zone = ZoneInfo(time_zone)
    now = datetime.fromisoformat(change).replace(tzinfo=UTC) + timedelta(seconds=seconds_since)
    at_ms = next_handover_ms(milliseconds(now), cutoff, time_zone, 0)
    at = datetime.fromtimestamp(at_ms // SECOND_MS, UTC)
    first_minute = now + timedelta(seconds=-now.second % 60)
    clock = (first_minute + timedelta(minutes=minute) for minute in range(50 * 60))
    seen = next(
        instant
        for instant in clock
        if f"{instant.astimezone(zone):%H:%M}" == cutoff and not instant.astimezone(zone).fold
    )
    if at != seen:
        # The clock never showed it, because it was turned forward over it.
        local, before = at.astimezone(zone), (at - timedelta(hours=2)).astimezone(zone)
        turned_by = (local.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())
        assert turned_by > timedelta()
        assert now <= at < seen
        assert f"{local.replace(tzinfo=None) - turned_by:%H:%M}" == cutoff


UPHELD, REJECTED = OrderOutcomeKind.STOP_REQUEST_UPHELD, OrderOutcomeKind.STOP_REQUEST_REJECTED
LET_GO = OrderOutcomeKind.REVIEW_RELEASED


def label(
    verdict: Verdict | None,
    contact: ContactOutcome | None = None,
    merchant_answer_upheld: bool | None = None,
    origin: CaseOrigin = CaseOrigin.FLAGGED,
) -> CaseLabel | None:
    return label_of(
        origin=origin,
        verdict=verdict,
        contact=contact,
        merchant_answer_upheld=merchant_answer_upheld,
        policy=POLICY,
    )


def documented_rows() -> dict[tuple[str, str, str], tuple[str, str, str]]:
    """The table in the docstring of label_of, with every group of cells written out."""
    not_asked = ("not asked", "unreachable")
    customers = {
        "any": ("confirmed", "denied", *not_asked),
        "not asked, unr.": not_asked,
        "not denied": ("confirmed", *not_asked),
    }
    answers = {"any": ("upheld", "rejected", "none"), "upheld or none": ("upheld", "none")}
    rows = {}
    for line in re.findall(r"^ +\| (.+) \|$", label_of.__doc__ or "", flags=re.MULTILINE)[1:]:
        verdict, customer, answer, *result = (cell.strip() for cell in line.split("|"))
        for key in itertools.product(
            [verdict], customers.get(customer, (customer,)), answers.get(answer, (answer,))
        ):
            assert key not in rows, f"{key} stands in the table twice"
            rows[key] = (result[0], result[1], result[2])
    return rows


@pytest.mark.parametrize("verdict", [None, *Verdict])
@pytest.mark.parametrize("contact", [None, *ContactOutcome])
@pytest.mark.parametrize("merchant_answer_upheld", [None, True, False])
def test_a_verdict_means_for_the_labels_what_the_table_says(
    verdict: Verdict | None, contact: ContactOutcome | None, merchant_answer_upheld: bool | None
) -> None:
    key = (
        verdict.value if verdict else "none",
        contact.value if contact else "not asked",
        {None: "none", True: "upheld", False: "rejected"}[merchant_answer_upheld],
    )
    kind, is_high_risk, established_by = documented_rows()[key]
    expected = None
    if kind != "none":
        expected = CaseLabel(
            kind=OrderOutcomeKind(kind),
            is_high_risk={"yes": True, "no": False}[is_high_risk],
            established_by=EstablishedBy(established_by),
            represented_orders=1.0,
        )
    assert label(verdict, contact, merchant_answer_upheld) == expected


def test_a_reviewers_stop_alone_proves_nothing() -> None:
    assert label(Verdict.STOP) is None


def test_a_sampled_verdict_stands_for_the_orders_among_which_it_was_drawn() -> None:
    released = label(Verdict.RELEASED, origin=CaseOrigin.SAMPLED)
    assert released is not None
    assert (released.kind, released.is_high_risk, released.represented_orders) == (LET_GO, False, 100.0)
    missed = label(Verdict.STOP, ContactOutcome.DENIED, origin=CaseOrigin.SAMPLED)
    assert missed is not None
    assert (missed.kind, missed.is_high_risk, missed.represented_orders) == (UPHELD, True, 100.0)


def test_a_requested_review_of_a_refusal_teaches_nothing_about_fraud() -> None:
    for verdict, answer in itertools.product(Verdict, (None, True, False)):
        origin = CaseOrigin.REVIEW_REQUESTED
        assert label(verdict, ContactOutcome.DENIED, answer, origin) is None


def test_an_order_without_a_sample_can_still_be_labelled() -> None:
    no_sample = replace(POLICY, sample_share=0.0)
    assert label_of(
        origin=CaseOrigin.FLAGGED,
        verdict=Verdict.STOP,
        contact=None,
        merchant_answer_upheld=False,
        policy=no_sample,
    ) == CaseLabel(
        kind=REJECTED, is_high_risk=False, established_by=EstablishedBy.MERCHANT, represented_orders=1.0
    )


def test_every_outcome_of_a_case_is_one_that_the_ledger_takes() -> None:
    kinds = next(column for column in ORDER_OUTCOMES.own_columns if column.name == "kind")
    assert {kind.value for kind in OrderOutcomeKind} <= set(kinds.allowed or ())


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_sampled_case_rises_with_waiting_past_any_priority(earlier_ms: int, later_ms: int) -> None:
    case = replace(OPEN, origin=CaseOrigin.SAMPLED)
    earlier, later = (
        sample_priority(case, case.opened_at_ms + ms, POLICY) for ms in sorted((earlier_ms, later_ms))
    )
    assert earlier <= later
    assert sample_priority(case, case.due_at_ms, POLICY) == POLICY.sample_worth_cents
    assert (
        sample_priority(case, case.due_at_ms + 1_000 * (case.due_at_ms - case.opened_at_ms), POLICY) > 10**6
    )
    assert sample_priority(OPEN, case.due_at_ms, POLICY) == 0
