"""How HTTP handlers come to the store: reads and writes that hold up nobody who does not need them.

Whoever meets somebody else's lock waits here, asynchronously, for as long as its request has patience
(`request_patience`); then the work either has not begun and never will, or was taken back.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Protocol, TypeVar

from serving.in_force.policy_watch import PolicyInForce
from serving.requests.group_commit import GroupCommit
from serving.requests.lock_line import LockLine
from serving.requests.problem_details import STARTING, ProblemError
from serving.requests.request_patience import RequestPatience, current_patience
from serving.requests.request_scope import RequestScope, StoreDoor
from serving.store.api_keys import Caller, note_use
from serving.store.errors import CommitUnknown, StoreBusy, StoreError, StoreUnavailable
from serving.store.sandbox_clock import Clock
from serving.store.sqlite_store import SqliteStore
from serving.store.withdrawal import Withdrawal

Result = TypeVar("Result")

LOG = logging.getLogger("bonitas.store")
SLOW_READ_THREADS = 2
"""Each has its own connection to the store; more would only take the processor from checkout decisions."""
QUEUE_PAUSE_S = 0.02
RETRY_PAUSE_S = 0.01


class StoreAccess:
    """One for each service process. `scope` is set once it has started; until then no request is sent."""

    def __init__(self) -> None:
        self.scope: RequestScope | None = None
        self._way: _Way | None = None
        self._policy_now: Callable[[], PolicyInForce] | None = None
        self._clock_now: Callable[[RequestScope], Clock] = lambda scope: scope.now_ms
        self._noting: set[asyncio.Task[None]] = set()

    def start(
        self,
        scope: RequestScope,
        *,
        threads: int,
        policy_now: Callable[[], PolicyInForce] | None = None,
        clock_now: Callable[[], Clock] | None = None,
    ) -> None:
        """Begin to answer.

        threads: that wait for a database across the network. 0 for SQLite: short reads run in the event
            loop itself, and writes that are ready together share a commit there.
        policy_now: which policy a request that begins now is answered under; None for the scope's own.
        clock_now: by which clock a scope goes that is made for another policy; None for the scope's own.
        """
        self._way = _InThreads(scope.door, threads) if threads else _InEventLoop(scope.door)
        self._policy_now = policy_now
        if clock_now is not None:
            self._clock_now = lambda _scope: clock_now()
        self.scope = scope

    def stop(self) -> None:
        """Finish what was begun."""
        if self._way is not None:
            self._way.stop()

    def ready_scope(self) -> RequestScope:
        """The scope of a request that begins now. Raises ProblemError (503) while the service is starting."""
        if self.scope is None:
            raise _starting()
        if self._policy_now is not None and (now := self._policy_now()) is not self.scope.policy_in_force:
            # Another scope and not another policy in it: who began under the old one ends under it.
            # A store that could not be opened before may turn out to be a sandbox.
            self.scope = replace(self.scope, policy_in_force=now, now_ms=self._clock_now(self.scope))
        return self.scope

    async def read(self, work: Callable[[], Result]) -> Result:
        """Read what requests write; sees only what is durable. Raises StoreUnavailable."""
        return await self._started.read(work)

    async def look_up(self, work: Callable[[], Result]) -> Result:
        """Read what requests do not write, such as keys. Raises StoreUnavailable."""
        return await self._started.look_up(work)

    async def caller(self, scope: RequestScope, authorization: str | None) -> Caller:
        """Who calls, by the Authorization header. Raises ProblemError (401), StoreUnavailable.

        That the key was used is kept beside the request, which does not wait for it.
        """
        caller = await self.look_up(lambda: scope.authentication.caller(authorization))
        if scope.authentication.is_use_to_be_noted(caller):
            noting = asyncio.create_task(
                self.write_if_free(lambda: note_use(scope.store, name=caller.name, now_ms=scope.now_ms()))
            )
            # The event loop holds its tasks weakly.
            self._noting.add(noting)
            noting.add_done_callback(self._noting.discard)
        return caller

    async def read_beside(self, work: Callable[[], Result]) -> Result:
        """Read what takes longer than an event loop may wait, in a thread beside it. Raises StoreUnavailable.

        The store gives each thread a connection of its own, and that sees what is durable.
        """
        return await self._started.read_beside(work)

    async def write(self, work: Callable[[], Result]) -> Result:
        """Read and write; returns once it is durable.

        The work may be begun more than once, because a transaction that meets a lock is rolled back and tried
        again; it is kept once. Raises StoreUnavailable: then nothing is kept, now or later. Raises
        CommitUnknown where the database did not say.
        """
        return await self._started.write(work)

    async def write_if_free(self, work: Callable[[], object]) -> None:
        """Write what is worth no wait and no error: a lock, or a store that fails, leaves it undone."""
        try:
            await self._started.write(work, waits=False)
        except StoreError as problem:
            LOG.info("not_written", extra={"reason": str(problem)})

    @property
    def _started(self) -> "_Way":
        if self._way is None:
            raise _starting()
        return self._way


class _Way(Protocol):
    async def read(self, work: Callable[[], Result]) -> Result: ...

    async def look_up(self, work: Callable[[], Result]) -> Result: ...

    async def read_beside(self, work: Callable[[], Result]) -> Result: ...

    async def write(self, work: Callable[[], Result], *, waits: bool = True) -> Result: ...

    def stop(self) -> None: ...


class _InEventLoop:
    """SQLite: what is short is done here and now, and no call waits for a lock."""

    def __init__(self, door: StoreDoor) -> None:
        self._writer = GroupCommit(lambda: _committing_together(door))
        self._line = LockLine(lambda: _read_something(door))
        self._beside = ThreadPoolExecutor(SLOW_READ_THREADS, thread_name_prefix="slow-read")

    async def read(self, work: Callable[[], Result]) -> Result:
        # The reader shares the writer's connection, and would see what is not durable yet.
        await self._writer.settled()
        try:
            return work()
        except StoreBusy:
            patience = current_patience()
        while True:
            await self._line.wait(patience)
            await self._writer.settled()
            try:
                return work()
            except StoreBusy:
                continue

    async def look_up(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except StoreBusy:
            return await self.read(work)

    async def read_beside(self, work: Callable[[], Result]) -> Result:
        patience = current_patience()
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._beside, work)
            except StoreBusy:
                await self._line.wait(patience)

    async def write(self, work: Callable[[], Result], *, waits: bool = True) -> Result:
        return await self._writer.run(work, waits=waits)

    def stop(self) -> None:
        self._writer.stop()
        self._beside.shutdown()


def _read_something(door: StoreDoor) -> None:
    """Raises StoreBusy while nothing can be read because of a lock."""
    with door.open().reading() as tx:
        tx.execute("SELECT version_num FROM alembic_version")


def _committing_together(door: StoreDoor) -> AbstractContextManager[None]:
    store = door.open()
    return store.committing_together() if isinstance(store, SqliteStore) else nullcontext()


class _InThreads:
    """A database across the network: threads wait for it, and a thread waits for a lock only briefly.

    What met a lock is tried again, in half of the threads at most: whoever needs no lock that is held finds
    the others free.
    """

    def __init__(self, door: StoreDoor, threads: int) -> None:
        self._door = door
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._beside = ThreadPoolExecutor(SLOW_READ_THREADS, thread_name_prefix="slow-read")
        self._trying_again = asyncio.Semaphore(max(threads // 2, 1))

    async def read(self, work: Callable[[], Result]) -> Result:
        return await self._done(work, self._threads)

    async def look_up(self, work: Callable[[], Result]) -> Result:
        return await self._done(work, self._threads)

    async def read_beside(self, work: Callable[[], Result]) -> Result:
        return await self._done(work, self._beside)

    async def write(self, work: Callable[[], Result], *, waits: bool = True) -> Result:
        return await self._done(work, self._threads, waits=waits)

    def stop(self) -> None:
        self._threads.shutdown()
        self._beside.shutdown()

    async def _done(
        self, work: Callable[[], Result], threads: ThreadPoolExecutor, *, waits: bool = True
    ) -> Result:
        patience = current_patience()
        patience.require_time_for_work()
        try:
            return await self._tried(work, threads, patience)
        except StoreBusy:
            # The thread is free again; from here on the event loop waits.
            if not waits:
                raise
        while True:
            async with patience.bounded():
                await self._trying_again.acquire()
            try:
                await patience.pause(RETRY_PAUSE_S)
                return await self._tried(work, threads, patience)
            except StoreBusy:
                if patience.begins_within_s() <= 0:
                    raise
            finally:
                self._trying_again.release()

    async def _tried(
        self, work: Callable[[], Result], threads: ThreadPoolExecutor, patience: RequestPatience
    ) -> Result:
        """Have it done once in a thread, and take it back where the answer would come too late."""
        withdrawal = Withdrawal()
        running = threads.submit(self._do, work, withdrawal)
        answer = asyncio.wrap_future(running)
        answer.add_done_callback(_seen)
        try:
            await asyncio.wait({answer}, timeout=QUEUE_PAUSE_S)
            while _is_queued(running):
                try:
                    await patience.pause(QUEUE_PAUSE_S)
                except StoreBusy:
                    if running.cancel():
                        raise
            await asyncio.wait({answer}, timeout=max(patience.ends_within_s(), 0.0))
        except asyncio.CancelledError:
            # The server has told its client that it gave up.
            running.cancel()
            withdrawal.withdraw()
            raise
        if answer.done():
            return await answer
        if withdrawal.withdraw():
            raise StoreUnavailable("the database did not answer in time")
        raise CommitUnknown("the database did not confirm the commit in time")

    def _do(self, work: Callable[[], Result], withdrawal: Withdrawal) -> Result:
        with self._door.open().withdrawable(withdrawal):
            return work()


def _is_queued(running: "Future[Result]") -> bool:
    return not running.running() and not running.done()


def _seen(answer: "asyncio.Future[Result]") -> None:
    """Nobody may wait any more for what it raises."""
    if not answer.cancelled():
        answer.exception()


def _starting() -> ProblemError:
    return ProblemError(STARTING)
