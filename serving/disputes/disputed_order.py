"""The order of a dispute and its invoices as the service desk sees them: nothing of the fraud team's."""

import msgspec

from data_contracts.orders import ORDERS
from features.instants import NEVER
from serving.disputes.kept_step import known_dispute
from serving.disputes.ledger_effects import DisputedInvoice, disputed_invoices
from serving.requests.answer_fields import Cents, Instant
from serving.requests.case_scope import CaseScope
from serving.store.standing_rows import standing_row


class DisputedInvoiceView(msgspec.Struct, frozen=True, kw_only=True):
    """One invoice as it is now. due_at: None while a pause holds the due date back, or where nothing is due.

    net_cents: credits taken off. received_cents: of the customer's money, at most that.
    """

    invoice_id: str
    issued_at: Instant
    due_at: Instant | None
    net_cents: Cents
    received_cents: Cents
    outstanding_cents: Cents
    is_paused: bool
    is_cancelled: bool


class DisputedOrderView(msgspec.Struct, frozen=True, kw_only=True):
    """The order. All but order_id: None where the ledger does not know the order."""

    order_id: str
    ordered_at: Instant | None
    kind: str | None
    item_category: str | None
    amount_cents: Cents | None
    currency: str
    invoices: tuple[DisputedInvoiceView, ...]


def disputed_order(scope: CaseScope, dispute_id: str) -> DisputedOrderView:
    """The order of a dispute with its invoices, the oldest first. Raises UnknownDispute."""
    with scope.store.reading() as tx:
        dispute = known_dispute(tx, dispute_id)
        order = standing_row(tx, ORDERS, dispute.order_id) or {}
        invoices = disputed_invoices(
            tx,
            scope,
            customer_id=dispute.customer_id,
            order_id=dispute.order_id,
            dispute_id=dispute.dispute_id,
        )
    return DisputedOrderView(
        order_id=dispute.order_id,
        ordered_at=Instant(order["occurred_at"]) if order else None,
        kind=order.get("kind"),
        item_category=order.get("item_category"),
        amount_cents=order.get("amount_cents"),
        currency=dispute.currency,
        invoices=tuple(_view(invoice) for invoice in invoices),
    )


def _view(invoice: DisputedInvoice) -> DisputedInvoiceView:
    state = invoice.state
    return DisputedInvoiceView(
        invoice_id=invoice.invoice_id,
        issued_at=Instant(state.issued_at),
        due_at=None if state.due_at == NEVER else Instant(state.due_at),
        net_cents=state.net_amount_cents,
        received_cents=state.received_cents,
        outstanding_cents=state.outstanding_cents,
        is_paused=state.paused,
        is_cancelled=state.cancelled,
    )
