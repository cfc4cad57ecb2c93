"""Rows that were refused, kept with the reason; the alarm about an invoice among them."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from data_contracts.contract import Contract
from data_contracts.invoices import INVOICES
from data_contracts.rules import Rule
from serving.store.ledger_rows import encode_row
from serving.store.store import Transaction

LOG = logging.getLogger("bonitas.ledger")


def take_refusals_back(tx: Transaction, event_ids: Sequence[str], now_ms: int) -> None:
    """Count refused rows as such no more: they were let in, wait, or were sent anew."""
    tx.execute_many(
        "UPDATE quarantined_events SET taken_back_at_ms = ? WHERE event_id = ? AND ended_by IS NULL",
        [(now_ms, event_id) for event_id in event_ids],
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
            encode_row(list(violations)).decode(),
            body,
        ),
    )


def tell_of_invoice(contract: Contract, row: Mapping[str, Any], rule: Rule) -> None:
    """Raise the alarm about an invoice that is not taken: it may hide a real debt."""
    if contract is INVOICES:
        ids = {name: row.get(name) for name in ("event_id", "invoice_id", "order_id", "customer_id")}
        LOG.error("invoice_not_taken", extra={**ids, "rule": rule.value})
