"""The SQL ledger written out as a ledger folder."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import msgspec
import pyarrow as pa

from data_contracts.contract import ColumnType, Contract
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.parquet_ledger import arrow_schema, write_table
from data_contracts.progress import Progress, no_progress
from serving.store.ledger_rows import LedgerRow
from serving.store.store import Store


def export_folder(store: Store, directory: Path, progress: Progress = no_progress) -> dict[str, int]:
    """Write the SQL ledger out as a ledger folder, for training. Returns the rows by contract."""
    counts: dict[str, int] = {}
    with store.reading() as tx:
        for done, contract in enumerate(ALL_CONTRACTS):
            bodies = tx.execute("SELECT body FROM ledger_events WHERE contract = ?", (contract.name,))
            if bodies:
                rows = [msgspec.json.decode(body) for (body,) in bodies]
                counts[contract.name] = write_table(directory, contract, _table(contract, rows))
            progress("export the ledger", done=done + 1, total=len(ALL_CONTRACTS))
    return counts


def export_customers(store: Store, directory: Path, customer_ids: Iterable[str]) -> dict[str, int]:
    """Write the ledger rows of some customers out as a ledger folder. Returns the rows by contract."""
    rows: defaultdict[str, list[LedgerRow]] = defaultdict(list)
    with store.reading() as tx:
        for customer_id in customer_ids:
            for contract_name, body in tx.execute(
                "SELECT contract, body FROM ledger_events WHERE entity_id = ?", (customer_id,)
            ):
                rows[contract_name].append(msgspec.json.decode(body))
    return {
        contract.name: write_table(directory, contract, _table(contract, rows[contract.name]))
        for contract in ALL_CONTRACTS
        if rows[contract.name]
    }


def _table(contract: Contract, rows: list[LedgerRow]) -> pa.Table:
    schema = arrow_schema(contract)
    arrays = []
    for column in contract.columns:
        values = [row.get(column.name) for row in rows]
        arrow_type = schema.field(column.name).type
        if column.type is ColumnType.TIMESTAMP:
            arrays.append(pa.array(values, pa.int64()).cast(arrow_type))
        elif column.type is ColumnType.DATE:
            dates = [None if value is None else date.fromisoformat(value) for value in values]
            arrays.append(pa.array(dates, arrow_type))
        else:
            arrays.append(pa.array(values, arrow_type))
    return pa.Table.from_arrays(arrays, schema=schema)
