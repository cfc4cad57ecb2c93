"""What a clock that jumped ahead has left for much later is made due again.

A message carries the instant from which on it is due. One that was left while the clock was a day ahead would
wait that day, once the clock is right again, with the check or the notice that it asks for. Looks see to this
themselves (`serving/store/waiting_looks.py`).
"""

from data_contracts.instants import MINUTE_MS
from serving.store.deliveries import WAITING
from serving.store.outbox import (
    CHECK_CASE,
    CONTACT_CHANGED,
    DISPUTED_ORDER_INVOICED,
    FRAUD_CONFIRMED,
    IDENTITY_CLAIMED,
    MERCHANT_TOPIC,
    POSTPONED_MS,
    SETTLEMENT_POSTED,
    WATCH,
)
from serving.store.store import Store, Transaction

DUE_AT_ONCE = (
    FRAUD_CONFIRMED,
    CONTACT_CHANGED,
    CHECK_CASE,
    DISPUTED_ORDER_INVOICED,
    IDENTITY_CLAIMED,
    MERCHANT_TOPIC,
    SETTLEMENT_POSTED,
)
"""Kinds of messages that are due when they are left, or after one postponement. The watch over an invoice is
left for another day, and a stop for the instant until which its case says that it can be undone."""
CLOCKS_APART_MS = MINUTE_MS
LONGEST_WAIT_MS = POSTPONED_MS + CLOCKS_APART_MS
SENDING_MS = 2 * MINUTE_MS + CLOCKS_APART_MS
"""Of a delivery that nobody has tried yet: only who sends it leaves it for later."""


def make_due_what_a_clock_left_ahead(store: Store, now_ms: int) -> int:
    """Make due what waits for an instant that nothing but a clock that was ahead explains; returns how much.

    Looks first without the lock of a writer. Raises StoreUnavailable.
    """
    with store.reading() as tx:
        if not _is_any_left_ahead(tx, now_ms):
            return 0
    with store.writing("clock-jumps") as tx:
        return _outbox_made_due(tx, now_ms) + _deliveries_made_due(tx, now_ms)


_IN_OUTBOX = "kind = ? AND created_at_ms > ? AND payload NOT LIKE ?"
_IN_DELIVERIES = (
    "state = ? AND next_attempt_at_ms > ? AND (attempts = 0 OR EXISTS (SELECT 1 FROM delivery_attempts "
    "WHERE delivery_attempts.delivery_id = deliveries.delivery_id AND at_ms > ?))"
)


def _outbox_parameters(kind: str, now_ms: int) -> tuple[object, ...]:
    return kind, now_ms + LONGEST_WAIT_MS, f'%"{WATCH}"%'


def _delivery_parameters(now_ms: int) -> tuple[object, ...]:
    return WAITING, now_ms + SENDING_MS, now_ms + CLOCKS_APART_MS


def _is_any_left_ahead(tx: Transaction, now_ms: int) -> bool:
    return any(
        tx.execute(f"SELECT 1 FROM outbox WHERE {_IN_OUTBOX} LIMIT 1", _outbox_parameters(kind, now_ms))  # noqa: S608 - constants
        for kind in DUE_AT_ONCE
    ) or bool(
        tx.execute(
            f"SELECT 1 FROM deliveries WHERE {_IN_DELIVERIES} LIMIT 1",  # noqa: S608 - constants
            _delivery_parameters(now_ms),
        )
    )


def _outbox_made_due(tx: Transaction, now_ms: int) -> int:
    return sum(
        len(
            tx.execute(
                f"UPDATE outbox SET created_at_ms = ? WHERE {_IN_OUTBOX} RETURNING message_id",  # noqa: S608 - constants
                (now_ms, *_outbox_parameters(kind, now_ms)),
            )
        )
        for kind in DUE_AT_ONCE
    )


def _deliveries_made_due(tx: Transaction, now_ms: int) -> int:
    # One by one in the order in which workers lease them: they would wait for each other in a circle.
    ahead = tx.execute(
        f"SELECT delivery_id FROM deliveries WHERE {_IN_DELIVERIES} ORDER BY delivery_id",  # noqa: S608 - constants
        _delivery_parameters(now_ms),
    )
    for (delivery_id,) in ahead:
        tx.execute(
            "UPDATE deliveries SET next_attempt_at_ms = ? WHERE delivery_id = ? AND state = ?",
            (now_ms, delivery_id, WAITING),
        )
    return len(ahead)
