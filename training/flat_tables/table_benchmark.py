"""`bonitas benchmark models`: our estimators on a declared flat table, beside LightGBM as it comes.

Every fold tests once. Number of trees, estimator and calibration are chosen on inner folds of the training
rows, which part them by the same rule as the outer ones: a group on one side, later rows judge. The
simplest candidate whose log loss there is within one standard error of the best is taken, because on
small or weak tables a straight line beats boosting.
"""

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.edited_text import read_edited_text
from data_contracts.progress import Progress, no_progress
from data_contracts.public import gmsc, uci_taiwan
from features.declarations import Direction
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from training.candidates.boosted_trees import CONSTRAINT_OF, PARAMETERS, BoostedTrees
from training.candidates.calibration import Calibration, fit_calibration
from training.candidates.directed_logistic import DirectedLogistic, fit_directed_logistic
from training.candidates.scorecard import Scorecard, fit_scorecard
from training.errors import TrainingError
from training.evaluation import evaluate
from training.flat_tables.table_schema import Operation, Split, SplitKind, TableSchema, parse_table_schema
from training.splits import stratified_folds

Rows = NDArray[np.intp]
Labels = NDArray[np.int8]
Estimator = BoostedTrees | Scorecard | DirectedLogistic

INNER_FOLDS = 5
ROWS_FOR_ONE_INNER_FOLD = 10_000
"""From so many training rows on, one inner fold is enough to choose by."""
INNER_TIME_SHARE = 0.25
SMALLEST_TEXT_SHARE = 0.01
"""A text that fewer rows hold has no column of its own."""
SEEDS = 2
MOST_TREES = 1500
EARLY_STOPPING_ROUNDS = 50
TREE_PARAMETERS: dict[str, Any] = {
    **PARAMETERS,
    "learning_rate": 0.04,
    # As good here as the finer method, and many times faster where every fold is fitted several times.
    "monotone_constraints_method": "basic",
}
DEFAULT_PARAMETERS: dict[str, Any] = {
    name: PARAMETERS[name]
    for name in ("objective", "deterministic", "force_row_wise", "num_threads", "verbosity")
}
DEFAULT_TREES = 100

DEFAULT = "lightgbm with default parameters"
BONITAS = "bonitas"
WITHOUT_DIRECTIONS = "bonitas without directions"
DEFAULT_WITH_PROTECTED = "lightgbm with default parameters, with protected"
WITH_PROTECTED = "bonitas with protected"

SCHEMA_FOLDER = Path(__file__).parent / "table_schemas"
SCHEMA_FILES = {"gmsc": "gmsc.toml", "uci-taiwan": "uci_taiwan.toml"}
READERS: dict[str, Callable[[Path, Progress], pa.Table]] = {
    "gmsc": gmsc.read_flat_table,
    "uci-taiwan": uci_taiwan.read_flat_table,
}


class Candidate(enum.Enum):
    """The estimators, the simplest first."""

    LOGISTIC = "logistic"
    SCORECARD = "scorecard"
    LIGHTGBM = "lightgbm"


@dataclass(frozen=True, kw_only=True)
class ModelColumn:
    """One column as an estimator reads it."""

    name: str
    direction: Direction


@dataclass(frozen=True, kw_only=True)
class ModelColumns:
    """What an estimator reads. values: shape (n, len(features)), NaN for missing."""

    features: tuple[ModelColumn, ...]
    values: Float64Array

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The columns' directions, in order."""
        return tuple(feature.direction for feature in self.features)

    def without_directions(self) -> "ModelColumns":
        """The same, with nothing to keep."""
        return ModelColumns(
            features=tuple(ModelColumn(name=name, direction=Direction.NONE) for name in self.names),
            values=self.values,
        )


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Row numbers that train and that test."""

    training: Rows
    test: Rows


@dataclass(frozen=True, kw_only=True)
class SplitKeys:
    """What a split goes by: each row's group as a number, or its time; shape (n,), None if not needed."""

    group: NDArray[np.int64] | None
    time: Float64Array | None

    def of(self, rows: Rows) -> "SplitKeys":
        """The keys of some rows."""
        return SplitKeys(
            group=None if self.group is None else self.group[rows],
            time=None if self.time is None else self.time[rows],
        )


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a model is worth on a fold, or on the mean of the folds."""

    auc: float
    gini: float
    ks: float
    brier: float
    average_precision: float
    recall_at_1pct_fpr: float
    recall_at_5pct_fpr: float
    calibration_error: float


FIGURE_NAMES = tuple(field.name for field in fields(Figures))


@dataclass(frozen=True, kw_only=True)
class InnerJudgement:
    """A candidate on the inner folds: log loss and AUC of the rows they judge, before calibration."""

    log_loss: float
    auc: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the training rows of one fold chose. trees: the number, were it LightGBM."""

    candidate: Candidate
    trees: int
    calibration: Calibration
    judged: dict[Candidate, InnerJudgement]


