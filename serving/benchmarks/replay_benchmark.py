"""`bonitas benchmark replay`: many decisions replayed together beside each one alone, in one run."""

import time
from statistics import median
from typing import Any

from data_contracts.progress import Progress
from serving.benchmarks.serving_benchmark import NothingToMeasureError
from serving.checkout.log_replay import replay_log
from serving.checkout.replay import replay
from serving.in_force.model_watch import ModelRegistry
from serving.process.settings import Settings
from serving.store.decision_log import newest_decisions
from serving.store.open_store import open_store
from serving.store.store import Store


def benchmark_replay(
    settings: Settings, *, decisions: int, rounds: int, progress: Progress
) -> dict[str, Any]:
    """Median milliseconds of CPU per decision, together and each alone, and their ratio.

    decisions: so many of the newest, of the settings' store, which is only read. rounds: of both in turn.
    Alone, each reads policy and model anew, as `bonitas decisions replay ID` does; the start of that
    command, seconds of imports, is not counted. Raises NothingToMeasureError.
    """
    store = open_store(settings.database_url)
    try:
        with store.reading() as tx:
            newest = newest_decisions(tx, decisions)
        if not newest:
            raise NothingToMeasureError("the store holds no decisions: run `bonitas run --once` first")
        since_ms = min(decision.as_of_ms for decision in newest)
        together, alone = [], []
        for done in range(rounds):
            together.append(_together_ms(store, settings, since_ms))
            alone.append(_alone_ms(store, settings, [decision.decision_id for decision in newest]))
            progress("replay", done=done + 1, total=rounds)
    finally:
        store.close()
    return {
        "decisions": len(newest),
        "rounds": rounds,
        "together_cpu_ms": round(median(together), 2),
        "alone_cpu_ms": round(median(alone), 2),
        "ratio": round(median(alone) / median(together), 1),
    }


def _registry(settings: Settings) -> ModelRegistry:
    return ModelRegistry(settings.mlflow_uri, settings.artifact_root)


def _together_ms(store: Store, settings: Settings, since_ms: int) -> float:
    began = time.process_time()
    count = sum(1 for _ in replay_log(store, _registry(settings), since_ms=since_ms))
    return 1_000 * (time.process_time() - began) / count


def _alone_ms(store: Store, settings: Settings, decision_ids: list[str]) -> float:
    began = time.process_time()
    for decision_id in decision_ids:
        replay(store, _registry(settings), decision_id)
    return 1_000 * (time.process_time() - began) / len(decision_ids)
