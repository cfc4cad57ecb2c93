"""The SQL ledger: append-only rows with two clocks, held rows, corrections, and the customers' clocks."""

import enum
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from data_contracts.contract import Contract
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.row_check import Rule
from data_contracts.rules_between_rows import CURRENCY_REFERENCES, TIMED_REFERENCES
from features.online import CREDIT_CONTRACTS
from serving.store.follow_ups import follow_up
from serving.store.store import Transaction

LedgerRow = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class AppendStatus(enum.Enum):
    """What became of a row."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    """The same content stands under this event_id already; nothing changed."""
    HELD = "held"
    """What the row refers to is not known yet; it enters by itself once that is."""
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class AppendResult:
    """What became of one row, and which held rows it let in.

    rule, column, message: for a refused row, the rule that it breaks; for a held one, what it waits for.
    """

    event_id: str
    status: AppendStatus
    recorded_at_ms: int | None = None
    rule: Rule | None = None
    column: str | None = None
    message: str | None = None
    readmitted: tuple["AppendResult", ...] = ()


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


def next_as_of_ms(tx: Transaction, customer_id: str, now_ms: int) -> int:
    """The moment of a decision: now, but after every row of the customer that is recorded already."""
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


def _next_recorded_at_ms(tx: Transaction, entity_id: str, now_ms: int) -> int:
    """The moment of a record: now, but never before a decision that did not see it."""
    rows = tx.execute(
        "INSERT INTO customer_clocks (entity_id, last_ms) VALUES (?, ?) ON CONFLICT (entity_id) DO UPDATE "
        "SET last_ms = CASE WHEN excluded.last_ms > customer_clocks.last_ms THEN excluded.last_ms "
        "ELSE customer_clocks.last_ms END RETURNING last_ms",
        (entity_id, now_ms),
    )
    return int(rows[0][0])


def append(tx: Transaction, contract: Contract, row: Mapping[str, Any], now_ms: int) -> AppendResult:
    """Append one row that keeps its contract, in ledger row form without `recorded_at`.

    The caller holds the lock on `entity_of(contract, row)`. A row whose reference is unknown is held,
    and enters when the reference does; what breaks a rule between rows is refused by name.
    """
    event_id = row["event_id"]
    fingerprint = content_sha256(contract, row)
    known = _known_fingerprint(tx, event_id)
    if known is not None:
        return _sent_before(event_id, known, fingerprint)
    problem = _judge(tx, contract, row)
    if problem is not None and problem.missing is not None:
        # What is missing may be on its way in another transaction: wait for it and look again.
        tx.lock(problem.missing[1])
        problem = _judge(tx, contract, row)
    if problem is not None and problem.missing is not None:
        _hold(tx, contract, row, fingerprint, problem, now_ms)
    if problem is not None:
        return problem.result
    recorded_at_ms = _next_recorded_at_ms(tx, entity_of(contract, row), now_ms)
    if not _insert(tx, contract, {**row, "recorded_at": recorded_at_ms}, fingerprint):
        return _sent_before(event_id, _known_fingerprint(tx, event_id) or "", fingerprint)
    follow_up(tx, contract, row, now_ms)
    return AppendResult(
        event_id=event_id,
        status=AppendStatus.ACCEPTED,
        recorded_at_ms=recorded_at_ms,
        readmitted=_readmit(tx, contract, row, now_ms),
    )


def append_decided_order(
    tx: Transaction, row: Mapping[str, Any], *, recorded_at_ms: int, now_ms: int
) -> AppendResult:
    """Append the order that a decision was made about, at the decision's own moment.

    Only for an order whose customer the ledger knows, under a fresh event_id, and whose key or
    correction the caller has checked: what is left to judge is whether its merchant is known.
    """
    orders = CONTRACTS["orders"]
    if not _is_known(tx, CONTRACTS["merchants"], row["merchant_id"]):
        return _waiting(row, "merchant_id", "merchants", row["merchant_id"]).result
    fingerprint = content_sha256(orders, row)
    _insert(tx, orders, {**row, "recorded_at": recorded_at_ms}, fingerprint)
    return AppendResult(
        event_id=row["event_id"],
        status=AppendStatus.ACCEPTED,
        recorded_at_ms=recorded_at_ms,
        readmitted=_readmit(tx, orders, row, now_ms),
    )


def _sent_before(event_id: str, known: str, fingerprint: str) -> AppendResult:
    if known == fingerprint:
        return AppendResult(event_id=event_id, status=AppendStatus.REPEATED)
    return _refused(event_id, "event_id", Rule.EVENT_ID_REUSED, "the event_id stands for other content")


def _known_fingerprint(tx: Transaction, event_id: str) -> str | None:
    rows = tx.execute(
        "SELECT content_sha256 FROM ledger_events WHERE event_id = ? "
        "UNION ALL SELECT content_sha256 FROM held_events WHERE event_id = ?",
        (event_id, event_id),
    )
    return str(rows[0][0]) if rows else None


@dataclass(frozen=True, kw_only=True)
class _Problem:
    result: AppendResult
    missing: tuple[str, str] | None = None

    @property
    def status(self) -> AppendStatus:
        return self.result.status


def _refused(event_id: str, column: str, rule: Rule, message: str) -> AppendResult:
    return AppendResult(
        event_id=event_id, status=AppendStatus.REFUSED, rule=rule, column=column, message=message
    )


def _refusal(row: Mapping[str, Any], column: str, rule: Rule, message: str) -> _Problem:
    return _Problem(result=_refused(row["event_id"], column, rule, message))


def _waiting(row: Mapping[str, Any], column: str, contract_name: str, missing_id: str) -> _Problem:
    return _Problem(
        result=AppendResult(
            event_id=row["event_id"],
            status=AppendStatus.HELD,
            rule=Rule.UNKNOWN_REFERENCE,
            column=column,
            message=f"waits for {contract_name} {missing_id}",
        ),
        missing=(contract_name, missing_id),
    )


def _judge(tx: Transaction, contract: Contract, row: Mapping[str, Any]) -> _Problem | None:
    """The first rule between rows that the row breaks."""
    return _judge_references(tx, contract, row) or _judge_key(tx, contract, row)


def _judge_references(tx: Transaction, contract: Contract, row: Mapping[str, Any]) -> _Problem | None:
    for column, reference in contract.references():
        referred_id = row[column.name]
        referred_contract = CONTRACTS[reference.contract]
        is_compared = reference.contract in TIMED_REFERENCES | CURRENCY_REFERENCES
        if not is_compared:
            if not _is_known(tx, referred_contract, referred_id):
                return _waiting(row, column.name, reference.contract, referred_id)
            continue
        referred = _rows_about(tx, referred_contract, referred_id)
        if not referred:
            return _waiting(row, column.name, reference.contract, referred_id)
        if row["customer_id"] not in {known["customer_id"] for known in referred}:
            message = f"{reference.contract} {referred_id} belongs to another customer"
            return _refusal(row, column.name, Rule.CUSTOMER_DIFFERS, message)
        has_currency = "currency" in row and reference.contract in CURRENCY_REFERENCES
        if has_currency and row["currency"] not in {known["currency"] for known in referred}:
            message = f"{reference.contract} {referred_id} is in {referred[0]['currency']}"
            return _refusal(row, "currency", Rule.CURRENCY_DIFFERS, message)
        earliest = min(known["occurred_at"] for known in referred)
        if reference.contract in TIMED_REFERENCES and row["occurred_at"] < earliest:
            message = f"happened before {reference.contract} {referred_id}"
            return _refusal(row, "occurred_at", Rule.BEFORE_REFERENCE, message)
    return None


def _is_known(tx: Transaction, contract: Contract, subject_id: str) -> bool:
    return bool(
        tx.execute(
            "SELECT 1 FROM ledger_events WHERE contract = ? AND subject_id = ? LIMIT 1",
            (contract.name, subject_id),
        )
    )


def _rows_about(tx: Transaction, contract: Contract, subject_id: str) -> list[LedgerRow]:
    rows = tx.execute(
        "SELECT body FROM ledger_events WHERE contract = ? AND subject_id = ?", (contract.name, subject_id)
    )
    return [_decode(body) for (body,) in rows]


def _judge_key(tx: Transaction, contract: Contract, row: Mapping[str, Any]) -> _Problem | None:
    corrects = row.get("corrects")
    if corrects is None:
        if contract.rows_are_states or contract.key == ("event_id",):
            return None
        if not _is_known(tx, contract, row[contract.key[0]]):
            return None
        message = f"{contract.key[0]} {row[contract.key[0]]} exists; a change of it names the row it corrects"
        return _refusal(row, contract.key[0], Rule.KEY_REUSED, message)
    rows = tx.execute("SELECT contract, entity_id, body FROM ledger_events WHERE event_id = ?", (corrects,))
    if not rows:
        return _waiting(row, "corrects", "event", corrects)
    corrected_contract, entity_id, body = rows[0]
    corrected = _decode(body)
    has_other_key = contract.key != ("event_id",) and any(
        corrected.get(name) != row.get(name) for name in contract.key
    )
    if corrected_contract != contract.name or entity_id != entity_of(contract, row) or has_other_key:
        message = f"{corrects} is a row of another contract, customer or key"
        return _refusal(row, "corrects", Rule.CORRECTS_OTHER_KEY, message)
    if tx.execute("SELECT 1 FROM ledger_events WHERE corrects = ?", (corrects,)):
        message = f"{corrects} was corrected already; correct its correction"
        return _refusal(row, "corrects", Rule.CORRECTED_TWICE, message)
    return None


def _insert(tx: Transaction, contract: Contract, row: LedgerRow, fingerprint: str) -> bool:
    """Write a row; False if another transaction was faster with the same event_id."""
    written = tx.execute(
        f"{INSERT_EVENT} ON CONFLICT (event_id) DO NOTHING RETURNING event_id",
        event_parameters(contract, row, fingerprint),
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
        None if contract.key == ("event_id",) else row[contract.key[0]],
        # A sender whose clock is ahead dates a row after its recording: it counts from then.
        min(row["occurred_at"], row["recorded_at"]),
        row["recorded_at"],
        row.get("corrects"),
        fingerprint,
        _encode(body).decode(),
    )


def _hold(
    tx: Transaction,
    contract: Contract,
    row: Mapping[str, Any],
    fingerprint: str,
    problem: _Problem,
    now_ms: int,
) -> None:
    missing_contract, missing_id = problem.missing or ("", "")
    tx.execute(
        "INSERT INTO held_events (event_id, contract, missing_contract, missing_id, received_at_ms, "
        "content_sha256, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            row["event_id"],
            contract.name,
            missing_contract,
            missing_id,
            now_ms,
            fingerprint,
            _encode(dict(row)).decode(),
        ),
    )


def _readmit(
    tx: Transaction, contract: Contract, row: Mapping[str, Any], now_ms: int
) -> tuple[AppendResult, ...]:
    """Let in the rows that waited for this one; each may let in others."""
    results: list[AppendResult] = []
    waiting = tx.execute(
        "SELECT event_id, contract, body FROM held_events WHERE (missing_contract = ? AND missing_id = ?) "
        "OR (missing_contract = 'event' AND missing_id = ?) ORDER BY received_at_ms, event_id",
        (contract.name, row[contract.key[0]], row["event_id"]),
    )
    for event_id, contract_name, body in waiting:
        held = CONTRACTS[contract_name]
        held_row = _decode(body)
        # A merchant's row lets in customers' rows: their clocks are theirs, so is their lock.
        tx.lock(entity_of(held, held_row))
        if not tx.execute("DELETE FROM held_events WHERE event_id = ? RETURNING 1", (event_id,)):
            continue
        result = append(tx, held, held_row, now_ms)
        if result.status is AppendStatus.REFUSED:
            quarantine_row(
                tx,
                quarantine_id=f"held-{event_id}",
                contract_name=contract_name,
                violations=[
                    {
                        "column": result.column,
                        "rule": result.rule.value if result.rule else None,
                        "message": result.message,
                    }
                ],
                body=body,
                now_ms=now_ms,
            )
        results += [replace(result, readmitted=()), *result.readmitted]
    return tuple(results)


def quarantine_row(
    tx: Transaction,
    *,
    quarantine_id: str,
    contract_name: str | None,
    violations: Sequence[Mapping[str, Any]],
    body: str,
    now_ms: int,
) -> None:
    """Keep a row that was refused, with the reason."""
    tx.execute(
        "INSERT INTO quarantined_events (quarantine_id, received_at_ms, contract, violations, body) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (quarantine_id) DO NOTHING",
        (quarantine_id, now_ms, contract_name, _encode(list(violations)).decode(), body),
    )


_CREDIT_CONTRACT_NAMES = tuple(contract.name for contract in CREDIT_CONTRACTS)
_CREDIT_ROWS = (
    "SELECT contract, body FROM ledger_events WHERE entity_id = ? "  # noqa: S608 - constants
    f"AND contract IN ({', '.join('?' for _ in _CREDIT_CONTRACT_NAMES)})"
)


def credit_rows(tx: Transaction, customer_id: str) -> dict[str, list[LedgerRow]]:
    """All rows of one customer that credit features and rules read, by contract, in one query."""
    rows: defaultdict[str, list[LedgerRow]] = defaultdict(list)
    for contract_name, body in tx.execute(_CREDIT_ROWS, (customer_id, *_CREDIT_CONTRACT_NAMES)):
        rows[contract_name].append(_decode(body))
    return rows


def readmit_what_is_known(tx: Transaction, now_ms: int) -> int:
    """Let in every held row whose reference the ledger holds by now; returns how many no longer wait."""
    before = held_count(tx)
    if before:
        for contract_name, subject_id in tx.execute(
            "SELECT DISTINCT missing_contract, missing_id FROM held_events"
        ):
            if contract_name == "event":
                known = tx.execute(
                    "SELECT contract, body FROM ledger_events WHERE event_id = ?", (subject_id,)
                )
            else:
                known = tx.execute(
                    "SELECT contract, body FROM ledger_events WHERE contract = ? AND subject_id = ? LIMIT 1",
                    (contract_name, subject_id),
                )
            for found_contract, body in known:
                _readmit(tx, CONTRACTS[found_contract], _decode(body), now_ms)
    return before - held_count(tx)


def held_count(tx: Transaction) -> int:
    """How many rows wait for what they refer to."""
    return int(tx.execute("SELECT count(*) FROM held_events")[0][0])
