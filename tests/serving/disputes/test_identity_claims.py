"""A customer says that somebody else ordered: the fraud team looks, and the dispute follows its verdict."""

from dataclasses import replace

import pytest

from serving.cases.case_settlement import liability_answer
from serving.disputes import kept_step, merchant_steps, service_desk
from serving.disputes.case_export import export_case
from serving.domain.dispute import DisputeOutcome, DisputeState, OutcomeGround
from serving.domain.flag_reason import IDENTITY_CLAIM
from serving.domain.review_case import CaseState, Verdict, claim, decide
from serving.store.case_queue import StoredCase, case_about, history_of, update_case
from serving.store.store import Store
from tests.builders import DAY
from tests.serving.as_sent import as_sent
from tests.serving.dispute_desk import MINUTE, DisputeDesk, a_dispute_desk


@pytest.fixture
def desk(store: Store) -> DisputeDesk:
    return a_dispute_desk(store)


def case_of_order(desk: DisputeDesk) -> StoredCase:
    with desk.store.reading() as tx:
        stored = case_about(tx, "o1")
    assert stored is not None
    return stored


def decided(desk: DisputeDesk, verdict: Verdict) -> None:
    """The case closed by ann, and its stop in effect."""
    stored, policy = case_of_order(desk), desk.policy.review
    desk.now += MINUTE
    held = claim(stored.case, "ann", desk.now, policy)
    with desk.store.writing("someone") as tx:
        closed = replace(stored, case=decide(held, "ann", verdict, desk.now, policy))
        update_case(tx, closed, version_before=stored.case.version)
    desk.now += policy.undo_seconds * 1_000


def test_a_claim_opens_a_case_where_there_is_none_and_the_merchant_hears_nothing(desk: DisputeDesk) -> None:
    opened = desk.open("not_my_order", police_report="ST/0042/2026")
    assert (opened.state, opened.due_at, opened.police_report) == (
        DisputeState.WITH_FRAUD_TEAM,
        None,
        "ST/0042/2026",
    )
    assert desk.state().paused
    assert desk.messages() == []
    stored = case_of_order(desk)
    assert [reason.code for reason in stored.reasons] == [IDENTITY_CLAIM]
    assert stored.stakes.probability >= desk.policy.order_risk.flag_probability
    with pytest.raises(kept_step.UnknownDispute):
        merchant_steps.merchant_view(desk.scope, opened.dispute_id, "m1")
    assert merchant_steps.disputes_of(desk.scope, "m1", is_open=True, limit=10).disputes == ()
    desk.now += 100 * DAY
    assert desk.work() == 0, "no deadline of a merchant runs"


def test_a_confirmed_misuse_closes_the_dispute_for_the_customer_without_a_chargeback(
    desk: DisputeDesk,
) -> None:
    desk.pay(4_000)
    opened = desk.open("not_my_order")
    decided(desk, Verdict.STOP)
    assert desk.work() == 1
    closed = desk.dispute(opened.dispute_id)
    assert (closed.outcome, closed.ground) == (DisputeOutcome.FOR_CUSTOMER, OutcomeGround.FRAUD)
    assert desk.adjustments() == [("credit_note", "fraud", 6_000), ("refund", "fraud", 4_000)]
    assert set(desk.outcomes()) == {"dispute_decided_for_customer", "identity_misuse_upheld"}
    assert desk.told() == []
    case_id = case_of_order(desk).case.case_id
    with desk.store.reading() as tx:
        liability = liability_answer(tx, desk.scope, case_id)
    assert liability.reasons != ("All that was invoiced is credited, so nothing is lost.",)
    assert merchant_steps.disputes_of(desk.scope, "m1", is_open=False, limit=10).disputes == ()
    assert desk.work() == 0


def test_a_stop_that_can_still_be_undone_decides_nothing(desk: DisputeDesk) -> None:
    opened = desk.open("not_my_order")
    decided(desk, Verdict.STOP)
    desk.now -= 1_000
    assert desk.work() == 0
    assert desk.dispute(opened.dispute_id).state is DisputeState.WITH_FRAUD_TEAM


def test_a_released_order_sends_the_dispute_to_the_service_desk(desk: DisputeDesk) -> None:
    opened = desk.open("not_my_order")
    decided(desk, Verdict.RELEASED)
    assert desk.work() == 1
    assert desk.dispute(opened.dispute_id).state is DisputeState.DECIDING
    assert desk.outcomes() == ["identity_misuse_rejected"]
    view = as_sent(service_desk.desk_view(desk.scope, opened.dispute_id))
    assert "ann" not in str(view), "the desk is told nothing of the fraud team"
    desk.decide(opened.dispute_id, "for_merchant")
    assert not desk.state().paused
    assert desk.told() == [("dispute.closed", "webhook")]


def test_a_claim_about_a_released_order_opens_its_case_again(desk: DisputeDesk) -> None:
    first = desk.open("not_my_order")
    desk.withdraw(first.dispute_id)
    decided(desk, Verdict.RELEASED)
    opened = desk.open("not_my_order")
    with desk.store.reading() as tx:
        assert case_about(tx, "o1") is not None
    assert desk.work() == 1
    assert desk.dispute(opened.dispute_id).state is DisputeState.WITH_FRAUD_TEAM
    stored = case_of_order(desk)
    assert (stored.case.state, stored.case.reopened_count) == (CaseState.OPEN, 1)
    with desk.store.reading() as tx:
        assert history_of(tx, stored.case.case_id)[-1].detail["dispute_id"] == opened.dispute_id
    assert desk.work() == 0


def test_a_case_is_exported_with_all_that_is_kept_about_it(desk: DisputeDesk) -> None:
    opened = desk.open("not_my_order", police_report="ST/0042/2026", text="I was abroad.")
    desk.statement(opened.dispute_id, "Here is the report.")
    document = as_sent(export_case(desk.scope, case_of_order(desk).case.case_id))
    assert document["disputes"][0]["police_report"] == "ST/0042/2026"
    assert document["disputes"][0]["statements"][0]["text"] == "Here is the report."
    assert document["case"]["order_id"] == "o1"
    assert {"customers", "orders", "invoices", "invoice_pauses"} <= set(document["ledger"])
    assert document["ledger"]["orders"][0]["occurred_at"].endswith("Z")
