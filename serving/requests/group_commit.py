"""Requests that are ready at the same time share one durable commit, in the event loop itself.

A durable commit waits for the disk, and SQLite has one writer: eight requests that each wait for their
own commit wait eight times. Here each does its short work when its turn comes, and one commit follows
once all that were ready have had theirs. A writer thread would do the same, but the two threads would
fight over the interpreter at each of the twenty statements of a decision, which costs more than the
work itself.

While another process writes, work does not begin: requests wait in line, and other requests are answered.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from serving.requests.lock_line import LockLine
from serving.requests.request_patience import current_patience
from serving.store.errors import StoreBusy

Result = TypeVar("Result")


class GroupCommit:
    """Runs short work in the event loop and answers once it is durable. For one thread only.

    committing_together: the store's block for transactions that share a commit; raises StoreBusy, without
        a wait, while another process has the lock of the writer.
    """

    def __init__(self, committing_together: Callable[[], AbstractContextManager[None]]) -> None:
        self._committing_together = committing_together
        self._block: AbstractContextManager[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._line = LockLine(self._open_block)

    async def run(self, work: Callable[[], Result], *, waits: bool = True) -> Result:
        """Do the work once its turn comes; returns or raises what it does, once what it wrote is durable.

        waits: False for work that is not worth a wait for another process's lock.
        Raises StoreBusy when the request's patience ends before the work has begun; it is not done then, nor
        where the request is cancelled meanwhile. Raises StoreUnavailable when the block cannot be opened or
        its commit fails.
        """
        patience = current_patience()
        while True:
            while self._block is None:
                try:
                    self._open_block()
                except StoreBusy:
                    if not waits:
                        raise
                    await self._line.wait(patience)
            patience.require_time_for_work()
            durable = self._durable()
            try:
                return work()
            except StoreBusy:
                # The work before it was rolled back, and another process took the lock: it waits like others.
                if not waits:
                    raise
            finally:
                await durable

    async def settled(self) -> None:
        """Wait until nothing is written that is not durable, so that a reader tells no half-truth."""
        if self._block is not None:
            await self._durable()

    def stop(self) -> None:
        """Commit what is open."""
        if self._block is not None:
            self._commit()

    def _open_block(self) -> None:
        """Let work be done now, unless it may be already. Raises StoreBusy, StoreUnavailable."""
        if self._block is not None:
            return
        block = self._committing_together()
        block.__enter__()
        self._block = block
        loop = asyncio.get_running_loop()
        # Two turns later: who is ready now has read its request by then and joins.
        loop.call_soon(loop.call_soon, self._commit)

    def _durable(self) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return future

    def _commit(self) -> None:
        block, waiting = self._block, self._waiting
        self._block, self._waiting = None, []
        if block is None:
            return
        failure: Exception | None = None
        try:
            block.__exit__(None, None, None)
        except Exception as problem:  # whatever it is, each of those who wait for the commit raises it
            failure = problem
        for future in waiting:
            # A request that timed out meanwhile no longer waits.
            if not future.done():
                if failure is None:
                    future.set_result(None)
                else:
                    future.set_exception(failure)
