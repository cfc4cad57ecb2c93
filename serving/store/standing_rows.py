"""The ledger row that stands about one thing: a merchant, a customer, an order, an invoice."""

from typing import Any

from data_contracts.contract import Contract
from features.supersession import latest_of
from serving.store.ledger_rows import decode_row
from serving.store.store import Transaction


def standing_row(
    tx: Transaction,
    contract: Contract,
    subject_id: str,
    *,
    recorded_until_ms: int | None = None,
    without_event_id: str | None = None,
) -> dict[str, Any] | None:
    """The row that stands about a thing, None if there is none: of its states, the one that happened last.

    recorded_until_ms: only what was recorded until then is known; None for all that is recorded.
    without_event_id: of a row that is left out, so that the one before it is found.
    """
    rows = [
        decode_row(body)
        for (body,) in tx.execute(
            "SELECT body FROM ledger_events WHERE contract = ? AND subject_id = ?",
            (contract.name, subject_id),
        )
    ]
    known = [
        row
        for row in rows
        if (recorded_until_ms is None or row["recorded_at"] <= recorded_until_ms)
        and row["event_id"] != without_event_id
    ]
    row = latest_of(contract, known)
    return None if row is None else dict(row)
