"""Rows of a ledger folder as columns of integers, for some customers."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import ColumnType, Contract
from data_contracts.parquet_ledger import empty_table, has_table, read_table
from data_contracts.sent_instants import HAPPENED_AT
from features.instants import Int64Array
from features.supersession import (
    counted_milliseconds,
    happened_milliseconds,
    needed_columns,
    seen_rows,
    whole_numbers,
)

Row = TypeVar("Row", bound=tuple[Any, ...])


class ColumnsRead(NamedTuple):
    """Which columns of a contract a kind of fact is made of; `happened_at` is among them by its name."""

    contract: Contract
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EntityRows:
    """Rows of one contract as integers, ascending by `entity` (code of the customer).

    columns: `seen_from`, `seen_until` and those that were read, each of shape (n_rows,). Instants are ms, a
    value of a closed list is its place there (`code_of`), an id a number of its own.
    """

    entity: Int64Array
    columns: Mapping[str, Int64Array]

    def __len__(self) -> int:
        return len(self.entity)

    def __getitem__(self, name: str) -> Int64Array:
        return self.columns[name]

    def of_entities(self, start: int, stop: int) -> "EntityRows":
        """The rows of the entities start..stop-1, coded anew from 0."""
        low, high = np.searchsorted(self.entity, [start, stop])
        columns = {name: values[low:high] for name, values in self.columns.items()}
        return EntityRows(entity=self.entity[low:high] - start, columns=columns)

    def where(self, mask: NDArray[np.bool_]) -> "EntityRows":
        """The rows that `mask`, of shape (n_rows,), picks."""
        return self._picked(mask)

    def at(self, places: NDArray[np.intp]) -> "EntityRows":
        """The rows at some places, in their order."""
        return self._picked(places)

    def _picked(self, picked: NDArray[np.bool_] | NDArray[np.intp]) -> "EntityRows":
        columns = {name: values[picked] for name, values in self.columns.items()}
        return EntityRows(entity=self.entity[picked], columns=columns)

    def rows_by(self, by: str, row_type: type[Row]) -> dict[int, list[Row]]:
        """The rows as a type whose fields are named as the columns are, by the value of one column."""
        groups: defaultdict[int, list[Row]] = defaultdict(list)
        for key, row in zip(self.columns[by].tolist(), self.rows(row_type), strict=True):
            groups[key].append(row)
        return groups

    def rows(self, row_type: type[Row]) -> Iterator[Row]:
        """The rows as a type whose fields are named as the columns are."""
        fields: tuple[str, ...] = row_type._fields  # type: ignore[attr-defined]  # each is a NamedTuple
        return starmap(row_type, zip(*(self.columns[name].tolist() for name in fields), strict=True))


RowsRead = Mapping[str, EntityRows]
"""The rows of some customers by the contract's name."""


def own_columns(row_type: type[tuple[Any, ...]]) -> tuple[str, ...]:
    """The ledger's columns that a type of rows has fields for: all but the interval of our knowledge."""
    fields: tuple[str, ...] = row_type._fields  # type: ignore[attr-defined]  # each is a NamedTuple
    return tuple(name for name in fields if name not in {"seen_from", "seen_until"})


def code_of(contract: Contract, column: str, value: str) -> int:
    """How a value of a column with a closed list is coded: its place in the list."""
    return values_of(contract, column).index(value)


def values_of(contract: Contract, column: str) -> tuple[str, ...]:
    """The closed list of a column, in the order of the codes."""
    return contract.column(column).allowed or ()


class LedgerColumns:
    """A ledger folder from which the rows of some customers are read.

    customers: ascending customer ids; a customer's code is its place among them.
    """

    def __init__(self, directory: Path, customers: pa.Array) -> None:
        self._directory = directory
        self._customers = customers
        self._codes: dict[str, pa.Array] = {}

    def read(self, contract: Contract, names: tuple[str, ...]) -> EntityRows:
        """The rows of a contract, once for each interval in which they stand.

        The contract that owns an id is read before those that name it: an id is coded by its place there, and
        is -1 where no row has it.
        """
        sent = [name for name in names if name != HAPPENED_AT]
        wanted = list(dict.fromkeys([*needed_columns(contract), contract.entity, *sent]))
        if has_table(self._directory, contract):
            table = read_table(self._directory, contract, wanted)
        else:
            table = empty_table(contract).select(wanted)
        codes = pc.index_in(table[contract.entity], value_set=self._customers)
        table = table.filter(pc.is_valid(codes))
        entity = pc.drop_null(codes).to_numpy().astype(np.int64)
        seen = seen_rows(contract, table)
        entity = entity[seen.place]
        columns = {"seen_from": seen.seen_from, "seen_until": seen.seen_until}
        for name in names:
            columns[name] = self._integers(contract, table, name)[seen.place]
        rows = EntityRows(entity=entity, columns=columns)
        if np.any(entity[1:] < entity[:-1]):
            return rows.at(np.argsort(entity, kind="stable"))
        return rows

    def _integers(self, contract: Contract, table: pa.Table, name: str) -> Int64Array:
        if name == HAPPENED_AT:
            return happened_milliseconds(contract, table)
        column = contract.column(name)
        values = table[name]
        if column.type is ColumnType.TIMESTAMP:
            return counted_milliseconds(contract, table, name)
        if column.type is ColumnType.INT64:
            return whole_numbers(values, missing=-1 if column.nullable else 0)
        if column.allowed is not None:
            return whole_numbers(pc.index_in(values, value_set=pa.array(column.allowed)))
        if name not in self._codes:
            self._codes[name] = pc.unique(values)
        return whole_numbers(pc.index_in(values, value_set=self._codes[name]), missing=-1)
