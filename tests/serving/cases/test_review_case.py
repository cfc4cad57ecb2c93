"""Review cases: each state allows its steps and no others."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from serving.domain.errors import RiskError
from serving.domain.review_case import (
    Action,
    CaseClosed,
    CaseHeldByAnother,
    CaseNotClosed,
    CaseNotHeld,
    CaseState,
    ContactAlreadyUnderWay,
    ContactOutcome,
    NoContactUnderWay,
    NoStopToTakeBack,
    ReasonMissing,
    ReviewCase,
    StopStillHeld,
    UndoTooLate,
    Verdict,
    WithdrawalNotAllowed,
    claim,
    decide,
    expire_claim,
    expire_contact,
    give_back,
    record_contact,
    renew_claim,
    reopen,
    reopen_linked,
    start_contact,
    undo_stop,
    withdraw_stop,
)
from tests.serving.cases.an_open_case import NOW_MS, OPEN, POLICY

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
    for nothing in ("  ", "\u200b\u00a0"):
        with pytest.raises(ReasonMissing):
            reopen(RELEASED, nothing, later_ms, POLICY)
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