@dataclass(frozen=True, kw_only=True)
class TableModel:
    """A chosen, fitted and calibrated estimator; several boosters count with the mean of their log-odds."""

    estimators: tuple[Estimator, ...]
    calibration: Calibration

    def probability(self, values: Float64Array) -> Float64Array:
        """Probability of bad, shape (n,), for values of shape (n, n_columns)."""
        raw = np.mean([estimator.raw_log_odds(values) for estimator in self.estimators], axis=0)
        return self.calibration.probability(raw)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure fold by fold, its mean, and the standard deviation between folds (0 for a single fold)."""

    mean: float
    sd: float
    folds: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.mean:.4f}" + (f" (sd {self.sd:.4f})" if len(self.folds) > 1 else "")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to model the table. chosen: each fold's estimator, None for the fixed reference."""

    columns: int
    folds: tuple[Figures, ...]
    chosen: tuple[Choice, ...] | None

    def spread(self, name: str) -> Spread:
        """One figure over the folds."""
        return _spread([getattr(fold, name) for fold in self.folds])

    def to_json(self) -> dict[str, Any]:
        """The figures by name: mean, standard deviation and fold by fold."""
        spreads = {name: self.spread(name) for name in FIGURE_NAMES}
        figures: dict[str, Any] = {
            "columns": self.columns,
            "mean": {name: spread.mean for name, spread in spreads.items()},
            "sd": {name: spread.sd for name, spread in spreads.items()},
            "folds": [asdict(fold) for fold in self.folds],
        }
        if self.chosen is not None:
            figures["chosen"] = [
                {
                    "estimator": choice.candidate.value,
                    "trees": choice.trees if choice.candidate is Candidate.LIGHTGBM else None,
                    "inner_folds": {
                        candidate.value: asdict(judged) for candidate, judged in choice.judged.items()
                    },
                }
                for choice in self.chosen
            ]
        return figures


