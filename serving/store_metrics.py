"""What `/metrics` tells from the store: rows that wait, invoices that were refused, and shadows."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from data_contracts.rules_between_rows import WaitKind
from serving.problem_details import ProblemError
from serving.shadow.metrics import shadow_metrics
from serving.store.errors import StoreError
from serving.store.held_rows import held_counts, refused_invoice_count
from serving.store_access import StoreAccess


class _LedgerCounts(Collector):
    def __init__(self, held: Mapping[WaitKind, int], refused_invoices: int) -> None:
        self._held = held
        self._refused_invoices = refused_invoices

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
        return [held, refused]


async def store_metrics(access: StoreAccess) -> bytes:
    """The figures in Prometheus's text form; nothing while the store cannot be read."""
    return await _ledger_metrics(access) + await shadow_metrics(access)


async def _ledger_metrics(access: StoreAccess) -> bytes:
    try:
        scope = access.ready_scope()

        def read() -> _LedgerCounts:
            # Opened here and not before: to connect to a database takes as long as it takes.
            with scope.store.reading() as tx:
                return _LedgerCounts(held_counts(tx), refused_invoice_count(tx))

        counts = await access.look_up(read)
    except (ProblemError, StoreError):
        # The other metrics are worth most just then.
        return b""
    registry = CollectorRegistry()
    registry.register(counts)
    return generate_latest(registry)
