"""What `/metrics` tells about shadows: counted in the store, because the worker has no port of its own."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.requests.problem_details import ProblemError
from serving.requests.store_access import StoreAccess
from serving.store.errors import StoreError
from serving.store.shadow_progress import ShadowProgress, all_progress


class _ShadowCounts(Collector):
    def __init__(self, progress: Sequence[ShadowProgress]) -> None:
        self._progress = progress

    def collect(self) -> Iterable[Metric]:
        """The counters as they stand in the store."""
        labels = ["model", "version"]
        answered = CounterMetricFamily(
            "bonitas_shadow_decisions", "Answers of a challenger that ran as shadow", labels=labels
        )
        differing = CounterMetricFamily(
            "bonitas_shadow_differing",
            "Those of them with another outcome than the champion's",
            labels=labels,
        )
        failed = CounterMetricFamily(
            "bonitas_shadow_failed", "Those of them where the challenger failed", labels=labels
        )
        not_usable = GaugeMetricFamily(
            "bonitas_shadow_not_usable", "1 where a challenger cannot answer now, else 0", labels=labels
        )
        for one in self._progress:
            of = [one.model_name, one.model_version]
            answered.add_metric(of, one.answered)
            differing.add_metric(of, one.differing)
            failed.add_metric(of, one.failed)
            not_usable.add_metric(of, one.problem is not None)
        return [answered, differing, failed, not_usable]


async def shadow_metrics(access: StoreAccess) -> bytes:
    """The counters of every shadow in Prometheus's text form; nothing while the store cannot be read."""
    try:
        scope = access.ready_scope()

        def read() -> list[ShadowProgress]:
            # Opened here and not before: to connect to a database takes as long as it takes.
            with scope.store.reading() as tx:
                return all_progress(tx)

        progress = await access.look_up(read)
    except (ProblemError, StoreError):
        # The other metrics are worth most just then.
        return b""
    registry = CollectorRegistry()
    registry.register(_ShadowCounts(progress))
    return generate_latest(registry)
