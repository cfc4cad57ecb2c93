"""Use cases of stop requests: the merchant is asked, answers through a form, and something follows.

What a merchant sees is about the order: no reason for the suspicion, and nothing about a person. Every
step holds the lock of its case, as the steps of the fraud team do.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec

from data_contracts.instants import DAY_MS, rfc3339
from serving.domain.answer_consequences import ConsequenceCode, consequences
from serving.domain.errors import RiskError
from serving.domain.merchant_answer import (
    GOODS_ANSWERS,
    SERVICE_ANSWERS,
    AnswerInvalid,
    AnswerKind,
    FieldMistake,
    MerchantAnswer,
    MistakeCode,
    parse_answer,
)
from serving.domain.review_case import CaseOrigin, Verdict
from serving.domain.stop_request import (
    AnswerEffect,
    RecallResult,
    StopAction,
    StopRequest,
    StopRequestNotWithdrawable,
    StopRequestState,
    expire,
    record_delivery,
    take_answer,
)
from serving.domain.stop_request import withdraw as withdraw_request
from serving.requests.case_scope import CaseScope
from serving.stop_requests.merchant_notices import (
    CREATED,
    EXPIRED,
    INFORMATION_REQUESTED,
    WITHDRAWN,
    fallback_email,
    tell_merchant,
    words_for,
)
from serving.store.case_queue import SYSTEM, append_history, case_of, history_of, known_case
from serving.store.deliveries import (
    DROPPED,
    Delivery,
    attempts_of,
    deliveries_of,
    delivery_of,
    drop_waiting,
    resend,
)
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
    StopRequestMovedError,
    StoredStopRequest,
    due_for_expiry,
    finish_recall_task,
    insert_stop_request,
    known_signing_key,
    open_recall_task,
    open_recall_tasks,
    recall_task_of,
    signing_key,
    stop_request_of,
    stop_requests_of_case,
    update,
)
from serving.store.store import Transaction
from serving.webhooks.mailbox import EmailMessageText

MERCHANT = "merchant"
LINK_KEY = "stop_request_link"
EXPIRIES_PER_READ = 100

_TOKEN = re.compile(r"([A-Za-z0-9_-]{1,200})\.([A-Za-z0-9_-]{43})")


class UnknownStopRequest(RiskError):
    """There is no such stop request, or it is about another merchant's order."""


class AnswerContradicts(RiskError):
    """The answer takes back an earlier one; the fraud team was told, and has to be talked to."""


class StopRequestMoved(RiskError):
    """Somebody else changed the stop request at the same moment; look again."""


class RecallStepInvalid(RiskError):
    """There is nothing to recall, the result is none, or the recall was finished with another one."""


class UnknownDelivery(RiskError):
    """There is no such notice to a merchant."""


class NoticeOvertaken(RiskError):
    """The notice would tell the merchant what is not so any more."""


class LinkInvalid(RiskError):
    """The link to the form was not made by us, or was altered."""


class LinkExpired(RiskError):
    """The link to the form is too old; the merchant needs a new one."""


def request_stop(tx: Transaction, scope: CaseScope, case_id: str) -> StopRequest | None:
    """Ask the merchant to stop the order of a case whose stop has taken effect, and leave the notice of it.

    None where there is nothing to ask: no stop in effect, a request that stands already, or an order that
    was refused.
    """
    _lock(tx, case_id)
    known = case_of(tx, case_id)
    now_ms = scope.now_ms()
    if known is None or known.case.verdict is not Verdict.STOP or not known.case.is_stop_in_effect(now_ms):
        return None
    case = known.case
    if case.origin is CaseOrigin.REVIEW_REQUESTED or _standing(tx, case_id) is not None:
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
    _note(tx, stored, now_ms, SYSTEM, StopAction.REQUESTED, {})
    _tell(tx, scope, stored, CREATED)
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
                _carry_out(tx, scope, case_id)

    return work_off_each(scope.store, messages, ask, scope.now_ms())


def _carry_out(tx: Transaction, scope: CaseScope, case_id: str) -> None:
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


