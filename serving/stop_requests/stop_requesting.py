"""Use cases of stop requests: the merchant is asked to stop an order, and told when that changes.

What a merchant sees is about the order: no reason for the suspicion, and nothing about a person. Every
step holds the lock of its case, as the steps of the fraud team do.
"""

import secrets

import msgspec

from serving.domain.answer_consequences import consequences
from serving.domain.review_case import CaseOrigin, Verdict
from serving.domain.stop_request import (
    StopAction,
    StopRequest,
    StopRequestNotWithdrawable,
    StopRequestState,
    expire,
    record_delivery,
)
from serving.domain.stop_request import withdraw as withdraw_request
from serving.requests.answer_fields import Instant, instant_or_none
from serving.requests.case_scope import CaseScope
from serving.stop_requests.form_link import link
from serving.stop_requests.locked_stop_request import (
    UnknownStopRequest,
    changing,
    keep_stop_request,
    known_stop_request,
    lock_case,
    note_in_history,
    standing_request,
)
from serving.stop_requests.merchant_notices import (
    CREATED,
    EXPIRED,
    INFORMATION_REQUESTED,
    WITHDRAWN,
    tell_merchant,
)
from serving.stop_requests.stop_request_answers import (
    DeliveryAnswer,
    DeliveryAttemptAnswer,
    Recall,
    StopAnswerGiven,
    StopConsequence,
    StopRequestAnswer,
    TeamStopRequest,
)
from serving.store.case_queue import SYSTEM, case_of, known_case
from serving.store.deliveries import Delivery, attempts_of, deliveries_of, drop_waiting
from serving.store.merchant_orders import number_of_order
from serving.store.outbox import (
    REQUEST_STOP,
    VERDICT,
    WaitingMessage,
    ask_for_case_check,
    ask_for_stop_request,
    take_message,
    waiting_messages,
    watch_invoice,
    work_off_each,
)
from serving.store.stop_requests import (
    RecallTask,
    StoredStopRequest,
    due_for_expiry,
    insert_stop_request,
    recall_task_of,
    stop_requests_of_case,
)
from serving.store.store import Transaction
from serving.webhooks.delivery import DeliveryKind

EXPIRIES_PER_READ = 100


def request_stop(tx: Transaction, scope: CaseScope, case_id: str) -> StopRequest | None:
    """Ask the merchant to stop the order of a case whose stop has taken effect, and leave the notice of it.

    None where there is nothing to ask: no stop in effect, a request that stands already, or an order that
    was refused.
    """
    lock_case(tx, case_id)
    known = case_of(tx, case_id)
    now_ms = scope.now_ms()
    if known is None or known.case.verdict is not Verdict.STOP or not known.case.is_stop_in_effect(now_ms):
        return None
    case = known.case
    if case.origin is CaseOrigin.REVIEW_REQUESTED or standing_request(tx, case_id) is not None:
        return None
    request = StopRequest(
        stop_request_id=f"stp_{secrets.token_hex(10)}",
        order_id=case.order_id,
        merchant_id=case.merchant_id,
        state=StopRequestState.REQUESTED,
        requested_at_ms=now_ms,
        first_delivered_at_ms=None,
        answer_due_at_ms=None,
        answers=(),
        merchant_order_number=number_of_order(tx, case.order_id),
    )
    stored = StoredStopRequest(request=request, case_id=case_id, version=1)
    for earlier in stop_requests_of_case(tx, case_id):
        # A withdrawal that still waits would tell the merchant to go on after it is asked to stop.
        drop_waiting(tx, earlier.request.stop_request_id)
    insert_stop_request(tx, stored)
    note_in_history(tx, stored, now_ms, SYSTEM, StopAction.REQUESTED, {})
    _leave_notice(tx, scope, stored, CREATED)
    return request


def request_due(scope: CaseScope, limit: int = 100) -> int:
    """Ask for every stop that cannot be undone any more; returns how many messages were worked off.

    Raises StoreUnavailable.
    """
    with scope.store.reading() as tx:
        messages = waiting_messages(tx, (REQUEST_STOP,), limit, due_at_ms=scope.now_ms())

    def ask(message: WaitingMessage) -> None:
        case_id = message.payload["case_id"]
        with scope.store.writing(f"case-{case_id}") as tx:
            if take_message(tx, message):
                request_stop(tx, scope, case_id)
                _check_and_watch_stopped_order(tx, scope, case_id)

    return work_off_each(scope.store, messages, ask, scope.now_ms())


