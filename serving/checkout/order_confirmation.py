"""Use cases after a decision: the customer orders, or does not."""

from data_contracts.instants import HOUR_MS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.orders import ORDERS
from serving.checkout.checkout_answers import (
    MerchantOrderState,
    OrderState,
    OrderStateName,
)
from serving.domain.decision import Outcome
from serving.domain.errors import (
    OrderAlreadyClosed,
    OrderNotApproved,
    UnknownOrder,
)
from serving.domain.order_numbers import OrderAddress
from serving.domain.reservation import ReservationState
from serving.requests.authentication import may_see_order_of
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller, Role
from serving.store.decision_log import LoggedDecision, decisions_about
from serving.store.ledger import append
from serving.store.merchant_orders import order_id_at
from serving.store.reservations import confirm as confirm_reservation
from serving.store.reservations import reservation_of
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction


def newest_decision(tx: Transaction, address: OrderAddress, caller: Caller) -> LoggedDecision:
    """The newest decision about an order of the caller's. Raises UnknownOrder, also for another's."""
    decisions = decisions_about(tx, order_id_at(tx, address))
    if not decisions or not may_see_order_of(caller, decisions[0].merchant_id):
        raise UnknownOrder(f"no decision was made about {address.in_words}")
    return decisions[0]


def order_state(tx: Transaction, decision: LoggedDecision, caller: Caller) -> OrderState | MerchantOrderState:
    """The state of an order, as far as the caller may see it."""
    answer = decision.record["answer"]
    if caller.role is Role.MERCHANT:
        return MerchantOrderState(
            order_id=decision.order_id,
            merchant_order_number=decision.merchant_order_number,
            decision_id=decision.decision_id,
            outcome=Outcome(decision.outcome),
            alternatives=tuple(answer["alternatives"]),
        )
    reservation = reservation_of(tx, decision.customer_id, decision.order_id)
    return OrderState(
        order_id=decision.order_id,
        merchant_order_number=decision.merchant_order_number,
        decision_id=decision.decision_id,
        outcome=Outcome(decision.outcome),
        alternatives=tuple(answer["alternatives"]),
        state=OrderStateName.NOT_RESERVED if reservation is None else OrderStateName(reservation.state.value),
        reserved_cents=0 if reservation is None else reservation.amount_cents,
        customer_id=decision.customer_id,
        merchant_id=decision.merchant_id,
        decided_at=answer["decided_at"],
    )


def confirm(
    scope: RequestScope, address: OrderAddress, *, caller: Caller, idempotency_key: str | None
) -> OrderState | MerchantOrderState:
    """The customer has ordered. Confirming twice changes nothing.

    Raises UnknownOrder, OrderNotApproved (also once the reservation expired), OrderAlreadyClosed.
    """
    return _step(scope, address, "confirmed", caller=caller, idempotency_key=idempotency_key)


def cancel(
    scope: RequestScope, address: OrderAddress, *, caller: Caller, idempotency_key: str | None
) -> OrderState | MerchantOrderState:
    """The order will not be: what it reserved is free at once. Cancelling twice changes nothing.

    Raises UnknownOrder, OrderNotApproved, OrderAlreadyClosed (an invoiced order).
    """
    return _step(scope, address, "cancelled", caller=caller, idempotency_key=idempotency_key)


def _step(
    scope: RequestScope, address: OrderAddress, kind: str, *, caller: Caller, idempotency_key: str | None
) -> OrderState | MerchantOrderState:
    # A merchant's key has but one merchant: its requests from before there were numbers are still its own.
    named = address.name
    if caller.merchant_id is None and address.merchant_id is not None:
        named = f"{address.merchant_id} {address.name}"
    request = fingerprint(f"POST order {kind}", named)
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
        if _must_change(tx, decision, address, kind, scope.now_ms()):
            _append_order_event(scope, tx, decision, kind)
        state = order_state(tx, decision, caller)
        remember_answer(tx, state, caller=caller, key=idempotency_key, request=request, now_ms=scope.now_ms())
    return state


def _must_change(
    tx: Transaction, decision: LoggedDecision, address: OrderAddress, kind: str, now_ms: int
) -> bool:
    reservation = reservation_of(tx, decision.customer_id, decision.order_id)
    if reservation is None or reservation.state is ReservationState.RELEASED:
        raise OrderNotApproved(f"{address.in_words} is not approved")
    if reservation.state.value == kind:
        return False
    if reservation.state in {ReservationState.INVOICED, ReservationState.CANCELLED}:
        raise OrderAlreadyClosed(f"{address.in_words} is {reservation.state.value}")
    if kind == "confirmed" and not reservation.is_active(now_ms):
        raise OrderNotApproved(f"the reservation of {address.in_words} expired; score it again")
    return True


def _append_order_event(scope: RequestScope, tx: Transaction, decision: LoggedDecision, kind: str) -> None:
    order = standing_row(tx, ORDERS, decision.order_id)
    if order is None:
        raise UnknownOrder(f"order {decision.order_id} is not in the ledger")
    # A decision may run a few milliseconds ahead of the clock; its order's events come after it.
    now_ms = max(scope.now_ms(), order["occurred_at"])
    if kind == "confirmed":
        confirm_reservation(
            tx,
            customer_id=decision.customer_id,
            order_id=decision.order_id,
            expires_at_ms=now_ms + scope.policy.reservation_hours_confirmed * HOUR_MS,
            now_ms=now_ms,
        )
    append(
        tx,
        ORDER_EVENTS,
        {
            "event_id": f"{kind}-{decision.decision_id}",
            "occurred_at": now_ms,
            "order_id": decision.order_id,
            "customer_id": decision.customer_id,
            "kind": kind,
        },
        now_ms,
        clock_tolerance_ms=scope.policy.clock_tolerance_ms,
    )
