"""`bonitas benchmark start`: what a service takes until its first decision, beside BentoML's imports."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from data_contracts.progress import Progress, no_progress
from serving.benchmarks.load_generator import NUMBER_PLACE
from serving.benchmarks.serving_benchmark import NothingToMeasureError, copied_store, free_port, order_bodies
from serving.process.server import running_server
from serving.process.settings import Settings
from serving.store.api_keys import create_key
from serving.store.open_store import open_store
from serving.store.store import now_ms

SUPERVISOR_IMPORTS = "import _bentoml_impl.server, bentoml_cli.cli"
ANSWERING_IMPORTS = "import _bentoml_impl.server, _bentoml_impl.worker.service"
"""What BentoML's two processes import, whatever they serve."""
PAUSE_S = 0.02


def benchmark_start(settings: Settings, *, starts: int, progress: Progress = no_progress) -> dict[str, Any]:
    """Median CPU and wall seconds of so many starts, each in a copy of the home's store with one decision.

    Raises NothingToMeasureError where nobody is approved.
    """
    measured = []
    for number in range(starts):
        progress("starts", done=number, total=starts)
        measured.append(_one_start(settings))
    progress("starts", done=starts, total=starts)
    bare = median(_bare_start_cpu_seconds() for _ in range(starts))
    whole = median(cpu_seconds for cpu_seconds, _ in measured)
    return {
        "starts": starts,
        "cpu_seconds_to_first_decision": round(whole, 2),
        "wall_seconds_to_first_decision": round(median(wall for _, wall in measured), 2),
        "bentoml_imports_cpu_seconds": round(bare, 2),
        "ratio_to_bentoml_imports": round(whole / bare, 2),
    }


def _one_start(settings: Settings) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="bonitas-benchmark-") as folder:
        home = Path(folder)
        settings.artifact_root.mkdir(parents=True, exist_ok=True)
        (home / settings.artifact_root.name).symlink_to(settings.artifact_root.resolve())
        copied = replace(settings, home=home, database_url=copied_store(settings, home))
        store = open_store(copied.database_url)
        try:
            key = create_key(store, name="benchmark", role="checkout", merchant_id=None, now_ms=now_ms())
            bodies = order_bodies(store)
        finally:
            store.close()
        began = time.perf_counter()
        with running_server(copied, port=free_port(), log_file=home / "server.log") as server:
            _decide_one(server.url, key, bodies)
            wall_seconds = time.perf_counter() - began
            supervisor = psutil.Process(server.process_id)
            family = [supervisor, *supervisor.children(recursive=True)]
            return sum(_cpu_seconds(process) for process in family), wall_seconds


def _decide_one(url: str, key: str, bodies: Sequence[str]) -> None:
    """Ask until one order is decided: who cannot be judged yet is told so, and the next one is asked."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        for number, body in enumerate(bodies):
            order = body.replace(NUMBER_PLACE.decode(), f"start-{number}")
            answer = client.post("/v1/score", content=order, headers={"Content-Type": "application/json"})
            answer.raise_for_status()
            if answer.json()["outcome"] != "unavailable":
                return
            time.sleep(PAUSE_S)
    raise NothingToMeasureError("the service decides nothing; is there a champion model?")


def _bare_start_cpu_seconds() -> float:
    """CPU of a process that only imports what BentoML needs to serve, once for each of its two processes."""
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
