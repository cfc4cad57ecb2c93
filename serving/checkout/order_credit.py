"""Use case: an order that is invoiced is credited, whole or in part; what was paid of it goes back."""

import enum
import secrets
from typing import Annotated

import msgspec
from msgspec import Meta

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.contract import AMOUNT_CENTS_MAXIMUM
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from serving.checkout.order_steps import name_in_fingerprint, newest_decision
from serving.domain.credit_spread import CreditableInvoice, CreditPart, spread_credit
from serving.domain.errors import CreditAboveInvoiced, FieldsInvalid, OrderNotInvoiced
from serving.domain.field_errors import FieldError
from serving.domain.order_numbers import OrderAddress
from serving.domain.policy import Policy
from serving.requests.answer_fields import Cents, OwnNumber
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller, Role
from serving.store.ledger import append
from serving.store.order_invoices import CREDIT_NOTE, OrderInvoice, invoices_of_order
from serving.store.store import Transaction

AmountCents = Annotated[int, Meta(ge=1, le=AMOUNT_CENTS_MAXIMUM)]
FeeCents = Annotated[int, Meta(ge=0, le=AMOUNT_CENTS_MAXIMUM)]


class CreditReason(enum.StrEnum):
    """Why a merchant credits an order: goods came back, or a part of the price is let off."""

    RETURN = "return"
    GOODWILL = "goodwill"


class CreditBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an order is credited, in minor units of its currency."""

    reason: CreditReason
    amount_cents: Annotated[
        AmountCents | None, Meta(description="null or left out for all that is not credited yet")
    ] = None
    return_fee_cents: Annotated[
        FeeCents, Meta(description="kept back of the amount, which it has to leave something of")
    ] = 0
    invoice_id: Annotated[
        str | None, Meta(description="of the order; null or left out: spread over its invoices")
    ] = None


class CreditedInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """What one invoice was credited."""

    invoice_id: str
    credited_cents: Cents
    refunded_cents: Cents


class MerchantCreditedInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """What one invoice was credited, as its merchant sees it."""

    invoice_id: str
    credited_cents: Cents


StillInvoiced = Annotated[Cents, Meta(description="what is invoiced of the order, all credits taken off")]


class OrderCredit(msgspec.Struct, frozen=True, kw_only=True):
    """What an order was credited by one request."""

    order_id: str
    merchant_order_number: OwnNumber
    reason: CreditReason
    credited_cents: Annotated[Cents, Meta(description="the return fee taken off")]
    refunded_cents: Annotated[Cents, Meta(description="what of that was paid and goes back")]
    return_fee_cents: Cents
    still_invoiced_cents: StillInvoiced
    invoices: tuple[CreditedInvoice, ...]


class MerchantOrderCredit(msgspec.Struct, frozen=True, kw_only=True):
    """What an order was credited, as its merchant sees it: not what the customer had paid."""

    order_id: str
    merchant_order_number: OwnNumber
    reason: CreditReason
    credited_cents: Annotated[Cents, Meta(description="the return fee taken off")]
    return_fee_cents: Cents
    still_invoiced_cents: StillInvoiced
    invoices: tuple[MerchantCreditedInvoice, ...]


CreditAnswer = OrderCredit | MerchantOrderCredit


def credit(
    scope: RequestScope,
    address: OrderAddress,
    given: CreditBody,
    *,
    caller: Caller,
    idempotency_key: str | None,
) -> CreditAnswer:
    """Credit an order. Without an Idempotency-Key the same request again credits again.

    Raises UnknownOrder, OrderNotInvoiced, CreditAboveInvoiced, and FieldsInvalid for an invoice of another
    order or a fee that leaves nothing.
    """
    request = fingerprint(
        "POST order credit",
        {"order": name_in_fingerprint(address, caller), "body": msgspec.to_builtins(given)},
    )
    shown: type[CreditAnswer] = MerchantOrderCredit if caller.role is Role.MERCHANT else OrderCredit
    with scope.store.reading() as tx:
        before = newest_decision(tx, address, caller)
    with scope.store.writing(before.customer_id, f"order-{before.order_id}") as tx:
        earlier = earlier_answer(tx, shown, caller=caller, key=idempotency_key, request=request)
        if earlier is not None:
            return earlier
        decision = newest_decision(tx, address, caller)
        invoices = invoices_of_order(
            tx, decision.customer_id, decision.order_id, scope.policy.settlement_terms
        )
        chosen = _chosen(invoices, given.invoice_id, address)
        amount_cents = creditable_cents(chosen) if given.amount_cents is None else given.amount_cents
        if amount_cents == 0:
            raise CreditAboveInvoiced(f"all that is invoiced of {address.in_words} is credited already")
        if given.return_fee_cents >= amount_cents:
            detail = f"return_fee_cents: must be below the amount, {amount_cents}"
            raise FieldsInvalid([FieldError(pointer="/return_fee_cents", detail=detail)])
        require_creditable(chosen, amount_cents)
        parts = credit_invoices(
            tx,
            chosen,
            amount_cents - given.return_fee_cents,
            reason=given.reason,
            policy=scope.policy,
            now_ms=scope.now_ms(),
        )
        credited_cents = sum(part.credited_cents for part in parts)
        answer = OrderCredit(
            order_id=decision.order_id,
            merchant_order_number=decision.merchant_order_number,
            reason=given.reason,
            credited_cents=credited_cents,
            refunded_cents=sum(part.refund_cents for part in parts),
            return_fee_cents=given.return_fee_cents,
            still_invoiced_cents=creditable_cents(invoices) - credited_cents,
            invoices=tuple(
                CreditedInvoice(
                    invoice_id=part.invoice_id,
                    credited_cents=part.credited_cents,
                    refunded_cents=part.refund_cents,
                )
                for part in parts
            ),
        )
        seen = _seen_by(caller, answer)
        remember_answer(tx, seen, caller=caller, key=idempotency_key, request=request, now_ms=scope.now_ms())
    return seen


def creditable_cents(invoices: list[OrderInvoice]) -> int:
    """What is invoiced, all credits taken off, in minor units."""
    return sum(invoice.state.net_amount_cents for invoice in invoices)


def require_creditable(invoices: list[OrderInvoice], amount_cents: int) -> None:
    """Raises CreditAboveInvoiced where an amount is above what is invoiced and not credited."""
    left_cents = creditable_cents(invoices)
    if amount_cents > left_cents:
        raise CreditAboveInvoiced(
            f"{amount_cents} would be credited; {left_cents} are invoiced, earlier credits taken off"
        )


def credit_invoices(
    tx: Transaction,
    invoices: list[OrderInvoice],
    credit_cents: int,
    *,
    reason: CreditReason,
    policy: Policy,
    now_ms: int,
    event_prefix: str = "",
) -> tuple[CreditPart, ...]:
    """Write the credit notes and refunds of a credit over invoices of one customer, whose lock is held.

    event_prefix: how the event_ids of the rows begin.
    Raises CreditAboveInvoiced.
    """
    parts = spread_credit([_creditable(invoice) for invoice in invoices], credit_cents)
    of_invoice = {invoice.invoice_id: invoice for invoice in invoices}
    for part in parts:
        invoice = of_invoice[part.invoice_id]
        mark = secrets.token_hex(12)
        for kind, cents in ((CREDIT_NOTE, note_cents(invoice, part)), ("refund", part.refund_cents)):
            if not cents:
                continue
            result = append(
                tx,
                INVOICE_ADJUSTMENTS,
                {
                    "event_id": f"{event_prefix}{kind}-{mark}",
                    # An invoice may run a little ahead of the clock; what credits it comes after it.
                    "occurred_at": max(now_ms, invoice.state.issued_at),
                    "invoice_id": part.invoice_id,
                    "customer_id": invoice.row["customer_id"],
                    "kind": kind,
                    "reason": reason.value,
                    "amount_cents": cents,
                    "currency": invoice.row["currency"],
                },
                now_ms,
                clock_tolerance_ms=policy.clock_tolerance_ms,
            )
            if result.status is not AppendStatus.ACCEPTED:
                raise CreditAboveInvoiced(str(result.message))
    return parts


def note_cents(invoice: OrderInvoice, part: CreditPart) -> int:
    """What the credit note of a part is over.

    An earlier refund without a credit note counts beside it while the invoice is not paid up, and as one with
    it once it is: only then the note has that refund on top.
    """
    with_refund = invoice.credited_with(part.note_cents, part.refund_cents)
    is_as_meant = with_refund == invoice.credited_cents + part.credited_cents
    return part.note_cents if is_as_meant else part.credited_cents


def _creditable(invoice: OrderInvoice) -> CreditableInvoice:
    state = invoice.state
    return CreditableInvoice(
        issued_at_ms=state.issued_at,
        invoice_id=invoice.invoice_id,
        creditable_cents=state.net_amount_cents,
        unpaid_cents=min(state.outstanding_cents, state.net_amount_cents),
        uncovered_cents=max(invoice.credited_cents - invoice.noted_cents, 0),
    )


def _chosen(
    invoices: list[OrderInvoice], invoice_id: str | None, address: OrderAddress
) -> list[OrderInvoice]:
    if not invoices:
        raise OrderNotInvoiced(f"{address.in_words} has no invoice yet: cancel it instead")
    if invoice_id is None:
        return invoices
    chosen = [invoice for invoice in invoices if invoice.invoice_id == invoice_id]
    if not chosen:
        detail = f"invoice_id: is no invoice of {address.in_words}"
        raise FieldsInvalid([FieldError(pointer="/invoice_id", detail=detail)])
    return chosen


def _seen_by(caller: Caller, answer: OrderCredit) -> CreditAnswer:
    if caller.role is not Role.MERCHANT:
        return answer
    return MerchantOrderCredit(
        order_id=answer.order_id,
        merchant_order_number=answer.merchant_order_number,
        reason=answer.reason,
        credited_cents=answer.credited_cents,
        return_fee_cents=answer.return_fee_cents,
        still_invoiced_cents=answer.still_invoiced_cents,
        invoices=tuple(
            MerchantCreditedInvoice(invoice_id=one.invoice_id, credited_cents=one.credited_cents)
            for one in answer.invoices
        ),
    )
