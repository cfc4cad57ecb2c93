"""The SQL ledger: append-only rows with two clocks, held rows, corrections, and the customers' clocks."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from data_contracts.arrivals import AppendResult, AppendStatus, let_in_after, take, take_again
from data_contracts.between_rows.book import Arrival, Held
from data_contracts.between_rows.reference_rules import CURRENCY_REFERENCES
from data_contracts.between_rows.supposition import Supposition
from data_contracts.between_rows.waits import Broken, Wait, WaitKind
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS, Contract
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.merchants import MERCHANTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from data_contracts.rules import Rule
from data_contracts.rules_between_rows import contradiction
from features.online import CREDIT_CONTRACTS
from serving.store.follow_ups import follow_up
from serving.store.merchant_orders import order_numbered
from serving.store.store import Transaction

__all__ = ["AppendResult", "AppendStatus"]
"""What `append` gives back, for those who import it from here."""

LOG = logging.getLogger("bonitas.ledger")
LedgerRow = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def content_sha256(contract: Contract, row: Mapping[str, Any]) -> str:
    """The fingerprint of a row's content: everything but when we came to know it."""
    content = {
        column.name: row[column.name]
        for column in contract.columns
        if column.name != "recorded_at" and row.get(column.name) is not None
    }
    return hashlib.sha256(contract.name.encode() + b"\n" + _encode(content)).hexdigest()


def entity_of(contract: Contract, row: Mapping[str, Any]) -> str:
    """The customer (or merchant) that a row belongs to: what a writer locks."""
    return str(row[contract.entity])


def subject_of(contract: Contract, row: Mapping[str, Any]) -> str | None:
    """By what a row is found besides its event_id: its key, or what no other of its contract has."""
    name = contract.unique if contract.key == ("event_id",) else contract.key[0]
    return None if name is None else row.get(name)


def unique_lock_of(contract: Contract, row: Mapping[str, Any]) -> str | None:
    """What a writer locks beside the customer: what only one row of the whole book may carry."""
    value = contract.unique_value(row)
    return None if value is None else f"{contract.name}.{contract.unique}-{value}"


def next_as_of_ms(tx: Transaction, customer_id: str, now_ms: int) -> int:
    """The next moment of a customer (or merchant): now, but after every moment that it gave before.

    Decisions, records and arrivals share this clock: each is later than the one before, so that no two rows
    of a customer are recorded at once, and none at the moment of a decision.
    """
    rows = tx.execute(
        "INSERT INTO customer_clocks (entity_id, last_ms) VALUES (?, ?) ON CONFLICT (entity_id) DO UPDATE "
        "SET last_ms = CASE WHEN excluded.last_ms > customer_clocks.last_ms THEN excluded.last_ms "
        "ELSE customer_clocks.last_ms + 1 END RETURNING last_ms",
        (customer_id, now_ms),
    )
    return int(rows[0][0])


def next_common_as_of_ms(tx: Transaction, customer_id: str, candidates: Sequence[str], now_ms: int) -> int:
    """The moment of a decision that looks at several accounts: after every row of theirs that is recorded
    already, and before every one that comes.
    """
    as_of_ms = next_as_of_ms(tx, customer_id, now_ms)
    for candidate in candidates:
        as_of_ms = next_as_of_ms(tx, candidate, as_of_ms)
    # Whose clock stood still while the others' moved on is set as well.
    for earlier in (customer_id, *candidates)[: len(candidates)]:
        next_as_of_ms(tx, earlier, as_of_ms)
    return as_of_ms


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
    book = _SqlBook(tx, now_ms)
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
    clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS,
) -> AppendResult:
    """Append the order that a decision was made about, at the decision's own moment.

    Only for an order whose customer the ledger knows, under a fresh event_id, and whose key or
    correction the caller has checked: what is left to judge is whether its merchant is known, and of a
    correction whether it fits what was invoiced.
    """
    broken: Broken | None = None
    if row.get("corrects") is not None:
        broken = contradiction(ORDERS, row, _SqlBook(tx, now_ms), clock_tolerance_ms)
    elif not _is_known(tx, MERCHANTS, row["merchant_id"]):
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
    if row.get("corrects") is not None or _is_awaited(tx, row):
        readmitted = let_in_after(_SqlBook(tx, now_ms), ORDERS, row, clock_tolerance_ms)
    return AppendResult(
        event_id=row["event_id"],
        contract=ORDERS.name,
        status=AppendStatus.ACCEPTED,
        recorded_at_ms=recorded_at_ms,
        readmitted=tuple(readmitted),
    )


