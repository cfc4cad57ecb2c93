"""A ledger as a folder of Parquet files: one folder per contract, rows sorted by (entity, recorded_at).

    DIR/orders/part-00000.parquet
    DIR/invoices/part-00000.parquet ...

Timestamps are stored as timestamp('ms', 'UTC'), dates as date32, amounts as int64. Only files that are named
so are read, by whatever command; `data_contracts.ledger_folder` names all others.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.contract import Column, ColumnType, Contract
from data_contracts.instants import DAY_MS
from data_contracts.ledger_folder_error import LedgerFolderError
from data_contracts.private_files import private_file, private_folder

ARROW_TYPES: Mapping[ColumnType, pa.DataType] = {
    ColumnType.STRING: pa.string(),
    ColumnType.INT64: pa.int64(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.TIMESTAMP: pa.timestamp("ms", tz="UTC"),
    ColumnType.DATE: pa.date32(),
}


PART_FILES = "part-*.parquet"
"""The names of files that hold rows."""


class NoSuchLedgerTable(LedgerFolderError):
    """The folder holds no rows of the contract."""


class UnreadableLedgerFile(LedgerFolderError):
    """A file of the ledger folder cannot be read; the message names it and says why."""


_INT64_MAXIMUM = 2**63 - 1


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


def part_files(directory: Path, contract: Contract) -> list[Path]:
    """The files below the ledger folder that hold rows of `contract`, in the order in which they are read."""
    return sorted(file for file in table_folder(directory, contract).glob(PART_FILES) if file.is_file())


def has_table(directory: Path, contract: Contract) -> bool:
    """Whether the folder holds a file of rows of `contract`."""
    return bool(part_files(directory, contract))


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
    private_folder(folder)
    for old in part_files(directory, contract):
        old.unlink()
    file = folder / "part-00000.parquet"
    private_file(file)
    pq.write_table(table, file, compression="zstd")
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

    A file that was written before a nullable column was part of the contract has nulls there; another width
    of integer or unit of time is brought to the contract's. Raises NoSuchLedgerTable if the folder holds
    none, and UnreadableLedgerFile for a file that is no Parquet, is damaged, or lacks or mistypes a column.
    """
    files = part_files(directory, contract)
    if not files:
        raise NoSuchLedgerTable(f"{table_folder(directory, contract)} holds no {contract.name}")
    names = list(columns) if columns is not None else [column.name for column in contract.columns]
    return pa.concat_tables([_read_part(file, contract, names) for file in files])


def _read_part(file: Path, contract: Contract, names: Sequence[str]) -> pa.Table:
    schema = arrow_schema(contract)
    with naming_unreadable(file), pq.ParquetFile(file) as parquet:
        stored = parquet.schema_arrow
        require_distinct_columns(file, stored.names)
        table = parquet.read(columns=[name for name in names if name in stored.names])
    arrays = []
    for name in names:
        column = contract.column(name)
        if name not in table.column_names and not column.nullable:
            raise UnreadableLedgerFile(
                f"{file} cannot be read: it has no column {name}, which {contract.name} need; write it anew, "
                "or move it out of the folder"
            )
        with naming_unreadable(file):
            array = conforming(column, table)
        if name in table.column_names and array.null_count != table.column(name).null_count:
            raise UnreadableLedgerFile(
                f"{file} cannot be read: column {name} holds {table.schema.field(name).type} that is no "
                f"{ARROW_TYPES[column.type]}; bonitas data validate names the rows"
            )
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=pa.schema([schema.field(name) for name in names]))


