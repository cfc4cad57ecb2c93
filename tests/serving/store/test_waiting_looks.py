"""Looks that wait: one for an order and a reason, first looks first, each taken by one worker."""

import threading
from concurrent.futures import ThreadPoolExecutor

from serving.store.open_store import open_store
from serving.store.store import Store
from serving.store.waiting_looks import (
    APPROVED,
    LINKED_FRAUD,
    LINKED_ORDER,
    LINKED_PAUSE_MS,
    TAKEN_FOR_MS,
    WAITING_LOOKS,
    WaitingLook,
    ask_for_look,
    end_look,
    is_any_look_due,
    take_looks,
    waiting_look_count,
)
from tests.serving.screening.test_order_review import START


def ask(store: Store, order_id: str, trigger: str, at: int = START) -> None:
    with store.writing(order_id) as tx:
        ask_for_look(tx, order_id, trigger, at)


def take(store: Store, limit: int = 10, now: int = START) -> list[WaitingLook]:
    with store.writing(WAITING_LOOKS) as tx:
        return take_looks(tx, limit, now_ms=now)


def end(store: Store, look: WaitingLook) -> bool:
    with store.writing(look.order_id) as tx:
        return end_look(tx, look)


def waiting(store: Store) -> int:
    with store.reading() as tx:
        return waiting_look_count(tx)


def test_first_looks_come_before_news_and_news_before_orders_alike_however_long_they_wait(
    store: Store,
) -> None:
    ask(store, "alike", LINKED_ORDER, START - 9)
    ask(store, "news", "shipped", START - 5)
    ask(store, "later", APPROVED, START)
    ask(store, "first", APPROVED, START - 1)
    assert [look.order_id for look in take(store, 3)] == ["first", "later", "news"]
    assert [look.order_id for look in take(store, 3)] == ["alike"]


def test_an_order_that_is_asked_for_again_waits_once_and_is_looked_at_for_all_reasons_together(
    store: Store,
) -> None:
    for trigger in (LINKED_ORDER, "shipped", LINKED_FRAUD, LINKED_ORDER, "shipped"):
        ask(store, "o1", trigger)
    (look,) = take(store)
    assert look.triggers == (LINKED_FRAUD, "shipped", LINKED_ORDER)
    assert end(store, look)
    assert waiting(store) == 0


def test_a_look_is_not_due_before_its_moment_unless_the_moment_is_further_ahead_than_anything_waits(
    store: Store,
) -> None:
    ask(store, "soon", LINKED_ORDER, START + LINKED_PAUSE_MS)
    assert take(store) == []
    assert [look.order_id for look in take(store, now=START + LINKED_PAUSE_MS)] == ["soon"]
    ask(store, "tomorrow", APPROVED, START + 86_400_000)
    assert [look.order_id for look in take(store)] == ["tomorrow"]


def test_a_look_is_due_exactly_where_one_would_be_taken(store: Store) -> None:
    def is_due(now: int) -> bool:
        with store.reading() as tx:
            return is_any_look_due(tx, now_ms=now)

    assert not is_due(START)
    ask(store, "o1", LINKED_ORDER, START + LINKED_PAUSE_MS)
    for now in (START, START + LINKED_PAUSE_MS - 1):
        assert not is_due(now)
        assert take(store, now=now) == []
    due = START + LINKED_PAUSE_MS
    assert is_due(due)
    assert take(store, now=due)
    assert not is_due(due + TAKEN_FOR_MS - 1)
    assert is_due(due + TAKEN_FOR_MS)
    ask(store, "tomorrow", APPROVED, START + 86_400_000)
    assert is_due(START)


def test_a_look_that_a_killed_worker_took_is_taken_again_and_only_one_of_both_keeps_it(store: Store) -> None:
    ask(store, "o1", APPROVED)
    (first,) = take(store)
    assert take(store, now=START + TAKEN_FOR_MS - 1) == []
    (second,) = take(store, now=START + TAKEN_FOR_MS)
    assert end(store, second)
    assert not end(store, first)


def test_a_look_taken_by_a_clock_that_was_ahead_is_not_kept_from_others(store: Store) -> None:
    ask(store, "o1", APPROVED)
    assert take(store, now=START + 86_400_000)
    assert [look.order_id for look in take(store, now=START)] == ["o1"]


def test_news_during_a_look_waits_for_another_one(store: Store) -> None:
    ask(store, "o1", "shipped")
    (look,) = take(store)
    ask(store, "o1", "shipped", START + 1)
    ask(store, "o1", "delivered", START + 1)
    assert not end(store, look), "the news is not in what was seen"
    (another,) = take(store, now=START + 1)
    assert another.triggers == ("delivered", "shipped")
    assert end(store, another)
    assert waiting(store) == 0


def test_workers_at_once_share_the_looks_out_and_none_is_left(store: Store, database_url: str) -> None:
    for number in range(24):
        ask(store, f"o{number:02}", APPROVED)
        ask(store, f"o{number:02}", "shipped")
    together = threading.Barrier(3)

    def works(_: int) -> list[str]:
        own = open_store(database_url)
        together.wait()
        kept = []
        while looks := take(own, 4):
            kept += [look.order_id for look in looks if end(own, look)]
        own.close()
        return kept

    with ThreadPoolExecutor(3) as pool:
        kept = [order_id for part in pool.map(works, range(3)) for order_id in part]
    assert sorted(kept) == [f"o{number:02}" for number in range(24)]
    assert waiting(store) == 0
