"""Use case of the worker: settle the orders that wait for it, and bring in those that were never asked for.

An order is taken out of the list, its lines are posted and its late invoices are paused in one transaction: a
worker that is killed leaves nothing half done, and nothing is posted twice.
"""

import logging
from zoneinfo import ZoneInfo

from serving.cases.case_settlement import note_settlement
from serving.cases.order_settlement import settle_order
from serving.cases.stopped_order_invoices import withhold_invoices
from serving.domain.errors import UnknownOrder
from serving.domain.liability import FactsInvalid
from serving.domain.settlement_period import Period
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import case_about
from serving.store.errors import StoreUnavailable
from serving.store.orders_to_settle import (
    HISTORY,
    POSTPONED_MS,
    OrderToSettle,
    ask_to_settle,
    due_to_settle,
    orders_after,
    postpone_settling,
    take_to_settle,
)
from serving.store.settlement_postings import give_period, posted_without_period

LOG = logging.getLogger("bonitas.settlement")
ORDERS_PER_READ = 100
ORDERS_PER_TRANSACTION = 500


def settle_due(scope: CaseScope, limit: int = ORDERS_PER_READ) -> int:
    """Settle the orders that wait longest; returns how many were looked at.

    One that fails is logged and tried again later, so that none waits behind it. Raises StoreUnavailable.
    """
    with scope.store.reading() as tx:
        waiting = due_to_settle(tx, limit, now_ms=scope.now_ms())
    for one in waiting:
        try:
            _settle(scope, one)
        except StoreUnavailable:
            raise
        except Exception:  # whatever is wrong with one order, the others must not wait behind it
            LOG.exception("settlement_postponed", extra={"order_id": one.order_id})
            with scope.store.writing(f"settlement-{one.order_id}") as tx:
                postpone_settling(tx, one, due_at_ms=scope.now_ms() + POSTPONED_MS)
    return len(waiting)


def _settle(scope: CaseScope, waiting: OrderToSettle) -> None:
    with scope.store.reading() as tx:
        known = case_about(tx, waiting.order_id)
    locks = [waiting.customer_id, *([] if known is None else [f"case-{known.case.case_id}"])]
    with scope.store.writing(*locks) as tx:
        case = case_about(tx, waiting.order_id)
        if (case is None) is not (known is None):
            # A case was opened meanwhile, and its lock is not held: the next round holds it.
            return
        if not take_to_settle(tx, waiting):
            return
        try:
            judged, settled = settle_order(tx, scope, waiting.order_id, waiting.customer_id, case)
        except (FactsInvalid, UnknownOrder):
            # Nothing was posted; the row that corrects the facts asks again.
            LOG.exception("settlement_facts_invalid", extra={"order_id": waiting.order_id})
            return
        if case is not None:
            if settled is not None:
                note_settlement(tx, scope, case.case.case_id, settled)
            withhold_invoices(tx, scope, judged, case)


def catch_up(scope: CaseScope) -> int:
    """Ask for every order of the ledger to be settled, in parts; returns how many orders were asked for.

    For history that was loaded, for a policy that settles more of the past than the one before, and for what
    a release of before has taken in beside this one. What is settled already is left as it is, and news about
    orders go before.
    """
    asked, last = 0, ""
    while True:
        with scope.store.reading() as tx:
            page = orders_after(tx, last, ORDERS_PER_TRANSACTION)
        if not page:
            return asked
        with scope.store.writing("settlement-catch-up") as tx:
            ask_to_settle(tx, dict(page), due_at_ms=scope.now_ms(), rank=HISTORY)
        asked, last = asked + len(page), page[-1][0]


def give_periods(scope: CaseScope) -> int:
    """Give what a release of before has posted its period; returns how many instants of posting it had."""
    with scope.store.reading() as tx:
        waiting = posted_without_period(tx, ORDERS_PER_READ)
    if waiting:
        zone = ZoneInfo(scope.policy.order_risk.default_time_zone)
        with scope.store.writing("settlement-periods") as tx:
            for posted_at_ms in waiting:
                give_period(tx, posted_at_ms, Period.at(posted_at_ms, zone).text)
    return len(waiting)
