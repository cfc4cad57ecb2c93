"""`bonitas benchmark start`: from the start of the service to its first decision, in CPU and by the clock.

The clock says little on a busy machine; what has to be computed until then is the same there. Beside it
stands what BentoML's two processes compute before they come to our code: their imports.
"""

import resource
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import httpx
import psutil

from data_contracts.progress import Progress
from serving.benchmarks.load_generator import NUMBER_PLACE
from serving.benchmarks.serving_benchmark import (
    NothingToMeasureError,
    copied_store,
    free_port,
    home_for_benchmark,
    order_bodies,
)
from serving.process.server import running_server
from serving.process.settings import Settings
from serving.store.api_keys import create_key
from serving.store.open_store import open_store
from serving.store.store import now_ms

SUPERVISOR_IMPORTS = "import _bentoml_impl.server, bentoml_cli.cli"
ANSWERING_IMPORTS = "import _bentoml_impl.server, _bentoml_impl.worker.service"
"""What BentoML's two processes import, whatever they serve."""
DECIDED_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class _Start:
    """Seconds until the first decision: by the clock, and of CPU of the process that answers and of the one
    that started it.
    """

    clock_s: float
    service_cpu_s: float
    supervisor_cpu_s: float


def benchmark_start(settings: Settings, *, rounds: int, progress: Progress) -> dict[str, Any]:
    """Median seconds until the first decision, on a copy of the store.

    What `bonitas serve` itself does before (it looks at tables, policy and champions) is not counted, nor is
    the worker. Raises NothingToMeasureError.
    """
    with home_for_benchmark(settings) as home:
        measured = replace(settings, home=home, database_url=copied_store(settings, home))
        store = open_store(measured.database_url)
        try:
            key = create_key(store, name="benchmark", role="checkout", merchant_id=None, now_ms=now_ms())
            body = order_bodies(store)[0]
        finally:
            store.close()
        starts = []
        for done in range(rounds):
            starts.append(_started(measured, key, body))
            progress("starts", done=done + 1, total=rounds)
    cpu_s = median(start.service_cpu_s + start.supervisor_cpu_s for start in starts)
    bentoml_s = median(_bentoml_imports_cpu_seconds() for _ in range(rounds))
    return {
        "rounds": rounds,
        "clock_seconds": round(median(start.clock_s for start in starts), 1),
        "service_cpu_seconds": round(median(start.service_cpu_s for start in starts), 2),
        "supervisor_cpu_seconds": round(median(start.supervisor_cpu_s for start in starts), 2),
        "bentoml_imports_cpu_seconds": round(bentoml_s, 2),
        "ratio_to_bentoml_imports": round(cpu_s / bentoml_s, 2),
    }


def _started(settings: Settings, key: str, body: str) -> _Start:
    began = time.monotonic()
    with running_server(settings, port=free_port(), log_file=settings.home / "server.log") as server:
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}) as client:
            until = began + DECIDED_WITHIN_SECONDS
            while not _is_decided(client, body.replace(NUMBER_PLACE.decode(), secrets.token_hex(4))):
                if time.monotonic() > until:
                    raise NothingToMeasureError(
                        "no order is decided: GET /readyz says why, see bonitas serve"
                    )
                time.sleep(0.05)
        clock_s = time.monotonic() - began
        supervisor = psutil.Process(server.process_id)
        return _Start(
            clock_s=clock_s,
            supervisor_cpu_s=_cpu_seconds(supervisor),
            service_cpu_s=sum(_cpu_seconds(child) for child in supervisor.children(recursive=True)),
        )


def _is_decided(client: httpx.Client, body: str) -> bool:
    answer = client.post("/v1/score", content=body, headers={"Content-Type": "application/json"})
    return answer.status_code == 200 and answer.json()["outcome"] != "unavailable"


def _bentoml_imports_cpu_seconds() -> float:
    """CPU of one process for each of BentoML's two that only imports what that one needs to serve."""
    before = _cpu_seconds_of_children()
    subprocess.run([sys.executable, "-c", SUPERVISOR_IMPORTS], check=True)  # noqa: S603 our own interpreter
    subprocess.run([sys.executable, "-c", ANSWERING_IMPORTS], check=True)  # noqa: S603 likewise
    return _cpu_seconds_of_children() - before


def _cpu_seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
