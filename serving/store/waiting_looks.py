"""Which orders wait for a look, and why: at most one row for an order and a reason, first looks first."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data_contracts.instants import SECOND_MS
from serving.store.id_lists import lists_of_ids
from serving.store.store import Transaction

APPROVED = "order_approved"
LINKED_FRAUD = "linked_fraud_confirmed"
LINKED_ORDER = "linked_order"

WAITING_LOOKS = "waiting-looks"
"""The lock of whoever takes looks, or asks for several at once."""
TAKEN_FOR_MS = 30 * SECOND_MS
"""So long a look belongs to the worker that took it; one that was killed, or failed, is tried again then."""
LINKED_PAUSE_MS = 5 * SECOND_MS
"""An order is looked at because of orders like it at most so often."""

_RANKS = {APPROVED: 0, LINKED_ORDER: 2}
_NEWS_RANK = 1


@dataclass(frozen=True, kw_only=True)
class WaitingLook:
    """A look that a worker took: all reasons of one order together.

    triggers: the reasons, the most urgent first. ask_ids: what is done with once the look is kept.
    due_at_ms: of the latest of them.
    """

    order_id: str
    triggers: tuple[str, ...]
    ask_ids: tuple[str, ...]
    due_at_ms: int


def rank_of(trigger: str) -> int:
    """0 for a first look, 1 for news about the order or fraud beside it, 2 for an order like it."""
    return _RANKS.get(trigger, _NEWS_RANK)


def ask_for_look(tx: Transaction, order_id: str, trigger: str, due_at_ms: int) -> None:
    """See to it that an order is looked at; a look that waits for the same reason does for this one too."""
    ask_for_looks(tx, trigger, [(order_id, due_at_ms)])


def ask_for_looks(tx: Transaction, trigger: str, due_at_ms_of: Iterable[tuple[str, int]]) -> None:
    """The same for several orders, each with the moment from which it is due."""
    tx.execute_many(
        "INSERT INTO waiting_looks (order_id, trigger, rank, due_at_ms, ask_id) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (order_id, trigger) DO UPDATE SET due_at_ms = excluded.due_at_ms, "
        "ask_id = excluded.ask_id, taken_until_ms = NULL "
        # One that nobody has begun will see the news; one that was begun may not have.
        "WHERE waiting_looks.taken_until_ms IS NOT NULL",
        [
            (order_id, trigger, rank_of(trigger), due_at_ms, secrets.token_hex(6))
            # In one order, so that two who ask for the same looks do not wait for each other.
            for order_id, due_at_ms in sorted(due_at_ms_of)
        ],
    )


_IS_DUE = "(due_at_ms <= ? OR due_at_ms > ?)"
_IS_FREE = "(taken_until_ms IS NULL OR taken_until_ms <= ? OR taken_until_ms > ?)"
"""An instant further ahead than anything waits, or is taken for, comes from a clock that was wrong."""


def _due_now(now_ms: int) -> tuple[int, int]:
    return now_ms, now_ms + LINKED_PAUSE_MS


def _free_now(now_ms: int) -> tuple[int, int]:
    return now_ms, now_ms + TAKEN_FOR_MS


def is_any_look_due(tx: Transaction, *, now_ms: int) -> bool:
    """Whether `take_looks` would find any; asked without the lock of a writer."""
    due = tx.execute(
        f"SELECT 1 FROM waiting_looks WHERE {_IS_DUE} AND {_IS_FREE} LIMIT 1",  # noqa: S608 - constants
        (*_due_now(now_ms), *_free_now(now_ms)),
    )
    return bool(due)


def take_looks(tx: Transaction, limit: int, *, now_ms: int) -> list[WaitingLook]:
    """Take the most urgent orders that are due, for TAKEN_FOR_MS. The caller holds WAITING_LOOKS."""
    orders = tx.execute(
        f"SELECT order_id FROM waiting_looks WHERE {_IS_DUE} AND {_IS_FREE} "  # noqa: S608 - constants
        "ORDER BY rank, due_at_ms, order_id LIMIT ?",
        (*_due_now(now_ms), *_free_now(now_ms), limit),
    )
    # Whatever else an order waits for is answered by the same look.
    taken: dict[str, list[tuple[str, str, int]]] = {order_id: [] for (order_id,) in orders}
    for marks, ids in lists_of_ids(list(taken)):
        for order_id, trigger, ask_id, due_at_ms in tx.execute(
            f"UPDATE waiting_looks SET taken_until_ms = ? WHERE order_id IN ({marks}) AND {_IS_FREE} "  # noqa: S608 - placeholders only
            "RETURNING order_id, trigger, ask_id, due_at_ms",
            (now_ms + TAKEN_FOR_MS, *ids, *_free_now(now_ms)),
        ):
            taken[order_id].append((trigger, ask_id, int(due_at_ms)))
    return [_taken(order_id, asks) for order_id, asks in taken.items()]


def _taken(order_id: str, asks: Sequence[tuple[str, str, int]]) -> WaitingLook:
    # A confirmed fraud may re-open a case: of the reasons of one rank it says the most.
    by_urgency = sorted(asks, key=lambda ask: (rank_of(ask[0]), ask[0] != LINKED_FRAUD, ask[0]))
    return WaitingLook(
        order_id=order_id,
        triggers=tuple(trigger for trigger, _, _ in by_urgency),
        ask_ids=tuple(ask_id for _, ask_id, _ in by_urgency),
        due_at_ms=max(due_at_ms for _, _, due_at_ms in by_urgency),
    )


def end_look(tx: Transaction, look: WaitingLook) -> bool:
    """The look is kept with this transaction; False where another worker had done it meanwhile."""
    marks = ", ".join("?" * len(look.ask_ids))
    ended = tx.execute(
        f"DELETE FROM waiting_looks WHERE order_id = ? AND ask_id IN ({marks}) RETURNING ask_id",  # noqa: S608 - placeholders only
        (look.order_id, *look.ask_ids),
    )
    return bool(ended)


def waiting_look_count(tx: Transaction) -> int:
    """How many looks wait, those that a worker has taken included."""
    return int(tx.execute("SELECT count(*) FROM waiting_looks")[0][0])