def answer(
    scope: CaseScope,
    stop_request_id: str,
    *,
    merchant_id: str,
    kind: str | None,
    carrier: str | None,
    tracking_number: str | None,
    note: str | None,
) -> dict[str, Any]:
    """Take a merchant's answer, with all that follows from it, and return the request after it.

    The same answer again changes nothing. One that takes back an earlier one is refused, and noted for
    the fraud team.

    Raises UnknownStopRequest, AnswerInvalid, AnswerContradicts, StopRequestWithdrawn, StopRequestMoved.
    """
    with _changing(scope, stop_request_id, merchant_id) as (tx, stored):
        now_ms = scope.now_ms()
        given = parse_answer(
            kind=kind, carrier=carrier, tracking_number=tracking_number, note=note, answered_at_ms=now_ms
        )
        _require_fit(tx, stored, given)
        after, effect = take_answer(stored.request, given, scope.policy.stop_requests)
        if effect is AnswerEffect.CONTRADICTED:
            _note_once(tx, stored, now_ms, _answer_detail(given))
        elif effect is AnswerEffect.NEW:
            _follow_up(tx, scope, _keep(tx, stored, after), given)
        document = _document(tx, scope, _known(tx, stop_request_id, merchant_id))
    # Raised after the commit, or the note for the team would be lost with the answer.
    if effect is AnswerEffect.CONTRADICTED:
        raise AnswerContradicts(
            f"the answer {given.kind.value} contradicts an earlier one to stop request {stop_request_id};"
            " get in touch with the fraud team"
        )
    return document


def _require_fit(tx: Transaction, stored: StoredStopRequest, given: MerchantAnswer) -> None:
    """Raises AnswerInvalid for an answer about a service to an order of goods, or the other way round."""
    is_service = known_case(tx, stored.case_id).stakes.is_service
    if given.kind in (GOODS_ANSWERS if is_service else SERVICE_ANSWERS):
        rule = f"must be an answer about {'a service' if is_service else 'goods'}"
        raise AnswerInvalid((FieldMistake(field="kind", code=MistakeCode.ANSWER_REQUIRED, rule=rule),))


def view(scope: CaseScope, stop_request_id: str, *, merchant_id: str | None) -> dict[str, Any]:
    """A stop request, its answers and what followed.

    merchant_id: None for the fraud team, which also sees the case.
    Raises UnknownStopRequest, also for another merchant's request.
    """
    with scope.store.reading() as tx:
        stored = _known(tx, stop_request_id, merchant_id)
        document = _document(tx, scope, stored)
        if merchant_id is None:
            document = {**document, **_team_document(tx, stored)}
    return document


def requests_of_case(tx: Transaction, scope: CaseScope, case_id: str) -> list[dict[str, Any]]:
    """Every stop request of a case as the fraud team sees it, the earliest first."""
    return [
        {**_document(tx, scope, stored), **_team_document(tx, stored)}
        for stored in stop_requests_of_case(tx, case_id)
    ]


def reached(tx: Transaction, scope: CaseScope, stop_request_id: str, at_ms: int) -> None:
    """Note that a request reached its merchant; the first time starts the clock.

    Raises UnknownStopRequest, StopRequestMoved.
    """
    _lock(tx, _known(tx, stop_request_id, None).case_id)
    stored = _known(tx, stop_request_id, None)
    _keep(tx, stored, record_delivery(stored.request, at_ms, scope.policy.stop_requests))


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


def finish_recall(scope: CaseScope, stop_request_id: str, result: str, by: str) -> dict[str, Any]:
    """Note what came of recalling a parcel, `recalled` or `failed`; the same again changes nothing.

    Raises UnknownStopRequest, RecallStepInvalid.
    """
    outcome = next((known for known in RecallResult if known.value == result), None)
    if outcome is None:
        allowed = ", ".join(known.value for known in RecallResult)
        raise RecallStepInvalid(f"result: must be one of {allowed}")
    with _changing(scope, stop_request_id, None) as (tx, stored):
        task = recall_task_of(tx, stop_request_id)
        if task is None:
            raise RecallStepInvalid(f"stop request {stop_request_id} has no parcel that we recall")
        if task.result not in {None, outcome}:
            raise RecallStepInvalid(
                f"the recall of {stop_request_id} was finished before, with another result"
            )
        _finish_recall(tx, scope, stored, outcome, by)
        return {**_document(tx, scope, stored), "case_id": stored.case_id}


def open_recalls(scope: CaseScope, limit: int) -> list[dict[str, Any]]:
    """The parcels to recall that nobody has finished, the oldest first."""
    with scope.store.reading() as tx:
        return [
            {"stop_request_id": task.stop_request_id, **_recall_document(task)}
            for task in open_recall_tasks(tx, limit)
        ]


