"""A customer's invoices at one instant by what is known: how each stands, and what of it is asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.invoices import INVOICES
from features.invoice_phase import InvoicePhase, phase_of
from features.invoice_state import InvoiceState
from features.online import LedgerRows, invoice_states_when, visible_rows
from features.overpayments import StandingInvoice, covered_by_overpayments
from features.settlement_terms import SettlementTerms
from serving.checkout.decision_inputs import orders_of_fraud


@dataclass(frozen=True, kw_only=True)
class KnownInvoice:
    """An invoice by the row that stands and its state.

    covered_cents: what money on the customer's other invoices covers of it, once it is overdue.
    is_of_fraud: whether its order is confirmed fraud, so that the customer owes nothing for it.
    asked_cents: what the customer is to pay, paused or not; 0 where it is immaterial.
    """

    row: Mapping[str, Any]
    state: InvoiceState
    phase: InvoicePhase
    covered_cents: int
    is_of_fraud: bool
    asked_cents: int

    @property
    def is_asked_for(self) -> bool:
        """Whether the customer may be told to pay: something is owed, and nothing pauses it."""
        return self.asked_cents > 0 and not self.state.paused


def known_from_ms(rows: LedgerRows, now_ms: int) -> int:
    """The instant before which all of some rows were recorded, and everything until now."""
    # A customer's clock may be ahead of ours, by rows that came at one instant or a clock that was wrong.
    recorded: Iterator[int] = (row["recorded_at"] for some in rows.values() for row in some)
    return 1 + max(now_ms, *recorded)


def invoices_when(
    rows: LedgerRows, at_ms: int, terms: SettlementTerms, *, known_ms: int
) -> dict[str, KnownInvoice]:
    """A customer's invoices at an instant by what was known before another, by invoice_id, oldest first."""
    states = invoice_states_when(rows, at_ms, terms, known_ms=known_ms)
    if not states:
        return {}
    fraud = orders_of_fraud(rows, known_ms)
    row_of = {row["invoice_id"]: row for row in visible_rows(INVOICES, rows, known_ms)}
    covered = covered_by_overpayments(
        (
            StandingInvoice(invoice_id, row_of[invoice_id]["currency"], state)
            for invoice_id, state in states.items()
            if row_of[invoice_id]["order_id"] not in fraud
        ),
        at_ms,
    )
    found = {}
    for invoice_id, state in sorted(states.items(), key=lambda one: (one[1].issued_at, one[0])):
        row = row_of[invoice_id]
        is_of_fraud = row["order_id"] in fraud
        left_cents = state.owed_cents - covered.get(invoice_id, 0)
        found[invoice_id] = KnownInvoice(
            row=row,
            state=state,
            phase=phase_of(state, at_ms),
            covered_cents=covered.get(invoice_id, 0),
            is_of_fraud=is_of_fraud,
            asked_cents=0 if is_of_fraud or left_cents <= terms.materiality_cents else left_cents,
        )
    return found