def _check_and_watch_stopped_order(tx: Transaction, scope: CaseScope, case_id: str) -> None:
    """What a stop that has taken effect sets going besides the request, also where one stands already."""
    known = case_of(tx, case_id)
    if known is None or known.case.verdict is not Verdict.STOP:
        return
    now_ms = scope.now_ms()
    if known.case.is_stop_in_effect(now_ms):
        ask_for_case_check(tx, known.case.order_id, VERDICT, now_ms)
        watch_invoice(tx, known.case.order_id, now_ms)
    elif known.case.stop_takes_effect_at_ms is not None:
        # Stopped anew meanwhile, or the clock went back: this stop is still held.
        ask_for_stop_request(tx, case_id, due_at_ms=known.case.stop_takes_effect_at_ms)


def view(
    scope: CaseScope, stop_request_id: str, *, merchant_id: str | None
) -> StopRequestAnswer | TeamStopRequest:
    """A stop request, its answers and what followed.

    merchant_id: None for the fraud team, which also sees the case.
    Raises UnknownStopRequest, also for another merchant's request.
    """
    with scope.store.reading() as tx:
        stored = known_stop_request(tx, stop_request_id, merchant_id)
        return (team_view if merchant_id is None else merchant_view)(tx, scope, stored)


def requests_of_case(tx: Transaction, scope: CaseScope, case_id: str) -> tuple[TeamStopRequest, ...]:
    """Every stop request of a case as the fraud team sees it, the earliest first."""
    return tuple(team_view(tx, scope, stored) for stored in stop_requests_of_case(tx, case_id))


def reached(tx: Transaction, scope: CaseScope, stop_request_id: str, at_ms: int) -> None:
    """Note that a request reached its merchant; the first time starts the clock.

    Raises UnknownStopRequest, StopRequestMoved.
    """
    lock_case(tx, known_stop_request(tx, stop_request_id, None).case_id)
    stored = known_stop_request(tx, stop_request_id, None)
    keep_stop_request(tx, stored, record_delivery(stored.request, at_ms, scope.policy.stop_requests))


def expire_due(scope: CaseScope) -> int:
    """Expire every request that was not answered in time; returns how many."""
    expired = 0
    while True:
        with scope.store.reading() as tx:
            due = due_for_expiry(tx, scope.now_ms(), EXPIRIES_PER_READ)
        done = sum(_expire(scope, stored.request.stop_request_id) for stored in due)
        expired += done
        if not done:
            return expired


def withdraw(tx: Transaction, scope: CaseScope, case_id: str) -> StopRequest | None:
    """Withdraw the request about the order of a case, and tell the merchant that it may be fulfilled.

    None where there is nothing to withdraw: nothing was asked, or the merchant has answered and acted on it.
    """
    lock_case(tx, case_id)
    stored = standing_request(tx, case_id)
    if stored is None:
        return None
    try:
        after = keep_stop_request(tx, stored, withdraw_request(stored.request))
    except StopRequestNotWithdrawable:
        return None
    # What still waits would ask the merchant to stop after it was told to go on.
    drop_waiting(tx, stored.request.stop_request_id)
    note_in_history(tx, after, scope.now_ms(), SYSTEM, StopAction.WITHDRAWN, {})
    _leave_notice(tx, scope, after, WITHDRAWN)
    return after.request


def ask_question(tx: Transaction, scope: CaseScope, case_id: str, question: str, number: int) -> None:
    """Leave a notice with a question about the order of a case; it is answered by the form, as a note.

    number: which question of the investigation it is. Asked again with the number of a notice that is there,
        nothing is sent; the next question has the next number, and is another notice.
    Raises UnknownStopRequest where the merchant was not asked to stop the order: there is then no form to
    answer by.
    """
    stored = standing_request(tx, case_id)
    if stored is None:
        raise UnknownStopRequest(f"no stop request stands about the order of case {case_id}")
    _leave_notice(tx, scope, stored, INFORMATION_REQUESTED, question=question, number=number)


