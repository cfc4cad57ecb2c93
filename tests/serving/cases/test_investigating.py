"""Investigations on SQLite and PostgreSQL: what opens one, and what a finding adds to the ledger."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from data_contracts.instants import rfc3339
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.row_check import check_row
from serving.cases.case_outcomes import OutcomeRefused, label_release, label_stop_in_effect, record_outcome
from serving.cases.investigating import ask_merchant, check_cases, conclude, open_by_hand, open_investigations
from serving.cases.invoice_watch import WATCH_DAYS
from serving.domain.case_label import OrderOutcomeKind
from serving.domain.errors import UnknownCase
from serving.domain.investigation import (
    CaseUndecided,
    FindingInvalid,
    InvestigationClosed,
    UnknownInvestigation,
)
from serving.domain.liability import FactsInvalid
from serving.domain.merchant_answer import AnswerKind
from serving.domain.review_case import (
    CaseOrigin,
    ContactOutcome,
    ReasonMissing,
    Verdict,
    claim,
    decide,
    reopen,
    withdraw_stop,
)
from serving.domain.stop_request import StopRequestState
from serving.stop_requests.locked_stop_request import UnknownStopRequest
from serving.store.case_queue import history_of
from serving.store.deliveries import deliveries_of
from serving.store.investigations import InvestigationMovedError, investigation_of, keep_investigation
from serving.store.open_store import open_store
from serving.store.outbox import CHECK_CASE, FRAUD_CONFIRMED, waiting_messages, watch_invoice
from serving.store.store import Store
from tests.builders import DAY, Row, a_pause, a_payment, a_row, an_adjustment, an_invoice, an_order
from tests.serving.as_sent import as_sent
from tests.serving.case_desk import CaseDesk, a_desk

ANSWERED = StopRequestState.ANSWERED
FOREVER = 10**15


@pytest.fixture
def desk(store: Store) -> CaseDesk:
    return a_desk(store)


def waiting(desk: CaseDesk, kind: str = CHECK_CASE) -> list[tuple[int, Row]]:
    with desk.store.reading() as tx:
        messages = waiting_messages(tx, (kind,), 100, due_at_ms=FOREVER)
    return [(message.created_at_ms, message.payload) for message in messages]


def actions(desk: CaseDesk) -> list[tuple[str, str]]:
    with desk.store.reading() as tx:
        return [(entry.actor, entry.action) for entry in history_of(tx, "case1")]


def invoiced(desk: CaseDesk, **columns: Any) -> None:
    desk.row("invoices", an_invoice(at=desk.now, **columns))


def disputed(desk: CaseDesk) -> None:
    desk.row("invoice_pauses", a_pause(started_at=desk.now, reason="dispute"))


def watched(desk: CaseDesk) -> None:
    with desk.store.writing("case-case1") as tx:
        watch_invoice(tx, "o1", desk.now)


def stopped(desk: CaseDesk, contact: ContactOutcome | None = None) -> None:
    """The order was shipped with tracking, and the stop that came too late has taken effect."""
    desk.event("shipped", carrier="PostNord", tracking_number="SE123")
    desk.decided(Verdict.STOP, contact)
    desk.stop_request(ANSWERED, AnswerKind.SHIPPED_WITH_TRACKING)


def label(desk: CaseDesk) -> OrderOutcomeKind | None:
    known = desk.case()
    with desk.store.writing("case-case1") as tx:
        return label_release(tx, desk.scope, known) or label_stop_in_effect(tx, desk.scope, known)


def kinds(desk: CaseDesk) -> list[tuple[str, str | None]]:
    in_order = sorted(desk.outcomes(), key=lambda row: row["occurred_at"])
    return [(row["kind"], row.get("corrects")) for row in in_order]


def decide_again(desk: CaseDesk, verdict: Verdict) -> None:
    policy = desk.policy.review
    case = claim(reopen(desk.case(), "new facts", desk.now, policy), "ann", desk.now, policy)
    desk.change(decide(case, "ann", verdict, desk.now, policy))
    desk.now += 60_000


def test_a_dispute_opens_an_investigation_with_what_the_merchant_answered(desk: CaseDesk) -> None:
    stopped(desk)
    invoiced(desk)
    desk.check()
    assert desk.investigation() is None
    disputed(desk)
    assert waiting(desk)[0][1] == {"order_id": "o1", "why": "disputed"}
    assert desk.check() == 1
    document = desk.investigation()
    assert document is not None
    assert (document["state"], document["trigger"]) == ("open", "customer_disputed")
    assert document["merchant_answers"] == [
        {
            "kind": "shipped_with_tracking",
            "carrier": "PostNord",
            "tracking_number": "SE123",
            "note": None,
            "answered_at": document["merchant_answers"][0]["answered_at"],
        }
    ]
    assert (document["finding"], document["outcome"], document["outcome_text"]) == (None, None, None)
    assert actions(desk) == [("system", "investigation_opened")]
    assert [known.case_id for known in open_investigations(desk.scope, 10)] == ["case1"]


def test_a_repeated_message_changes_nothing(desk: CaseDesk) -> None:
    stopped(desk)
    invoiced(desk)
    disputed(desk)
    desk.check()
    before = desk.investigation(), actions(desk)
    desk.event("delivered")
    desk.row("invoice_pauses", a_pause(pause_id="another", started_at=desk.now, reason="dispute"))
    assert desk.check() == 2
    assert (desk.investigation(), actions(desk)) == before
    assert desk.check() == 0


def test_news_about_an_order_without_a_case_leaves_no_message(desk: CaseDesk) -> None:
    desk.row("orders", an_order("o9", "c1", at=desk.now))
    invoiced(desk, invoice_id="i9", order_id="o9")
    desk.event("shipped", order_id="o9", customer_id="c1")
    desk.row("invoice_pauses", a_pause("i9", started_at=desk.now))
    assert waiting(desk) == []


def test_a_pause_for_a_return_or_a_payment_is_no_news_for_a_case(desk: CaseDesk) -> None:
    invoiced(desk)
    desk.check()
    desk.row("invoice_pauses", a_pause(started_at=desk.now, reason="return", tracking_number="R1"))
    desk.row("invoice_payments", a_payment(at=desk.now))
    assert waiting(desk) == []


def test_an_invoice_unpaid_for_the_policys_time_opens_an_investigation_by_its_watch(desk: CaseDesk) -> None:
    desk.decided(Verdict.RELEASED)
    watched(desk)
    assert [at_ms - desk.now for at_ms, _ in waiting(desk)] == [DAY]
    invoiced(desk, due_at=desk.now + 14 * DAY)
    unpaid_at = desk.now - 60_000 + 14 * DAY + 30 * DAY
    desk.check()
    desk.now += DAY
    assert desk.check() == 1
    assert [at_ms for at_ms, _ in waiting(desk)] == [unpaid_at]
    desk.now = unpaid_at - 1
    assert desk.check() == 0
    desk.now += 1
    assert desk.check() == 1
    document = desk.investigation()
    assert document is not None
    assert document["trigger"] == "invoice_unpaid"
    assert [at_ms - desk.now for at_ms, _ in waiting(desk)] == [DAY]


def test_a_paid_or_cancelled_invoice_opens_none_and_ends_its_watch(desk: CaseDesk) -> None:
    for number, row in (("2", "paid"), ("3", "credited")):
        desk.order(number)
        desk.decided(Verdict.RELEASED, case_id=f"case{number}")
        with desk.store.writing("someone") as tx:
            watch_invoice(tx, f"o{number}", desk.now)
        invoice = an_invoice(f"i{number}", f"c{number}", at=desk.now, order_id=f"o{number}")
        desk.row("invoices", invoice)
        if row == "paid":
            desk.row("invoice_payments", a_payment(f"i{number}", f"c{number}", at=desk.now))
        else:
            desk.row("invoice_adjustments", an_adjustment(f"i{number}", f"c{number}", at=desk.now))
    desk.now += 60 * DAY
    desk.check()
    assert waiting(desk) == []
    assert (desk.investigation("case2"), desk.investigation("case3")) == (None, None)


def test_a_paused_invoice_opens_none_and_is_looked_at_each_day(desk: CaseDesk) -> None:
    desk.decided(Verdict.RELEASED)
    watched(desk)
    invoiced(desk)
    desk.row("invoice_pauses", a_pause(started_at=desk.now, reason="return", tracking_number="R1"))
    for _ in range(3):
        desk.now += 40 * DAY
        desk.check()
        assert [at_ms - desk.now for at_ms, _ in waiting(desk)] == [DAY]
    assert desk.investigation() is None


def test_a_watch_ends_with_a_cancelled_order_and_after_its_last_day(desk: CaseDesk) -> None:
    desk.decided(Verdict.RELEASED)
    watched(desk)
    began = desk.now
    desk.now = began + (WATCH_DAYS - 1) * DAY
    desk.check()
    assert len(waiting(desk)) == 1
    desk.now = began + WATCH_DAYS * DAY
    desk.check()
    assert waiting(desk) == []
    watched(desk)
    desk.event("cancelled")
    desk.now += DAY
    desk.check()
    assert waiting(desk) == []


def test_a_case_that_is_closed_again_is_watched_once(desk: CaseDesk) -> None:
    desk.decided(Verdict.RELEASED)
    watched(desk)
    desk.now += 60_000
    decide_again(desk, Verdict.RELEASED)
    watched(desk)
    desk.now += 2 * DAY
    desk.check()
    assert len(waiting(desk)) == 1


def test_a_refused_a_returned_or_a_known_fraud_order_is_not_investigated(desk: CaseDesk) -> None:
    desk.order("2", CaseOrigin.REVIEW_REQUESTED)
    desk.order("3")
    desk.event("returned", order_id="o3")
    desk.order("4")
    desk.outcome("fraud_chargeback", order_id="o4")
    for number in "234":
        invoice = an_invoice(f"i{number}", f"c{number}", at=desk.now, order_id=f"o{number}")
        desk.row("invoices", invoice)
        desk.row("invoice_pauses", a_pause(f"i{number}", f"c{number}", started_at=desk.now))
    desk.check()
    assert [desk.investigation(f"case{number}") for number in "234"] == [None, None, None]


def test_a_conclusion_writes_the_outcome_once_and_posts_a_balanced_settlement(desk: CaseDesk) -> None:
    stopped(desk)
    open_by_hand(desk.scope, "case1", reason="the police asked", by="ann")
    document = as_sent(conclude(desk.scope, "case1", "fraud_confirmed", "ann"))
    assert (document["finding"], document["outcome"]) == ("fraud_confirmed", "stop_request_upheld")
    assert document["outcome_text"] == "The finding stands in the ledger as stop_request_upheld."
    (row,) = desk.outcomes()
    assert row["event_id"] == "outcome-case1-0-stop_request_upheld"
    sent = {name: value for name, value in row.items() if name != "recorded_at"}
    sent["occurred_at"] = rfc3339(row["occurred_at"])
    assert check_row(ORDER_OUTCOMES, sent, recorded_at_ms=row["recorded_at"]).row == row
    assert row["recorded_at"] >= desk.now
    assert len(waiting(desk, FRAUD_CONFIRMED)) == 1
    posted = desk.postings()
    assert len(posted) == 4
    assert sum(posting.amount_cents for posting in posted) == 0
    assert desk.liability()["is_settled"] is True
    desk.now += DAY
    assert as_sent(conclude(desk.scope, "case1", "fraud_confirmed", "bob")) == document
    desk.check()
    assert len(desk.outcomes()) == 1
    assert desk.postings() == posted
    assert actions(desk) == [
        ("ann", "investigation_opened"),
        ("ann", "investigation_concluded"),
        ("ann", "outcome_recorded"),
        ("system", "settled"),
    ]


def test_a_finding_that_is_made_anew_corrects_the_outcome_and_reverses_the_settlement(desk: CaseDesk) -> None:
    stopped(desk)
    upheld, rejected = "outcome-case1-0-stop_request_upheld", "outcome-case1-0-stop_request_rejected"
    for finding in ("fraud_confirmed", "not_fraud", "fraud_confirmed"):
        open_by_hand(desk.scope, "case1", reason="look again", by="ann")
        conclude(desk.scope, "case1", finding, "ann")
        desk.now += DAY
    assert kinds(desk) == [
        ("stop_request_upheld", None),
        ("stop_request_rejected", upheld),
        ("stop_request_upheld", rejected),
    ]
    assert {row["event_id"] for row in desk.outcomes()} == {upheld, rejected, f"{upheld}-2"}
    assert len({posting.settlement_id for posting in desk.postings()}) == 3
    assert desk.liability()["is_settled"] is True
    assert desk.settle() is False


def test_a_fraud_that_is_found_after_a_release_corrects_it_and_is_settled(desk: CaseDesk) -> None:
    desk.event("shipped", tracking_number="SE123")
    desk.decided(Verdict.RELEASED)
    label(desk)
    desk.now += DAY
    open_by_hand(desk.scope, "case1", reason="the customer called", by="ann")
    document = as_sent(conclude(desk.scope, "case1", "fraud_confirmed", "ann"))
    assert document["outcome"] == "identity_misuse_upheld"
    assert kinds(desk) == [
        ("review_released", None),
        ("identity_misuse_upheld", "outcome-case1-0-review_released"),
    ]
    assert desk.liability()["bearer"] == "provider"
    assert desk.liability()["is_settled"] is True


def test_a_finding_that_decides_nothing_takes_back_what_the_case_had_added_and_says_so(
    desk: CaseDesk,
) -> None:
    stopped(desk, ContactOutcome.DENIED)
    label(desk)
    desk.settle()
    assert desk.postings()
    desk.now += DAY
    open_by_hand(desk.scope, "case1", reason="the customer called", by="ann")
    document = as_sent(conclude(desk.scope, "case1", "not_fraud", "ann"))
    assert document["outcome"] is None
    assert document["outcome_text"].startswith("The finding adds nothing to the ledger")
    assert kinds(desk) == [
        ("stop_request_upheld", None),
        ("finding_withdrawn", "outcome-case1-0-stop_request_upheld"),
    ]
    assert desk.liability()["bearer"] != "provider"
    assert desk.liability()["is_settled"] is True


def test_what_a_release_added_does_not_outlive_a_stop_that_proves_nothing_yet(desk: CaseDesk) -> None:
    desk.decided(Verdict.RELEASED)
    label(desk)
    decide_again(desk, Verdict.STOP)
    assert label(desk) is None
    assert kinds(desk) == [
        ("review_released", None),
        ("finding_withdrawn", "outcome-case1-0-review_released"),
    ]


def test_a_customer_and_a_merchant_that_contradict_each_other_decide_nothing(desk: CaseDesk) -> None:
    stopped(desk, ContactOutcome.CONFIRMED)
    open_by_hand(desk.scope, "case1", reason="odd", by="ann")
    assert conclude(desk.scope, "case1", "fraud_confirmed", "ann").outcome is None
    assert desk.outcomes() == []


def test_without_a_verdict_that_stands_there_is_nothing_to_conclude(desk: CaseDesk) -> None:
    open_by_hand(desk.scope, "case1", reason="odd", by="ann")
    with pytest.raises(CaseUndecided, match="no verdict"):
        conclude(desk.scope, "case1", "not_fraud", "ann")
    desk.decided(Verdict.STOP)
    desk.now -= 60_000
    with pytest.raises(CaseUndecided, match="undone"):
        conclude(desk.scope, "case1", "not_fraud", "ann")
    desk.now += 60_000
    assert as_sent(conclude(desk.scope, "case1", "not_fraud", "ann"))["outcome"] == "stop_request_rejected"


def test_a_conclusion_on_facts_that_cannot_be_true_leaves_everything_as_it_was(desk: CaseDesk) -> None:
    stopped(desk)
    desk.row("orders", an_order(event_id="vat", at=desk.now, vat_cents=10_000, corrects="order-o1"))
    open_by_hand(desk.scope, "case1", reason="odd", by="ann")
    before = desk.investigation(), actions(desk)
    with pytest.raises(FactsInvalid):
        conclude(desk.scope, "case1", "fraud_confirmed", "ann")
    assert (desk.investigation(), actions(desk)) == before
    assert desk.outcomes() == []
    assert desk.check() >= 1
    assert waiting(desk) == []


def test_a_question_to_the_merchant_is_kept_and_sent_with_the_link_to_the_form(desk: CaseDesk) -> None:
    with pytest.raises(UnknownInvestigation):
        ask_merchant(desk.scope, "case1", "Who signed for it?", "ann")
    open_by_hand(desk.scope, "case1", reason="odd", by="ann")
    with pytest.raises(UnknownStopRequest):
        ask_merchant(desk.scope, "case1", "Who signed for it?", "ann")
    stopped(desk)
    question = ask_merchant(desk.scope, "case1", " Who signed for it? ", "ann")
    assert (question.question, question.asked_at) == ("Who signed for it?", desk.now)
    document = desk.investigation()
    assert document is not None
    assert [(asked["text"], asked["asked_by"]) for asked in document["questions"]] == [
        ("Who signed for it?", "ann")
    ]
    assert actions(desk)[-1] == ("ann", "merchant_asked")
    with desk.store.reading() as tx:
        (sent,) = deliveries_of(tx, "stp_case1")
    body = json.loads(sent.body)
    assert body["type"] == "stop_request.information_requested"
    assert body["data"]["question"] == "Who signed for it?"
    assert body["data"]["answer_url"].startswith("https://pay.example/stop/")


def test_what_cannot_be_done_is_refused_by_name(desk: CaseDesk) -> None:
    with pytest.raises(UnknownCase):
        open_by_hand(desk.scope, "case_nothing", reason="odd", by="ann")
    with pytest.raises(ReasonMissing):
        open_by_hand(desk.scope, "case1", reason="  ", by="ann")
    with pytest.raises(UnknownInvestigation):
        conclude(desk.scope, "case1", "not_fraud", "ann")
    with pytest.raises(FindingInvalid, match="fraud_confirmed, not_fraud"):
        conclude(desk.scope, "case1", "perhaps", "ann")
    desk.decided(Verdict.RELEASED)
    open_by_hand(desk.scope, "case1", reason="odd", by="ann")
    conclude(desk.scope, "case1", "not_fraud", "ann")
    with pytest.raises(InvestigationClosed):
        conclude(desk.scope, "case1", "fraud_confirmed", "ann")


def test_a_release_is_recorded_once_and_a_denied_one_not(desk: CaseDesk) -> None:
    desk.decided(Verdict.RELEASED)
    assert label(desk) is OrderOutcomeKind.REVIEW_RELEASED
    desk.now += DAY
    assert label(desk) is OrderOutcomeKind.REVIEW_RELEASED
    assert kinds(desk) == [("review_released", None)]


def test_a_release_of_an_order_that_the_customer_denies_is_not_recorded(desk: CaseDesk) -> None:
    desk.decided(Verdict.RELEASED, ContactOutcome.DENIED)
    assert label(desk) is None
    assert desk.outcomes() == []


def test_a_stop_is_recorded_by_the_customers_word_alone_once_it_has_taken_effect(desk: CaseDesk) -> None:
    desk.decided(Verdict.STOP, ContactOutcome.DENIED)
    desk.now -= 60_000
    assert label(desk) is None
    desk.now += 60_000
    assert label(desk) is OrderOutcomeKind.STOP_REQUEST_UPHELD
    assert kinds(desk) == [("stop_request_upheld", None)]


def test_a_reviewers_stop_alone_is_no_label(desk: CaseDesk) -> None:
    desk.decided(Verdict.STOP)
    assert label(desk) is None


def test_a_stop_after_a_release_corrects_what_the_release_said(desk: CaseDesk) -> None:
    desk.decided(Verdict.RELEASED)
    label(desk)
    decide_again(desk, Verdict.STOP)
    desk.now += 60_000
    open_by_hand(desk.scope, "case1", reason="linked fraud", by="ann")
    conclude(desk.scope, "case1", "fraud_confirmed", "ann")
    assert kinds(desk) == [
        ("review_released", None),
        ("stop_request_upheld", "outcome-case1-0-review_released"),
    ]


def test_a_stop_that_is_withdrawn_after_a_finding_corrects_it(desk: CaseDesk) -> None:
    stopped(desk)
    open_by_hand(desk.scope, "case1", reason="odd", by="ann")
    conclude(desk.scope, "case1", "fraud_confirmed", "ann")
    assert len(desk.postings()) == 4
    desk.change(withdraw_stop(desk.case(), "ann", desk.now, desk.policy.review, role="admin"))
    desk.now += 60_000
    assert label(desk) is OrderOutcomeKind.REVIEW_RELEASED
    desk.check()
    assert desk.liability()["lines"] == []
    assert desk.liability()["is_settled"] is True
    assert len(desk.postings()) == 8


def test_an_outcome_that_was_corrected_in_the_ledger_is_not_written_again(desk: CaseDesk) -> None:
    stopped(desk)
    open_by_hand(desk.scope, "case1", reason="odd", by="ann")
    conclude(desk.scope, "case1", "fraud_confirmed", "ann")
    desk.outcome("identity_misuse_rejected", corrects="outcome-case1-0-stop_request_upheld")
    assert desk.check() >= 1
    assert desk.liability()["is_settled"] is True
    assert desk.liability()["lines"] == []
    case = desk.case()
    with desk.store.writing("case-case1") as tx:
        assert not record_outcome(tx, desk.scope, case, OrderOutcomeKind.STOP_REQUEST_UPHELD, by="ann")
    assert len(desk.outcomes()) == 2


def test_an_outcome_that_the_ledger_refuses_is_named_and_leaves_nothing(desk: CaseDesk) -> None:
    desk.decided(Verdict.RELEASED)
    event_id = "outcome-case1-0-review_released"
    columns = {"order_id": "o1", "customer_id": "c1", "kind": "confirmed"}
    desk.row("order_events", a_row("order_events", event_id, desk.now, None, **columns))
    before = actions(desk)
    with pytest.raises(OutcomeRefused, match=event_id):
        label(desk)
    assert actions(desk) == before


def test_two_workers_open_one_investigation_and_post_once(desk: CaseDesk, database_url: str) -> None:
    stopped(desk)
    invoiced(desk)
    disputed(desk)
    desk.outcome("dispute_decided_for_customer")
    together = threading.Barrier(2)

    def works(_: int) -> None:
        own = open_store(database_url)
        scope = replace(desk.scope, store=own)
        together.wait()
        while check_cases(scope):
            pass
        own.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(works, range(2)))
    assert actions(desk) == [("system", "investigation_opened")]
    assert waiting(desk) == []


def test_an_investigation_that_moved_meanwhile_is_not_overwritten(desk: CaseDesk) -> None:
    open_by_hand(desk.scope, "case1", reason="odd", by="ann")
    with desk.store.reading() as tx:
        before = investigation_of(tx, "case1")
    assert before is not None
    desk.decided(Verdict.RELEASED)
    conclude(desk.scope, "case1", "not_fraud", "ann")
    for version in (before.version, None):
        with pytest.raises(InvestigationMovedError), desk.store.writing("someone") as tx:
            keep_investigation(tx, before, version_before=version)
