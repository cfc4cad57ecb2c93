"""An invoice as integers: the facts that features of payment history count, one by one and as arrays.

A new column is a field of `InvoiceFact`, a line in `invoice_fact` and a line in its array twin below it.
Of many customers, invoices with an ordinary history (one row, at most one payment) are derived by array
arithmetic; the others, with pauses, refunds or corrections, one by one with the functions that the checkout
uses. Tests hold the two ways equal.
"""

from collections.abc import Sequence
from typing import Generic, NamedTuple

import numpy as np

from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from features.fact_tables import (
    FactTable,
    Whole,
    derived_one_by_one,
    fact_table,
    facts_where,
    joined,
    repeated,
)
from features.instants import NEVER, Int64Array
from features.invoice_rows import InvoiceRow, MovementRow, PauseRow, movements_by_invoice
from features.invoice_state import InvoiceState, invoice_state
from features.ledger_columns import EntityRows, RowsRead
from features.settlement_terms import SettlementTerms

COUNTED_FROM_CENTS = 2_000
"""An invoice of which less than 20.00 was received, on time, counts nowhere."""


class InvoiceFact(NamedTuple, Generic[Whole]):
    """The columns of `FactKind.INVOICE`, of one state of one invoice or, as arrays, of many.

    seen_from, seen_until: the interval of our knowledge. Instants and spans in ms.
    issued_at, due_at: the due date moved by pauses. late_from: the end of the grace.
    leaves_from: NEVER while something is owed, or it would grow old.
    lateness_ms: from the due date to the payment, NEVER while it is owed. late_ms: what of it is beyond the
        grace; with late_runs 1, the days run on: an invoice late from instant 100 has late_ms -100, and at
        instant 130 is 130 - 100 = 30 late.
    counted_on_time, on_time_cents: whether and how much was received on time; nothing below
        COUNTED_FROM_CENTS. due_cents: what a share of them is a share of.
    owed_share_bps: of the net amount, in ten thousandths. owed_cents: due or not.
    overdue, overdue_cents, overdue_ms: beyond the grace once it is over, and not paused; overdue_ms runs as
        late_ms does.
    """

    seen_from: Whole
    seen_until: Whole
    issued_at: Whole
    due_at: Whole
    late_from: Whole
    leaves_from: Whole
    lateness_ms: Whole
    late_ms: Whole
    late_runs: Whole
    counted_on_time: Whole
    on_time_cents: Whole
    due_cents: Whole
    owed_share_bps: Whole
    owed_cents: Whole
    overdue_cents: Whole
    overdue_ms: Whole
    overdue: Whole


def invoice_fact(seen_from: int, seen_until: int, state: InvoiceState) -> tuple[int, ...]:
    """An invoice's state as the integers of `FactKind.INVOICE`, in the order of the fields of `InvoiceFact`.

    An invoice is settled, or owed, or neither: cancelled, or too small to be owed. What is neither counts
    nowhere, and neither does a payment on time below COUNTED_FROM_CENTS.
    """
    owed, net_amount = state.owed_cents, state.net_amount_cents
    due_at, late_from = state.due_at, state.late_from
    on_time = state.received_cents if state.is_paid_on_time else 0
    is_counted = on_time >= COUNTED_FROM_CENTS
    is_judged = owed > 0 or (state.is_settled and state.is_material)
    is_pressing = 1 if owed > 0 and not state.paused else 0
    lateness, late, late_runs = 0, 0, 0
    if due_at != NEVER and is_judged:
        if state.lateness_ms is None:
            lateness, late, late_runs = NEVER, -late_from, 1
        else:
            lateness = state.lateness_ms
            late = max(lateness - (late_from - due_at), 0)
    # A plain tuple: with names, which nobody reads of a single fact, to make it takes ten times as long.
    return (
        seen_from,
        seen_until,
        state.issued_at,
        due_at,
        late_from,
        NEVER if owed else due_at,  # leaves_from
        lateness,
        late,
        late_runs,
        1 if is_counted else 0,  # counted_on_time
        on_time if is_counted else 0,  # on_time_cents
        net_amount if is_judged and (is_counted or not on_time) else on_time * is_counted,  # due_cents
        owed * 10_000 // max(net_amount, owed) if owed else 0,  # owed_share_bps
        owed,
        owed * is_pressing,  # overdue_cents
        -late_from * is_pressing,  # overdue_ms
        is_pressing,
    )


