"""`bonitas benchmark models`: our estimators on a declared flat table, beside LightGBM as it comes.

Every fold tests once. Number of trees, estimator and calibration are chosen on inner folds of the training
rows, which part them by the same rule as the outer ones: a group on one side, later rows judge.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.edited_text import read_edited_text
from data_contracts.progress import Progress, no_progress
from data_contracts.public import gmsc, uci_taiwan
from features.instants import Float64Array
from training.candidates.boosted_trees import PARAMETERS
from training.errors import TrainingError
from training.evaluation import evaluate
from training.flat_tables.table_choice import Choice, choose, fit_chosen
from training.flat_tables.table_columns import (
    Labels,
    columns_of_rows,
    labels_of,
    model_columns,
    plain_columns,
)
from training.flat_tables.table_folds import Fold, folds_of, inner_folds, split_keys
from training.flat_tables.table_result import (
    BONITAS,
    DEFAULT,
    DEFAULT_WITH_PROTECTED,
    FIGURE_NAMES,
    WITH_PROTECTED,
    WITHOUT_DIRECTIONS,
    Figures,
    Spread,
    TableBenchmark,
    Variant,
    spread_of,
)
from training.flat_tables.table_schema import TableSchema
from training.flat_tables.table_schema_reader import parse_table_schema

DEFAULT_PARAMETERS: dict[str, Any] = {
    name: PARAMETERS[name]
    for name in ("objective", "deterministic", "force_row_wise", "num_threads", "verbosity")
}
DEFAULT_TREES = 100

SCHEMA_FOLDER = Path(__file__).parent / "table_schemas"
SCHEMA_FILES = {"gmsc": "gmsc.toml", "uci-taiwan": "uci_taiwan.toml"}
READERS: dict[str, Callable[[Path, Progress], pa.Table]] = {
    "gmsc": gmsc.read_flat_table,
    "uci-taiwan": uci_taiwan.read_flat_table,
}


def run_public(
    name: str,
    source: Path,
    *,
    with_protected: bool = False,
    seed: int = 0,
    progress: Progress = no_progress,
) -> TableBenchmark:
    """Benchmark on a public table (a key of SCHEMA_FILES), read from the file that `fetch` gave.

    Raises FetchFailed if `source` is not that table.
    """
    schema = parse_table_schema((SCHEMA_FOLDER / SCHEMA_FILES[name]).read_text(encoding="utf-8"))
    table = READERS[name](source, progress)
    return benchmark(table, schema, with_protected=with_protected, seed=seed, progress=progress)


def run_file(
    table_file: Path,
    schema_file: Path,
    *,
    with_protected: bool = False,
    seed: int = 0,
    progress: Progress = no_progress,
) -> TableBenchmark:
    """Benchmark on anybody's Parquet file under its declaration.

    Raises TableSchemaInvalid for a declaration that breaks rules, TrainingError for a table that does not
    match it.
    """
    try:
        text = read_edited_text(schema_file)
        table = pq.read_table(table_file)
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as problem:
        raise TrainingError(f"cannot read the table or its declaration: {problem}") from problem
    return benchmark(
        table, parse_table_schema(text), with_protected=with_protected, seed=seed, progress=progress
    )


def benchmark(
    table: pa.Table,
    schema: TableSchema,
    *,
    with_protected: bool = False,
    seed: int = 0,
    progress: Progress = no_progress,
) -> TableBenchmark:
    """Measure the estimators on every fold of the declared split.

    with_protected: measure the protected columns too, to say what leaving them out costs.
    Raises TrainingError if the table does not match the declaration or is too small for the split.
    """
    began = time.perf_counter()
    if with_protected and not schema.has_protected:
        raise TrainingError("no column of the declaration is protected: leave out --with-protected")
    label = labels_of(table, schema)
    keys = split_keys(table, schema.split)
    folds = folds_of(schema.split, label, keys, seed)
    ours = model_columns(table, schema)
    references = {DEFAULT: plain_columns(table, schema)}
    chosen = {BONITAS: ours}
    if with_protected:
        references[DEFAULT_WITH_PROTECTED] = plain_columns(table, schema, with_protected=True)
        chosen[WITH_PROTECTED] = model_columns(table, schema, with_protected=True)
    free = ours.without_directions() if ours.directions != ours.without_directions().directions else None

    step = f"benchmark {schema.title}"
    done, total = 0, len(folds) * (len(references) + len(chosen) + (free is not None))
    progress(step, done=0, total=total)
    figures: dict[str, list[Figures]] = {}
    choices: dict[str, list[Choice]] = {}

    def judge(name: str, fold: Fold, probability: Float64Array) -> None:
        nonlocal done
        figures.setdefault(name, []).append(_figures(label[fold.test], probability))
        done += 1
        progress(step, done=done, total=total)

    for fold in folds:
        training_label = label[fold.training]
        for name, columns in references.items():
            probability = _default_probability(
                columns[fold.training], training_label, columns[fold.test], seed=seed
            )
            judge(name, fold, probability)
        inner = inner_folds(schema.split, training_label, keys.of(fold.training), seed)
        for name, candidates in chosen.items():
            training = columns_of_rows(candidates, fold.training)
            choice = choose(training, training_label, inner, seed=seed)
            choices.setdefault(name, []).append(choice)
            model = fit_chosen(choice, training, training_label, seed=seed)
            judge(name, fold, model.probability(candidates.values[fold.test]))
        if free is not None:
            training = columns_of_rows(free, fold.training)
            model = fit_chosen(choices[BONITAS][-1], training, training_label, seed=seed)
            judge(WITHOUT_DIRECTIONS, fold, model.probability(free.values[fold.test]))

    column_counts = {name: columns.shape[1] for name, columns in references.items()}
    column_counts |= {name: len(columns.features) for name, columns in chosen.items()}
    column_counts[WITHOUT_DIRECTIONS] = len(ours.features)
    in_order = (DEFAULT, BONITAS, WITHOUT_DIRECTIONS, DEFAULT_WITH_PROTECTED, WITH_PROTECTED)
    variants = {
        name: Variant(
            columns=column_counts[name],
            folds=tuple(figures[name]),
            chosen=tuple(choices[name]) if name in choices else None,
        )
        for name in in_order
        if name in figures
    }
    return TableBenchmark(
        schema=schema,
        rows=len(label),
        bads=int(label.sum()),
        seed=seed,
        variants=variants,
        direction_cost_auc=_auc_cost(variants, WITHOUT_DIRECTIONS),
        protected_cost_auc=_auc_cost(variants, WITH_PROTECTED),
        seconds=time.perf_counter() - began,
    )


def _default_probability(
    values: Float64Array, label: Labels, asked: Float64Array, *, seed: int
) -> Float64Array:
    parameters = {**DEFAULT_PARAMETERS, "seed": seed}
    data = lightgbm.Dataset(values, label, params=parameters)
    booster = lightgbm.train(parameters, data, num_boost_round=DEFAULT_TREES)
    return np.asarray(booster.predict(asked), dtype=np.float64)


def _figures(label: Labels, probability: Float64Array) -> Figures:
    # Folds say how sure a figure is here, so that two rounds of its bootstrap are enough.
    evaluation = evaluate(label, probability, np.arange(len(label)).astype(object), rounds=2)
    return Figures(**{name: getattr(evaluation, name).value for name in FIGURE_NAMES})


def _auc_cost(variants: dict[str, Variant], freer: str) -> Spread | None:
    """AUC of a freer variant minus ours, fold by fold."""
    if freer not in variants:
        return None
    pairs = zip(variants[freer].folds, variants[BONITAS].folds, strict=True)
    return spread_of([free.auc - kept.auc for free, kept in pairs])
