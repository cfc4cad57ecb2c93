"""Bulk load of a validated ledger folder into the SQL ledger, and the way back.

`append` judges every row against the rows before it, which is right for events one by one; a folder
was judged as a whole by `bonitas data validate`, so its rows go in as they are, `recorded_at` included.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from data_contracts.contract import ColumnType, Contract
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.parquet_ledger import arrow_schema, has_table, ledger_rows, read_table, write_table
from data_contracts.progress import Progress, no_progress
from data_contracts.sent_instants import happened_at
from serving.store.follow_ups import keep_in_step
from serving.store.ledger import (
    INSERT_EVENT,
    AppendStatus,
    LedgerRow,
    content_sha256,
    event_parameters,
    readmit_what_is_known,
    sent_as_another,
    subject_of,
)
from serving.store.store import Store, Transaction

ROWS_PER_TRANSACTION = 5_000
LONG_TRANSACTION_S = 0.1
GIVE_WAY_S = 0.04
"""Longer than the longest pause between two looks of a service that waits to decide (`serving.lock_line`)."""


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What became of a folder's rows.

    loaded, repeated: number of rows, by contract. refused: event_id and reason of each row whose id or bank
        reference stands for other content in the ledger, that was recorded in the future, or of which nobody
        could tell whether it stands or another row of the same two instants.
    """

    loaded: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    refused: list[dict[str, str]] = field(default_factory=list)

    def refuse(self, event_id: str, reason: str) -> None:
        """Note a row that does not enter."""
        self.refused.append({"event_id": event_id, "reason": reason})

    @property
    def refused_count(self) -> int:
        """How many rows did not enter."""
        return len(self.refused)

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self)


def load_folder(
    store: Store, directory: Path, progress: Progress = no_progress, *, now_ms: int
) -> LoadResult:
    """Load every row of a validated ledger folder; rows that are there already change nothing.

    Each block of rows is one transaction, so an interrupted load is simply run again. Rows keep the
    `recorded_at` that they carry: this is for history, not for news. Reservations of orders that the
    folder invoices or cancels end, and held rows that fit now are let in.
    """
    result = LoadResult()
    tables = {
        contract.name: read_table(directory, contract)
        for contract in ALL_CONTRACTS
        if has_table(directory, contract)
    }
    total = sum(table.num_rows for table in tables.values())
    done = 0
    for contract in ALL_CONTRACTS:
        if contract.name not in tables:
            continue
        for rows in _blocks(contract, tables.pop(contract.name)):
            began = time.monotonic()
            with store.writing("bulk-load") as tx:
                tx.lock_everyone()
                _load_block(tx, contract, rows, now_ms, result)
            if time.monotonic() - began >= LONG_TRANSACTION_S:
                # Whoever waited so long gets in between, and checkouts are decided while history comes in.
                time.sleep(GIVE_WAY_S)
            done += len(rows)
            progress("load into the ledger", done=done, total=total)
    with store.writing("bulk-load") as tx:
        tx.lock_everyone()
        readmit_what_is_known(tx, now_ms)
    return result


def _blocks(contract: Contract, table: pa.Table) -> Iterator[list[LedgerRow]]:
    for start in range(0, table.num_rows, ROWS_PER_TRANSACTION):
        yield ledger_rows(contract, table.slice(start, ROWS_PER_TRANSACTION))


