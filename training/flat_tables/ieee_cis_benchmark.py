"""`bonitas benchmark models ieee-cis`: fraud features and an estimator on half a year of real card orders.

The first 80 % of the orders by time train, the last 20 % test, once. Everything that is chosen (groups of
features, number of trees) is chosen on two later folds inside the training period, each with a gap between
what is fitted and what is judged. Findings of fraud count as history FINDING_DELAY_DAYS after the order, and
those of a period that is judged never do.
"""

import resource
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from data_contracts.progress import Progress, no_progress
from data_contracts.public.ieee_cis import (
    ADDRESS_COLUMNS,
    CARD_COLUMNS,
    CARD_NUMBER_COLUMN,
    DEVICE_COLUMNS,
    EMAIL_DOMAIN_COLUMN,
    MILLS_PER_DOLLAR,
    PRODUCT_COLUMN,
    RUNNING_TOTAL_COLUMNS,
    CardOrderTable,
    read_orders,
)
from evidence.intervals import Interval
from features.card_history import HISTORY_GROUPS, FeatureColumns, build_history
from features.card_orders import CardOrders, clients_of, dense_codes, previous_order_of_client
from features.instants import Float64Array, Int64Array
from training.evaluation import Evaluation, auc_difference, average_precision_difference, evaluate

STEP = "benchmark ieee-cis"
TEST_SHARE = 0.2
FOLDS = ((0.52, 0.57, 0.77), (0.75, 0.80, 1.00))
"""Shares of the training period, in orders: fitted up to the first, judged from the second to the third."""
LEAST_GAIN = 0.001
"""A group is kept if AUC plus average precision rise by this much, on the mean of the folds."""
FINDINGS = "findings"

