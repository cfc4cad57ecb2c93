"""How far a reader of the decision log has come, so that no decision is skipped and none is taken twice.

Positions are given out in order, but commits need not come in that order: on PostgreSQL the decision at
position 12 may be committed while the one at 11 is still being written. A reader at 10 that went on to 12
would never see 11. It stops at the gap until everybody has ended who could still fill it; a gap that is
left then belongs to a decision that was rolled back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.store.store import RunningWriters, Transaction

ORDER_LINKS = "order_links"
"""The cursor of whoever links orders that were decided, and the lock of whoever moves it."""


@dataclass(frozen=True, kw_only=True)
class LogCursor:
    """A reader's place.

    position: the last position that is worked off; 0 before the first. gap_to: the last position of the gap
    that the reader waits at, and writers_before: the gap may be skipped once all writers below this number
    have ended. Both None where it waits at none.
    """

    position: int
    gap_to: int | None = None
    writers_before: int | None = None


def advanced(cursor: LogCursor, found: Sequence[int], running: RunningWriters) -> LogCursor:
    """The cursor after it has passed all that can be passed now.

    found: the committed positions after the cursor's, ascending. running: asked before `found` was read.

    >>> advanced(LogCursor(position=10), [11, 12, 14], RunningWriters(oldest=7, next=9))
    LogCursor(position=12, gap_to=13, writers_before=9)
    >>> advanced(LogCursor(position=12, gap_to=13, writers_before=9), [14], RunningWriters(oldest=9, next=9))
    LogCursor(position=14, gap_to=None, writers_before=None)
    """
    reached = cursor.position
    dead_to = reached
    gap_to, writers_before = cursor.gap_to, cursor.writers_before
    # A number from another server says nothing about the writers of this one.
    if gap_to is not None and writers_before is not None and writers_before <= running.next:
        if running.oldest >= writers_before:
            dead_to = gap_to
    else:
        gap_to = writers_before = None
    for position in found:
        if position == reached + 1 or position - 1 <= dead_to:
            reached = position
        elif gap_to is not None and position - 1 <= gap_to:
            # Part of the gap that it waits at: whoever fills it began no later.
            return LogCursor(position=reached, gap_to=position - 1, writers_before=writers_before)
        else:
            return LogCursor(position=reached, gap_to=position - 1, writers_before=running.next)
    return LogCursor(position=reached)


def cursor_of(tx: Transaction, name: str) -> LogCursor:
    """Where a reader is; at the beginning where it never read."""
    rows = tx.execute("SELECT position, gap_to, writers_before FROM log_cursors WHERE name = ?", (name,))
    if not rows:
        return LogCursor(position=0)
    position, gap_to, writers_before = rows[0]
    return LogCursor(
        position=int(position),
        gap_to=None if gap_to is None else int(gap_to),
        writers_before=None if writers_before is None else int(writers_before),
    )


def keep_cursor(tx: Transaction, name: str, cursor: LogCursor) -> None:
    """Keep where a reader is, in the transaction that works off what it passed."""
    tx.execute(
        "INSERT INTO log_cursors (name, position, gap_to, writers_before) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET position = excluded.position, gap_to = excluded.gap_to, "
        "writers_before = excluded.writers_before",
        (name, cursor.position, cursor.gap_to, cursor.writers_before),
    )
