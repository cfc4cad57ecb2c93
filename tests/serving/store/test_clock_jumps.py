"""A clock that was ahead postpones nothing until then; what is meant for later stays for later."""

import pytest

from data_contracts.instants import DAY_MS, MINUTE_MS
from serving.store.clock_jumps import make_due_what_a_clock_left_ahead
from serving.store.deliveries import WEBHOOK, due, enqueue, lease, record_attempt, schedule
from serving.store.outbox import (
    CHECK_CASE,
    CONTACT_CHANGED,
    FRAUD_CONFIRMED,
    REQUEST_STOP,
    append_message,
    ask_for_case_check,
    ask_for_invoice_watch,
    ask_for_stop_request,
    tell_of_fraud,
    waiting_messages,
)
from serving.store.store import Store, Transaction

NOW = 1_780_000_000_000
KINDS = (FRAUD_CONFIRMED, CONTACT_CHANGED, CHECK_CASE, REQUEST_STOP)


def leave_messages(tx: Transaction, at_ms: int) -> None:
    """One of each kind, as they are left at an instant."""
    append_message(tx, message_id=f"contact-{at_ms}", kind=CONTACT_CHANGED, payload={}, now_ms=at_ms)
    tell_of_fraud(tx, "o1", at_ms)
    ask_for_case_check(tx, "o1", "verdict", at_ms)


def due_kinds(store: Store, at_ms: int) -> list[str]:
    with store.reading() as tx:
        return sorted(message.kind for message in waiting_messages(tx, KINDS, 100, due_at_ms=at_ms))


@pytest.mark.parametrize("ahead_ms", [5 * MINUTE_MS, DAY_MS, 400 * DAY_MS])
def test_messages_that_were_left_by_a_clock_ahead_are_due_once_it_is_right(
    store: Store, ahead_ms: int
) -> None:
    with store.writing("x") as tx:
        leave_messages(tx, NOW + ahead_ms)
        # Meant for later: the undo of a stop, and tomorrow's look at an invoice.
        ask_for_stop_request(tx, "case-1", due_at_ms=NOW + 30_000)
        ask_for_invoice_watch(tx, "o2", since_ms=NOW, due_at_ms=NOW + DAY_MS)
    assert due_kinds(store, NOW) == []
    assert make_due_what_a_clock_left_ahead(store, NOW) == 3
    assert due_kinds(store, NOW) == sorted([CONTACT_CHANGED, FRAUD_CONFIRMED, CHECK_CASE])
    assert make_due_what_a_clock_left_ahead(store, NOW) == 0


def test_a_message_that_was_only_postponed_waits_its_minute(store: Store) -> None:
    with store.writing("x") as tx:
        leave_messages(tx, NOW + MINUTE_MS)
    assert make_due_what_a_clock_left_ahead(store, NOW) == 0


def test_deliveries_left_or_tried_by_a_clock_ahead_are_due_and_retries_wait_on(
    store: Store,
) -> None:
    def left(tx: Transaction, delivery_id: str, at_ms: int) -> None:
        enqueue(
            tx,
            delivery_id=delivery_id,
            merchant_id="m1",
            stop_request_id=None,
            event_type="x",
            channel=WEBHOOK,
            body="{}",
            now_ms=at_ms,
        )

    def failed(tx: Transaction, delivery_id: str, at_ms: int, again_ms: int) -> None:
        record_attempt(tx, delivery_id, at_ms=at_ms, outcome="retry", status=500, detail="500")
        schedule(tx, delivery_id, again_ms)

    ahead = NOW + DAY_MS
    with store.writing("x") as tx:
        left(tx, "new-ahead", ahead)
        left(tx, "leased-ahead", ahead)
        assert lease(tx, "leased-ahead", ahead, ahead + 2 * MINUTE_MS)
        left(tx, "tried-ahead", NOW - DAY_MS)
        failed(tx, "tried-ahead", ahead, ahead + 5_000)
        left(tx, "tried-now", NOW - DAY_MS)
        failed(tx, "tried-now", NOW, NOW + DAY_MS)
        left(tx, "leased-now", NOW)
        assert lease(tx, "leased-now", NOW, NOW + 2 * MINUTE_MS)
    assert make_due_what_a_clock_left_ahead(store, NOW) == 3
    with store.reading() as tx:
        assert {one.delivery_id for one in due(tx, NOW, 10)} == {"new-ahead", "leased-ahead", "tried-ahead"}
