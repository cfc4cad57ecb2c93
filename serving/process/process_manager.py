"""Closes the ports by which BentoML's process manager takes orders.

BentoML starts its workers by circus and opens two TCP ports of loopback for it, without a password: whoever
is on the machine, under whatever user, could add a command there and have it run as the service's user.
Nothing of ours speaks to circus, and BentoML has no setting for it, so the function that opens them is
replaced.
"""

import os
from typing import Any

from bentoml._internal.utils import circus as circus_of_bentoml

from serving.process.draining import tell_that_all_end


def close_control_ports() -> None:
    """Let circus listen only within its own process. Call before BentoML starts to serve."""
    circus_of_bentoml.create_standalone_arbiter = _arbiter_without_ports


def _arbiter_without_ports(watchers: list[Any], *, threaded: bool = False, **options: Any) -> Any:
    """As BentoML makes it, but for where it listens: an `inproc` address is neither a port nor a file."""
    kind: Any = circus_of_bentoml.ThreadedArbiter if threaded else circus_of_bentoml.Arbiter

    def stop(arbiter: Any) -> Any:
        # It tells them to end as it does when it starts one of them anew.
        tell_that_all_end([process_id for watcher in arbiter.watchers for process_id in watcher.processes])
        return kind.stop(arbiter)

    return type(kind.__name__, (kind,), {"stop": stop})(
        watchers,
        endpoint=f"inproc://control-{os.getpid()}",
        pubsub_endpoint=f"inproc://events-{os.getpid()}",
        # BentoML's own figure: looking more often finds workers that are still starting.
        check_delay=options.pop("check_delay", 10),
        **options,
    )
