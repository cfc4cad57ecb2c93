"""Validation of a ledger folder: good rows stay, bad ones move to quarantine, nothing is dropped silently.

For every contract: rows read = accepted + quarantined + repeated, where a repeated row says again, under
the same event_id or bank reference, what another row says.
"""

import datetime as dt
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts import quarantine, validation_report
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS, Column, ColumnType, Contract
from data_contracts.cross_table_rules import (
    CrossTableVerdict,
    LedgerColumns,
    judge_ledger,
    needed_columns,
    no_rows,
)
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS
from data_contracts.parquet_ledger import ARROW_TYPES, arrow_schema, table_folder
from data_contracts.progress import Progress, no_progress
from data_contracts.quarantine import QuarantinedRow
from data_contracts.row_check import (
    EARLIEST_TIMESTAMP_MS,
    LATEST_TIMESTAMP_MS,
    Rule,
    rfc3339,
    violation,
)

if TYPE_CHECKING:
    import pandas as pd

ROWS_PER_BATCH = 1_000_000
"""A batch costs a fixed second or so in Great Expectations, and about 1 kB of memory per row."""

SAMPLE_ROWS = 20
"""How many refused rows of each contract the report shows."""


class UnreadableLedgerFile(Exception):
    """A file of the ledger folder is no Parquet file that can be read; the message names it."""


@dataclass(frozen=True, kw_only=True)
class ContractCounts:
    """What became of the rows of one contract: read = accepted + quarantined + repeated.

    broken_rules: how often each (column, rule) was broken; a row may break several.
    """

    contract: str
    read: int
    accepted: int
    quarantined: int
    repeated: int
    broken_rules: Mapping[tuple[str, Rule], int]


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """The outcome of one validation.

    unknown_folders: folders beside the contracts' that hold Parquet files nobody validated.
    """

    directory: Path
    validated_at: dt.datetime
    contracts: tuple[ContractCounts, ...]
    unknown_folders: tuple[str, ...]
    seconds: float
    report_file: Path

    @property
    def read(self) -> int:
        """Rows read."""
        return sum(counts.read for counts in self.contracts)

    @property
    def accepted(self) -> int:
        """Rows that stay in the folder."""
        return sum(counts.accepted for counts in self.contracts)

    @property
    def quarantined(self) -> int:
        """Rows that were moved to quarantine."""
        return sum(counts.quarantined for counts in self.contracts)

    @property
    def refused_invoices(self) -> int:
        """Invoices that were moved to quarantine: each may hide a real debt."""
        return sum(counts.quarantined for counts in self.contracts if counts.contract == INVOICES.name)

    @property
    def repeated(self) -> int:
        """Rows left out because another row says the same under the same event_id or bank reference."""
        return sum(counts.repeated for counts in self.contracts)

    def to_json(self) -> dict[str, Any]:
        """The result as one JSON object, without any value of a row."""
        return {
            "directory": str(self.directory),
            "validated_at": self.validated_at.isoformat(),
            "read": self.read,
            "accepted": self.accepted,
            "quarantined": self.quarantined,
            "refused_invoices": self.refused_invoices,
            "repeated": self.repeated,
            "seconds": round(self.seconds, 3),
            "report": str(self.report_file),
            "unknown_folders": list(self.unknown_folders),
            "contracts": {
                counts.contract: {
                    "read": counts.read,
                    "accepted": counts.accepted,
                    "quarantined": counts.quarantined,
                    "repeated": counts.repeated,
                    "broken_rules": [
                        {"column": column, "rule": rule.value, "rows": rows}
                        for (column, rule), rows in sorted(
                            counts.broken_rules.items(), key=lambda item: (-item[1], item[0][0])
                        )
                    ],
                }
                for counts in self.contracts
            },
        }


