"""The SQL ledger: a row beside the others, appended, held or refused; rows are never changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.between_rows.arrivals import AppendResult, AppendStatus, let_in_after, take, take_again
from data_contracts.between_rows.book import Arrival
from data_contracts.between_rows.rules_between_rows import contradiction
from data_contracts.between_rows.supposition import Supposition
from data_contracts.between_rows.waits import Broken, Wait, WaitKind
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS, Contract
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.orders import ORDERS
from data_contracts.rules import Rule
from serving.store.ledger_rows import LedgerRow, content_sha256, decode_row, insert_event
from serving.store.quarantined_rows import tell_of_invoice
from serving.store.sql_book import SqlBook, held_rows
from serving.store.store import Transaction


def append(
    tx: Transaction,
    contract: Contract,
    row: Mapping[str, Any],
    now_ms: int,
    *,
    clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS,
) -> AppendResult:
    """Append one row that keeps its contract, in ledger row form without `recorded_at`.

    The caller holds the lock on `entity_of(contract, row)`. What breaks a rule between rows is refused by
    name, or held where only something that has not arrived yet makes it do so; and it lets in what waited.
    clock_tolerance_ms: of the policy in force.
    """
    book = SqlBook(tx, now_ms)
    arrival = Arrival(contract=contract, row=row, content=content_sha256(contract, row))
    result = take(book, arrival, clock_tolerance_ms)
    if result.status is AppendStatus.REFUSED and result.rule is not None:
        tell_of_invoice(contract, row, result.rule)
    return result


def append_decided_order(
    tx: Transaction,
    row: Mapping[str, Any],
    *,
    recorded_at_ms: int,
    now_ms: int,
    clock_tolerance_ms: int,
) -> AppendResult:
    """Append the order that a decision was made about, at the decision's own moment.

    Only for an order whose customer the ledger knows, under a fresh event_id, and whose key or
    correction the caller has checked: what is left to judge is whether its merchant is known, and of a
    correction whether it fits what was invoiced.
    """
    broken: Broken | None = None
    is_merchant_known = is_awaited = True
    if row.get("corrects") is not None:
        broken = contradiction(ORDERS, row, SqlBook(tx, now_ms), clock_tolerance_ms)
    else:
        is_merchant_known, is_awaited = _what_is_there_for(tx, row)
    if not is_merchant_known:
        wait = Wait(kind=WaitKind.MERCHANT, id=row["merchant_id"])
        broken = Broken(rule=Rule.UNKNOWN_REFERENCE, column="merchant_id", message="", wait=wait)
    if broken is not None:
        return AppendResult(
            event_id=row["event_id"],
            contract=ORDERS.name,
            status=AppendStatus.REFUSED,
            rule=broken.rule,
            column=broken.column,
            message=broken.message,
        )
    insert_event(tx, ORDERS, row, content_sha256(ORDERS, row), recorded_at_ms)
    readmitted: Sequence[AppendResult] = ()
    if is_awaited:
        readmitted = let_in_after(SqlBook(tx, now_ms), ORDERS, row, clock_tolerance_ms)
    return AppendResult(
        event_id=row["event_id"],
        contract=ORDERS.name,
        status=AppendStatus.ACCEPTED,
        recorded_at_ms=recorded_at_ms,
        readmitted=tuple(readmitted),
    )


def _what_is_there_for(tx: Transaction, order: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a new order's merchant is known, and whether a row waits for it, as at the checkout nearly none
    does: one question for both, since each costs more to be asked than to be answered.
    """
    ((is_merchant_known, is_awaited),) = tx.execute(
        "SELECT EXISTS (SELECT 1 FROM ledger_events WHERE contract = 'merchants' AND subject_id = ?), "
        "EXISTS (SELECT 1 FROM held_events WHERE (missing_contract = 'orders' AND missing_id = ?) "
        "OR (missing_contract = 'event' AND missing_id = ?))",
        (order["merchant_id"], order["order_id"], order["event_id"]),
    )
    return bool(is_merchant_known), bool(is_awaited)


@dataclass(frozen=True, kw_only=True)
class Supposed:
    """What would become of rows from history if they arrived now.

    results: the last word about each row, by event_id. let_in: the rows that would stand. repeated: the
        transfers that stand already, each with the event_id under which it does.
    """

    results: Mapping[str, AppendResult]
    let_in: Mapping[str, Arrival]
    repeated: Mapping[str, tuple[str, Arrival]]


def suppose_arrivals(
    tx: Transaction,
    rows: Iterable[tuple[Contract, LedgerRow]],
    *,
    clock_tolerance_ms: int,
) -> Supposed:
    """Judge rows from history beside all that the ledger holds, one after the other; nothing is written.

    rows: with the `recorded_at` that they carry. A row that waits in the ledger already is judged anew.
    """
    supposed = Supposition(SqlBook(tx, now_ms=0))
    results: dict[str, AppendResult] = {}
    for contract, row in rows:
        arrival = Arrival(contract=contract, row=row, content=content_sha256(contract, row))
        held = supposed.waiting_under(arrival.event_id)
        if held is not None and not held.is_refused and arrival.event_id not in results:
            supposed.release(held)
        result = take(supposed, arrival, clock_tolerance_ms)
        for one in (result, *result.readmitted):
            results[one.event_id] = one
    return Supposed(results=results, let_in=supposed.let_in, repeated=supposed.repeated)


def arrived_row(tx: Transaction, event_id: str) -> tuple[Contract, LedgerRow] | None:
    """The row under an event_id, whether it stands, waits or was refused for now; None where none arrived."""
    rows = tx.execute(
        "SELECT contract, body FROM ledger_events WHERE event_id = ? "
        "UNION ALL SELECT contract, body FROM held_events WHERE event_id = ? "
        "UNION ALL SELECT contract, body FROM refused_events WHERE event_id = ?",
        (event_id, event_id, event_id),
    )
    return (CONTRACTS[rows[0][0]], decode_row(rows[0][1])) if rows else None


def readmit_what_is_known(tx: Transaction, now_ms: int, *, clock_tolerance_ms: int) -> int:
    """Let in every held or refused row that fits what the ledger holds by now.

    Returns how many rows no longer wait.
    """
    before = held_count(tx)
    take_again(SqlBook(tx, now_ms), held_rows(tx, "", ()), clock_tolerance_ms)
    return before - held_count(tx)


def held_count(tx: Transaction) -> int:
    """How many rows wait for something that has not arrived."""
    return int(tx.execute("SELECT count(*) FROM held_events")[0][0])
