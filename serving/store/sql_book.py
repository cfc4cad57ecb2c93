"""The book of rows in SQL: those that stand, those that wait, and the refused ones that are judged again."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from data_contracts.between_rows.book import Arrival, Held
from data_contracts.between_rows.reference_rules import CURRENCY_REFERENCES
from data_contracts.between_rows.waits import Broken, Wait, WaitKind
from data_contracts.contract import Contract
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.orders import ORDERS
from data_contracts.rules import Rule
from serving.store.customer_clocks import next_as_of_ms
from serving.store.follow_ups import follow_up
from serving.store.ledger_rows import (
    LedgerRow,
    content_sha256,
    decode_row,
    encode_row,
    entity_of,
    insert_event,
    subject_of,
)
from serving.store.merchant_orders import order_numbered
from serving.store.quarantined_rows import quarantine_row, take_refusals_back, tell_of_invoice
from serving.store.standing_rows import bodies_not_corrected, rows_that_name
from serving.store.store import Transaction


def is_known(tx: Transaction, contract: Contract, subject_id: str) -> bool:
    """Whether any row of the contract has this key."""
    return bool(
        tx.execute(
            "SELECT 1 FROM ledger_events WHERE contract = ? AND subject_id = ? LIMIT 1",
            (contract.name, subject_id),
        )
    )


class SqlBook:
    """The rows that stand and those that wait, in one transaction that holds the lock of their customer."""

    def __init__(self, tx: Transaction, now_ms: int) -> None:
        self._tx = tx
        self._now_ms = now_ms
        self._about: dict[tuple[str, str], list[LedgerRow]] = {}
        self._of_customer: dict[tuple[str, str], list[str]] = {}

    def is_known(self, contract: Contract, subject_id: str) -> bool:
        """See KnownRows."""
        if contract.name in CURRENCY_REFERENCES:
            # Its rows are asked for anyway.
            return bool(self.about(contract, subject_id))
        return is_known(self._tx, contract, subject_id)

    def about(self, contract: Contract, subject_id: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        known = self._about.get((contract.name, subject_id))
        if known is None:
            rows = self._tx.execute(
                "SELECT body FROM ledger_events WHERE contract = ? AND subject_id = ?",
                (contract.name, subject_id),
            )
            known = self._about[contract.name, subject_id] = [decode_row(body) for (body,) in rows]
        return known

    def standing(self, contract: Contract, customer_id: str, column: str, value: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        known = self._of_customer.get((contract.name, customer_id))
        if known is None:
            known = bodies_not_corrected(self._tx, contract, customer_id)
            self._of_customer[contract.name, customer_id] = known
        return list(rows_that_name(known, column, {value}))

    def event(self, event_id: str) -> tuple[Contract, LedgerRow] | None:
        """See KnownRows."""
        rows = self._tx.execute("SELECT contract, body FROM ledger_events WHERE event_id = ?", (event_id,))
        return (CONTRACTS[rows[0][0]], decode_row(rows[0][1])) if rows else None

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
        return [decode_row(body) for (body,) in rows]

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
        return held_rows(
            self._tx, f"WHERE {either}", [part for wait in waits for part in (wait.kind.value, wait.id)]
        )

    def waiting_under(self, event_id: str) -> Held | None:
        """See Book."""
        found = held_rows(self._tx, "WHERE event_id = ?", [event_id])
        return found[0] if found else None

    def waiting_about(self, contract_name: str, subject_id: str) -> Sequence[Held]:
        """See Book."""
        return held_rows(self._tx, "WHERE contract = ? AND subject_id = ?", [contract_name, subject_id])

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
                encode_row(dict(row)).decode(),
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
            body=encode_row(dict(arrival.row)).decode(),
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


def held_rows(tx: Transaction, where: str, parameters: Sequence[object]) -> list[Held]:
    """The rows that wait, and the refused ones that are judged again."""
    return [
        Held(
            arrival=Arrival(contract=CONTRACTS[contract], row=decode_row(body), content=content),
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


def keep_repeated(tx: Transaction, arrival: Arrival, first_event_id: str, now_ms: int) -> None:
    """Remember that the transfer under an event_id stands under another."""
    tx.execute(
        "INSERT INTO repeated_events (event_id, first_event_id, content_sha256, received_at_ms) "
        "VALUES (?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING",
        (arrival.event_id, first_event_id, arrival.content, now_ms),
    )
