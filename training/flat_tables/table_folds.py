"""Which rows train and which test: the folds of a declared split, and those inside training rows."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.instants import Float64Array
from training.errors import TrainingError
from training.flat_tables.table_columns import Labels, Rows, named_column, numbers_of
from training.flat_tables.table_schema import Split, SplitKind
from training.splits import stratified_folds

INNER_FOLDS = 5
ROWS_FOR_ONE_INNER_FOLD = 10_000
"""From so many training rows on, one inner fold is enough to choose by."""
INNER_TIME_SHARE = 0.25


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


def split_keys(table: pa.Table, split: Split) -> SplitKeys:
    """What the declared split goes by. Raises TrainingError where that column is missing or has gaps."""
    if split.column is None:
        return SplitKeys(group=None, time=None)
    field = "split.group_column" if split.group_column else "split.time_column"
    column = named_column(table, split.column, field)
    if column.null_count:
        raise TrainingError(f"{field}: {split.column} has {column.null_count} rows without a value")
    if split.kind is SplitKind.GROUPED_K_FOLD:
        group = pc.dictionary_encode(column.combine_chunks()).indices.to_numpy(zero_copy_only=False)
        return SplitKeys(group=group.astype(np.int64), time=None)
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        # As nanoseconds they would not fit a float exactly, and rows of one day could part.
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    moments = numbers_of(column, split.column)
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
