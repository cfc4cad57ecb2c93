"""A return with proof that nobody booked in time becomes a dispute: the merchant is asked about the goods."""

import logging

from serving.disputes.ledger_effects import disputed_invoices
from serving.disputes.opening import OrderDisputedBefore, open_dispute
from serving.domain.dispute import DisputeReason
from serving.domain.dispute_money import disputable_cents
from serving.domain.errors import OrderNotInvoiced
from serving.domain.goods_return import GoodsReturn
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import SYSTEM
from serving.store.store import Transaction

LOG = logging.getLogger("bonitas.disputes")


def dispute_return(tx: Transaction, scope: CaseScope, goods: GoodsReturn) -> bool:
    """Open the dispute of a return in the caller's transaction, which holds the customer's lock.

    True where a dispute about the goods' order pauses its invoices from now on. False where none can be
    opened: an earlier one was decided, or nothing is owed any more; then the return stays as it is, listed
    as `not_booked`.
    """
    invoices = disputed_invoices(
        tx, scope, customer_id=goods.customer_id, order_id=goods.order_id, dispute_id=goods.return_id
    )
    left_cents = disputable_cents([invoice.balance for invoice in invoices])
    try:
        open_dispute(
            tx,
            scope,
            order_id=goods.order_id,
            customer_id=goods.customer_id,
            reason=DisputeReason.RETURN_NOT_BOOKED,
            # What was credited meanwhile is in dispute no more.
            amount_cents=min(goods.amount_cents, left_cents),
            text=_proof_of(goods),
            opened_by=SYSTEM,
        )
    except (OrderDisputedBefore, OrderNotInvoiced) as problem:
        LOG.info("return_opens_no_dispute", extra={"return_id": goods.return_id, "reason": str(problem)})
        return False
    return True


def _proof_of(goods: GoodsReturn) -> str | None:
    """Carrier and tracking number as they were given, None where merchant or carrier gave their word."""
    if goods.tracking_number is None:
        return None
    return " ".join(part for part in (goods.carrier, goods.tracking_number) if part)
