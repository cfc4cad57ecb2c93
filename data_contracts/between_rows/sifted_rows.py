"""A contract's rows while the rules between rows sift them, and the things that they are about."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.between_rows.ledger_columns import LedgerColumns, Mask
from data_contracts.contract import Contract
from data_contracts.rules import Rule

Positions = NDArray[np.int64]
LARGEST = np.iinfo(np.int64).max
SMALLEST = np.iinfo(np.int64).min


class SiftedRows:
    """One contract's rows while they are judged.

    accepted: rows that were not refused so far. sent: rows that a ledger would have been sent.
    copies: rows that say again, under their event_id, what an earlier row says.
    doubtful: rows that may break a rule, in some order of arrival.
    """

    def __init__(self, contract: Contract, rows: LedgerColumns) -> None:
        self.contract = contract
        self.columns = rows.columns.combine_chunks()
        self.accepted: Mask = rows.passed.copy()
        self.repeated: Mask = np.zeros(len(rows.passed), dtype=np.bool_)
        self.sent: Mask = self.accepted
        self.copies: Mask = np.zeros(len(rows.passed), dtype=np.bool_)
        self.doubtful: Mask = np.zeros(len(rows.passed), dtype=np.bool_)
        self.broken: dict[int, list[tuple[str, Rule]]] = {}
        self.corrects: dict[int, str] = {}
        self.recorded_at = self.integers("recorded_at")
        self.occurred_at = self.integers("occurred_at")

    def __contains__(self, name: str) -> bool:
        return name in self.columns.column_names

    def strings(self, name: str) -> pa.Array:
        """The values of a column as one Arrow array."""
        column = self.columns.column(name)
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def unique_values(self) -> pa.Array:
        """What no two standing rows may share, as `Contract.unique_value` says; null for rows without."""
        within, unique = self.contract.unique_within, self.contract.unique
        if unique is None:
            return pa.nulls(len(self.accepted), pa.string())
        if self.contract.unique_in_one_form:
            return one_references(self.strings(unique))
        if within is None:
            return self.strings(unique)
        return pc.binary_join_element_wise(self.strings(within), self.strings(unique), " ")

    def integers(self, name: str) -> NDArray[np.int64]:
        """The values of an integer column; 0 for null, which only refused rows hold."""
        values: NDArray[np.int64] = pc.fill_null(self.strings(name), 0).to_numpy(zero_copy_only=False)
        return values

    def is_present(self, name: str) -> Mask:
        """Which rows have a value in a column."""
        present: Mask = pc.is_valid(self.strings(name)).to_numpy(zero_copy_only=False)
        return present

    def equals(self, name: str, value: str) -> Mask:
        """Which rows have this value in a column."""
        equal = pc.fill_null(pc.equal(self.strings(name), value), False)
        found: Mask = equal.to_numpy(zero_copy_only=False)
        return found

    def refuse(self, mask: Mask, column: str, rule: Rule) -> None:
        """Take rows out of the accepted ones for breaking a rule."""
        for position in np.flatnonzero(mask & self.accepted).tolist():
            self.broken.setdefault(position, []).append((column, rule))
        self.accepted &= ~mask

    @property
    def first(self) -> Mask:
        """The rows that count: accepted, and no copies."""
        return self.accepted & ~self.copies


@dataclass(frozen=True)
class NumberedThings:
    """The things that a contract's rows are about, numbered by their key.

    keys: one for each thing. code: shape (n_rows,), the number of each row's thing, -1 for rows that do not
        count. several: shape (n_things,), whether more than one row is about it.
    """

    table: SiftedRows
    keys: pa.Array
    code: Positions
    first_row: Positions
    several: Mask

    @classmethod
    def of(cls, table: SiftedRows, column: str) -> "NumberedThings":
        """The things that the rows which count are about."""
        rows = np.flatnonzero(table.first)
        encoded = table.strings(column).take(pa.array(rows)).dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        code = np.full(len(table.accepted), -1, dtype=np.int64)
        code[rows] = codes
        count = len(encoded.dictionary)
        first_row = np.zeros(count, dtype=np.int64)
        first_row[codes[::-1]] = rows[::-1]
        several = np.bincount(codes, minlength=count) > 1
        return cls(table, encoded.dictionary, code, first_row, several)

    def named_by(self, values: pa.Array) -> Positions:
        """The number of the thing that each value names, -1 where there is none."""
        found = pc.index_in(values, value_set=self.keys, skip_nulls=True)
        codes: Positions = pc.fill_null(found.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        return codes

    def mixed(self, column: str) -> Mask:
        """Shape (n_things,): the things whose rows do not agree in a column."""
        mixed: Mask = np.zeros(len(self.keys), dtype=np.bool_)
        if not self.several.any():
            return mixed
        rows = np.flatnonzero((self.code >= 0) & self.several[np.maximum(self.code, 0)])
        values = self.table.strings(column)
        differ = pc.not_equal(
            values.take(pa.array(rows)), values.take(pa.array(self.first_row[self.code[rows]]))
        )
        mixed[self.code[rows[pc.fill_null(differ, True).to_numpy(zero_copy_only=False)]]] = True
        return mixed

    def lowest(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """The lowest value of each thing's rows."""
        result = np.full(len(self.keys), LARGEST, dtype=np.int64)
        rows = self.code >= 0
        np.minimum.at(result, self.code[rows], values[rows])
        return result

    def highest(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """The highest value of each thing's rows."""
        result = np.full(len(self.keys), SMALLEST, dtype=np.int64)
        rows = self.code >= 0
        np.maximum.at(result, self.code[rows], values[rows])
        return result

    def sums(self, codes: Positions, values: NDArray[np.int64], counted: Mask) -> NDArray[np.int64]:
        """The sum of the counted values that belong to each thing; codes of -1 belong to none."""
        result = np.zeros(len(self.keys), dtype=np.int64)
        rows = counted & (codes >= 0)
        np.add.at(result, codes[rows], values[rows])
        return result


def mask_of(rows: int, positions: Any) -> Mask:
    """Shape (rows,): True at the positions."""
    mask: Mask = np.zeros(rows, dtype=np.bool_)
    mask[list(positions)] = True
    return mask


def one_references(references: pa.Array | pa.ChunkedArray) -> Any:
    """Each text as `data_contracts.contract.one_reference` writes it, in the form that was given."""
    return pc.ascii_lower(pc.replace_substring_regex(references, r"[ \x{a0}]+", ""))
