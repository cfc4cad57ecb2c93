"""A customer says that somebody else ordered in their name: the fraud team looks, and the dispute follows.

A case is opened even where the order was never flagged. What its verdict means for the dispute is looked up
by the worker, so that the fraud team's own steps stay as they are.
"""

import secrets
from dataclasses import replace

from data_contracts.amended_orders import ordered_cents
from data_contracts.orders import ORDERS
from serving.disputes.deadlines import due_in
from serving.disputes.kept_step import SYSTEM, changing, keep_step
from serving.disputes.ledger_effects import write_outcome
from serving.domain.case_stakes import CaseStakes
from serving.domain.dispute import Dispute, DisputeAction, DisputeState
from serving.domain.dispute_steps import conclude_case
from serving.domain.flag_reason import IDENTITY_CLAIM, FlagReason
from serving.domain.order_of_work import priority_of
from serving.domain.review_case import (
    Action,
    CaseOrigin,
    CaseState,
    ReviewCase,
    StopStillHeld,
    Verdict,
    open_case,
    reopen,
)
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import (
    StoredCase,
    append_history,
    case_about,
    insert_case,
    known_case,
    screenings_of,
    update_case,
)
from serving.store.disputes import disputes_in_state
from serving.store.outbox import (
    IDENTITY_CLAIMED,
    WaitingMessage,
    append_message,
    take_message,
    waiting_messages,
    work_off_each,
)
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction
from serving.store.uninvoiced_rest import events_of_order

CLAIM_TEXT = "The customer says that somebody else ordered in their name."
DISPUTES_PER_READ = 100


def ask_fraud_team(tx: Transaction, scope: CaseScope, dispute: Dispute) -> None:
    """Open a case about the order of a dispute, in the transaction that opens it.

    Where there is one, its steps hold a lock that must not be waited for here: the worker gets a message.
    """
    if case_about(tx, dispute.order_id) is None and _open_case(tx, scope, dispute):
        return
    append_message(
        tx,
        message_id=f"claim-{dispute.dispute_id}",
        kind=IDENTITY_CLAIMED,
        payload={"order_id": dispute.order_id, "dispute_id": dispute.dispute_id},
        now_ms=scope.now_ms(),
    )


def bring_claims_to_cases(scope: CaseScope, limit: int = 100) -> int:
    """Note every claim in the case that its order has; one that was released is opened again.

    Returns how many messages were worked off. Raises StoreUnavailable.
    """
    with scope.store.reading() as tx:
        messages = waiting_messages(tx, (IDENTITY_CLAIMED,), limit, due_at_ms=scope.now_ms())

    def bring(message: WaitingMessage) -> None:
        with scope.store.reading() as tx:
            stored = case_about(tx, message.payload["order_id"])
        if stored is None:
            return
        with scope.store.writing(f"case-{stored.case.case_id}") as tx:
            if take_message(tx, message):
                _note_claim(tx, scope, stored.case.case_id, message.payload["dispute_id"])

    return work_off_each(scope.store, messages, bring, scope.now_ms())


def follow_cases(scope: CaseScope) -> int:
    """Take the verdicts of the fraud team into the disputes that wait for them; returns how many."""
    done, after = 0, ""
    while True:
        with scope.store.reading() as tx:
            waiting = disputes_in_state(tx, DisputeState.WITH_FRAUD_TEAM, DISPUTES_PER_READ, after=after)
            decided = [
                dispute.dispute_id
                for dispute in waiting
                if _is_fraud(case_about(tx, dispute.order_id), dispute, scope.now_ms()) is not None
            ]
        done += sum(_follow_case(scope, dispute_id) for dispute_id in decided)
        if len(waiting) < DISPUTES_PER_READ:
            return done
        after = waiting[-1].dispute_id


def _follow_case(scope: CaseScope, dispute_id: str) -> bool:
    with changing(scope, dispute_id) as (tx, dispute):
        now_ms = scope.now_ms()
        stored = case_about(tx, dispute.order_id)
        is_fraud = _is_fraud(stored, dispute, now_ms)
        if dispute.state is not DisputeState.WITH_FRAUD_TEAM or is_fraud is None or stored is None:
            return False
        due_at_ms = due_in(tx, scope, dispute.merchant_id, scope.policy.disputes.decision_days, now_ms)
        by = stored.case.reviewer or SYSTEM
        after = conclude_case(dispute, is_fraud=is_fraud, by=by, at_ms=now_ms, decision_due_at_ms=due_at_ms)
        if not is_fraud:
            write_outcome(tx, scope, after, "identity_misuse_rejected", max(now_ms, dispute.opened_at_ms))
        # Who sees the dispute sees no fraud team: its case is named nowhere.
        keep_step(tx, scope, dispute, after, by=SYSTEM, action=DisputeAction.CASE_CONCLUDED, detail={})
    return True


