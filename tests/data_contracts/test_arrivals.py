"""Rows that arrive one by one, and the batch check over the same rows: both let in the same ones."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.arrivals import Arrival, BookInMemory, take
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS
from data_contracts.cross_table_rules import LedgerColumns, judge_ledger, needed_columns, no_rows
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.row_check import check_ledger_row
from tests.arriving_rows import contradicting_rows, fitting_rows, in_order_of_arrival


def in_ledger_form(name, row):
    checked = check_ledger_row(
        CONTRACTS[name], {key: value for key, value in row.items() if value is not None}
    )
    assert checked.violations == (), (name, row)
    return checked.row


def arrive(book, name, row):
    content = {key: value for key, value in row.items() if key != "recorded_at"}
    arrival = Arrival(contract=CONTRACTS[name], row=row, content=(name, content))
    return take(book, arrival, DEFAULT_CLOCK_TOLERANCE_MS)


def taken_one_by_one(sent):
    """The event_ids that a book holds once every row has arrived, and the book."""
    book = BookInMemory()
    for name, row in sent:
        arrive(book, name, in_ledger_form(name, row))
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


def judged(sent):
    """The verdicts of the batch check, and for each contract its rows."""
    tables = {}
    for name, row in sent:
        tables.setdefault(name, []).append(in_ledger_form(name, row))
    columns = {}
    for name, rows in tables.items():
        values = {column: [row.get(column) for row in rows] for column in needed_columns(CONTRACTS[name])}
        table = pa.table(values, schema=no_rows(CONTRACTS[name]).columns.schema)
        columns[name] = LedgerColumns(columns=table, passed=np.ones(len(rows), dtype=np.bool_))
    verdicts = judge_ledger(
        columns,
        now_ms=sent[-1][1]["recorded_at"],
        full_rows=lambda contract, positions: [tables[contract.name][position] for position in positions],
    )
    return verdicts, tables


def accepted_by_batch(sent):
    verdicts, tables = judged(sent)
    return {
        row["event_id"]
        for name, verdict in verdicts.items()
        for row, accepted in zip(tables[name], verdict.accepted, strict=True)
        if accepted
    }


@settings(max_examples=400)
@given(contradicting_rows())
def test_the_batch_check_accepts_what_would_have_been_let_in_one_by_one(sent):
    assert accepted_by_batch(sent) == set(taken_one_by_one(sent).accepted)


@settings(max_examples=100)
@given(contradicting_rows())
def test_every_row_is_accepted_repeated_or_refused_by_name(sent):
    verdicts, tables = judged(sent)
    for name, verdict in verdicts.items():
        refused = np.zeros(len(tables[name]), dtype=np.int64)
        refused[list(verdict.broken)] = 1
        counted = verdict.accepted.astype(int) + verdict.repeated.astype(int) + refused
        assert counted.tolist() == [1] * len(tables[name])
        assert all(rules for rules in verdict.broken.values())


@settings(max_examples=100)
@given(contradicting_rows())
def test_what_was_accepted_is_accepted_again(sent):
    first = accepted_by_batch(sent)
    verdicts, tables = judged(sent)
    kept = [
        (name, row)
        for name, verdict in verdicts.items()
        for row, accepted in zip(tables[name], verdict.accepted, strict=True)
        if accepted
    ]
    kept.sort(key=lambda one: one[1]["recorded_at"])
    assert accepted_by_batch(kept) == first


@settings(max_examples=300)
@given(fitting_rows(), st.data())
def test_rows_that_fit_once_all_are_there_are_let_in_in_whatever_order_they_arrive(rows, data):
    sent = in_order_of_arrival(data.draw(st.permutations(rows)))
    book = taken_one_by_one(sent)
    assert set(book.accepted) == {row["event_id"] for _, row in rows}, book.held
    assert accepted_by_batch(sent) == set(book.accepted)
