"""How long the stages of an answer took, from the service's own histogram between two moments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from serving.checkout.score_stages import Stage

STAGE_SERIES = "bonitas_score_stage_seconds"


@dataclass(frozen=True, kw_only=True)
class StageTimes:
    """What was counted of one stage.

    up_to: how many values were at most so many seconds, by upper bound of the bucket; the last is infinite.
    """

    count: float = 0.0
    seconds: float = 0.0
    up_to: Mapping[float, float]

    def since(self, earlier: "StageTimes") -> "StageTimes":
        """What was counted after an earlier reading."""
        return StageTimes(
            count=self.count - earlier.count,
            seconds=self.seconds - earlier.seconds,
            up_to={bound: count - earlier.up_to.get(bound, 0.0) for bound, count in self.up_to.items()},
        )

    def and_also(self, other: "StageTimes") -> "StageTimes":
        """Both together."""
        bounds = self.up_to.keys() | other.up_to.keys()
        return StageTimes(
            count=self.count + other.count,
            seconds=self.seconds + other.seconds,
            up_to={bound: self.up_to.get(bound, 0.0) + other.up_to.get(bound, 0.0) for bound in bounds},
        )

    def at_most(self, share: float) -> float:
        """The smallest bound in seconds that this share of the values keeps to."""
        return min(bound for bound, count in self.up_to.items() if count >= share * self.count)


def stage_times(metrics_page: str) -> dict[Stage, StageTimes]:
    """What a page of Prometheus metrics says of the stages; a stage that nobody counted is left out."""
    counts: dict[Stage, float] = {}
    seconds: dict[Stage, float] = {}
    up_to: dict[Stage, dict[float, float]] = {}
    for family in text_string_to_metric_families(metrics_page):
        if family.name != STAGE_SERIES:
            continue
        for sample in family.samples:
            stage = Stage(sample.labels["stage"])
            if sample.name.endswith("_bucket"):
                up_to.setdefault(stage, {})[float(sample.labels["le"])] = sample.value
            elif sample.name.endswith("_count"):
                counts[stage] = sample.value
            elif sample.name.endswith("_sum"):
                seconds[stage] = sample.value
    return {
        stage: StageTimes(count=counts[stage], seconds=seconds[stage], up_to=bounds)
        for stage, bounds in up_to.items()
    }


def stage_times_of(server_url: str) -> dict[Stage, StageTimes]:
    """What a service on this machine has counted until now."""
    answer = httpx.get(f"{server_url}/metrics")
    answer.raise_for_status()
    return stage_times(answer.text)


def times_between(
    before: Mapping[Stage, StageTimes], after: Mapping[Stage, StageTimes]
) -> dict[Stage, StageTimes]:
    """What was counted between two readings; stages that nothing was counted of are left out."""
    nothing = StageTimes(up_to={})
    between = {stage: times.since(before.get(stage, nothing)) for stage, times in after.items()}
    return {stage: times for stage, times in between.items() if times.count}


def stage_rows(
    endpoint: str, connections: int, measured: Sequence[Mapping[Stage, StageTimes]]
) -> list[dict[str, Any]]:
    """One row a stage: its mean, a bound that 99 of 100 keep to, and its share of the time of all stages."""
    together: dict[Stage, StageTimes] = {}
    for one in measured:
        for stage, times in one.items():
            together[stage] = together.get(stage, StageTimes(up_to={})).and_also(times)
    all_seconds = sum(times.seconds for times in together.values())
    return [
        {
            "endpoint": endpoint,
            "connections": connections,
            "stage": stage.value,
            "mean_ms": round(together[stage].seconds / together[stage].count * 1000, 3),
            "p99_below_ms": round(together[stage].at_most(0.99) * 1000, 3),
            "share": round(together[stage].seconds / all_seconds, 3),
        }
        for stage in Stage
        if stage in together
    ]
