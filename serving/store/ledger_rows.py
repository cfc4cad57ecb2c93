"""One row of the ledger in SQL: its fingerprint, by what it is found and locked, and how it is written."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from data_contracts.contract import Contract
from serving.store.store import Transaction

LedgerRow = dict[str, Any]
encode_row = msgspec.json.Encoder().encode
decode_row = msgspec.json.Decoder(dict[str, Any]).decode
"""A row as the table keeps it, as JSON, and back."""


def content_sha256(contract: Contract, row: Mapping[str, Any]) -> str:
    """The fingerprint of a row's content: everything but when we came to know it."""
    content = {
        name: value
        for name in contract.column_names
        if (value := row.get(name)) is not None and name != "recorded_at"
    }
    return hashlib.sha256(contract.name.encode() + b"\n" + encode_row(content)).hexdigest()


def entity_of(contract: Contract, row: Mapping[str, Any]) -> str:
    """The customer (or merchant) that a row belongs to: what a writer locks."""
    return str(row[contract.entity])


def subject_of(contract: Contract, row: Mapping[str, Any]) -> str | None:
    """By what a row is found besides its event_id: its key, or what no other of its contract has."""
    return contract.unique_value(row) if contract.key == ("event_id",) else row.get(contract.key[0])


def row_under(tx: Transaction, event_id: str) -> LedgerRow | None:
    """The row under an event_id, also one that was corrected since; None where the ledger has none."""
    found = tx.execute("SELECT body FROM ledger_events WHERE event_id = ?", (event_id,))
    return decode_row(found[0][0]) if found else None


def with_corrected(tx: Transaction, row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A row, and the one that it corrects where the ledger has that: what either is about is concerned."""
    corrected = None if row.get("corrects") is None else row_under(tx, row["corrects"])
    return [row] if corrected is None else [row, corrected]


def unique_lock_of(contract: Contract, row: Mapping[str, Any]) -> str | None:
    """What a writer locks beside the customer: what only one row of the whole book may carry."""
    value = contract.unique_value(row)
    return None if value is None else f"{contract.name}.{contract.unique}-{value}"


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
    body = {name: value for name in contract.column_names if (value := row.get(name)) is not None}
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
        encode_row(body).decode(),
    )