@dataclass(frozen=True, kw_only=True)
class TableBenchmark:
    """What a run came to.

    direction_cost_auc: AUC without the directions minus AUC with them, None where no column has one.
    protected_cost_auc: AUC with the protected columns minus AUC without, None if not asked for.
    """

    schema: TableSchema
    rows: int
    bads: int
    seed: int
    variants: dict[str, Variant]
    direction_cost_auc: Spread | None
    protected_cost_auc: Spread | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "title": self.schema.title,
            "label": self.schema.label,
            "rows": self.rows,
            "bads": self.bads,
            "bad_rate": self.bads / self.rows,
            "split": {**asdict(self.schema.split), "kind": self.schema.split.kind.value},
            "seed": self.seed,
            "variants": {name: variant.to_json() for name, variant in self.variants.items()},
            "direction_cost_auc": None
            if self.direction_cost_auc is None
            else asdict(self.direction_cost_auc),
            "protected_cost_auc": None
            if self.protected_cost_auc is None
            else asdict(self.protected_cost_auc),
            "published": [asdict(figure) for figure in self.schema.published],
            "seconds": self.seconds,
        }

    def to_text(self) -> str:
        """The result for a reader."""
        split = self.schema.split
        how = f"{split.folds} folds" if split.folds else f"the latest {split.test_share:.0%} test"
        about = f"{self.schema.title}: {self.rows:,} rows, {self.bads / self.rows:.2%} bad"
        names = (
            f"{'AUC':18} {'Gini':6} {'KS':6} {'Brier':7} {'av.pr.':6} {'rec 1%':6} {'rec 5%':6} {'cal.err.'}"
        )
        lines = [
            f"{about}; {split.kind.value}, {how}, seed {self.seed}; means of the folds (sd)",
            "",
            f"  {'':50} {names}",
        ]
        for name, variant in self.variants.items():
            mean = {figure: variant.spread(figure).mean for figure in FIGURE_NAMES}
            lines.append(
                f"  {name:50} {variant.spread('auc')!s:18} {mean['gini']:.4f} {mean['ks']:.4f} "
                f"{mean['brier']:.5f} {mean['average_precision']:.4f} {mean['recall_at_1pct_fpr']:.4f} "
                f"{mean['recall_at_5pct_fpr']:.4f} {mean['calibration_error']:.4f}"
            )
        lines += [
            f"  {f'published: {figure.who}':50} {figure.auc:.4f} ({figure.protocol})"
            for figure in self.schema.published
        ]
        lines.append("")
        chosen = self.variants[BONITAS].chosen or ()
        lines.append(
            "  chosen on inner folds: "
            + ", ".join(
                f"{choice.candidate.value} of {choice.trees} trees"
                if choice.candidate is Candidate.LIGHTGBM
                else choice.candidate.value
                for choice in chosen
            )
        )
        if self.direction_cost_auc is not None:
            lines.append(f"  keeping the directions costs {self.direction_cost_auc} AUC")
        if self.protected_cost_auc is not None:
            lines.append(f"  leaving out the protected columns costs {self.protected_cost_auc} AUC")
        lines.append(f"  {self.seconds:.0f} s in all")
        return "\n".join(lines)


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
            training = _rows_of(candidates, fold.training)
            choice = choose(training, training_label, inner, seed=seed)
            choices.setdefault(name, []).append(choice)
            model = fit_chosen(choice, training, training_label, seed=seed)
            judge(name, fold, model.probability(candidates.values[fold.test]))
        if free is not None:
            training = _rows_of(free, fold.training)
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


def labels_of(table: pa.Table, schema: TableSchema) -> Labels:
    """The label of each row, shape (n,), 1 is bad. Raises TrainingError unless it is 0 or 1 in every row."""
    column = _column(table, schema.label, "label")
    values = _numbers(column, schema.label)
    if not np.isin(values, (0.0, 1.0)).all():
        raise TrainingError(f"label {schema.label}: must be 0 or 1 in every row")
    if len(np.unique(values)) < 2:
        raise TrainingError(f"label {schema.label}: both 0 and 1 must occur")
    return values.astype(np.int8)


def plain_columns(table: pa.Table, schema: TableSchema, *, with_protected: bool = False) -> Float64Array:
    """The table's own columns as they are, shape (n, n_columns), texts as one column per text."""
    columns = [
        values
        for column in schema.read_columns(with_protected=with_protected)
        for _, values in _as_numbers(_column(table, column.name, "columns"), column.name)
    ]
    return np.column_stack(columns)


def model_columns(table: pa.Table, schema: TableSchema, *, with_protected: bool = False) -> ModelColumns:
    """What our estimators read: the columns without their codes, derived ones, and marks of what is missing.

    A code becomes a missing value, and a column of its own says where it stood. A directed column that can be
    missing has a column that says so, as a direction tells nothing about absence. None of it looks at
    the label.
    Raises TrainingError for a column that is not in the table, or a text with a direction, with codes
    or in a derived column.
    """
    names: list[str] = []
    directions: list[Direction] = []
    arrays: list[Float64Array] = []
    numeric: dict[str, Float64Array] = {}
    marks: dict[bytes, tuple[str, Float64Array]] = {}

    def add(name: str, direction: Direction, values: Float64Array) -> None:
        names.append(name)
        directions.append(direction)
        arrays.append(values)

    for column in schema.read_columns(with_protected=with_protected):
        stored = _column(table, column.name, "columns")
        if _is_text(stored):
            if column.direction is not Direction.NONE or column.special_codes:
                raise TrainingError(
                    f"column {column.name} is of texts: it can have no direction and no codes"
                )
            for name, values in _as_numbers(stored, column.name):
                add(name, Direction.NONE, values)
            continue
        values = _numbers(stored, column.name)
        is_missing = np.isnan(values)
        is_code = np.isin(values, column.special_codes)
        values = np.where(is_code, np.nan, values)
        numeric[column.name] = values
        add(column.name, column.direction, values)
        if is_code.any():
            marks.setdefault(is_code.tobytes(), (f"{column.name} is a code", is_code.astype(np.float64)))
        if is_missing.any() and column.direction is not Direction.NONE:
            marks.setdefault(
                is_missing.tobytes(), (f"{column.name} is missing", is_missing.astype(np.float64))
            )
    for derived in schema.computed_columns(with_protected=with_protected):
        texts = [name for name in derived.of if name not in numeric]
        if texts:
            raise TrainingError(f"derived column {derived.name}: {', '.join(texts)} is of texts")
        numeric[derived.name] = derived_values(derived.operation, [numeric[name] for name in derived.of])
        add(derived.name, derived.direction, numeric[derived.name])
    for name, values in marks.values():
        add(name, Direction.NONE, values)
    return ModelColumns(
        features=tuple(
            ModelColumn(name=name, direction=direction)
            for name, direction in zip(names, directions, strict=True)
        ),
        values=np.column_stack(arrays),
    )


