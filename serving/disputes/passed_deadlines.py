"""Chores of the worker about disputes: what follows from a deadline, and from an invoice that comes late.

Each is taken up again after a worker was killed: a step is one transaction, and one that was taken is not
taken again, because the dispute says so.
"""

import logging

from serving.disputes.deadlines import due_in
from serving.disputes.kept_step import SYSTEM, changing, keep_step
from serving.disputes.ledger_effects import pause_invoices
from serving.domain.dispute import EXPIRING, WORK_ITEMS, DisputeAction
from serving.domain.dispute_steps import expire, raise_overdue
from serving.requests.case_scope import CaseScope
from serving.store.disputes import append_dispute_history, disputes_due, disputes_of_order
from serving.store.outbox import (
    DISPUTED_ORDER_INVOICED,
    WaitingMessage,
    take_message,
    waiting_messages,
    work_off_each,
)

LOG = logging.getLogger("bonitas.disputes")
DISPUTES_PER_READ = 100


def expire_due_disputes(scope: CaseScope) -> int:
    """Take the step that follows from each deadline that has passed; returns how many were taken."""
    done, after = 0, ""
    while True:
        with scope.store.reading() as tx:
            due = disputes_due(tx, EXPIRING, scope.now_ms(), DISPUTES_PER_READ, after=after)
        done += sum(_expire(scope, dispute.dispute_id) for dispute in due)
        if len(due) < DISPUTES_PER_READ:
            return done
        after = due[-1].dispute_id


def raise_overdue_disputes(scope: CaseScope) -> int:
    """Raise each work item whose time is over, a complaint above all; once for each. Returns how many."""
    raised, after = 0, ""
    while True:
        with scope.store.reading() as tx:
            due = disputes_due(tx, WORK_ITEMS, scope.now_ms(), DISPUTES_PER_READ, after=after)
        raised += sum(
            _raise_overdue(scope, dispute.dispute_id)
            for dispute in due
            if dispute.overdue_raised_at_ms is None
        )
        if len(due) < DISPUTES_PER_READ:
            return raised
        after = due[-1].dispute_id


def pause_late_invoices(scope: CaseScope, limit: int = 100) -> int:
    """Pause the invoices that came to orders with an open dispute; returns how many messages were worked off.

    Raises StoreUnavailable.
    """
    with scope.store.reading() as tx:
        messages = waiting_messages(tx, (DISPUTED_ORDER_INVOICED,), limit, due_at_ms=scope.now_ms())

    def pause(message: WaitingMessage) -> None:
        with scope.store.writing(message.payload["customer_id"]) as tx:
            if not take_message(tx, message):
                return
            for dispute in disputes_of_order(tx, message.payload["order_id"]):
                if dispute.is_closed:
                    continue
                paused = pause_invoices(tx, scope, dispute)
                if paused:
                    append_dispute_history(
                        tx,
                        dispute.dispute_id,
                        at_ms=scope.now_ms(),
                        actor=SYSTEM,
                        action=DisputeAction.INVOICES_PAUSED,
                        detail={"invoices": paused},
                    )

    return work_off_each(scope.store, messages, pause, scope.now_ms())


def _expire(scope: CaseScope, dispute_id: str) -> bool:
    with changing(scope, dispute_id) as (tx, before):
        now_ms, policy = scope.now_ms(), scope.policy.disputes
        after = expire(
            before,
            by=SYSTEM,
            at_ms=now_ms,
            customer_due_at_ms=due_in(tx, scope, before.merchant_id, policy.customer_days, now_ms),
            decision_due_at_ms=due_in(tx, scope, before.merchant_id, policy.decision_days, now_ms),
        )
        keep_step(
            tx,
            scope,
            before,
            after,
            by=SYSTEM,
            action=DisputeAction.EXPIRED,
            detail={"state_before": before.state.value},
        )
    return after is not before


def _raise_overdue(scope: CaseScope, dispute_id: str) -> bool:
    with changing(scope, dispute_id) as (tx, before):
        after = raise_overdue(before, scope.now_ms())
        keep_step(tx, scope, before, after, by=SYSTEM, action=DisputeAction.OVERDUE, detail={})
    if after is before:
        return False
    LOG.warning("dispute_overdue", extra={"dispute_id": dispute_id, "state": before.state.value})
    return True