def send_again(scope: CaseScope, delivery_id: str, by: str) -> dict[str, Any]:
    """By hand: send a notice again that is no longer tried; one that still waits goes at its time.

    Raises UnknownDelivery, and NoticeOvertaken for one that is not true any more.
    """
    with scope.store.reading() as tx:
        known = delivery_of(tx, delivery_id)
        stored = None if known is None else _request_behind(tx, known)
    if known is None or stored is None:
        raise UnknownDelivery(f"there is no delivery {delivery_id}")
    with scope.store.writing(f"case-{stored.case_id}") as tx:
        now_ms = scope.now_ms()
        if is_overtaken(tx, delivery_of(tx, delivery_id) or known):
            raise NoticeOvertaken(f"{delivery_id} says what is not so any more, and is not sent again")
        if resend(tx, delivery_id, now_ms):
            _note(tx, stored, now_ms, by, StopAction.SENT_AGAIN, {"delivery_id": delivery_id})
        delivery = delivery_of(tx, delivery_id) or known
        return _delivery_document(tx, delivery)


def is_overtaken(tx: Transaction, delivery: Delivery) -> bool:
    """Whether a notice would tell the merchant what is not so any more."""
    stored = _request_behind(tx, delivery)
    if stored is None or delivery.state == DROPPED:
        return True
    state = stored.request.state
    match delivery.event_type:
        case event if event == CREATED:
            return state not in {StopRequestState.REQUESTED, StopRequestState.EXPIRED}
        case event if event == EXPIRED:
            return state is not StopRequestState.EXPIRED
        case event if event == WITHDRAWN:
            return _standing(tx, stored.case_id) is not None
        case _:
            return False


def withdraw(tx: Transaction, scope: CaseScope, case_id: str) -> StopRequest | None:
    """Withdraw the request about the order of a case, and tell the merchant that it may be fulfilled.

    None where there is nothing to withdraw: nothing was asked, or the merchant has answered and acted on it.
    """
    _lock(tx, case_id)
    stored = _standing(tx, case_id)
    if stored is None:
        return None
    try:
        after = _keep(tx, stored, withdraw_request(stored.request))
    except StopRequestNotWithdrawable:
        return None
    # What still waits would ask the merchant to stop after it was told to go on.
    drop_waiting(tx, stored.request.stop_request_id)
    _note(tx, after, scope.now_ms(), SYSTEM, StopAction.WITHDRAWN, {})
    _tell(tx, scope, after, WITHDRAWN)
    return after.request


def ask_question(tx: Transaction, scope: CaseScope, case_id: str, question: str, number: int) -> None:
    """Leave a notice with a question about the order of a case; it is answered by the form, as a note.

    number: of the question, so that each is sent once. Raises UnknownStopRequest where the merchant was
    not asked to stop the order: there is then no form to answer by.
    """
    stored = _standing(tx, case_id)
    if stored is None:
        raise UnknownStopRequest(f"no stop request stands about the order of case {case_id}")
    tell_merchant(
        tx,
        scope.policy,
        stored.request,
        INFORMATION_REQUESTED,
        stakes=known_case(tx, stored.case_id).stakes,
        link=link(tx, scope, stored.request.stop_request_id),
        now_ms=scope.now_ms(),
        question=question,
        number=number,
    )


def fallback_text(tx: Transaction, scope: CaseScope, webhook: Delivery) -> EmailMessageText | None:
    """What to write in place of a webhook that was not taken; None once it says nothing that counts."""
    stored = _request_behind(tx, webhook)
    if stored is None or is_overtaken(tx, webhook):
        return None
    return fallback_email(
        scope.policy,
        stored.request,
        webhook.body,
        stakes=known_case(tx, stored.case_id).stakes,
        words=words_for(tx, scope.policy, stored.request.merchant_id),
        now_ms=scope.now_ms(),
    )


def link_token(tx: Transaction, scope: CaseScope, stop_request_id: str) -> str:
    """A token for a link to the form: signed, url-safe, good for the policy's `link_days`.

    tx: a writing transaction, since the first token makes the key.
    """
    now_ms = scope.now_ms()
    payload = _base64(f"{stop_request_id}.{now_ms + scope.policy.stop_requests.link_days * DAY_MS}".encode())
    return f"{payload}.{_signature(signing_key(tx, LINK_KEY, now_ms), payload)}"


