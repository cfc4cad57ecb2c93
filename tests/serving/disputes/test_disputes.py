"""Disputes on SQLite and PostgreSQL: what each step does to invoices, ledger and merchant."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.instants import rfc3339
from serving.disputes import kept_step, merchant_steps, opening, service_desk
from serving.disputes.dispute_link import dispute_link, read_dispute_token
from serving.disputes.dispute_notices import fallback_text
from serving.domain.dispute import Dispute, DisputeOutcome, DisputeReason, DisputeState
from serving.domain.dispute_policy import DisputePolicy
from serving.domain.dispute_steps import (
    ComplaintMadeBefore,
    ComplaintTooLate,
    DisputeAnswerTooLate,
    DisputeHeldByAnother,
    DisputeNotHeld,
    DisputeStepImpossible,
    OutcomeWorseForCustomer,
    SecondLookBySamePerson,
)
from serving.domain.errors import (
    FieldsInvalid,
    IdempotencyConflict,
    OrderNotInvoiced,
    RiskError,
    UnknownOrder,
)
from serving.domain.merchant_answer import AnswerInvalid
from serving.stop_requests.form_link import LinkInvalid, read_token
from serving.store.disputes import disputes_of_order
from serving.store.open_store import open_store
from serving.store.store import Store
from tests.builders import DAY, Row, a_customer, a_pause, an_adjustment, an_invoice, an_order
from tests.proof_size import examples
from tests.serving.dispute_desk import MINUTE, PORTAL, SECOND, START, DisputeDesk, a_dispute_desk


@pytest.fixture
def desk(store: Store) -> DisputeDesk:
    return a_dispute_desk(store)


def window(desk: DisputeDesk, **columns: Any) -> None:
    desk.policy = replace(desk.policy, disputes=DisputePolicy(**columns))


def test_an_opened_dispute_pauses_the_invoice_tells_the_merchant_and_keeps_its_deadline(
    desk: DisputeDesk,
) -> None:
    opened = desk.open(text="The parcel never came.")
    assert (opened.state, opened.outcome) == (DisputeState.OPENED, None)
    assert desk.state().paused
    (pause,) = desk.rows("invoice_pauses")
    assert (pause["reason"], pause["started_at"], pause.get("ended_at")) == ("dispute", desk.now, None)
    # 14 business days after Monday, 1 June 2026; Corpus Christi is no holiday of all Germany.
    assert opened.due_at is not None
    assert rfc3339(opened.due_at) == "2026-06-19T22:00:00.000Z"
    assert desk.told() == [("dispute.opened", "webhook")]
    assert desk.actions(opened.dispute_id) == ["opened"]
    window(desk, merchant_days=21)
    assert desk.dispute(opened.dispute_id).due_at_ms == opened.due_at
    assert desk.dispute(opened.dispute_id).policy_version == desk.policy.version


def test_the_window_goes_by_reason_and_country(desk: DisputeDesk) -> None:
    window(desk, merchant_days_by_country={"DE": 15}, merchant_days_by_reason={DisputeReason.OTHER: 16})
    by_country = desk.open()
    desk.withdraw(by_country.dispute_id)
    by_reason = desk.open("other", text="It smells.")
    assert by_country.due_at is not None
    assert by_reason.due_at is not None
    assert by_reason.due_at - by_country.due_at == DAY


def test_silence_until_the_deadline_decides_for_the_customer_a_second_before_it_does_not(
    desk: DisputeDesk,
) -> None:
    desk.pay(3_000)
    opened = desk.open()
    assert opened.due_at is not None
    desk.now = int(opened.due_at) - SECOND
    assert desk.work() == 0
    desk.now = int(opened.due_at)
    assert desk.work() == 1
    closed = desk.dispute(opened.dispute_id)
    assert (closed.state, closed.outcome) == (DisputeState.CLOSED, DisputeOutcome.FOR_CUSTOMER)
    assert (closed.credited_cents, closed.refunded_cents) == (7_000, 3_000)
    assert desk.adjustments() == [("credit_note", "chargeback", 7_000), ("refund", "chargeback", 3_000)]
    assert desk.outcomes() == ["dispute_decided_for_customer"]
    assert (desk.state().paused, desk.state().outstanding_cents, desk.state().cancelled) == (False, 0, True)
    assert [kind for kind, _ in desk.told()] == ["chargeback.created", "dispute.closed", "dispute.opened"]


def test_a_worker_that_is_killed_and_begins_again_does_nothing_twice(desk: DisputeDesk) -> None:
    opened = desk.open()
    assert opened.due_at is not None
    desk.now = int(opened.due_at)
    desk.work()
    before = desk.adjustments(), desk.outcomes(), desk.told(), desk.actions(opened.dispute_id)
    for _ in range(3):
        desk.now += MINUTE
        assert desk.work() == 0
    assert (desk.adjustments(), desk.outcomes(), desk.told(), desk.actions(opened.dispute_id)) == before


@pytest.mark.parametrize("broken", ["write_outcome", "end_pauses", "append_dispute_history", "tell_of_step"])
def test_a_worker_that_dies_within_a_step_leaves_nothing_of_it(
    desk: DisputeDesk, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = desk.open()
    assert opened.due_at is not None
    before = desk.adjustments(), desk.outcomes(), desk.told(), desk.state(), desk.actions(opened.dispute_id)
    desk.now = int(opened.due_at)

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kept_step, broken, dies)
        with pytest.raises(KeyboardInterrupt):
            desk.work()
    after = desk.adjustments(), desk.outcomes(), desk.told(), desk.state(), desk.actions(opened.dispute_id)
    assert after == before
    assert desk.work() == 1
    assert desk.adjustments() == [("credit_note", "chargeback", 10_000)]


def test_an_answer_a_second_before_the_deadline_counts_and_one_at_it_does_not(store: Store) -> None:
    for lead_ms, number in ((SECOND, 1), (0, 2)):
        if number == 1:
            desk = a_dispute_desk(store)
        else:
            desk.row("customers", a_customer("c2", event_id="customer-2", at=START - 400 * DAY))
            desk.row("orders", an_order("o2", "c2", at=desk.now))
            desk.row(
                "invoices",
                {**_invoice_of("o2", "c2", desk.now)},
            )
        opened = desk.open(order_id=f"o{number}", customer_id=f"c{number}")
        assert opened.due_at is not None
        desk.now = int(opened.due_at) - lead_ms
        if lead_ms:
            assert desk.answer(opened.dispute_id).state is DisputeState.ANSWERED
        else:
            with pytest.raises(DisputeAnswerTooLate):
                desk.answer(opened.dispute_id)


def _invoice_of(order_id: str, customer_id: str, at: int) -> Row:
    return an_invoice("i2", customer_id, at=at, order_id=order_id)


def test_answered_and_not_settled_the_customer_is_asked_and_then_the_desk_decides(desk: DisputeDesk) -> None:
    opened = desk.open()
    desk.answer(opened.dispute_id, "shipped_with_tracking", carrier="DHL", tracking_number="00340")
    assert opened.due_at is not None
    desk.now = int(opened.due_at)
    assert desk.work() == 1
    asked = desk.dispute(opened.dispute_id)
    assert asked.state is DisputeState.AWAITING_CUSTOMER
    assert asked.due_at_ms is not None
    desk.now = asked.due_at_ms
    assert desk.work() == 1
    assert desk.dispute(opened.dispute_id).state is DisputeState.DECIDING
    decided = desk.decide(opened.dispute_id, "for_merchant")
    assert (decided.outcome, decided.decided_by, decided.decision) == (
        DisputeOutcome.FOR_MERCHANT,
        "sue",
        "By the photos.",
    )
    assert desk.adjustments() == []
    assert desk.outcomes() == ["dispute_decided_for_merchant"]
    assert [kind for kind, _ in desk.told()] == ["dispute.closed", "dispute.opened"]
    assert desk.actions(opened.dispute_id) == [
        "opened",
        "answered",
        "expired",
        "expired",
        "claimed",
        "decided",
    ]


def test_the_due_date_moves_by_the_paused_time_once_the_invoice_goes_on(desk: DisputeDesk) -> None:
    due_before = desk.state().due_at
    began_at = desk.now + MINUTE
    dispute_id = desk.at_the_desk()
    desk.now += 5 * DAY
    desk.decide(dispute_id, "for_merchant")
    desk.now += SECOND
    assert desk.state().due_at == due_before + (desk.now - SECOND - began_at)
    assert desk.state().owed_cents == 10_000


def test_a_part_is_disputed_and_only_that_part_is_charged_back(desk: DisputeDesk) -> None:
    opened = desk.open("amount_wrong", amount_cents=2_500)
    assert opened.amount_cents == 2_500
    assert opened.due_at is not None
    desk.now = int(opened.due_at)
    desk.work()
    assert desk.adjustments() == [("credit_note", "chargeback", 2_500)]
    assert (desk.state().outstanding_cents, desk.state().paused) == (7_500, False)
    assert desk.state().net_amount_cents == 7_500


@pytest.mark.parametrize("amount_cents", [0, -1, 10_001])
def test_no_more_is_disputed_than_is_invoiced_less_credits(desk: DisputeDesk, amount_cents: int) -> None:
    with pytest.raises(FieldsInvalid, match="amount_cents must be from 1 to 10000"):
        desk.open(amount_cents=amount_cents)
    desk.row("invoice_adjustments", an_adjustment(at=desk.now, amount_cents=4_000))
    with pytest.raises(FieldsInvalid, match="amount_cents must be from 1 to 6000"):
        desk.open(amount_cents=6_001)


def test_what_was_credited_meanwhile_is_not_credited_again(desk: DisputeDesk) -> None:
    opened = desk.open()
    desk.row("invoice_adjustments", an_adjustment(at=desk.now, amount_cents=4_000))
    assert opened.due_at is not None
    desk.now = int(opened.due_at)
    desk.work()
    assert desk.adjustments() == [("credit_note", "chargeback", 6_000), ("credit_note", "return", 4_000)]


def test_an_over_payment_is_no_part_of_what_is_paid_back(desk: DisputeDesk) -> None:
    desk.pay(12_000)
    opened = desk.open()
    assert opened.due_at is not None
    desk.now = int(opened.due_at)
    desk.work()
    closed = desk.dispute(opened.dispute_id)
    assert (closed.credited_cents, closed.refunded_cents) == (0, 10_000)
    assert desk.state().net_amount_cents == 0


def test_every_invoice_of_the_order_pauses_and_one_that_comes_later_too(store: Store) -> None:
    desk = a_dispute_desk(store, invoiced=False)
    desk.invoice("i1", 4_000)
    desk.invoice("i2", 3_000)
    opened = desk.open()
    desk.invoice("i3", 3_000)
    assert not desk.state("i3").paused
    assert desk.work() == 1
    assert {name for name, state in desk.invoices().items() if state.paused} == {"i1", "i2", "i3"}
    assert desk.work() == 0
    desk.give_in(opened.dispute_id)
    assert not any(state.paused for state in desk.invoices().values())
    assert desk.adjustments() == [("credit_note", "dispute", cents) for cents in (3_000, 3_000, 4_000)]


def test_a_paid_order_is_disputed_and_paid_back(desk: DisputeDesk) -> None:
    desk.pay(10_000)
    opened = desk.open("damaged_or_wrong")
    assert desk.rows("invoice_pauses") != []
    desk.give_in(opened.dispute_id)
    assert desk.adjustments() == [("refund", "dispute", 10_000)]
    assert desk.outcomes() == ["dispute_decided_for_customer"]


def test_a_merchant_gives_in_by_the_part_or_the_whole(store: Store) -> None:
    desk = a_dispute_desk(store)
    opened = desk.open(amount_cents=1_000)
    settled = desk.give_in(opened.dispute_id, "whole_order")
    assert (settled.outcome, settled.credited_cents) == (DisputeOutcome.SETTLED_BY_MERCHANT, 10_000)
    assert desk.give_in(opened.dispute_id) == settled
    assert [kind for kind, _ in desk.told()] == ["dispute.closed", "dispute.opened"]


def test_a_withdrawn_dispute_decides_nothing_and_another_may_follow(desk: DisputeDesk) -> None:
    opened = desk.open()
    assert desk.withdraw(opened.dispute_id).outcome is DisputeOutcome.WITHDRAWN
    assert desk.withdraw(opened.dispute_id).outcome is DisputeOutcome.WITHDRAWN
    assert (desk.outcomes(), desk.adjustments(), desk.state().paused) == ([], [], False)
    assert desk.open().dispute_id != opened.dispute_id


def test_one_dispute_at_a_time_and_after_a_decision_for_the_merchant_only_a_complaint(
    desk: DisputeDesk,
) -> None:
    dispute_id = desk.at_the_desk()
    with pytest.raises(opening.OrderDisputedBefore):
        desk.open()
    desk.decide(dispute_id, "for_merchant")
    with pytest.raises(opening.OrderDisputedBefore, match="complain"):
        desk.open()


def test_the_desk_awards_a_part_and_the_rest_has_to_be_paid(desk: DisputeDesk) -> None:
    dispute_id = desk.at_the_desk(amount_cents=6_000)
    with pytest.raises(FieldsInvalid, match="award_cents must be from 1 to 6000"):
        desk.decide(dispute_id, "for_customer", 6_001)
    desk.decide(dispute_id, "for_customer", 2_000)
    assert desk.adjustments() == [("credit_note", "chargeback", 2_000)]
    assert desk.state().owed_cents == 8_000


def test_a_complaint_pauses_anew_and_somebody_else_looks_and_may_turn_it(desk: DisputeDesk) -> None:
    dispute_id = desk.at_the_desk()
    desk.decide(dispute_id, "for_merchant")
    desk.now += DAY
    complained = desk.complain(dispute_id)
    assert complained.state is DisputeState.COMPLAINT
    assert desk.state().paused
    assert len(desk.rows("invoice_pauses")) == 2
    with pytest.raises(SecondLookBySamePerson):
        service_desk.claim_dispute(desk.scope, dispute_id, by="sue")
    service_desk.claim_dispute(desk.scope, dispute_id, by="bob")
    decided = service_desk.decide_second_look(
        desk.scope, dispute_id, outcome="for_customer", award_cents=None, text="She is right.", by="bob"
    )
    assert (decided.outcome, decided.decided_by) == (DisputeOutcome.FOR_CUSTOMER, "bob")
    assert desk.adjustments() == [("credit_note", "chargeback", 10_000)]
    assert desk.outcomes() == ["dispute_decided_for_customer"], "of two decisions the later one stands"
    assert not desk.state().paused
    with pytest.raises(ComplaintMadeBefore):
        desk.complain(dispute_id, "Once more.")


def test_a_complaint_raises_an_award_but_never_lowers_it(desk: DisputeDesk) -> None:
    dispute_id = desk.at_the_desk()
    desk.decide(dispute_id, "for_customer", 2_000)
    desk.complain(dispute_id)
    service_desk.claim_dispute(desk.scope, dispute_id, by="bob")

    def second_look(outcome: str, award_cents: int | None) -> None:
        service_desk.decide_second_look(
            desk.scope, dispute_id, outcome=outcome, award_cents=award_cents, text="Seen.", by="bob"
        )

    for outcome, award_cents in (("for_merchant", None), ("for_customer", 1_999)):
        with pytest.raises(OutcomeWorseForCustomer):
            second_look(outcome, award_cents)
    second_look("for_customer", 5_000)
    assert [cents for _, _, cents in desk.adjustments()] == [2_000, 3_000]


def test_a_complaint_goes_to_a_committee_and_its_result_is_entered(desk: DisputeDesk) -> None:
    dispute_id = desk.at_the_desk()
    desk.decide(dispute_id, "for_merchant")
    desk.complain(dispute_id)
    service_desk.claim_dispute(desk.scope, dispute_id, by="bob")
    referred = service_desk.refer_complaint(desk.scope, dispute_id, committee="Consumer Board", by="bob")
    assert referred.complaint is not None
    assert (referred.state, referred.complaint.committee) == (DisputeState.REFERRED, "Consumer Board")
    service_desk.claim_dispute(desk.scope, dispute_id, by="bob")
    ended = service_desk.enter_committee_result(
        desk.scope, dispute_id, outcome="for_merchant", award_cents=None, text="Case 12/26.", by="bob"
    )
    assert (ended.state, ended.outcome) == (DisputeState.CLOSED, DisputeOutcome.FOR_MERCHANT)
    assert not desk.state().paused


def test_a_complaint_is_taken_within_its_days_and_raised_once_when_it_is_overdue(desk: DisputeDesk) -> None:
    dispute_id = desk.at_the_desk()
    desk.decide(dispute_id, "for_merchant")
    closed_at_ms = desk.now
    desk.now = closed_at_ms + 60 * DAY
    with pytest.raises(ComplaintTooLate):
        desk.complain(dispute_id)
    desk.now -= SECOND
    complained = desk.complain(dispute_id)
    assert complained.due_at is not None
    desk.now = int(complained.due_at) - SECOND
    assert desk.work() == 0
    desk.now = int(complained.due_at)
    assert (desk.work(), desk.work()) == (1, 0)
    assert desk.actions(dispute_id)[-1] == "overdue"
    assert service_desk.queue(desk.scope, limit=10).disputes[0].is_overdue


def test_the_desk_asks_both_sides_and_the_answers_bring_it_back(desk: DisputeDesk) -> None:
    dispute_id = desk.at_the_desk()
    with pytest.raises(DisputeNotHeld):
        service_desk.ask_merchant(desk.scope, dispute_id, text="A photo?", by="sue")
    service_desk.claim_dispute(desk.scope, dispute_id, by="sue")
    with pytest.raises(DisputeHeldByAnother):
        service_desk.claim_dispute(desk.scope, dispute_id, by="bob")
    service_desk.ask_merchant(desk.scope, dispute_id, text="A photo?", by="sue")
    (question,) = [message for message in desk.messages() if message.event_type == "dispute.more_asked"]
    assert "A photo?" in question.body
    desk.answer(dispute_id, "other", text="See the file.")
    assert desk.dispute(dispute_id).state is DisputeState.DECIDING
    service_desk.claim_dispute(desk.scope, dispute_id, by="sue")
    asked = service_desk.ask_customer(desk.scope, dispute_id, text="Since when?", by="sue")
    assert asked.state is DisputeState.AWAITING_CUSTOMER
    assert desk.statement(dispute_id, "Since Monday.").state is DisputeState.DECIDING
    assert [one.text for one in service_desk.desk_view(desk.scope, dispute_id).questions] == [
        "A photo?",
        "Since when?",
    ]


def test_a_work_item_that_rests_may_be_taken_over(desk: DisputeDesk) -> None:
    dispute_id = desk.at_the_desk()
    service_desk.claim_dispute(desk.scope, dispute_id, by="sue")
    desk.now += 30 * MINUTE
    assert service_desk.claim_dispute(desk.scope, dispute_id, by="bob").claimed_by == "bob"
    with pytest.raises(DisputeNotHeld):
        service_desk.give_back_dispute(desk.scope, dispute_id, by="sue")


def test_an_order_of_another_customer_is_not_known_and_a_dispute_neither(desk: DisputeDesk) -> None:
    with pytest.raises(UnknownOrder):
        desk.open(customer_id="c2")
    opened = desk.open()
    with pytest.raises(kept_step.UnknownDispute):
        merchant_steps.merchant_view(desk.scope, opened.dispute_id, "m2")
    with pytest.raises(kept_step.UnknownDispute):
        desk.answer("dsp_none")


def test_nothing_invoiced_is_nothing_to_dispute_but_before_shipping(store: Store) -> None:
    desk = a_dispute_desk(store, invoiced=False)
    with pytest.raises(OrderNotInvoiced):
        desk.open()
    opened = desk.open("cancelled_before_shipping")
    assert opened.due_at is not None
    desk.now = int(opened.due_at)
    desk.work()
    assert desk.dispute(opened.dispute_id).outcome is DisputeOutcome.FOR_CUSTOMER
    assert desk.outcomes() == []


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"reason": "bored"}, "reason must be one of"),
        ({"reason": "other"}, "text is required"),
        ({"reason": "other", "text": "x" * 4_001}, "text must have at most 4000"),
        ({"reason": "not_received", "police_report": "A/1"}, "police_report must be left out"),
        ({"reason": "not_my_order", "police_report": "A\n1"}, "police_report must be one line"),
    ],
)
def test_what_breaks_a_rule_is_named_and_nothing_is_kept(desk: DisputeDesk, columns: Row, rule: str) -> None:
    with pytest.raises(FieldsInvalid, match=rule):
        desk.open(**columns)
    assert not desk.state().paused


def test_the_same_idempotency_key_opens_once_and_another_request_is_refused(desk: DisputeDesk) -> None:
    first = desk.open(idempotency_key="k1")
    assert desk.open(idempotency_key="k1") == first
    with pytest.raises(IdempotencyConflict):
        desk.open("amount_wrong", idempotency_key="k1")


def test_the_same_answer_again_changes_nothing_and_a_wrong_one_is_named(desk: DisputeDesk) -> None:
    opened = desk.open()
    with pytest.raises(AnswerInvalid, match="tracking_number: is required for shipped_with_tracking"):
        desk.answer(opened.dispute_id, "shipped_with_tracking", carrier="DHL")
    answered = desk.answer(opened.dispute_id)
    assert desk.answer(opened.dispute_id) == answered
    assert desk.actions(opened.dispute_id) == ["opened", "answered"]


def test_a_closed_dispute_takes_no_step_but_a_complaint(desk: DisputeDesk) -> None:
    opened = desk.open()
    desk.withdraw(opened.dispute_id)
    for step in (desk.answer, desk.give_in, desk.statement, desk.complain):
        with pytest.raises(DisputeStepImpossible):
            step(opened.dispute_id)


def test_a_merchant_without_a_portal_account_gets_an_email(store: Store) -> None:
    desk = a_dispute_desk(store, merchant={"has_portal_account": False})
    desk.open()
    assert desk.told() == [("dispute.opened", "email")]


def test_an_endpoint_and_no_portal_account_get_both_and_no_third_message(store: Store) -> None:
    merchant = {"has_portal_account": False, "endpoint_url": "https://shop.example/in"}
    desk = a_dispute_desk(store, merchant=merchant)
    desk.open()
    assert desk.told() == [("dispute.opened", "email"), ("dispute.opened", "webhook")]
    webhook, email = desk.messages()
    assert email.delivery_id == f"{webhook.delivery_id}-email", "the id that a fallback would have"


def test_a_webhook_that_is_not_taken_becomes_an_email_unless_it_is_over(desk: DisputeDesk) -> None:
    opened = desk.open()
    (webhook,) = desk.messages()
    with desk.store.reading() as tx:
        text = fallback_text(tx, webhook)
    assert text is not None
    assert "The parcel" not in webhook.body + text.body, "what the customer wrote stands behind the link"
    assert "https://pay.example/dispute/" in text.body
    desk.withdraw(opened.dispute_id)
    with desk.store.reading() as tx:
        assert fallback_text(tx, webhook) is None


def test_a_link_opens_its_dispute_and_no_stop_request(desk: DisputeDesk) -> None:
    opened = desk.open()
    with desk.store.writing("c1") as tx:
        token = dispute_link(tx, desk.scope, opened.dispute_id).rpartition("/")[2]
    assert read_dispute_token(desk.scope, token) == opened.dispute_id
    with pytest.raises(LinkInvalid):
        read_token(desk.scope, token)


def test_a_pause_of_the_back_office_is_left_alone(desk: DisputeDesk) -> None:
    desk.row("invoice_pauses", a_pause(pause_id="theirs", started_at=desk.now, reason="dispute"))
    opened = desk.open()
    desk.withdraw(opened.dispute_id)
    lasting = [row["pause_id"] for row in desk.rows("invoice_pauses") if row.get("ended_at") is None]
    assert lasting == ["theirs"]


def test_a_return_that_was_never_booked_opens_a_dispute_in_the_transaction_of_its_finder(
    desk: DisputeDesk,
) -> None:
    with desk.store.writing("c1") as tx:
        opened = opening.open_dispute(
            tx,
            desk.scope,
            order_id="o1",
            customer_id="c1",
            reason=DisputeReason.RETURN_NOT_BOOKED,
            opened_by="system",
            amount_cents=4_000,
        )
    assert (opened.disputed_cents, opened.opened_by) == (4_000, "system")
    assert desk.state().paused
    assert PORTAL.name not in desk.actions(opened.dispute_id)


def test_two_at_the_desk_decide_at_the_same_moment_and_one_of_them_is_told(
    desk: DisputeDesk, database_url: str
) -> None:
    dispute_id = desk.at_the_desk()
    service_desk.claim_dispute(desk.scope, dispute_id, by="sue")
    stores = [open_store(database_url) for _ in range(4)]
    ready = threading.Barrier(len(stores))

    def decides(number: int) -> str:
        other = DisputeDesk(stores[number], desk.policy, now=desk.now)
        ready.wait()
        try:
            outcome = "for_customer" if number % 2 else "for_merchant"
            service_desk.decide_dispute(
                other.scope, dispute_id, outcome=outcome, award_cents=None, text="Seen.", by="sue"
            )
        except (DisputeStepImpossible, kept_step.DisputeMoved):
            return "refused"
        return outcome

    with ThreadPoolExecutor(len(stores)) as threads:
        came = list(threads.map(decides, range(len(stores))))
    for store in stores:
        store.close()
    (outcome,) = [one for one in came if one != "refused"]
    assert desk.outcomes() == [f"dispute_decided_{outcome}"]
    assert len(desk.adjustments()) == (outcome == "for_customer")


def test_two_customers_apps_open_one_dispute_about_one_order(desk: DisputeDesk, database_url: str) -> None:
    stores = [open_store(database_url) for _ in range(4)]
    ready = threading.Barrier(len(stores))

    def opens(number: int) -> bool:
        other = DisputeDesk(stores[number], desk.policy, now=desk.now)
        ready.wait()
        try:
            other.open()
        except opening.OrderDisputedBefore:
            return False
        return True

    with ThreadPoolExecutor(len(stores)) as threads:
        came = list(threads.map(opens, range(len(stores))))
    for store in stores:
        store.close()
    assert came.count(True) == 1
    assert len(desk.rows("invoice_pauses")) == 1


STEPS = (
    "pay",
    "credit",
    "invoice",
    "open",
    "open_part",
    "answer",
    "statement",
    "give_in",
    "withdraw",
    "complain",
    "decide_customer",
    "decide_part",
    "decide_merchant",
    "look_again",
    "days",
    "work",
)


def _take(desk: DisputeDesk, step: str, dispute_id: str | None) -> str | None:
    """One step of a life; what is not possible now is refused, and changes nothing."""
    known = dispute_id or "dsp_none"
    match step:
        case "pay":
            # Money that comes once all is credited counts as an over-payment, and takes credit back.
            if desk.state().outstanding_cents:
                desk.pay(min(2_000, desk.state().outstanding_cents))
        case "credit":
            desk.offer("invoice_adjustments", an_adjustment(at=desk.now, amount_cents=500))
        case "invoice":
            number = len(desk.invoices()) + 1
            desk.offer("invoices", an_invoice(f"i{number}", at=desk.now, amount_cents=2_000))
        case "open":
            return desk.open().dispute_id
        case "open_part":
            return desk.open(amount_cents=1_500).dispute_id
        case "answer" | "statement" | "give_in" | "withdraw" | "complain":
            getattr(desk, step)(known)
        case "decide_customer":
            desk.decide(known, "for_customer")
        case "decide_part":
            desk.decide(known, "for_customer", 700)
        case "decide_merchant":
            desk.decide(known, "for_merchant")
        case "look_again":
            service_desk.claim_dispute(desk.scope, known, by="bob")
            service_desk.decide_second_look(
                desk.scope, known, outcome="for_customer", award_cents=None, text="Seen.", by="bob"
            )
        case "days":
            desk.now += 8 * DAY
        case "work":
            desk.work()
            assert desk.work() == 0, "nothing is done twice"
    return dispute_id


@examples(2_000)
@given(course=st.lists(st.sampled_from(STEPS), min_size=6, max_size=18))
def test_in_any_life_money_balances_and_an_invoice_is_paused_while_its_order_is_disputed(
    empty_sqlite: bytes, tmp_path: Path, course: list[str]
) -> None:
    file = tmp_path / f"{uuid.uuid4().hex}.db"
    file.write_bytes(empty_sqlite)
    opened_store = open_store(f"sqlite:///{file}")
    try:
        desk = a_dispute_desk(opened_store, invoiced=False, amount_cents=12_000)
        desk.invoice("i1", 6_000)
        _live(desk, course)
    finally:
        opened_store.close()
        file.unlink()


def _live(desk: DisputeDesk, course: list[str]) -> None:
    dispute_id: str | None = None
    for step in course:
        before = desk.adjustments(), desk.outcomes(), len(desk.rows("invoice_pauses"))
        desk.now += MINUTE
        try:
            dispute_id = _take(desk, step, dispute_id)
        except RiskError:
            assert (desk.adjustments(), desk.outcomes(), len(desk.rows("invoice_pauses"))) == before
        for state in desk.invoices().values():
            assert 0 <= state.outstanding_cents <= state.net_amount_cents
            assert state.received_cents + state.outstanding_cents == state.net_amount_cents
        if dispute_id is None:
            continue
        if step == "invoice":
            desk.work()
        paused = [state.paused for state in desk.invoices().values() if state.outstanding_cents > 0]
        dispute = desk.dispute(dispute_id)
        if dispute.is_closed:
            assert not any(paused)
        elif dispute.complaint is None:
            assert all(paused)
        invoiced = sum(row["amount_cents"] for row in desk.rows("invoices"))
        returned = sum(cents for _, reason, cents in desk.adjustments() if reason == "return")
        told = sum(known.credited_cents + known.refunded_cents for known in _disputes_of(desk))
        left = sum(state.net_amount_cents for state in desk.invoices().values())
        # A credit note that comes after a refund counts as that refund's own, as everywhere in the ledger.
        assert max(invoiced - returned - told, 0) <= left <= invoiced - told


def _disputes_of(desk: DisputeDesk) -> list[Dispute]:
    with desk.store.reading() as tx:
        return disputes_of_order(tx, "o1")
