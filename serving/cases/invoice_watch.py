"""When the invoices of a stopped order are looked at again, until nothing is owed any more."""

from data_contracts.instants import DAY_MS
from features.instants import NEVER
from serving.cases.order_record import OrderRecord
from serving.domain.review_case import ReviewCase
from serving.requests.case_scope import CaseScope
from serving.store.outbox import INVOICE_WATCH_MS, ask_for_invoice_watch
from serving.store.store import Transaction

WATCH_DAYS = 400


def watch_on(tx: Transaction, case: ReviewCase, record: OrderRecord, since_ms: int, scope: CaseScope) -> None:
    """Leave the message for the next look at the invoices of a case's order, where one is still needed.

    since_ms: when this watch began. It ends after WATCH_DAYS, and with a later verdict, which begins its own.
    """
    is_watched_anew = case.closed_at_ms is not None and case.closed_at_ms > since_ms
    if is_watched_anew or record.now_ms >= since_ms + WATCH_DAYS * DAY_MS:
        return
    next_ms = next_look_ms(record, scope.policy.investigation.unpaid_days)
    if next_ms is not None:
        ask_for_invoice_watch(tx, case.order_id, since_ms=since_ms, due_at_ms=next_ms)


def next_look_ms(record: OrderRecord, unpaid_days: int) -> int | None:
    """When the invoices of an order are to be looked at again; None once nothing is owed any more.

    Each day while there is none yet, while one is paused, or when it has been unpaid for too long.
    """
    owed = [state for state in record.invoices if state.owed_cents > 0 and not state.cancelled]
    is_over = record.taken_back is not None or (record.invoices and not owed)
    if is_over:
        return None
    tomorrow_ms = record.now_ms + INVOICE_WATCH_MS
    if not owed or any(state.paused or state.due_at == NEVER for state in owed):
        return tomorrow_ms
    unpaid_from_ms = min(state.due_at for state in owed) + unpaid_days * DAY_MS
    return unpaid_from_ms if unpaid_from_ms > record.now_ms else tomorrow_ms
