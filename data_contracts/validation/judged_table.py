"""The rows of one contract while their folder is judged, and what is kept of those that are refused."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.between_rows.cross_table_rules import CrossTableVerdict
from data_contracts.between_rows.ledger_columns import LedgerColumns, Mask, needed_columns, no_rows
from data_contracts.contract import ColumnType, Contract
from data_contracts.parquet_ledger import (
    arrow_schema,
    conforming,
    naming_unreadable,
    require_distinct_columns,
)
from data_contracts.row_check import check_ledger_row
from data_contracts.rules import Rule, violation
from data_contracts.validation import quarantine
from data_contracts.validation.arrow_columns import frame_of_table, ledger_form_rows, raw_rows
from data_contracts.validation.consequences import RefusedOf, RefusedRows
from data_contracts.validation.quarantine import QuarantinedRow
from data_contracts.validation.validation_result import BrokenRule, ContractCounts

ROWS_PER_BATCH = 1_000_000
"""A batch costs a fixed tenth of a second or so in Great Expectations, and about 1 kB of memory per row."""

ROWS_AT_ONCE = 10_000
"""Rows that are Python objects at a time while they are judged one by one."""

SAMPLE_ROWS = 20
"""How many refused rows of each contract the report shows."""


@dataclass(kw_only=True)
class KeptRows:
    """What is kept of the refused rows of one contract while they are written one by one."""

    sample: list[QuarantinedRow]
    rows: int = 0
    consequences: int = 0
    rows_of: Counter[tuple[str, Rule]] = field(default_factory=Counter)
    consequences_of: Counter[tuple[str, Rule]] = field(default_factory=Counter)
    example_of: dict[tuple[str, Rule], tuple[bool, QuarantinedRow, str, str]] = field(default_factory=dict)

    def watching(self, rows: Iterable[QuarantinedRow]) -> Iterator[QuarantinedRow]:
        """The rows as they come, each of them counted on its way to the file."""
        for row in rows:
            if len(self.sample) < SAMPLE_ROWS:
                self.sample.append(row)
            self.rows += 1
            self.consequences += row.is_consequence
            for one, cause in zip(row.violations, row.causes, strict=True):
                reason = (one.column, one.rule)
                self.rows_of[reason] += 1
                self.consequences_of[reason] += cause is not None
                known = self.example_of.get(reason)
                if known is None or (known[0] and cause is None):
                    self.example_of[reason] = (cause is not None, row, one.value_repr, one.message)
            yield row

    def reasons(self, contract: Contract) -> tuple[BrokenRule, ...]:
        """What the rows broke, most often first."""
        public = {column.name for column in contract.columns if not column.personal}
        reasons = []
        for (column, rule), rows in sorted(self.rows_of.items(), key=lambda one: (-one[1], one[0][0])):
            _, row, value, message = self.example_of[column, rule]
            reasons.append(
                BrokenRule(
                    column=column,
                    rule=rule,
                    rows=rows,
                    consequences=self.consequences_of[column, rule],
                    example_event_id=row.event_id_shown,
                    example_value=value if column in public else quarantine.MASK,
                    message=message,
                )
            )
        return tuple(reasons)


def batches_of(files: Sequence[Path]) -> Iterator[pa.Table]:
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
class JudgedTable:
    """One contract's rows while the folder is judged; positions count through its files in order."""

    contract: Contract
    files: Sequence[Path]
    read: int = 0
    broken: dict[int, dict[str, Rule]] = field(default_factory=dict)
    needed: list[pa.Table] = field(default_factory=list)

    def judge(self, batch: pa.Table, clock_tolerance_ms: int) -> None:
        """Run the batch check over the next rows."""
        from data_contracts.validation.judged_frame import judge_frame  # noqa: PLC0415 it needs pandas

        frame = frame_of_table(self.contract, batch)
        for cell in judge_frame(self.contract, frame, clock_tolerance_ms=clock_tolerance_ms):
            self.broken.setdefault(self.read + cell.row, {})[cell.column] = cell.rule
        self._keep_what_rules_read(batch)

    def judge_one_by_one(self, batch: pa.Table, clock_tolerance_ms: int) -> Mask:
        """Run the row check over the next rows: it finds what `judge` does, sooner, without pandas.

        Returns which of them pass, shape (n_rows,). Of the unknown columns of a row the first few are noted.
        """
        passed = np.ones(batch.num_rows, dtype=np.bool_)
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            rows = ledger_form_rows(self.contract, batch.slice(start, ROWS_AT_ONCE))
            for place, row in enumerate(rows, start):
                checked = check_ledger_row(self.contract, row, clock_tolerance_ms=clock_tolerance_ms)
                if checked.row is None:
                    passed[place] = False
                    self.broken[self.read + place] = {one.column: one.rule for one in checked.violations}
        self._keep_what_rules_read(batch)
        return passed

    def _keep_what_rules_read(self, batch: pa.Table) -> None:
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
        for offset, table in self._tables():
            inside = [place for place in places if offset <= place < offset + table.num_rows]
            if inside:
                found = normalised(self.contract, table).take(pa.array([place - offset for place in inside]))
                rows.update(zip(inside, raw_rows(self.contract, found), strict=True))
        return [rows[position] for position in positions]

    def _tables(self) -> Iterator[tuple[int, pa.Table]]:
        """The rows of each file, with the position of its first."""
        offset = 0
        for file in self.files:
            table = _read_file(file)
            if table is not None:
                yield offset, table
                offset += table.num_rows

    def refused(self, between_rows: Mapping[int, Sequence[tuple[str, Rule]]]) -> RefusedOf:
        """The rows that break a rule, in file order, and which.

        between_rows: the rules between rows that were found broken, position -> (column, rule).
        """
        positions = sorted(self.broken.keys() | between_rows.keys())
        return RefusedOf(
            contract=self.contract,
            columns=pa.concat_tables(self.needed) if self.needed else no_rows(self.contract).columns,
            rules={
                position: (*self.broken.get(position, {}).items(), *between_rows.get(position, ()))
                for position in positions
            },
            own=frozenset(self.broken),
        )

    def counts(self, verdict: CrossTableVerdict, refused: RefusedOf, kept: KeptRows) -> ContractCounts:
        """The tally of the contract."""
        return ContractCounts(
            contract=self.contract.name,
            read=self.read,
            accepted=int(verdict.accepted.sum()),
            quarantined=len(refused.rules),
            repeated=int(verdict.repeated.sum()),
            consequences=kept.consequences,
            reasons=kept.reasons(self.contract),
        )

    def quarantined_rows(self, refused: RefusedOf, all_refused: RefusedRows) -> Iterator[QuarantinedRow]:
        """The refused rows whole, in file order, each with what it breaks and what that follows from."""
        positions = np.array(list(refused.rules), dtype=np.int64)
        for offset, table in self._tables():
            inside = positions[(positions >= offset) & (positions < offset + table.num_rows)]
            raw = raw_rows(self.contract, table.take(pa.array(inside - offset)))
            for row, position in zip(raw, inside.tolist(), strict=True):
                rules = refused.rules[position]
                causes = [all_refused.cause(self.contract.name, position, *broken) for broken in rules]
                yield self._quarantined(row, rules, tuple(causes))

    def accepted_rows(self, verdict: CrossTableVerdict) -> pa.Table:
        """The accepted rows with the contract's columns and types, in file order."""
        parts = [arrow_schema(self.contract).empty_table()]
        for offset, table in self._tables():
            keep = verdict.accepted[offset : offset + table.num_rows]
            corrects = {
                position - offset: event_id
                for position, event_id in verdict.corrects.items()
                if offset <= position < offset + table.num_rows
            }
            settled = _correcting(normalised(self.contract, table), corrects)
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


def normalised(contract: Contract, table: pa.Table) -> pa.Table:
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