def validate_folder(
    directory: Path,
    *,
    report_directory: Path,
    progress: Progress = no_progress,
    now: dt.datetime | None = None,
    clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS,
) -> ValidationResult:
    """Judge every row of a ledger folder and move the bad ones to DIR/quarantine.

    Files are rewritten only where a row left or a column had to be brought to the contract's type (another
    unit of time, a narrower integer); each is replaced in one step, after its refused rows are safe.
    Interrupted between the two, the next run quarantines those rows again rather than losing one.
    report_directory: gets validation_report.html and validation.json.
    now: rows recorded after it are refused; the present when None.
    clock_tolerance_ms: how far two machines' clocks may be apart.
    Raises UnreadableLedgerFile, before anything is changed, and FileNotFoundError without a folder.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory} is no folder")
    started_at = dt.datetime.now(dt.UTC)
    moment = started_at if now is None else now
    now_ms = int(moment.timestamp() * 1000)
    total = _count_rows(directory)
    done = 0
    judged: dict[str, _JudgedTable] = {}
    for contract in ALL_CONTRACTS:
        files = sorted(table_folder(directory, contract).glob("*.parquet"))
        if files:
            table = _JudgedTable(contract=contract, files=files)
            for batch in _batches(files):
                progress(f"validate {contract.name}", done=done, total=total)
                table.judge(batch, clock_tolerance_ms)
                done += batch.num_rows
            judged[contract.name] = table
    progress("validate references", done=done, total=total)
    verdicts = judge_ledger(
        {name: table.ledger_columns() for name, table in judged.items()},
        now_ms=now_ms,
        full_rows=lambda contract, positions: judged[contract.name].full_rows(positions),
        clock_tolerance_ms=clock_tolerance_ms,
    )
    counts = []
    samples: dict[str, list[QuarantinedRow]] = {}
    for contract in ALL_CONTRACTS:
        if contract.name in judged:
            progress(f"quarantine {contract.name}", done=done, total=total)
            table = judged[contract.name]
            verdict = verdicts[contract.name]
            samples[contract.name] = table.settle(directory, verdict, quarantined_at=started_at.isoformat())
            counts.append(table.counts(verdict))
        else:
            counts.append(
                ContractCounts(
                    contract=contract.name, read=0, accepted=0, quarantined=0, repeated=0, broken_rules={}
                )
            )
    progress("validate", done=total, total=total)
    report_directory.mkdir(parents=True, exist_ok=True)
    result = ValidationResult(
        directory=directory,
        validated_at=moment,
        contracts=tuple(counts),
        unknown_folders=_unknown_folders(directory),
        seconds=(dt.datetime.now(dt.UTC) - started_at).total_seconds(),
        report_file=report_directory / "validation_report.html",
    )
    summary = result.to_json()
    (report_directory / "validation.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    result.report_file.write_text(validation_report.render(summary, samples), encoding="utf-8")
    return result


def _unknown_folders(directory: Path) -> tuple[str, ...]:
    return tuple(
        sorted(
            folder.name
            for folder in directory.iterdir()
            if folder.is_dir() and folder.name not in CONTRACTS and any(folder.glob("*.parquet"))
        )
    )


def _count_rows(directory: Path) -> int:
    rows = 0
    for contract in ALL_CONTRACTS:
        for file in sorted(table_folder(directory, contract).glob("*.parquet")):
            try:
                rows += pq.read_metadata(file).num_rows
            except (pa.ArrowException, OSError) as error:
                raise _unreadable(file, error) from error
    return rows


def _unreadable(file: Path, error: Exception) -> UnreadableLedgerFile:
    return UnreadableLedgerFile(
        f"{file} cannot be read as Parquet ({error}); restore it or move it out of the folder"
    )


def _batches(files: Sequence[Path]) -> Iterator[pa.Table]:
    """The rows of the files in order, small neighbours of one schema put together."""
    waiting: list[pa.Table] = []
    for file in files:
        for table in _tables_of(file):
            rows = sum(earlier.num_rows for earlier in waiting)
            if waiting and (rows + table.num_rows > ROWS_PER_BATCH or waiting[0].schema != table.schema):
                yield pa.concat_tables(waiting)
                waiting = []
            waiting.append(table)
    if waiting:
        yield pa.concat_tables(waiting)


def _tables_of(file: Path) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
            if len(set(names)) != len(names):
                raise UnreadableLedgerFile(f"{file} names a column twice")
            for batch in parquet.iter_batches(batch_size=ROWS_PER_BATCH):
                yield pa.Table.from_batches([batch]).replace_schema_metadata(None)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _read_file(file: Path) -> pa.Table | None:
    tables = list(_tables_of(file))
    return pa.concat_tables(tables) if tables else None


@dataclass(kw_only=True)
class _JudgedTable:
    """One contract's rows while the folder is judged; positions count through its files in order."""

    contract: Contract
    files: Sequence[Path]
    read: int = 0
    broken: dict[int, dict[str, Rule]] = field(default_factory=dict)
    needed: list[pa.Table] = field(default_factory=list)

    def judge(self, batch: pa.Table, clock_tolerance_ms: int) -> None:
        """Run the batch check over the next rows."""
        from data_contracts.great_expectations_suite import judge_frame  # noqa: PLC0415 it needs pandas

        frame = frame_of_table(self.contract, batch)
        for cell in judge_frame(self.contract, frame, clock_tolerance_ms=clock_tolerance_ms):
            self.broken.setdefault(self.read + cell.row, {})[cell.column] = cell.rule
        names = needed_columns(self.contract)
        arrays = []
        for name in names:
            column = self.contract.column(name)
            array = _conforming(column, batch)
            arrays.append(array.cast(pa.int64()) if column.type is ColumnType.TIMESTAMP else array)
        self.needed.append(pa.table(arrays, names=list(names)))
        self.read += batch.num_rows

    def ledger_columns(self) -> LedgerColumns:
        """What the rules between rows read."""
        passed = np.ones(self.read, dtype=np.bool_)
        passed[list(self.broken)] = False
        if not self.needed:
            return no_rows(self.contract)
        return LedgerColumns(columns=pa.concat_tables(self.needed), passed=passed)

    def full_rows(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """The whole rows at some positions, in their order."""
        places = sorted(set(positions))
        rows: dict[int, dict[str, Any]] = {}
        for _, offset, table in self._tables():
            inside = [place for place in places if offset <= place < offset + table.num_rows]
            if inside:
                found = _normalised(self.contract, table).take(pa.array([place - offset for place in inside]))
                rows.update(zip(inside, _raw_rows(self.contract, found), strict=True))
        return [rows[position] for position in positions]

    def _tables(self) -> Iterator[tuple[Path, int, pa.Table]]:
        offset = 0
        for file in self.files:
            table = _read_file(file)
            if table is not None:
                yield file, offset, table
                offset += table.num_rows

    def rules_of(self, verdict: CrossTableVerdict, position: int) -> tuple[tuple[str, Rule], ...]:
        """Every (column, rule) that the row at `position` breaks."""
        return (*self.broken.get(position, {}).items(), *verdict.broken.get(position, ()))

    def counts(self, verdict: CrossTableVerdict) -> ContractCounts:
        """The tally of the contract."""
        accepted = int(verdict.accepted.sum())
        repeated = int(verdict.repeated.sum())
        positions = self.broken.keys() | verdict.broken.keys()
        return ContractCounts(
            contract=self.contract.name,
            read=self.read,
            accepted=accepted,
            quarantined=len(positions),
            repeated=repeated,
            broken_rules=Counter(
                broken for position in positions for broken in self.rules_of(verdict, position)
            ),
        )

    def settle(
        self, directory: Path, verdict: CrossTableVerdict, *, quarantined_at: str
    ) -> list[QuarantinedRow]:
        """Move refused rows to quarantine and rewrite the files that they or a wrong type were in.

        Returns the first few refused rows.
        """
        schema = arrow_schema(self.contract)
        refused = np.array(sorted(self.broken.keys() | verdict.broken.keys()), dtype=np.int64)
        if verdict.accepted.all() and all(_conforms(file, schema) for file in self.files):
            return []
        sample: list[QuarantinedRow] = []
        for file, offset, table in self._tables():
            inside = refused[(refused >= offset) & (refused < offset + table.num_rows)]
            raw = _raw_rows(self.contract, table.take(pa.array(inside - offset)))
            rows = [
                self._quarantined(row, self.rules_of(verdict, position))
                for row, position in zip(raw, inside.tolist(), strict=True)
            ]
            if rows:
                quarantine.append(directory, self.contract.name, rows, quarantined_at=quarantined_at)
                sample.extend(rows[: SAMPLE_ROWS - len(sample)])
            keep = verdict.accepted[offset : offset + table.num_rows]
            corrects = {
                position - offset: event_id
                for position, event_id in verdict.corrects.items()
                if offset <= position < offset + table.num_rows
            }
            if corrects or not keep.all() or not _conforms(file, schema):
                settled = _correcting(_normalised(self.contract, table), corrects)
                _replace(file, settled.filter(pa.array(keep)))
        return sample

    def _quarantined(self, row: dict[str, Any], broken: Sequence[tuple[str, Rule]]) -> QuarantinedRow:
        return QuarantinedRow(
            contract=self.contract.name,
            row=row,
            violations=tuple(
                violation(self.contract, column, rule, row.get(column)) for column, rule in broken
            ),
        )


def _conforms(file: Path, schema: pa.Schema) -> bool:
    """Whether a file can stay as it is; a nullable column that came later into the contract may be absent."""
    stored = pq.read_schema(file)
    expected = [item for item in schema if item.name in stored.names or not item.nullable]
    return [(item.name, item.type) for item in stored] == [(item.name, item.type) for item in expected]


def _replace(file: Path, table: pa.Table) -> None:
    if not table.num_rows:
        file.unlink()
        return
    new = file.with_suffix(".new")
    pq.write_table(table, new, compression="zstd")
    with new.open("rb") as written:
        os.fsync(written.fileno())
    new.replace(file)


def _fits(column: Column, arrow_type: pa.DataType) -> bool:
    """Whether an Arrow column of this type holds values of the column's type, whatever they are."""
    if pa.types.is_null(arrow_type):
        return True
    match column.type:
        case ColumnType.STRING:
            values = arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type
            return bool(
                pa.types.is_string(values)
                or pa.types.is_large_string(values)
                or pa.types.is_string_view(values)
            )
        case ColumnType.INT64:
            return bool(pa.types.is_integer(arrow_type) and not pa.types.is_uint64(arrow_type))
        case ColumnType.BOOL:
            return bool(pa.types.is_boolean(arrow_type))
        case ColumnType.TIMESTAMP:
            return bool(pa.types.is_timestamp(arrow_type) and arrow_type.tz is not None)
        case ColumnType.DATE:
            return bool(pa.types.is_date(arrow_type))


def _is_valid_text(array: pa.ChunkedArray) -> bool:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _conforming(column: Column, table: pa.Table) -> pa.ChunkedArray:
    """The column with the contract's Arrow type; null wherever it has another kind or is absent."""
    arrow_type = ARROW_TYPES[column.type]
    if column.name in table.column_names:
        array = table.column(column.name)
        if _fits(column, array.type) and (column.type is not ColumnType.STRING or _is_valid_text(array)):
            # Instants finer than a millisecond are truncated, as at the HTTP edge.
            return array if array.type == arrow_type else array.cast(arrow_type, safe=False)
    return pa.chunked_array([pa.nulls(table.num_rows, arrow_type)])


def _normalised(contract: Contract, table: pa.Table) -> pa.Table:
    """Rows with the contract's columns and types; only for rows that passed is nothing lost."""
    return pa.Table.from_arrays(
        [_conforming(column, table) for column in contract.columns], schema=arrow_schema(contract)
    )


def _correcting(table: pa.Table, corrects: Mapping[int, str]) -> pa.Table:
    """Let rows correct what stands; those whose transfer was sent twice named a row that is left out."""
    if not corrects:
        return table
    values = table["corrects"].to_pylist()
    for position, event_id in corrects.items():
        values[position] = event_id
    place = table.schema.get_field_index("corrects")
    return table.set_column(place, table.schema.field(place), pa.array(values, pa.string()))


class _ForeignValue:
    """A value from a column whose Arrow type is not the contract's, so that none passes by accident.

    An integer column is no column of instants: nobody says whether it counts seconds or milliseconds.
    """

    __slots__ = ()


_FOREIGN = _ForeignValue()


def frame_of_table(contract: Contract, table: pa.Table) -> "pd.DataFrame":
    """The frame that the batch check takes, from rows as they lie in a Parquet file.

    Columns of the contract's kind become typed; any other becomes a column of objects that the type
    rule refuses value by value. Columns that the contract does not know come along.
    """
    import pandas as pd  # noqa: PLC0415 the serving worker has none

    series: dict[str, Any] = {}
    for column in contract.columns:
        if column.name not in table.column_names:
            continue
        array = table.column(column.name)
        if not _fits(column, array.type):
            series[column.name] = pd.Series(_objects(column, array), dtype=object)
        elif column.type is ColumnType.STRING and not _is_valid_text(array):
            series[column.name] = pd.Series(_raw_values(array), dtype=object)
        else:
            series[column.name] = _typed_series(column, table)
    known = {column.name for column in contract.columns}
    for name in table.column_names:
        if name not in known:
            present = pc.is_valid(table.column(name)).to_numpy()
            series[name] = pd.Series(["present" if there else None for there in present], dtype=object)
    return pd.DataFrame(series, index=pd.RangeIndex(table.num_rows))


def _typed_series(column: Column, table: pa.Table) -> Any:
    import pandas as pd  # noqa: PLC0415 the serving worker has none

    array = _conforming(column, table)
    if column.type is ColumnType.TIMESTAMP:
        array = array.cast(pa.int64())
    elif column.type is ColumnType.DATE:
        array = array.cast(pa.int32()).cast(pa.int64())
    # Without this, pandas would turn integers with nulls into floats, which hold 53 bits.
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()} if array.null_count else {}
    # A table keeps strings in Arrow's memory, a lone array would become objects.
    frame = pa.table({column.name: array}).to_pandas(types_mapper=nullable.get)
    return frame[column.name]


def _objects(column: Column, array: pa.ChunkedArray) -> list[object]:
    values = _raw_values(array)
    if column.type in {ColumnType.TIMESTAMP, ColumnType.DATE}:
        return [None if value is None else _FOREIGN for value in values]
    return values


def _raw_values(array: pa.ChunkedArray) -> list[object]:
    """The values as Python objects; instants and dates that Python cannot hold as the integers they are."""
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        binary = array.cast(pa.large_binary())
        return [
            None if value is None else value.decode("utf-8", errors="surrogateescape")
            for value in binary.to_pylist()
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


def _raw_rows(contract: Contract, table: pa.Table) -> list[dict[str, Any]]:
    """Rows as they are quarantined: instants in RFC 3339, everything else as it was, no value changed."""
    known = [column.name for column in contract.columns if column.name in table.column_names]
    names = known + [name for name in table.column_names if name not in known]
    columns = [_raw_values(table.column(name)) for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
