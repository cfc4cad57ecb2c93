"""Requests that wait for somebody else's lock, without holding up the event loop or each other."""

import asyncio
from collections.abc import Callable

from serving.requests.request_patience import RequestPatience
from serving.store.errors import StoreBusy

FIRST_PAUSE_S = 0.001
LONGEST_PAUSE_S = 0.025
CALLED_AT_ONCE = 8
"""So many begin in one turn of the event loop; others are answered between two turns."""


class LockLine:
    """One wait that all share who need the same lock: one of them looks for all whether it has gone.

    A request leaves the line when its patience ends, whatever the others do. For one event loop only.

    try_lock: raises StoreBusy while the lock is held, another error where waiting is of no use.
    """

    def __init__(self, try_lock: Callable[[], object]) -> None:
        self._try_lock = try_lock
        # A dict keeps the order, and lets go of one in the middle at no cost.
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._next_look: asyncio.Handle | None = None
        self._pause_s = FIRST_PAUSE_S

    async def wait(self, patience: RequestPatience) -> None:
        """Wait until the lock may be had. Raises StoreBusy, and what `try_lock` raises."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting[turn] = None
        if self._next_look is None:
            self._pause_s = FIRST_PAUSE_S
            self._next_look = loop.call_later(self._pause_s, self._try_for_those_who_wait)
        try:
            await patience.wait(turn)
        finally:
            self._waiting.pop(turn, None)
            if not self._waiting and self._next_look is not None:
                self._next_look.cancel()
                self._next_look = None

    def _try_for_those_who_wait(self) -> None:
        self._next_look = None
        # Whoever's patience has ended in this turn of the loop is gone, and only not told yet.
        waiting = [turn for turn in self._waiting if not turn.done()]
        if not waiting:
            return
        loop = asyncio.get_running_loop()
        try:
            self._try_lock()
        except StoreBusy:
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._next_look = loop.call_later(self._pause_s, self._try_for_those_who_wait)
        except Exception as problem:  # each of those who wait raises it
            for turn in waiting:
                turn.set_exception(problem)
        else:
            for turn in waiting[:CALLED_AT_ONCE]:
                turn.set_result(None)
            if len(waiting) > CALLED_AT_ONCE:
                self._next_look = loop.call_soon(self._try_for_those_who_wait)
