"""Use case after a refusal: the customer asks that a person looks again."""

from serving.checkout.checkout_answers import NOTE_MAXIMUM, ReviewRequested, ReviewRequestState
from serving.domain.decision import Outcome
from serving.domain.errors import FieldsInvalid, NothingToReview, UnknownDecision
from serving.domain.field_errors import FieldError
from serving.requests.authentication import may_see_order_of
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller, Role
from serving.store.decision_log import LoggedDecision, decision_of
from serving.store.decision_log import request_review as keep_review_request


def request_review(
    scope: RequestScope,
    decision_id: str,
    *,
    note: str | None,
    customer_id: str | None,
    caller: Caller,
    idempotency_key: str | None,
) -> ReviewRequested:
    """Ask that a person looks at a refusal. Asking twice changes nothing.

    customer_id: for whom it is asked, and nobody else; a portal's key has to say so. None for a checkout,
        which asks for whoever ordered.
    Raises FieldsInvalid for a note that is too long, UnknownDecision, and NothingToReview for an approval.
    """
    if note is not None and len(note) > NOTE_MAXIMUM:
        detail = f"note must be a text of at most {NOTE_MAXIMUM} characters"
        raise FieldsInvalid([FieldError(pointer="/note", detail=detail)])
    asked: dict[str, str | None] = {"decision_id": decision_id, "note": note}
    if customer_id is not None:
        asked["customer_id"] = customer_id
    request = fingerprint("POST review-request", asked)
    with scope.store.writing(decision_id) as tx:
        earlier = earlier_answer(tx, ReviewRequested, caller=caller, key=idempotency_key, request=request)
        if earlier is not None:
            return earlier
        decision = decision_of(tx, decision_id)
        if decision is None or not _may_ask_about(decision, caller, customer_id):
            raise UnknownDecision(f"there is no decision {decision_id}")
        if decision.outcome == Outcome.APPROVED.value:
            raise NothingToReview("the order was approved; there is nothing to review")
        now_ms = scope.now_ms()
        keep_review_request(tx, decision_id=decision_id, note=note or "", now_ms=now_ms)
        document = ReviewRequested(
            order_id=decision.order_id,
            merchant_order_number=decision.merchant_order_number,
            decision_id=decision_id,
            state=ReviewRequestState.REVIEW_REQUESTED,
        )
        remember_answer(tx, document, caller=caller, key=idempotency_key, request=request, now_ms=now_ms)
    return document


def _may_ask_about(decision: LoggedDecision, caller: Caller, customer_id: str | None) -> bool:
    if caller.role is Role.PORTAL or customer_id is not None:
        return decision.customer_id == customer_id
    return may_see_order_of(caller, decision.merchant_id)