def _load_block(
    tx: Transaction, contract: Contract, rows: list[LedgerRow], now_ms: int, result: LoadResult
) -> None:
    marks = ", ".join("?" * len(rows))
    ids = [row["event_id"] for row in rows]
    known: dict[str, str] = dict(
        tx.execute(
            f"SELECT event_id, content_sha256 FROM ledger_events WHERE event_id IN ({marks})",  # noqa: S608 - placeholders only
            ids,
        )
    )
    held: dict[str, str] = dict(
        tx.execute(
            f"SELECT event_id, content_sha256 FROM held_events WHERE event_id IN ({marks})",  # noqa: S608 - placeholders only
            ids,
        )
    )
    references = _known_references(tx, contract, rows)
    loaded: list[LedgerRow] = []
    repeated = 0
    for row in rows:
        fingerprint = content_sha256(contract, row)
        event_id = row["event_id"]
        standing = known.get(event_id, held.get(event_id, fingerprint))
        if row["recorded_at"] > now_ms:
            result.refuse(event_id, "recorded_at is in the future")
        elif standing != fingerprint:
            result.refuse(event_id, "the ledger holds other content under this event_id")
        elif event_id in known:
            repeated += 1
        elif subject_of(contract, row) in references and (sent := sent_as_another(tx, contract, row)):
            if sent.status is AppendStatus.REPEATED:
                repeated += 1
            else:
                result.refuse(event_id, sent.message or "")
        else:
            known[event_id] = fingerprint
            loaded.append(row)
    undecidable = _undecidable(tx, contract, loaded)
    for event_id, other_id in undecidable.items():
        result.refuse(event_id, f"nobody can tell which stands: event {other_id} has the same two instants")
    loaded = [row for row in loaded if row["event_id"] not in undecidable]
    fresh = [event_parameters(contract, row, known[row["event_id"]]) for row in loaded]
    latest: dict[str, int] = {}
    for row in loaded:
        entity_id = row[contract.entity]
        latest[entity_id] = max(latest.get(entity_id, 0), row["recorded_at"])
    entered = [(row["event_id"],) for row in loaded if row["event_id"] in held]
    tx.execute_many("DELETE FROM held_events WHERE event_id = ?", entered)
    tx.execute_many(INSERT_EVENT, fresh)
    tx.execute_many(
        "INSERT INTO customer_clocks (entity_id, last_ms) VALUES (?, ?) ON CONFLICT (entity_id) DO UPDATE "
        "SET last_ms = CASE WHEN excluded.last_ms > customer_clocks.last_ms THEN excluded.last_ms "
        "ELSE customer_clocks.last_ms END",
        list(latest.items()),
    )
    for row in loaded:
        keep_in_step(tx, contract, row, now_ms)
    result.loaded[contract.name] = result.loaded.get(contract.name, 0) + len(fresh)
    result.repeated[contract.name] = result.repeated.get(contract.name, 0) + repeated


def _known_references(tx: Transaction, contract: Contract, rows: list[LedgerRow]) -> set[str]:
    """The bank references among the rows that the ledger holds."""
    if contract.unique is None:
        return set()
    values = {row[contract.unique] for row in rows if row.get(contract.unique) is not None}
    if not values:
        return set()
    marks = ", ".join("?" * len(values))
    found = tx.execute(
        f"SELECT DISTINCT subject_id FROM ledger_events WHERE contract = ? AND subject_id IN ({marks})",  # noqa: S608 - placeholders only
        (contract.name, *values),
    )
    return {value for (value,) in found}


def _undecidable(tx: Transaction, contract: Contract, rows: list[LedgerRow]) -> dict[str, str]:
    """The rows of which nobody could tell whether they or another stands, each with that other's event_id.

    Another has the same thing, the same two instants and other content, in the folder or in the ledger.
    """
    if not contract.has_states or not rows:
        return {}
    entities = sorted({row[contract.entity] for row in rows})
    marks = ", ".join("?" * len(entities))
    known = tx.execute(
        f"SELECT body FROM ledger_events WHERE contract = ? AND entity_id IN ({marks})",  # noqa: S608 - placeholders only
        (contract.name, *entities),
    )
    together: defaultdict[tuple[Any, ...], list[LedgerRow]] = defaultdict(list)
    for row in [*(msgspec.json.decode(body) for (body,) in known), *rows]:
        thing = contract.thing_of(row)
        if thing is not None:
            together[*thing, happened_at(contract, row), row["recorded_at"]].append(row)
    fresh = {row["event_id"] for row in rows}
    undecidable = {}
    for group in together.values():
        corrected = {row.get("corrects") for row in group}
        standing = [row for row in group if row["event_id"] not in corrected]
        # What the ledger holds stays; what the folder alone says in two ways stays out in both.
        before = [row for row in standing if row["event_id"] not in fresh] or standing
        for row in standing:
            others = [other["event_id"] for other in before if contract.says(other) != contract.says(row)]
            if others and row["event_id"] in fresh:
                undecidable[row["event_id"]] = others[0]
    return undecidable


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
