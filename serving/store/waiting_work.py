"""How much waits for a worker, and for how long: what tells that the workers keep up."""

from dataclasses import dataclass

from serving.store.decision_log import last_position
from serving.store.log_cursors import ORDER_LINKS, cursor_of
from serving.store.store import Transaction

LOOK_KINDS = ("look_first", "look_news", "look_linked")
"""Looks that wait, by their rank."""
DELIVERY = "delivery"
SETTLEMENT = "settlement"
"""Orders that wait to be settled."""


@dataclass(frozen=True, kw_only=True)
class DueWork:
    """What could be worked off now. oldest_ms: for how long the oldest of it has been due; 0 for none."""

    count: int
    oldest_ms: int


def decisions_not_followed(tx: Transaction) -> int:
    """How many decisions of the log no worker has followed."""
    return max(0, last_position(tx) - cursor_of(tx, ORDER_LINKS).position)


def due_work(tx: Transaction, now_ms: int) -> dict[str, DueWork]:
    """What is due: looks by rank, deliveries, orders to settle, messages of the outbox by their kind.

    Looks are there without any too, so that an alarm finds them at rest.
    """
    found = dict.fromkeys((*LOOK_KINDS, DELIVERY), DueWork(count=0, oldest_ms=0))
    looks = tx.execute(
        "SELECT rank, count(*), min(due_at_ms) FROM waiting_looks WHERE due_at_ms <= ? GROUP BY rank",
        (now_ms,),
    )
    deliveries = tx.execute(
        "SELECT 'delivery', count(*), min(next_attempt_at_ms) FROM deliveries WHERE next_attempt_at_ms <= ?",
        (now_ms,),
    )
    settlements = tx.execute(
        f"SELECT '{SETTLEMENT}', count(*), min(due_at_ms) FROM orders_to_settle WHERE due_at_ms <= ?",  # noqa: S608 - a constant
        (now_ms,),
    )
    messages = tx.execute(
        "SELECT kind, count(*), min(created_at_ms) FROM outbox WHERE created_at_ms <= ? GROUP BY kind",
        (now_ms,),
    )
    for kind, count, since_ms in (
        # A newer release may know of ranks beyond these.
        *((LOOK_KINDS[min(int(rank), len(LOOK_KINDS) - 1)], *of_rank) for rank, *of_rank in looks),
        *deliveries,
        *settlements,
        *messages,
    ):
        if count:
            found[kind] = DueWork(count=int(count), oldest_ms=now_ms - int(since_ms))
    return found
