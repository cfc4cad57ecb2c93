"""Bulk load of a ledger folder into the SQL ledger.

Rows that validation did not accept are judged by their contract before. A folder is judged as a whole by the
rules between rows, and its rows go in as they are, `recorded_at` included. Only where that finds a fault, or
where the ledger holds rows that the folder does not, a customer's rows are judged one by one beside the
ledger, as `append` judges news.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.between_rows.arrivals import AppendResult, AppendStatus
from data_contracts.between_rows.book import Arrival
from data_contracts.between_rows.cross_table_rules import judge_ledger
from data_contracts.between_rows.ledger_columns import LedgerColumns, needed_columns
from data_contracts.between_rows.sifted_rows import one_references
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS, ColumnType, Contract
from data_contracts.instants import rfc3339
from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import has_table, ledger_rows, read_table
from data_contracts.progress import Progress, no_progress
from data_contracts.rules import Rule, Violation, value_repr
from data_contracts.validation import quarantine
from data_contracts.validation.quarantine import QuarantinedRow
from data_contracts.validation.rows_to_load import RowsToLoad, rows_to_load
from serving.store.follow_ups import keep_in_step
from serving.store.ledger import readmit_what_is_known, suppose_arrivals
from serving.store.ledger_rows import INSERT_EVENT, LedgerRow, content_sha256, event_parameters
from serving.store.load_result import LoadResult
from serving.store.order_links import (
    OWN_LINKED_AT_ONCE,
    customers_to_link,
    link_orders,
    link_to_customers,
)
from serving.store.order_sums import SUMMED_AT_ONCE, entities_to_sum, sum_up
from serving.store.quarantined_rows import take_refusals_back, tell_of_invoice
from serving.store.sql_book import keep_repeated
from serving.store.store import Store, Transaction
from serving.store.undecidable_rows import undecidable_rows

ROWS_PER_TRANSACTION = 5_000
CUSTOMERS_PER_TRANSACTION = 20
LONG_TRANSACTION_S = 0.1
GIVE_WAY_S = 0.04
"""Longer than the longest pause between two looks of a service that waits to decide (`lock_line`)."""


def load_folder(
    store: Store,
    directory: Path,
    progress: Progress = no_progress,
    *,
    now_ms: int,
    clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS,
) -> LoadResult:
    """Load a ledger folder: `rows_to_load`, then `load_rows`. clock_tolerance_ms: of the policy in force."""
    rows = rows_to_load(directory, progress, clock_tolerance_ms=clock_tolerance_ms)
    return load_rows(store, rows, progress, now_ms=now_ms)


def load_rows(
    store: Store,
    rows: RowsToLoad,
    progress: Progress = no_progress,
    *,
    now_ms: int,
    report_directory: Path | None = None,
) -> LoadResult:
    """Load the rows of a ledger folder that keep the rules between rows; repeated ones change nothing.

    Each block of rows is one transaction, so an interrupted load is simply run again. Rows keep the
    `recorded_at` that they carry: this is for history, not for news. Orders that the folder invoices
    or cancels hold no more than what is left, and held rows that fit now are let in. A row that contradicts
    the folder or the ledger is refused by name, with all that rests on it.

    rows: of whose tables the rows are given up once they are loaded. The tolerance between clocks by which
        they were judged is that of the rules between rows too.
    report_directory: gets the refused rows, those that break a rule of their contract too, whole and with
        their reasons, in place of those of an earlier load there.
    """
    load = _Load(rows, now_ms, report_directory)
    load.set_apart(rows.refused())
    progress("judge the folder", done=0, total=load.total)
    load.judge_folder()
    with store.reading() as tx:
        load.find_rows_of_the_ledger_alone(tx)
    done = 0
    for contract in ALL_CONTRACTS:
        for block in load.blocks(contract):
            began = time.monotonic()
            with store.writing("bulk-load") as tx:
                tx.lock_everyone()
                load.take_block(tx, contract, block)
            load.result.write_refused(rfc3339(now_ms))
            if time.monotonic() - began >= LONG_TRANSACTION_S:
                # Whoever waited so long gets in between, and checkouts are decided while history comes in.
                time.sleep(GIVE_WAY_S)
            done += len(block)
            progress("load into the ledger", done=done, total=load.total)
    with store.writing("bulk-load") as tx:
        tx.lock_everyone()
        readmit_what_is_known(tx, now_ms, clock_tolerance_ms=rows.clock_tolerance_ms)
    _sum_up_orders(store, now_ms)
    store.count_anew()
    return load.result


def holds_another_ledger(store: Store, directory: Path) -> bool:
    """Whether a store holds rows, and not those with which a load of a folder begins.

    directory: may be missing: then any row is another ledger's.
    """
    with store.reading() as tx:
        if not tx.execute("SELECT 1 FROM ledger_events LIMIT 1"):
            return False
        for contract in ALL_CONTRACTS:
            if has_table(directory, contract):
                for row in ledger_rows(contract, read_table(directory, contract).slice(0, 1)):
                    event_id, fingerprint = row["event_id"], content_sha256(contract, row)
                    return _contents(tx, "ledger_events", [event_id]) != {event_id: fingerprint}
    return True


def _sum_up_orders(store: Store, now_ms: int) -> None:
    """Keep sums of what came in, a part at a time, so that no look counts a whole folder's orders."""
    with store.reading() as tx:
        customers = customers_to_link(tx)
    for part in _parts(customers, CUSTOMERS_PER_TRANSACTION):
        is_more = True
        while is_more:
            with store.writing("bulk-load") as tx:
                is_more = len(link_to_customers(tx, part)) >= OWN_LINKED_AT_ONCE
    with store.reading() as tx:
        entities = entities_to_sum(tx)
    for entity in entities:
        is_more = True
        while is_more:
            with store.writing("bulk-load") as tx:
                is_more = sum_up(tx, entity, now_ms) >= SUMMED_AT_ONCE


