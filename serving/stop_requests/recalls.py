"""Use cases of recalls: the parcels that the provider recalls for a merchant, and what came of each."""

import msgspec

from serving.domain.errors import RiskError
from serving.domain.stop_request import RecallResult, StopAction
from serving.requests.case_scope import CaseScope
from serving.stop_requests.locked_stop_request import changing, note_in_history
from serving.stop_requests.stop_request_answers import OpenRecall, RecalledStopRequest
from serving.stop_requests.stop_requesting import merchant_view, recall_answer
from serving.store.stop_requests import (
    StoredStopRequest,
    finish_recall_task,
    open_recall_tasks,
    recall_task_of,
)
from serving.store.store import Transaction


class RecallStepInvalid(RiskError):
    """There is nothing to recall, the result is none, or the recall was finished with another one."""


def finish_recall(scope: CaseScope, stop_request_id: str, result: str, by: str) -> RecalledStopRequest:
    """Note what came of recalling a parcel, `recalled` or `failed`; the same again changes nothing.

    Raises UnknownStopRequest, RecallStepInvalid.
    """
    outcome = next((known for known in RecallResult if known.value == result), None)
    if outcome is None:
        allowed = ", ".join(known.value for known in RecallResult)
        raise RecallStepInvalid(f"result: must be one of {allowed}")
    with changing(scope, stop_request_id, None) as (tx, stored):
        task = recall_task_of(tx, stop_request_id)
        if task is None:
            raise RecallStepInvalid(f"stop request {stop_request_id} has no parcel that we recall")
        if task.result not in {None, outcome}:
            raise RecallStepInvalid(
                f"the recall of {stop_request_id} was finished before, with another result"
            )
        end_recall(tx, scope, stored, outcome, by)
        return RecalledStopRequest(
            **msgspec.structs.asdict(merchant_view(tx, scope, stored)), case_id=stored.case_id
        )


def open_recalls(scope: CaseScope, limit: int) -> list[OpenRecall]:
    """The parcels to recall that nobody has finished, the oldest first."""
    with scope.store.reading() as tx:
        return [
            OpenRecall(**msgspec.structs.asdict(recall_answer(task)), stop_request_id=task.stop_request_id)
            for task in open_recall_tasks(tx, limit)
        ]


def end_recall(
    tx: Transaction, scope: CaseScope, stored: StoredStopRequest, result: RecallResult, by: str
) -> None:
    """End the recall of a request's parcel, where one is open, and note what came of it."""
    now_ms = scope.now_ms()
    if finish_recall_task(tx, stored.request.stop_request_id, result=result, by=by, now_ms=now_ms):
        note_in_history(tx, stored, now_ms, by, StopAction.RECALL_FINISHED, {"result": result.value})
