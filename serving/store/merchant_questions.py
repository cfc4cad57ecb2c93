"""How often merchants' keys ask about customers, counted where several processes count together."""

import secrets

from data_contracts.instants import DAY_MS
from serving.domain.merchant_keys import (
    MerchantKeyPolicy,
    QuestionKind,
    bounds_about_all_customers,
    bounds_about_one_customer,
)
from serving.store.store import Transaction


def lock_of_questions(merchant_id: str, customer_id: str) -> str:
    """What a writer locks who counts a question about a customer."""
    return f"questions-{merchant_id}-{customer_id}"


def count_question(
    tx: Transaction,
    kind: QuestionKind,
    *,
    merchant_id: str,
    customer_id: str,
    policy: MerchantKeyPolicy,
    now_ms: int,
) -> int | None:
    """Count a question; or, where it is one too many, how many ms from now it is none any more.

    The caller holds `lock_of_questions`. Questions about other customers may be counted at the same time, so
    the bound over all customers may be passed by as many as run at once.
    """
    wait_ms = 0
    for bound in bounds_about_one_customer(policy):
        oldest_that_counts = tx.execute(
            "SELECT asked_at_ms FROM merchant_questions WHERE merchant_id = ? AND customer_id = ? "
            "AND kind = ? AND asked_at_ms > ? ORDER BY asked_at_ms DESC LIMIT 1 OFFSET ?",
            (merchant_id, customer_id, kind.value, now_ms - bound.span_ms, bound.questions - 1),
        )
        wait_ms = max(wait_ms, *(int(asked) + bound.span_ms - now_ms for (asked,) in oldest_that_counts), 0)
    for bound in bounds_about_all_customers(policy):
        oldest_that_counts = tx.execute(
            "SELECT asked_at_ms FROM merchant_questions WHERE merchant_id = ? AND kind = ? "
            "AND asked_at_ms > ? ORDER BY asked_at_ms DESC LIMIT 1 OFFSET ?",
            (merchant_id, kind.value, now_ms - bound.span_ms, bound.questions - 1),
        )
        wait_ms = max(wait_ms, *(int(asked) + bound.span_ms - now_ms for (asked,) in oldest_that_counts), 0)
    if wait_ms:
        return wait_ms
    tx.execute(
        "DELETE FROM merchant_questions WHERE merchant_id = ? AND kind = ? AND asked_at_ms <= ?",
        (merchant_id, kind.value, now_ms - DAY_MS),
    )
    tx.execute(
        "INSERT INTO merchant_questions (merchant_id, customer_id, kind, asked_at_ms, question_id) "
        "VALUES (?, ?, ?, ?, ?)",
        (merchant_id, customer_id, kind.value, now_ms, secrets.token_hex(8)),
    )
    return None
