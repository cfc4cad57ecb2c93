"""Features of any number of decisions, from a folder of Parquet: the trainer's evaluator.

Rows become facts once per customer and state; measures become sums over intervals by
`features.intervals`. Work goes customer block by customer block, so that memory follows the block
and not the book.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import has_table, read_table
from data_contracts.progress import Progress, no_progress
from features.declarations import FactKind, Measure
from features.fact_tables import FactTable, LedgerByCustomer
from features.feature_sets import FeatureSet
from features.instants import Float64Array, Int64Array
from features.intervals import DecisionAxis, covering_sums
from features.supersession import milliseconds

LABELS_FILE = "labels.parquet"
CUSTOMERS_PER_BLOCK = 20_000
DECISIONS_PER_BLOCK = 250_000


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """The moments to compute features for. All shapes (n_decisions,).

    decision_id, customer_id: str objects; as_of_ms: instants in ms since 1970 UTC.
    """

    decision_id: NDArray[np.object_]
    customer_id: NDArray[np.object_]
    as_of_ms: Int64Array

    def __len__(self) -> int:
        return len(self.as_of_ms)


@dataclass(frozen=True, kw_only=True)
class FeatureMatrix:
    """values: shape (n_decisions, n_features), in the decisions' order and the names' order."""

    names: tuple[str, ...]
    values: Float64Array


class NoDecisionsError(Exception):
    """There is nothing to compute features for."""


def order_decisions(directory: Path) -> Decisions:
    """One decision per order of a ledger folder, at the moment of the order.

    Raises NoDecisionsError if the folder holds no orders.
    """
    if not has_table(directory, ORDERS):
        raise NoDecisionsError(f"{directory} holds no orders; simulate or import a ledger first")
    orders = read_table(directory, ORDERS, ["order_id", "customer_id", "occurred_at", "corrects"])
    orders = orders.filter(pc.is_null(orders["corrects"]))
    return Decisions(
        decision_id=orders["order_id"].to_numpy(zero_copy_only=False),
        customer_id=orders["customer_id"].to_numpy(zero_copy_only=False),
        as_of_ms=milliseconds(orders["occurred_at"]),
    )


def label_decisions(directory: Path) -> Decisions:
    """The decisions that a label file names (DIR/labels.parquet: decision_id, customer_id, as_of)."""
    labels = pq.read_table(directory / LABELS_FILE, columns=["decision_id", "customer_id", "as_of"])
    return Decisions(
        decision_id=labels["decision_id"].to_numpy(zero_copy_only=False),
        customer_id=labels["customer_id"].to_numpy(zero_copy_only=False),
        as_of_ms=milliseconds(labels["as_of"]),
    )


def folder_decisions(directory: Path) -> Decisions:
    """The decisions of a ledger folder: those of its label file where there is one, else one per order.

    Raises NoDecisionsError if there are neither labels nor orders.
    """
    if (directory / LABELS_FILE).exists():
        return label_decisions(directory)
    return order_decisions(directory)


def sampled_decisions(directory: Path, count: int, seed: int) -> Decisions:
    """Random decisions for measuring: customers of the ledger at moments between its first and last order.

    Raises NoDecisionsError if the folder holds no orders.
    """
    orders = order_decisions(directory)
    if len(orders) == 0:
        raise NoDecisionsError(f"{directory} holds no orders to sample moments from")
    generator = np.random.default_rng(seed)
    customers = np.unique(orders.customer_id.astype(str)).astype(object)
    return Decisions(
        decision_id=np.array([f"sample-{index}" for index in range(count)], dtype=object),
        customer_id=customers[generator.integers(0, len(customers), count)],
        as_of_ms=generator.integers(orders.as_of_ms.min(), orders.as_of_ms.max() + 1, count),
    )


def build_features(
    directory: Path, decisions: Decisions, feature_set: FeatureSet, progress: Progress = no_progress
) -> FeatureMatrix:
    """Compute the features of all decisions into one matrix.

    Customers without ledger rows get the values that mean "no history".
    """
    values = np.empty((len(decisions), len(feature_set.features)), dtype=np.float64)
    for places, block in iterate_features(directory, decisions, feature_set, progress):
        values[places] = block
    return FeatureMatrix(names=feature_set.names, values=values)


def write_features(
    directory: Path,
    decisions: Decisions,
    feature_set: FeatureSet,
    out: Path,
    progress: Progress = no_progress,
) -> int:
    """Stream the features of all decisions to a Parquet file: decision_id, customer_id, as_of, features.

    Rows come ordered by customer. Returns their number. Memory does not grow with the decisions.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema(
        [
            pa.field("decision_id", pa.string()),
            pa.field("customer_id", pa.string()),
            pa.field("as_of", pa.timestamp("ms", tz="UTC")),
            *(pa.field(name, pa.float64()) for name in feature_set.names),
        ],
        metadata={"feature_set": feature_set.name, "feature_set_version": feature_set.version},
    )
    written = 0
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for places, block in iterate_features(directory, decisions, feature_set, progress):
            columns = [
                pa.array(decisions.decision_id[places], pa.string()),
                pa.array(decisions.customer_id[places], pa.string()),
                pa.array(decisions.as_of_ms[places]).cast(pa.timestamp("ms", tz="UTC")),
                *(pa.array(block[:, index]) for index in range(block.shape[1])),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            written += len(places)
    return written


def iterate_features(
    directory: Path, decisions: Decisions, feature_set: FeatureSet, progress: Progress = no_progress
) -> Iterator[tuple[NDArray[np.intp], Float64Array]]:
    """Yield (places, values) block by block: the features of `decisions[places]`, all of some customers."""
    if len(decisions) == 0:
        return
    step = f"features of {len(decisions):,} decisions"
    customers, entity = np.unique(decisions.customer_id.astype(str), return_inverse=True)
    by_entity = np.argsort(entity, kind="stable")
    first_decision = np.searchsorted(entity[by_entity], np.arange(len(customers) + 1))
    ledger = LedgerByCustomer(directory, pa.array(customers, pa.string()))
    done = 0
    start = 0
    while start < len(customers):
        wanted = first_decision[start] + DECISIONS_PER_BLOCK
        stop = int(np.searchsorted(first_decision, wanted, side="right")) - 1
        stop = min(max(stop, start + 1), start + CUSTOMERS_PER_BLOCK, len(customers))
        places = by_entity[first_decision[start] : first_decision[stop]]
        facts = ledger.facts(start, stop)
        axis = DecisionAxis.of((entity[places] - start).astype(np.int64), decisions.as_of_ms[places])
        values = _quotients(feature_set, _measure_all(feature_set, facts, axis, decisions.as_of_ms[places]))
        done += len(places)
        progress(step, done=done, total=len(decisions))
        yield places, values
        start = stop


def _measure_all(
    feature_set: FeatureSet, facts: Mapping[FactKind, FactTable], axis: DecisionAxis, as_of_ms: Int64Array
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
        answers = iter(covering_sums(axis, table["entity"], enter_ms, leave_ms, values))
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