def derived_values(operation: Operation, columns: Sequence[Float64Array]) -> Float64Array:
    """Compute one derived column, shape (n,), from its columns, each of shape (n,); see Operation for gaps.

    >>> derived_values(Operation.RATIO, [np.array([1.0, 3.0]), np.array([2.0, 0.0])])
    array([0.5, nan])
    """
    stacked = np.column_stack(columns)
    nothing = np.isnan(stacked).all(axis=1)
    match operation:
        case Operation.DIFFERENCE:
            return columns[0] - columns[1]
        case Operation.PRODUCT:
            return columns[0] * columns[1]
        case Operation.RATIO:
            result = np.full(len(columns[0]), np.nan)
            np.divide(columns[0], columns[1], out=result, where=columns[1] > 0)
            return result
        case Operation.SUM:
            return np.where(nothing, np.nan, np.nansum(stacked, axis=1))
        case Operation.MAXIMUM:
            return np.asarray(np.fmax.reduce(stacked, axis=1), dtype=np.float64)
        case Operation.MINIMUM:
            return np.asarray(np.fmin.reduce(stacked, axis=1), dtype=np.float64)
        case Operation.COUNT_POSITIVE:
            return np.where(nothing, np.nan, (stacked > 0).sum(axis=1))


def split_keys(table: pa.Table, split: Split) -> SplitKeys:
    """What the declared split goes by. Raises TrainingError where that column is missing or has gaps."""
    if split.column is None:
        return SplitKeys(group=None, time=None)
    field = "split.group_column" if split.group_column else "split.time_column"
    column = _column(table, split.column, field)
    if column.null_count:
        raise TrainingError(f"{field}: {split.column} has {column.null_count} rows without a value")
    if split.kind is SplitKind.GROUPED_K_FOLD:
        group = pc.dictionary_encode(column.combine_chunks()).indices.to_numpy(zero_copy_only=False)
        return SplitKeys(group=group.astype(np.int64), time=None)
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        # As nanoseconds they would not fit a float exactly, and rows of one day could part.
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    moments = _numbers(column, split.column)
    if np.isnan(moments).any():
        raise TrainingError(f"{field}: {split.column} has rows without a value")
    return SplitKeys(group=None, time=moments)


def folds_of(split: Split, label: Labels, keys: SplitKeys, seed: int) -> list[Fold]:
    """The outer folds. Raises TrainingError where one side of a fold would lack good or bad rows."""
    if keys.time is not None:
        if split.test_share is None:
            raise TrainingError("split.test_share: is needed by time")
        return [_checked(_latest(keys.time, split.test_share), label)]
    if split.folds is None:
        raise TrainingError("split.folds: is needed")
    return _k_folds(label, keys.group, split.folds, seed)


def inner_folds(split: Split, label: Labels, keys: SplitKeys, seed: int) -> list[Fold]:
    """The folds inside training rows that everything is chosen on; row numbers count within those rows."""
    if split.kind is SplitKind.BY_TIME and keys.time is not None:
        return [_checked(_latest(keys.time, INNER_TIME_SHARE), label)]
    folds = _k_folds(label, keys.group, INNER_FOLDS, seed + 1)
    return folds[:1] if len(label) >= ROWS_FOR_ONE_INNER_FOLD else folds


