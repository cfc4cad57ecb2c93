"""From when until when a ledger row is what we know: the two clocks and the one rule of correction.

A row is seen from its own `recorded_at` and until the `recorded_at` of the row that names it in
`corrects`, or, where rows are states, of the next row with the same key. A decision at `as_of` sees
it when `seen_from < as_of <= seen_until`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Contract
from features.instants import NEVER, Int64Array


def seen_until_of_rows(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> list[int] | None:
    """Until when each row of one customer is seen, in ms; NEVER for what still stands.

    Returns None where all rows stand, as they mostly do.
    rows: all rows of the contract, in ledger row form (instants in ms), in any order.
    """
    if contract.rows_are_states and len(rows) > 1:
        keys = {tuple([row[name] for name in contract.key]) for row in rows}
        if len(keys) < len(rows):
            return _with_later_states(contract, rows)
    corrected_at = {row["corrects"]: row["recorded_at"] for row in rows if row.get("corrects") is not None}
    if not corrected_at:
        return None
    return [corrected_at.get(row["event_id"], NEVER) for row in rows]


def _with_later_states(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    corrected_at = {row["corrects"]: row["recorded_at"] for row in rows if row.get("corrects") is not None}
    until = [corrected_at.get(row["event_id"], NEVER) for row in rows]
    newest: dict[tuple[Any, ...], int] = {}
    for index in sorted(range(len(rows)), key=lambda i: (rows[i]["recorded_at"], rows[i]["event_id"])):
        key = tuple(rows[index][name] for name in contract.key)
        earlier = newest.get(key)
        if earlier is not None:
            until[earlier] = min(until[earlier], rows[index]["recorded_at"])
        newest[key] = index
    return until


def seen_intervals_of_table(contract: Contract, table: pa.Table) -> tuple[Int64Array, Int64Array]:
    """From when and until when each row of a table is seen, in ms.

    table: rows of one contract for any number of customers, with the columns event_id, corrects,
        recorded_at and the contract's key. Shapes of both results: (n_rows,).
    """
    seen_from = milliseconds(table["recorded_at"])
    seen_until = np.full(table.num_rows, NEVER, dtype=np.int64)
    if table.num_rows == 0:
        return seen_from, seen_until
    corrections = np.flatnonzero(pc.is_valid(table["corrects"]).to_numpy(zero_copy_only=False))
    if len(corrections):
        corrected = pc.index_in(table["corrects"].take(pa.array(corrections)), value_set=table["event_id"])
        corrected_rows = corrected.to_numpy(zero_copy_only=False)
        known = ~np.isnan(corrected_rows.astype(np.float64))
        places = corrected_rows[known].astype(np.int64)
        np.minimum.at(seen_until, places, seen_from[corrections[known]])
    if contract.rows_are_states:
        keys = [(name, "ascending") for name in contract.key]
        order = pc.sort_indices(
            table, sort_keys=[*keys, ("recorded_at", "ascending"), ("event_id", "ascending")]
        ).to_numpy()
        same_key = np.ones(len(order) - 1, dtype=bool)
        for name in contract.key:
            codes = table[name].combine_chunks().dictionary_encode()
            values = codes.indices.to_numpy()[order]
            same_key &= values[1:] == values[:-1]
        earlier, later = order[:-1][same_key], order[1:][same_key]
        seen_until[earlier] = np.minimum(seen_until[earlier], seen_from[later])
    return seen_from, seen_until


def milliseconds(column: pa.ChunkedArray, *, missing: int = NEVER) -> Int64Array:
    """A timestamp column as int64 milliseconds since 1970 UTC, `missing` where null."""
    integers = pc.cast(pc.cast(column, pa.timestamp("ms", tz="UTC")), pa.int64())
    return np.asarray(pc.fill_null(integers, missing).to_numpy(), dtype=np.int64)


def whole_numbers(column: pa.ChunkedArray, *, missing: int = 0) -> Int64Array:
    """An integer column as int64, `missing` where null."""
    return np.asarray(pc.fill_null(column, missing).to_numpy(), dtype=np.int64)