class _Load:
    """A load on its way.

    _doubted: the customers and merchants whose rows are judged one by one beside the ledger.
    _refused: the event_ids of rows that did not enter.
    _judged_at: the clock of each doubted one when its rows were judged; what was found holds until it moves.
    """

    def __init__(self, rows: RowsToLoad, now_ms: int, report_directory: Path | None) -> None:
        self.result = LoadResult(
            validated_at=None if rows.accepted is None else rows.accepted.validated_at,
            changes=rows.changes,
            report_directory=report_directory,
        )
        self._now_ms = now_ms
        self._clock_tolerance_ms = rows.clock_tolerance_ms
        self._tables = rows.tables
        self.total = sum(table.num_rows for table in self._tables.values())
        self._doubted: set[str] = set()
        self._refused: set[str] = set()
        self._judged_at: dict[str, int] = {}
        self._results: dict[str, AppendResult] = {}
        self._let_in: dict[str, Arrival] = {}
        self._repeated: dict[str, tuple[str, Arrival]] = {}

    def set_apart(self, refused: Iterator[QuarantinedRow]) -> None:
        """Take down the rows that break a rule of their contract."""
        if self.result.report_directory is not None and self.result.report_directory.exists():
            quarantine.begin_anew(self.result.report_directory)
        for number, row in enumerate(refused, 1):
            self.result.refuse(row)
            wrong = {one.column for one in row.violations}
            # What is no identifier may be anything at all, and stays out of the log.
            told = {name: value for name, value in row.row.items() if name not in wrong}
            tell_of_invoice(CONTRACTS[row.contract], told, row.violations[0].rule)
            if number % ROWS_PER_TRANSACTION == 0:
                self.result.write_refused(rfc3339(self._now_ms))
        self.result.write_refused(rfc3339(self._now_ms))

    # Who is judged one by one

    def judge_folder(self) -> None:
        """Doubt everybody of whom a row breaks a rule between the folder's rows, or says another again."""
        verdicts = judge_ledger(
            {name: _columns(CONTRACTS[name], table) for name, table in self._tables.items()},
            now_ms=self._now_ms,
            clock_tolerance_ms=self._clock_tolerance_ms,
            full_rows=lambda contract, positions: ledger_rows(
                contract, self._tables[contract.name].take(pa.array(positions, pa.int64()))
            ),
        )
        if all(verdict.accepted.all() for verdict in verdicts.values()):
            return
        ids = pa.chunked_array(
            [chunk for table in self._tables.values() for chunk in table["event_id"].chunks], pa.string()
        )
        ids_used_again = _several(ids)
        for name, table in self._tables.items():
            contract = CONTRACTS[name]
            self._doubt(contract, table, ~verdicts[name].accepted)
            # Which of two rows of different customers is wrong is not known before both are judged together.
            self._doubt(contract, table, _are_among(table["event_id"], ids_used_again))
            for column in (contract.unique, *contract.key):
                if column is not None and column not in {"event_id", contract.entity}:
                    owners = table.select([column, contract.entity]).group_by([column, contract.entity])
                    own = table[column]
                    if column == contract.unique and contract.unique_in_one_form:
                        own = one_references(own)
                    shared = owners.aggregate([])[column] if column in contract.key else own
                    self._doubt(contract, table, _are_among(own, _several(shared)))

    def _doubt(self, contract: Contract, table: pa.Table, mask: Any) -> None:
        self._doubted.update(table[contract.entity].filter(pa.array(mask)).to_pylist())

    def find_rows_of_the_ledger_alone(self, tx: Transaction) -> None:
        """Doubt everybody of whom the ledger holds rows that are not the folder's."""
        if not tx.execute("SELECT 1 FROM ledger_events LIMIT 1"):
            return
        entities: set[str] = set()
        for name, table in self._tables.items():
            entities.update(pc.unique(table[CONTRACTS[name].entity]).to_pylist())
        known: list[tuple[str, str]] = []
        for part in _parts(sorted(entities)):
            known += _among(tx, "SELECT event_id, entity_id FROM ledger_events WHERE entity_id", part)
        own = [chunk for table in self._tables.values() for chunk in table["event_id"].chunks]
        are_own = pc.is_in(
            pa.array([event_id for event_id, _ in known], pa.string()),
            value_set=pa.chunked_array(own, pa.string()),
        )
        self._doubted.update(
            entity_id for (_, entity_id), is_own in zip(known, are_own.to_pylist(), strict=True) if not is_own
        )

    def blocks(self, contract: Contract) -> Iterator[list[LedgerRow]]:
        """The rows of a contract, some thousands at a time; afterwards its table is given up."""
        table = self._tables.get(contract.name)
        if table is None:
            return
        for start in range(0, table.num_rows, ROWS_PER_TRANSACTION):
            yield ledger_rows(contract, table.slice(start, ROWS_PER_TRANSACTION))
        del self._tables[contract.name]

    # One block

    def take_block(self, tx: Transaction, contract: Contract, rows: list[LedgerRow]) -> None:
        """Write those of some rows that are new and fit; for the others say why they do not enter."""
        ids = [row["event_id"] for row in rows]
        held = _contents(tx, "held_events", ids)
        known = _contents(tx, "ledger_events", ids) | _contents(tx, "repeated_events", ids)
        fresh = self._new_among(contract, _naming_what_stands(tx, contract, rows), known, held)
        repeated = 0
        self._doubt_beside(tx, contract, [row for row, _ in fresh])
        loaded: dict[str, tuple[LedgerRow, str]] = {}
        sent: dict[str, str] = {}
        for row, fingerprint in fresh:
            event_id = row["event_id"]
            result = self._results.get(event_id) if row[contract.entity] in self._doubted else None
            let_in = self._let_in.get(event_id)
            if event_id in loaded and sent[event_id] == fingerprint:
                repeated += 1
            elif event_id in loaded or (let_in is not None and not _says_same(let_in, row, fingerprint)):
                message = "the folder holds other content under this event_id"
                self._refuse(contract, row, "event_id", Rule.EVENT_ID_REUSED, message)
            elif let_in is not None:
                loaded[event_id] = dict(let_in.row), str(let_in.content)
                sent[event_id] = fingerprint
            elif result is None:
                loaded[event_id] = row, fingerprint
                sent[event_id] = fingerprint
            elif result.status is AppendStatus.REPEATED or event_id in held:
                repeated += 1
                if event_id in self._repeated:
                    first_event_id, arrival = self._repeated[event_id]
                    keep_repeated(tx, arrival, first_event_id, self._now_ms)
            else:
                # A row that would be held names the rule that it breaks until what it waits for is there.
                column, rule = result.column or "", result.rule
                if rule is None:
                    raise ValueError(f"{event_id} does not enter, and no rule says why")
                self._refuse(contract, row, column, rule, result.message or "")
        undecidable = undecidable_rows(tx, contract, [row for row, _ in loaded.values()])
        for event_id, other_id in undecidable.items():
            row, _ = loaded.pop(event_id)
            message = f"nobody can tell which stands: event {other_id} has the same two instants"
            self._refuse(contract, row, "occurred_at", Rule.UNDECIDABLE, message)
        self._write(tx, contract, list(loaded.values()), held)
        self._count(self.result.loaded, contract, len(loaded))
        self._count(self.result.repeated, contract, repeated)

    def _new_among(
        self, contract: Contract, rows: list[LedgerRow], known: Mapping[str, str], held: Mapping[str, str]
    ) -> list[tuple[LedgerRow, str]]:
        """The rows that the ledger does not hold, each with its fingerprint."""
        fresh = []
        for row in rows:
            event_id, fingerprint = row["event_id"], content_sha256(contract, row)
            if row["recorded_at"] > self._now_ms:
                message = "recorded_at is in the future"
                self._refuse(contract, row, "recorded_at", Rule.RECORDED_IN_FUTURE, message)
            elif known.get(event_id, held.get(event_id, fingerprint)) != fingerprint:
                message = "the ledger holds other content under this event_id"
                self._refuse(contract, row, "event_id", Rule.EVENT_ID_REUSED, message)
            elif event_id in known:
                self._count(self.result.repeated, contract, 1)
            else:
                fresh.append((row, fingerprint))
        return fresh

    @staticmethod
    def _count(counts: dict[str, int], contract: Contract, number: int) -> None:
        counts[contract.name] = counts.get(contract.name, 0) + number

    def _refuse(self, contract: Contract, row: LedgerRow, column: str, rule: Rule, message: str) -> None:
        # What rests on it is judged without it.
        self._refused.add(row["event_id"])
        self._doubted.add(row[contract.entity])
        self._judged_at.pop(row[contract.entity], None)
        broken = Violation(contract.name, column, rule, value_repr(row.get(column)), message)
        self.result.refuse(
            QuarantinedRow(
                contract=contract.name, row=_as_read(contract, row), violations=(broken,), causes=(None,)
            )
        )
        tell_of_invoice(contract, row, rule)

    def _doubt_beside(self, tx: Transaction, contract: Contract, rows: list[LedgerRow]) -> None:
        """Judge the rows of everybody who is doubted, or of whom news came since the load began."""
        entities = {row[contract.entity] for row in rows}
        clocks: dict[str, int] = dict(
            _among(tx, "SELECT entity_id, last_ms FROM customer_clocks WHERE entity_id", entities)
        )
        self._doubted.update(entity for entity, last_ms in clocks.items() if last_ms > self._now_ms)
        for column in (contract.unique, contract.key[0] if contract.key != ("event_id",) else None):
            self._doubt_known_values(tx, contract, column, rows)
        stale = {
            entity
            for entity in entities & self._doubted
            if self._judged_at.get(entity, -1) != clocks.get(entity, 0)
        }
        if stale:
            supposed = suppose_arrivals(tx, self._rows_of(stale), clock_tolerance_ms=self._clock_tolerance_ms)
            self._results.update(supposed.results)
            self._let_in.update(supposed.let_in)
            self._repeated.update(supposed.repeated)
            self._judged_at.update({entity: clocks.get(entity, 0) for entity in stale})

    def _doubt_known_values(
        self, tx: Transaction, contract: Contract, column: str | None, rows: list[LedgerRow]
    ) -> None:
        """Doubt the owners of rows whose key is another's in the ledger, or whose bank reference is known."""
        if column is None or column == contract.entity:
            return
        if column == contract.unique and contract.unique_within is not None:
            self._doubt_known_numbers(tx, contract, rows)
            return
        own = [contract.unique_value(row) if column == contract.unique else row.get(column) for row in rows]
        values = {value for value in own if value is not None}
        select = f"SELECT subject_id, entity_id FROM ledger_events WHERE contract = '{contract.name}' "  # noqa: S608 - a contract's name
        owners: dict[str, str] = dict(_among(tx, f"{select} AND subject_id", values))
        for row, value in zip(rows, own, strict=True):
            owner = owners.get(value or "")
            if owner is not None and (column == contract.unique or owner != row[contract.entity]):
                self._doubted.add(row[contract.entity])

    def _doubt_known_numbers(self, tx: Transaction, contract: Contract, rows: list[LedgerRow]) -> None:
        """Doubt the owners of orders whose merchant's number stands for another order in the ledger."""
        numbered = [row for row in rows if row.get("merchant_order_number") is not None]
        select = "SELECT merchant_order_number, merchant_id, order_id FROM merchant_orders WHERE"
        numbers = {row["merchant_order_number"] for row in numbered}
        known = {
            (merchant_id, number): order_id
            for number, merchant_id, order_id in _among(tx, f"{select} merchant_order_number", numbers)
        }
        for row in numbered:
            place = row["merchant_id"], row["merchant_order_number"]
            if known.get(place, row["order_id"]) != row["order_id"]:
                self._doubted.add(row[contract.entity])

    def _rows_of(self, entities: Collection[str]) -> list[tuple[Contract, LedgerRow]]:
        """Their rows that are not loaded yet, in the order in which they were recorded."""
        found = []
        wanted = pa.array(sorted(entities), pa.string())
        for number, (name, table) in enumerate(self._tables.items()):
            contract = CONTRACTS[name]
            theirs = table.filter(pc.is_in(table[contract.entity], value_set=wanted))
            for row in ledger_rows(contract, theirs):
                if row["event_id"] not in self._refused and row["recorded_at"] <= self._now_ms:
                    order = row["recorded_at"], number, row["occurred_at"], row["event_id"]
                    found.append((order, contract, row))
        found.sort(key=lambda one: one[0])
        # Each is judged anew, whatever was found before.
        for _, _, row in found:
            self._let_in.pop(row["event_id"], None)
        return [(contract, row) for _, contract, row in found]

    def _write(
        self,
        tx: Transaction,
        contract: Contract,
        loaded: Sequence[tuple[LedgerRow, str]],
        held: Mapping[str, str],
    ) -> None:
        latest: dict[str, int] = {}
        for row, _ in loaded:
            entity_id = row[contract.entity]
            latest[entity_id] = max(latest.get(entity_id, 0), row["recorded_at"])
        entered = [(row["event_id"],) for row, _ in loaded if row["event_id"] in held]
        tx.execute_many("DELETE FROM held_events WHERE event_id = ?", entered)
        ids = [row["event_id"] for row, _ in loaded]
        refused_before = _among(tx, "SELECT event_id FROM refused_events WHERE event_id", ids)
        judged_again = [str(event_id) for (event_id,) in refused_before]
        tx.execute_many("DELETE FROM refused_events WHERE event_id = ?", [(one,) for one in judged_again])
        take_refusals_back(tx, judged_again, self._now_ms)
        tx.execute_many(
            INSERT_EVENT, [event_parameters(contract, row, fingerprint) for row, fingerprint in loaded]
        )
        tx.execute_many(
            "INSERT INTO customer_clocks (entity_id, last_ms) VALUES (?, ?) ON CONFLICT (entity_id) DO "
            "UPDATE SET last_ms = CASE WHEN excluded.last_ms > customer_clocks.last_ms THEN excluded.last_ms "
            "ELSE customer_clocks.last_ms END",
            list(latest.items()),
        )
        for entity_id, last_ms in latest.items():
            if entity_id in self._judged_at:
                self._judged_at[entity_id] = max(self._judged_at[entity_id], last_ms)
        if contract is ORDERS:
            link_orders(tx, [row["order_id"] for row, _ in loaded])
        for row, _ in loaded:
            keep_in_step(tx, contract, row, self._now_ms, is_linked=contract is ORDERS)