def read_parquet_file(file: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file beside the rows, such as labels. Raises UnreadableLedgerFile."""
    with naming_unreadable(file), pq.ParquetFile(file) as parquet:
        stored = parquet.schema_arrow.names
        missing = sorted(set(columns or ()) - set(stored))
        if missing:
            raise UnreadableLedgerFile(f"{file} cannot be read: it has no column {', '.join(missing)}")
        return parquet.read(columns=list(columns) if columns is not None else None)


@contextmanager
def naming_unreadable(file: Path) -> Iterator[None]:
    """Say of which file it was that it cannot be read. Raises UnreadableLedgerFile."""
    require_file(file)
    try:
        yield
    except UnicodeEncodeError as error:
        raise UnreadableLedgerFile(f"{file} cannot be read: its name is not UTF-8 text; rename it") from error
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise UnreadableLedgerFile(
            f"{file} cannot be read as Parquet ({reason}); restore it or move it out of the folder"
        ) from error


def require_file(file: Path) -> None:
    """Raise UnreadableLedgerFile for what is there and is no file: a named pipe would be waited for."""
    if file.exists() and not file.is_file():
        raise UnreadableLedgerFile(f"{file} is no file; move it out of the folder")


def require_distinct_columns(file: Path, names: Sequence[str]) -> None:
    """Raise UnreadableLedgerFile for a file that names a column twice: nobody can tell which counts."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnreadableLedgerFile(f"{file} names a column twice: {', '.join(twice)}")


def fits(column: Column, arrow_type: pa.DataType) -> bool:
    """Whether an Arrow column of this type holds values of the column's type, whatever they are."""
    if pa.types.is_null(arrow_type):
        return True
    match column.type:
        case ColumnType.STRING:
            return is_text(arrow_type)
        case ColumnType.INT64:
            return bool(pa.types.is_integer(arrow_type))
        case ColumnType.BOOL:
            return bool(pa.types.is_boolean(arrow_type))
        case ColumnType.TIMESTAMP:
            return bool(pa.types.is_timestamp(arrow_type) and arrow_type.tz is not None)
        case ColumnType.DATE:
            return bool(pa.types.is_date(arrow_type))


def is_text(arrow_type: pa.DataType) -> bool:
    """Whether a column of this type holds texts, of any of Arrow's forms, by numbers too."""
    values = arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type
    return bool(
        pa.types.is_string(values) or pa.types.is_large_string(values) or pa.types.is_string_view(values)
    )


def _is_valid_text(array: pa.ChunkedArray) -> bool:
    """Whether every value of a text column is UTF-8."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def texts_as_bytes(array: pa.ChunkedArray) -> list[bytes | None]:
    """The values of a text column as they lie in the file, whether they are UTF-8 or not."""
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.binary_view())
    return list(array.cast(pa.large_binary()).to_pylist())


def conforming(column: Column, table: pa.Table) -> pa.ChunkedArray:
    """The column with the contract's Arrow type; null where it is absent or of another kind.

    Also null is each single value that the type cannot hold: a text that is no UTF-8, a number above the
    largest int64, an instant or a date beyond what the type reaches. The values beside it stay.
    """
    arrow_type = ARROW_TYPES[column.type]
    if column.name not in table.column_names or not fits(column, table.column(column.name).type):
        return pa.chunked_array([pa.nulls(table.num_rows, arrow_type)])
    array = table.column(column.name)
    if array.type == arrow_type and column.type is not ColumnType.STRING:
        return array
    if column.type is ColumnType.STRING and not _is_valid_text(array):
        return pa.chunked_array([pa.array(map(_decoded, texts_as_bytes(array)), arrow_type)])
    if pa.types.is_uint64(array.type):
        array = _null_beyond(array, 0, _INT64_MAXIMUM)
    elif pa.types.is_timestamp(array.type) and array.type.unit == "s":
        seconds = array.cast(pa.int64())
        array = _null_beyond(seconds, -(_INT64_MAXIMUM // 1_000), _INT64_MAXIMUM // 1_000).cast(array.type)
    elif pa.types.is_date64(array.type):
        array = _null_beyond(array.cast(pa.int64()), -(2**31) * DAY_MS, 2**31 * DAY_MS - 1).cast(array.type)
    # Instants finer than a millisecond are truncated, as at the HTTP edge.
    return array if array.type == arrow_type else array.cast(arrow_type, safe=False)


def _decoded(text: bytes | None) -> str | None:
    try:
        return None if text is None else text.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _null_beyond(numbers: pa.ChunkedArray, lowest: int, highest: int) -> pa.ChunkedArray:
    is_above = pc.greater_equal(numbers, pa.scalar(lowest, numbers.type))
    is_within = pc.and_(is_above, pc.less_equal(numbers, pa.scalar(highest, numbers.type)))
    return pc.if_else(is_within, numbers, pa.scalar(None, numbers.type))


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
