"""How much a look works does not depend on how many orders share something with its order."""

from pathlib import Path

import pytest

from serving.benchmarks.look_benchmark import PLACES, PopularBook, PopularPlace
from serving.store.open_store import open_store
from serving.store.order_sums import entities_to_sum
from serving.store.sqlite_store import SqliteStore

FEW, SOME, MANY = 10, 300, 3_000
STEPS_AT_ONCE = 50
MOST_STEPS = 60_000
"""Of the SQLite engine, in a look: about a millisecond, most of it for other looks at the newest orders."""


def a_book(file: Path, empty: bytes, place: PopularPlace, size: int) -> PopularBook:
    file.write_bytes(empty)
    book = PopularBook(open_store(f"sqlite:///{file}"), place, size)
    book.link_orders()
    return book


def steps_of_a_look(book: PopularBook) -> int:
    """Steps of the database engine at the second of two looks: the first prepares the statements."""
    assert isinstance(book.store, SqliteStore)
    connection = book.store._connection()
    taken = [0]

    def step() -> int:
        taken[0] += STEPS_AT_ONCE
        return 0

    for _ in range(2):
        book.order_again()
        taken[0] = 0
        connection.set_progress_handler(step, STEPS_AT_ONCE)
        book.look()
        connection.set_progress_handler(None, 0)
    return taken[0]


@pytest.mark.parametrize("place", [PLACES[0], *PLACES[-2:]], ids=lambda place: place.name)
def test_a_look_works_no_more_at_a_popular_place(
    place: PopularPlace, tmp_path: Path, empty_sqlite: bytes
) -> None:
    steps = {}
    for size in (FEW, SOME, MANY):
        book = a_book(tmp_path / f"{size}.db", empty_sqlite, place, size)
        steps[size] = steps_of_a_look(book)
        book.store.close()
    assert steps[MANY] < 1.8 * steps[SOME], "ten times the orders, and hardly more work"
    assert steps[MANY] < MOST_STEPS


def test_what_many_orders_share_is_summed_up_as_they_are_linked(tmp_path: Path, empty_sqlite: bytes) -> None:
    book = a_book(tmp_path / "many.db", empty_sqlite, PLACES[-1], SOME)
    with book.store.reading() as tx:
        ((waiting, summed),) = tx.execute(
            "SELECT count(*) - sum(is_summed), sum(is_summed) FROM order_links WHERE entity_kind = 'merchant'"
        )
        left = entities_to_sum(tx)
    book.store.close()
    assert summed > SOME / 2
    assert waiting < SOME / 2
    assert all(kind not in {"customer_device", "customer_address"} for kind, _ in left)
