"""What waits for a worker is told by kind, with the age of the oldest that is due."""

from serving.screening.following_decisions import follow_decisions
from serving.store.deliveries import WEBHOOK, enqueue
from serving.store.outbox import FRAUD_CONFIRMED, ask_for_stop_request, tell_of_fraud
from serving.store.store import Store
from serving.store.waiting_looks import APPROVED, LINKED_ORDER, ask_for_look
from serving.store.waiting_work import DueWork, decisions_not_followed, due_work
from tests.serving.screening.test_order_review import START
from tests.serving.store.test_log_cursors import decide


def test_what_is_due_is_counted_and_what_is_meant_for_later_is_not(store: Store) -> None:
    nothing = DueWork(count=0, oldest_ms=0)
    with store.writing("x") as tx:
        assert set(due_work(tx, START).values()) == {nothing}
        ask_for_look(tx, "o1", APPROVED, START - 7_000)
        ask_for_look(tx, "o2", APPROVED, START - 3_000)
        ask_for_look(tx, "o2", "shipped", START)
        ask_for_look(tx, "o3", LINKED_ORDER, START + 1)
        tell_of_fraud(tx, "o4", START - 50)
        ask_for_stop_request(tx, "case-1", due_at_ms=START + 30_000)
        enqueue(
            tx,
            delivery_id="d1",
            merchant_id="m1",
            stop_request_id=None,
            event_type="x",
            channel=WEBHOOK,
            body="{}",
            now_ms=START - 20,
        )
        assert due_work(tx, START) == {
            "look_first": DueWork(count=2, oldest_ms=7_000),
            "look_news": DueWork(count=1, oldest_ms=0),
            "look_linked": nothing,
            "delivery": DueWork(count=1, oldest_ms=20),
            FRAUD_CONFIRMED: DueWork(count=1, oldest_ms=50),
        }


def test_decisions_that_no_worker_followed_are_counted(store: Store) -> None:
    for number in range(1, 4):
        decide(store, number)
    with store.reading() as tx:
        assert decisions_not_followed(tx) == 3
    follow_decisions(store)
    with store.reading() as tx:
        assert decisions_not_followed(tx) == 0
