"""How a model treats age bands and sexes: for measuring only, no feature reads either.

Groups may differ in risk, and then in how often they are approved. What must not differ is what a
probability means: a group whose probabilities lie above its bad rate is refused for risk that it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evidence.customer_bootstrap import CustomerBootstrap
from evidence.intervals import Interval, interval_of, share_interval
from evidence.multiple_tests import family_wise_z
from evidence.percentages import per_cent, points, share
from features.instants import Float64Array
from training.validation.segment_attributes import UNKNOWN, SegmentAttributes
from training.validation.segment_results import (
    FEWEST_TO_JUDGE,
    Partition,
    ProbabilityFinding,
    SegmentResult,
    partition_by,
    partition_by_edges,
    segment_results,
)

AGE_EDGES = (25.0, 35.0, 45.0, 55.0, 65.0)
AGE_BANDS = ("under 25", "25 to 34", "35 to 44", "45 to 54", "55 to 64", "65 and over")


@dataclass(frozen=True, kw_only=True)
class GroupTreatment:
    """One group at the cut-off.

    approved_share: of all its decisions; approved_share_of_good: of those that turned out good.
    approval_gap, good_approval_gap: the same minus the share among all other groups together.
    result: its bad rate, mean probability and AUC.
    """

    approved_share: Interval
    approval_gap: Interval | None
    approval_differs: bool
    approved_share_of_good: Interval | None
    good_approval_gap: Interval | None
    good_approval_differs: bool
    result: SegmentResult


@dataclass(frozen=True, kw_only=True)
class GroupDifference:
    """A difference beyond chance in a sentence. is_wronged: the group is held to be riskier than it is."""

    group: str
    is_wronged: bool
    sentence: str


@dataclass(frozen=True, kw_only=True)
class FairnessTable:
    """The groups of one attribute. refused_share: of all decisions, the riskiest are refused."""

    attribute: str
    refused_share: float
    groups: tuple[GroupTreatment, ...]
    differences: tuple[GroupDifference, ...]


def age_bands(age_years: Float64Array) -> Partition:
    """One part for each of AGE_BANDS; age_years of shape (n,), NaN is in none."""
    return partition_by_edges(age_years, AGE_EDGES, AGE_BANDS)


def protected_partitions(attributes: SegmentAttributes) -> dict[str, Partition]:
    """The protected attributes that the data have, by name; one with a single group cannot be compared."""
    partitions = {}
    if attributes.age_years is not None:
        partitions["age"] = age_bands(attributes.age_years)
    if attributes.sex is not None:
        sexes = partition_by(attributes.sex)
        hidden = sexes.names.index(UNKNOWN) if UNKNOWN in sexes.names else -2
        place = np.where(sexes.place == hidden, -1, sexes.place)
        partitions["sex"] = Partition(names=sexes.names, place=place)
    return {
        name: partition
        for name, partition in partitions.items()
        if len(np.unique(partition.place[partition.place >= 0])) > 1
    }


def fairness_table(
    attribute: str,
    partition: Partition,
    label: NDArray[np.int8],
    probability: Float64Array,
    bootstrap: CustomerBootstrap,
    *,
    refused_share: float,
) -> FairnessTable:
    """Measure the groups of one attribute, which are two or more; label, probability: shape (n,).

    A difference counts where it is beyond chance for the whole table (see `family_wise_z`).
    """
    inside = partition.place >= 0
    approved = (probability < np.quantile(probability, 1 - refused_share))[inside].astype(np.float64)
    place, groups = partition.place[inside], len(partition.names)
    drawn, good = bootstrap.where(inside), (label[inside] == 0).astype(np.float64)
    results = {r.name: r for r in segment_results(partition, label, probability, bootstrap)}
    z = family_wise_z(len(results))
    count, approvals, goods, good_approvals = (
        drawn.totals_by_group(column, place, groups)
        for column in (np.ones(len(place)), approved, good, approved * good)
    )
    customers, good_customers = (
        drawn.customers_by_group(column, place, groups) for column in (np.ones(len(place)), good)
    )
    treatments = []
    for group, name in enumerate(partition.names):
        if name not in results:
            continue
        approved_share, gap, differs = _compared(approvals, count, customers, group, z)
        good_share, good_gap, good_differs = _compared(good_approvals, goods, good_customers, group, z)
        if approved_share is None:
            continue
        treatments.append(
            GroupTreatment(
                approved_share=approved_share,
                approval_gap=gap,
                approval_differs=differs,
                approved_share_of_good=good_share,
                good_approval_gap=good_gap,
                good_approval_differs=good_differs,
                result=results[name],
            )
        )
    return FairnessTable(
        attribute=attribute,
        refused_share=refused_share,
        groups=tuple(treatments),
        differences=_differences(attribute, treatments),
    )


def _compared(
    hits: Float64Array, trials: Float64Array, customers: NDArray[np.intp], group: int, z: float
) -> tuple[Interval | None, Interval | None, bool]:
    """The share of hits in a group, its distance to the share elsewhere, whether that is beyond chance."""
    mine, others = trials[:, group], trials.sum(axis=1) - trials[:, group]
    if mine[0] == 0:
        return None, None, False
    here = np.divide(hits[:, group], mine, out=np.full(len(mine), np.nan), where=mine > 0)
    elsewhere = np.divide(
        hits.sum(axis=1) - hits[:, group], others, out=np.full(len(mine), np.nan), where=others > 0
    )
    gap = here - elsewhere
    interval = interval_of(gap)
    size, other_size = float(mine[0]), max(float(others[0]), 1.0)
    pooled = float(hits[0].sum() / trials[0].sum())
    # Where a group is approved throughout, the bootstrap sees no spread at all.
    least_error = np.sqrt(pooled * (1 - pooled) * (1 / size + 1 / other_size))
    differs = (
        interval is not None
        and size * min(pooled, 1 - pooled) >= FEWEST_TO_JUDGE
        and abs(interval.value) > z * max(float(np.nanstd(gap[1:])), float(least_error))
    )
    within = share_interval(
        here, hits=round(hits[0, group]), trials=round(mine[0]), customers=int(customers[group])
    )
    return within, interval, bool(differs)


def _differences(attribute: str, groups: Sequence[GroupTreatment]) -> tuple[GroupDifference, ...]:
    found = []
    for group in groups:
        result = group.result
        said = f"{attribute} {result.name}"
        if result.probability_finding in (ProbabilityFinding.TOO_HIGH, ProbabilityFinding.TOO_LOW):
            is_wronged = result.probability_finding is ProbabilityFinding.TOO_HIGH
            sentence = (
                f"{said}: the model sees {'more' if is_wronged else 'less'} risk than there is, "
                f"{share(result.mean_probability)} against {per_cent(result.bad_rate)} observed."
            )
            found.append(GroupDifference(group=result.name, is_wronged=is_wronged, sentence=sentence))
        sentence = ""
        risk = f"its bad rate is {per_cent(result.bad_rate)}."
        if group.good_approval_differs and group.good_approval_gap and group.approved_share_of_good:
            sentence = (
                f"{said}: of its good orders {per_cent(group.approved_share_of_good)} are let through, "
                f"{points(group.good_approval_gap)} against all others; {risk}"
            )
        elif group.approval_differs and group.approval_gap:
            sentence = (
                f"{said}: {per_cent(group.approved_share)} are let through, "
                f"{points(group.approval_gap)} against all others; {risk}"
            )
        if sentence:
            found.append(GroupDifference(group=result.name, is_wronged=False, sentence=sentence))
        if result.ranks_worse and result.auc:
            sentence = f"{said}: ranked worse than all decisions together, AUC {result.auc}."
            found.append(GroupDifference(group=result.name, is_wronged=False, sentence=sentence))
    return tuple(found)
