"""What a customer paid too much counts against what is overdue, oldest due first, until paid back or moved.

Whoever pays an invoice that was credited and issued anew, or two invoices by one transfer, has paid. The same
function serves the arrears and the limit at checkout, and the labels.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from features.invoice_state import InvoiceState


class StandingInvoice(NamedTuple):
    """One of a customer's invoices as it stands. currency: ISO 4217."""

    invoice_id: str
    currency: str
    state: InvoiceState


def covered_by_overpayments(invoices: Iterable[StandingInvoice], as_of_ms: int) -> Mapping[str, int]:
    """What of each overdue invoice is covered by what was paid too much on others, in cents by invoice_id.

    Money covers what is owed in its own currency. A paused invoice is not asked for, and takes none from
    those that are. Invoices that are covered by nothing are left out.

    Paid too much 120.00; overdue 100.00 since day 30, and 50.00 since day 20:

    >>> from features.invoice_state import Movement, MovementKind, invoice_state
    >>> from features.settlement_terms import SettlementTerms
    >>> def invoice(invoice_id, cents, due_at, *paid):
    ...     state = invoice_state(issued_at=1, due_at=due_at, amount_cents=cents, pauses=[], movements=[
    ...         Movement(2, MovementKind.PAYMENT, one) for one in paid], terms=SettlementTerms(grace_days=0))
    ...     return StandingInvoice(invoice_id, "EUR", state)
    >>> invoices = [invoice("a", 10_000, 30), invoice("b", 5_000, 20), invoice("c", 8_000, 20, 8_000, 12_000)]
    >>> covered_by_overpayments(invoices, 40)
    {'b': 5000, 'a': 7000}
    >>> covered_by_overpayments(invoices, 30)
    {'b': 5000}
    """
    held: dict[str, int] = {}
    overdue: list[StandingInvoice] = []
    for invoice in invoices:
        if invoice.state.overpaid_cents:
            held[invoice.currency] = held.get(invoice.currency, 0) + invoice.state.overpaid_cents
        elif not invoice.state.paused and invoice.state.is_overdue(as_of_ms):
            overdue.append(invoice)
    covered: dict[str, int] = {}
    for invoice_id, currency, state in sorted(overdue, key=lambda one: (one.state.due_at, one.invoice_id)):
        cents = min(held.get(currency, 0), state.outstanding_cents)
        if cents:
            covered[invoice_id] = cents
            held[currency] -= cents
    return covered
