"""Measures and features of many decisions at once, by sums over the intervals that cover them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from features.declarations import FACT_ENTITY, FactKind, Measure
from features.entities import EntityKind
from features.fact_tables import FactTable
from features.feature_sets import FeatureSet
from features.instants import Float64Array, Int64Array
from features.intervals import DecisionAxis, covering_sums


def evaluated(
    feature_set: FeatureSet,
    facts: Mapping[FactKind, FactTable],
    axes: Mapping[EntityKind, DecisionAxis],
    as_of_ms: Int64Array,
) -> Float64Array:
    """The features of decisions by the facts about their entities; shape (n_decisions, n_features).

    axes: the decisions laid out by each kind of entity, coded as in the facts.
    """
    return _quotients(feature_set, _measure_all(feature_set, facts, axes, as_of_ms))


def _measure_all(
    feature_set: FeatureSet,
    facts: Mapping[FactKind, FactTable],
    axes: Mapping[EntityKind, DecisionAxis],
    as_of_ms: Int64Array,
) -> dict[Measure, Int64Array]:
    """Evaluate every measure; those that share their intervals share one sort and one search."""
    by_interval: dict[tuple[Any, ...], list[Measure]] = defaultdict(list)
    for measure in feature_set.distinct_measures():
        by_interval[
            measure.fact, measure.enters, measure.enters_after_ms, measure.leaves, measure.leaves_after_ms
        ].append(measure)
    sums: dict[Measure, Int64Array] = {}
    for (kind, enters, enters_after_ms, leaves, leaves_after_ms), measures in by_interval.items():
        table = facts[kind]
        enter_ms, leave_ms = table["seen_from"], table["seen_until"]
        if enters is not None:
            enter_ms = np.maximum(enter_ms, table[enters] + enters_after_ms)
        if leaves is not None:
            leave_ms = np.minimum(leave_ms, table[leaves] + leaves_after_ms)
        values: list[Int64Array] = []
        for measure in measures:
            counts = _counted(measure, table)
            values.append(counts if measure.value is None else counts * table[measure.value])
            if measure.runs is not None:
                values.append(counts * table[measure.runs])
        answers = iter(covering_sums(axes[FACT_ENTITY[kind]], table["entity"], enter_ms, leave_ms, values))
        for measure in measures:
            sums[measure] = next(answers)
            if measure.runs is not None:
                sums[measure] = sums[measure] + next(answers) * as_of_ms
    return sums


def _counted(measure: Measure, table: FactTable) -> Int64Array:
    if measure.above_column is None:
        return np.ones(len(table["entity"]), dtype=np.int64)
    return (table[measure.above_column] > measure.above).astype(np.int64)


def _quotients(feature_set: FeatureSet, sums: Mapping[Measure, Int64Array]) -> Float64Array:
    columns = []
    for feature in feature_set.features:
        numerator = (sums[feature.numerator] + feature.numerator_plus).astype(np.float64)
        if feature.denominator is None:
            columns.append(numerator / float(feature.denominator_plus * feature.scale))
            continue
        denominator = (sums[feature.denominator] + feature.denominator_plus) * feature.scale
        quotient = np.full(len(numerator), feature.when_empty)
        np.divide(numerator, denominator.astype(np.float64), out=quotient, where=denominator != 0)
        columns.append(quotient)
    return np.column_stack(columns)
