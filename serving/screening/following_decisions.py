"""Use case: what follows from each decision in the log: its order is linked, and looked at where approved.

The checkout writes its decision and nothing about this. A cursor over the log says how far we are.
"""

from serving.domain.decision import Outcome
from serving.store.decision_log import last_position, outcomes_after
from serving.store.log_cursors import ORDER_LINKS, LogCursor, advanced, cursor_of, keep_cursor
from serving.store.order_links import (
    link_as_this_release,
    link_decided_orders,
    orders_of_older_release,
)
from serving.store.store import Store, Transaction
from serving.store.waiting_looks import APPROVED, WAITING_LOOKS, ask_for_looks

DECISIONS_AT_ONCE = 50


def follow_decisions(store: Store) -> int:
    """Link every order that was decided so far; returns how many decisions were followed.

    A look at an order then sees all orders that were decided before it; approved ones wait for a look, in
    the same transaction. What a service of the release before has linked beside us is linked as we do.
    Raises StoreUnavailable.
    """
    followed = 0
    _link_as_this_release(store)
    while True:
        with store.reading() as tx:
            # Looked at first without the database's write lock, which checkouts wait for.
            if last_position(tx) <= cursor_of(tx, ORDER_LINKS).position:
                return followed
        with store.writing(ORDER_LINKS, WAITING_LOOKS) as tx:
            before = cursor_of(tx, ORDER_LINKS)
            after = _follow(tx, before)
        if after.position == before.position:
            # The next line is still being written.
            return followed
        followed += after.position - before.position


def _link_as_this_release(store: Store) -> None:
    is_any = True
    while is_any:
        with store.reading() as tx:
            # Looked at first without the write lock, as above.
            is_any = bool(orders_of_older_release(tx, 1))
        if is_any:
            with store.writing(ORDER_LINKS) as tx:
                link_as_this_release(tx, DECISIONS_AT_ONCE)


def _follow(tx: Transaction, before: LogCursor) -> LogCursor:
    running = tx.running_writers()
    found = outcomes_after(tx, before.position, DECISIONS_AT_ONCE)
    after = advanced(before, [line.position for line in found], running)
    passed = [line for line in found if line.position <= after.position]
    # An order of nobody whom the ledger knows is not in the ledger, and links nothing.
    known = link_decided_orders(tx, sorted({line.order_id for line in passed}))
    due_at_ms_of = {
        line.order_id: line.as_of_ms
        for line in passed
        if line.outcome == Outcome.APPROVED.value and line.order_id in known
    }
    ask_for_looks(tx, APPROVED, due_at_ms_of.items())
    if after != before:
        keep_cursor(tx, ORDER_LINKS, after)
    return after
