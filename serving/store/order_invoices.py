"""The invoices of an order, as the ledger has them now."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoices import INVOICES
from features.instants import NEVER
from features.invoice_state import InvoiceState
from features.online import invoice_states, visible_rows
from features.settlement_terms import SettlementTerms
from serving.store.credit_rows import credit_rows
from serving.store.store import Transaction

CREDIT_NOTE = "credit_note"


@dataclass(frozen=True, kw_only=True)
class OrderInvoice:
    """An invoice of an order.

    noted_cents: what its credit notes come to, in minor units. paused_since_ms: None where no pause runs.
    """

    row: Mapping[str, Any]
    state: InvoiceState
    noted_cents: int
    paused_since_ms: int | None

    @property
    def invoice_id(self) -> str:
        """Its id."""
        return str(self.row["invoice_id"])

    @property
    def credited_cents(self) -> int:
        """All that was credited, by a note or by a refund that brought its own credit."""
        amount_cents: int = self.row["amount_cents"]
        return amount_cents - self.state.net_amount_cents


def invoices_of_order(
    tx: Transaction, customer_id: str, order_id: str, terms: SettlementTerms
) -> list[OrderInvoice]:
    """The invoices of one order by all rows that are recorded, the oldest first."""
    rows = credit_rows(tx, customer_id)
    states = invoice_states(rows, NEVER, terms)
    noted: dict[str, int] = {}
    for adjustment in visible_rows(INVOICE_ADJUSTMENTS, rows, NEVER):
        if adjustment["kind"] == CREDIT_NOTE:
            invoice_id = adjustment["invoice_id"]
            noted[invoice_id] = noted.get(invoice_id, 0) + adjustment["amount_cents"]
    paused_since: dict[str, int] = {}
    for pause in visible_rows(INVOICE_PAUSES, rows, NEVER):
        if pause.get("ended_at") is None:
            invoice_id = pause["invoice_id"]
            paused_since[invoice_id] = min(paused_since.get(invoice_id, NEVER), pause["started_at"])
    found = [
        OrderInvoice(
            row=row,
            state=states[row["invoice_id"]],
            noted_cents=noted.get(row["invoice_id"], 0),
            paused_since_ms=paused_since.get(row["invoice_id"]),
        )
        for row in visible_rows(INVOICES, rows, NEVER)
        if row["order_id"] == order_id
    ]
    return sorted(found, key=lambda invoice: (invoice.state.issued_at, invoice.invoice_id))
