"""Use case: an order that stands comes to another amount, or goes to another address."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from data_contracts.amended_orders import amended_order, amendments_of, ordered_cents, since_decided
from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.orders import ORDERS
from features.supersession import rank_of
from serving.checkout.amendment_body import AmendmentBody
from serving.checkout.checkout_answers import (
    AmendedOrderState,
    DecisionAnswer,
    MerchantAmendedOrderState,
    seen_by,
)
from serving.checkout.checkout_judgement import answer_to_checkout
from serving.checkout.checkout_scoring import (
    MoreAccountsToLock,
    judged,
    keep_decision,
    language_of_texts,
    model_identity,
    new_decision_id,
    read_for_decision,
)
from serving.checkout.merchant_key_bounds import count_question_of, locks_of_questions_by
from serving.checkout.order_body import ADDRESS_FIELDS, OrderBody
from serving.checkout.order_steps import is_due, name_in_fingerprint, newest_decision, order_state
from serving.domain.decision import Outcome
from serving.domain.errors import OrderBelowInvoiced, UnknownOrder
from serving.domain.merchant_keys import QuestionKind
from serving.domain.order_numbers import OrderAddress
from serving.domain.order_step import OrderStep
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller, Role
from serving.store.decision_log import LoggedDecision
from serving.store.ledger import append
from serving.store.reservations import Reservation, reservation_of
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction
from serving.store.uninvoiced_rest import events_of_order, rest_to_invoice

_ENVELOPE = frozenset({"event_id", "corrects", "occurred_at", "recorded_at"})
Row = Mapping[str, Any]
AmendedAnswer = AmendedOrderState | MerchantAmendedOrderState


class _NothingKept(Exception):
    """Rolls back what was begun for an answer that leaves no trace."""

    def __init__(self, answer: AmendedAnswer) -> None:
        super().__init__()
        self.answer = answer


def amend(
    scope: RequestScope,
    address: OrderAddress,
    amendment: AmendmentBody,
    *,
    caller: Caller,
    idempotency_key: str | None,
    accepted_language: str | None,
) -> AmendedAnswer:
    """Amend an order. What changes nothing is not kept.

    A smaller basket at the same address needs no judgement: it frees a part of the limit at once. A larger
    one, or another address, is judged as a new order of that amount would be, what this one holds left out;
    what is not approved leaves the order as it stands. A merchant's own key is bounded in how often it has
    orders judged. Raises UnknownOrder, OrderBelowInvoiced, AskedTooOften, and what `is_to_be_taken` raises.
    """
    request = fingerprint(
        f"POST order {OrderStep.AMENDED}",
        {
            "order": name_in_fingerprint(address, caller),
            "new_amount_cents": amendment.new_amount_cents,
            "delivery": amendment.delivery,
            "language": amendment.language,
        },
    )
    shown: type[AmendedAnswer] = (
        MerchantAmendedOrderState if caller.role is Role.MERCHANT else AmendedOrderState
    )
    with scope.store.reading() as tx:
        before = newest_decision(tx, address, caller)
    locked = frozenset({before.customer_id})
    of_order = {"customer_id": before.customer_id, "merchant_id": before.merchant_id}
    beside = locks_of_questions_by(caller, of_order)
    while True:
        try:
            with scope.store.writing(*locked, f"order-{before.order_id}", *beside) as tx:
                earlier = earlier_answer(tx, shown, caller=caller, key=idempotency_key, request=request)
                if earlier is not None:
                    return earlier
                answer = _amended(
                    scope,
                    tx,
                    address,
                    amendment,
                    caller=caller,
                    accepted_language=accepted_language,
                    locked=locked,
                )
                remember_answer(
                    tx, answer, caller=caller, key=idempotency_key, request=request, now_ms=scope.now_ms()
                )
        except MoreAccountsToLock as more:
            locked |= more.accounts
        except _NothingKept as nothing:
            return nothing.answer
        else:
            return answer


def _amended(
    scope: RequestScope,
    tx: Transaction,
    address: OrderAddress,
    amendment: AmendmentBody,
    *,
    caller: Caller,
    accepted_language: str | None,
    locked: frozenset[str],
) -> AmendedAnswer:
    decision = newest_decision(tx, address, caller)
    reservation = reservation_of(tx, decision.customer_id, decision.order_id)
    is_due(OrderStep.AMENDED, reservation, address, scope.now_ms())
    order = standing_row(tx, ORDERS, decision.order_id)
    if order is None or reservation is None:
        raise UnknownOrder(f"order {decision.order_id} is not in the ledger")
    events = events_of_order(tx, decision.customer_id, decision.order_id)
    now_cents = ordered_cents(order, events)
    new_cents = amendment.new_amount_cents or now_cents
    is_moved = amendment.delivery is not None and amendment.delivery != _delivery(order, events)
    if not is_moved:
        amendment = AmendmentBody(new_amount_cents=new_cents, delivery=None, language=amendment.language)
    event = {
        # As many amendments as an order has, so many rows: each stands by itself.
        "event_id": f"amended-{decision.decision_id}-{len(events)}-{scope.now_ms()}",
        "order_id": decision.order_id,
        "customer_id": decision.customer_id,
        **amendment.columns(amount_cents=new_cents),
    }
    answer: DecisionAnswer | None = None
    if new_cents > now_cents or is_moved:
        answer = _judged(
            scope,
            tx,
            order,
            events,
            event,
            amendment,
            reservation,
            caller=caller,
            accepted_language=accepted_language,
            locked=locked,
        )
    elif new_cents < now_cents:
        _append(scope, tx, event, _moment(order, events, scope.now_ms()))
    shown = _shown(scope, tx, address, order, answer, caller)
    if answer is not None and answer.decision_id is None:
        raise _NothingKept(shown)
    return shown


def _delivery(order: Row, events: Sequence[Row]) -> dict[str, str]:
    """Where the order goes as far as is known, by the names of ADDRESS_FIELDS.

    What an event leaves out stays as it was before that.
    """
    delivery = {name: order.get(f"delivery_{name}") for name in ADDRESS_FIELDS}
    for event in sorted(since_decided(order, events), key=lambda event: rank_of(ORDER_EVENTS, event)):
        told = {name: event.get(f"new_delivery_{name}") for name in ADDRESS_FIELDS}
        if told["street"] is not None:
            # A house number belongs to its street.
            delivery["house_number"] = None
        delivery |= {name: text for name, text in told.items() if text is not None}
    return {name: text for name, text in delivery.items() if text is not None}


def _judged(
    scope: RequestScope,
    tx: Transaction,
    order: Row,
    events: Sequence[Row],
    event: Row,
    amendment: AmendmentBody,
    reservation: Reservation,
    *,
    caller: Caller,
    accepted_language: str | None,
    locked: frozenset[str],
) -> DecisionAnswer:
    """Judge the order as it would be; the ledger takes the amendment where that is approved.

    The decision is kept with it, and kept too where it is declined.
    """
    delivery = amendment.delivery or _delivery(order, events)
    row = {name: value for name, value in order.items() if name not in _ENVELOPE}
    row = {name: value for name, value in row.items() if name not in _DELIVERY_COLUMNS}
    row |= {f"delivery_{name}": text for name, text in delivery.items()}
    count_question_of(scope, tx, QuestionKind.ORDER, row, caller)
    supposed = [*events, {**event, "occurred_at": _moment(order, events, scope.now_ms())}]
    of_new = amended_order(order, supposed)
    row |= {name: of_new[name] for name in ("amount_cents", "vat_cents")}
    # Beside what it would hold, the order's invoices are outstanding already.
    invoiced_cents = row["amount_cents"] - rest_to_invoice(tx, order, supposed)
    model = scope.model
    read = read_for_decision(
        scope,
        tx,
        row,
        model,
        caller=caller,
        locked=locked,
        invoiced_of_order_cents=invoiced_cents,
    )
    judgement = judged(scope, read.inputs, model, read.as_of_ms)
    outcome = judgement.decision.outcome
    language = language_of_texts(
        OrderBody(row=row, language=amendment.language), accepted_language, read.rows
    )
    decision_id = None if outcome is Outcome.UNAVAILABLE else new_decision_id(read.as_of_ms)
    answer = answer_to_checkout(
        judgement.decision,
        decision_id=decision_id,
        order_id=row["order_id"],
        merchant_order_number=row.get("merchant_order_number"),
        model=model_identity(model),
        as_of_ms=read.as_of_ms,
        reserved_until_ms=reservation.expires_at_ms,
        language=language,
    )
    if decision_id is None:
        return answer
    keep_decision(
        scope,
        tx,
        row,
        read,
        judgement,
        model,
        answer,
        decision_id=decision_id,
        language=language,
        amendment={"reserved_until_ms": reservation.expires_at_ms, "invoiced_cents": invoiced_cents},
    )
    if outcome is Outcome.APPROVED:
        event_of_decision = {**event, "event_id": f"amended-{decision_id}"}
        _append(scope, tx, event_of_decision, _moment(order, events, read.as_of_ms))
    return answer


_DELIVERY_COLUMNS = frozenset(f"delivery_{name}" for name in ADDRESS_FIELDS)


def _moment(order: Row, events: Sequence[Row], now_ms: int) -> int:
    """When an amendment happens that comes now: after the order and its amendments.

    These may run a little ahead of the clock, and what happened last stands.
    """
    amended_at_ms = [one.at_ms[0] for one in amendments_of(order, events)]
    ordered_at_ms: int = order["occurred_at"]
    return max([now_ms, ordered_at_ms, *amended_at_ms])


def _append(scope: RequestScope, tx: Transaction, event: Row, at_ms: int) -> None:
    """Keep an amendment. Raises OrderBelowInvoiced where more is invoiced, credit notes taken off."""
    result = append(
        tx,
        ORDER_EVENTS,
        {**event, "occurred_at": at_ms},
        # Recorded at a moment that another clock had ahead, it would take the customer's own clock along.
        scope.now_ms(),
        clock_tolerance_ms=scope.policy.clock_tolerance_ms,
    )
    if result.status is not AppendStatus.ACCEPTED:
        raise OrderBelowInvoiced(f"the order cannot come to {event['new_amount_cents']}: {result.message}")


def _shown(
    scope: RequestScope,
    tx: Transaction,
    address: OrderAddress,
    order: Row,
    answer: DecisionAnswer | None,
    caller: Caller,
) -> AmendedAnswer:
    """The order as it is now, as far as the caller may see it."""
    decision: LoggedDecision = newest_decision(tx, address, caller)
    state = order_state(tx, decision, caller, scope.now_ms())
    events = events_of_order(tx, decision.customer_id, decision.order_id)
    amended = {
        **msgspec.structs.asdict(state),
        "ordered_cents": ordered_cents(order, events),
        "judgement": None if answer is None else seen_by(caller, answer),
    }
    if caller.role is Role.MERCHANT:
        return MerchantAmendedOrderState(**amended)
    return AmendedOrderState(**amended)
