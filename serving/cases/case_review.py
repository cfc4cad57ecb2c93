"""Use cases of the fraud team: the queue in order of work, and every step on a case.

Two reviewers may act on one case at the same instant: each step reads the case with its version, and is
kept only if nobody else was faster.
"""

import enum
from dataclasses import replace
from typing import Any

from data_contracts.customers import CUSTOMERS
from data_contracts.row_check import rfc3339
from serving.cases.case_answers import NOTE_MAXIMUM
from serving.cases.case_settlement import liability_document
from serving.cases.investigating import investigation_document
from serving.domain.errors import RiskError
from serving.domain.review_case import (
    Action,
    CaseClosed,
    CaseHeldByAnother,
    CaseState,
    ContactOutcome,
    CustomerContact,
    ReviewCase,
    Verdict,
    claim,
    decide,
    expire_claim,
    expire_contact,
    give_back,
    record_contact,
    renew_claim,
    reopen,
    start_contact,
    undo_stop,
    verified_contacts,
    withdraw_stop,
)
from serving.requests.case_scope import CaseScope
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.screening.order_screening import priority_of
from serving.stop_requests.stop_requesting import requests_of_case, withdraw
from serving.store.api_keys import Caller
from serving.store.case_queue import (
    SYSTEM,
    CaseMovedError,
    StoredCase,
    append_history,
    case_of,
    cases_in_order_of_work,
    count_by_state,
    history_of,
    renew_priority,
    screenings_of,
    update_case,
)
from serving.store.outbox import VERDICT, ask_for_case_check, ask_for_stop_request, watch_invoice
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

CLAIM_ATTEMPTS = 20
RENEWED_PER_TRANSACTION = 500


class UnknownCase(RiskError):
    """There is no such case."""


class CaseMoved(RiskError):
    """Somebody else changed the case at the same moment; look again."""


class StepInvalid(RiskError):
    """What was sent with the step cannot be used; the message names the field and the rule."""


class Step(enum.StrEnum):
    """What a reviewer can do with a case."""

    CLAIM = "claim"
    GIVE_BACK = "give-back"
    NOTE = "note"
    CONTACT = "contact"
    CONTACT_OUTCOME = "contact-outcome"
    RELEASE = "release"
    STOP = "stop"
    UNDO = "undo"
    WITHDRAW = "withdraw"
    REOPEN = "reopen"


def queue(scope: CaseScope, *, state: CaseState, limit: int) -> dict[str, Any]:
    """The cases in a state, in the order of work, and how many there are in each."""
    with scope.store.reading() as tx:
        cases = cases_in_order_of_work(tx, state, limit)
        counts = count_by_state(tx)
    return {"counts": counts, "cases": [_summary(stored, scope.now_ms()) for stored in cases]}


def case_view(scope: CaseScope, case_id: str) -> dict[str, Any]:
    """Everything about a case, what followed from its verdict too. Raises UnknownCase, UnknownOrder."""
    with scope.store.reading() as tx:
        return {
            **_view(tx, _known(tx, case_id), scope.now_ms()),
            "stop_requests": requests_of_case(tx, scope, case_id),
            "investigation": investigation_document(tx, case_id),
            "liability": liability_document(tx, scope, case_id),
        }


def claim_next(scope: CaseScope, reviewer: str) -> dict[str, Any] | None:
    """The open case that loses most by waiting, in this reviewer's hands; None for an empty queue.

    Raises CaseMoved where others were faster again and again.
    """
    for _ in range(CLAIM_ATTEMPTS):
        with scope.store.reading() as tx:
            waiting = cases_in_order_of_work(tx, CaseState.OPEN, 1)
        if not waiting:
            return None
        try:
            return take_step(scope, waiting[0].case.case_id, Step.CLAIM, reviewer=reviewer)
        except (CaseMoved, CaseHeldByAnother, CaseClosed):
            continue
    raise CaseMoved("the queue is busy; try again")


