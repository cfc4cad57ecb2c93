"""Use cases of the service desk: work items by due time, questions to both sides, decisions, second looks.

The desk sees both sides of a dispute and nothing of the fraud team's. Two people may act on one dispute at
the same instant: a step is kept only if nobody else was faster.
"""

from collections.abc import Callable
from typing import Any

from data_contracts.merchants import MERCHANTS
from serving.disputes.deadlines import due_in
from serving.disputes.dispute_answers import (
    DeskDispute,
    DeskQueue,
    DisputeHistoryAnswer,
    desk_dispute,
    desk_summary,
)
from serving.disputes.kept_step import changing, keep_step, known_dispute
from serving.disputes.ledger_effects import disputed_invoices
from serving.disputes.opening import checked_text
from serving.domain.dispute import (
    WORK_ITEMS,
    Dispute,
    DisputeAction,
    DisputeOutcome,
    DisputeState,
    Party,
)
from serving.domain.dispute_money import disputable_cents
from serving.domain.dispute_steps import (
    ask,
    claim,
    decide,
    decide_complaint,
    give_back,
    refer_to_committee,
    take_committee_result,
)
from serving.domain.errors import FieldsInvalid
from serving.domain.field_errors import FieldError, pointer
from serving.requests.answer_fields import Instant
from serving.requests.case_scope import CaseScope
from serving.store.dispute_files import files_of_dispute
from serving.store.disputes import (
    closed_disputes,
    count_disputes_by_state,
    dispute_history_of,
    disputes_in_order_of_due,
)
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

COMMITTEE_NAME_MAXIMUM = 200
_Step = Callable[[Transaction, Dispute, int], Dispute]


def queue(scope: CaseScope, *, limit: int, states: frozenset[DisputeState] = WORK_ITEMS) -> DeskQueue:
    """The work items, the one that is due first before the others; or the disputes in other states.

    Those that have ended, asked for alone, come with the latest opened first.
    """
    with scope.store.reading() as tx:
        now_ms = scope.now_ms()
        found = (
            closed_disputes(tx, limit)
            if states == {DisputeState.CLOSED}
            else disputes_in_order_of_due(tx, states, limit)
        )
        return DeskQueue(
            counts=count_disputes_by_state(tx),
            disputes=tuple(desk_summary(dispute, now_ms) for dispute in found),
        )


def desk_view(scope: CaseScope, dispute_id: str) -> DeskDispute:
    """Everything that the desk may see about a dispute. Raises UnknownDispute."""
    with scope.store.reading() as tx:
        return _view(tx, scope, known_dispute(tx, dispute_id))


def claim_dispute(scope: CaseScope, dispute_id: str, *, by: str) -> DeskDispute:
    """A work item in this person's hands; what nobody touched for the policy's time may be taken over.

    Raises UnknownDispute, DisputeStepImpossible, DisputeHeldByAnother, SecondLookBySamePerson, DisputeMoved.
    """

    def step(_tx: Transaction, dispute: Dispute, now_ms: int) -> Dispute:
        minutes = scope.policy.disputes.claim_minutes
        return claim(dispute, by=by, at_ms=now_ms, claim_minutes=minutes)

    return _take(scope, dispute_id, by, DisputeAction.CLAIMED, {}, step)


def give_back_dispute(scope: CaseScope, dispute_id: str, *, by: str) -> DeskDispute:
    """A work item for whoever comes next. Raises as `claim_dispute`, and DisputeNotHeld."""
    return _take(
        scope, dispute_id, by, DisputeAction.GIVEN_BACK, {}, lambda _tx, known, _now: give_back(known, by=by)
    )


def ask_customer(scope: CaseScope, dispute_id: str, *, text: str, by: str) -> DeskDispute:
    """Ask the customer for more; by the policy's time it comes back to the desk in any case.

    Raises UnknownDispute, FieldsInvalid, DisputeStepImpossible, DisputeNotHeld, DisputeMoved.
    """
    days = scope.policy.disputes.customer_days
    return _ask(scope, dispute_id, Party.CUSTOMER, days, DisputeAction.CUSTOMER_ASKED, text, by)


def ask_merchant(scope: CaseScope, dispute_id: str, *, text: str, by: str) -> DeskDispute:
    """Ask the merchant for more, which is told at once. Raises as `ask_customer`."""
    days = scope.policy.disputes.further_days
    return _ask(scope, dispute_id, Party.MERCHANT, days, DisputeAction.MERCHANT_ASKED, text, by)


def decide_dispute(
    scope: CaseScope, dispute_id: str, *, outcome: str, award_cents: int | None, text: str, by: str
) -> DeskDispute:
    """Decide a dispute with reasons, which both sides read; money and invoices follow at once.

    outcome: `for_customer` or `for_merchant`. award_cents: what the customer is to have of what is disputed,
        None for all of it; not for the merchant.
    Raises UnknownDispute, FieldsInvalid, DisputeStepImpossible, DisputeNotHeld, DisputeMoved.
    """
    return _end(scope, dispute_id, decide, DisputeAction.DECIDED, outcome, award_cents, text, by)