def _is_awaited(tx: Transaction, order: Mapping[str, Any]) -> bool:
    """Whether a row waits for a new order: one question, since at the checkout nearly none does."""
    return bool(
        tx.execute(
            "SELECT 1 FROM held_events WHERE (missing_contract = 'orders' AND missing_id = ?) "
            "OR (missing_contract = 'event' AND missing_id = ?) LIMIT 1",
            (order["order_id"], order["event_id"]),
        )
    )


def _is_known(tx: Transaction, contract: Contract, subject_id: str) -> bool:
    return bool(
        tx.execute(
            "SELECT 1 FROM ledger_events WHERE contract = ? AND subject_id = ? LIMIT 1",
            (contract.name, subject_id),
        )
    )


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
    clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS,
) -> Supposed:
    """Judge rows from history beside all that the ledger holds, one after the other; nothing is written.

    rows: with the `recorded_at` that they carry. A row that waits in the ledger already is judged anew.
    """
    supposed = Supposition(_SqlBook(tx, now_ms=0))
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


def tell_of_invoice(contract: Contract, row: Mapping[str, Any], rule: Rule) -> None:
    """Raise the alarm about an invoice that is not taken: it may hide a real debt."""
    if contract is INVOICES:
        ids = {name: row.get(name) for name in ("event_id", "invoice_id", "order_id", "customer_id")}
        LOG.error("invoice_not_taken", extra={**ids, "rule": rule.value})


