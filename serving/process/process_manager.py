"""Closes the ports by which BentoML's process manager takes orders, and lets it notice at once who died.

BentoML starts its workers by circus and opens two TCP ports of loopback for it, without a password: whoever
is on the machine, under whatever user, could add a command there and have it run as the service's user.
Nothing of ours speaks to circus, and BentoML has no setting for it, so the function that opens them is
replaced.

It looks every ten seconds for processes that have ended. Until it does, clients of a service with one process
wait at an open port where nobody answers, so we look for it.
"""

import os
import time
from collections.abc import Callable
from typing import Any

from bentoml._internal.utils import circus as circus_of_bentoml
from tornado.ioloop import PeriodicCallback

from serving.process.draining import tell_that_all_end

DEATH_LOOK_SECONDS = 0.2
RESPAWN_PAUSE_SECONDS = 10.0
"""Of processes that end again and again, as where they cannot start: what their tries cost is bounded."""


def close_control_ports() -> None:
    """Let circus listen only within its own process. Call before BentoML starts to serve."""
    circus_of_bentoml.create_standalone_arbiter = _arbiter_without_ports


def _arbiter_without_ports(watchers: list[Any], *, threaded: bool = False, **options: Any) -> Any:
    """As BentoML makes it, but for where it listens: an `inproc` address is neither a port nor a file."""
    kind: Any = circus_of_bentoml.ThreadedArbiter if threaded else circus_of_bentoml.Arbiter

    def start_watchers(arbiter: Any) -> Any:
        # Here, because this runs in its event loop.
        looking = PeriodicCallback(Respawning(arbiter).look, DEATH_LOOK_SECONDS * 1_000)
        looking.start()
        return kind.start_watchers(arbiter)

    def stop(arbiter: Any) -> Any:
        # It tells them to end as it does when it starts one of them anew.
        tell_that_all_end([process_id for watcher in arbiter.watchers for process_id in watcher.processes])
        return kind.stop(arbiter)

    return type(kind.__name__, (kind,), {"stop": stop, "start_watchers": start_watchers})(
        watchers,
        endpoint=f"inproc://control-{os.getpid()}",
        pubsub_endpoint=f"inproc://events-{os.getpid()}",
        # BentoML's own figure: looking more often finds workers that are still starting.
        check_delay=options.pop("check_delay", 10),
        **options,
    )


class Respawning:
    """Has a manager start anew what has ended, at once; what ends again soon waits for its own next look."""

    def __init__(self, arbiter: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._arbiter = arbiter
        self._monotonic = monotonic
        self._not_before = monotonic()

    async def look(self) -> None:
        """Look once."""
        arbiter = self._arbiter
        # What it does for itself or for somebody else just now comes first: it does one thing at a time.
        is_occupied = arbiter._stopping or getattr(arbiter, "_exclusive_running_command", None) is not None
        if is_occupied or self._monotonic() < self._not_before:
            return
        if any(_has_ended(process_id) for one in arbiter.watchers for process_id in one.processes):
            self._not_before = self._monotonic() + RESPAWN_PAUSE_SECONDS
            await arbiter.manage_watchers()


def _has_ended(process_id: int) -> bool:
    """Whether a child has; it is left to be waited for."""
    try:
        return os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
