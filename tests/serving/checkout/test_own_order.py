"""An order as its customer sees it: what is owed, until when, and what is paused."""

import pytest

from data_contracts.instants import rfc3339
from serving.checkout.order_views import own_order_view
from serving.domain.decision import Outcome
from serving.domain.errors import UnknownOrder
from serving.domain.order_numbers import OrderAddress
from serving.store.store import Store
from tests.builders import DAY, a_pause
from tests.serving.checkout.a_fulfilled_order import ADDRESS, FulfilledOrder, a_fulfilled_order


@pytest.fixture
def order(store: Store, database_url: str) -> FulfilledOrder:
    return a_fulfilled_order(store, database_url)


def test_it_tells_what_is_owed_until_when_and_since_when_it_is_paused(order: FulfilledOrder) -> None:
    before = own_order_view(order.desk.scope(), ADDRESS, customer_id="c1")
    assert (before.outcome, before.owed_cents, before.invoices) == (Outcome.APPROVED, 0, ())
    assert before.reserved_cents == 20_000
    issued_at = order.desk.now + 1_000
    order.invoice(15_000)
    order.pay(4_000)
    order.credit(amount_cents=1_000)
    after = own_order_view(order.desk.scope(), ADDRESS, customer_id="c1")
    (invoice,) = after.invoices
    assert (after.reserved_cents, after.owed_cents, invoice.invoiced_cents) == (5_000, 10_000, 14_000)
    assert (invoice.due_at, invoice.paused_since) == (rfc3339(issued_at + 14 * DAY), None)
    started_at = order.desk.now
    order.desk.now += 1_000
    for number in (2, 1):
        pause = a_pause(started_at=started_at + number, pause_id=f"p{number}")
        order.desk.row("invoice_pauses", pause)
    (paused,) = own_order_view(order.desk.scope(), ADDRESS, customer_id="c1").invoices
    assert (paused.due_at, paused.paused_since) == (None, rfc3339(started_at + 1))
    ended = a_pause(started_at=started_at + 1, ended_at=order.desk.now, pause_id="p1")
    order.desk.row("invoice_pauses", ended)
    (paused,) = own_order_view(order.desk.scope(), ADDRESS, customer_id="c1").invoices
    assert paused.paused_since == rfc3339(started_at + 2)


def test_another_customer_sees_no_such_order(
    order: FulfilledOrder,
) -> None:
    for customer_id in (None, "c2", ""):
        with pytest.raises(UnknownOrder):
            own_order_view(order.desk.scope(), ADDRESS, customer_id=customer_id)
    with pytest.raises(UnknownOrder):
        own_order_view(order.desk.scope(), OrderAddress(name="o2", merchant_id=None), customer_id="c1")
