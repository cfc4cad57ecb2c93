"""Hypothesis strategies for small sets of ledger rows, in the order in which they arrive.

`contradicting_rows` breaks the rules between rows in every way; `fitting_rows` keeps them all once every row
has arrived, in whatever order that is.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from data_contracts.between_rows.cross_table_rules import judge_ledger
from data_contracts.between_rows.ledger_columns import LedgerColumns, needed_columns, no_rows
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.row_check import check_ledger_row
from tests.builders import (
    DAY,
    Row,
    a_charge,
    a_customer,
    a_merchant,
    a_pause,
    a_payment,
    a_row,
    an_account,
    an_adjustment,
    an_invoice,
    an_order,
    ms,
)

START = ms("2026-03-01T09:30:07.500")
FIRST_ARRIVAL = ms("2026-08-01")
AMENDMENTS = ((), (), ((2, 60),), ((2, 150),), ((2, 30), (3, 120)), ((2, 150), (3, 50)))
"""Of orders over 100: after how many hours, and what the order comes to then."""
Sent = tuple[str, Row]
"""The name of the contract, and the row."""


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """One value eleven times in twelve: a row with two faults shows only the first."""
    return st.integers(0, 11).flatmap(lambda drawn: st.sampled_from(others) if drawn == 7 else st.just(usual))


currencies = mostly("EUR", "SEK")
customers = mostly("c1", "c2")
references = st.sampled_from([None, None, "R1", "R2", " r 1", "r2 "])
numbers = st.sampled_from([None, None, "1", "1", "2"])


def in_order_of_arrival(rows: list[Sent]) -> list[Sent]:
    """The rows in ledger row form, each recorded a second after the one before."""
    sent = []
    for number, (name, row) in enumerate(rows):
        present = {column: value for column, value in row.items() if value is not None}
        arriving = {**present, "recorded_at": FIRST_ARRIVAL + 1000 * number}
        assert check_ledger_row(CONTRACTS[name], arriving).violations == (), (name, row)
        sent.append((name, arriving))
    return sent


def event_ids(rows: list[Sent]) -> set[str]:
    return {row["event_id"] for _, row in rows}


def accepted_by_batch(sent: list[Sent]) -> list[Sent]:
    """What the batch check accepts, in order of arrival; every row is accepted, repeated or refused."""
    tables: dict[str, list[Row]] = {}
    for name, row in sent:
        tables.setdefault(name, []).append(row)
    columns = {}
    for name, rows in tables.items():
        values = {column: [row.get(column) for row in rows] for column in needed_columns(CONTRACTS[name])}
        table = pa.table(values, schema=no_rows(CONTRACTS[name]).columns.schema)
        columns[name] = LedgerColumns(columns=table, passed=np.ones(len(rows), dtype=np.bool_))
    verdicts = judge_ledger(
        columns,
        now_ms=FIRST_ARRIVAL + DAY,
        full_rows=lambda contract, positions: [tables[contract.name][position] for position in positions],
    )
    accepted = []
    for name, verdict in verdicts.items():
        refused = np.zeros(len(tables[name]), dtype=np.int64)
        refused[list(verdict.broken)] = 1
        assert all(verdict.broken.values())
        counted = verdict.accepted.astype(np.int64) + verdict.repeated.astype(np.int64) + refused
        assert counted.tolist() == [1] * len(tables[name])
        for place in np.flatnonzero(verdict.accepted).tolist():
            corrected = {"corrects": verdict.corrects[place]} if place in verdict.corrects else {}
            accepted.append((name, tables[name][place] | corrected))
    return sorted(accepted, key=lambda one: one[1]["recorded_at"])


@st.composite
def contradicting_rows(draw: st.DrawFn) -> list[Sent]:
    """Rows about few orders that contradict each other in many ways, recorded in the order of the list."""
    rows: list[Sent] = [
        ("merchants", a_merchant(at=START)),
        ("customers", a_customer("c1", event_id="customer-c1", at=START)),
        ("orders", an_order("o1", event_id="order-1", at=START, amount_cents=100, vat_cents=0)),
        ("invoices", an_invoice("i1", event_id="invoice-1", at=START + DAY, amount_cents=60)),
    ]
    rows = draw(st.lists(st.sampled_from(rows), min_size=3, unique_by=lambda one: one[0]))
    if draw(st.booleans()):
        rows.append(("customers", a_customer("c2", event_id="customer-c2", at=START)))
    # Times around what decides: a little before an order, a midnight, days before.
    moments = mostly(START + DAY, START, START - 1_000, START - 400_000, START - 3 * DAY, ms("2026-03-01"))
    orders = mostly("o1", "o2", "o2", "o9")
    invoices = st.sampled_from(["i1", "i1", "i1", "i2", "i2", "i3"])
    amounts = st.sampled_from([0, 1, 40, 60, 100, 101])

    def of(*kinds: str, **more: Any) -> Row:
        return {"kind": draw(st.sampled_from(kinds)), **more}

    for number in range(draw(st.integers(1, 10))):
        event_id = f"e{number}"
        owner, at = draw(customers), draw(moments)
        about = draw(
            st.sampled_from(
                ["orders", "invoices", "invoices", "invoice_payments", "invoice_adjustments"] * 2
                + ["invoice_adjustments", "invoice_pauses", "invoice_charges", "order_outcomes", "customers"]
                + ["credit_accounts", "order_events"]
            )
        )
        of_invoice = {"invoice_id": draw(invoices), "customer_id": owner}
        match about:
            case "orders":
                row = an_order(
                    draw(orders),
                    owner,
                    event_id=event_id,
                    at=at,
                    amount_cents=draw(st.sampled_from([60, 100, 100, 100])),
                    vat_cents=0,
                    currency=draw(currencies),
                )
                number_of_merchant = draw(numbers)
                row |= {"merchant_order_number": number_of_merchant} if number_of_merchant else {}
            case "invoices":
                amount_cents = max(1, draw(amounts))
                row = an_invoice(
                    **of_invoice, at=at, amount_cents=amount_cents, event_id=event_id, order_id=draw(orders)
                )
                row["currency"] = draw(currencies)
            case "invoice_payments":
                reference = draw(references)
                row = a_payment(**of_invoice, at=at, amount_cents=draw(amounts), event_id=event_id)
                row |= {"currency": draw(currencies)} | ({"bank_reference": reference} if reference else {})
            case "invoice_adjustments":
                row = an_adjustment(
                    **of_invoice, **of("credit_note", "refund"), at=at, amount_cents=draw(amounts),
                    event_id=event_id,
                )  # fmt: skip
                reference = draw(references)
                row |= {"bank_reference": reference} if reference else {}
            case "invoice_pauses":
                row = a_pause(
                    **of_invoice,
                    started_at=at,
                    pause_id=draw(st.sampled_from(["p1", "p2"])),
                    event_id=event_id,
                    reason=draw(st.sampled_from(["dispute", "dispute", "return"])),
                    tracking_number="T1",
                )
            case "invoice_charges":
                row = {**a_charge(**of_invoice, at=at), "event_id": event_id}
            case "customers":
                row = a_customer(owner, event_id=event_id, at=at)
            case "order_events":
                columns = {"new_amount_cents": draw(st.sampled_from([30, 60, 101, 150])), **of("amended")}
                columns |= {"order_id": draw(orders), "customer_id": owner}
                row = a_row("order_events", event_id, at, None, **columns)
            case "credit_accounts":
                row = an_account("a1", owner, opened_at=at, event_id=event_id, currency=draw(currencies))
            case _:
                kinds = of("dispute_decided_for_customer", "dispute_decided_for_merchant", "review_released")
                columns = {"order_id": draw(orders), "customer_id": owner, **kinds}
                row = a_row("order_outcomes", event_id, at, None, **columns)
        rows.append((about, row))
    for number in range(draw(st.integers(0, 5))):
        rows.append(_changed(draw, rows, number))
    return in_order_of_arrival(draw(st.permutations(rows)))


def _changed(draw: st.DrawFn, rows: list[Sent], number: int) -> Sent:
    """A correction of one of the rows, a repetition, or another row under its event_id."""
    name, row = draw(st.sampled_from(rows))
    changed = dict(row)
    if "amount_cents" in row and draw(st.booleans()):
        changed["amount_cents"] = draw(st.sampled_from([1, 30, 50, 100]))
    if "invoice_id" in row and name != "invoices" and draw(st.integers(0, 5)) == 0:
        changed["invoice_id"] = "i2"
    if name == "invoices" and draw(st.integers(0, 5)) == 0:
        changed["order_id"] = "o2"
    if "kind" in row and name == "order_outcomes":
        changed["kind"] = "review_released"
    if name == "order_events" and draw(st.booleans()):
        changed |= draw(st.sampled_from([{"kind": "shipped"}, {"new_amount_cents": 40}]))
    match draw(st.integers(0, 9)):
        case 0:
            return name, row
        case 1:
            return name, changed
        case 2:
            return name, {**changed, "event_id": f"again-{number}"}
        case 3:
            # It may correct a row that comes later, itself, or one of another contract.
            other = draw(st.sampled_from([*rows, (name, {"event_id": f"c{number}"})]))[1]["event_id"]
            return name, {**changed, "event_id": f"c{number}", "corrects": other}
        case 4:
            return name, {**row, "corrects": f"c{number + 1}"}
        case _:
            return name, {**changed, "event_id": f"c{number}", "corrects": row["event_id"]}


@st.composite
def fitting_rows(draw: st.DrawFn) -> list[Sent]:
    """Rows that keep every rule between rows once all of them are there; in no order of theirs.

    Amounts, times, currencies and bank references are corrected in ways that make other rows fit.
    """
    rows: list[Sent] = [
        ("merchants", a_merchant(at=START)),
        ("customers", a_customer("c1", event_id="customer-old", at=START - DAY)),
        ("customers", a_customer("c1", event_id="customer-new", at=START, language="en")),
    ]

    def correct(name: str, row: Row, **changes: Any) -> None:
        rows.append(
            (name, {**row, **changes, "event_id": f"{row['event_id']}-c", "corrects": row["event_id"]})
        )

    for order_id in ["o1", "o2"][: draw(st.integers(1, 2))]:
        # At first an order may be too small, too late or in another currency for its invoices, or too large.
        faults: dict[str, Any] = draw(
            st.sampled_from(
                [{}, {}, {"amount_cents": 1}, {"amount_cents": 500}, {"occurred_at": START + 9 * DAY},
                 {"currency": "SEK"}]
            )
        )  # fmt: skip
        order = an_order(order_id, at=START, amount_cents=100, vat_cents=0)
        rows.append(("orders", {**order, **faults}))
        if faults or draw(st.booleans()):
            correct("orders", order, item_category="food")
        room = 100
        for place, (hours, cents) in enumerate(draw(st.sampled_from(AMENDMENTS))):
            of_order: Row = {"order_id": order_id, "customer_id": "c1", "kind": "amended"}
            at = START + hours * 3_600_000
            of_order |= {"new_amount_cents": cents}
            amendment = a_row("order_events", f"{order_id}-a{place}", at, None, **of_order)
            rows.append(("order_events", amendment))
            room = cents
        for number in range(draw(st.integers(1, 4))):
            invoice_id = f"{order_id}-i{number}"
            amount = draw(st.integers(1, 100))
            stands = draw(st.integers(1, 100)) if draw(st.integers(0, 2)) == 0 else amount
            owed = min(stands, draw(st.integers(0, room)))
            room -= owed
            invoice = an_invoice(invoice_id, at=START + DAY, amount_cents=amount, order_id=order_id)
            rows.append(("invoices", invoice))
            if stands != amount:
                correct("invoices", invoice, amount_cents=stands)
            credited = stands - owed
            is_whole = credited < 2 or draw(st.booleans())
            parts = [credited] if is_whole else [credited // 2, credited - credited // 2]
            for place, part in enumerate(parts):
                note = an_adjustment(
                    invoice_id, at=START + DAY, amount_cents=part, event_id=f"{invoice_id}-cn{place}"
                )
                # Where an invoice and its notes fit only all corrected at once, nobody looks so deep.
                is_alone = len(parts) == 1 and stands == amount
                too_much = draw(st.sampled_from([0, 30])) if is_alone else 0
                rows.append(("invoice_adjustments", {**note, "amount_cents": part + too_much}))
                if too_much:
                    correct("invoice_adjustments", note)
            _pay_and_refund(draw, rows, invoice_id)
            if draw(st.booleans()):
                rows.append(("invoice_charges", a_charge(invoice_id, at=START + 20 * DAY)))
            if draw(st.booleans()):
                rows.append(("invoice_pauses", a_pause(invoice_id, started_at=START + 2 * DAY)))
                outcome = {"order_id": order_id, "customer_id": "c1", "kind": "dispute_decided_for_customer"}
                decided = a_row("order_outcomes", f"{invoice_id}-won", START + 9 * DAY, None, **outcome)
                rows.append(("order_outcomes", decided))
    return rows


def _pay_and_refund(draw: st.DrawFn, rows: list[Sent], invoice_id: str) -> None:
    """Payments that cover the refunds, whatever of both is corrected."""
    paid = 0
    for place in range(draw(st.integers(0, 2))):
        payment = a_payment(
            # Money may come long before its invoice.
            invoice_id, at=START - 9 * DAY, amount_cents=draw(st.integers(1, 100)),
            event_id=f"{invoice_id}-p{place}", bank_reference=f"{invoice_id}-R{place}",
        )  # fmt: skip
        rows.append(("invoice_payments", payment))
        stands = payment["amount_cents"]
        if draw(st.integers(0, 3)) == 0:
            stands = draw(st.integers(0, 100))
            corrected = {**payment, "amount_cents": stands, "corrects": payment["event_id"]}
            rows.append(("invoice_payments", {**corrected, "event_id": f"{payment['event_id']}-c"}))
        paid += stands
    if draw(st.integers(0, 2)) == 0:
        # A transfer was booked by mistake, and its reference belongs to another one; that one came twice.
        wrong = a_payment(
            invoice_id, at=START - 8 * DAY, amount_cents=7, event_id=f"{invoice_id}-w",
            bank_reference=f"{invoice_id}-W",
        )  # fmt: skip
        none = {**wrong, "amount_cents": 0, "event_id": f"{invoice_id}-wc", "corrects": wrong["event_id"]}
        del none["bank_reference"]
        right = {**wrong, "amount_cents": 9, "event_id": f"{invoice_id}-x"}
        rows += [("invoice_payments", row) for row in (wrong, none, right)]
        paid += 9
    left = {"overpayment": paid, "returned_debit": paid}
    for place in range(draw(st.integers(0, 2))):
        reason = draw(st.sampled_from(sorted(left)))
        amount = draw(st.integers(0, left[reason]))
        left[reason] -= amount
        refund = an_adjustment(
            invoice_id, at=START + 3 * DAY, kind="refund", amount_cents=amount,
            event_id=f"{invoice_id}-r{place}", reason=reason,
        )  # fmt: skip
        if draw(st.integers(0, 3)) == 0:
            # It was booked far too high at first.
            rows.append(("invoice_adjustments", {**refund, "amount_cents": 500}))
            corrected = {**refund, "event_id": f"{invoice_id}-r{place}-c", "corrects": refund["event_id"]}
            rows.append(("invoice_adjustments", corrected))
        else:
            rows.append(("invoice_adjustments", refund))
