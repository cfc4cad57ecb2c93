"""Use cases of the fraud team: the queue in order of work, and every step on a case.

Two reviewers may act on one case at the same instant: each step reads the case with its version, and is
kept only if nobody else was faster.
"""

from dataclasses import replace

import msgspec

from data_contracts.customers import CUSTOMERS
from serving.cases.case_answers import (
    CaseAnswer,
    CaseHistoryEntry,
    CaseQueue,
    CaseSummary,
    FlagReasonAnswer,
    ScreeningAnswer,
    ScreeningModel,
    WholeCase,
)
from serving.cases.case_settlement import liability_answer
from serving.cases.investigating import investigation_answer
from serving.cases.possible_steps import Step, after_step, contacts_of
from serving.domain.errors import RiskError
from serving.domain.order_of_work import priority_of
from serving.domain.review_case import (
    Action,
    CaseClosed,
    CaseHeldByAnother,
    CaseState,
    ReviewCase,
    expire_claim,
    expire_contact,
)
from serving.requests.answer_fields import Instant, instant_or_none
from serving.requests.case_scope import CaseScope
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
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
    known_case,
    renew_priority,
    screenings_of,
    update_case,
)
from serving.store.outbox import VERDICT, ask_for_case_check, ask_for_stop_request, watch_invoice
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

CLAIM_ATTEMPTS = 20
RENEWED_PER_TRANSACTION = 500


class CaseMoved(RiskError):
    """Somebody else changed the case at the same moment; look again."""


def queue(scope: CaseScope, *, state: CaseState, limit: int) -> CaseQueue:
    """The cases in a state, in the order of work, and how many there are in each."""
    with scope.store.reading() as tx:
        cases = cases_in_order_of_work(tx, state, limit)
        counts = count_by_state(tx)
    return CaseQueue(counts=counts, cases=tuple(_summary(stored, scope.now_ms()) for stored in cases))


def case_view(scope: CaseScope, case_id: str) -> WholeCase:
    """Everything about a case, what followed from its verdict too. Raises UnknownCase, UnknownOrder."""
    with scope.store.reading() as tx:
        return WholeCase(
            **msgspec.structs.asdict(_view(tx, known_case(tx, case_id), scope.now_ms())),
            stop_requests=requests_of_case(tx, scope, case_id),
            investigation=investigation_answer(tx, case_id),
            liability=liability_answer(tx, scope, case_id),
        )


def claim_next(scope: CaseScope, reviewer: str) -> CaseAnswer | None:
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
) -> CaseAnswer:
    """Do one step and return the case after it.

    text: the note, the reason of a re-opening, or the outcome of a contact.
    caller, idempotency_key: the same step under the same key is taken once.
    Raises UnknownCase, CaseMoved, StepInvalid, IdempotencyConflict and the errors of
    `serving.domain.review_case`.
    """
    request = fingerprint(f"POST /v1/cases/{case_id}/{step.value}", text)
    with scope.store.writing(f"case-{case_id}") as tx:
        if caller is not None:
            earlier = earlier_answer(tx, CaseAnswer, caller=caller, key=idempotency_key, request=request)
            if earlier is not None:
                return earlier
        stored = known_case(tx, case_id)
        now_ms = scope.now_ms()
        after, action, detail = after_step(
            stored,
            step,
            contacts=contacts_of(standing_row(tx, CUSTOMERS, stored.case.customer_id)),
            reviewer=reviewer,
            role=role,
            text=text,
            now_ms=now_ms,
            policy=scope.policy.review,
        )
        _keep_case(tx, scope, stored, after, now_ms)
        append_history(tx, case_id, at_ms=now_ms, actor=reviewer, action=action, detail=detail)
        _set_going_what_follows(tx, scope, after, step)
        answer = _view(tx, known_case(tx, case_id), now_ms)
        if caller is not None:
            remember_answer(tx, answer, caller=caller, key=idempotency_key, request=request, now_ms=now_ms)
        return answer


def _set_going_what_follows(tx: Transaction, scope: CaseScope, case: ReviewCase, step: Step) -> None:
    """What a verdict sets going, with the transaction that gives it."""
    if step is Step.STOP and case.stop_takes_effect_at_ms is not None:
        ask_for_stop_request(tx, case.case_id, due_at_ms=case.stop_takes_effect_at_ms)
    elif step in {Step.RELEASE, Step.WITHDRAW}:
        withdraw(tx, scope, case.case_id)
        ask_for_case_check(tx, case.order_id, VERDICT, scope.now_ms())
        watch_invoice(tx, case.order_id, scope.now_ms())


def _keep_case(tx: Transaction, scope: CaseScope, before: StoredCase, after: ReviewCase, now_ms: int) -> None:
    renewed = replace(
        before, case=after, priority=priority_of(after, before.stakes, now_ms, scope.policy.review)
    )
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
        if (priority := priority_of(stored.case, stored.stakes, now_ms, scope.policy.review))
        != stored.priority
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
        _keep_case(tx, scope, stored, after, now_ms)
        append_history(tx, after.case_id, at_ms=now_ms, actor=SYSTEM, action=action, detail={})
    return True


def _summary(stored: StoredCase, now_ms: int) -> CaseSummary:
    case, stakes = stored.case, stored.stakes
    return CaseSummary(
        case_id=case.case_id,
        order_id=case.order_id,
        customer_id=case.customer_id,
        merchant_id=case.merchant_id,
        state=case.state,
        origin=case.origin,
        reviewer=case.reviewer,
        verdict=case.verdict,
        probability_of_fraud=stakes.probability,
        amount_cents=stakes.amount_cents,
        currency=stakes.currency,
        saving_lost_per_hour_cents=stored.priority,
        opened_at=Instant(case.opened_at_ms),
        due_at=Instant(case.due_at_ms),
        handover_at=Instant(stakes.handover_at_ms),
        left=stakes.left,
        recallable=stakes.recallable,
        is_overdue=case.is_overdue(now_ms),
        reopened_count=case.reopened_count,
        reasons=tuple(FlagReasonAnswer(**msgspec.structs.asdict(reason)) for reason in stored.reasons),
    )


def _view(tx: Transaction, stored: StoredCase, now_ms: int) -> CaseAnswer:
    case = stored.case
    return CaseAnswer(
        **msgspec.structs.asdict(_summary(stored, now_ms)),
        contact_outcome=case.contact_outcome,
        stop_takes_effect_at=instant_or_none(case.stop_takes_effect_at_ms),
        screenings=tuple(
            ScreeningAnswer(
                screening_id=screening.screening_id,
                as_of=Instant(screening.as_of_ms),
                trigger=screening.trigger,
                outcome=screening.outcome,
                probability_of_fraud=screening.record["probability"],
                model=ScreeningModel(name=screening.model_name, version=screening.model_version),
                policy_version=screening.policy_version,
            )
            for screening in screenings_of(tx, case.order_id)
        ),
        history=tuple(
            CaseHistoryEntry(
                at=Instant(entry.at_ms), actor=entry.actor, action=entry.action, detail=entry.detail
            )
            for entry in history_of(tx, case.case_id)
        ),
    )