_FIXED: dict[str, Any] = {
    "objective": "binary",
    "num_threads": 2,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
REFERENCE_PARAMETERS: dict[str, Any] = {
    "num_leaves": 63,
    "learning_rate": 0.04,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
}
REFERENCE_TREES = 600
PARAMETERS: dict[str, Any] = {
    **REFERENCE_PARAMETERS,
    "feature_fraction": 0.25,
    # A client's orders share their label: small leaves learn clients by heart instead of conduct.
    "min_data_in_leaf": 150,
    "path_smooth": 20.0,
    "lambda_l2": 5.0,
}
SELECTION = {"learning_rate": 0.08}
SELECTION_TREES = 250
TREES_TRIED = (300, 400, 500, 600, 700, 800)
SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class Judged:
    """AUC and average precision on the inner folds, in the order of FOLDS."""

    auc: tuple[float, ...]
    average_precision: tuple[float, ...]

    def total(self) -> float:
        """Sum of both figures, on the mean of the folds."""
        return float(np.mean(self.auc) + np.mean(self.average_precision))


@dataclass(frozen=True, kw_only=True)
class GroupTrial:
    """What a group added to the groups kept before it; changes are means over the inner folds."""

    group: str
    features: int
    auc_change: float
    average_precision_change: float
    is_kept: bool


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """What a run came to.

    evaluations: on the test orders; "default" is LightGBM with default parameters and "reference" 600 trees
        of 63 leaves, both on the source's columns; "bonitas" has our features. Intervals draw clients.
    auc_difference, average_precision_difference: of bonitas minus reference, paired.
    feature_seconds: of building every group. peak_memory_mib: of the process when they were built.
    """

    orders: int
    training_orders: int
    test_orders: int
    seed: int
    trees: int
    boosters: int
    columns: int
    trials: tuple[GroupTrial, ...]
    base: Judged
    kept: tuple[str, ...]
    feature_count: int
    feature_seconds: float
    seconds_by_group: dict[str, float]
    peak_memory_mib: int
    evaluations: dict[str, Evaluation]
    auc_difference: Interval
    average_precision_difference: Interval
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """The result in a few lines for a person."""
        orders = f"{self.orders:,} orders: {self.training_orders:,} train, the last {self.test_orders:,} test"
        built = f"built in {self.feature_seconds:.1f} s, peak memory {self.peak_memory_mib:,} MiB"
        auc, precision = np.mean(self.base.auc), np.mean(self.base.average_precision)
        lines = [
            f"IEEE-CIS, {orders}",
            f"  {self.feature_count} history features {built}",
            "  groups, by what each adds to those kept before it, mean of the inner folds",
            f"    (without any: AUC {auc:.4f}, average precision {precision:.4f}):",
        ]
        lines += [
            f"    {trial.group:16} {trial.features:3} features  AUC {trial.auc_change:+.4f}  "
            f"average precision {trial.average_precision_change:+.4f}  "
            f"{'kept' if trial.is_kept else 'dropped'}"
            for trial in self.trials
        ]
        for name, evaluation in self.evaluations.items():
            lines += [
                f"  {name}",
                f"    AUC {evaluation.auc}, average precision {evaluation.average_precision}",
                f"    Brier {evaluation.brier}",
                f"    recall at 1 % false positives {evaluation.recall_at_1pct_fpr}",
                f"    recall at 5 % false positives {evaluation.recall_at_5pct_fpr}",
            ]
        lines += [
            f"  bonitas ({self.boosters} boosters of {self.trees} trees) minus reference, paired:",
            f"    AUC {self.auc_difference}, average precision {self.average_precision_difference}",
            f"  {self.seconds:.0f} s in all",
        ]
        return "\n".join(lines)


def run(source: Path, *, seed: int = 0, progress: Progress = no_progress) -> BenchmarkResult:
    """Benchmark on the source's CSV. Raises FetchFailed if `source` is not that table."""
    return benchmark(read_orders(source, progress), seed=seed, progress=progress)


def benchmark(table: CardOrderTable, *, seed: int = 0, progress: Progress = no_progress) -> BenchmarkResult:
    """Build the features, choose inside the training period, and test once."""
    began = time.perf_counter()
    cut = int(len(table) * (1 - TEST_SHARE))
    steps = 5 + len(HISTORY_GROUPS)
    progress(STEP, done=0, total=steps)
    orders = card_orders(table, findings_until=cut)
    seconds_by_group: dict[str, float] = {}
    building = time.perf_counter()
    history = build_history(orders, seconds_by_group=seconds_by_group)
    feature_seconds = time.perf_counter() - building
    peak = _peak_memory_mib()
    progress(STEP, done=1, total=steps)

    places = [tuple(int(cut * share) for share in fold) for fold in FOLDS]
    fold_findings = [
        build_history(card_orders(table, findings_until=fold[0]), groups=(FINDINGS,))[FINDINGS]
        for fold in places
    ]

    def judged(groups: tuple[str, ...]) -> Judged:
        auc, precision = [], []
        for (fitted, judged_from, judged_until), findings in zip(places, fold_findings, strict=True):
            values = _matrix(table.values[:judged_until], {**history, FINDINGS: findings}, groups)
            booster = _fit(
                values[:fitted], table.is_fraud[:fitted], {**PARAMETERS, **SELECTION}, SELECTION_TREES, seed
            )
            figures = _figures(table.is_fraud[judged_from:judged_until], booster, values[judged_from:])
            auc.append(figures[0])
            precision.append(figures[1])
        return Judged(auc=tuple(auc), average_precision=tuple(precision))

    base = best = judged(())
    progress(STEP, done=2, total=steps)
    kept: tuple[str, ...] = ()
    trials = []
    for place, group in enumerate(HISTORY_GROUPS):
        trial = judged((*kept, group.name))
        is_kept = trial.total() - best.total() >= LEAST_GAIN
        trials.append(
            GroupTrial(
                group=group.name,
                features=len(history[group.name]),
                auc_change=float(np.mean(trial.auc) - np.mean(best.auc)),
                average_precision_change=float(
                    np.mean(trial.average_precision) - np.mean(best.average_precision)
                ),
                is_kept=is_kept,
            )
        )
        if is_kept:
            kept, best = (*kept, group.name), trial
        progress(STEP, done=3 + place, total=steps)

    trees = _chosen_trees(table, {**history, FINDINGS: fold_findings[-1]}, kept, places[-1], seed)
    progress(STEP, done=3 + len(HISTORY_GROUPS), total=steps)
    label = table.is_fraud
    probabilities = {
        "default": _predicted(_fit(table.values[:cut], label[:cut], {}, 100, seed), table.values[cut:]),
        "reference": _predicted(
            _fit(table.values[:cut], label[:cut], REFERENCE_PARAMETERS, REFERENCE_TREES, seed),
            table.values[cut:],
        ),
    }
    progress(STEP, done=4 + len(HISTORY_GROUPS), total=steps)
    values = _matrix(table.values, history, kept)
    probabilities["bonitas"] = np.mean(
        [
            _predicted(_fit(values[:cut], label[:cut], PARAMETERS, trees, seed + nth), values[cut:])
            for nth in range(SEEDS)
        ],
        axis=0,
    )
    client = clients_of(previous_order_of_client(orders))[cut:].astype(object)
    rivals = (label[cut:], probabilities["bonitas"], probabilities["reference"], client)
    result = BenchmarkResult(
        orders=len(table),
        training_orders=cut,
        test_orders=len(table) - cut,
        seed=seed,
        trees=trees,
        boosters=SEEDS,
        columns=values.shape[1],
        trials=tuple(trials),
        base=base,
        kept=kept,
        feature_count=sum(len(group) for group in history.values()),
        feature_seconds=feature_seconds,
        seconds_by_group=seconds_by_group,
        peak_memory_mib=peak,
        evaluations={
            name: evaluate(label[cut:], probability, client, seed=seed)
            for name, probability in probabilities.items()
        },
        auc_difference=auc_difference(*rivals, seed=seed),
        average_precision_difference=average_precision_difference(*rivals, seed=seed),
        seconds=0.0,
    )
    progress(STEP, done=steps, total=steps)
    return replace(result, seconds=time.perf_counter() - began)


def card_orders(table: CardOrderTable, *, findings_until: int) -> CardOrders:
    """The table as the features read it; findings only of the first `findings_until` orders."""

    def codes(*names: str) -> Int64Array:
        columns = [dense_codes(_integers(table.column(name))) for name in names]
        return dense_codes(*(column - column.min() for column in columns))

    device = [table.column(name) for name in DEVICE_COLUMNS]
    nothing_known = np.all([np.isnan(column) for column in device], axis=0)
    address_missing = np.isnan(table.column(ADDRESS_COLUMNS[0]))
    finding = table.is_fraud.copy()
    finding[findings_until:] = -1
    return CardOrders(
        occurred_ms=table.occurred_ms,
        amount_mills=table.amount_mills,
        card_number=codes(CARD_NUMBER_COLUMN),
        card=codes(*CARD_COLUMNS),
        address=np.where(address_missing, -1, codes(*ADDRESS_COLUMNS)),
        device=np.where(nothing_known, -1, codes(*DEVICE_COLUMNS)),
        email_domain=_integers(table.column(EMAIL_DOMAIN_COLUMN)),
        product=_integers(table.column(PRODUCT_COLUMN)),
        running_totals_mills=tuple(
            np.rint(np.nan_to_num(table.column(name).astype(np.float64)) * MILLS_PER_DOLLAR).astype(np.int64)
            for name in RUNNING_TOTAL_COLUMNS
        ),
        finding=finding,
    )


def _integers(column: NDArray[np.float32]) -> Int64Array:
    """Rank of each value among those that occur, -1 where there is none."""
    rank = np.unique(column, return_inverse=True)[1].astype(np.int64)
    return np.where(np.isnan(column), -1, rank)


def _matrix(
    plain: NDArray[np.float32], history: dict[str, FeatureColumns], groups: tuple[str, ...]
) -> NDArray[np.float32]:
    columns = [column[: len(plain)] for group in groups for column in history[group].values()]
    return np.column_stack([plain, *columns]) if columns else plain


def _fit(
    values: NDArray[np.float32], label: NDArray[np.int8], parameters: dict[str, Any], trees: int, seed: int
) -> lightgbm.Booster:
    parameters = {**_FIXED, **parameters, "seed": seed}
    data = lightgbm.Dataset(values, label, params=parameters)
    return lightgbm.train(parameters, data, num_boost_round=trees)


def _predicted(
    booster: lightgbm.Booster, values: NDArray[np.float32], trees: int | None = None
) -> Float64Array:
    return np.asarray(booster.predict(values, num_iteration=trees, num_threads=2), dtype=np.float64)


def _figures(
    label: NDArray[np.int8],
    booster: lightgbm.Booster,
    values: NDArray[np.float32],
    trees: int | None = None,
) -> tuple[float, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score  # noqa: PLC0415 # slow to import

    probability = _predicted(booster, values, trees)
    return float(roc_auc_score(label, probability)), float(average_precision_score(label, probability))


def _chosen_trees(
    table: CardOrderTable,
    history: dict[str, FeatureColumns],
    kept: tuple[str, ...],
    fold: tuple[int, ...],
    seed: int,
) -> int:
    """How many trees serve the latest inner fold best, by AUC plus average precision."""
    fitted, judged_from, judged_until = fold
    values = _matrix(table.values[:judged_until], history, kept)
    booster = _fit(values[:fitted], table.is_fraud[:fitted], PARAMETERS, max(TREES_TRIED), seed)
    label = table.is_fraud[judged_from:judged_until]
    return max(TREES_TRIED, key=lambda trees: sum(_figures(label, booster, values[judged_from:], trees)))


def _peak_memory_mib() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
