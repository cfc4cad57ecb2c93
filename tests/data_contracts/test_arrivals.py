"""Rows that arrive one by one, and the batch check over the same rows: both let in the same ones."""

from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.arrivals import Arrival, BookInMemory, take
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS
from data_contracts.ledger_contracts import CONTRACTS
from tests.arriving_rows import (
    accepted_by_batch,
    contradicting_rows,
    event_ids,
    fitting_rows,
    in_order_of_arrival,
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

    orders = {row["order_id"]: row["amount_cents"] for row in rows("orders")}
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