def ordinary_invoice_facts(
    seen_from: Int64Array,
    seen_until: Int64Array,
    *,
    issued_at: Int64Array,
    due_at: Int64Array,
    amount_cents: Int64Array,
    paid_cents: Int64Array,
    paid_at: Int64Array,
    terms: SettlementTerms,
) -> InvoiceFact[Int64Array]:
    """`invoice_fact` of many invoices with one payment at most, without credit or pause.

    paid_cents: 0 where nothing was paid; paid_at counts nothing then. All of shape (n_invoices,).
    """
    amount = amount_cents
    late_from = due_at + terms.grace_ms
    left = np.maximum(amount - paid_cents, 0)
    is_material = amount > terms.materiality_cents
    is_paid = left <= np.minimum(terms.materiality_cents, amount - 1)
    is_settled = is_paid & is_material
    is_owed = left > terms.materiality_cents
    owed = left * is_owed
    lateness = paid_at - due_at
    received = np.minimum(paid_cents, amount)
    is_on_time = is_paid & (lateness <= terms.grace_ms)
    is_counted = is_on_time & (received >= COUNTED_FROM_CENTS)
    on_time = received * is_counted
    is_judged = is_owed | (is_settled & (is_counted | ~is_on_time))
    return InvoiceFact(
        seen_from=seen_from,
        seen_until=seen_until,
        issued_at=issued_at,
        due_at=due_at,
        late_from=late_from,
        leaves_from=np.where(is_owed, NEVER, due_at),
        lateness_ms=np.where(is_owed, NEVER, lateness * is_settled),
        late_ms=np.where(is_owed, -late_from, np.maximum(lateness - terms.grace_ms, 0) * is_settled),
        late_runs=is_owed.astype(np.int64),
        counted_on_time=is_counted.astype(np.int64),
        on_time_cents=on_time,
        due_cents=np.where(is_judged, amount, on_time),
        owed_share_bps=owed * 10_000 // amount,
        owed_cents=owed,
        overdue_cents=owed,
        overdue_ms=-late_from * is_owed,
        overdue=is_owed.astype(np.int64),
    )


def invoice_facts(
    invoices: Sequence[InvoiceRow],
    movements: Sequence[MovementRow],
    pauses: Sequence[PauseRow],
    terms: SettlementTerms,
) -> list[tuple[int, ...]]:
    """Every state that one invoice went through in our knowledge, one fact for each.

    invoices: the rows of one invoice_id (more than one only by correction).
    """
    instants = {row.seen_from for rows in (invoices, movements, pauses) for row in rows}
    instants |= {row.seen_until for rows in (invoices, movements, pauses) for row in rows}
    starts = sorted(instants - {NEVER})
    facts = []
    for seen_from, seen_until in zip(starts, [*starts[1:], NEVER], strict=True):
        known = [row for row in invoices if row.seen_from <= seen_from < row.seen_until]
        if known:
            invoice = known[-1]
            state = invoice_state(
                issued_at=invoice.occurred_at,
                due_at=invoice.due_at,
                amount_cents=invoice.amount_cents,
                movements=[row.movement for row in movements if row.seen_from <= seen_from < row.seen_until],
                pauses=[
                    (row.started_at, row.ended_at)
                    for row in pauses
                    if row.seen_from <= seen_from < row.seen_until
                ],
                terms=terms,
            )
            facts.append(invoice_fact(seen_from, seen_until, state))
    return facts


