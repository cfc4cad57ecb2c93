"""How many connections a process may hold, so that descriptors are left for the store and all else."""

import resource

KEPT_FOR_OTHERS = 64
"""Files and connections of the store, for each thread; the registry, the log, what the event loop needs."""
BURST = 2_048
"""So many may be accepted in one turn of the event loop, before the first of them can be ended."""
FEWEST = 8


def connections_within_descriptors(maximum: int) -> int:
    """At most `maximum`, fewer where the system gives this process too few descriptors for them.

    Raises the process's own limit first, as far as it may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = maximum + BURST + KEPT_FOR_OTHERS
    if _is_below(soft, wanted):
        soft = wanted if not _is_below(hard, wanted) else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return maximum if soft == resource.RLIM_INFINITY else max(min(maximum, soft - KEPT_FOR_OTHERS), FEWEST)


def _is_below(limit: int, wanted: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < wanted
