"""The worker's part of returns: what the ledger says about goods, and what runs out."""

import logging
from collections.abc import Callable

from data_contracts.instants import MINUTE_MS
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.order_events import ORDER_EVENTS
from serving.domain.goods_return import GoodsReturn, ReturnState, booked, confirmed, handed_over, run_out
from serving.requests.case_scope import CaseScope
from serving.returns.return_pauses import write_pauses
from serving.returns.returning import event_prefix_of
from serving.store.errors import StoreUnavailable
from serving.store.goods_returns import (
    ReturnToLookAt,
    keep_return,
    look_later,
    return_of,
    returns_of_order,
    returns_to_look_at,
)
from serving.store.order_invoices import CREDIT_NOTE, invoices_of_order
from serving.store.standing_rows import bodies_not_corrected, rows_that_name
from serving.store.store import Transaction

LOG = logging.getLogger("bonitas.returns")
POSTPONED_MS = MINUTE_MS
"""So long a return waits that could not be looked at."""

DisputeOfReturn = Callable[[Transaction, CaseScope, GoodsReturn], bool]
"""Opens the dispute `return_not_booked` of a return with proof that nobody booked in time, in the transaction
that holds the locks of its customer and its order; whether a dispute pauses the return's invoices then."""


def look_at_returns(scope: CaseScope, open_dispute: DisputeOfReturn | None = None, limit: int = 100) -> int:
    """Look at every return that runs out or about which the ledger has news; returns how many.

    open_dispute: None where nobody decides such disputes yet: the return stays `not_booked`, its invoices
    paused, and is listed by that state. Raises StoreUnavailable.
    """
    with scope.store.reading() as tx:
        found = returns_to_look_at(tx, scope.now_ms(), limit)
    for one in found:
        try:
            with scope.store.writing(one.customer_id, f"order-{one.order_id}") as tx:
                _look(tx, scope, one, open_dispute)
        except StoreUnavailable:
            raise
        except Exception:  # whatever is wrong with one return, the others must not wait behind it
            LOG.exception("return_postponed", extra={"id": one.return_id})
            with scope.store.writing(one.customer_id, f"order-{one.order_id}") as tx:
                look_later(tx, one.return_id, scope.now_ms() + POSTPONED_MS)
    return len(found)


def _look(
    tx: Transaction, scope: CaseScope, one: ReturnToLookAt, open_dispute: DisputeOfReturn | None
) -> None:
    goods = return_of(tx, one.return_id)
    if goods is None:
        return
    now_ms = scope.now_ms()
    after = run_out(_told_by_ledger(tx, scope, goods, now_ms), now_ms)
    write_pauses(tx, goods, after, policy=scope.policy, now_ms=now_ms)
    keep_return(tx, after, is_looked_at=True)
    has_run_out = after.state is ReturnState.NOT_BOOKED and goods.state is not ReturnState.NOT_BOOKED
    if has_run_out and open_dispute is not None and open_dispute(tx, scope, after):
        handed = handed_over(after)
        write_pauses(tx, after, handed, policy=scope.policy, now_ms=now_ms)
        keep_return(tx, handed)


def _told_by_ledger(tx: Transaction, scope: CaseScope, goods: GoodsReturn, now_ms: int) -> GoodsReturn:
    """The return by what others wrote since it was announced: the goods came back, or were credited.

    Of several returns the earliest is booked first by credits that name none. In time only a credit of all
    that was announced books it; once it is out of time, any.
    """
    if not goods.is_open:
        return goods
    credited_cents = _credited_by_others(tx, scope, goods)
    is_out_of_time = now_ms >= goods.due_at_ms
    if credited_cents >= goods.amount_cents or (credited_cents > 0 and is_out_of_time):
        cents = min(credited_cents, goods.amount_cents)
        return booked(goods, now_ms, cents=cents, by_ledger=True)
    return confirmed(goods, now_ms, scope.policy.returns) if _came_back(tx, goods) else goods


def _came_back(tx: Transaction, goods: GoodsReturn) -> bool:
    events = bodies_not_corrected(tx, ORDER_EVENTS, goods.customer_id)
    return any(
        event["kind"] == "returned" and event["recorded_at"] >= goods.announced_at_ms
        for event in rows_that_name(events, "order_id", {goods.order_id})
    )


def _credited_by_others(tx: Transaction, scope: CaseScope, goods: GoodsReturn) -> int:
    """What was credited for returns since the announcement, and by no return that was booked here.

    A refund beside its credit note is the same money; what earlier returns were booked by is taken off.
    """
    known = returns_of_order(tx, goods.order_id)
    own = tuple(event_prefix_of(one) for one in known)
    invoice_ids = {
        invoice.invoice_id
        for invoice in invoices_of_order(tx, goods.customer_id, goods.order_id, scope.policy.settlement_terms)
    }
    noted_cents = refunded_cents = 0
    adjustments = bodies_not_corrected(tx, INVOICE_ADJUSTMENTS, goods.customer_id)
    for row in rows_that_name(adjustments, "invoice_id", invoice_ids):
        is_of_others = not row["event_id"].startswith(own) and row["recorded_at"] >= goods.announced_at_ms
        if row["reason"] != "return" or not is_of_others:
            continue
        if row["kind"] == CREDIT_NOTE:
            noted_cents += row["amount_cents"]
        else:
            refunded_cents += row["amount_cents"]
    taken_cents = sum(
        one.booked_cents
        for one in known
        if one.is_booked_by_ledger and (one.booked_at_ms or 0) >= goods.announced_at_ms
    )
    return max(noted_cents, refunded_cents) - taken_cents