def read_token(scope: CaseScope, token: str) -> str:
    """The id of the stop request that a link is about. Raises LinkInvalid, LinkExpired."""
    with scope.store.reading() as tx:
        key = known_signing_key(tx, LINK_KEY)
    parts = _TOKEN.fullmatch(token)
    if key is None or parts is None or not hmac.compare_digest(parts[2], _signature(key, parts[1])):
        raise LinkInvalid("this link is not one of ours")
    payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)).decode()
    stop_request_id, _, expires_at_ms = payload.rpartition(".")
    if scope.now_ms() >= int(expires_at_ms):
        raise LinkExpired("this link has expired")
    return stop_request_id


def link(tx: Transaction, scope: CaseScope, stop_request_id: str) -> str:
    """The address of the merchant's form for one stop request. tx: a writing transaction."""
    return f"{scope.public_url}/stop/{link_token(tx, scope, stop_request_id)}"


def _tell(tx: Transaction, scope: CaseScope, stored: StoredStopRequest, event_type: str) -> None:
    tell_merchant(
        tx,
        scope.policy,
        stored.request,
        event_type,
        stakes=known_case(tx, stored.case_id).stakes,
        link=link(tx, scope, stored.request.stop_request_id),
        now_ms=scope.now_ms(),
    )


def _request_behind(tx: Transaction, delivery: Delivery) -> StoredStopRequest | None:
    return None if delivery.stop_request_id is None else stop_request_of(tx, delivery.stop_request_id)


def _standing(tx: Transaction, case_id: str) -> StoredStopRequest | None:
    """The one request about the order of a case that was not withdrawn."""
    asked = stop_requests_of_case(tx, case_id)
    return next((stored for stored in asked if stored.request.state is not StopRequestState.WITHDRAWN), None)


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _signature(key: bytes, payload: str) -> str:
    return _base64(hmac.new(key, payload.encode(), hashlib.sha256).digest())


def _lock(tx: Transaction, case_id: str) -> None:
    tx.lock(f"case-{case_id}")


@contextmanager
def _changing(
    scope: CaseScope, stop_request_id: str, merchant_id: str | None
) -> Iterator[tuple[Transaction, StoredStopRequest]]:
    """A transaction that holds the lock of the request's case, and the request as it then is."""
    with scope.store.reading() as tx:
        case_id = _known(tx, stop_request_id, merchant_id).case_id
    with scope.store.writing(f"case-{case_id}") as tx:
        yield tx, _known(tx, stop_request_id, merchant_id)


def _known(tx: Transaction, stop_request_id: str, merchant_id: str | None) -> StoredStopRequest:
    stored = stop_request_of(tx, stop_request_id)
    if stored is None or merchant_id not in {None, stored.request.merchant_id}:
        raise UnknownStopRequest(f"there is no stop request {stop_request_id}")
    return stored


def _keep(tx: Transaction, before: StoredStopRequest, after: StopRequest) -> StoredStopRequest:
    if after is before.request:
        return before
    kept = replace(before, request=after, version=before.version + 1)
    try:
        update(tx, kept, version_before=before.version)
    except StopRequestMovedError as problem:
        raise StopRequestMoved(str(problem)) from problem
    return kept


def _note(
    tx: Transaction,
    stored: StoredStopRequest,
    at_ms: int,
    actor: str,
    action: StopAction,
    detail: dict[str, Any],
) -> None:
    detail = {"stop_request_id": stored.request.stop_request_id, **detail}
    append_history(tx, stored.case_id, at_ms=at_ms, actor=actor, action=action, detail=detail)


def _note_once(tx: Transaction, stored: StoredStopRequest, at_ms: int, detail: dict[str, Any]) -> None:
    """Note a contradiction; one that a merchant's system sends again and again is noted the first time."""
    noted = {"stop_request_id": stored.request.stop_request_id, **detail}
    history = history_of(tx, stored.case_id)
    if not any(entry.action == StopAction.CONTRADICTED.value and entry.detail == noted for entry in history):
        _note(tx, stored, at_ms, MERCHANT, StopAction.CONTRADICTED, detail)


def _answer_detail(given: MerchantAnswer) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(given)
    del facts["answered_at_ms"]
    return facts


def _codes(scope: CaseScope, request: StopRequest) -> list[str]:
    return [follows.code.value for follows in consequences(request, scope.policy.stop_requests)]


