"""Whether a model knows what it cannot know: the evidence behind the gates that need no champion.

A version passes these gates when it is trained, on its test decisions, and again before it is promoted, on
later ones.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from data_contracts.contract import MAXIMUM_CLOCK_TOLERANCE_MS
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.parquet_ledger import has_table, read_table, write_table
from features.decisions import Decisions
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from features.offline import build_features
from features.supersession import milliseconds
from training.gates.gates import Gate, clocks_gate, future_rows_gate, protected_gate, single_feature_gate

RECOMPUTED_OWN_DECISIONS = 200
RECOMPUTED_CROSSING_DECISIONS = 6

FeatureBuilder = Callable[[Path, Decisions, FeatureSet], Float64Array]
"""Features of decisions from a ledger folder, shape (n_decisions, n_features)."""


def feature_values(directory: Path, decisions: Decisions, feature_set: FeatureSet) -> Float64Array:
    """The features as a version is trained on them."""
    return build_features(directory, decisions, feature_set).values


@dataclass(frozen=True, kw_only=True)
class LabelledFeatures:
    """Decisions of a ledger folder with their labels, shape (n,), and features, shape (n, n_features)."""

    directory: Path
    decisions: Decisions
    label: NDArray[np.int8]
    values: Float64Array


def gates_without_rival(
    feature_set: FeatureSet,
    model_features: Sequence[str],
    evidence: LabelledFeatures,
    *,
    model_auc: float,
    build: FeatureBuilder = feature_values,
    seed: int,
) -> tuple[Gate, ...]:
    """The gates for protected features and leaks.

    model_features: names of what the model reads. model_auc: of the model on the evidence. build: how
        features are computed; for tests that plant a leak there.
    """
    changed, recomputed = features_that_see_the_future(evidence, feature_set, build=build, seed=seed)
    return (
        protected_gate(feature_set, model_features),
        future_rows_gate(changed, recomputed=recomputed),
        clocks_gate(rows_known_too_early(evidence.directory)),
        single_feature_gate(feature_set, single_feature_auc(evidence.label, evidence.values), model_auc),
    )


def single_feature_auc(label: NDArray[np.int8], values: Float64Array) -> Float64Array:
    """AUC of each feature alone in its better direction, shape (n_features,).

    values: shape (n, n_features). Missing values rank lowest or highest, whichever tells more: that a
    value is missing may be the leak.
    """
    best = np.full(values.shape[1], 0.5)
    for index in range(values.shape[1]):
        column = values[:, index]
        missing = np.isnan(column)
        for stand_in in (-np.finfo(np.float64).max, np.finfo(np.float64).max):
            auc = float(roc_auc_score(label, np.where(missing, stand_in, column)))
            best[index] = max(best[index], auc, 1 - auc)
            if not missing.any():
                break
    return best


def rows_known_too_early(directory: Path) -> dict[str, int]:
    """How many rows of each contract were recorded before they happened, by more than clocks may differ."""
    counts = {}
    for contract in ALL_CONTRACTS:
        if has_table(directory, contract):
            table = read_table(directory, contract, ["recorded_at", "occurred_at"])
            early = milliseconds(table["recorded_at"]) + MAXIMUM_CLOCK_TOLERANCE_MS < milliseconds(
                table["occurred_at"]
            )
            counts[contract.name] = int(early.sum())
    return counts


def features_that_see_the_future(
    evidence: LabelledFeatures, feature_set: FeatureSet, *, build: FeatureBuilder, seed: int
) -> tuple[tuple[str, ...], int]:
    """Features that change when rows recorded at or after the decision are gone, and decisions tried."""
    order = np.random.default_rng(seed).permutation(len(evidence.label))
    if feature_set.crosses_customers:
        # Each decision needs a folder that ends just before it.
        groups = [order[place : place + 1] for place in range(RECOMPUTED_CROSSING_DECISIONS)]
    else:
        _, first = np.unique(evidence.decisions.customer_id[order].astype(str), return_index=True)
        groups = [order[np.sort(first)[:RECOMPUTED_OWN_DECISIONS]]]
    masks = [np.isin(np.arange(len(order)), places) for places in groups]
    asked = [evidence.decisions.where(mask) for mask in masks]
    changed = np.zeros(len(feature_set.features), dtype=bool)
    with tempfile.TemporaryDirectory() as scratch:
        pasts = [Path(scratch) / f"past-{number}" for number in range(len(groups))]
        _write_pasts(
            evidence.directory,
            dict(zip(pasts, asked, strict=True)),
            of_these_customers=not feature_set.crosses_customers,
        )
        for past, decisions, mask in zip(pasts, asked, masks, strict=True):
            again, at_first = build(past, decisions, feature_set), evidence.values[mask]
            changed |= np.any((again != at_first) & ~(np.isnan(again) & np.isnan(at_first)), axis=0)
    names = tuple(name for name, differs in zip(feature_set.names, changed, strict=True) if differs)
    return names, sum(len(places) for places in groups)


def _write_pasts(directory: Path, pasts: Mapping[Path, Decisions], *, of_these_customers: bool) -> None:
    """Write for each place a ledger folder without what was recorded at or after its decisions.

    of_these_customers: keep only rows of the decisions' customers, each up to the customer's one decision;
        otherwise there is one decision for each folder, and everybody's rows up to it are kept.
    """
    for contract in ALL_CONTRACTS:
        if not has_table(directory, contract):
            continue
        table = read_table(directory, contract)
        if of_these_customers and "customer_id" not in table.column_names:
            continue
        recorded_at_ms = milliseconds(table["recorded_at"])
        for past, decisions in pasts.items():
            if of_these_customers:
                customers = pa.array(decisions.customer_id.tolist(), pa.string())
                place = pc.fill_null(pc.index_in(table["customer_id"], value_set=customers), -1).to_numpy()
                is_past = (place >= 0) & (recorded_at_ms < decisions.as_of_ms[place])
            else:
                is_past = recorded_at_ms < decisions.as_of_ms[0]
            if is_past.any():
                write_table(past, contract, table.filter(pa.array(is_past)))
