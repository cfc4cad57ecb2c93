"""Ends a process whose parent was killed: nobody would start it anew, and the next could not have its port.

Whoever starts a process of ours says so in its environment. A process that nobody of ours started, such as
one that outlives the shell it was typed in, is left alone.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping

STARTED_BY = "STARTED_BY_BONITAS"
"""The id of the process of ours that started this one. No setting: each sets it for those that it starts."""
LOOK_SECONDS = 0.5


def as_parent() -> dict[str, str]:
    """What a process that starts another puts into its environment."""
    return {STARTED_BY: str(os.getpid())}


def end_with_parent(environ: Mapping[str, str], end: Callable[[], object] | None = None) -> None:
    """Look from now on, in a thread, whether the parent lives that the environment names.

    end: what then ends this process; None for SIGTERM, as whoever stops it would send.
    """
    started_by = environ.get(STARTED_BY, "")
    if started_by.isdecimal():
        watching = threading.Thread(
            target=_watch, args=(int(started_by), end or _terminate), name="parent-watch", daemon=True
        )
        watching.start()


def _watch(parent: int, end: Callable[[], object]) -> None:
    # A child gets another parent at the moment when its own has ended.
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    end()


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
