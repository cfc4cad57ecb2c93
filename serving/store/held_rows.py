"""Rows that wait for something that has not arrived: told one by one, counted, and ended by hand, in SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from data_contracts.between_rows.waits import Wait, WaitKind
from data_contracts.ledger_contracts import CONTRACTS
from serving.store.quarantined_rows import quarantine_row
from serving.store.store import Transaction

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, kw_only=True)
class HeldRow:
    """One row that waits.

    entity_id: its customer, or the merchant of a merchant's own row.
    ids: the row's key, and the rows that it names; nothing of what it says about a person.
    """

    event_id: str
    contract: str
    entity_id: str
    ids: Mapping[str, str]
    wait: Wait
    since_ms: int


@dataclass(frozen=True, kw_only=True)
class EndedRow:
    """One row whose waiting was ended by hand; it lies in quarantine."""

    event_id: str
    contract: str
    ended_at_ms: int
    ended_by: str
    reason: str


def held_rows(
    tx: Transaction,
    *,
    limit: int,
    after: tuple[int, str] | None = None,
    contract_name: str | None = None,
    customer_id: str | None = None,
) -> list[HeldRow]:
    """Held rows in the order in which they arrived.

    after: since_ms and entity_id of the last row of the page before.
    """
    conditions: list[str] = []
    parameters: list[object] = []
    if after is not None:
        conditions.append("(received_at_ms > ? OR (received_at_ms = ? AND entity_id > ?))")
        parameters += [after[0], after[0], after[1]]
    for column, value in (("contract", contract_name), ("entity_id", customer_id)):
        if value is not None:
            conditions.append(f"{column} = ?")
            parameters.append(value)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = tx.execute(
        "SELECT event_id, contract, entity_id, missing_contract, missing_id, received_at_ms, body "  # noqa: S608 - constants and placeholders
        f"FROM held_events {where}ORDER BY received_at_ms, entity_id LIMIT ?",
        (*parameters, limit),
    )
    return [
        HeldRow(
            event_id=event_id,
            contract=contract,
            entity_id=entity_id,
            ids=_ids(contract, _decode(body)),
            wait=Wait(kind=WaitKind(kind), id=missing_id),
            since_ms=int(received_at_ms),
        )
        for event_id, contract, entity_id, kind, missing_id, received_at_ms, body in rows
    ]


def _ids(contract_name: str, row: Mapping[str, Any]) -> dict[str, str]:
    contract = CONTRACTS[contract_name]
    names = [*contract.key, *(column.name for column, _ in contract.references()), "corrects"]
    return {name: row[name] for name in dict.fromkeys(names) if name != "event_id" and row.get(name)}


def held_counts(tx: Transaction) -> dict[WaitKind, int]:
    """How many rows wait, by what they wait for."""
    counts: dict[str, int] = dict(
        tx.execute("SELECT missing_contract, count(*) FROM held_events GROUP BY missing_contract")
    )
    return {kind: int(counts.get(kind.value, 0)) for kind in WaitKind}


def refused_invoice_count(tx: Transaction) -> int:
    """How many invoices were refused: each may hide a real debt."""
    rows = tx.execute(
        "SELECT count(*) FROM quarantined_events WHERE contract = 'invoices' AND ended_by IS NULL "
        "AND taken_back_at_ms IS NULL"
    )
    return int(rows[0][0])


def entity_of_held(tx: Transaction, event_id: str) -> str | None:
    """Whose row waits under an event_id; None where none does."""
    rows = tx.execute("SELECT entity_id FROM held_events WHERE event_id = ?", (event_id,))
    return str(rows[0][0]) if rows else None


def end_waiting(tx: Transaction, event_id: str, *, reason: str, by: str, now_ms: int) -> EndedRow | None:
    """Move a held row to quarantine; None where none waits under the id.

    tx: a writing transaction that holds the lock of the row's entity.
    """
    rows = tx.execute(
        "DELETE FROM held_events WHERE event_id = ? RETURNING contract, received_at_ms, body", (event_id,)
    )
    if not rows:
        return None
    contract, received_at_ms, body = rows[0]
    quarantine_row(
        tx,
        quarantine_id=f"ended-{event_id}-{received_at_ms}",
        contract_name=contract,
        event_id=event_id,
        violations=[{"column": "", "rule": "ended", "message": reason}],
        body=body,
        now_ms=now_ms,
        ended_by=by,
    )
    return EndedRow(event_id=event_id, contract=contract, ended_at_ms=now_ms, ended_by=by, reason=reason)


def ended_row(tx: Transaction, event_id: str) -> EndedRow | None:
    """How the waiting of a row was ended last; None where it never was, or the row came again and entered."""
    rows = tx.execute(
        "SELECT contract, received_at_ms, ended_by, violations FROM quarantined_events "
        "WHERE event_id = ? AND ended_by IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM ledger_events WHERE event_id = ?) "
        "ORDER BY received_at_ms DESC, quarantine_id DESC LIMIT 1",
        (event_id, event_id),
    )
    if not rows:
        return None
    contract, ended_at_ms, ended_by, violations = rows[0]
    reason = msgspec.json.decode(violations)[0]["message"]
    return EndedRow(
        event_id=event_id,
        contract=contract,
        ended_at_ms=int(ended_at_ms),
        ended_by=ended_by,
        reason=reason,
    )
