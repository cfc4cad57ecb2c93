"""Investigations by their rules alone: what opens one, what closes it, and what opens it again."""

import pytest

from serving.domain.case_label import OrderOutcomeKind
from serving.domain.investigation import (
    MAXIMUM_QUESTION_CHARACTERS,
    Finding,
    Investigation,
    InvestigationClosed,
    InvestigationState,
    QuestionInvalid,
    Trigger,
    ask_merchant,
    conclude,
    open_investigation,
)
from serving.domain.merchant_answer import AnswerKind, MerchantAnswer
from tests.builders import DAY, ms

START = ms("2026-06-01T10:00:00")


def an_answer(kind: AnswerKind = AnswerKind.SHIPPED_WITHOUT_TRACKING) -> MerchantAnswer:
    return MerchantAnswer(kind=kind, carrier=None, tracking_number=None, answered_at_ms=START, note=None)


def triggered(
    known: Investigation | None = None,
    trigger: Trigger = Trigger.CUSTOMER_DISPUTED,
    *,
    answers: tuple[MerchantAnswer, ...] = (),
    now_ms: int = START,
) -> Investigation:
    return open_investigation(
        known, case_id="case1", trigger=trigger, merchant_answers=answers, now_ms=now_ms
    )


def closed(finding: Finding = Finding.NOT_FRAUD, known: Investigation | None = None) -> Investigation:
    return conclude(known or triggered(), finding, "ann", START + DAY, outcome=None)


def test_an_investigation_opens_with_what_the_merchant_answered() -> None:
    opened = triggered(answers=(an_answer(),))
    assert opened.state is InvestigationState.OPEN
    assert opened.trigger is Trigger.CUSTOMER_DISPUTED
    assert opened.merchant_answers == (an_answer(),)
    assert (opened.opened_at_ms, opened.version, opened.finding) == (START, 1, None)


def test_a_second_trigger_is_noted_and_opens_no_second_investigation() -> None:
    opened = triggered()
    noted = triggered(opened, Trigger.INVOICE_UNPAID, now_ms=START + DAY)
    assert [(each.trigger, each.noted_at_ms) for each in noted.noted_triggers] == [
        (Trigger.CUSTOMER_DISPUTED, START),
        (Trigger.INVOICE_UNPAID, START + DAY),
    ]
    assert (noted.trigger, noted.opened_at_ms, noted.version) == (Trigger.CUSTOMER_DISPUTED, START, 2)
    assert triggered(noted, Trigger.INVOICE_UNPAID, now_ms=START + 2 * DAY) is noted


def test_after_not_fraud_another_trigger_reopens_and_one_that_was_noted_does_not() -> None:
    before = closed()
    assert triggered(before, Trigger.CUSTOMER_DISPUTED) is before
    again = triggered(before, Trigger.INVOICE_UNPAID, answers=(an_answer(),), now_ms=START + 2 * DAY)
    assert again.is_open
    assert (again.trigger, again.opened_at_ms) == (Trigger.INVOICE_UNPAID, START + 2 * DAY)
    assert (again.finding, again.closed_at_ms, again.closed_by) == (None, None, None)
    assert again.merchant_answers == (an_answer(),)
    assert again.version == before.version + 1
    at_the_end = closed(known=again)
    assert triggered(at_the_end, Trigger.CUSTOMER_DISPUTED) is at_the_end
    both_noted = closed(known=triggered(triggered(), Trigger.INVOICE_UNPAID))
    assert triggered(both_noted, Trigger.INVOICE_UNPAID) is both_noted


def test_a_confirmed_fraud_is_reopened_by_hand_only_and_by_hand_as_often_as_needed() -> None:
    confirmed = closed(Finding.FRAUD_CONFIRMED)
    assert triggered(confirmed, Trigger.INVOICE_UNPAID) is confirmed
    once = triggered(confirmed, Trigger.BY_HAND)
    twice = triggered(closed(known=once), Trigger.BY_HAND)
    assert once.is_open
    assert twice.is_open
    assert [noted.trigger for noted in twice.noted_triggers] == [Trigger.CUSTOMER_DISPUTED, Trigger.BY_HAND]


def test_questions_are_kept_in_order_also_over_a_reopening() -> None:
    asked = ask_merchant(triggered(), "  Who signed for it? ", "ann", START)
    again = triggered(closed(known=asked), Trigger.INVOICE_UNPAID)
    more = ask_merchant(again, "Which address?", "bob", START + DAY)
    assert [(question.text, question.asked_by) for question in more.questions] == [
        ("Who signed for it?", "ann"),
        ("Which address?", "bob"),
    ]


@pytest.mark.parametrize("text", ["", "   ", "\u2060", "a\x00", "x" * (MAXIMUM_QUESTION_CHARACTERS + 1)])
def test_a_question_that_cannot_be_sent_is_refused(text: str) -> None:
    with pytest.raises(QuestionInvalid, match="question"):
        ask_merchant(triggered(), text, "ann", START)


def test_a_finding_closes_it_once_and_says_who_found_what() -> None:
    found = conclude(
        triggered(),
        Finding.FRAUD_CONFIRMED,
        "ann",
        START + DAY,
        outcome=OrderOutcomeKind.STOP_REQUEST_UPHELD,
    )
    assert (found.state, found.finding) == (InvestigationState.CLOSED, Finding.FRAUD_CONFIRMED)
    assert (found.closed_at_ms, found.closed_by) == (START + DAY, "ann")
    assert found.outcome is OrderOutcomeKind.STOP_REQUEST_UPHELD
    assert conclude(found, Finding.FRAUD_CONFIRMED, "bob", START + 2 * DAY, outcome=None) is found
    with pytest.raises(InvestigationClosed):
        conclude(found, Finding.NOT_FRAUD, "ann", START + DAY, outcome=None)
    with pytest.raises(InvestigationClosed):
        ask_merchant(found, "One more?", "ann", START + DAY)