def _naming_what_stands(tx: Transaction, contract: Contract, rows: list[LedgerRow]) -> list[LedgerRow]:
    """The rows; those that correct a transfer which only repeated another correct that one."""
    if contract.unique is None:
        return rows
    corrected = {row["corrects"] for row in rows if "corrects" in row}
    first: dict[str, str] = dict(
        _among(tx, "SELECT event_id, first_event_id FROM repeated_events WHERE event_id", corrected)
    )
    return [
        {**row, "corrects": first[row["corrects"]]} if row.get("corrects") in first else row for row in rows
    ]


def _says_same(let_in: Arrival, row: LedgerRow, fingerprint: str) -> bool:
    """Whether a row that was let in is this one, whatever row it was found to correct."""
    corrects = let_in.row.get("corrects")
    if let_in.content == fingerprint or corrects is None:
        return let_in.content == fingerprint
    return content_sha256(let_in.contract, {**row, "corrects": corrects}) == let_in.content


def _as_read(contract: Contract, row: LedgerRow) -> dict[str, Any]:
    """A row as quarantine shows it: instants in RFC 3339."""
    return {
        name: rfc3339(value) if contract.column(name).type is ColumnType.TIMESTAMP else value
        for name, value in row.items()
    }


def _columns(contract: Contract, table: pa.Table) -> LedgerColumns:
    """What the rules between rows read of a table."""
    names = needed_columns(contract)
    arrays = [
        table[name].cast(pa.int64()) if contract.column(name).type is ColumnType.TIMESTAMP else table[name]
        for name in names
    ]
    # Rows that break a rule of their own contract were set apart.
    passed = np.ones(table.num_rows, dtype=np.bool_)
    return LedgerColumns(columns=pa.table(arrays, names=list(names)), passed=passed)


def _several(values: pa.ChunkedArray) -> pa.Array:
    """The values that occur more than once."""
    counts = pc.value_counts(values.drop_null())
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def _are_among(values: pa.ChunkedArray, sought: pa.Array) -> Any:
    return pc.is_in(values, value_set=sought, skip_nulls=True).to_numpy()


def _parts(values: Sequence[str], size: int = ROWS_PER_TRANSACTION) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _among(tx: Transaction, select: str, values: Collection[str]) -> list[tuple[Any, ...]]:
    """Run a SELECT that ends with a column which must have one of these values."""
    if not values:
        return []
    return tx.execute(f"{select} IN ({', '.join('?' * len(values))})", tuple(values))


def _contents(tx: Transaction, table: str, event_ids: Collection[str]) -> dict[str, str]:
    """The fingerprints under those of the event_ids that a table holds."""
    return dict(_among(tx, f"SELECT event_id, content_sha256 FROM {table} WHERE event_id", event_ids))  # noqa: S608 - a table's name
