"""How HTTP handlers come to the store: reads and writes that never block the event loop for long."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TypeVar

from serving.group_commit import GroupCommit
from serving.policy_watch import PolicyInForce
from serving.problem_details import ProblemError
from serving.request_scope import RequestScope
from serving.store.store import SqliteStore

Result = TypeVar("Result")


class StoreAccess:
    """One for each service process. `scope` is set once it has started; until then no request is sent."""

    def __init__(self) -> None:
        self.scope: RequestScope | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._writer: GroupCommit | None = None
        self._policy_now: Callable[[], PolicyInForce] | None = None

    def start(
        self,
        scope: RequestScope,
        *,
        threads: int,
        policy_now: Callable[[], PolicyInForce] | None = None,
    ) -> None:
        """Begin to answer.

        threads: that wait for a database across the network. 0 for SQLite: short reads run in the event
            loop itself, and writes that are ready together share a commit there.
        policy_now: which policy a request that begins now is answered under; None for the scope's own.
        """
        if threads:
            self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        else:
            self._writer = GroupCommit(lambda: _committing_together(scope))
        self._policy_now = policy_now
        self.scope = scope

    def stop(self) -> None:
        """Finish what was begun."""
        if self._writer is not None:
            self._writer.stop()
        if self._threads is not None:
            self._threads.shutdown()

    def ready_scope(self) -> RequestScope:
        """The scope of a request that begins now. Raises ProblemError (503) while the service is starting."""
        if self.scope is None:
            raise ProblemError(503, "The service is starting")
        if self._policy_now is not None and (now := self._policy_now()) is not self.scope.policy_in_force:
            # Another scope and not another policy in it: who began under the old one ends under it.
            self.scope = replace(self.scope, policy_in_force=now)
        return self.scope

    async def read(self, work: Callable[[], Result]) -> Result:
        """Read what requests write; sees only what is durable."""
        if self._writer is not None:
            # The reader shares the writer's connection, and would see what is not durable yet.
            await self._writer.settled()
        return await self.look_up(work)

    async def look_up(self, work: Callable[[], Result]) -> Result:
        """Read what requests do not write, such as keys."""
        if self._threads is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def write(self, work: Callable[[], Result]) -> Result:
        """Read and write; returns once it is durable."""
        if self._writer is None:
            return await self.read(work)
        return await self._writer.run(work)


def _committing_together(scope: RequestScope) -> AbstractContextManager[None]:
    store = scope.store
    return store.committing_together() if isinstance(store, SqliteStore) else nullcontext()
