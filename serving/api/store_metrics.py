"""What `/metrics` tells from the store: rows and work that wait, refused invoices, and shadows."""

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from data_contracts.between_rows.waits import WaitKind
from data_contracts.instants import SECOND_MS
from serving.process.metric_files import FOLDER_VARIABLE, merged_metrics, settle_counts
from serving.requests.problem_details import ProblemError
from serving.requests.route_declaration import Handler
from serving.requests.store_access import StoreAccess
from serving.shadow.metrics import shadow_metrics
from serving.store.errors import StoreError
from serving.store.held_rows import held_counts, refused_invoice_count
from serving.store.waiting_work import DueWork, decisions_not_followed, due_work


class _AllProcesses(Collector):
    def collect(self) -> Iterable[Metric]:
        """What all processes of the service count."""
        return merged_metrics()


class _LedgerCounts(Collector):
    def __init__(
        self,
        held: Mapping[WaitKind, int],
        refused_invoices: int,
        due: Mapping[str, DueWork],
        not_followed: int,
    ) -> None:
        self._held = held
        self._refused_invoices = refused_invoices
        self._due = due
        self._not_followed = not_followed

    def collect(self) -> Iterable[Metric]:
        """The figures as they stand in the store."""
        held = GaugeMetricFamily(
            "bonitas_held_rows", "Ledger rows that wait, by what they wait for", labels=["waits_for"]
        )
        for kind, count in self._held.items():
            held.add_metric([kind.value], count)
        refused = CounterMetricFamily(
            "bonitas_refused_invoices", "Invoices that were refused: each may hide a real debt"
        )
        refused.add_metric([], self._refused_invoices)
        due = GaugeMetricFamily(
            "bonitas_due_work", "What a worker could work off now, by kind", labels=["kind"]
        )
        oldest = GaugeMetricFamily(
            "bonitas_due_work_oldest_seconds", "For how long the oldest of it has been due", labels=["kind"]
        )
        for work, found in self._due.items():
            due.add_metric([work], found.count)
            oldest.add_metric([work], found.oldest_ms / SECOND_MS)
        not_followed = GaugeMetricFamily(
            "bonitas_decisions_not_followed", "Decisions whose orders no worker has linked yet"
        )
        not_followed.add_metric([], self._not_followed)
        return [held, refused, due, oldest, not_followed]


async def store_metrics(access: StoreAccess) -> bytes:
    """The figures in Prometheus's text form; nothing while the store cannot be read."""
    return await _ledger_metrics(access) + await shadow_metrics(access)


async def _ledger_metrics(access: StoreAccess) -> bytes:
    try:
        scope = access.ready_scope()

        def read() -> _LedgerCounts:
            # Opened here and not before: to connect to a database takes as long as it takes.
            with scope.store.reading() as tx:
                return _LedgerCounts(
                    held_counts(tx),
                    refused_invoice_count(tx),
                    due_work(tx, scope.now_ms()),
                    decisions_not_followed(tx),
                )

        counts = await access.look_up(read)
    except (ProblemError, StoreError):
        # The other metrics are worth most just then.
        return b""
    registry = CollectorRegistry()
    registry.register(counts)
    return generate_latest(registry)


def metrics_page(more: Callable[[], Awaitable[bytes]]) -> Handler:
    """The page `/metrics`. more: figures that no process of the service counts, in Prometheus's text form."""

    async def metrics(_request: Request) -> Response:
        settle_counts()
        registry = REGISTRY
        if FOLDER_VARIABLE in os.environ:
            registry = CollectorRegistry()
            registry.register(_AllProcesses())
        content = generate_latest(registry) + await more()
        return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")

    return metrics
