"""The ledger rows by which a return pauses the invoices of its order."""

from typing import Any

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.invoice_pauses import INVOICE_PAUSES, RETURN
from serving.domain.goods_return import GoodsReturn, ReturnPause
from serving.domain.policy import Policy
from serving.store.ledger import append
from serving.store.store import Transaction


def write_pauses(
    tx: Transaction, before: GoodsReturn | None, after: GoodsReturn, *, policy: Policy, now_ms: int
) -> None:
    """Write what a step of a return changed about its pauses; the caller holds the customer's lock.

    before: None for a new return. A pause that waited for a confirmation is written with the announcement as
    its beginning, and recorded now: until now the invoice was late and is known to have been.
    """
    known = {} if before is None else {pause.invoice_id: pause for pause in before.pauses}
    has_new_proof = before is not None and before.tracking_number != after.tracking_number
    now_ms = max(now_ms, after.announced_at_ms)
    for pause in after.pauses:
        was = known.get(pause.invoice_id, ReturnPause(invoice_id="", pause_id="", is_begun=False))
        if pause.is_ended and not was.is_ended:
            _append(tx, after, pause, "ended", {"occurred_at": now_ms, "ended_at": now_ms}, policy, now_ms)
        elif pause.is_begun and not was.is_begun:
            _append(tx, after, pause, "begun", {"occurred_at": after.announced_at_ms}, policy, now_ms)
        elif pause.is_begun and not pause.is_ended and has_new_proof:
            _append(tx, after, pause, "proof", {"occurred_at": now_ms}, policy, now_ms)


def _append(
    tx: Transaction,
    goods: GoodsReturn,
    pause: ReturnPause,
    what: str,
    instants: dict[str, int],
    policy: Policy,
    now_ms: int,
) -> None:
    row: dict[str, Any] = {
        "event_id": f"{pause.pause_id}-{what}",
        "pause_id": pause.pause_id,
        "invoice_id": pause.invoice_id,
        "customer_id": goods.customer_id,
        "reason": RETURN,
        "started_at": goods.announced_at_ms,
        **instants,
    }
    proof = {"carrier": goods.carrier, "tracking_number": goods.tracking_number}
    row |= {name: text for name, text in proof.items() if text is not None}
    result = append(tx, INVOICE_PAUSES, row, now_ms, clock_tolerance_ms=policy.clock_tolerance_ms)
    if result.status is not AppendStatus.ACCEPTED:
        raise RuntimeError(f"the ledger did not take {row['event_id']}: {result.message}")
