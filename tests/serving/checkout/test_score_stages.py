"""The stages of an answer: every moment belongs to one; the benchmark reads what the service counts."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from serving.benchmarks.stage_figures import (
    STAGE_SERIES,
    StageTimes,
    stage_rows,
    stage_times,
    times_between,
)
from serving.checkout.score_stages import Stage, StageClock

STEPS = st.lists(st.tuples(st.sampled_from(Stage), st.integers(0, 10_000)))


@given(steps=STEPS)
def test_the_stages_together_last_as_long_as_the_answer(steps: list[tuple[Stage, int]]) -> None:
    now = 5
    clock = StageClock(lambda: now)
    for stage, lasts in steps:
        now += lasts
        clock.ended(stage)
    assert sum(clock.seconds.values()) == now - 5
    assert dict(clock.seconds) == {
        stage: sum(lasts for other, lasts in steps if other is stage) for stage in {one for one, _ in steps}
    }


def page_of(observed: dict[Stage, list[float]]) -> str:
    registry = CollectorRegistry()
    histogram = Histogram(STAGE_SERIES, "", ["stage"], buckets=(0.001, 0.01), registry=registry)
    for stage, values in observed.items():
        for seconds in values:
            histogram.labels(stage.value).observe(seconds)
    return generate_latest(registry).decode()


def test_the_figures_of_a_round_are_what_was_counted_in_it() -> None:
    before = stage_times(page_of({Stage.READ: [0.5]}))
    after = stage_times(
        page_of({Stage.READ: [0.5, *[0.0005] * 98, 0.003, 0.02], Stage.COMMIT: [0.009] * 100})
    )
    measured = times_between(before, after)
    rows = stage_rows("approved", 8, [measured, {}])
    assert rows == [
        {
            "endpoint": "approved",
            "connections": 8,
            "stage": "read",
            "mean_ms": 0.72,
            "p99_below_ms": 10.0,
            "share": 0.074,
        },
        {
            "endpoint": "approved",
            "connections": 8,
            "stage": "commit",
            "mean_ms": 9.0,
            "p99_below_ms": 10.0,
            "share": 0.926,
        },
    ]


def test_two_rounds_count_together_and_an_idle_one_counts_nothing() -> None:
    first = StageTimes(count=1, seconds=0.5, up_to={0.1: 0, float("inf"): 1})
    second = StageTimes(count=3, seconds=0.1, up_to={0.1: 3, float("inf"): 3})
    together = first.and_also(second)
    assert (together.count, together.seconds, together.up_to[0.1]) == (4, 0.6, 3)
    assert together.at_most(0.75) == 0.1
    assert together.at_most(0.99) == float("inf")
    assert times_between({Stage.READ: first}, {Stage.READ: first}) == {}