def _leave_notice(
    tx: Transaction,
    scope: CaseScope,
    stored: StoredStopRequest,
    event_type: str,
    *,
    question: str | None = None,
    number: int = 1,
) -> None:
    tell_merchant(
        tx,
        scope.policy,
        stored.request,
        event_type,
        stakes=known_case(tx, stored.case_id).stakes,
        link=link(tx, scope, stored.request.stop_request_id),
        now_ms=scope.now_ms(),
        question=question,
        number=number,
    )


def consequence_codes(scope: CaseScope, request: StopRequest) -> list[str]:
    """The codes of what follows from a request as it is, under the policy in force."""
    return [follows.code.value for follows in consequences(request, scope.policy.stop_requests)]


def _expire(scope: CaseScope, stop_request_id: str) -> bool:
    with changing(scope, stop_request_id, None) as (tx, stored):
        now_ms = scope.now_ms()
        after = expire(stored.request, now_ms)
        if after is stored.request:
            return False
        kept = keep_stop_request(tx, stored, after)
        note_in_history(
            tx, stored, now_ms, SYSTEM, StopAction.EXPIRED, {"consequences": consequence_codes(scope, after)}
        )
        _leave_notice(tx, scope, kept, EXPIRED)
        ask_for_case_check(tx, kept.request.order_id, StopAction.EXPIRED.value, now_ms)
    return True


def merchant_view(tx: Transaction, scope: CaseScope, stored: StoredStopRequest) -> StopRequestAnswer:
    """A stop request as its merchant sees it."""
    request = stored.request
    task = recall_task_of(tx, request.stop_request_id)
    return StopRequestAnswer(
        stop_request_id=request.stop_request_id,
        order_id=request.order_id,
        merchant_order_number=request.merchant_order_number,
        state=request.state,
        requested_at=Instant(request.requested_at_ms),
        answer_due_at=instant_or_none(request.answer_due_at_ms),
        answers=tuple(
            StopAnswerGiven(
                kind=given.kind,
                carrier=given.carrier,
                tracking_number=given.tracking_number,
                note=given.note,
                answered_at=Instant(given.answered_at_ms),
                late=request.is_late(given),
            )
            for given in request.answers
        ),
        consequences=tuple(
            StopConsequence(code=follows.code, text=follows.sentence)
            for follows in consequences(request, scope.policy.stop_requests)
        ),
        recall=None if task is None else recall_answer(task),
    )


def team_view(tx: Transaction, scope: CaseScope, stored: StoredStopRequest) -> TeamStopRequest:
    """A stop request as the fraud team sees it: with the case, and how the merchant was told."""
    request = stored.request
    return TeamStopRequest(
        **msgspec.structs.asdict(merchant_view(tx, scope, stored)),
        case_id=stored.case_id,
        merchant_id=request.merchant_id,
        first_delivered_at=instant_or_none(request.first_delivered_at_ms),
        deliveries=tuple(
            delivery_answer(tx, delivery) for delivery in deliveries_of(tx, request.stop_request_id)
        ),
    )


def delivery_answer(tx: Transaction, delivery: Delivery) -> DeliveryAnswer:
    """One notice to a merchant and each attempt to deliver it."""
    return DeliveryAnswer(
        delivery_id=delivery.delivery_id,
        event_type=delivery.event_type,
        channel=delivery.channel,
        is_copy_to_contact_before=delivery.sent_to is not None,
        state=delivery.state,
        next_attempt_at=instant_or_none(delivery.next_attempt_at_ms),
        attempts=tuple(
            DeliveryAttemptAnswer(
                at=Instant(attempt.at_ms),
                outcome=DeliveryKind(attempt.outcome),
                status=attempt.status,
                detail=attempt.detail,
            )
            for attempt in attempts_of(tx, delivery.delivery_id)
        ),
    )


def recall_answer(task: RecallTask) -> Recall:
    """One parcel to recall, or recalled."""
    return Recall(
        carrier=task.carrier,
        tracking_number=task.tracking_number,
        opened_at=Instant(task.created_at_ms),
        result=task.result,
        done_at=instant_or_none(task.done_at_ms),
    )
