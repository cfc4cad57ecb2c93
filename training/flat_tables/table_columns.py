"""A flat table as an estimator reads it: label, columns as numbers, derived columns, texts and codes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.declarations import Direction
from features.instants import Float64Array
from training.errors import TrainingError
from training.flat_tables.table_schema import Operation, TableSchema

Labels = NDArray[np.int8]
Rows = NDArray[np.intp]

SMALLEST_TEXT_SHARE = 0.01
"""A text that fewer rows hold has no column of its own."""


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


def labels_of(table: pa.Table, schema: TableSchema) -> Labels:
    """The label of each row, shape (n,), 1 is bad. Raises TrainingError unless it is 0 or 1 in every row."""
    column = named_column(table, schema.label, "label")
    values = numbers_of(column, schema.label)
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
        for _, values in _as_numbers(named_column(table, column.name, "columns"), column.name)
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
        stored = named_column(table, column.name, "columns")
        if _is_text(stored):
            if column.direction is not Direction.NONE or column.special_codes:
                raise TrainingError(
                    f"column {column.name} is of texts: it can have no direction and no codes"
                )
            for name, values in _as_numbers(stored, column.name):
                add(name, Direction.NONE, values)
            continue
        values = numbers_of(stored, column.name)
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


def columns_of_rows(columns: ModelColumns, rows: Rows) -> ModelColumns:
    """The same columns of some rows."""
    return ModelColumns(features=columns.features, values=columns.values[rows])


def named_column(table: pa.Table, name: str, field: str) -> pa.ChunkedArray:
    """The table's column of that name.

    Raises TrainingError, naming the declaration's field, if there is none.
    """
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
        return [(name, numbers_of(column, name))]
    texts = pc.fill_null(column.cast(pa.string()), "").to_numpy(zero_copy_only=False).astype(str)
    distinct, counts = np.unique(texts, return_counts=True)
    common = distinct[counts >= SMALLEST_TEXT_SHARE * len(texts)]
    if len(common) == 0:
        raise TrainingError(
            f"column {name}: no text is in {SMALLEST_TEXT_SHARE:.0%} of the rows; it names rows, not kinds"
        )
    return [(f"{name} is {text or 'missing'}", (texts == text).astype(np.float64)) for text in common]


def numbers_of(column: pa.ChunkedArray, name: str) -> Float64Array:
    """A column as floats, shape (n,), NaN for missing and infinite.

    Raises TrainingError, naming the column, if it is not of numbers.
    """
    try:
        numbers = pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
        raise TrainingError(f"column {name} is not of numbers: {problem}") from problem
    return np.where(np.isinf(numbers), np.nan, np.asarray(numbers, dtype=np.float64))
