"""The list of stop requests on both databases: by their deadlines, page by page, to each its own."""

import random

import pytest

from serving.domain.stop_request import StopRequest, StopRequestState
from serving.in_force.policy_activation import PolicyFile
from serving.requests.case_scope import CaseScope
from serving.stop_requests.stop_request_list import stop_request_list
from serving.store.stop_requests import StoredStopRequest, insert_stop_request
from serving.store.store import Store
from tests.builders import ms

START = ms("2026-06-01T10:00:00")


@pytest.fixture
def kept(store: Store) -> list[StopRequest]:
    """Forty requests of two merchants, with deadlines of which several are equal and some are not set."""
    chance = random.Random(5)
    requests = [
        StopRequest(
            stop_request_id=f"stp_{chance.randrange(10**9):09d}{number}",
            order_id=f"o{number}",
            merchant_id=chance.choice(("m1", "m2")),
            state=chance.choice((StopRequestState.REQUESTED, StopRequestState.EXPIRED)),
            requested_at_ms=START + number,
            first_delivered_at_ms=None,
            answer_due_at_ms=chance.choice((None, START, START + 1, START + 2)),
            answers=(),
        )
        for number in range(40)
    ]
    with store.writing("test") as tx:
        for request in requests:
            insert_stop_request(
                tx, StoredStopRequest(request=request, case_id=f"case-{request.order_id}", version=1)
            )
    return requests


@pytest.mark.parametrize("merchant_id", [None, "m1", "m2", "m3"])
@pytest.mark.parametrize("limit", [1, 3, 40])
def test_the_pages_hold_each_request_once_the_first_to_be_answered_first(
    store: Store, kept: list[StopRequest], merchant_id: str | None, limit: int
) -> None:
    scope = CaseScope(store=store, policy=PolicyFile.usable(None).policy, now_ms=lambda: START, public_url="")
    listed, after = [], None
    while True:
        page = stop_request_list(
            scope, merchant_id=merchant_id, state=StopRequestState.REQUESTED, limit=limit, after=after
        )
        assert len(page.stop_requests) <= limit
        listed += [request.stop_request_id for request in page.stop_requests]
        after = page.next
        if after is None:
            break
        assert len(page.stop_requests) == limit
    theirs = [
        request
        for request in kept
        if request.state is StopRequestState.REQUESTED and merchant_id in {None, request.merchant_id}
    ]
    theirs.sort(
        key=lambda one: (one.answer_due_at_ms is None, one.answer_due_at_ms or 0, one.stop_request_id)
    )
    assert listed == [request.stop_request_id for request in theirs]
    assert bool(listed) is (merchant_id != "m3")
