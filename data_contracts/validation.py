"""Validation of a ledger folder: every row is judged, none is changed, nothing is dropped silently.

The folder that is validated stays as it is. Refused rows are written beside the report, accepted ones to a
folder of their own where that is asked for. For every contract: rows read = accepted + quarantined +
repeated, where a repeated row says again, under the same event_id or bank reference, what another row says.
"""

import datetime as dt
import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts import quarantine, validation_report
from data_contracts.accepted_folder import AcceptedFolder, is_what_validation_wrote, write_accepted_file
from data_contracts.consequences import RefusedOf, RefusedRows
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS, Column, ColumnType, Contract
from data_contracts.cross_table_rules import (
    CrossTableVerdict,
    LedgerColumns,
    judge_ledger,
    needed_columns,
    no_rows,
)
from data_contracts.instants import instant_ms, rfc3339
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.ledger_folder import (
    BESIDE_THE_ROWS,
    NotRead,
    refuse_left_out_rows,
    what_is_not_read,
)
from data_contracts.ledger_folder_error import LedgerFolderError
from data_contracts.parquet_ledger import (
    ARROW_TYPES,
    arrow_schema,
    conforming,
    fits,
    is_valid_text,
    naming_unreadable,
    part_files,
    require_distinct_columns,
    write_table,
)
from data_contracts.private_files import private_file, private_folder, write_private_text
from data_contracts.progress import Progress, no_progress
from data_contracts.quarantine import QuarantinedRow
from data_contracts.row_check import EARLIEST_TIMESTAMP_MS, LATEST_TIMESTAMP_MS, Rule, violation

if TYPE_CHECKING:
    import pandas as pd

ROWS_PER_BATCH = 1_000_000
"""A batch costs a fixed second or so in Great Expectations, and about 1 kB of memory per row."""

SAMPLE_ROWS = 20
"""How many refused rows of each contract the report shows."""


@dataclass(frozen=True, kw_only=True)
class BrokenRule:
    """How often rows of one contract break one rule in one column.

    consequences: how many of them break it because of another refused row. example_event_id, example_value:
    of one of them, one that is no consequence where there is one; personal values are masked.
    """

    column: str
    rule: Rule
    rows: int
    consequences: int
    example_event_id: str
    example_value: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "column": self.column,
            "rule": self.rule.value,
            "rows": self.rows,
            "consequences": self.consequences,
            "example": {"event_id": self.example_event_id, "value": self.example_value},
            "message": self.message,
        }


@dataclass(frozen=True, kw_only=True)
class ContractCounts:
    """What became of the rows of one contract: read = accepted + quarantined + repeated.

    consequences: quarantined rows that break no rule but for other refused rows. reasons: what was broken,
    most often first; a row may break several rules.
    """

    contract: str
    read: int
    accepted: int
    quarantined: int
    repeated: int
    consequences: int = 0
    reasons: tuple[BrokenRule, ...] = ()

    @property
    def broken_rules(self) -> Mapping[tuple[str, Rule], int]:
        """How often each (column, rule) was broken."""
        return {(reason.column, reason.rule): reason.rows for reason in self.reasons}


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """The outcome of one validation.

    not_read: what lies in the folder and nobody judged. accepted_directory: where the accepted rows were
    written, None where that was not asked for; fingerprint: of the files there.
    """

    directory: Path
    validated_at: dt.datetime
    contracts: tuple[ContractCounts, ...]
    not_read: tuple[NotRead, ...]
    seconds: float
    report_file: Path
    accepted_directory: Path | None = None
    fingerprint: str | None = None

    @property
    def read(self) -> int:
        """Rows read."""
        return sum(counts.read for counts in self.contracts)

    @property
    def accepted(self) -> int:
        """Rows that keep every rule."""
        return sum(counts.accepted for counts in self.contracts)

    @property
    def quarantined(self) -> int:
        """Rows that were refused; they lie in quarantine, beside the report."""
        return sum(counts.quarantined for counts in self.contracts)

    @property
    def consequences(self) -> int:
        """Refused rows that break no rule but for other refused rows."""
        return sum(counts.consequences for counts in self.contracts)

    @property
    def refused_invoices(self) -> int:
        """Invoices that were refused: each may hide a real debt."""
        return sum(counts.quarantined for counts in self.contracts if counts.contract == INVOICES.name)

    @property
    def repeated(self) -> int:
        """Rows left out because another row says the same under the same event_id or bank reference."""
        return sum(counts.repeated for counts in self.contracts)

    @property
    def quarantine_folder(self) -> Path:
        """Where the refused rows lie."""
        return self.report_file.parent / quarantine.QUARANTINE_FOLDER

    def to_json(self) -> dict[str, Any]:
        """The result as one JSON object, without any personal value of a row."""
        return {
            "directory": str(self.directory),
            "validated_at": self.validated_at.isoformat(),
            "read": self.read,
            "accepted": self.accepted,
            "quarantined": self.quarantined,
            "consequences": self.consequences,
            "refused_invoices": self.refused_invoices,
            "repeated": self.repeated,
            "seconds": round(self.seconds, 3),
            "report": str(self.report_file),
            "quarantine": str(self.quarantine_folder) if self.quarantined else None,
            "accepted_folder": None if self.accepted_directory is None else str(self.accepted_directory),
            "fingerprint": self.fingerprint,
            "not_read": [{"path": one.path, "reason": one.reason} for one in self.not_read],
            "contracts": {
                counts.contract: {
                    "read": counts.read,
                    "accepted": counts.accepted,
                    "quarantined": counts.quarantined,
                    "consequences": counts.consequences,
                    "repeated": counts.repeated,
                    "broken_rules": [reason.to_json() for reason in counts.reasons],
                }
                for counts in self.contracts
            },
        }