def decide_second_look(
    scope: CaseScope, dispute_id: str, *, outcome: str, award_cents: int | None, text: str, by: str
) -> DeskDispute:
    """Decide a complaint. Raises as `decide_dispute`, SecondLookBySamePerson, OutcomeWorseForCustomer."""
    action = DisputeAction.COMPLAINT_DECIDED
    return _end(scope, dispute_id, decide_complaint, action, outcome, award_cents, text, by)


def refer_complaint(scope: CaseScope, dispute_id: str, *, committee: str, by: str) -> DeskDispute:
    """A complaint goes to an independent committee. committee: its name.

    Raises UnknownDispute, FieldsInvalid, DisputeStepImpossible, DisputeNotHeld, SecondLookBySamePerson.
    """
    name = checked_text(committee, "committee")
    if len(name) > COMMITTEE_NAME_MAXIMUM or not name.isprintable():
        rule = f"committee must be one line of at most {COMMITTEE_NAME_MAXIMUM} characters"
        raise FieldsInvalid([FieldError(pointer=pointer("committee"), detail=rule)])

    def step(_tx: Transaction, dispute: Dispute, now_ms: int) -> Dispute:
        return refer_to_committee(dispute, name, by=by, at_ms=now_ms)

    return _take(scope, dispute_id, by, DisputeAction.REFERRED, {"committee": name}, step)


def enter_committee_result(
    scope: CaseScope, dispute_id: str, *, outcome: str, award_cents: int | None, text: str, by: str
) -> DeskDispute:
    """Enter what the committee found. Raises as `decide_second_look`."""
    action = DisputeAction.COMMITTEE_RESULT
    return _end(scope, dispute_id, take_committee_result, action, outcome, award_cents, text, by)


def _ask(
    scope: CaseScope, dispute_id: str, to: Party, days: int, action: DisputeAction, text: str, by: str
) -> DeskDispute:
    question = checked_text(text)

    def step(tx: Transaction, dispute: Dispute, now_ms: int) -> Dispute:
        due_at_ms = due_in(tx, scope, dispute.merchant_id, days, now_ms)
        return ask(dispute, to, question, by=by, at_ms=now_ms, due_at_ms=due_at_ms)

    return _take(scope, dispute_id, by, action, {"text": question}, step)


def _end(
    scope: CaseScope,
    dispute_id: str,
    end: Callable[..., Dispute],
    action: DisputeAction,
    outcome: str,
    award_cents: int | None,
    text: str,
    by: str,
) -> DeskDispute:
    reasons = checked_text(text)
    decided = _checked_outcome(outcome)

    def step(_tx: Transaction, dispute: Dispute, now_ms: int) -> Dispute:
        award = _checked_award(dispute, decided, award_cents)
        return end(dispute, decided, award_cents=award, text=reasons, by=by, at_ms=now_ms)

    return _take(scope, dispute_id, by, action, {"text": reasons, "award_cents": award_cents}, step)


def _checked_outcome(outcome: str) -> DisputeOutcome:
    for known in (DisputeOutcome.FOR_CUSTOMER, DisputeOutcome.FOR_MERCHANT):
        if outcome == known.value:
            return known
    rule = "outcome must be one of for_customer, for_merchant"
    raise FieldsInvalid([FieldError(pointer=pointer("outcome"), detail=rule)])


def _checked_award(dispute: Dispute, outcome: DisputeOutcome, award_cents: int | None) -> int | None:
    """None for all that is disputed, also where that is what was named."""
    if award_cents is None:
        return None
    if outcome is DisputeOutcome.FOR_MERCHANT:
        rule = "must be left out in a decision for the merchant"
    elif award_cents < 1 or (dispute.disputed_cents is not None and award_cents > dispute.disputed_cents):
        most = "" if dispute.disputed_cents is None else f" to {dispute.disputed_cents}, which is disputed"
        rule = f"must be from 1{most}"
    else:
        return None if award_cents == dispute.disputed_cents else award_cents
    raise FieldsInvalid([FieldError(pointer=pointer("award_cents"), detail=f"award_cents {rule}")])


def _take(
    scope: CaseScope, dispute_id: str, by: str, action: DisputeAction, detail: dict[str, Any], step: _Step
) -> DeskDispute:
    with changing(scope, dispute_id) as (tx, before):
        after = step(tx, before, scope.now_ms())
        kept = keep_step(tx, scope, before, after, by=by, action=action, detail=detail)
        return _view(tx, scope, kept)


def _view(tx: Transaction, scope: CaseScope, dispute: Dispute) -> DeskDispute:
    merchant = standing_row(tx, MERCHANTS, dispute.merchant_id) or {}
    invoices = disputed_invoices(
        tx,
        scope,
        customer_id=dispute.customer_id,
        order_id=dispute.order_id,
        dispute_id=dispute.dispute_id,
    )
    return desk_dispute(
        dispute,
        files_of_dispute(tx, dispute.dispute_id),
        merchant_name=merchant.get("name", dispute.merchant_id),
        invoiced_cents=disputable_cents([invoice.balance for invoice in invoices]),
        history=[
            DisputeHistoryAnswer(
                at=Instant(entry.at_ms),
                actor=entry.actor,
                action=DisputeAction(entry.action),
                detail=entry.detail,
            )
            for entry in dispute_history_of(tx, dispute.dispute_id)
        ],
        now_ms=scope.now_ms(),
    )
