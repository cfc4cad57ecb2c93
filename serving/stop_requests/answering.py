"""Use case: a merchant answers a stop request, and what follows from it is set going."""

from typing import Any

import msgspec

from serving.domain.answer_consequences import ConsequenceCode
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
from serving.domain.stop_request import AnswerEffect, RecallResult, StopAction, take_answer
from serving.requests.case_scope import CaseScope
from serving.stop_requests.locked_stop_request import (
    changing,
    keep_stop_request,
    known_stop_request,
    note_in_history,
)
from serving.stop_requests.merchant_notices import CREATED, EXPIRED
from serving.stop_requests.recalls import end_recall
from serving.stop_requests.stop_request_answers import StopRequestAnswer
from serving.stop_requests.stop_requesting import consequence_codes, merchant_view
from serving.store.case_queue import history_of, known_case
from serving.store.deliveries import drop_waiting
from serving.store.outbox import ask_for_case_check
from serving.store.stop_requests import StoredStopRequest, open_recall_task
from serving.store.store import Transaction

MERCHANT = "merchant"


class AnswerContradicts(RiskError):
    """The answer takes back an earlier one; the fraud team was told, and has to be talked to."""


def answer(
    scope: CaseScope,
    stop_request_id: str,
    *,
    merchant_id: str,
    kind: str | None,
    carrier: str | None,
    tracking_number: str | None,
    note: str | None,
) -> StopRequestAnswer:
    """Take a merchant's answer, with all that follows from it, and return the request after it.

    The same answer again changes nothing. One that takes back an earlier one is refused, and noted for
    the fraud team.

    Raises UnknownStopRequest, AnswerInvalid, AnswerContradicts, StopRequestWithdrawn, StopRequestMoved.
    """
    with changing(scope, stop_request_id, merchant_id) as (tx, stored):
        now_ms = scope.now_ms()
        given = parse_answer(
            kind=kind, carrier=carrier, tracking_number=tracking_number, note=note, answered_at_ms=now_ms
        )
        _require_fit(tx, stored, given)
        after, effect = take_answer(stored.request, given, scope.policy.stop_requests)
        if effect is AnswerEffect.CONTRADICTED:
            _note_once(tx, stored, now_ms, _answer_detail(given))
        elif effect is AnswerEffect.NEW:
            _follow_up(tx, scope, keep_stop_request(tx, stored, after), given)
        answered = merchant_view(tx, scope, known_stop_request(tx, stop_request_id, merchant_id))
    # Raised after the commit, or the note for the team would be lost with the answer.
    if effect is AnswerEffect.CONTRADICTED:
        raise AnswerContradicts(
            f"the answer {given.kind.value} contradicts an earlier one to stop request {stop_request_id};"
            " get in touch with the fraud team"
        )
    return answered


def _require_fit(tx: Transaction, stored: StoredStopRequest, given: MerchantAnswer) -> None:
    """Raises AnswerInvalid for an answer about a service to an order of goods, or the other way round."""
    is_service = known_case(tx, stored.case_id).stakes.is_service
    if given.kind in (GOODS_ANSWERS if is_service else SERVICE_ANSWERS):
        rule = f"must be an answer about {'a service' if is_service else 'goods'}"
        raise AnswerInvalid((FieldMistake(field="kind", code=MistakeCode.ANSWER_REQUIRED, rule=rule),))


def _note_once(tx: Transaction, stored: StoredStopRequest, at_ms: int, detail: dict[str, Any]) -> None:
    """Note a contradiction; one that a merchant's system sends again and again is noted the first time."""
    noted = {"stop_request_id": stored.request.stop_request_id, **detail}
    history = history_of(tx, stored.case_id)
    if not any(entry.action == StopAction.CONTRADICTED.value and entry.detail == noted for entry in history):
        note_in_history(tx, stored, at_ms, MERCHANT, StopAction.CONTRADICTED, detail)


def _answer_detail(given: MerchantAnswer) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(given)
    del facts["answered_at_ms"]
    return facts


def _follow_up(tx: Transaction, scope: CaseScope, stored: StoredStopRequest, given: MerchantAnswer) -> None:
    request, now_ms = stored.request, given.answered_at_ms
    codes = consequence_codes(scope, request)
    drop_waiting(tx, request.stop_request_id, (CREATED, EXPIRED))
    detail = {**_answer_detail(given), "late": request.is_late(given), "consequences": codes}
    note_in_history(tx, stored, now_ms, MERCHANT, StopAction.ANSWERED, detail)
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
        end_recall(tx, scope, stored, RecallResult.RECALLED, MERCHANT)