def validation_folder(home: Path, directory: Path) -> Path:
    """Where the report on a ledger folder lies if nobody says so: in the home, one for each such folder.

    A folder inside the home keeps its report when the home moves.

    >>> validation_folder(Path("/srv/home"), Path("/srv/home/book")).name
    'book-92719fe0'
    """
    whole, inside = directory.resolve(), home.resolve()
    place = whole.relative_to(inside) if whole.is_relative_to(inside) else whole
    return home / "validation" / f"{whole.name}-{hashlib.sha256(place.as_posix().encode()).hexdigest()[:8]}"


def validate_folder(
    directory: Path,
    *,
    report_directory: Path,
    accepted_directory: Path | None = None,
    progress: Progress = no_progress,
    now: dt.datetime | None = None,
    clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS,
) -> ValidationResult:
    """Judge every row of a ledger folder, which stays as it is, and write a report.

    report_directory: gets validation_report.html, validation.json and the refused rows, in place of those of
        an earlier report there.
    accepted_directory: gets the accepted rows, sorted by entity and time, with their fingerprint and the
        files that lie beside the rows; replaces what validation wrote there before.
    now: rows recorded after it are refused; the present when None.
    clock_tolerance_ms: how far two machines' clocks may be apart.
    Raises LedgerFolderError, before anything is written, for a file that cannot be read, for rows that would
    be left out, and where the other two folders lie inside the first or hold something else; and
    FileNotFoundError without a folder.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory} is no folder")
    _require_apart(directory, report_directory, accepted_directory)
    not_read = what_is_not_read(directory)
    refuse_left_out_rows(directory, not_read)
    started_at = dt.datetime.now(dt.UTC)
    moment = started_at if now is None else now
    now_ms = instant_ms(moment)
    total = _count_rows(directory)
    done = 0
    judged: dict[str, _JudgedTable] = {}
    for contract in ALL_CONTRACTS:
        files = part_files(directory, contract)
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
    refused = RefusedRows({name: table.refused(verdicts[name]) for name, table in judged.items()})
    private_folder(report_directory)
    quarantine.begin_anew(report_directory)
    counts = []
    samples: dict[str, list[QuarantinedRow]] = {}
    for contract in ALL_CONTRACTS:
        if contract.name in judged:
            progress(f"quarantine {contract.name}", done=done, total=total)
            table = judged[contract.name]
            verdict = verdicts[contract.name]
            kept = _Kept(sample=[])
            if table.refused(verdict).rules:
                rows = kept.watching(table.quarantined_rows(verdict, refused))
                quarantine.append(report_directory, contract.name, rows, quarantined_at=moment.isoformat())
            samples[contract.name] = kept.sample
            counts.append(table.counts(verdict, kept))
        else:
            counts.append(
                ContractCounts(contract=contract.name, read=0, accepted=0, quarantined=0, repeated=0)
            )
    fingerprint = None
    if accepted_directory is not None:
        fingerprint = _write_accepted(
            directory,
            accepted_directory,
            judged,
            verdicts,
            report_directory=report_directory,
            validated_at=moment.isoformat(),
            progress=progress,
        )
    progress("validate", done=total, total=total)
    result = ValidationResult(
        directory=directory,
        validated_at=moment,
        contracts=tuple(counts),
        not_read=not_read,
        seconds=(dt.datetime.now(dt.UTC) - started_at).total_seconds(),
        report_file=report_directory / "validation_report.html",
        accepted_directory=accepted_directory,
        fingerprint=fingerprint,
    )
    summary = result.to_json()
    write_private_text(report_directory / "validation.json", json.dumps(summary, indent=2) + "\n")
    write_private_text(result.report_file, validation_report.render(summary, samples))
    return result


def _require_apart(directory: Path, report_directory: Path, accepted_directory: Path | None) -> None:
    """Raise LedgerFolderError where something would be written into what is validated, or over another's."""
    data = directory.resolve()
    for name, folder in (("--report", report_directory), ("--out", accepted_directory)):
        if folder is None:
            continue
        whole = folder.resolve()
        if whole.is_relative_to(data):
            raise LedgerFolderError(f"{name} {folder} lies in {directory}, which validation never changes")
        if whole.exists() and not whole.is_dir():
            raise LedgerFolderError(f"{name} {folder} is no folder")
    if accepted_directory is None:
        return
    accepted, report = accepted_directory.resolve(), report_directory.resolve()
    if data.is_relative_to(accepted) or report.is_relative_to(accepted) or accepted.is_relative_to(report):
        raise LedgerFolderError(
            f"--out {accepted_directory} must be a folder of its own: not around the validated rows, and not "
            "in or around the report's folder"
        )
    if accepted.is_dir() and any(accepted.iterdir()) and not is_what_validation_wrote(accepted):
        raise LedgerFolderError(
            f"--out {accepted_directory} holds something else than validation wrote there: name an empty "
            "folder, or one that does not exist"
        )


