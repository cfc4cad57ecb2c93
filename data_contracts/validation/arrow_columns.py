"""Columns as they lie in a Parquet file, as the batch check reads them and as quarantine writes them."""

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Column, ColumnType, Contract
from data_contracts.instants import (
    EARLIEST_DATE,
    EARLIEST_TIMESTAMP_MS,
    LATEST_DATE,
    LATEST_TIMESTAMP_MS,
    rfc3339,
)
from data_contracts.parquet_ledger import ARROW_TYPES, conforming, is_text, texts_as_bytes

if TYPE_CHECKING:
    import pandas as pd


class _ForeignValue:
    """A value that the contract's Arrow type cannot hold, so that none passes by accident.

    An integer column is no column of instants: nobody says whether it counts seconds or milliseconds.
    """

    __slots__ = ()


_FOREIGN = _ForeignValue()
_EARLIEST_DATE, _LATEST_DATE = pa.scalar(EARLIEST_DATE), pa.scalar(LATEST_DATE)
_OUT_OF_RANGE = pa.scalar(EARLIEST_DATE - dt.timedelta(days=1))


def frame_of_table(contract: Contract, table: pa.Table) -> "pd.DataFrame":
    """The frame that the batch check takes, from rows as they lie in a Parquet file.

    Columns of the contract's kind become typed; any other becomes a column of objects of which the type
    rule refuses those that are not of its kind. Columns that the contract does not know come along.
    """
    import pandas as pd  # noqa: PLC0415 the serving worker has none

    series: dict[str, Any] = {}
    for column in contract.columns:
        if column.name not in table.column_names:
            continue
        typed = conforming(column, table)
        if typed.null_count == table.column(column.name).null_count:
            series[column.name] = _typed_series(column, typed)
        else:
            series[column.name] = pd.Series(_objects(column, table, typed), dtype=object)
    known = {column.name for column in contract.columns}
    for name in table.column_names:
        if name not in known:
            present = pc.is_valid(table.column(name)).to_numpy()
            series[name] = pd.Series(["present" if there else None for there in present], dtype=object)
    return pd.DataFrame(series, index=pd.RangeIndex(table.num_rows))


def _typed_series(column: Column, typed: pa.ChunkedArray) -> Any:
    import pandas as pd  # noqa: PLC0415 the serving worker has none

    array = typed
    if column.type is ColumnType.TIMESTAMP:
        array = array.cast(pa.int64())
    elif column.type is ColumnType.DATE:
        array = array.cast(pa.int32()).cast(pa.int64())
    # Without this, pandas would turn integers with nulls into floats, which hold 53 bits.
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()} if array.null_count else {}
    # A table keeps strings in Arrow's memory, a lone array would become objects.
    frame = pa.table({column.name: array}).to_pandas(types_mapper=nullable.get)
    return frame[column.name]


def _objects(column: Column, table: pa.Table, typed: pa.ChunkedArray) -> list[object]:
    """A column of which not all values are of its kind: those that are, in ledger row form.

    So what passes the check is what `conforming` keeps, whatever the column's Arrow type.
    """
    is_there = pc.is_valid(table.column(column.name)).to_pylist()
    if column.type is ColumnType.TIMESTAMP:
        typed = typed.cast(pa.int64())
    elif column.type is ColumnType.DATE:
        typed = pc.strftime(typed, format="%Y-%m-%d")
    return [
        _FOREIGN if value is None and there else value
        for value, there in zip(typed.to_pylist(), is_there, strict=True)
    ]


def ledger_form_rows(contract: Contract, table: pa.Table) -> list[dict[str, object]]:
    """Rows as they lie in a Parquet file, for the row check, which judges them as the batch check does.

    A value that is not of its column's kind stands as an object that no rule lets pass. Of a column that the
    contract does not know a row has only what is there.
    """
    known = [column for column in contract.columns if column.name in table.column_names]
    columns = [_judged_values(column, table) for column in known]
    names = [column.name for column in known]
    rows: list[dict[str, object]] = (
        [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        if known
        else [{} for _ in range(table.num_rows)]
    )
    declared = {column.name for column in contract.columns}
    for name in table.column_names:
        if name not in declared:
            for place in np.flatnonzero(pc.is_valid(table.column(name)).to_numpy()).tolist():
                rows[place][name] = "present"
    return rows


def _judged_values(column: Column, table: pa.Table) -> list[object]:
    typed = conforming(column, table)
    if typed.null_count != table.column(column.name).null_count:
        return _objects(column, table, typed)
    if column.type is ColumnType.TIMESTAMP:
        typed = typed.cast(pa.int64())
    elif column.type is ColumnType.DATE:
        # A date that four digits cannot write is out of range, and not of a wrong form.
        inside = pc.and_(pc.greater_equal(typed, _EARLIEST_DATE), pc.less_equal(typed, _LATEST_DATE))
        typed = pc.strftime(pc.if_else(inside, typed, _OUT_OF_RANGE), format="%Y-%m-%d")
    return list(typed.to_pylist())


def _raw_values(array: pa.ChunkedArray) -> list[object]:
    """The values as Python objects; instants and dates that Python cannot hold as the integers they are."""
    if is_text(array.type):
        return [
            None if value is None else value.decode("utf-8", errors="surrogateescape")
            for value in texts_as_bytes(array)
        ]
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        instants = array.cast(ARROW_TYPES[ColumnType.TIMESTAMP], safe=False).cast(pa.int64()).to_pylist()
        return [
            rfc3339(value)
            if value is not None and EARLIEST_TIMESTAMP_MS <= value <= LATEST_TIMESTAMP_MS
            else value
            for value in instants
        ]
    if pa.types.is_temporal(array.type):
        try:
            return [None if value is None else str(value) for value in array.to_pylist()]
        except (ValueError, OverflowError):
            return list(array.cast(pa.int32() if pa.types.is_date32(array.type) else pa.int64()).to_pylist())
    return list(array.to_pylist())


def raw_rows(contract: Contract, table: pa.Table) -> list[dict[str, Any]]:
    """Rows as they are quarantined: instants in RFC 3339, everything else as it was, no value changed."""
    known = [column.name for column in contract.columns if column.name in table.column_names]
    names = known + [name for name in table.column_names if name not in known]
    columns = [_raw_values(table.column(name)) for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
