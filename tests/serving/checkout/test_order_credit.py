"""What is invoiced of an order is credited, and what was paid goes back: to the cent, and never more."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.invoice_state import InvoiceState, Movement, MovementKind, invoice_state
from features.settlement_terms import SettlementTerms
from serving.checkout.order_credit import CreditBody, CreditReason, MerchantOrderCredit, credit, note_cents
from serving.domain.credit_spread import CreditableInvoice, spread_credit
from serving.domain.errors import CreditAboveInvoiced, FieldsInvalid, OrderNotInvoiced, UnknownOrder
from serving.domain.order_numbers import OrderAddress
from serving.store.api_keys import Caller, Role
from serving.store.open_store import open_store
from serving.store.order_invoices import OrderInvoice
from serving.store.store import Store
from tests.builders import an_adjustment
from tests.serving.checkout.a_fulfilled_order import MERCHANT, FulfilledOrder, a_fulfilled_order
from tests.serving.shadow_desk import CALLER


@pytest.fixture
def order(store: Store, database_url: str) -> FulfilledOrder:
    return a_fulfilled_order(store, database_url)


def adjusted(order: FulfilledOrder) -> list[tuple[str, str, str, int]]:
    return sorted(
        (row["invoice_id"], row["kind"], row["reason"], row["amount_cents"])
        for row in order.rows("invoice_adjustments")
    )


def test_what_is_unpaid_is_credited_first_and_what_was_paid_goes_back(order: FulfilledOrder) -> None:
    order.invoice(20_000)
    order.pay(12_000)
    first = order.credit(amount_cents=5_000)
    assert (first.credited_cents, first.refunded_cents, first.still_invoiced_cents) == (5_000, 0, 15_000)
    second = order.credit(amount_cents=4_000, reason="goodwill")
    assert (second.credited_cents, second.refunded_cents, second.still_invoiced_cents) == (
        4_000,
        1_000,
        11_000,
    )
    assert order.owed_cents() == [0]
    assert adjusted(order) == [
        ("i1", "credit_note", "goodwill", 4_000),
        ("i1", "credit_note", "return", 5_000),
        ("i1", "refund", "goodwill", 1_000),
    ]
    whole = order.credit()
    assert (whole.credited_cents, whole.refunded_cents, whole.still_invoiced_cents) == (11_000, 11_000, 0)
    (invoice,) = order.invoices()
    assert (invoice.state.cancelled, invoice.state.received_cents) == (True, 0)


def test_a_return_fee_is_kept_back_and_stays_owed(order: FulfilledOrder) -> None:
    order.invoice(20_000)
    answer = order.credit(return_fee_cents=495)
    assert (answer.credited_cents, answer.return_fee_cents, answer.still_invoiced_cents) == (19_505, 495, 495)
    assert order.owed_cents() == [495]
    for fee in (495, 496):
        with pytest.raises(FieldsInvalid, match="return_fee_cents: must be below the amount, 495"):
            order.credit(return_fee_cents=fee)


def test_it_is_spread_over_the_invoices_the_oldest_first_or_goes_to_the_one_that_is_named(
    order: FulfilledOrder,
) -> None:
    order.invoice(6_000, 1)
    order.invoice(8_000, 2)
    order.invoice(6_000, 3)
    order.pay(6_000, 1)
    named = order.credit(amount_cents=1_000, invoice_id="i3")
    assert [(one.invoice_id, one.credited_cents) for one in named.invoices] == [("i3", 1_000)]
    spread = order.credit(amount_cents=14_000)
    assert [(one.invoice_id, one.credited_cents, one.refunded_cents) for one in spread.invoices] == [
        ("i1", 1_000, 1_000), ("i2", 8_000, 0), ("i3", 5_000, 0),
    ]  # fmt: skip
    assert order.owed_cents() == [0, 0, 0]
    with pytest.raises(CreditAboveInvoiced, match="5001 would be credited; 5000 are invoiced"):
        order.credit(amount_cents=5_001)
    with pytest.raises(CreditAboveInvoiced, match="1 would be credited; 0 are invoiced"):
        order.credit(amount_cents=1, invoice_id="i2")
    with pytest.raises(FieldsInvalid, match="invoice_id: is no invoice of order o1"):
        order.credit(amount_cents=1, invoice_id="i9")
    order.credit()
    with pytest.raises(CreditAboveInvoiced, match="is credited already"):
        order.credit()


def test_an_over_payment_stays_the_customer_s_beside_the_credit(order: FulfilledOrder) -> None:
    order.invoice(20_000)
    order.pay(23_000)
    answer = order.credit()
    assert (answer.credited_cents, answer.refunded_cents) == (20_000, 20_000)
    back = {"at": order.desk.now, "kind": "refund", "reason": "overpayment", "event_id": "back"}
    order.desk.row("invoice_adjustments", an_adjustment(**back, amount_cents=3_000))
    assert order.owed_cents() == [0]


def test_a_refund_of_the_back_office_that_brought_its_own_credit_is_not_given_twice(
    order: FulfilledOrder,
) -> None:
    order.invoice(20_000)
    order.pay(20_000)
    goodwill = {"at": order.desk.now, "kind": "refund", "reason": "goodwill"}
    order.desk.row("invoice_adjustments", an_adjustment(**goodwill, amount_cents=3_000))
    with pytest.raises(CreditAboveInvoiced, match="17001 would be credited; 17000 are invoiced"):
        order.credit(amount_cents=17_001)
    answer = order.credit()
    assert (answer.credited_cents, answer.refunded_cents, answer.still_invoiced_cents) == (17_000, 17_000, 0)
    (invoice,) = order.invoices()
    assert (invoice.credited_cents, invoice.noted_cents, order.owed_cents()) == (20_000, 20_000, [0])


def test_a_merchant_does_not_learn_what_its_customer_had_paid(order: FulfilledOrder) -> None:
    order.invoice(20_000)
    order.pay(20_000)
    to = OrderAddress(name="o1", merchant_id="m1")
    seen = order.credited(amount_cents=100, caller=MERCHANT, to=to)
    assert isinstance(seen, MerchantOrderCredit)
    assert {"refunded_cents"}.isdisjoint(seen.__struct_fields__)
    with pytest.raises(UnknownOrder):
        order.credited(amount_cents=1, caller=Caller(name="m-two", role=Role.MERCHANT, merchant_id="m2"))


def test_the_same_request_under_one_key_credits_once(order: FulfilledOrder) -> None:
    with pytest.raises(OrderNotInvoiced):
        order.credit(amount_cents=1)
    order.invoice(20_000)
    answers = [order.credit(amount_cents=100, key="k") for _ in range(3)]
    assert len(adjusted(order)) == 1
    assert answers[0] == answers[2]
    order.credit(amount_cents=100)
    assert len(adjusted(order)) == 2


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"reason": "chargeback"}, ["/reason"]),
        ({"amount_cents": 0}, ["/amount_cents"]),
        ({"amount_cents": 1.5, "return_fee_cents": -1, "colour": 1},
         ["/colour", "/amount_cents", "/return_fee_cents"]),
        ({"invoice_id": 7}, ["/invoice_id"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_field(
    order: FulfilledOrder, body: dict[str, Any], where: list[str]
) -> None:
    order.invoice(20_000)
    with pytest.raises(FieldsInvalid) as refused:
        order.credit(**body)
    assert [error.pointer for error in refused.value.errors] == where
    assert adjusted(order) == []


def test_of_fifty_at_once_as_many_are_credited_as_the_invoice_has_and_no_cent_more(
    order: FulfilledOrder, database_url: str
) -> None:
    order.invoice(20_000)
    order.pay(7_777)

    def at_once(_number: int) -> int:
        store = open_store(database_url)
        try:
            answer = credit(
                order.desk.scope(store),
                OrderAddress(name="o1", merchant_id=None),
                CreditBody(reason=CreditReason.RETURN, amount_cents=777),
                caller=CALLER,
                idempotency_key=None,
            )
        except CreditAboveInvoiced:
            return 0
        else:
            return answer.credited_cents
        finally:
            store.close()

    with ThreadPoolExecutor(10) as threads:
        credited = sum(threads.map(at_once, range(50)))
    assert credited == 20_000 // 777 * 777
    (invoice,) = order.invoices()
    assert invoice.state.net_amount_cents == 20_000 - credited
    assert order.owed_cents() == [0]


TERMS = SettlementTerms(materiality_cents=0, grace_days=3)
# Where an invoice of 100 is paid in full is what turns the rules, and is rarely drawn by itself.
CENTS = st.one_of(st.sampled_from([10, 30, 50, 70, 100, 120]), st.integers(1, 120))


def judged(movements: list[Movement]) -> InvoiceState:
    return invoice_state(
        issued_at=0, due_at=14, amount_cents=100, movements=movements, pauses=(), terms=TERMS
    )


STEP = st.one_of(
    st.tuples(st.just("paid"), CENTS),
    st.tuples(st.just("returned"), CENTS),
    st.tuples(st.just("refunded"), CENTS),
    st.tuples(st.just("credited"), CENTS),
)


@settings(max_examples=600)
@given(st.lists(STEP, max_size=8))
def test_a_credit_lowers_what_is_invoiced_by_itself_and_moves_no_other_money(
    steps: list[tuple[str, int]],
) -> None:
    """By the one definition of an invoice's state: payments, returned debits, other refunds, in any order."""
    movements: list[Movement] = []
    for at, (what, cents) in enumerate(steps, start=1):
        paid = sum(one.cents for one in movements if one.kind is MovementKind.PAYMENT)
        back = sum(one.cents for one in movements if one.kind is MovementKind.RETURNED_DEBIT)
        refunds = sum(one.cents for one in movements if one.kind is MovementKind.CREDITED_REFUND)
        noted = sum(one.cents for one in movements if one.kind is MovementKind.CREDIT_NOTE)
        before = judged(movements)
        credited = 100 - before.net_amount_cents
        if what == "paid":
            movements.append(Movement(at, MovementKind.PAYMENT, cents))
        elif what == "returned" and cents <= paid - back:
            movements.append(Movement(at, MovementKind.RETURNED_DEBIT, cents))
        elif what == "refunded" and cents <= min(paid - back - refunds, before.net_amount_cents):
            movements.append(Movement(at, MovementKind.CREDITED_REFUND, cents))
        elif what == "credited":
            invoice = CreditableInvoice(
                issued_at_ms=0,
                invoice_id="i1",
                creditable_cents=before.net_amount_cents,
                unpaid_cents=min(before.outstanding_cents, before.net_amount_cents),
                uncovered_cents=max(credited - noted, 0),
            )
            if cents > before.net_amount_cents:
                with pytest.raises(CreditAboveInvoiced):
                    spread_credit([invoice], cents)
                continue
            (part,) = spread_credit([invoice], cents)
            known = OrderInvoice(
                row={"invoice_id": "i1", "amount_cents": 100, "due_at": 14},
                state=before,
                noted_cents=noted,
                paused_since_ms=None,
                movements=tuple(movements),
                terms=TERMS,
            )
            note = note_cents(known, part)
            movements.append(Movement(at, MovementKind.CREDIT_NOTE, note))
            if part.refund_cents:
                movements.append(Movement(at, MovementKind.CREDITED_REFUND, part.refund_cents))
            after = judged(movements)
            assert after.net_amount_cents == before.net_amount_cents - cents
            assert after.outstanding_cents == before.outstanding_cents - cents + part.refund_cents
            assert noted + note <= 100
            assert refunds + part.refund_cents <= paid


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 100), st.integers(0, 100)), max_size=5),
       st.integers(0, 600))  # fmt: skip
def test_the_parts_come_to_the_credit_and_no_money_goes_back_while_something_is_unpaid(
    drawn: list[tuple[int, int, int]], cents: int
) -> None:
    invoices = [
        CreditableInvoice(
            issued_at_ms=at, invoice_id=f"i{number}", creditable_cents=total, unpaid_cents=min(unpaid, total)
        )
        for number, (at, total, unpaid) in enumerate(drawn)
    ]
    if cents > sum(invoice.creditable_cents for invoice in invoices):
        with pytest.raises(CreditAboveInvoiced):
            spread_credit(invoices, cents)
        return
    parts = spread_credit(reversed(invoices), cents)
    assert sum(part.credited_cents for part in parts) == cents
    assert parts == spread_credit(invoices, cents)
    unpaid_cents = sum(invoice.unpaid_cents for invoice in invoices)
    assert sum(part.refund_cents for part in parts) == max(cents - unpaid_cents, 0)
    of_part = {part.invoice_id: part.credited_cents for part in parts}
    assert all(of_part.get(invoice.invoice_id, 0) <= invoice.creditable_cents for invoice in invoices)
