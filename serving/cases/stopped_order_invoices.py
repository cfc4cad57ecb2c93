"""An invoice that comes for an order which the merchant had stopped: paused, and raised to the fraud team.

The merchant is not paid for it (see `order_settlement`), and the customer is not asked to pay: no reminder,
no fee, no day late, until the team has cleared it up and the back office ends the pause or credits it.
"""

from typing import Any

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.invoice_pauses import INVOICE_PAUSES, ORDER_STOPPED
from serving.cases.order_settlement import JudgedOrder
from serving.domain.errors import RiskError
from serving.domain.investigation import InvestigationAction, Trigger, open_investigation
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import SYSTEM, StoredCase, append_history
from serving.store.investigations import investigation_of, keep_investigation
from serving.store.ledger import append
from serving.store.stop_requests import stop_requests_of_case
from serving.store.store import Transaction


class PauseRefused(RiskError):
    """The ledger did not take the pause of an invoice; the message names the rule that it breaks."""


def pause_id_of(invoice_id: str) -> str:
    """The pause of an invoice that came after the stop; one for each invoice, for ever."""
    return f"stopped-{invoice_id}"


def withhold_invoices(tx: Transaction, scope: CaseScope, judged: JudgedOrder, case: StoredCase) -> int:
    """Pause what came after the stop, and open the case's investigation for each; returns how many were new.

    An invoice that was paused before is left as it is, also once its pause has ended: the team has decided.
    tx: a writing transaction that holds the locks of the case and of the customer. Raises PauseRefused.
    """
    new = [invoice_id for invoice_id in judged.withheld if not _is_paused_once(tx, invoice_id)]
    for invoice_id in new:
        _pause(tx, scope, judged, invoice_id)
        _raise_to_team(tx, scope, case, invoice_id)
    return len(new)


def _is_paused_once(tx: Transaction, invoice_id: str) -> bool:
    return bool(
        tx.execute(
            "SELECT 1 FROM ledger_events WHERE contract = ? AND subject_id = ? LIMIT 1",
            (INVOICE_PAUSES.name, pause_id_of(invoice_id)),
        )
    )


def _pause(tx: Transaction, scope: CaseScope, judged: JudgedOrder, invoice_id: str) -> None:
    now_ms = scope.now_ms()
    # An invoice may run a little ahead of the clock; its pause does not come before it.
    started_at_ms = max(now_ms, judged.record.states[invoice_id].issued_at)
    row: dict[str, Any] = {
        "event_id": f"{pause_id_of(invoice_id)}-start",
        "occurred_at": started_at_ms,
        "pause_id": pause_id_of(invoice_id),
        "invoice_id": invoice_id,
        "customer_id": judged.record.order["customer_id"],
        "reason": ORDER_STOPPED,
        "started_at": started_at_ms,
    }
    result = append(tx, INVOICE_PAUSES, row, now_ms, clock_tolerance_ms=scope.policy.clock_tolerance_ms)
    if result.status is not AppendStatus.ACCEPTED:
        raise PauseRefused(f"{row['event_id']} was {result.status.value}: {result.message}")


def _raise_to_team(tx: Transaction, scope: CaseScope, case: StoredCase, invoice_id: str) -> None:
    case_id, now_ms = case.case.case_id, scope.now_ms()
    before = investigation_of(tx, case_id)
    after = open_investigation(
        before,
        case_id=case_id,
        trigger=Trigger.INVOICED_AFTER_STOP,
        merchant_answers=tuple(
            given for stored in stop_requests_of_case(tx, case_id) for given in stored.request.answers
        ),
        now_ms=now_ms,
    )
    if after is not before:
        keep_investigation(tx, after, version_before=None if before is None else before.version)
    detail = {"invoice_id": invoice_id, "trigger": Trigger.INVOICED_AFTER_STOP.value}
    append_history(
        tx, case_id, at_ms=now_ms, actor=SYSTEM, action=InvestigationAction.INVOICE_WITHHELD, detail=detail
    )