def choose(columns: ModelColumns, label: Labels, inner: Sequence[Fold], *, seed: int) -> Choice:
    """Choose estimator, number of trees and calibration on the inner folds alone."""
    raw: dict[Candidate, list[Float64Array]] = {candidate: [] for candidate in Candidate}
    trees = []
    for fold in inner:
        training, held = _rows_of(columns, fold.training), columns.values[fold.test]
        for candidate in (Candidate.LOGISTIC, Candidate.SCORECARD):
            estimator = _fit(candidate, training, label[fold.training], trees=0, seed=seed)
            raw[candidate].append(estimator.raw_log_odds(held))
        booster = _fit_until_no_better(columns, label, fold, seed)
        trees.append(booster.booster.current_iteration())
        raw[Candidate.LIGHTGBM].append(booster.raw_log_odds(held))
    judged_label = np.concatenate([label[fold.test] for fold in inner])
    joined = {candidate: np.concatenate(parts) for candidate, parts in raw.items()}
    losses = {
        candidate: np.logaddexp(0.0, log_odds) - judged_label * log_odds
        for candidate, log_odds in joined.items()
    }
    candidate = simplest_within_one_standard_error(losses)
    return Choice(
        candidate=candidate,
        trees=round(float(np.mean(trees))),
        calibration=fit_calibration(joined[candidate], judged_label),
        judged={
            rival: InnerJudgement(log_loss=float(losses[rival].mean()), auc=_auc(judged_label, joined[rival]))
            for rival in Candidate
        },
    )


def simplest_within_one_standard_error(losses: dict[Candidate, Float64Array]) -> Candidate:
    """The simplest candidate that is not clearly worse than the best.

    losses: of the same rows, shape (n,) each. Clearly: the mean difference to the best exceeds its standard
    error, paired by row.
    """
    best = min(Candidate, key=lambda candidate: float(losses[candidate].mean()))
    for candidate in Candidate:
        difference = losses[candidate] - losses[best]
        if difference.mean() <= difference.std(ddof=1) / np.sqrt(len(difference)):
            return candidate
    return best


def fit_chosen(choice: Choice, columns: ModelColumns, label: Labels, *, seed: int) -> TableModel:
    """Fit what was chosen on all training rows; of LightGBM, boosters from several seeds."""
    seeds = range(seed, seed + SEEDS) if choice.candidate is Candidate.LIGHTGBM else (seed,)
    return TableModel(
        estimators=tuple(
            _fit(choice.candidate, columns, label, trees=choice.trees, seed=each) for each in seeds
        ),
        calibration=choice.calibration,
    )


def _fit(candidate: Candidate, columns: ModelColumns, label: Labels, *, trees: int, seed: int) -> Estimator:
    match candidate:
        case Candidate.LOGISTIC:
            return fit_directed_logistic(columns.values, label, columns.directions)
        case Candidate.SCORECARD:
            # Of a feature set the scorecard reads each feature's name and direction, which ours have too.
            return fit_scorecard(columns.values, label, cast("FeatureSet", columns))
        case Candidate.LIGHTGBM:
            parameters = _tree_parameters(columns, seed)
            data = lightgbm.Dataset(columns.values, label, params=parameters)
            return BoostedTrees(booster=lightgbm.train(parameters, data, num_boost_round=trees))


def _fit_until_no_better(columns: ModelColumns, label: Labels, fold: Fold, seed: int) -> BoostedTrees:
    """Boosted trees on the fold's training rows, as many as serve its other rows best."""
    parameters = _tree_parameters(columns, seed)
    fitting = lightgbm.Dataset(columns.values[fold.training], label[fold.training], params=parameters)
    watching = lightgbm.Dataset(
        columns.values[fold.test], label[fold.test], reference=fitting, params=parameters
    )
    booster = lightgbm.train(
        parameters,
        fitting,
        num_boost_round=MOST_TREES,
        valid_sets=[watching],
        callbacks=[lightgbm.early_stopping(EARLY_STOPPING_ROUNDS, verbose=False)],
    )
    text = booster.model_to_string(num_iteration=booster.best_iteration)
    return BoostedTrees(booster=lightgbm.Booster(model_str=text))


def _tree_parameters(columns: ModelColumns, seed: int) -> dict[str, Any]:
    constraints = [CONSTRAINT_OF[direction] for direction in columns.directions]
    return {**TREE_PARAMETERS, "seed": seed, "monotone_constraints": constraints}