def _is_fraud(stored: StoredCase | None, dispute: Dispute, now_ms: int) -> bool | None:
    """What the case of the order says about a claim; None while it says nothing.

    A release from before the claim knew nothing of it; a stop from before stands.
    """
    if stored is None or stored.case.state is not CaseState.CLOSED:
        return None
    case = stored.case
    if case.verdict is Verdict.STOP:
        return True if case.is_stop_in_effect(now_ms) else None
    is_newer = case.closed_at_ms is not None and case.closed_at_ms > dispute.opened_at_ms
    return False if is_newer else None


def _open_case(tx: Transaction, scope: CaseScope, dispute: Dispute) -> bool:
    """A case about the order; False where somebody else was faster."""
    order = standing_row(tx, ORDERS, dispute.order_id)
    if order is None:
        return False
    now_ms = scope.now_ms()
    case = open_case(
        case_id=f"case_{secrets.token_hex(10)}",
        order_id=dispute.order_id,
        customer_id=dispute.customer_id,
        merchant_id=dispute.merchant_id,
        origin=CaseOrigin.FLAGGED,
        now_ms=now_ms,
        policy=scope.policy.review,
    )
    events = events_of_order(tx, dispute.customer_id, dispute.order_id)
    kinds = {event["kind"] for event in events}
    screened = screenings_of(tx, dispute.order_id)
    probability = max(
        scope.policy.order_risk.flag_probability,
        screened[0].record["probability"] if screened else 0.0,
    )
    is_service = order["kind"] == "service"
    stakes = CaseStakes(
        probability=probability,
        amount_cents=ordered_cents(order, events),
        currency=order["currency"],
        ordered_at_ms=order["occurred_at"],
        handover_at_ms=order["occurred_at"],
        left=bool(kinds & {"shipped", "delivered"}),
        recallable=is_service or "delivered" not in kinds,
        is_service=is_service,
    )
    stored = StoredCase(
        case=case,
        stakes=stakes,
        priority=priority_of(case, stakes, now_ms, scope.policy.review),
        reasons=(_claim_reason(),),
    )
    if not insert_case(tx, stored):
        return False
    append_history(
        tx,
        case.case_id,
        at_ms=now_ms,
        actor=SYSTEM,
        action=Action.OPENED,
        detail={
            "origin": case.origin.value,
            "trigger": IDENTITY_CLAIM,
            "probability": probability,
            "dispute_id": dispute.dispute_id,
        },
    )
    return True


def _note_claim(tx: Transaction, scope: CaseScope, case_id: str, dispute_id: str) -> None:
    stored = known_case(tx, case_id)
    now_ms = scope.now_ms()
    case = _reopened(stored.case, scope, now_ms)
    reasons = tuple(reason for reason in stored.reasons if reason.code != IDENTITY_CLAIM)
    renewed = replace(
        stored,
        case=case if case is not stored.case else replace(case, version=case.version + 1),
        priority=priority_of(case, stored.stakes, now_ms, scope.policy.review),
        reasons=(_claim_reason(), *reasons),
    )
    update_case(tx, renewed, version_before=stored.case.version)
    is_reopened = case is not stored.case
    append_history(
        tx,
        case_id,
        at_ms=now_ms,
        actor=SYSTEM,
        action=Action.REOPENED if is_reopened else Action.NOTE_ADDED,
        detail={"reason" if is_reopened else "note": CLAIM_TEXT, "dispute_id": dispute_id},
    )


def _reopened(case: ReviewCase, scope: CaseScope, now_ms: int) -> ReviewCase:
    """A case that was released, back in the queue; any other as it is."""
    if case.verdict is not Verdict.RELEASED:
        return case
    try:
        return reopen(case, CLAIM_TEXT, now_ms, scope.policy.review)
    except StopStillHeld:
        return case


def _claim_reason() -> FlagReason:
    return FlagReason(code=IDENTITY_CLAIM, text=CLAIM_TEXT)
