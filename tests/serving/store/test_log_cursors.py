"""A reader of the decision log takes each decision once, whatever order the commits come in."""

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.screening.following_decisions import follow_decisions
from serving.store.decision_log import append_decision
from serving.store.log_cursors import LogCursor, advanced, cursor_of, keep_cursor
from serving.store.open_store import open_store
from serving.store.store import RunningWriters, Store
from tests.serving.logged_decisions import a_logged_decision
from tests.serving.screening.test_order_review import START

ENDS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(1, 6), st.sampled_from(["commits", "rolls back"])), max_size=12
)


@given(ENDS, st.integers(1, 4))
def test_every_committed_decision_is_passed_once_and_in_its_order(
    writers: Sequence[tuple[int, int, str]], limit: int
) -> None:
    """Writer n begins at its moment, takes position n at once, and ends some moments later."""
    begun = sorted(begins for begins, _, _ in writers)
    ends = [begins + lasts for begins, (_, lasts, _) in zip(begun, writers, strict=True)]
    cursor, passed = LogCursor(position=0), []
    for moment in range(40):
        numbers = [number for number, begins in enumerate(begun, 1) if begins <= moment]
        open_now = [number for number in numbers if ends[number - 1] > moment]
        next_number = len(numbers) + 1
        running = RunningWriters(oldest=min(open_now, default=next_number), next=next_number)
        committed = [
            number for number in numbers if number not in open_now and writers[number - 1][2] == "commits"
        ]
        found = [number for number in committed if number > cursor.position][:limit]
        before, cursor = cursor.position, advanced(cursor, found, running)
        passed += [number for number in found if before < number <= cursor.position]
    assert passed == [number for number, (_, _, end) in enumerate(writers, 1) if end == "commits"]


def test_a_gap_from_another_server_is_waited_at_anew() -> None:
    """A restored store brings a writer's number that this server will not reach for years."""
    cursor = LogCursor(position=4, gap_to=5, writers_before=9_000_000)
    waiting = advanced(cursor, [6], RunningWriters(oldest=70, next=71))
    assert waiting == LogCursor(position=4, gap_to=5, writers_before=71)
    assert advanced(waiting, [6], RunningWriters(oldest=71, next=71)) == LogCursor(position=6)


def test_a_cursor_is_found_as_it_was_kept(store: Store) -> None:
    with store.writing("reader") as tx:
        assert cursor_of(tx, "reader") == LogCursor(position=0)
        for kept in (LogCursor(position=3, gap_to=5, writers_before=8), LogCursor(position=6)):
            keep_cursor(tx, "reader", kept)
            assert cursor_of(tx, "reader") == kept


def decide(store: Store, number: int, *, fails: bool = False) -> None:
    with store.writing(f"c{number}") as tx:
        append_decision(
            tx, a_logged_decision(f"dec_{number}", order_id=f"o{number}", as_of_ms=START + number)
        )
        if fails:
            raise _Fails


class _Fails(Exception):
    pass


def test_a_decision_that_was_rolled_back_holds_nothing_up(store: Store) -> None:
    decide(store, 1)
    with pytest.raises(_Fails):
        decide(store, 2, fails=True)
    decide(store, 3)
    assert follow_decisions(store) + follow_decisions(store) >= 2
    decide(store, 4)
    assert follow_decisions(store) == 1
    assert follow_decisions(store) == 0


@pytest.mark.postgresql
def test_a_decision_that_is_committed_after_a_later_one_is_not_skipped(
    store: Store, database_url: str
) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer: commits come in the order of the log")
    may_commit, has_written = threading.Event(), threading.Event()

    def slow() -> None:
        own = open_store(database_url)
        with own.writing("c1") as tx:
            append_decision(tx, a_logged_decision("dec_1", as_of_ms=START))
            has_written.set()
            assert may_commit.wait(30)
        own.close()

    first = threading.Thread(target=slow)
    first.start()
    assert has_written.wait(30)
    decide(store, 2)
    assert follow_decisions(store) == 0, "the one before it is still being written"
    may_commit.set()
    first.join()
    assert follow_decisions(store) == 2
