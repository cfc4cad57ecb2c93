"""What the rules between rows read of a contract's rows, as columns."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.contract import ColumnType, Contract

Mask = NDArray[np.bool_]
_READ_BY_RULES = ("customer_id", "currency", "amount_cents", "new_amount_cents", "kind", "reason")
"""Columns that rules between rows read, in the contracts that have them, beside ids and instants."""


@dataclass(frozen=True, kw_only=True)
class LedgerColumns:
    """The columns of one contract that rules between rows read; null where a value broke its own rule.

    columns: `needed_columns`; instants as int64 milliseconds since 1970 UTC.
    passed: shape (n_rows,), whether the row broke no rule of its own.
    """

    columns: pa.Table
    passed: Mask


def needed_columns(contract: Contract) -> tuple[str, ...]:
    """The columns of a contract that rules between rows read."""
    wanted = {"event_id", "corrects", "occurred_at", "recorded_at", *_READ_BY_RULES}
    wanted |= {*contract.key, *contract.state_of, *contract.state_columns}
    wanted |= {contract.entity, *contract.past_columns}
    wanted |= {column.name for column, _ in contract.references()}
    wanted |= {name for name in (contract.unique, contract.unique_within) if name is not None}
    return tuple(column.name for column in contract.columns if column.name in wanted)


def no_rows(contract: Contract) -> LedgerColumns:
    """The columns of a contract without rows."""
    fields = [
        (name, pa.string() if contract.column(name).type is ColumnType.STRING else pa.int64())
        for name in needed_columns(contract)
    ]
    return LedgerColumns(columns=pa.schema(fields).empty_table(), passed=np.zeros(0, dtype=np.bool_))
