"""A dispute is opened: by a customer, or because a return was announced with proof and never booked."""

import secrets

from data_contracts.amended_orders import amended_order
from data_contracts.merchants import MERCHANTS
from data_contracts.orders import ORDERS
from data_contracts.text_form import is_blank
from serving.disputes.deadlines import due_in
from serving.disputes.dispute_answers import CustomerDispute, customer_dispute
from serving.disputes.dispute_notices import tell_of_opening
from serving.disputes.identity_claims import ask_fraud_team
from serving.disputes.ledger_effects import disputed_invoices, pause_invoices
from serving.domain.dispute import (
    MAXIMUM_TEXT_CHARACTERS,
    Dispute,
    DisputeAction,
    DisputeOutcome,
    DisputeReason,
    DisputeState,
)
from serving.domain.dispute_money import disputable_cents
from serving.domain.errors import FieldsInvalid, OrderNotInvoiced, RiskError, UnknownOrder
from serving.domain.field_errors import FieldError, pointer
from serving.requests.case_scope import CaseScope
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.store.api_keys import Caller
from serving.store.disputes import append_dispute_history, disputes_of_order, insert_dispute
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

MAXIMUM_REFERENCE_CHARACTERS = 100
WITHOUT_INVOICE = frozenset({DisputeReason.NOT_MY_ORDER, DisputeReason.CANCELLED_BEFORE_SHIPPING})
"""What may be said of an order before anything of it is invoiced."""


class OrderDisputedBefore(RiskError):
    """A dispute about the order is open, or was decided: then a complaint is the way."""


def open_by_customer(
    scope: CaseScope,
    order_id: str,
    *,
    customer_id: str,
    reason: str,
    text: str | None,
    amount_cents: int | None,
    police_report: str | None,
    caller: Caller,
    idempotency_key: str | None,
) -> CustomerDispute:
    """Open a dispute for a customer; the order's invoices pause with it.

    Raises UnknownOrder, also for another customer's order, FieldsInvalid, OrderNotInvoiced,
    OrderDisputedBefore, IdempotencyConflict.
    """
    said = [order_id, customer_id, reason, text, amount_cents, police_report]
    request = fingerprint("POST order dispute", said)
    with scope.store.writing(customer_id) as tx:
        earlier = earlier_answer(tx, CustomerDispute, caller=caller, key=idempotency_key, request=request)
        if earlier is not None:
            return earlier
        dispute = open_dispute(
            tx,
            scope,
            order_id=order_id,
            customer_id=customer_id,
            reason=checked_reason(reason),
            text=text,
            amount_cents=amount_cents,
            police_report=police_report,
            opened_by=caller.name,
        )
        answer = customer_dispute(dispute, ())
        remember_answer(
            tx, answer, caller=caller, key=idempotency_key, request=request, now_ms=scope.now_ms()
        )
    return answer


def open_dispute(
    tx: Transaction,
    scope: CaseScope,
    *,
    order_id: str,
    customer_id: str,
    reason: DisputeReason,
    opened_by: str,
    text: str | None = None,
    amount_cents: int | None = None,
    police_report: str | None = None,
) -> Dispute:
    """Open a dispute in the caller's transaction, which holds the lock of the customer.

    amount_cents: what is disputed, at most what the order's invoices come to less credits; None for the
        whole order. opened_by: whose key or user it was, `system` for the service itself.
    Raises UnknownOrder, FieldsInvalid, OrderNotInvoiced, OrderDisputedBefore, DisputeRowRefused.
    """
    order = standing_row(tx, ORDERS, order_id)
    if order is None or order["customer_id"] != customer_id:
        raise UnknownOrder(f"there is no order {order_id} of this customer")
    _require_none_before(tx, order_id)
    dispute_id = f"dsp_{secrets.token_hex(10)}"
    invoices = disputed_invoices(tx, scope, customer_id=customer_id, order_id=order_id, dispute_id=dispute_id)
    invoiced_cents = disputable_cents([invoice.balance for invoice in invoices])
    _require_fields(reason, text, amount_cents, police_report, invoiced_cents)
    if invoiced_cents == 0 and (invoices or reason not in WITHOUT_INVOICE):
        raise OrderNotInvoiced(f"nothing is invoiced of order {order_id}, or all of it is credited")
    now_ms = max(scope.now_ms(), amended_order(order, ())["occurred_at"])
    is_claim = reason is DisputeReason.NOT_MY_ORDER
    merchant_due_at_ms = (
        None if is_claim else _merchant_due_ms(tx, scope, order["merchant_id"], reason, now_ms)
    )
    dispute = Dispute(
        dispute_id=dispute_id,
        order_id=order_id,
        customer_id=customer_id,
        merchant_id=order["merchant_id"],
        merchant_order_number=order.get("merchant_order_number"),
        currency=order["currency"],
        reason=reason,
        text=_kept(text),
        # All of it is the whole order, also what is invoiced of it later.
        disputed_cents=None if amount_cents == invoiced_cents else amount_cents,
        police_report=_kept(police_report),
        state=DisputeState.WITH_FRAUD_TEAM if is_claim else DisputeState.OPENED,
        opened_at_ms=now_ms,
        opened_by=opened_by,
        policy_version=scope.policy.version,
        merchant_due_at_ms=merchant_due_at_ms,
        due_at_ms=merchant_due_at_ms,
        is_shown_to_merchant=not is_claim,
    )
    insert_dispute(tx, dispute)
    append_dispute_history(
        tx,
        dispute_id,
        at_ms=now_ms,
        actor=opened_by,
        action=DisputeAction.OPENED,
        detail={"reason": reason.value, "due_at_ms": merchant_due_at_ms, "invoiced_cents": invoiced_cents},
    )
    pause_invoices(tx, scope, dispute)
    if is_claim:
        ask_fraud_team(tx, scope, dispute)
    else:
        tell_of_opening(tx, scope, dispute)
    return dispute


