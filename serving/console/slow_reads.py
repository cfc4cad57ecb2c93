"""Reads that take longer than an event loop may wait: in threads of their own, beside the decisions."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

THREADS = 2
"""Each has its own connection to the store; more would only take the processor from checkout decisions."""

_THREADS = ThreadPoolExecutor(THREADS, thread_name_prefix="console-read")


async def read_beside(work: Callable[[], Result]) -> Result:
    """Do work that only reads, without holding up anyone. What it raises is raised here.

    The store gives each thread a connection of its own, and that sees what is durable.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
