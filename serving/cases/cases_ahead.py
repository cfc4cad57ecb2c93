"""Use case: a case that was worked on while the clock was ahead waits no longer than its rules say.

A stop that was given a day ahead would be asked of the merchant a day late, when the goods are gone.
"""

import json
from dataclasses import replace

from serving.domain.review_case import Action, ReviewCase, as_if_done_by
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import case_of, update_case
from serving.store.clock_jumps import CLOCKS_APART_MS
from serving.store.outbox import REQUEST_STOP, ask_for_stop_request
from serving.store.store import Transaction


def set_back_cases_ahead(scope: CaseScope) -> int:
    """Give every case that has a step ahead of now the deadlines of a step now; returns how many changed.

    The history keeps the instants as they were written. Raises StoreUnavailable.
    """
    now_ms = scope.now_ms()
    with scope.store.reading() as tx:
        case_ids = sorted(
            {
                case_id
                for action in Action
                for (case_id,) in tx.execute(
                    "SELECT case_id FROM case_history WHERE action = ? AND at_ms > ?",
                    (action.value, now_ms + CLOCKS_APART_MS),
                )
            }
        )
    return sum(_set_back(scope, case_id, now_ms) for case_id in case_ids)


def _set_back(scope: CaseScope, case_id: str, now_ms: int) -> bool:
    with scope.store.writing(f"case-{case_id}") as tx:
        stored = case_of(tx, case_id)
        if stored is None:
            return False
        after = as_if_done_by(stored.case, now_ms, scope.policy.review)
        if after == stored.case:
            return False
        after = replace(after, version=stored.case.version + 1)
        update_case(tx, replace(stored, case=after), version_before=stored.case.version)
        _ask_in_time(tx, after)
    return True


def _ask_in_time(tx: Transaction, case: ReviewCase) -> None:
    if case.stop_takes_effect_at_ms is None:
        return
    later = tx.execute(
        "SELECT created_at_ms, message_id, payload FROM outbox WHERE kind = ? AND created_at_ms > ?",
        (REQUEST_STOP, case.stop_takes_effect_at_ms),
    )
    of_case = [row for row in later if json.loads(row[2])["case_id"] == case.case_id]
    for created_at_ms, message_id, _ in of_case:
        tx.execute(
            "DELETE FROM outbox WHERE kind = ? AND created_at_ms = ? AND message_id = ?",
            (REQUEST_STOP, created_at_ms, message_id),
        )
    if of_case:
        ask_for_stop_request(tx, case.case_id, due_at_ms=case.stop_takes_effect_at_ms)