def checked_reason(reason: str) -> DisputeReason:
    """A reason of the closed list. Raises FieldsInvalid."""
    known = {one.value: one for one in DisputeReason}
    if reason not in known:
        rule = f"reason must be one of {', '.join(known)}"
        raise FieldsInvalid([FieldError(pointer=pointer("reason"), detail=rule)])
    return known[reason]


def checked_text(text: str | None, field: str = "text") -> str:
    """A text that says something, without blanks around it. Raises FieldsInvalid."""
    if text is None or is_blank(text):
        raise FieldsInvalid([FieldError(pointer=pointer(field), detail=f"{field} is required")])
    if len(text) > MAXIMUM_TEXT_CHARACTERS:
        rule = f"{field} must have at most {MAXIMUM_TEXT_CHARACTERS} characters"
        raise FieldsInvalid([FieldError(pointer=pointer(field), detail=rule)])
    return text.strip()


def _require_none_before(tx: Transaction, order_id: str) -> None:
    for known in disputes_of_order(tx, order_id):
        if not known.is_closed:
            raise OrderDisputedBefore(f"dispute {known.dispute_id} about this order is open")
        if known.outcome is DisputeOutcome.FOR_MERCHANT:
            raise OrderDisputedBefore(
                f"dispute {known.dispute_id} about this order was decided: complain about that"
            )


def _require_fields(
    reason: DisputeReason,
    text: str | None,
    amount_cents: int | None,
    police_report: str | None,
    invoiced_cents: int,
) -> None:
    errors = []

    def wrong(field: str, rule: str) -> None:
        errors.append(FieldError(pointer=pointer(field), detail=f"{field} {rule}"))

    if reason is DisputeReason.OTHER and is_blank(text or ""):
        wrong("text", "is required for the reason other")
    if text is not None and len(text) > MAXIMUM_TEXT_CHARACTERS:
        wrong("text", f"must have at most {MAXIMUM_TEXT_CHARACTERS} characters")
    if amount_cents is not None and not 1 <= amount_cents <= invoiced_cents:
        wrong("amount_cents", f"must be from 1 to {invoiced_cents}, which is invoiced and not credited")
    if police_report is not None and reason is not DisputeReason.NOT_MY_ORDER:
        wrong("police_report", f"must be left out unless the reason is {DisputeReason.NOT_MY_ORDER.value}")
    if police_report is not None and not (
        len(police_report) <= MAXIMUM_REFERENCE_CHARACTERS and police_report.isprintable()
    ):
        wrong("police_report", f"must be one line of at most {MAXIMUM_REFERENCE_CHARACTERS} characters")
    if errors:
        raise FieldsInvalid(errors)


def _kept(text: str | None) -> str | None:
    return None if text is None or is_blank(text) else text.strip()


def _merchant_due_ms(
    tx: Transaction, scope: CaseScope, merchant_id: str, reason: DisputeReason, now_ms: int
) -> int:
    merchant = standing_row(tx, MERCHANTS, merchant_id) or {}
    days = scope.policy.disputes.merchant_days_for(reason, merchant.get("country", ""))
    return due_in(tx, scope, merchant_id, days, now_ms)
