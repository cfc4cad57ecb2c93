"""The invoices of an order, as the ledger has them now."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from features.instants import NEVER
from features.invoice_rows import adjustment_kind
from features.invoice_state import InvoiceState, Movement, MovementKind, invoice_state
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
    movements: tuple[Movement, ...]
    terms: SettlementTerms

    @property
    def invoice_id(self) -> str:
        """Its id."""
        return str(self.row["invoice_id"])

    @property
    def credited_cents(self) -> int:
        """All that was credited, by a note or by a refund that brought its own credit."""
        amount_cents: int = self.row["amount_cents"]
        return amount_cents - self.state.net_amount_cents

    def credited_with(self, note_cents: int, refund_cents: int) -> int:
        """All that would be credited with one more credit note, and a refund beside it where not 0."""
        at_ms = max([self.state.issued_at, *(movement.occurred_at for movement in self.movements)])
        more = [
            Movement(at_ms, MovementKind.CREDIT_NOTE, note_cents),
            Movement(at_ms, MovementKind.CREDITED_REFUND, refund_cents),
        ]
        amount_cents: int = self.row["amount_cents"]
        state = invoice_state(
            issued_at=self.state.issued_at,
            due_at=self.row["due_at"],
            amount_cents=amount_cents,
            movements=[*self.movements, *more],
            pauses=(),
            terms=self.terms,
        )
        return amount_cents - state.net_amount_cents


def invoices_of_order(
    tx: Transaction, customer_id: str, order_id: str, terms: SettlementTerms
) -> list[OrderInvoice]:
    """The invoices of one order by all rows that are recorded, the oldest first."""
    rows = credit_rows(tx, customer_id)
    states = invoice_states(rows, NEVER, terms)
    noted: dict[str, int] = {}
    movements: defaultdict[str, list[Movement]] = defaultdict(list)
    for payment in visible_rows(INVOICE_PAYMENTS, rows, NEVER):
        paid = Movement(payment["occurred_at"], MovementKind.PAYMENT, payment["amount_cents"])
        movements[payment["invoice_id"]].append(paid)
    for adjustment in visible_rows(INVOICE_ADJUSTMENTS, rows, NEVER):
        invoice_id = adjustment["invoice_id"]
        kind = adjustment_kind(adjustment["kind"], adjustment["reason"])
        movements[invoice_id].append(Movement(adjustment["occurred_at"], kind, adjustment["amount_cents"]))
        if adjustment["kind"] == CREDIT_NOTE:
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
            movements=tuple(movements[row["invoice_id"]]),
            terms=terms,
        )
        for row in visible_rows(INVOICES, rows, NEVER)
        if row["order_id"] == order_id
    ]
    return sorted(found, key=lambda invoice: (invoice.state.issued_at, invoice.invoice_id))
