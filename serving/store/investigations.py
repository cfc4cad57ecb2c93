"""Investigations, and the ledger rows that they and settlements rest on, in SQL."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from serving.domain.investigation import Investigation, InvestigationState
from serving.store.ledger_rows import LedgerRow, decode_row
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

_SETTLED_BY = tuple(
    contract.name
    for contract in (
        ORDERS,
        ORDER_EVENTS,
        ORDER_OUTCOMES,
        INVOICES,
        INVOICE_PAYMENTS,
        INVOICE_ADJUSTMENTS,
        INVOICE_PAUSES,
    )
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class InvestigationMovedError(Exception):
    """Somebody else changed the investigation meanwhile; look again."""


def investigation_of(tx: Transaction, case_id: str) -> Investigation | None:
    """The investigation of a case, None where it never had one."""
    rows = tx.execute("SELECT record FROM investigations WHERE case_id = ?", (case_id,))
    return _investigation(rows[0]) if rows else None


def open_investigations(tx: Transaction, limit: int) -> list[Investigation]:
    """The investigations without a finding, the longest open first: one indexed read."""
    rows = tx.execute(
        "SELECT record FROM investigations WHERE state = ? ORDER BY opened_at_ms, case_id LIMIT ?",
        (InvestigationState.OPEN.value, limit),
    )
    return [_investigation(row) for row in rows]


def _investigation(row: Sequence[Any]) -> Investigation:
    return msgspec.convert(_decode(row[0]), Investigation)


def keep_investigation(tx: Transaction, investigation: Investigation, *, version_before: int | None) -> None:
    """Keep an investigation's next state.

    version_before: at which it was read, None for a new one.
    Raises InvestigationMovedError unless it is still that.
    """
    record = msgspec.json.encode(investigation).decode()
    case_id, state, version = investigation.case_id, investigation.state.value, investigation.version
    opened_at_ms = investigation.opened_at_ms
    if version_before is None:
        written = tx.execute(
            "INSERT INTO investigations (case_id, state, opened_at_ms, version, record) "
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT (case_id) DO NOTHING RETURNING case_id",
            (case_id, state, opened_at_ms, version, record),
        )
    else:
        written = tx.execute(
            "UPDATE investigations SET state = ?, opened_at_ms = ?, version = ?, record = ? "
            "WHERE case_id = ? AND version = ? RETURNING case_id",
            (state, opened_at_ms, version, record, case_id, version_before),
        )
    if not written:
        raise InvestigationMovedError(f"the investigation of case {case_id} was changed meanwhile")


def settlement_rows(tx: Transaction, customer_id: str) -> dict[str, list[LedgerRow]]:
    """The ledger rows of one customer about orders and their invoices, by contract, in one query."""
    rows: defaultdict[str, list[LedgerRow]] = defaultdict(list)
    marks = ", ".join("?" * len(_SETTLED_BY))
    for contract, body in tx.execute(
        f"SELECT contract, body FROM ledger_events WHERE entity_id = ? AND contract IN ({marks})",  # noqa: S608 - placeholders only
        (customer_id, *_SETTLED_BY),
    ):
        rows[contract].append(decode_row(body))
    return rows


def has_case(tx: Transaction, order_id: str) -> bool:
    """Whether an order has a review case."""
    return bool(tx.execute("SELECT 1 FROM review_cases WHERE order_id = ?", (order_id,)))


def order_of_invoice(tx: Transaction, invoice_id: str) -> str | None:
    """The order that an invoice bills, by the row that stands; None for an unknown invoice."""
    invoice = standing_row(tx, INVOICES, invoice_id)
    return None if invoice is None else str(invoice["order_id"])