def _write_accepted(
    directory: Path,
    accepted_directory: Path,
    judged: Mapping[str, "_JudgedTable"],
    verdicts: Mapping[str, CrossTableVerdict],
    *,
    report_directory: Path,
    validated_at: str,
    progress: Progress,
) -> str:
    """Write the folder of accepted rows whole, then put it in its place; its fingerprint."""
    target = accepted_directory.absolute()
    private_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        new = Path(scratch) / "new"
        accepted = _write_accepted_rows(
            directory,
            new,
            judged,
            verdicts,
            stands_at=target,
            report_directory=report_directory,
            validated_at=validated_at,
            progress=progress,
        )
        if target.exists():
            target.rename(Path(scratch) / "old")
        new.rename(target)
    return accepted.fingerprint


def _write_accepted_rows(
    directory: Path,
    new: Path,
    judged: Mapping[str, "_JudgedTable"],
    verdicts: Mapping[str, CrossTableVerdict],
    *,
    stands_at: Path,
    report_directory: Path,
    validated_at: str,
    progress: Progress,
) -> AcceptedFolder:
    private_folder(new)
    for done, (name, table) in enumerate(judged.items()):
        progress("write the accepted rows", done=done, total=len(judged))
        rows = table.accepted_rows(verdicts[name])
        if rows.num_rows or not table.read:
            write_table(new, table.contract, rows)
    for name in BESIDE_THE_ROWS:
        if (directory / name).is_file():
            private_file(new / name)
            shutil.copyfile(directory / name, new / name)
    refused = sum(len(table.refused(verdicts[name]).rules) for name, table in judged.items())
    return write_accepted_file(
        new, stands_at=stands_at, validated_at=validated_at, report=report_directory, refused=refused
    )


@dataclass(kw_only=True)
class _Kept:
    """What is kept of the refused rows of one contract while they are written one by one."""

    sample: list[QuarantinedRow]
    consequences: int = 0
    rows_of: Counter[tuple[str, Rule]] = field(default_factory=Counter)
    consequences_of: Counter[tuple[str, Rule]] = field(default_factory=Counter)
    example_of: dict[tuple[str, Rule], tuple[bool, QuarantinedRow, str, str]] = field(default_factory=dict)

    def watching(self, rows: Iterable[QuarantinedRow]) -> Iterator[QuarantinedRow]:
        for row in rows:
            if len(self.sample) < SAMPLE_ROWS:
                self.sample.append(row)
            self.consequences += row.is_consequence
            for one, cause in zip(row.violations, row.causes, strict=True):
                reason = (one.column, one.rule)
                self.rows_of[reason] += 1
                self.consequences_of[reason] += cause is not None
                known = self.example_of.get(reason)
                if known is None or (known[0] and cause is None):
                    self.example_of[reason] = (cause is not None, row, one.value_repr, one.message)
            yield row


