"""One stop request under the lock of its case: found, kept, and noted in the history of the case.

Every step holds that lock, as the steps of the fraud team do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from serving.domain.errors import RiskError
from serving.domain.stop_request import StopAction, StopRequest, StopRequestState
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import append_history
from serving.store.stop_requests import (
    StopRequestMovedError,
    StoredStopRequest,
    stop_request_of,
    stop_requests_of_case,
    update,
)
from serving.store.store import Transaction


class UnknownStopRequest(RiskError):
    """There is no such stop request, or it is about another merchant's order."""


class StopRequestMoved(RiskError):
    """Somebody else changed the stop request at the same moment; look again."""


def standing_request(tx: Transaction, case_id: str) -> StoredStopRequest | None:
    """The one request about the order of a case that was not withdrawn."""
    asked = stop_requests_of_case(tx, case_id)
    return next((stored for stored in asked if stored.request.state is not StopRequestState.WITHDRAWN), None)


def lock_case(tx: Transaction, case_id: str) -> None:
    """Hold the lock of a case until the transaction ends."""
    tx.lock(f"case-{case_id}")


@contextmanager
def changing(
    scope: CaseScope, stop_request_id: str, merchant_id: str | None
) -> Iterator[tuple[Transaction, StoredStopRequest]]:
    """A transaction that holds the lock of the request's case, and the request as it then is."""
    with scope.store.reading() as tx:
        case_id = known_stop_request(tx, stop_request_id, merchant_id).case_id
    with scope.store.writing(f"case-{case_id}") as tx:
        yield tx, known_stop_request(tx, stop_request_id, merchant_id)


def known_stop_request(tx: Transaction, stop_request_id: str, merchant_id: str | None) -> StoredStopRequest:
    """A stop request as it is now.

    merchant_id: None for the fraud team. Raises UnknownStopRequest, also for another merchant's request.
    """
    stored = stop_request_of(tx, stop_request_id)
    if stored is None or merchant_id not in {None, stored.request.merchant_id}:
        raise UnknownStopRequest(f"there is no stop request {stop_request_id}")
    return stored


def keep_stop_request(tx: Transaction, before: StoredStopRequest, after: StopRequest) -> StoredStopRequest:
    """Keep a request as it is after a step; one that the step left alone is not written.

    Raises StopRequestMoved.
    """
    if after is before.request:
        return before
    kept = replace(before, request=after, version=before.version + 1)
    try:
        update(tx, kept, version_before=before.version)
    except StopRequestMovedError as problem:
        raise StopRequestMoved(str(problem)) from problem
    return kept


def note_in_history(
    tx: Transaction,
    stored: StoredStopRequest,
    at_ms: int,
    actor: str,
    action: StopAction,
    detail: dict[str, Any],
) -> None:
    """Note in the history of the case what was done with its stop request. detail: what else counts."""
    detail = {"stop_request_id": stored.request.stop_request_id, **detail}
    append_history(tx, stored.case_id, at_ms=at_ms, actor=actor, action=action, detail=detail)
