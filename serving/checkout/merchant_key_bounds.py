"""What bounds a caller with a merchant's own key: its questions are counted, and its orders hold little."""

from collections.abc import Mapping
from typing import Any

from serving.domain.errors import AskedTooOften
from serving.domain.merchant_keys import MerchantKeyPolicy, QuestionKind
from serving.domain.policy import Policy
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller, Role
from serving.store.merchant_questions import count_question, lock_of_questions
from serving.store.store import Transaction


def bounds_of(caller: Caller, policy: Policy) -> MerchantKeyPolicy | None:
    """What bounds a caller; None for all but merchants' own keys."""
    return policy.merchant_keys if caller.role is Role.MERCHANT else None


def locks_of_questions_by(caller: Caller, row: Mapping[str, Any]) -> list[str]:
    """What is locked while a caller's question is counted; nothing for those whose questions are not."""
    if caller.role is not Role.MERCHANT:
        return []
    return [lock_of_questions(row["merchant_id"], row["customer_id"])]


def count_question_of(
    scope: RequestScope, tx: Transaction, kind: QuestionKind, row: Mapping[str, Any], caller: Caller
) -> None:
    """Count what a merchant's key asks. Raises AskedTooOften."""
    bounds = bounds_of(caller, scope.policy)
    if bounds is None:
        return
    wait_ms = count_question(
        tx,
        kind,
        merchant_id=row["merchant_id"],
        customer_id=row["customer_id"],
        policy=bounds,
        now_ms=scope.now_ms(),
    )
    if wait_ms is not None:
        raise AskedTooOften(-(-wait_ms // 1000))