def take_step(
    scope: CaseScope,
    case_id: str,
    step: Step,
    *,
    reviewer: str,
    role: str = "fraud",
    text: str | None = None,
    caller: Caller | None = None,
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """Do one step and return the case after it.

    text: the note, the reason of a re-opening, or the outcome of a contact.
    caller, idempotency_key: the same step under the same key is taken once.
    Raises UnknownCase, CaseMoved, StepInvalid, IdempotencyConflict and the errors of
    `serving.domain.review_case`.
    """
    request = fingerprint(f"POST /v1/cases/{case_id}/{step.value}", text)
    with scope.store.writing(f"case-{case_id}") as tx:
        if caller is not None:
            earlier = earlier_answer(tx, dict[str, Any], caller=caller, key=idempotency_key, request=request)
            if earlier is not None:
                return earlier
        stored = _known(tx, case_id)
        now_ms = scope.now_ms()
        after, action, detail = _stepped(tx, scope, stored, step, reviewer, role, text, now_ms)
        _keep(tx, scope, stored, after, now_ms)
        append_history(tx, case_id, at_ms=now_ms, actor=reviewer, action=action, detail=detail)
        _carry_out(tx, scope, after, step)
        document = _view(tx, _known(tx, case_id), now_ms)
        if caller is not None:
            remember_answer(tx, document, caller=caller, key=idempotency_key, request=request, now_ms=now_ms)
        return document


def _carry_out(tx: Transaction, scope: CaseScope, case: ReviewCase, step: Step) -> None:
    """What a verdict sets going, with the transaction that gives it."""
    if step is Step.STOP and case.stop_takes_effect_at_ms is not None:
        ask_for_stop_request(tx, case.case_id, due_at_ms=case.stop_takes_effect_at_ms)
    elif step in {Step.RELEASE, Step.WITHDRAW}:
        withdraw(tx, scope, case.case_id)
        ask_for_case_check(tx, case.order_id, VERDICT, scope.now_ms())
        watch_invoice(tx, case.order_id, scope.now_ms())


def _stepped(
    tx: Transaction,
    scope: CaseScope,
    stored: StoredCase,
    step: Step,
    reviewer: str,
    role: str,
    text: str | None,
    now_ms: int,
) -> tuple[ReviewCase, Action, dict[str, Any]]:
    policy, case, stakes = scope.policy.review, stored.case, stored.stakes
    match step:
        case Step.CLAIM:
            return claim(case, reviewer, now_ms, policy), Action.CLAIMED, {}
        case Step.GIVE_BACK:
            return give_back(case, reviewer), Action.GIVEN_BACK, {}
        case Step.NOTE:
            note = _text(text, "note")
            return renew_claim(case, reviewer, now_ms, policy), Action.NOTE_ADDED, {"note": note}
        case Step.CONTACT:
            contacts = verified_contacts(_contacts(tx, case), ordered_at_ms=stakes.ordered_at_ms)
            channels = [contact.channel for contact in contacts]
            started = start_contact(case, reviewer, now_ms, policy)
            return started, Action.CONTACT_STARTED, {"verified_channels": channels}
        case Step.CONTACT_OUTCOME:
            outcome = _outcome(text)
            recorded = record_contact(case, reviewer, outcome, now_ms, policy)
            return recorded, Action.CONTACT_RECORDED, {"outcome": outcome.value}
        case Step.RELEASE:
            return decide(case, reviewer, Verdict.RELEASED, now_ms, policy), Action.RELEASED, {}
        case Step.STOP:
            stopped = decide(case, reviewer, Verdict.STOP, now_ms, policy)
            return stopped, Action.STOP_DECIDED, {"takes_effect_at_ms": stopped.stop_takes_effect_at_ms}
        case Step.UNDO:
            return undo_stop(case, reviewer, now_ms, policy), Action.STOP_UNDONE, {}
        case Step.WITHDRAW:
            return withdraw_stop(case, reviewer, now_ms, policy, role=role), Action.STOP_WITHDRAWN, {}
        case Step.REOPEN:
            reason = _text(text, "reason")
            return reopen(case, reason, now_ms, policy), Action.REOPENED, {"reason": reason}


def _text(text: str | None, name: str) -> str:
    if text is None or not text.strip():
        raise StepInvalid(f"{name}: is required")
    if len(text) > NOTE_MAXIMUM:
        raise StepInvalid(f"{name}: at most {NOTE_MAXIMUM} characters")
    return text.strip()


def _outcome(text: str | None) -> ContactOutcome:
    try:
        return ContactOutcome(text)
    except ValueError as problem:
        allowed = ", ".join(outcome.value for outcome in ContactOutcome)
        raise StepInvalid(f"outcome: must be one of {allowed}") from problem


def _contacts(tx: Transaction, case: ReviewCase) -> list[CustomerContact]:
    customer = standing_row(tx, CUSTOMERS, case.customer_id)
    if customer is None:
        return []
    return [
        CustomerContact(channel=channel, verified_at_ms=customer.get(f"{channel}_confirmed_at"))
        for channel in ("email", "phone")
    ]


def _known(tx: Transaction, case_id: str) -> StoredCase:
    stored = case_of(tx, case_id)
    if stored is None:
        raise UnknownCase(f"there is no case {case_id}")
    return stored


def _keep(tx: Transaction, scope: CaseScope, before: StoredCase, after: ReviewCase, now_ms: int) -> None:
    renewed = replace(before, case=after, priority=priority_of(after, before.stakes, scope.policy, now_ms))
    try:
        update_case(tx, renewed, version_before=before.case.version)
    except CaseMovedError as problem:
        raise CaseMoved(str(problem)) from problem


def renew_queue(scope: CaseScope) -> int:
    """Renew the priority of every case that waits, and end claims and contacts whose time is over.

    Returns how many cases changed. A case that somebody changes meanwhile is left to them.
    """
    now_ms = scope.now_ms()
    with scope.store.reading() as tx:
        waiting = [
            stored
            for state in (CaseState.OPEN, CaseState.CLAIMED, CaseState.CONTACTING_CUSTOMER)
            for stored in cases_in_order_of_work(tx, state, 1_000_000)
        ]
    changed = sum(_expire(scope, stored, now_ms) for stored in waiting)
    renewed = [
        (stored.case.case_id, stored.case.version, priority)
        for stored in waiting
        if (priority := priority_of(stored.case, stored.stakes, scope.policy, now_ms)) != stored.priority
    ]
    for start in range(0, len(renewed), RENEWED_PER_TRANSACTION):
        with scope.store.writing("queue-priorities") as tx:
            # In one order for all workers: they would wait for each other in a circle.
            for case_id, version, priority in sorted(renewed[start : start + RENEWED_PER_TRANSACTION]):
                renew_priority(tx, case_id, priority, version=version)
    return changed + len(renewed)


def _expire(scope: CaseScope, stored: StoredCase, now_ms: int) -> bool:
    after = expire_contact(expire_claim(stored.case, now_ms), now_ms)
    if after is stored.case:
        return False
    was_contact = stored.case.state is CaseState.CONTACTING_CUSTOMER
    action = Action.CONTACT_EXPIRED if was_contact else Action.CLAIM_EXPIRED
    with scope.store.writing(f"case-{after.case_id}") as tx:
        current = case_of(tx, after.case_id)
        if current is None or current.case.version != stored.case.version:
            return False
        _keep(tx, scope, stored, after, now_ms)
        append_history(tx, after.case_id, at_ms=now_ms, actor=SYSTEM, action=action, detail={})
    return True


def _summary(stored: StoredCase, now_ms: int) -> dict[str, Any]:
    case, stakes = stored.case, stored.stakes
    return {
        "case_id": case.case_id,
        "order_id": case.order_id,
        "customer_id": case.customer_id,
        "merchant_id": case.merchant_id,
        "state": case.state.value,
        "origin": case.origin.value,
        "reviewer": case.reviewer,
        "verdict": None if case.verdict is None else case.verdict.value,
        "probability_of_fraud": stakes.probability,
        "amount_cents": stakes.amount_cents,
        "currency": stakes.currency,
        "saving_lost_per_hour_cents": stored.priority,
        "opened_at": rfc3339(case.opened_at_ms),
        "due_at": rfc3339(case.due_at_ms),
        "handover_at": rfc3339(stakes.handover_at_ms),
        "left": stakes.left,
        "recallable": stakes.recallable,
        "is_overdue": case.is_overdue(now_ms),
        "reopened_count": case.reopened_count,
        "reasons": list(stored.reasons),
    }


def _view(tx: Transaction, stored: StoredCase, now_ms: int) -> dict[str, Any]:
    case = stored.case
    takes_effect_at_ms = case.stop_takes_effect_at_ms
    return {
        **_summary(stored, now_ms),
        "contact_outcome": None if case.contact_outcome is None else case.contact_outcome.value,
        "stop_takes_effect_at": None if takes_effect_at_ms is None else rfc3339(takes_effect_at_ms),
        "screenings": [
            {
                "screening_id": screening.screening_id,
                "as_of": rfc3339(screening.as_of_ms),
                "trigger": screening.trigger,
                "outcome": screening.outcome,
                "probability_of_fraud": screening.record["probability"],
                "model": {"name": screening.model_name, "version": screening.model_version},
                "policy_version": screening.policy_version,
            }
            for screening in screenings_of(tx, case.order_id)
        ],
        "history": [
            {
                "at": rfc3339(entry.at_ms),
                "actor": entry.actor,
                "action": entry.action,
                "detail": entry.detail,
            }
            for entry in history_of(tx, case.case_id)
        ],
    }