def _count_rows(directory: Path) -> int:
    rows = 0
    for contract in ALL_CONTRACTS:
        for file in part_files(directory, contract):
            with naming_unreadable(file):
                rows += pq.read_metadata(file).num_rows
    return rows


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
    with naming_unreadable(file), pq.ParquetFile(file) as parquet:
        require_distinct_columns(file, parquet.schema_arrow.names)
        for batch in parquet.iter_batches(batch_size=ROWS_PER_BATCH):
            yield pa.Table.from_batches([batch]).replace_schema_metadata(None)


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
            array = conforming(column, batch)
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

    def refused(self, verdict: CrossTableVerdict) -> RefusedOf:
        """The rows that break a rule, and which."""
        positions = sorted(self.broken.keys() | verdict.broken.keys())
        return RefusedOf(
            contract=self.contract,
            columns=pa.concat_tables(self.needed) if self.needed else no_rows(self.contract).columns,
            rules={position: self.rules_of(verdict, position) for position in positions},
            own=frozenset(self.broken),
        )

    def counts(self, verdict: CrossTableVerdict, kept: _Kept) -> ContractCounts:
        """The tally of the contract."""
        public = {column.name for column in self.contract.columns if not column.personal}
        reasons = []
        for (column, rule), rows in sorted(kept.rows_of.items(), key=lambda one: (-one[1], one[0][0])):
            _, row, value, message = kept.example_of[column, rule]
            reasons.append(
                BrokenRule(
                    column=column,
                    rule=rule,
                    rows=rows,
                    consequences=kept.consequences_of[column, rule],
                    example_event_id=row.event_id_shown,
                    example_value=value if column in public else quarantine.MASK,
                    message=message,
                )
            )
        return ContractCounts(
            contract=self.contract.name,
            read=self.read,
            accepted=int(verdict.accepted.sum()),
            quarantined=len(self.broken.keys() | verdict.broken.keys()),
            repeated=int(verdict.repeated.sum()),
            consequences=kept.consequences,
            reasons=tuple(reasons),
        )

    def quarantined_rows(
        self, verdict: CrossTableVerdict, all_refused: RefusedRows
    ) -> Iterator[QuarantinedRow]:
        """The refused rows whole, in file order, each with what it breaks and what that follows from."""
        refused = np.array(sorted(self.broken.keys() | verdict.broken.keys()), dtype=np.int64)
        for _, offset, table in self._tables():
            inside = refused[(refused >= offset) & (refused < offset + table.num_rows)]
            raw = _raw_rows(self.contract, table.take(pa.array(inside - offset)))
            for row, position in zip(raw, inside.tolist(), strict=True):
                rules = self.rules_of(verdict, position)
                causes = [all_refused.cause(self.contract.name, position, *broken) for broken in rules]
                yield self._quarantined(row, rules, tuple(causes))

    def accepted_rows(self, verdict: CrossTableVerdict) -> pa.Table:
        """The accepted rows with the contract's columns and types, in file order."""
        parts = [arrow_schema(self.contract).empty_table()]
        for _, offset, table in self._tables():
            keep = verdict.accepted[offset : offset + table.num_rows]
            corrects = {
                position - offset: event_id
                for position, event_id in verdict.corrects.items()
                if offset <= position < offset + table.num_rows
            }
            settled = _correcting(_normalised(self.contract, table), corrects)
            parts.append(settled.filter(pa.array(keep)))
        return pa.concat_tables(parts)

    def _quarantined(
        self, row: dict[str, Any], broken: Sequence[tuple[str, Rule]], causes: tuple[str | None, ...]
    ) -> QuarantinedRow:
        return QuarantinedRow(
            contract=self.contract.name,
            row=row,
            violations=tuple(
                violation(self.contract, column, rule, row.get(column)) for column, rule in broken
            ),
            causes=causes,
        )


def _normalised(contract: Contract, table: pa.Table) -> pa.Table:
    """Rows with the contract's columns and types; only for rows that passed is nothing lost."""
    return pa.Table.from_arrays(
        [conforming(column, table) for column in contract.columns], schema=arrow_schema(contract)
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
        if not fits(column, array.type):
            series[column.name] = pd.Series(_objects(column, array), dtype=object)
        elif column.type is ColumnType.STRING and not is_valid_text(array):
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

    array = conforming(column, table)
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
