"""Which decisions of a dispute fit their order: it is invoiced, and it was disputed."""

from data_contracts.between_rows.known_rows import KnownRows, LedgerRow
from data_contracts.between_rows.waits import Broken, Wait, WaitKind
from data_contracts.contract import Contract
from data_contracts.invoice_pauses import DISPUTE, INVOICE_PAUSES
from data_contracts.invoices import INVOICES
from data_contracts.order_outcomes import DISPUTE_DECISIONS
from data_contracts.rules import Rule
from data_contracts.sent_instants import may_stand_for_up_to_ms


def order_is_invoiced(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """A dispute is decided about an order that has an invoice."""
    if row["kind"] not in DISPUTE_DECISIONS or known.standing(
        INVOICES, row["customer_id"], "order_id", row["order_id"]
    ):
        return None
    wait = Wait(kind=WaitKind.INVOICE_OF_ORDER, id=row["order_id"])
    return Broken(rule=Rule.NOT_INVOICED, column="kind", message=f"waits for {wait.in_words}", wait=wait)


def order_is_disputed(
    _contract: Contract, row: LedgerRow, known: KnownRows, clock_tolerance_ms: int
) -> Broken | None:
    """A dispute is decided about an order of which an invoice was paused for a dispute by then."""
    if row["kind"] not in DISPUTE_DECISIONS:
        return None
    decided_at = row["occurred_at"]
    latest_ms = decided_at + may_stand_for_up_to_ms(decided_at) + clock_tolerance_ms
    for invoice in known.standing(INVOICES, row["customer_id"], "order_id", row["order_id"]):
        pauses = known.standing(INVOICE_PAUSES, row["customer_id"], "invoice_id", invoice["invoice_id"])
        if any(pause["reason"] == DISPUTE and pause["started_at"] <= latest_ms for pause in pauses):
            return None
    wait = Wait(kind=WaitKind.DISPUTE, id=row["order_id"])
    return Broken(rule=Rule.NOT_DISPUTED, column="kind", message=f"waits for {wait.in_words}", wait=wait)
