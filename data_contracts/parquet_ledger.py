"""A ledger as a folder of Parquet files: one folder per contract, rows sorted by (entity, recorded_at).

    DIR/orders/part-00000.parquet
    DIR/invoices/part-00000.parquet ...

Timestamps are stored as timestamp('ms', 'UTC'), dates as date32, amounts as int64.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from data_contracts.contract import ColumnType, Contract

ARROW_TYPES: Mapping[ColumnType, pa.DataType] = {
    ColumnType.STRING: pa.string(),
    ColumnType.INT64: pa.int64(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.TIMESTAMP: pa.timestamp("ms", tz="UTC"),
    ColumnType.DATE: pa.date32(),
}


class NoSuchLedgerTable(Exception):
    """The folder holds no rows of the contract."""


def arrow_schema(contract: Contract) -> pa.Schema:
    """The Arrow schema of a contract's rows."""
    return pa.schema(
        [
            pa.field(column.name, ARROW_TYPES[column.type], nullable=column.nullable)
            for column in contract.columns
        ]
    )


def table_folder(directory: Path, contract: Contract) -> Path:
    """Where the rows of `contract` lie below the ledger folder `directory`."""
    return directory / contract.name


def has_table(directory: Path, contract: Contract) -> bool:
    """Whether the folder holds rows of `contract`."""
    folder = table_folder(directory, contract)
    return folder.is_dir() and any(folder.glob("*.parquet"))


def write_table(directory: Path, contract: Contract, columns: Mapping[str, Any] | pa.Table) -> int:
    """Write all rows of one contract, sorted by (entity, recorded_at, event_id), replacing what was there.

    columns: one array per column of the contract; an integer array for a TIMESTAMP is
        milliseconds since 1970 UTC; a nullable column may be left out (all null).
    Returns the number of rows. Raises ValueError for an unknown or a missing required column.
    """
    schema = arrow_schema(contract)
    if isinstance(columns, pa.Table):
        table = columns
        for field in schema:
            if field.nullable and field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        table = table.select(schema.names).cast(schema)
    else:
        unknown = set(columns) - set(schema.names)
        if unknown:
            raise ValueError(f"{contract.name}: unknown columns {sorted(unknown)}")
        length = len(next(iter(columns.values())))
        arrays = []
        for schema_field in schema:
            values = columns.get(schema_field.name)
            if values is None:
                if not schema_field.nullable:
                    raise ValueError(f"{contract.name}: column {schema_field.name} is required")
                arrays.append(pa.nulls(length, schema_field.type))
            else:
                arrays.append(_as_arrow(values, schema_field.type))
        table = pa.Table.from_arrays(arrays, schema=schema)
    table = table.sort_by(
        [(contract.entity, "ascending"), ("recorded_at", "ascending"), ("event_id", "ascending")]
    )
    folder = table_folder(directory, contract)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.parquet"):
        old.unlink()
    pq.write_table(table, folder / "part-00000.parquet", compression="zstd")
    return int(table.num_rows)


def _as_arrow(values: Any, arrow_type: pa.DataType) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks().cast(arrow_type)
    if isinstance(values, pa.Array):
        return values.cast(arrow_type)
    array = pa.array(values)
    return array if array.type == arrow_type else array.cast(arrow_type)


def read_table(directory: Path, contract: Contract, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the rows of one contract, with the contract's types, in file order.

    A file that was written before a nullable column was part of the contract has nulls there.
    Raises NoSuchLedgerTable if the folder holds none, and an Arrow error where a required column is missing.
    """
    if not has_table(directory, contract):
        raise NoSuchLedgerTable(f"{table_folder(directory, contract)} holds no {contract.name}")
    names = list(columns) if columns is not None else [column.name for column in contract.columns]
    schema = arrow_schema(contract)
    dataset = pads.dataset(table_folder(directory, contract), format="parquet")
    # The dataset knows the columns of its first file alone.
    known = dataset.schema
    for fragment in dataset.get_fragments():
        for added in fragment.physical_schema:
            if added.name not in known.names:
                known = known.append(added)
    absent = [name for name in names if name not in known.names and schema.field(name).nullable]
    table = dataset.replace_schema(known).to_table(columns=[name for name in names if name not in absent])
    for name in absent:
        table = table.append_column(schema.field(name), pa.nulls(table.num_rows, schema.field(name).type))
    return table.select(names).cast(pa.schema([schema.field(name) for name in names]))


def empty_table(contract: Contract) -> pa.Table:
    """A table of the contract without rows."""
    return arrow_schema(contract).empty_table()


def ledger_rows(contract: Contract, table: pa.Table) -> list[dict[str, Any]]:
    """A table's rows in ledger row form, nulls left out."""
    names = [column.name for column in contract.columns]
    columns: list[list[Any]] = []
    for column in contract.columns:
        values = table[column.name]
        if column.type is ColumnType.TIMESTAMP:
            values = pc.cast(values, pa.int64())
        elif column.type is ColumnType.DATE:
            values = pc.strftime(values, format="%Y-%m-%d")
        columns.append(values.to_pylist())
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*columns, strict=True)
    ]
