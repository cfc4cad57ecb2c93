"""Values that were counted in batches stand in Prometheus's metrics as if each had been counted at once."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, Histogram

from serving.process import batched_metrics
from serving.process.batched_metrics import CounterInBatches, HistogramInBatches
from serving.process.metric_files import settle_counts

BOUNDS = (0.001, 0.01, 0.5)
NAMES = (f"batched_{number}" for number in count())


def values_of(name: str) -> dict[tuple[str, ...], float]:
    """Every value of a metric, by what follows its name and by its labels."""
    return {
        (sample.name.removeprefix(name), *sorted(sample.labels.values())): sample.value
        for metric in REGISTRY.collect()
        if metric.name == name
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


@given(
    observed=st.lists(
        st.tuples(
            st.sampled_from(["read", "commit"]),
            st.one_of(st.sampled_from(BOUNDS), st.floats(0, 10, allow_subnormal=False)),
            st.booleans(),
        )
    )
)
def test_a_histogram_filled_in_batches_equals_one_that_is_filled_value_by_value(
    observed: list[tuple[str, float, bool]],
) -> None:
    ours_name, theirs_name = next(NAMES), next(NAMES)
    ours = HistogramInBatches(ours_name, "", ["stage"], upper_bounds=BOUNDS)
    theirs = Histogram(theirs_name, "", ["stage"], buckets=BOUNDS)
    for stage, seconds, is_settled_now in observed:
        ours.observe(seconds, stage)
        theirs.labels(stage).observe(seconds)
        if is_settled_now:
            ours.settle()
    settle_counts()
    found, expected = values_of(ours_name), values_of(theirs_name)
    assert found.keys() == expected.keys()
    for place, value in expected.items():
        # A sum of parts differs in its last digits from one that grows value by value.
        assert abs(found[place] - value) <= 1e-9 * max(value, 1.0), place


def test_a_histogram_without_labels_counts_as_well() -> None:
    name = next(NAMES)
    histogram = HistogramInBatches(name, "", upper_bounds=BOUNDS)
    for seconds in (0.001, 0.2, 3.0):
        histogram.observe(seconds)
    settle_counts()
    assert values_of(name)["_bucket", "0.001"] == 1
    assert values_of(name)["_bucket", "0.5"] == 2
    assert values_of(name)["_count",] == 3


def test_threads_that_count_and_threads_that_settle_lose_and_double_nothing() -> None:
    name = next(NAMES)
    counter = CounterInBatches(name, "", "outcome")

    def counted(_thread: int) -> None:
        for number in range(2_000):
            counter.count("approved")
            if number % 97 == 0:
                counter.settle()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(counted, range(4)))
    settle_counts()
    assert values_of(name)["_total", "approved"] == 8_000


def test_where_nobody_shows_the_metrics_the_queue_stays_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batched_metrics, "WAITING_AT_MOST", 10)
    name = next(NAMES)
    counter = CounterInBatches(name, "", "outcome")
    for _ in range(35):
        counter.count("declined")
    assert values_of(name)["_total", "declined"] == 33
    settle_counts()
    assert values_of(name)["_total", "declined"] == 35
