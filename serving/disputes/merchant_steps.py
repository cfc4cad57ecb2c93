"""Use cases of the merchant: its disputes with their deadlines, an answer, and giving in."""

from collections.abc import Callable
from typing import Any

import msgspec

from serving.disputes.deadlines import due_in
from serving.disputes.dispute_answers import (
    GivenUpPart,
    MerchantDispute,
    MerchantDisputes,
    merchant_dispute,
)
from serving.disputes.kept_step import changing, keep_step, known_dispute
from serving.domain.dispute import Dispute, DisputeAction, DisputeState, Party
from serving.domain.dispute_answer import parse_dispute_answer
from serving.domain.dispute_steps import answer, give_in
from serving.domain.errors import FieldsInvalid
from serving.domain.field_errors import FieldError, pointer
from serving.requests.case_scope import CaseScope
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.store.api_keys import Caller
from serving.store.dispute_files import files_of_dispute
from serving.store.disputes import disputes_of_merchant
from serving.store.store import Transaction

MERCHANT = Party.MERCHANT.value
"""Who does in the history what the merchant did by its form, where no key is known."""
OPEN_STATES = frozenset(DisputeState) - {DisputeState.CLOSED}

_Step = Callable[[Transaction, Dispute, int], tuple[Dispute, dict[str, Any]]]


def disputes_of(scope: CaseScope, merchant_id: str, *, is_open: bool, limit: int) -> MerchantDisputes:
    """A merchant's disputes that are open, or that have ended; the most urgent first."""
    states = OPEN_STATES if is_open else frozenset({DisputeState.CLOSED})
    with scope.store.reading() as tx:
        return MerchantDisputes(
            disputes=tuple(
                merchant_dispute(dispute, files_of_dispute(tx, dispute.dispute_id))
                for dispute in disputes_of_merchant(tx, merchant_id, states, limit)
            )
        )


def merchant_view(scope: CaseScope, dispute_id: str, merchant_id: str | None) -> MerchantDispute:
    """A dispute as its merchant sees it. merchant_id: None for whoever has the signed link.

    Raises UnknownDispute.
    """
    with scope.store.reading() as tx:
        dispute = known_dispute(tx, dispute_id, merchant_id=merchant_id)
        return merchant_dispute(dispute, files_of_dispute(tx, dispute_id))


def answer_dispute(
    scope: CaseScope,
    dispute_id: str,
    *,
    merchant_id: str | None,
    kind: str | None,
    text: str | None,
    carrier: str | None,
    tracking_number: str | None,
    caller: Caller | None = None,
    idempotency_key: str | None = None,
) -> MerchantDispute:
    """Take a merchant's answer; the same again changes nothing.

    merchant_id: None for whoever has the signed link; caller: None then, too.
    Raises UnknownDispute, AnswerInvalid, DisputeAnswerTooLate, DisputeStepImpossible, DisputeMoved.
    """

    def step(tx: Transaction, dispute: Dispute, now_ms: int) -> tuple[Dispute, dict[str, Any]]:
        given = parse_dispute_answer(
            kind=kind, text=text, carrier=carrier, tracking_number=tracking_number, answered_at_ms=now_ms
        )
        due_at_ms = due_in(tx, scope, dispute.merchant_id, scope.policy.disputes.decision_days, now_ms)
        detail: dict[str, Any] = msgspec.to_builtins(given)
        del detail["answered_at_ms"]
        return answer(dispute, given, decision_due_at_ms=due_at_ms), detail

    said = [kind, text, carrier, tracking_number]
    return _take(scope, dispute_id, merchant_id, caller, idempotency_key, DisputeAction.ANSWERED, said, step)


def give_in_dispute(
    scope: CaseScope,
    dispute_id: str,
    *,
    merchant_id: str | None,
    part: str,
    caller: Caller | None = None,
    idempotency_key: str | None = None,
) -> MerchantDispute:
    """The merchant gives in, at any time before the end; a second time is harmless.

    part: of `GivenUpPart`. Raises UnknownDispute, FieldsInvalid, DisputeStepImpossible, DisputeMoved.
    """
    if part not in {known.value for known in GivenUpPart}:
        rule = f"part must be one of {', '.join(known.value for known in GivenUpPart)}"
        raise FieldsInvalid([FieldError(pointer=pointer("part"), detail=rule)])
    is_whole_order = part == GivenUpPart.WHOLE_ORDER.value
    by = MERCHANT if caller is None else caller.name

    def step(_tx: Transaction, dispute: Dispute, now_ms: int) -> tuple[Dispute, dict[str, Any]]:
        return give_in(dispute, is_whole_order=is_whole_order, by=by, at_ms=now_ms), {"part": part}

    return _take(scope, dispute_id, merchant_id, caller, idempotency_key, DisputeAction.GAVE_IN, part, step)


def _take(
    scope: CaseScope,
    dispute_id: str,
    merchant_id: str | None,
    caller: Caller | None,
    idempotency_key: str | None,
    action: DisputeAction,
    said: object,
    step: _Step,
) -> MerchantDispute:
    request = fingerprint(f"POST dispute {dispute_id} {action.value}", said)
    if caller is not None:
        with scope.store.reading() as reading:
            # What a repeated request asked about may have gone on since, but it is answered as it was.
            first = earlier_answer(
                reading, MerchantDispute, caller=caller, key=idempotency_key, request=request
            )
        if first is not None:
            return first
    with changing(scope, dispute_id, merchant_id=merchant_id) as (tx, before):
        if caller is not None:
            earlier = earlier_answer(tx, MerchantDispute, caller=caller, key=idempotency_key, request=request)
            if earlier is not None:
                return earlier
        now_ms = scope.now_ms()
        after, detail = step(tx, before, now_ms)
        by = MERCHANT if caller is None else caller.name
        kept = keep_step(tx, scope, before, after, by=by, action=action, detail=detail)
        answered = merchant_dispute(kept, files_of_dispute(tx, dispute_id))
        if caller is not None:
            remember_answer(tx, answered, caller=caller, key=idempotency_key, request=request, now_ms=now_ms)
    return answered
