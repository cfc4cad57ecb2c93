"""Use cases after a decision: the customer orders or does not, or the order holds its amount for longer."""

from data_contracts.instants import HOUR_MS, rfc3339
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.orders import ORDERS
from serving.checkout.checkout_answers import (
    MerchantOrderState,
    OrderState,
    OrderStateName,
)
from serving.domain.decision import Outcome
from serving.domain.errors import UnknownOrder
from serving.domain.order_numbers import OrderAddress
from serving.domain.order_step import OrderStep, is_to_be_taken
from serving.domain.policy import Policy
from serving.requests.authentication import may_see_order_of
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller, Role
from serving.store.decision_log import LoggedDecision, decisions_about
from serving.store.ledger import append
from serving.store.merchant_orders import order_id_at
from serving.store.reservations import Reservation, confirm, extend, reservation_of
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction


def newest_decision(tx: Transaction, address: OrderAddress, caller: Caller) -> LoggedDecision:
    """The newest decision by which an order of the caller's stands or falls.

    An amendment that was not approved leaves it as it was. Raises UnknownOrder, also for another's order.
    """
    decision = _decision_that_stands(tx, address)
    if decision is None or not may_see_order_of(caller, decision.merchant_id):
        raise UnknownOrder(f"no decision was made about {address.in_words}")
    return decision


def decision_for_customer(tx: Transaction, address: OrderAddress, customer_id: str | None) -> LoggedDecision:
    """The same for whoever acts for a customer whom the request names, and sees that customer's orders alone.

    Raises UnknownOrder, also for another customer's order.
    """
    decision = _decision_that_stands(tx, address)
    if decision is None or decision.customer_id != customer_id:
        raise UnknownOrder(f"no decision was made about {address.in_words}")
    return decision


def _decision_that_stands(tx: Transaction, address: OrderAddress) -> LoggedDecision | None:
    return next(
        (
            decision
            for decision in decisions_about(tx, order_id_at(tx, address))
            if not decision.is_about_amendment or decision.outcome == Outcome.APPROVED.value
        ),
        None,
    )


def order_state(
    tx: Transaction, decision: LoggedDecision, caller: Caller, now_ms: int
) -> OrderState | MerchantOrderState:
    """The state of an order, as far as the caller may see it."""
    answer = decision.record["answer"]
    reservation = reservation_of(tx, decision.customer_id, decision.order_id)
    held = reservation if reservation is not None and reservation.is_active(now_ms) else None
    reserved_until = None if held is None else rfc3339(held.expires_at_ms)
    if caller.role is Role.MERCHANT:
        return MerchantOrderState(
            order_id=decision.order_id,
            merchant_order_number=decision.merchant_order_number,
            decision_id=decision.decision_id,
            outcome=Outcome(decision.outcome),
            alternatives=tuple(answer["alternatives"]),
            reserved_until=reserved_until,
        )
    return OrderState(
        order_id=decision.order_id,
        merchant_order_number=decision.merchant_order_number,
        decision_id=decision.decision_id,
        outcome=Outcome(decision.outcome),
        alternatives=tuple(answer["alternatives"]),
        state=OrderStateName.NOT_RESERVED if reservation is None else OrderStateName(reservation.state.value),
        reserved_cents=0 if held is None else held.amount_cents,
        reserved_until=reserved_until,
        customer_id=decision.customer_id,
        merchant_id=decision.merchant_id,
        decided_at=answer["decided_at"],
    )


def name_in_fingerprint(address: OrderAddress, caller: Caller) -> str:
    """How a request names its order, for its fingerprint."""
    # A merchant's key has but one merchant: its requests from before there were numbers are still its own.
    if caller.merchant_id is None and address.merchant_id is not None:
        return f"{address.merchant_id} {address.name}"
    return address.name


def take_step(
    scope: RequestScope,
    address: OrderAddress,
    step: OrderStep,
    *,
    caller: Caller,
    idempotency_key: str | None,
) -> OrderState | MerchantOrderState:
    """Confirm, cancel, release or extend an order. What is done already changes nothing.

    Raises UnknownOrder, and what `is_to_be_taken` raises.
    """
    request = fingerprint(f"POST order {step}", name_in_fingerprint(address, caller))
    with scope.store.reading() as tx:
        before = newest_decision(tx, address, caller)
    with scope.store.writing(before.customer_id, f"order-{before.order_id}") as tx:
        shown: type[OrderState | MerchantOrderState] = (
            MerchantOrderState if caller.role is Role.MERCHANT else OrderState
        )
        earlier = earlier_answer(tx, shown, caller=caller, key=idempotency_key, request=request)
        if earlier is not None:
            return earlier
        decision = newest_decision(tx, address, caller)
        policy = scope.policy
        reservation = reservation_of(tx, decision.customer_id, decision.order_id)
        if is_due(step, reservation, address, scope.now_ms()):
            _keep_step(scope, policy, tx, decision, step, reservation)
        state = order_state(tx, decision, caller, scope.now_ms())
        remember_answer(tx, state, caller=caller, key=idempotency_key, request=request, now_ms=scope.now_ms())
    return state


def is_due(step: OrderStep, reservation: Reservation | None, address: OrderAddress, now_ms: int) -> bool:
    """Whether a step changes an order with this reservation now; raises what `is_to_be_taken` raises."""
    return is_to_be_taken(
        step,
        None if reservation is None else reservation.state,
        has_expired=reservation is not None and reservation.expires_at_ms <= now_ms,
        order=address.in_words,
    )


def _keep_step(
    scope: RequestScope,
    policy: Policy,
    tx: Transaction,
    decision: LoggedDecision,
    step: OrderStep,
    reservation: Reservation | None,
) -> None:
    order = standing_row(tx, ORDERS, decision.order_id)
    if order is None or reservation is None:
        raise UnknownOrder(f"order {decision.order_id} is not in the ledger")
    # A decision may run a few milliseconds ahead of the clock; its order's events come after it.
    now_ms = max(scope.now_ms(), order["occurred_at"])
    about = {"customer_id": decision.customer_id, "order_id": decision.order_id, "now_ms": now_ms}
    expires_at_ms = now_ms + policy.reservation_hours_confirmed * HOUR_MS
    event_id = f"{step}-{decision.decision_id}"
    if step is OrderStep.CONFIRMED:
        confirm(tx, expires_at_ms=expires_at_ms, **about)
    elif step is OrderStep.EXTENDED:
        latest_ms = decision.as_of_ms + policy.reservation_hours_maximum * HOUR_MS
        expires_at_ms = min(expires_at_ms, latest_ms)
        if expires_at_ms <= reservation.expires_at_ms:
            # It holds as long already as it may.
            return
        extend(tx, expires_at_ms=expires_at_ms, **about)
        event_id = f"{event_id}-{now_ms}"
    append(
        tx,
        ORDER_EVENTS,
        {
            "event_id": event_id,
            "occurred_at": now_ms,
            "order_id": decision.order_id,
            "customer_id": decision.customer_id,
            "kind": step.value,
        },
        now_ms,
        clock_tolerance_ms=policy.clock_tolerance_ms,
    )
