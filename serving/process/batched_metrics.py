"""Metrics that cost a request next to nothing: what is counted is kept, and added to Prometheus in batches.

To count one value in prometheus_client takes several microseconds, under a lock. A decision has eight values
to count; here each is appended to a queue, and whoever writes or shows the metrics empties the queue.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import Counter as CountOf
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from serving.process.metric_files import BEFORE_WRITING, Counter, Histogram

Value = TypeVar("Value")

WAITING_AT_MOST = 20_000
"""Where nobody writes or shows the metrics, whoever counts empties the queue at this length."""


class _InBatches(ABC, Generic[Value]):
    """A queue of values. Any thread may append a value, and any thread may empty the queue."""

    def __init__(self) -> None:
        self._waiting: deque[Value] = deque()
        BEFORE_WRITING.append(self.settle)

    def _keep(self, value: Value) -> None:
        self._waiting.append(value)
        if len(self._waiting) > WAITING_AT_MOST:
            self.settle()

    def settle(self) -> None:
        """Add everything that waits to the metric."""
        self._add(self._taken())

    def _taken(self) -> list[Value]:
        taken: list[Value] = []
        for _ in range(len(self._waiting)):
            try:
                taken.append(self._waiting.popleft())
            except IndexError:
                # Another thread empties the queue as well: each value is taken by one of the two.
                break
        return taken

    @abstractmethod
    def _add(self, values: Sequence[Value]) -> None: ...


class CounterInBatches(_InBatches[str]):
    """A counter with one label."""

    def __init__(self, name: str, documentation: str, label: str) -> None:
        self._counter = Counter(name, documentation, [label])
        super().__init__()

    def count(self, label: str) -> None:
        """One more of this label."""
        self._keep(label)

    def _add(self, values: Sequence[str]) -> None:
        for label, number in CountOf(values).items():
            self._counter.labels(label).inc(number)


class HistogramInBatches(_InBatches[tuple[tuple[str, ...], float]]):
    """A histogram of seconds, by labels or without any.

    upper_bounds: of the buckets, in seconds, ascending; a value equal to a bound lies in its bucket.
    """

    def __init__(
        self, name: str, documentation: str, labels: Iterable[str] = (), *, upper_bounds: Sequence[float]
    ) -> None:
        self._histogram = Histogram(name, documentation, list(labels), buckets=tuple(upper_bounds))
        self._upper_bounds = tuple(upper_bounds)
        super().__init__()

    def observe(self, seconds: float, *labels: str) -> None:
        """One more value of these labels."""
        self._keep((labels, seconds))

    def _add(self, values: Sequence[tuple[tuple[str, ...], float]]) -> None:
        by_labels: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        for labels, seconds in values:
            by_labels[labels].append(seconds)
        for labels, observed in by_labels.items():
            histogram = self._histogram.labels(*labels) if labels else self._histogram
            in_buckets = CountOf(bisect_left(self._upper_bounds, seconds) for seconds in observed)
            for bucket, number in in_buckets.items():
                histogram._buckets[bucket].inc(number)
            histogram._sum.inc(sum(observed))