def invoice_table(rows: RowsRead, terms: SettlementTerms) -> FactTable:
    """The facts of the invoices of many customers."""
    invoices, payments = rows[INVOICES.name], rows[INVOICE_PAYMENTS.name]
    known = invoices["invoice_id"]
    special = [
        repeated(known),
        known[invoices["seen_until"] != NEVER],
        repeated(payments["invoice_id"]),
        payments["invoice_id"][payments["seen_until"] != NEVER],
        rows[INVOICE_ADJUSTMENTS.name]["invoice_id"],
        rows[INVOICE_PAUSES.name]["invoice_id"],
    ]
    is_special = np.isin(known, np.concatenate(special))
    return joined(
        _ordinary_invoice_table(invoices.where(~is_special), payments, terms),
        _special_invoice_table(invoices.where(is_special), rows, terms),
    )


def _special_invoice_table(invoices: EntityRows, rows: RowsRead, terms: SettlementTerms) -> FactTable:
    """Facts of invoices derived one by one."""
    wanted = invoices["invoice_id"]
    versions = invoices.rows_by("invoice_id", InvoiceRow)
    movements = movements_by_invoice(wanted, rows[INVOICE_PAYMENTS.name], rows[INVOICE_ADJUSTMENTS.name])
    paused = rows[INVOICE_PAUSES.name].rows_by("invoice_id", PauseRow)

    def derive(code: int) -> Sequence[tuple[int, ...]]:
        return invoice_facts(versions[code], movements.get(code, ()), paused.get(code, ()), terms)

    entity_of = dict(zip(wanted.tolist(), invoices.entity.tolist(), strict=True))
    return derived_one_by_one(InvoiceFact, entity_of, derive)


def _ordinary_invoice_table(invoices: EntityRows, payments: EntityRows, terms: SettlementTerms) -> FactTable:
    """Facts of invoices as arrays: each unpaid until its payment is seen, and then paid."""
    unpaid_until = np.full(len(invoices), NEVER, dtype=np.int64)
    paid_cents = np.zeros(len(invoices), dtype=np.int64)
    paid_at = np.zeros(len(invoices), dtype=np.int64)
    order = np.argsort(payments["invoice_id"], kind="stable")
    codes = payments["invoice_id"][order]
    place = np.searchsorted(codes, invoices["invoice_id"])
    has_payment = place < len(codes)
    has_payment[has_payment] = codes[place[has_payment]] == invoices["invoice_id"][has_payment]
    payment = order[place[has_payment]]
    unpaid_until[has_payment] = payments["seen_from"][payment]
    paid_cents[has_payment] = payments["amount_cents"][payment]
    paid_at[has_payment] = np.maximum(payments["occurred_at"][payment], invoices["occurred_at"][has_payment])

    is_first_seen_unpaid = invoices["seen_from"] < unpaid_until
    unpaid = _table_of_states(
        invoices,
        invoices["seen_from"],
        unpaid_until,
        paid_cents=np.zeros_like(paid_cents),
        paid_at=paid_at,
        terms=terms,
    )
    paid = _table_of_states(
        invoices,
        np.maximum(invoices["seen_from"], unpaid_until),
        np.full_like(paid_at, NEVER),
        paid_cents=paid_cents,
        paid_at=paid_at,
        terms=terms,
    )
    return joined(facts_where(unpaid, is_first_seen_unpaid), facts_where(paid, has_payment))


def _table_of_states(
    invoices: EntityRows,
    seen_from: Int64Array,
    seen_until: Int64Array,
    *,
    paid_cents: Int64Array,
    paid_at: Int64Array,
    terms: SettlementTerms,
) -> FactTable:
    facts = ordinary_invoice_facts(
        seen_from,
        seen_until,
        issued_at=invoices["occurred_at"],
        due_at=invoices["due_at"],
        amount_cents=invoices["amount_cents"],
        paid_cents=paid_cents,
        paid_at=paid_at,
        terms=terms,
    )
    return fact_table(invoices.entity, facts)
