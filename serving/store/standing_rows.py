"""The ledger row that stands about one thing: a merchant, a customer, an order, an invoice."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from data_contracts.contract import Contract
from features.supersession import latest_of
from serving.store.ledger_rows import LedgerRow, decode_row
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


def bodies_not_corrected(tx: Transaction, contract: Contract, customer_id: str) -> list[str]:
    """The customer's rows of a contract that no other row corrects, as they are kept."""
    rows = tx.execute(
        "SELECT event_id, body, corrects FROM ledger_events WHERE entity_id = ? AND contract = ?",
        (customer_id, contract.name),
    )
    corrected = {corrects for _, _, corrects in rows}
    return [body for event_id, body, _ in rows if event_id not in corrected]


def rows_that_name(bodies: Iterable[str], column: str, values: Collection[str]) -> Iterator[LedgerRow]:
    """Of kept rows those that have one of the values in a column."""
    for body in bodies:
        # To look for the id in the text is several times faster than to decode every row.
        if any(value in body for value in values):
            row = decode_row(body)
            if row.get(column) in values:
                yield row
