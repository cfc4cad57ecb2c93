"""Use cases of returns: a customer announces goods, a merchant confirms and books them; who looks at them."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from data_contracts.invoice_pauses import INVOICE_PAUSES, RETURN
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.row_check import TimestampForm, check_row
from serving.checkout.order_credit import (
    CreditReason,
    credit_invoices,
    creditable_cents,
    require_creditable,
)
from serving.checkout.order_steps import decision_for_customer
from serving.domain.credit_spread import CreditableInvoice, spread_credit
from serving.domain.errors import (
    FieldsInvalid,
    OrderNotInvoiced,
    ReturnAboveInvoiced,
    UnknownReturn,
)
from serving.domain.field_errors import FieldError, pointer
from serving.domain.goods_return import (
    GoodsReturn,
    ReturnedPosition,
    ReturnPause,
    ReturnState,
    booked,
    confirmed,
    due_at_ms,
    with_proof,
)
from serving.domain.order_numbers import OrderAddress
from serving.domain.policy import Policy
from serving.domain.reservation import ReservationState
from serving.requests.authentication import may_see_order_of
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.requests.request_scope import RequestScope
from serving.returns.return_answers import (
    AnnouncedReturn,
    BookingBody,
    CustomerReturns,
    MerchantReturnList,
    ReturnAnswer,
    ReturnBody,
    ReturnList,
    announced_return,
    answer_type_of,
    merchant_return,
    return_seen_by,
)
from serving.returns.return_pauses import write_pauses
from serving.store.api_keys import Caller, Role
from serving.store.decision_log import LoggedDecision
from serving.store.goods_returns import (
    keep_return,
    return_of,
    returns_in_state,
    returns_of_customer,
    returns_of_order,
)
from serving.store.ledger import append
from serving.store.order_invoices import OrderInvoice, invoices_of_order
from serving.store.reservations import reservation_of
from serving.store.store import Transaction

RETURNS_LISTED = 100


def announce(
    scope: RequestScope,
    address: OrderAddress,
    given: ReturnBody,
    *,
    caller: Caller,
    idempotency_key: str | None,
) -> AnnouncedReturn:
    """A customer sends goods of an order back: what is not paid of them is paused at once.

    An invoice that is due already, or one for which a return lapsed, waits for the word of merchant or
    carrier. Goods that are announced already
    pause nothing again: the same tracking number, or an amount beyond what is left, means them, and may
    bring the tracking number that was missing. Raises FieldsInvalid, UnknownOrder (also for an order of
    another customer), OrderNotInvoiced, ReturnAboveInvoiced.
    """
    proof = _proof(given, now_ms=scope.now_ms())
    amount_cents = _amount(given)
    request = fingerprint("POST return", {"order": address.in_words, "body": msgspec.to_builtins(given)})
    with scope.store.reading() as tx:
        before = decision_for_customer(tx, address, given.customer_id)
    with scope.store.writing(before.customer_id, f"order-{before.order_id}") as tx:
        earlier = earlier_answer(tx, AnnouncedReturn, caller=caller, key=idempotency_key, request=request)
        if earlier is not None:
            return earlier
        decision = decision_for_customer(tx, address, given.customer_id)
        invoices = invoices_of_order(
            tx, decision.customer_id, decision.order_id, scope.policy.settlement_terms
        )
        if not invoices:
            raise OrderNotInvoiced(f"{address.in_words} has no invoice yet: cancel it instead")
        known = returns_of_order(tx, decision.order_id)
        open_cents = sum(goods.amount_cents for goods in known if goods.is_open)
        left_cents = max(creditable_cents(invoices) - open_cents, 0)
        same = _same_goods(known, amount_cents, proof.get("tracking_number"), left_cents)
        if same is not None:
            goods = _proved(tx, scope, same, proof)
        else:
            goods = _new_return(
                scope,
                decision,
                invoices,
                known,
                cents=left_cents if amount_cents is None else amount_cents,
                open_cents=open_cents,
                given=given,
                proof=proof,
            )
            write_pauses(tx, None, goods, policy=scope.policy, now_ms=scope.now_ms())
            keep_return(tx, goods)
        answer = announced_return(goods)
        now_ms = scope.now_ms()
        remember_answer(tx, answer, caller=caller, key=idempotency_key, request=request, now_ms=now_ms)
    return answer


def _amount(given: ReturnBody) -> int | None:
    """What comes back by the body, None for all of it. Raises FieldsInvalid."""
    if given.positions is None:
        return given.amount_cents
    if given.amount_cents is not None:
        detail = "positions: come in place of amount_cents, which is their sum"
        raise FieldsInvalid([FieldError(pointer="/positions", detail=detail)])
    if not given.positions:
        detail = "positions: must name what comes back, or be left out for all of it"
        raise FieldsInvalid([FieldError(pointer="/positions", detail=detail)])
    return sum(position.amount_cents for position in given.positions)


def _proof(given: ReturnBody, *, now_ms: int) -> Mapping[str, str]:
    """Carrier and tracking number as the ledger keeps them; empty without a tracking number.

    Raises FieldsInvalid.
    """
    sent = {"carrier": given.carrier, "tracking_number": given.tracking_number}
    sent = {name: text for name, text in sent.items() if text is not None and text.strip()}
    checked = check_row(
        INVOICE_PAUSES,
        {
            "event_id": "return",
            "pause_id": "return",
            "invoice_id": "invoice",
            "customer_id": "customer",
            "reason": RETURN,
            "started_at": now_ms,
            "occurred_at": now_ms,
            **sent,
        },
        timestamps=TimestampForm.MILLISECONDS,
        recorded_at_ms=now_ms,
        clock_tolerance_ms=0,  # all instants are the service's own
    )
    errors = [
        FieldError(pointer=pointer(violation.column), detail=violation.message)
        for violation in checked.violations
    ]
    if "carrier" in sent and "tracking_number" not in sent:
        detail = "tracking_number: is required with a carrier"
        errors.append(FieldError(pointer="/tracking_number", detail=detail))
    if errors:
        raise FieldsInvalid(errors)
    row: Mapping[str, Any] = checked.row or {}
    return {name: row[name] for name in sent if row.get(name) is not None}


def _same_goods(
    known: Sequence[GoodsReturn], amount_cents: int | None, tracking_number: str | None, left_cents: int
) -> GoodsReturn | None:
    """The return that an announcement is about which came before; None for other goods.

    Raises ReturnAboveInvoiced where more would come back than is left.
    """
    for goods in known:
        if tracking_number is not None and goods.tracking_number == tracking_number:
            return goods
    if left_cents > 0 and (amount_cents is None or amount_cents <= left_cents):
        return None
    for goods in reversed(known):
        is_as_much = amount_cents is None or goods.amount_cents == amount_cents
        may_be_it = tracking_number is None or goods.tracking_number is None
        if goods.is_open and is_as_much and may_be_it:
            return goods
    asked = "all" if amount_cents is None else str(amount_cents)
    raise ReturnAboveInvoiced(
        f"{asked} would come back; {left_cents} are invoiced and neither credited nor announced"
    )


def _proved(
    tx: Transaction, scope: RequestScope, goods: GoodsReturn, proof: Mapping[str, str]
) -> GoodsReturn:
    if "tracking_number" not in proof:
        return goods
    after = with_proof(
        goods,
        carrier=proof.get("carrier"),
        tracking_number=proof["tracking_number"],
        policy=scope.policy.returns,
    )
    return _kept(tx, goods, after, scope.policy, scope.now_ms())


def _kept(
    tx: Transaction, before: GoodsReturn, after: GoodsReturn, policy: Policy, now_ms: int
) -> GoodsReturn:
    if after != before:
        write_pauses(tx, before, after, policy=policy, now_ms=now_ms)
        keep_return(tx, after)
    return after


def _new_return(
    scope: RequestScope,
    decision: LoggedDecision,
    invoices: list[OrderInvoice],
    known: Sequence[GoodsReturn],
    *,
    cents: int,
    open_cents: int,
    given: ReturnBody,
    proof: Mapping[str, str],
) -> GoodsReturn:
    return_id = f"ret_{secrets.token_hex(10)}"
    # An invoice may run a little ahead of the clock; what is returned of it comes after it.
    at_ms = max([scope.now_ms(), *(invoice.state.issued_at for invoice in invoices)])
    paused = _invoices_of_goods(invoices, cents, open_cents)
    # Else an invoice would never run again, as long as each time another cent of it is announced.
    has_lapsed = {
        pause.invoice_id for goods in known if goods.state is ReturnState.LAPSED for pause in goods.pauses
    }
    return GoodsReturn(
        return_id=return_id,
        order_id=decision.order_id,
        merchant_order_number=decision.merchant_order_number,
        customer_id=decision.customer_id,
        merchant_id=decision.merchant_id,
        state=ReturnState.ANNOUNCED,
        amount_cents=cents,
        currency=invoices[0].row["currency"],
        positions=tuple(
            ReturnedPosition(name=position.name, amount_cents=position.amount_cents)
            for position in given.positions or ()
        ),
        carrier=proof.get("carrier"),
        tracking_number=proof.get("tracking_number"),
        announced_at_ms=at_ms,
        due_at_ms=due_at_ms(at_ms, has_proof="tracking_number" in proof, policy=scope.policy.returns),
        pauses=tuple(
            ReturnPause(
                invoice_id=invoice.invoice_id,
                pause_id=f"return-{return_id}-{number}",
                # What lies after the due date is late until somebody else says that goods are on their way.
                is_begun=at_ms < invoice.state.due_at and invoice.invoice_id not in has_lapsed,
            )
            for number, invoice in enumerate(paused, start=1)
        ),
    )


def _invoices_of_goods(invoices: list[OrderInvoice], cents: int, open_cents: int) -> list[OrderInvoice]:
    """The unpaid invoices that would be credited for goods, those that are announced already left out."""
    creditable = [
        CreditableInvoice(
            issued_at_ms=invoice.state.issued_at,
            invoice_id=invoice.invoice_id,
            creditable_cents=invoice.state.net_amount_cents,
            unpaid_cents=min(invoice.state.outstanding_cents, invoice.state.net_amount_cents),
        )
        for invoice in invoices
    ]
    before, after = (
        {
            part.invoice_id: part.credited_cents - part.refund_cents
            for part in spread_credit(creditable, sum_cents)
        }
        for sum_cents in (open_cents, open_cents + cents)
    )
    return [
        invoice
        for invoice in invoices
        if after.get(invoice.invoice_id, 0) > before.get(invoice.invoice_id, 0)
    ]


def _known_return(tx: Transaction, return_id: str, may_see: Callable[[GoodsReturn], bool]) -> GoodsReturn:
    goods = return_of(tx, return_id)
    if goods is None or not may_see(goods):
        raise UnknownReturn(f"there is no return {return_id}")
    return goods


def _is_told_of_goods(caller: Caller) -> Callable[[GoodsReturn], bool]:
    """Merchants of their own goods, checkouts and the back office of all."""
    return lambda goods: caller.role is Role.LEDGER or may_see_order_of(caller, goods.merchant_id)


def confirm(
    scope: RequestScope, return_id: str, *, caller: Caller, idempotency_key: str | None
) -> ReturnAnswer:
    """Merchant or carrier confirms that goods are on their way, or back. Said again it changes nothing.

    Raises UnknownReturn, also for another merchant's.
    """
    policy = scope.policy

    def step(tx: Transaction, goods: GoodsReturn) -> GoodsReturn:
        after = confirmed(goods, scope.now_ms(), policy.returns)
        return _kept(tx, goods, after, policy, scope.now_ms())

    return _stepped(scope, return_id, step, "confirm", {}, caller=caller, idempotency_key=idempotency_key)


def book(
    scope: RequestScope, return_id: str, given: BookingBody, *, caller: Caller, idempotency_key: str | None
) -> ReturnAnswer:
    """The goods are back: their pauses end, and what came back is credited, the fee kept back.

    The same amounts again change nothing. Raises UnknownReturn, ReturnClosed, CreditAboveInvoiced, and
    FieldsInvalid for a fee above the amount.
    """
    policy = scope.policy

    def step(tx: Transaction, goods: GoodsReturn) -> GoodsReturn:
        return _booked(tx, scope, policy, goods, given)

    body = msgspec.to_builtins(given)
    return _stepped(scope, return_id, step, "book", body, caller=caller, idempotency_key=idempotency_key)


def _stepped(
    scope: RequestScope,
    return_id: str,
    step: Callable[[Transaction, GoodsReturn], GoodsReturn],
    name: str,
    body: Mapping[str, Any],
    *,
    caller: Caller,
    idempotency_key: str | None,
) -> ReturnAnswer:
    may_see, shown = _is_told_of_goods(caller), answer_type_of(caller)
    request = fingerprint(f"POST return {name}", {"return_id": return_id, "body": body})
    with scope.store.reading() as tx:
        before = _known_return(tx, return_id, may_see)
    with scope.store.writing(before.customer_id, f"order-{before.order_id}") as tx:
        earlier = earlier_answer(tx, shown, caller=caller, key=idempotency_key, request=request)
        if earlier is not None:
            return earlier
        after = step(tx, _known_return(tx, return_id, may_see))
        answer = return_seen_by(caller, after)
        now_ms = scope.now_ms()
        remember_answer(tx, answer, caller=caller, key=idempotency_key, request=request, now_ms=now_ms)
    return answer


def _booked(
    tx: Transaction, scope: RequestScope, policy: Policy, goods: GoodsReturn, given: BookingBody
) -> GoodsReturn:
    cents = goods.amount_cents if given.amount_cents is None else given.amount_cents
    if given.return_fee_cents > cents:
        detail = f"return_fee_cents: must not be above the amount, {cents}"
        raise FieldsInvalid([FieldError(pointer="/return_fee_cents", detail=detail)])
    now_ms = scope.now_ms()
    after = booked(goods, now_ms, cents=cents, fee_cents=given.return_fee_cents)
    if after == goods:
        return goods
    invoices = invoices_of_order(tx, goods.customer_id, goods.order_id, policy.settlement_terms)
    require_creditable(invoices, cents)
    credit_invoices(
        tx,
        invoices,
        cents - given.return_fee_cents,
        reason=CreditReason.RETURN,
        policy=policy,
        now_ms=now_ms,
        event_prefix=event_prefix_of(goods),
    )
    write_pauses(tx, goods, after, policy=policy, now_ms=now_ms)
    _tell_of_whole_return(tx, scope, after, creditable_cents(invoices) - cents)
    keep_return(tx, after)
    return after


def event_prefix_of(goods: GoodsReturn) -> str:
    """How the event_ids of the credit notes and refunds of a return begin that was booked here."""
    return f"{goods.return_id}-"


def _tell_of_whole_return(tx: Transaction, scope: RequestScope, goods: GoodsReturn, left_cents: int) -> None:
    """An order of which nothing is left but return fees is returned: a row of the ledger says so."""
    others = [one for one in returns_of_order(tx, goods.order_id) if one.return_id != goods.return_id]
    reservation = reservation_of(tx, goods.customer_id, goods.order_id)
    is_invoiced = reservation is not None and reservation.state is ReservationState.INVOICED
    if not goods.booked_cents or not is_invoiced or left_cents > sum(one.return_fee_cents for one in others):
        return
    proof = {"carrier": goods.carrier, "tracking_number": goods.tracking_number}
    append(
        tx,
        ORDER_EVENTS,
        {
            "event_id": f"{goods.return_id}-returned",
            "occurred_at": max(scope.now_ms(), goods.announced_at_ms),
            "order_id": goods.order_id,
            "customer_id": goods.customer_id,
            "kind": "returned",
            **{name: text for name, text in proof.items() if text is not None},
        },
        scope.now_ms(),
        clock_tolerance_ms=scope.policy.clock_tolerance_ms,
    )


def view(scope: RequestScope, return_id: str, *, caller: Caller, customer_id: str | None) -> ReturnAnswer:
    """One return. customer_id: for whom a portal acts. Raises UnknownReturn, also for another's."""

    def may_see(goods: GoodsReturn) -> bool:
        if caller.role is Role.PORTAL:
            return goods.customer_id == customer_id
        return may_see_order_of(caller, goods.merchant_id)

    with scope.store.reading() as tx:
        return return_seen_by(caller, _known_return(tx, return_id, may_see))


def of_customer(scope: RequestScope, customer_id: str) -> CustomerReturns:
    """All returns of a customer; none for one whom nobody knows."""
    with scope.store.reading() as tx:
        found = returns_of_customer(tx, customer_id)
    return CustomerReturns(customer_id=customer_id, returns=tuple(announced_return(goods) for goods in found))


def in_state(scope: RequestScope, state: ReturnState, *, caller: Caller) -> ReturnList | MerchantReturnList:
    """The returns in a state that are the caller's business, the earliest first, so many as are listed."""
    with scope.store.reading() as tx:
        found = returns_in_state(tx, state, merchant_id=caller.merchant_id, limit=RETURNS_LISTED + 1)
    listed, has_more = found[:RETURNS_LISTED], len(found) > RETURNS_LISTED
    if caller.role is Role.MERCHANT:
        return MerchantReturnList(returns=tuple(map(merchant_return, listed)), has_more=has_more)
    return ReturnList(returns=tuple(map(announced_return, listed)), has_more=has_more)
