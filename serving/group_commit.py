"""One thread that writes to SQLite and makes what waits at the same time durable with one commit.

A durable commit waits for the disk, and SQLite has one writer: eight requests that each wait for their
own commit wait eight times. Here they share one, and the event loop never waits at all.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from serving.store.errors import StoreUnavailable

Result = TypeVar("Result")
TOGETHER_MAXIMUM = 64

_Job = tuple[Callable[[], Any], "Future[Any]"]


class GroupCommit:
    """Runs work in one thread.

    committing_together: the store's block for transactions that share a commit.
    """

    def __init__(self, committing_together: Callable[[], AbstractContextManager[None]]) -> None:
        self._committing_together = committing_together
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do the work; returns or raises what it does, once what it wrote is durable."""
        future: Future[Result] = Future()
        self._waiting.put((work, future))
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """Finish what waits, then end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_ending = False
        while not is_ending:
            jobs = [self._waiting.get()]
            # No other thread takes from the queue, so what is there stays there.
            while len(jobs) < TOGETHER_MAXIMUM and not self._waiting.empty():
                jobs.append(self._waiting.get())
            is_ending = None in jobs
            self._work_off([job for job in jobs if job is not None])

    def _work_off(self, jobs: list[_Job]) -> None:
        wanted = [(work, future) for work, future in jobs if future.set_running_or_notify_cancel()]
        if not wanted:
            return
        done: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._committing_together():
                for work, future in wanted:
                    try:
                        done.append((future, work(), None))
                    except BaseException as raised:  # noqa: BLE001, RUF100 it is raised again in the request
                        done.append((future, None, raised))
        except StoreUnavailable as problem:
            done = [(future, None, problem) for _, future in wanted]
        for future, result, error in done:
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
