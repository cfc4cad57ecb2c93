"""Use cases of the customer, for whom the portal acts: what they say, take back, and complain about."""

from collections.abc import Callable
from typing import Any

from data_contracts.instants import DAY_MS
from serving.disputes.deadlines import due_in
from serving.disputes.dispute_answers import CustomerDispute, CustomerDisputes, customer_dispute
from serving.disputes.kept_step import changing, keep_step, known_dispute
from serving.disputes.opening import checked_text
from serving.domain.dispute import Dispute, DisputeAction
from serving.domain.dispute_steps import complain, state_reason, withdraw
from serving.requests.case_scope import CaseScope
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.store.api_keys import Caller
from serving.store.dispute_files import files_of_dispute
from serving.store.disputes import disputes_of_customer
from serving.store.store import Transaction

_Step = Callable[[Transaction, Dispute, int], Dispute]


def disputes_of(scope: CaseScope, customer_id: str) -> CustomerDisputes:
    """A customer's disputes, the latest first; none for a customer who has none, or is not known."""
    with scope.store.reading() as tx:
        return CustomerDisputes(
            disputes=tuple(
                customer_dispute(dispute, files_of_dispute(tx, dispute.dispute_id))
                for dispute in disputes_of_customer(tx, customer_id)
            )
        )


def customer_view(scope: CaseScope, dispute_id: str, customer_id: str) -> CustomerDispute:
    """One dispute of a customer. Raises UnknownDispute."""
    with scope.store.reading() as tx:
        dispute = known_dispute(tx, dispute_id, customer_id=customer_id)
        return customer_dispute(dispute, files_of_dispute(tx, dispute_id))


def make_statement(
    scope: CaseScope,
    dispute_id: str,
    *,
    customer_id: str,
    text: str,
    caller: Caller,
    idempotency_key: str | None,
) -> CustomerDispute:
    """The customer says what is wrong; once the merchant has answered, the service desk decides then.

    Raises UnknownDispute, FieldsInvalid, DisputeStepImpossible, DisputeMoved.
    """
    said = checked_text(text)

    def step(tx: Transaction, dispute: Dispute, now_ms: int) -> Dispute:
        due_at_ms = due_in(tx, scope, dispute.merchant_id, scope.policy.disputes.decision_days, now_ms)
        return state_reason(dispute, said, at_ms=now_ms, decision_due_at_ms=due_at_ms)

    return _take(
        scope, dispute_id, customer_id, caller, idempotency_key, DisputeAction.STATED, {"text": said}, step
    )


def withdraw_dispute(
    scope: CaseScope, dispute_id: str, *, customer_id: str, caller: Caller, idempotency_key: str | None
) -> CustomerDispute:
    """The customer takes the dispute back, or its complaint; the invoices go on.

    Raises UnknownDispute, DisputeStepImpossible, DisputeMoved.
    """

    def step(_tx: Transaction, dispute: Dispute, now_ms: int) -> Dispute:
        return withdraw(dispute, by=caller.name, at_ms=now_ms)

    return _take(scope, dispute_id, customer_id, caller, idempotency_key, DisputeAction.WITHDRAWN, {}, step)


def make_complaint(
    scope: CaseScope,
    dispute_id: str,
    *,
    customer_id: str,
    text: str,
    caller: Caller,
    idempotency_key: str | None,
) -> CustomerDispute:
    """The customer complains about the outcome: somebody else looks again, by a time that is set now.

    Raises UnknownDispute, FieldsInvalid, DisputeStepImpossible, ComplaintMadeBefore, ComplaintTooLate,
    DisputeMoved.
    """
    said = checked_text(text)

    def step(tx: Transaction, dispute: Dispute, now_ms: int) -> Dispute:
        policy = scope.policy.disputes
        return complain(
            dispute,
            said,
            at_ms=now_ms,
            due_at_ms=due_in(tx, scope, dispute.merchant_id, policy.complaint_days, now_ms),
            until_ms=(dispute.closed_at_ms or now_ms) + policy.complaint_within_days * DAY_MS,
        )

    return _take(
        scope,
        dispute_id,
        customer_id,
        caller,
        idempotency_key,
        DisputeAction.COMPLAINED,
        {"text": said},
        step,
    )


def _take(
    scope: CaseScope,
    dispute_id: str,
    customer_id: str,
    caller: Caller,
    idempotency_key: str | None,
    action: DisputeAction,
    detail: dict[str, Any],
    step: _Step,
) -> CustomerDispute:
    request = fingerprint(f"POST dispute {dispute_id} {action.value}", [customer_id, detail])
    with scope.store.reading() as reading:
        # What a repeated request asked about may have gone on since, but it is answered as it was.
        first = earlier_answer(reading, CustomerDispute, caller=caller, key=idempotency_key, request=request)
    if first is not None:
        return first
    with changing(scope, dispute_id, customer_id=customer_id) as (tx, before):
        earlier = earlier_answer(tx, CustomerDispute, caller=caller, key=idempotency_key, request=request)
        if earlier is not None:
            return earlier
        now_ms = scope.now_ms()
        after = step(tx, before, now_ms)
        kept = keep_step(tx, scope, before, after, by=caller.name, action=action, detail=detail)
        answer = customer_dispute(kept, files_of_dispute(tx, dispute_id))
        remember_answer(tx, answer, caller=caller, key=idempotency_key, request=request, now_ms=now_ms)
    return answer
