"""Features of any number of decisions, from a folder of Parquet: the trainer's evaluator.

Rows become facts once per customer and state; measures become sums over intervals by
`features.intervals`. Credit features go customer block by customer block, so that memory follows the
block and not the book; risk features cross customers and take the folder as a whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.private_files import private_file
from data_contracts.progress import Progress, no_progress
from features.customer_facts import LedgerByCustomer
from features.decisions import Decisions
from features.entities import EntityKind
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from features.intervals import DecisionAxis
from features.measures import evaluated
from features.order_risk_offline import build_order_risk_features

CUSTOMERS_PER_BLOCK = 20_000
DECISIONS_PER_BLOCK = 250_000


@dataclass(frozen=True, kw_only=True)
class FeatureMatrix:
    """values: shape (n_decisions, n_features), in the decisions' order and the names' order."""

    names: tuple[str, ...]
    values: Float64Array


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
    private_file(out)
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
    if feature_set.crosses_customers:
        places = np.arange(len(decisions), dtype=np.intp)
        yield places, build_order_risk_features(directory, decisions, feature_set, progress)
        return
    step = f"features of {len(decisions):,} decisions"
    customers, entity = np.unique(decisions.customer_id.astype(str), return_inverse=True)
    by_entity = np.argsort(entity, kind="stable")
    first_decision = np.searchsorted(entity[by_entity], np.arange(len(customers) + 1))
    ledger = LedgerByCustomer(directory, pa.array(customers, pa.string()), feature_set.terms)
    done = 0
    start = 0
    while start < len(customers):
        wanted = first_decision[start] + DECISIONS_PER_BLOCK
        stop = int(np.searchsorted(first_decision, wanted, side="right")) - 1
        stop = min(max(stop, start + 1), start + CUSTOMERS_PER_BLOCK, len(customers))
        places = by_entity[first_decision[start] : first_decision[stop]]
        facts = ledger.facts(start, stop)
        axis = DecisionAxis.of((entity[places] - start).astype(np.int64), decisions.as_of_ms[places])
        values = evaluated(feature_set, facts, {EntityKind.CUSTOMER: axis}, decisions.as_of_ms[places])
        done += len(places)
        progress(step, done=done, total=len(decisions))
        yield places, values
        start = stop
