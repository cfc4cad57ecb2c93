"""Sends prepared requests over keep-alive connections and times each answer; runs as its own process.

python -m serving.benchmarks.load_generator < plan.json > measured.json
"""

import asyncio
import gc
import itertools
import sys
import time
from collections.abc import Iterator

import msgspec

from serving.benchmarks.http_client import KeepAliveConnection, prepared_post

NUMBER_PLACE = b"000000000000"
"""Stands in a body where every request gets a number of its own, of the same width."""


class LoadPlan(msgspec.Struct, kw_only=True, frozen=True):
    """What to send, and for how long.

    bodies: JSON texts, sent in turn. expected: what an answer must contain to count as expected.
    first_number: numbers from it on replace NUMBER_PLACE.
    """

    host: str
    port: int
    path: str
    headers: dict[str, str]
    bodies: list[str]
    expected: str
    connections: int
    seconds: float
    first_number: int


class LoadResult(msgspec.Struct, kw_only=True, frozen=True):
    """What came of it; latencies in seconds, ascending."""

    elapsed_seconds: float
    latencies_seconds: list[float]
    expected_count: int
    next_number: int


async def _connection(plan: LoadPlan, requests: Iterator[bytes], until: float) -> tuple[list[float], int]:
    connection = await KeepAliveConnection.open(plan.host, plan.port)
    expected = plan.expected.encode()
    latencies: list[float] = []
    matched = 0
    while time.perf_counter() < until:
        request = next(requests)
        began = time.perf_counter()
        answer = await connection.post(request)
        latencies.append(time.perf_counter() - began)
        matched += answer.status == 200 and expected in answer.body
    await connection.close()
    return latencies, matched


async def run(plan: LoadPlan) -> LoadResult:
    """Keep every connection busy for the time of the plan."""
    prepared = [
        prepared_post(plan.path, body.encode(), host=plan.host, headers=plan.headers) for body in plan.bodies
    ]
    numbers = itertools.count(plan.first_number)
    requests = (
        request.replace(NUMBER_PLACE, b"%012d" % next(numbers)) for request in itertools.cycle(prepared)
    )
    gc.disable()
    began = time.perf_counter()
    results = await asyncio.gather(
        *(_connection(plan, requests, began + plan.seconds) for _ in range(plan.connections))
    )
    elapsed = time.perf_counter() - began
    gc.enable()
    return LoadResult(
        elapsed_seconds=elapsed,
        latencies_seconds=sorted(itertools.chain.from_iterable(latencies for latencies, _ in results)),
        expected_count=sum(matched for _, matched in results),
        next_number=next(numbers),
    )


def main() -> None:
    """Read a plan on stdin, write the result on stdout."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadPlan)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(run(plan))))


if __name__ == "__main__":
    main()