class _SqlBook:
    """The rows that stand and those that wait, in one transaction that holds the lock of their customer."""

    def __init__(self, tx: Transaction, now_ms: int) -> None:
        self._tx = tx
        self._now_ms = now_ms
        self._about: dict[tuple[str, str], list[LedgerRow]] = {}
        self._of_customer: dict[tuple[str, str], tuple[list[str], set[str]]] = {}

    def is_known(self, contract: Contract, subject_id: str) -> bool:
        """See KnownRows."""
        if contract.name in CURRENCY_REFERENCES:
            # Its rows are asked for anyway.
            return bool(self.about(contract, subject_id))
        return _is_known(self._tx, contract, subject_id)

    def about(self, contract: Contract, subject_id: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        known = self._about.get((contract.name, subject_id))
        if known is None:
            rows = self._tx.execute(
                "SELECT body FROM ledger_events WHERE contract = ? AND subject_id = ?",
                (contract.name, subject_id),
            )
            known = self._about[contract.name, subject_id] = [_decode(body) for (body,) in rows]
        return known

    def standing(self, contract: Contract, customer_id: str, column: str, value: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        known = self._of_customer.get((contract.name, customer_id))
        if known is None:
            rows = self._tx.execute(
                "SELECT body, corrects FROM ledger_events WHERE entity_id = ? AND contract = ?",
                (customer_id, contract.name),
            )
            corrected = {corrects for _, corrects in rows if corrects is not None}
            known = self._of_customer[contract.name, customer_id] = ([body for body, _ in rows], corrected)
        bodies, corrected = known
        # To look for the id in the text is several times faster than to decode every row.
        decoded = (_decode(body) for body in bodies if value in body)
        return [row for row in decoded if row.get(column) == value and row["event_id"] not in corrected]

    def event(self, event_id: str) -> tuple[Contract, LedgerRow] | None:
        """See KnownRows."""
        rows = self._tx.execute("SELECT contract, body FROM ledger_events WHERE event_id = ?", (event_id,))
        return (CONTRACTS[rows[0][0]], _decode(rows[0][1])) if rows else None

    def is_corrected(self, event_id: str) -> bool:
        """See KnownRows."""
        return bool(self._tx.execute("SELECT 1 FROM ledger_events WHERE corrects = ?", (event_id,)))

    def with_unique(self, contract: Contract, value: str) -> Sequence[LedgerRow]:
        """See KnownRows; nobody else can bring the value until the transaction ends."""
        self._tx.lock(f"{contract.name}.{contract.unique}-{value}")
        if contract is ORDERS:
            merchant_id, _, number = value.partition(" ")
            order_id = order_numbered(self._tx, merchant_id, number)
            rows_of_order = () if order_id is None else self.about(ORDERS, order_id)
            return [row for row in rows_of_order if ORDERS.unique_value(row) == value]
        rows = self._tx.execute(
            "SELECT body FROM ledger_events WHERE contract = ? AND subject_id = ?", (contract.name, value)
        )
        return [_decode(body) for (body,) in rows]

    def corrects_of_waiting(self, event_id: str) -> str | None:
        """See KnownRows."""
        held = self.waiting_under(event_id)
        return None if held is None or held.is_refused else held.arrival.row.get("corrects")

    def content_under(self, event_id: str) -> object | None:
        """See Book."""
        rows = self._tx.execute(
            "SELECT content_sha256 FROM ledger_events WHERE event_id = ? "
            "UNION ALL SELECT content_sha256 FROM held_events WHERE event_id = ? "
            "UNION ALL SELECT content_sha256 FROM repeated_events WHERE event_id = ?",
            (event_id, event_id, event_id),
        )
        return rows[0][0] if rows else None

    def first_of(self, event_id: str) -> str | None:
        """See Book."""
        rows = self._tx.execute("SELECT first_event_id FROM repeated_events WHERE event_id = ?", (event_id,))
        return str(rows[0][0]) if rows else None

    def correcting(self, arrival: Arrival, event_id: str) -> Arrival:
        """See Book."""
        row = {**arrival.row, "corrects": event_id}
        return replace(arrival, row=row, content=content_sha256(arrival.contract, row))

    def waiting_for(self, waits: Collection[Wait]) -> Sequence[Held]:
        """See Book."""
        if not waits:
            return []
        either = " OR ".join(["(missing_contract = ? AND missing_id = ?)"] * len(waits))
        return _held_rows(
            self._tx, f"WHERE {either}", [part for wait in waits for part in (wait.kind.value, wait.id)]
        )

    def waiting_under(self, event_id: str) -> Held | None:
        """See Book."""
        found = _held_rows(self._tx, "WHERE event_id = ?", [event_id])
        return found[0] if found else None

    def waiting_about(self, contract_name: str, subject_id: str) -> Sequence[Held]:
        """See Book."""
        return _held_rows(self._tx, "WHERE contract = ? AND subject_id = ?", [contract_name, subject_id])

    def may_be_on_its_way(self, wait: Wait) -> bool:
        """See Book: whoever writes a customer or a merchant holds its lock."""
        if wait.kind not in {WaitKind.CUSTOMER, WaitKind.MERCHANT}:
            return False
        self._tx.lock(wait.id)
        return True

    def accept(self, arrival: Arrival) -> int | None:
        """See Book; with all that the row causes."""
        contract, row = arrival.contract, arrival.row
        recorded_at_ms = next_as_of_ms(self._tx, entity_of(contract, row), self._now_ms)
        if not insert_event(self._tx, contract, row, str(arrival.content), recorded_at_ms):
            return None
        self._about.clear()
        self._of_customer.clear()
        follow_up(self._tx, contract, row, self._now_ms)
        return recorded_at_ms

    def keep_repeated(self, arrival: Arrival, first_event_id: str) -> None:
        """See Book."""
        keep_repeated(self._tx, arrival, first_event_id, self._now_ms)

    def hold(self, arrival: Arrival, broken: Broken) -> None:
        """See Book."""
        self._put("held_events", arrival, _wait_of(broken), None)
        self._tell_of_held(arrival, broken)

    def _put(self, table: str, arrival: Arrival, wait: Wait, arrived: tuple[int, str] | None) -> None:
        contract, row = arrival.contract, arrival.row
        entity_id = entity_of(contract, row)
        received_at_ms = next_as_of_ms(self._tx, entity_id, self._now_ms) if arrived is None else arrived[0]
        self._tx.execute(
            f"INSERT INTO {table} (event_id, contract, entity_id, subject_id, missing_contract, "  # noqa: S608 - a table's name
            "missing_id, received_at_ms, content_sha256, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                arrival.event_id,
                contract.name,
                entity_id,
                subject_of(contract, row),
                wait.kind.value,
                wait.id,
                received_at_ms,
                arrival.content,
                _encode(dict(row)).decode(),
            ),
        )

    def claim(self, held: Held) -> bool:
        """See Book."""
        # A merchant's row lets in customers' rows: their clocks are theirs, so is their lock.
        self._tx.lock(entity_of(held.arrival.contract, held.arrival.row))
        table = _table_of(held)
        return bool(
            self._tx.execute(f"SELECT 1 FROM {table} WHERE event_id = ?", (held.arrival.event_id,))  # noqa: S608 - a table's name
        )

    def wait_on(self, held: Held, broken: Broken) -> None:
        """See Book."""
        wait = _wait_of(broken)
        if held.is_refused:
            self.release(held)
            self._put("held_events", held.arrival, wait, held.arrived)
        else:
            self._rest_on(held, wait)
        self._tell_of_held(held.arrival, broken)

    def _rest_on(self, held: Held, wait: Wait) -> None:
        self._tx.execute(
            f"UPDATE {_table_of(held)} SET missing_contract = ?, missing_id = ? WHERE event_id = ?",  # noqa: S608 - a table's name
            (wait.kind.value, wait.id, held.arrival.event_id),
        )

    @staticmethod
    def _tell_of_held(arrival: Arrival, broken: Broken) -> None:
        if broken.rule is Rule.SUM_ABOVE_ORDER:
            tell_of_invoice(arrival.contract, arrival.row, broken.rule)

    def release(self, held: Held) -> None:
        """See Book."""
        self._forget(held)
        if held.is_refused:
            take_refusals_back(self._tx, [held.arrival.event_id], self._now_ms)

    def _forget(self, held: Held) -> None:
        self._tx.execute(
            f"DELETE FROM {_table_of(held)} WHERE event_id = ?",  # noqa: S608 - a table's name
            (held.arrival.event_id,),
        )

    def keep_refused(self, arrival: Arrival, wait: Wait, arrived: tuple[int, str] | None) -> None:
        """See Book."""
        self._put("refused_events", arrival, wait, arrived)

    def rest_on(self, held: Held, wait: Wait | None) -> None:
        """See Book."""
        if wait is None:
            self._forget(held)
        else:
            self._rest_on(held, wait)

    def refuse(self, held: Held, broken: Broken) -> None:
        """See Book."""
        self.release(held)
        arrival = held.arrival
        violation = {"column": broken.column, "rule": broken.rule.value, "message": broken.message}
        quarantine_row(
            self._tx,
            quarantine_id=f"held-{arrival.event_id}-{held.arrived[0]}",
            contract_name=arrival.contract.name,
            event_id=arrival.event_id,
            violations=[violation],
            body=_encode(dict(arrival.row)).decode(),
            now_ms=self._now_ms,
        )
        tell_of_invoice(arrival.contract, arrival.row, broken.rule)


def _wait_of(broken: Broken) -> Wait:
    if broken.wait is None:
        raise ValueError("a row that is refused does not wait")
    return broken.wait


def _table_of(held: Held) -> str:
    return "refused_events" if held.is_refused else "held_events"


_HELD_COLUMNS = "contract, missing_contract, missing_id, received_at_ms, entity_id, content_sha256, body FROM"


def _held_rows(tx: Transaction, where: str, parameters: Sequence[object]) -> list[Held]:
    """The rows that wait, and the refused ones that are judged again."""
    return [
        Held(
            arrival=Arrival(contract=CONTRACTS[contract], row=_decode(body), content=content),
            wait=Wait(kind=WaitKind(kind), id=missing_id),
            arrived=(int(received_at_ms), entity_id),
            is_refused=bool(is_refused),
        )
        for is_refused, contract, kind, missing_id, received_at_ms, entity_id, content, body in tx.execute(
            f"SELECT 0, {_HELD_COLUMNS} held_events {where} "
            f"UNION ALL SELECT 1, {_HELD_COLUMNS} refused_events {where}",
            [*parameters, *parameters],
        )
    ]


def arrived_row(tx: Transaction, event_id: str) -> tuple[Contract, LedgerRow] | None:
    """The row under an event_id, whether it stands, waits or was refused for now; None where none arrived."""
    rows = tx.execute(
        "SELECT contract, body FROM ledger_events WHERE event_id = ? "
        "UNION ALL SELECT contract, body FROM held_events WHERE event_id = ? "
        "UNION ALL SELECT contract, body FROM refused_events WHERE event_id = ?",
        (event_id, event_id, event_id),
    )
    return (CONTRACTS[rows[0][0]], _decode(rows[0][1])) if rows else None


def keep_repeated(tx: Transaction, arrival: Arrival, first_event_id: str, now_ms: int) -> None:
    """Remember that the transfer under an event_id stands under another."""
    tx.execute(
        "INSERT INTO repeated_events (event_id, first_event_id, content_sha256, received_at_ms) "
        "VALUES (?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
        (arrival.event_id, first_event_id, arrival.content, now_ms),
    )


def take_refusals_back(tx: Transaction, event_ids: Sequence[str], now_ms: int) -> None:
    """Count refused rows as such no more: they were let in, wait, or were sent anew."""
    tx.execute_many(
        "UPDATE quarantined_events SET taken_back_at_ms = ? WHERE event_id = ? AND ended_by IS NULL",
        [(now_ms, event_id) for event_id in event_ids],
    )


def insert_event(
    tx: Transaction, contract: Contract, row: Mapping[str, Any], fingerprint: str, recorded_at_ms: int
) -> bool:
    """Write a row; False if another transaction was faster with the same event_id."""
    written = tx.execute(
        f"{INSERT_EVENT} ON CONFLICT (event_id) DO NOTHING RETURNING event_id",
        event_parameters(contract, {**row, "recorded_at": recorded_at_ms}, fingerprint),
    )
    return bool(written)


INSERT_EVENT = (
    "INSERT INTO ledger_events (event_id, contract, entity_id, subject_id, occurred_at_ms, recorded_at_ms, "
    "corrects, content_sha256, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def event_parameters(contract: Contract, row: LedgerRow, fingerprint: str) -> tuple[object, ...]:
    """The parameters of INSERT_EVENT for a row with its `recorded_at`."""
    body = {column.name: row[column.name] for column in contract.columns if row.get(column.name) is not None}
    return (
        row["event_id"],
        contract.name,
        row[contract.entity],
        subject_of(contract, row),
        # A sender whose clock is ahead dates a row after its recording: it counts from then.
        min(row["occurred_at"], row["recorded_at"]),
        row["recorded_at"],
        row.get("corrects"),
        fingerprint,
        _encode(body).decode(),
    )


def quarantine_row(
    tx: Transaction,
    *,
    quarantine_id: str,
    contract_name: str | None,
    violations: Sequence[Mapping[str, Any]],
    body: str,
    now_ms: int,
    event_id: str | None = None,
    ended_by: str | None = None,
) -> None:
    """Keep a row that was refused, with the reason.

    event_id: None where it could not be told. ended_by: who ended its waiting, None for a refused row.
    """
    tx.execute(
        "INSERT INTO quarantined_events (quarantine_id, received_at_ms, contract, event_id, ended_by, "
        "violations, body) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (quarantine_id) "
        "DO UPDATE SET taken_back_at_ms = NULL",
        (
            quarantine_id,
            now_ms,
            contract_name,
            event_id,
            ended_by,
            _encode(list(violations)).decode(),
            body,
        ),
    )


_CREDIT_CONTRACT_NAMES = tuple(contract.name for contract in (*CREDIT_CONTRACTS, ORDER_OUTCOMES))
_CREDIT_ROWS = (
    "SELECT contract, body FROM ledger_events WHERE entity_id = ? "  # noqa: S608 - constants
    f"AND contract IN ({', '.join('?' for _ in _CREDIT_CONTRACT_NAMES)})"
)


def credit_rows(tx: Transaction, customer_id: str) -> dict[str, list[LedgerRow]]:
    """All rows of one customer that credit features and rules read, by contract, in one query.

    Outcomes of orders too: what was confirmed fraud is not owed.
    """
    rows: defaultdict[str, list[LedgerRow]] = defaultdict(list)
    for contract_name, body in tx.execute(_CREDIT_ROWS, (customer_id, *_CREDIT_CONTRACT_NAMES)):
        rows[contract_name].append(_decode(body))
    return rows


def readmit_what_is_known(
    tx: Transaction, now_ms: int, *, clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS
) -> int:
    """Let in every held or refused row that fits what the ledger holds by now.

    Returns how many rows no longer wait.
    """
    before = held_count(tx)
    take_again(_SqlBook(tx, now_ms), _held_rows(tx, "", ()), clock_tolerance_ms)
    return before - held_count(tx)


def held_count(tx: Transaction) -> int:
    """How many rows wait for something that has not arrived."""
    return int(tx.execute("SELECT count(*) FROM held_events")[0][0])
