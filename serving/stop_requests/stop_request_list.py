"""Use case: which stop requests wait for an answer, are answered, have expired or were withdrawn."""

import re

from data_contracts.contract import IDENTIFIER_PATTERN
from serving.domain.errors import ParametersInvalid
from serving.domain.field_errors import FieldError
from serving.domain.stop_request import StopRequestState
from serving.requests.answer_fields import Instant, instant_or_none
from serving.requests.case_scope import CaseScope
from serving.stop_requests.stop_request_answers import (
    ListedStopRequest,
    StopRequestList,
    TeamListedStopRequest,
    TeamStopRequestList,
)
from serving.store.stop_requests import NOT_REACHED_MS, StoredStopRequest, stop_requests_in_state

_CURSOR_DIGITS = 16


def stop_request_list(
    scope: CaseScope,
    *,
    merchant_id: str | None,
    state: StopRequestState,
    limit: int,
    after: str | None = None,
) -> StopRequestList | TeamStopRequestList:
    """Requests in one state, the first to be answered first, those that reached no merchant yet at the end.

    merchant_id: whose; None for the fraud team, which sees all with their cases.
    after: what the page before named as `next`. A request that is answered meanwhile leaves the pages of its
        state, and none is listed twice.
    Raises ParametersInvalid for an `after` that no page named, StoreUnavailable.
    """
    place = None if after is None else _place(after)
    with scope.store.reading() as tx:
        found = stop_requests_in_state(tx, state, merchant_id=merchant_id, limit=limit + 1, after=place)
    page = found[:limit]
    following = _cursor(page[-1]) if len(found) > limit else None
    if merchant_id is None:
        return TeamStopRequestList(stop_requests=tuple(map(_as_team_sees, page)), next=following)
    return StopRequestList(stop_requests=tuple(map(_as_merchant_sees, page)), next=following)


def _cursor(stored: StoredStopRequest) -> str:
    due_at_ms = stored.request.answer_due_at_ms
    return f"{NOT_REACHED_MS if due_at_ms is None else due_at_ms}.{stored.request.stop_request_id}"


def _place(after: str) -> tuple[int, str]:
    due_at_ms, dot, stop_request_id = after.partition(".")
    is_number = due_at_ms.isascii() and due_at_ms.isdigit() and len(due_at_ms) <= _CURSOR_DIGITS
    is_id = re.fullmatch(IDENTIFIER_PATTERN, stop_request_id) is not None
    if not (dot and is_number and is_id):
        raise ParametersInvalid(
            [FieldError(pointer="/after", detail="after is none that a page named as next")]
        )
    return int(due_at_ms), stop_request_id


def _as_merchant_sees(stored: StoredStopRequest) -> ListedStopRequest:
    request = stored.request
    return ListedStopRequest(
        stop_request_id=request.stop_request_id,
        order_id=request.order_id,
        merchant_order_number=request.merchant_order_number,
        state=request.state,
        requested_at=Instant(request.requested_at_ms),
        answer_due_at=instant_or_none(request.answer_due_at_ms),
    )


def _as_team_sees(stored: StoredStopRequest) -> TeamListedStopRequest:
    request = stored.request
    return TeamListedStopRequest(
        stop_request_id=request.stop_request_id,
        order_id=request.order_id,
        merchant_order_number=request.merchant_order_number,
        state=request.state,
        requested_at=Instant(request.requested_at_ms),
        answer_due_at=instant_or_none(request.answer_due_at_ms),
        case_id=stored.case_id,
        merchant_id=request.merchant_id,
    )
