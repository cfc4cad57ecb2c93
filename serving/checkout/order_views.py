"""Use cases that only look: an order and a decision, as far as the caller may see them."""

import msgspec

from data_contracts.instants import rfc3339
from features.instants import NEVER
from serving.checkout.checkout_answers import (
    DecisionAnswer,
    MerchantDecisionAnswer,
    MerchantOrderState,
    OrderState,
    OwnInvoice,
    OwnOrder,
    seen_by,
)
from serving.checkout.order_steps import decision_for_customer, newest_decision, order_state
from serving.domain.decision import Outcome
from serving.domain.errors import UnknownDecision
from serving.domain.order_numbers import OrderAddress
from serving.requests.authentication import may_see_order_of
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller
from serving.store.decision_log import decision_of
from serving.store.order_invoices import OrderInvoice, invoices_of_order
from serving.store.reservations import reservation_of


def order_view(
    scope: RequestScope, address: OrderAddress, *, caller: Caller
) -> OrderState | MerchantOrderState:
    """The newest decision about an order and what it holds. Raises UnknownOrder."""
    with scope.store.reading() as tx:
        return order_state(tx, newest_decision(tx, address, caller), caller, scope.now_ms())


def own_order_view(scope: RequestScope, address: OrderAddress, *, customer_id: str | None) -> OwnOrder:
    """An order as its customer sees it, with what is owed and what is paused.

    customer_id: for whom it is asked. Raises UnknownOrder, also for another customer's order.
    """
    terms = scope.policy.settlement_terms
    with scope.store.reading() as tx:
        decision = decision_for_customer(tx, address, customer_id)
        found = invoices_of_order(tx, decision.customer_id, decision.order_id, terms)
        reservation = reservation_of(tx, decision.customer_id, decision.order_id)
    held = reservation if reservation is not None and reservation.is_active(scope.now_ms()) else None
    invoices = tuple(_own_invoice(invoice) for invoice in found)
    return OwnOrder(
        order_id=decision.order_id,
        merchant_order_number=decision.merchant_order_number,
        merchant_id=decision.merchant_id,
        customer_id=decision.customer_id,
        decision_id=decision.decision_id,
        outcome=Outcome(decision.outcome),
        currency=decision.record["order"]["currency"],
        reserved_cents=0 if held is None else held.amount_cents,
        reserved_until=None if held is None else rfc3339(held.expires_at_ms),
        owed_cents=sum(invoice.owed_cents for invoice in invoices),
        invoices=invoices,
    )


def _own_invoice(invoice: OrderInvoice) -> OwnInvoice:
    state = invoice.state
    return OwnInvoice(
        invoice_id=invoice.invoice_id,
        invoiced_cents=state.net_amount_cents,
        owed_cents=state.outstanding_cents,
        issued_at=rfc3339(state.issued_at),
        due_at=None if state.due_at == NEVER else rfc3339(state.due_at),
        paused_since=None if invoice.paused_since_ms is None else rfc3339(invoice.paused_since_ms),
    )


def decision_view(
    scope: RequestScope, decision_id: str, *, caller: Caller
) -> DecisionAnswer | MerchantDecisionAnswer:
    """A decision as it was answered. Raises UnknownDecision, also for another merchant's."""
    with scope.store.reading() as tx:
        decision = decision_of(tx, decision_id)
    if decision is None or not may_see_order_of(caller, decision.merchant_id):
        raise UnknownDecision(f"there is no decision {decision_id}")
    return seen_by(caller, msgspec.convert(decision.record["answer"], DecisionAnswer))
