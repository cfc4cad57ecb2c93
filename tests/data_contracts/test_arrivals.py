"""Rows that arrive one by one, and the batch check over the same rows: both let in the same ones."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.amended_orders import ordered_cents
from data_contracts.between_rows.arrivals import AppendStatus, take
from data_contracts.between_rows.book import Arrival
from data_contracts.between_rows.book_in_memory import BookInMemory
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS
from data_contracts.ledger_contracts import CONTRACTS
from tests.arriving_rows import (
    START,
    accepted_by_batch,
    contradicting_rows,
    event_ids,
    fitting_rows,
    in_order_of_arrival,
)
from tests.builders import (
    DAY,
    a_charge,
    a_customer,
    a_merchant,
    a_pause,
    a_payment,
    a_row,
    an_adjustment,
    an_inquiry,
    an_invoice,
    an_order,
)


def arrive(book, name, row):
    content = {key: value for key, value in row.items() if key != "recorded_at"}
    arrival = Arrival(contract=CONTRACTS[name], row=row, content=(name, content))
    return take(book, arrival, DEFAULT_CLOCK_TOLERANCE_MS)


def taken_one_by_one(sent):
    """The event_ids that a book holds once every row has arrived, and the book."""
    book = BookInMemory()
    for name, row in sent:
        arrive(book, name, row)
        assert_amounts_fit(book)
    return book


def assert_amounts_fit(book):
    """Whatever arrived so far, no order is invoiced above its amount, no invoice credited above its own."""
    standing = [known for event_id, known in book.accepted.items() if not book.is_corrected(event_id)]

    def rows(name):
        return [known.row for known in standing if known.contract.name == name]

    orders = {
        row["order_id"]: ordered_cents(
            row, [event for event in rows("order_events") if event["order_id"] == row["order_id"]]
        )
        for row in rows("orders")
    }
    credited = dict.fromkeys((row["invoice_id"] for row in rows("invoices")), 0)
    for row in rows("invoice_adjustments"):
        if row["kind"] == "credit_note":
            credited[row["invoice_id"]] += row["amount_cents"]
    for row in rows("invoices"):
        assert credited[row["invoice_id"]] <= row["amount_cents"]
        orders[row["order_id"]] -= row["amount_cents"] - credited[row["invoice_id"]]
    assert all(left >= 0 for left in orders.values())


@settings(max_examples=80)
@given(contradicting_rows())
def test_the_batch_check_accepts_what_would_have_been_let_in_one_by_one(sent):
    accepted = accepted_by_batch(sent)
    assert event_ids(accepted) == set(taken_one_by_one(sent).accepted)
    assert event_ids(accepted_by_batch(accepted)) == event_ids(accepted)


@settings(max_examples=80)
@given(fitting_rows(), st.data())
def test_rows_that_fit_once_all_are_there_are_let_in_in_whatever_order_they_arrive(rows, data):
    sent = in_order_of_arrival(data.draw(st.permutations(rows)))
    book = taken_one_by_one(sent)
    assert set(book.accepted) == event_ids(rows), book.held
    assert event_ids(accepted_by_batch(sent)) == event_ids(rows)


BOOK = [
    ("merchants", a_merchant(at=START)),
    ("customers", a_customer(at=START)),
    ("orders", an_order(at=START, amount_cents=100, vat_cents=0)),
    ("invoices", an_invoice(at=START + DAY, amount_cents=60)),
]


def corrected(row, event_id, **changes):
    return {**row, **changes, "event_id": event_id, "corrects": row["event_id"]}


PAYMENT = a_payment(at=START + DAY, amount_cents=100, event_id="paid")
REFUND = an_adjustment(at=START + DAY, kind="refund", amount_cents=60, event_id="back")
CREDIT_NOTE = an_adjustment(at=START + DAY, amount_cents=40, event_id="credit")
DISPUTE = a_pause(started_at=START + DAY)
WON = a_row(
    "order_outcomes", "won", START + DAY, None,
    order_id="o1", customer_id="c1", kind="dispute_decided_for_customer",
)  # fmt: skip
AMENDED = a_row(
    "order_events", "amended", START + DAY, None,
    order_id="o1", customer_id="c1", kind="amended", new_amount_cents=59,
)  # fmt: skip
INQUIRY = an_inquiry(at=START, event_id="asked")
TRANSFER = {**PAYMENT, "bank_reference": "R1"}

# What the columns alone look right about; the order of arrival decides. Refused: what does not come in.
LOOKS_RIGHT = {
    "a payment is corrected below the refund that comes after": (
        [*BOOK, ("invoice_payments", PAYMENT),
         ("invoice_payments", corrected(PAYMENT, "less", amount_cents=59))],
        [("invoice_adjustments", REFUND)],
    ),
    "an order is corrected below the invoice that comes after": (
        [*BOOK[:3], ("orders", corrected(BOOK[2][1], "less", amount_cents=59))],
        [BOOK[3]],
    ),
    "an order is amended below the invoice that comes after": (
        [*BOOK[:3], ("order_events", AMENDED)],
        [BOOK[3]],
    ),
    "an order is amended below its invoice": (
        BOOK,
        [("order_events", AMENDED)],
    ),
    "an amendment below the invoice is corrected to the same and to less": (
        BOOK,
        [("order_events", AMENDED),
         ("order_events", corrected(AMENDED, "the-same")),
         ("order_events", corrected(AMENDED, "less", new_amount_cents=58))],
    ),
    "an order is corrected to another currency than that of the invoice that comes after": (
        [*BOOK[:3], ("orders", corrected(BOOK[2][1], "sek", currency="SEK"))],
        [BOOK[3]],
    ),
    "a dispute is corrected to a return before it is decided": (
        [*BOOK, ("invoice_pauses", DISPUTE),
         ("invoice_pauses", corrected(DISPUTE, "no-dispute", reason="return", tracking_number="T1"))],
        [("order_outcomes", WON)],
    ),
    "a disputed invoice turns out to be another order's before it is decided": (
        [*BOOK, ("orders", an_order("o2", at=START, amount_cents=100, vat_cents=0)),
         ("invoice_pauses", DISPUTE), ("invoices", corrected(BOOK[3][1], "moved", order_id="o2"))],
        [("order_outcomes", WON)],
    ),
    "an inquiry is corrected twice": (
        [*BOOK, ("credit_inquiries", INQUIRY), ("credit_inquiries", corrected(INQUIRY, "first"))],
        [("credit_inquiries", corrected(INQUIRY, "second"))],
    ),
    "two inquiries correct each other": (
        BOOK,
        [("credit_inquiries", {**INQUIRY, "event_id": "a", "corrects": "b"}),
         ("credit_inquiries", {**INQUIRY, "event_id": "b", "corrects": "a"})],
    ),
    "a transfer is booked twice": (
        [*BOOK, ("invoice_payments", TRANSFER)],
        [("invoice_payments", {**TRANSFER, "event_id": "other", "amount_cents": 99})],
    ),
    "a customer's row has the event_id of another, and the customer an order": (
        BOOK[:1],
        [("customers", {**BOOK[1][1], "event_id": "merchant-1"}), *BOOK[2:]],
    ),
    "a row that waits in vain holds its event_id": (
        BOOK,
        [("invoice_charges", {**a_charge("i9", at=START), "event_id": "x"}),
         ("credit_inquiries", {**INQUIRY, "event_id": "x"})],
    ),
    "credit notes come to more than their invoice": (
        [*BOOK, ("invoice_adjustments", CREDIT_NOTE)],
        [("invoice_adjustments", {**CREDIT_NOTE, "event_id": "more"})],
    ),
    "a row that was refused fits when it is sent again": (
        [*BOOK, ("invoice_adjustments", CREDIT_NOTE),
         ("invoice_adjustments", {**CREDIT_NOTE, "event_id": "more"}),
         ("invoice_adjustments", corrected(CREDIT_NOTE, "none", amount_cents=0)),
         ("invoice_adjustments", {**CREDIT_NOTE, "event_id": "more"})],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fits", "does_not"), LOOKS_RIGHT.values(), ids=LOOKS_RIGHT)
def test_both_refuse_what_only_the_order_of_arrival_shows(fits, does_not):
    sent = in_order_of_arrival([*fits, *does_not])
    assert event_ids(accepted_by_batch(sent)) == event_ids(fits)
    assert set(taken_one_by_one(sent).accepted) == event_ids(fits)


# Each fits once all are there; whatever comes first is refused, or waits, until then.
MADE_TO_FIT = {
    "an order is corrected upwards under its invoice": [
        ("invoices", an_invoice(at=START + DAY, amount_cents=120)),
        ("orders", corrected(BOOK[2][1], "more", amount_cents=120)),
    ],
    "an order's time and currency are corrected under its invoice": [
        ("invoices", {**an_invoice(at=START - 3 * DAY, amount_cents=60), "currency": "SEK"}),
        ("orders", corrected(BOOK[2][1], "right", occurred_at=START - 4 * DAY, currency="SEK")),
    ],
    "an invoice over the whole order is credited, and the order corrected to what is left": [
        ("invoices", an_invoice(at=START + DAY, amount_cents=100)),
        ("invoice_adjustments", CREDIT_NOTE),
        ("orders", corrected(BOOK[2][1], "less", amount_cents=60)),
    ],
    "an invoice is corrected upwards under its credit note": [
        BOOK[3],
        ("invoices", corrected(BOOK[3][1], "more", amount_cents=100)),
        ("invoice_adjustments", {**CREDIT_NOTE, "amount_cents": 80}),
    ],
    "a credit note and then its invoice are lowered": [
        BOOK[3],
        ("invoice_adjustments", CREDIT_NOTE),
        ("invoice_adjustments", corrected(CREDIT_NOTE, "less", amount_cents=10)),
        ("invoices", corrected(BOOK[3][1], "lower", amount_cents=20)),
    ],
    "a credit note is taken back, and another one comes": [
        BOOK[3],
        ("invoice_adjustments", CREDIT_NOTE),
        ("invoice_adjustments", corrected(CREDIT_NOTE, "none", amount_cents=0)),
        ("invoice_adjustments", {**CREDIT_NOTE, "event_id": "other", "amount_cents": 50}),
    ],
    "a bank reference is freed for another transfer": [
        BOOK[3],
        ("invoice_payments", TRANSFER),
        ("invoice_payments", corrected(PAYMENT, "none", amount_cents=0)),
        ("invoice_payments", {**TRANSFER, "event_id": "other", "amount_cents": 50}),
    ],
    "order and invoice turn out to be in another currency": [
        BOOK[3],
        ("orders", corrected(BOOK[2][1], "order-sek", currency="SEK")),
        ("invoices", corrected(BOOK[3][1], "invoice-sek", currency="SEK")),
    ],
}


@pytest.mark.parametrize("rows", MADE_TO_FIT.values(), ids=MADE_TO_FIT)
def test_what_a_correction_makes_fit_is_let_in_in_whatever_order_they_arrive(rows):
    for number, arriving in enumerate(permutations([BOOK[2], *rows])):
        sent = in_order_of_arrival([*BOOK[:2], *arriving])
        book = taken_one_by_one(sent)
        assert set(book.accepted) == event_ids(sent), [row["event_id"] for _, row in sent]
        if number % 7 == 0:
            assert event_ids(accepted_by_batch(sent)) == event_ids(sent)


def test_a_hundred_refused_rows_are_judged_again_for_one_thing_and_no_more():
    more = [an_invoice(f"more{number}", at=START + DAY, amount_cents=101) for number in range(101)]
    right = corrected(BOOK[2][1], "right", amount_cents=101 * 101)
    sent = in_order_of_arrival([*BOOK[:3], *(("invoices", row) for row in more), ("orders", right)])
    book = taken_one_by_one(sent)
    assert len(book.accepted) == 4 + 100
    assert event_ids(accepted_by_batch(sent)) == set(book.accepted)


def test_a_returned_debit_counts_once_however_often_its_bank_reports_it():
    paid = {**TRANSFER, "amount_cents": 60}
    returned = {**REFUND, "reason": "returned_debit", "bank_reference": "R1"}
    paid_again = {**paid, "event_id": "paid-again", "bank_reference": "R2"}
    reported_again = {**returned, "event_id": "again"}
    sent = in_order_of_arrival(
        [*BOOK, ("invoice_payments", paid), ("invoice_adjustments", returned),
         ("invoice_payments", paid_again), ("invoice_adjustments", reported_again),
         ("invoice_adjustments", {**returned, "event_id": "other", "amount_cents": 1})]
    )  # fmt: skip
    fits = event_ids(sent) - {"again", "other"}
    book = BookInMemory()
    statuses = [arrive(book, *one).status for one in sent]
    assert statuses[-2:] == [AppendStatus.REPEATED, AppendStatus.REFUSED]
    assert set(book.accepted) == event_ids(accepted_by_batch(sent)) == fits


def test_a_correction_of_a_repeated_transfer_names_what_stands():
    again = {**TRANSFER, "event_id": "again"}
    none = corrected(again, "none", amount_cents=0)
    sent = in_order_of_arrival([*BOOK, *(("invoice_payments", row) for row in (TRANSFER, again, none))])
    accepted = accepted_by_batch(sent)
    assert accepted[-1][1]["corrects"] == "paid"
    assert event_ids(accepted) == event_ids(sent) - {"again"}
    assert event_ids(accepted_by_batch(accepted)) == event_ids(accepted)


def test_a_hundred_rows_wait_for_one_thing_and_no_more():
    whole = an_invoice(at=START + DAY, amount_cents=100)
    more = [an_invoice(f"more{number}", at=START + DAY, amount_cents=100) for number in range(101)]
    credit_notes = [an_adjustment("i1", at=START + DAY, amount_cents=100, event_id="credit")]
    sent = in_order_of_arrival(
        [*BOOK[:3], ("invoices", whole), *(("invoices", row) for row in more)]
        + [("invoice_adjustments", row) for row in credit_notes]
    )
    book = taken_one_by_one(sent[:-1])
    assert len(book.held) == 100
    assert arrive(book, "invoices", {**sent[-2][1], "event_id": "again"}).status is AppendStatus.REFUSED
    (entered,) = arrive(book, *sent[-1]).readmitted
    assert entered.event_id == "invoice-more0"
    assert event_ids(accepted_by_batch(sent)) == set(book.accepted)
