"""Use case: what the answer to an order would be now; nothing is reserved, nothing is kept."""

from data_contracts.merchants import MERCHANTS
from serving.checkout.checkout_answers import DecisionAnswer
from serving.checkout.checkout_judgement import answer_to_checkout
from serving.checkout.checkout_scoring import UNKNOWN_MERCHANT, judged, language_of_texts, model_identity
from serving.checkout.decision_inputs import rows_of_other_accounts
from serving.checkout.inputs_in_store import candidate_rows_of, inputs_in_store
from serving.checkout.merchant_key_bounds import count_question_of, locks_of_questions_by
from serving.checkout.order_body import OrderBody
from serving.checkout.order_under_its_number import under_its_number
from serving.domain.decision import Outcome
from serving.domain.errors import FieldsInvalid
from serving.domain.merchant_keys import QuestionKind
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller
from serving.store.credit_rows import credit_rows
from serving.store.sql_book import is_known


def count_precheck(scope: RequestScope, order: OrderBody, *, caller: Caller) -> None:
    """Count a merchant's pre-check. Raises StoreUnavailable, AskedTooOften."""
    with scope.store.writing(*locks_of_questions_by(caller, order.row)) as tx:
        count_question_of(scope, tx, QuestionKind.PRECHECK, order.row, caller)


def precheck(
    scope: RequestScope, order: OrderBody, *, caller: Caller, accepted_language: str | None
) -> DecisionAnswer:
    """What the answer would be now; nothing is reserved, nothing is kept.

    A merchant's pre-check is counted first, by `count_precheck`. Raises StoreUnavailable, OrderNumberTaken,
    and FieldsInvalid for a merchant that nobody knows.
    """
    model = scope.model
    with scope.store.reading() as tx:
        row = under_its_number(tx, order).row
        rows = credit_rows(tx, row["customer_id"])
        candidate_rows = candidate_rows_of(tx, row["customer_id"])
        now_ms = scope.now_ms()
        newest_ms = max(
            (
                known["recorded_at"]
                for of_account in (rows, *candidate_rows.values())
                for kind in of_account.values()
                for known in kind
            ),
            default=0,
        )
        as_of_ms = max(now_ms, newest_ms + 1)
        inputs = inputs_in_store(
            tx,
            row,
            rows,
            rows_of_other_accounts(rows, candidate_rows, as_of_ms),
            model=model,
            as_of_ms=as_of_ms,
            policy=scope.policy,
            caller=caller,
        )
        # As `score` does: an order of nobody whom the ledger knows is declined, whoever sells.
        sells = inputs.applicant is None or is_known(tx, MERCHANTS, row["merchant_id"])
    decision = judged(scope, inputs, model, as_of_ms).decision
    if not sells and decision.outcome is not Outcome.UNAVAILABLE:
        raise FieldsInvalid([UNKNOWN_MERCHANT])
    return answer_to_checkout(
        decision,
        decision_id=None,
        order_id=row["order_id"],
        merchant_order_number=row.get("merchant_order_number"),
        model=model_identity(model),
        as_of_ms=as_of_ms,
        reserved_until_ms=None,
        language=language_of_texts(order, accepted_language, rows),
    )