def _follow_up(tx: Transaction, scope: CaseScope, stored: StoredStopRequest, given: MerchantAnswer) -> None:
    request, now_ms = stored.request, given.answered_at_ms
    codes = _codes(scope, request)
    drop_waiting(tx, request.stop_request_id, (CREATED, EXPIRED))
    detail = {**_answer_detail(given), "late": request.is_late(given), "consequences": codes}
    _note(tx, stored, now_ms, MERCHANT, StopAction.ANSWERED, detail)
    if ConsequenceCode.PROVIDER_RECALLS_PARCEL.value in codes:
        open_recall_task(
            tx,
            stop_request_id=request.stop_request_id,
            carrier=given.carrier or "",
            tracking_number=given.tracking_number or "",
            now_ms=now_ms,
        )
    ask_for_case_check(tx, request.order_id, given.kind.value, now_ms)
    if given.kind is AnswerKind.PARCEL_RETURNED:
        # What came back need not be recalled any more.
        _finish_recall(tx, scope, stored, RecallResult.RECALLED, MERCHANT)


def _finish_recall(
    tx: Transaction, scope: CaseScope, stored: StoredStopRequest, result: RecallResult, by: str
) -> None:
    now_ms = scope.now_ms()
    if finish_recall_task(tx, stored.request.stop_request_id, result=result, by=by, now_ms=now_ms):
        _note(tx, stored, now_ms, by, StopAction.RECALL_FINISHED, {"result": result.value})


def _expire(scope: CaseScope, stop_request_id: str) -> bool:
    with _changing(scope, stop_request_id, None) as (tx, stored):
        now_ms = scope.now_ms()
        after = expire(stored.request, now_ms)
        if after is stored.request:
            return False
        kept = _keep(tx, stored, after)
        _note(tx, stored, now_ms, SYSTEM, StopAction.EXPIRED, {"consequences": _codes(scope, after)})
        _tell(tx, scope, kept, EXPIRED)
        ask_for_case_check(tx, kept.request.order_id, StopAction.EXPIRED.value, now_ms)
    return True


def _document(tx: Transaction, scope: CaseScope, stored: StoredStopRequest) -> dict[str, Any]:
    request = stored.request
    task = recall_task_of(tx, request.stop_request_id)
    return {
        "stop_request_id": request.stop_request_id,
        "order_id": request.order_id,
        "merchant_order_number": request.merchant_order_number,
        "state": request.state.value,
        "requested_at": rfc3339(request.requested_at_ms),
        "answer_due_at": None if request.answer_due_at_ms is None else rfc3339(request.answer_due_at_ms),
        "answers": [
            {
                "kind": given.kind.value,
                "carrier": given.carrier,
                "tracking_number": given.tracking_number,
                "note": given.note,
                "answered_at": rfc3339(given.answered_at_ms),
                "late": request.is_late(given),
            }
            for given in request.answers
        ],
        "consequences": [
            {"code": follows.code.value, "text": follows.sentence}
            for follows in consequences(request, scope.policy.stop_requests)
        ],
        "recall": None if task is None else _recall_document(task),
    }


def _team_document(tx: Transaction, stored: StoredStopRequest) -> dict[str, Any]:
    """What only the fraud team sees: the case, and how the merchant was told."""
    request = stored.request
    first_ms = request.first_delivered_at_ms
    return {
        "case_id": stored.case_id,
        "merchant_id": request.merchant_id,
        "first_delivered_at": None if first_ms is None else rfc3339(first_ms),
        "deliveries": [
            _delivery_document(tx, delivery) for delivery in deliveries_of(tx, request.stop_request_id)
        ],
    }


def _delivery_document(tx: Transaction, delivery: Delivery) -> dict[str, Any]:
    next_ms = delivery.next_attempt_at_ms
    return {
        "delivery_id": delivery.delivery_id,
        "event_type": delivery.event_type,
        "channel": delivery.channel,
        "is_copy_to_contact_before": delivery.sent_to is not None,
        "state": delivery.state,
        "next_attempt_at": None if next_ms is None else rfc3339(next_ms),
        "attempts": [
            {
                "at": rfc3339(attempt.at_ms),
                "outcome": attempt.outcome,
                "status": attempt.status,
                "detail": attempt.detail,
            }
            for attempt in attempts_of(tx, delivery.delivery_id)
        ],
    }


def _recall_document(task: RecallTask) -> dict[str, Any]:
    return {
        "carrier": task.carrier,
        "tracking_number": task.tracking_number,
        "opened_at": rfc3339(task.created_at_ms),
        "result": None if task.result is None else task.result.value,
        "done_at": None if task.done_at_ms is None else rfc3339(task.done_at_ms),
    }
