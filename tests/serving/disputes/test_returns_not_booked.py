"""Goods that a customer proves to have sent back, and that nobody books in time, become a dispute."""

import pytest

from serving.disputes.returns_not_booked import dispute_return
from serving.domain.dispute import Dispute, DisputeReason, DisputeState
from serving.returns.looking_at_returns import look_at_returns
from serving.store.deliveries import due
from serving.store.disputes import disputes_of_order
from serving.store.store import Store
from tests.builders import DAY
from tests.serving.returns.test_returning import ReturnDesk, a_return_desk

PROOF = {"carrier": "PostNord", "tracking_number": "R1"}


@pytest.fixture
def order(store: Store, database_url: str) -> ReturnDesk:
    return a_return_desk(store, database_url)


def out_of_time(order: ReturnDesk) -> list[Dispute]:
    order.desk.now += 29 * DAY
    while look_at_returns(order.scope(), dispute_return):
        pass
    with order.desk.store.reading() as tx:
        return disputes_of_order(tx, "o1")


def running_pauses(order: ReturnDesk) -> list[str]:
    ended = {row["pause_id"] for row in order.rows("invoice_pauses") if row.get("ended_at") is not None}
    begun = {row["pause_id"]: row["reason"] for row in order.rows("invoice_pauses")}
    return [reason for pause_id, reason in begun.items() if pause_id not in ended]


def test_a_return_with_proof_becomes_a_dispute_that_pauses_in_its_stead_and_is_told(
    order: ReturnDesk,
) -> None:
    order.invoice(20_000)
    due_at = order.state().due_at
    announced_at = order.desk.now + 1_000
    order.announce(amount_cents=5_000, **PROOF)
    (dispute,) = out_of_time(order)
    assert (dispute.reason, dispute.state) == (DisputeReason.RETURN_NOT_BOOKED, DisputeState.OPENED)
    assert (dispute.disputed_cents, dispute.text) == (5_000, "PostNord R1")
    assert running_pauses(order) == ["dispute"]
    assert order.state().paused
    with order.desk.store.reading() as tx:
        assert [one.event_type for one in due(tx, order.desk.now, 10)] == ["dispute.opened"]
    # The days under both pauses count once: the invoice had its term left when the goods were announced.
    assert order.state().lateness_at(order.desk.now) <= 0
    assert due_at > announced_at
    assert out_of_time(order) == [dispute]


def test_without_proof_the_invoice_runs_again_and_nobody_is_asked(order: ReturnDesk) -> None:
    order.invoice(20_000)
    order.announce(amount_cents=5_000)
    assert out_of_time(order) == []
    assert running_pauses(order) == []


def test_what_was_credited_meanwhile_is_in_dispute_no_more(order: ReturnDesk) -> None:
    order.invoice(20_000)
    goods = order.announce(**PROOF)
    order.credit(amount_cents=12_000, reason="goodwill")
    (dispute,) = out_of_time(order)
    assert dispute.disputed_cents in {None, 8_000}
    assert order.shown(goods).state == "not_booked"


def test_of_two_returns_out_of_time_the_second_opens_no_other_dispute_and_holds_up_nobody(
    order: ReturnDesk,
) -> None:
    order.invoice(20_000)
    for number in ("R1", "R2"):
        order.announce(amount_cents=5_000, carrier="PostNord", tracking_number=number)
    assert len(out_of_time(order)) == 1
    assert "dispute" in running_pauses(order)