def _default_probability(
    values: Float64Array, label: Labels, asked: Float64Array, *, seed: int
) -> Float64Array:
    parameters = {**DEFAULT_PARAMETERS, "seed": seed}
    data = lightgbm.Dataset(values, label, params=parameters)
    booster = lightgbm.train(parameters, data, num_boost_round=DEFAULT_TREES)
    return np.asarray(booster.predict(asked), dtype=np.float64)


def _k_folds(label: Labels, group: NDArray[np.int64] | None, folds: int, seed: int) -> list[Fold]:
    if group is None:
        return [Fold(training=training, test=test) for training, test in stratified_folds(label, folds, seed)]
    from sklearn.model_selection import StratifiedGroupKFold  # noqa: PLC0415 # slow to import

    if len(np.unique(group)) < folds:
        raise TrainingError(f"{folds} folds need at least {folds} groups")
    if np.bincount(label, minlength=2).min() < folds:
        raise TrainingError(f"{folds} folds need at least {folds} good and {folds} bad rows")
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    return [
        _checked(Fold(training=training, test=test), label)
        for training, test in splitter.split(np.zeros(len(label)), label, group)
    ]


def _latest(moments: Float64Array, share: float) -> Fold:
    """The latest `share` of the rows tests; rows of one moment stay together, on the test side."""
    starts = np.quantile(moments, 1 - share, method="lower")
    return Fold(training=np.flatnonzero(moments < starts), test=np.flatnonzero(moments >= starts))


def _checked(fold: Fold, label: Labels) -> Fold:
    for side, rows in (("training", fold.training), ("test", fold.test)):
        bads = int(label[rows].sum())
        if bads in {0, len(rows)}:
            raise TrainingError(
                f"the {side} side of a fold has {bads} bad among {len(rows)} rows; both kinds are needed: "
                f"use fewer folds or another share"
            )
    return fold


def _rows_of(columns: ModelColumns, rows: Rows) -> ModelColumns:
    return ModelColumns(features=columns.features, values=columns.values[rows])


def _figures(label: Labels, probability: Float64Array) -> Figures:
    # Folds say how sure a figure is here, so that two rounds of its bootstrap are enough.
    evaluation = evaluate(label, probability, np.arange(len(label)).astype(object), rounds=2)
    return Figures(**{name: getattr(evaluation, name).value for name in FIGURE_NAMES})


def _auc(label: Labels, score: Float64Array) -> float:
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 # slow to import

    return float(roc_auc_score(label, score))


def _spread(values: Sequence[float]) -> Spread:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Spread(mean=float(np.mean(values)), sd=sd, folds=tuple(values))


def _auc_cost(variants: dict[str, Variant], freer: str) -> Spread | None:
    """AUC of a freer variant minus ours, fold by fold."""
    if freer not in variants:
        return None
    pairs = zip(variants[freer].folds, variants[BONITAS].folds, strict=True)
    return _spread([free.auc - kept.auc for free, kept in pairs])


def _column(table: pa.Table, name: str, field: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise TrainingError(f"{field}: the table has no column {name}")
    return table[name]


def _is_text(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _as_numbers(column: pa.ChunkedArray, name: str) -> list[tuple[str, Float64Array]]:
    """A column of numbers as it is; of texts, one column of 0 and 1 for each text that is not rare."""
    if not _is_text(column):
        return [(name, _numbers(column, name))]
    texts = pc.fill_null(column.cast(pa.string()), "").to_numpy(zero_copy_only=False).astype(str)
    distinct, counts = np.unique(texts, return_counts=True)
    common = distinct[counts >= SMALLEST_TEXT_SHARE * len(texts)]
    if len(common) == 0:
        raise TrainingError(
            f"column {name}: no text is in {SMALLEST_TEXT_SHARE:.0%} of the rows; it names rows, not kinds"
        )
    return [(f"{name} is {text or 'missing'}", (texts == text).astype(np.float64)) for text in common]


def _numbers(column: pa.ChunkedArray, name: str) -> Float64Array:
    try:
        numbers = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
        raise TrainingError(f"column {name} is not of numbers: {problem}") from problem
    return np.where(np.isinf(numbers), np.nan, np.asarray(numbers, dtype=np.float64))
