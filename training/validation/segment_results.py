"""How a model does in parts of the test decisions: bands, months, merchants, countries, kinds of customer."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evidence.customer_bootstrap import CustomerBootstrap
from evidence.intervals import Interval, interval_of, share_interval
from evidence.multiple_tests import family_wise_z
from features.instants import Float64Array, Int64Array
from training.evaluation import auc_under_weights

FEWEST_TO_JUDGE = 10
"""Bad decisions, expected or seen, below which a part is shown and not judged."""
LARGEST_SHOWN = 12
"""Of merchants and the like; those beyond chance are shown too, the rest together."""
THE_REST = "all others"


class ProbabilityFinding(enum.StrEnum):
    """Whether the probabilities of a part are true, as far as can be told."""

    TRUE = "as observed"
    TOO_LOW = "too low"
    TOO_HIGH = "too high"
    TOO_FEW = "too few to tell"


@dataclass(frozen=True, kw_only=True)
class SegmentResult:
    """One part of the test decisions.

    probability_gap: mean probability minus bad rate. auc: None where there are fewer than
        FEWEST_TO_JUDGE of either kind. ranks_worse: its AUC is below that of all decisions beyond chance.
    """

    name: str
    decisions: int
    bads: int
    bad_rate: Interval
    mean_probability: float
    probability_gap: Interval | None
    probability_finding: ProbabilityFinding
    auc: Interval | None
    ranks_worse: bool


@dataclass(frozen=True, kw_only=True)
class Partition:
    """Which part each row is in. place: shape (n,), an index of `names`, -1 for none."""

    names: tuple[str, ...]
    place: NDArray[np.intp]


def partition_by(values: NDArray[np.object_]) -> Partition:
    """One part for each distinct text, in alphabetical order."""
    names, place = np.unique(values.astype(str), return_inverse=True)
    return Partition(names=tuple(names.tolist()), place=place)


def partition_by_month(as_of_ms: Int64Array) -> Partition:
    """One part for each UTC month of the decisions, e.g. `2026-03`."""
    return partition_by(as_of_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(str).astype(object))


def partition_by_edges(values: Float64Array, edges: Sequence[float], names: Sequence[str]) -> Partition:
    """Half-open parts: the first below edges[0], then [edges[i-1], edges[i]), the last from edges[-1] on.

    values: shape (n,), NaN is in no part. names: one more than edges.
    """
    place = np.searchsorted(np.array(edges), values, side="right").astype(np.intp)
    return Partition(names=tuple(names), place=np.where(np.isnan(values), -1, place))


def partition_by_rank(values: Float64Array, parts: int) -> Partition:
    """About equal parts from the lowest values up; equal values stay together."""
    ordered = np.sort(values)
    first = np.searchsorted(ordered, values, side="left")
    last = np.searchsorted(ordered, values, side="right")
    place = np.minimum((first + last) * parts // (2 * len(values)), parts - 1)
    return Partition(names=tuple(str(number + 1) for number in range(parts)), place=place.astype(np.intp))


def segment_results(
    partition: Partition,
    label: NDArray[np.int8],
    probability: Float64Array,
    bootstrap: CustomerBootstrap,
    *,
    with_auc: bool = True,
) -> tuple[SegmentResult, ...]:
    """The parts that hold any decision, in the partition's order; label and probability of shape (n,).

    A probability is called wrong, and a ranking worse, only where that is beyond chance for the whole table
    (see `family_wise_z`). The standard error of a probability is the larger of the bootstrap's and of the one
    that independent orders of these probabilities would have.
    """
    inside = partition.place >= 0
    groups, place = len(partition.names), partition.place[inside]
    drawn = bootstrap.where(inside)
    label, probability = label[inside], probability[inside]
    decisions, bads, expected = (
        drawn.totals_by_group(column, place, groups)
        for column in (np.ones(len(place)), label.astype(np.float64), probability)
    )
    customers = drawn.customers_by_group(np.ones(len(place)), place, groups)
    variance = np.bincount(place, probability * (1 - probability), groups)
    size = np.maximum(decisions, 1e-9)
    rate = np.where(decisions > 0, bads / size, np.nan)
    gap = np.where(decisions > 0, (expected - bads) / size, np.nan)
    judged = [g for g in range(groups) if max(bads[0, g], expected[0, g]) >= FEWEST_TO_JUDGE]
    z = family_wise_z(len(judged))
    overall_auc = np.nan
    if with_auc and inside.all():
        overall_auc = float(auc_under_weights(label, probability, [np.ones(len(label))])[0])
    results = []
    for group in range(groups):
        count, bad = round(decisions[0, group]), round(bads[0, group])
        if count == 0:
            continue
        finding = ProbabilityFinding.TOO_FEW
        if group in judged:
            error = max(float(np.nanstd(gap[1:, group])), float(np.sqrt(variance[group])) / count)
            finding = _finding(float(gap[0, group]), z * error)
        auc, ranks_worse = None, False
        if with_auc and FEWEST_TO_JUDGE <= bad <= count - FEWEST_TO_JUDGE:
            mine = place == group
            draws = auc_under_weights(label[mine], probability[mine], drawn.where(mine).weights())
            auc = interval_of(draws)
            ranks_worse = bool(overall_auc - draws[0] > z * np.nanstd(draws[1:]))
        results.append(
            SegmentResult(
                name=partition.names[group],
                decisions=count,
                bads=bad,
                bad_rate=share_interval(
                    rate[:, group], hits=bad, trials=count, customers=int(customers[group])
                ),
                mean_probability=float(expected[0, group] / count),
                probability_gap=interval_of(gap[:, group]),
                probability_finding=finding,
                auc=auc,
                ranks_worse=ranks_worse,
            )
        )
    return tuple(results)


def largest_segments(
    partition: Partition,
    label: NDArray[np.int8],
    probability: Float64Array,
    bootstrap: CustomerBootstrap,
) -> tuple[SegmentResult, ...]:
    """The largest parts, those of any size whose probabilities are wrong, and the rest as one part."""
    everything = segment_results(partition, label, probability, bootstrap, with_auc=False)
    by_size = sorted(everything, key=lambda result: -result.decisions)
    wrong = (ProbabilityFinding.TOO_LOW, ProbabilityFinding.TOO_HIGH)
    shown = [
        result.name
        for number, result in enumerate(by_size)
        if number < LARGEST_SHOWN or result.probability_finding in wrong
    ]
    place_of = np.array(
        [shown.index(name) if name in shown else len(shown) for name in partition.names], dtype=np.intp
    )
    coarse = Partition(names=(*shown, THE_REST), place=place_of[partition.place])
    return segment_results(coarse, label, probability, bootstrap)


def _finding(gap: float, limit: float) -> ProbabilityFinding:
    if gap > limit:
        return ProbabilityFinding.TOO_HIGH
    return ProbabilityFinding.TOO_LOW if gap < -limit else ProbabilityFinding.TRUE
