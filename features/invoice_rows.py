"""Rows of invoices, and of what became of them, as the facts of invoices are made of them.

A new column of the ledger is a field of its row and a line where a row is read for one customer; for many
customers the columns are read by the fields' names.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_contracts.invoice_adjustments import (
    INVOICE_ADJUSTMENTS,
    REASON_CHARGEBACK,
    REASON_RETURNED_DEBIT,
    REASONS_OWED_ANEW,
)
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from features.instants import NEVER, Int64Array
from features.invoice_state import InvoiceState, Movement, MovementKind, invoice_state
from features.ledger_columns import ColumnsRead, EntityRows, own_columns, values_of
from features.settlement_terms import SettlementTerms
from features.supersession import LedgerRow


class InvoiceRow(NamedTuple):
    """A row of an invoice, in an interval of our knowledge. Instants in ms, amounts in cents."""

    seen_from: int
    seen_until: int
    occurred_at: int
    due_at: int
    amount_cents: int


class MovementRow(NamedTuple):
    """A payment or an adjustment, in an interval of our knowledge."""

    seen_from: int
    seen_until: int
    movement: Movement


class PauseRow(NamedTuple):
    """A pause of an invoice, in an interval of our knowledge. ended_at: NEVER while it lasts."""

    seen_from: int
    seen_until: int
    started_at: int
    ended_at: int


class _PaymentColumns(NamedTuple):
    """A payment as it is read for many customers."""

    seen_from: int
    seen_until: int
    invoice_id: int
    occurred_at: int
    amount_cents: int


class _AdjustmentColumns(NamedTuple):
    """An adjustment as it is read for many customers; kind and reason by their codes."""

    seen_from: int
    seen_until: int
    invoice_id: int
    occurred_at: int
    kind: int
    reason: int
    amount_cents: int


INVOICE_COLUMNS = (
    ColumnsRead(INVOICES, ("invoice_id", *own_columns(InvoiceRow))),
    ColumnsRead(INVOICE_PAYMENTS, own_columns(_PaymentColumns)),
    ColumnsRead(INVOICE_ADJUSTMENTS, own_columns(_AdjustmentColumns)),
    ColumnsRead(INVOICE_PAUSES, ("invoice_id", *own_columns(PauseRow))),
)
"""What the facts of invoices are made of."""


def adjustment_kind(kind: str, reason: str) -> MovementKind:
    """What an adjustment does to what is owed, by the contract's kind and reason."""
    if kind == "credit_note":
        return MovementKind.CREDIT_NOTE
    if reason == REASON_RETURNED_DEBIT:
        return MovementKind.RETURNED_DEBIT
    return MovementKind.MONEY_BACK if reason in REASONS_OWED_ANEW else MovementKind.CREDITED_REFUND


def known_invoice_states(
    *,
    invoices: Iterable[LedgerRow],
    payments: Iterable[LedgerRow],
    adjustments: Iterable[LedgerRow],
    pauses: Iterable[LedgerRow],
    terms: SettlementTerms,
) -> dict[str, InvoiceState]:
    """The state of each of a customer's invoices by invoice_id, from rows that all stand."""
    movements: defaultdict[str, list[Movement]] = defaultdict(list)
    for row in payments:
        paid = Movement(row["occurred_at"], MovementKind.PAYMENT, row["amount_cents"])
        movements[row["invoice_id"]].append(paid)
    charged_back: defaultdict[str, int] = defaultdict(int)
    for row in adjustments:
        if row["reason"] == REASON_CHARGEBACK:
            charged_back[row["invoice_id"]] += row["amount_cents"]
        kind = adjustment_kind(row["kind"], row["reason"])
        movements[row["invoice_id"]].append(Movement(row["occurred_at"], kind, row["amount_cents"]))
    paused: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in pauses:
        ended_at = row.get("ended_at")
        paused[row["invoice_id"]].append((row["started_at"], NEVER if ended_at is None else ended_at))
    return {
        (invoice_id := row["invoice_id"]): invoice_state(
            issued_at=row["occurred_at"],
            due_at=row["due_at"],
            amount_cents=row["amount_cents"],
            movements=movements.get(invoice_id, ()),
            pauses=paused.get(invoice_id, ()),
            terms=terms,
            charged_back_cents=charged_back.get(invoice_id, 0) if charged_back else 0,
        )
        for row in invoices
    }


def movements_by_invoice(
    wanted: Int64Array, payments: EntityRows, adjustments: EntityRows
) -> Mapping[int, Sequence[MovementRow]]:
    """Payments, and then adjustments, of some invoices by the invoice's code."""
    movements: defaultdict[int, list[MovementRow]] = defaultdict(list)
    for paid in payments.where(np.isin(payments["invoice_id"], wanted)).rows(_PaymentColumns):
        movement = Movement(paid.occurred_at, MovementKind.PAYMENT, paid.amount_cents)
        movements[paid.invoice_id].append(MovementRow(paid.seen_from, paid.seen_until, movement))
    kinds, reasons = (values_of(INVOICE_ADJUSTMENTS, name) for name in ("kind", "reason"))
    for adjusted in adjustments.rows(_AdjustmentColumns):
        kind = adjustment_kind(kinds[adjusted.kind], reasons[adjusted.reason])
        movement = Movement(adjusted.occurred_at, kind, adjusted.amount_cents)
        movements[adjusted.invoice_id].append(MovementRow(adjusted.seen_from, adjusted.seen_until, movement))
    return movements
