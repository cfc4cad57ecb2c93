"""Use cases of investigations: what opens one, what the merchant is asked, and what a finding leads to.

A finding enters the ledger as an outcome of the order, by the stated table of `label_of`, and so reaches
labels, features and settlement by the way of every other row. Every step holds the lock of its case.
"""

import logging
from typing import Any

from data_contracts.text_form import is_blank
from serving.cases.case_answers import (
    AskedQuestion,
    InvestigationAnswer,
    MerchantAnswerNoted,
    NotedTriggerAnswer,
    QuestionAnswer,
)
from serving.cases.case_outcomes import label_release, label_stop_in_effect, record_outcome
from serving.cases.case_settlement import settle
from serving.cases.invoice_watch import watch_on
from serving.cases.order_record import OrderRecord, order_record
from serving.domain.case_label import OrderOutcomeKind, label_of
from serving.domain.errors import UnknownOrder
from serving.domain.investigation import (
    CaseUndecided,
    Finding,
    FindingInvalid,
    Investigation,
    InvestigationAction,
    MerchantQuestion,
    Trigger,
    UnknownInvestigation,
    open_investigation,
)
from serving.domain.investigation import ask_merchant as ask_in
from serving.domain.investigation import conclude as conclude_in
from serving.domain.liability import FactsInvalid
from serving.domain.merchant_answer import MerchantAnswer
from serving.domain.review_case import CaseOrigin, ReasonMissing, ReviewCase, Verdict
from serving.requests.answer_fields import Instant, instant_or_none
from serving.requests.case_scope import CaseScope
from serving.stop_requests.stop_requesting import ask_question
from serving.store import investigations
from serving.store.case_queue import SYSTEM, StoredCase, append_history, case_about, known_case
from serving.store.investigations import investigation_of, keep_investigation
from serving.store.outbox import (
    CHECK_CASE,
    VERDICT,
    WATCH,
    WaitingMessage,
    take_message,
    waiting_messages,
    work_off_each,
)
from serving.store.stop_requests import stop_requests_of_case
from serving.store.store import Transaction

LOG = logging.getLogger("bonitas.investigations")


def open_by_hand(scope: CaseScope, case_id: str, *, reason: str, by: str) -> InvestigationAnswer:
    """Investigate a case because a person says why; one that is open already stays as it is.

    Raises UnknownCase, ReasonMissing.
    """
    if is_blank(reason):
        raise ReasonMissing("Say why the case is investigated.")
    with scope.store.writing(f"case-{case_id}") as tx:
        known_case(tx, case_id)
        _trigger(tx, scope, case_id, Trigger.BY_HAND, by=by, detail={"reason": reason.strip()})
        return _answer(_known_investigation(tx, case_id))


def ask_merchant(scope: CaseScope, case_id: str, text: str, by: str) -> AskedQuestion:
    """Ask the merchant of a case for more, and return the question; it is answered by the form.

    Raises UnknownInvestigation, InvestigationClosed, QuestionInvalid, UnknownStopRequest.
    """
    with scope.store.writing(f"case-{case_id}") as tx:
        before = _known_investigation(tx, case_id)
        if before.is_open and before.questions and before.questions[-1].text == text.strip():
            # A request that was sent twice, or a second click.
            return _asked(before.questions[-1])
        after = ask_in(before, text, by, scope.now_ms())
        question = after.questions[-1]
        ask_question(tx, scope, case_id, question.text, len(after.questions))
        _keep_with_history(
            tx, scope, before, after, InvestigationAction.MERCHANT_ASKED, by, {"question": question.text}
        )
    return _asked(question)


def _asked(question: MerchantQuestion) -> AskedQuestion:
    return AskedQuestion(question=question.text, asked_at=Instant(question.asked_at_ms))


def conclude(scope: CaseScope, case_id: str, finding: str, by: str) -> InvestigationAnswer:
    """Close the investigation of a case with a finding, and let the ledger, settlement included, follow.

    finding: `fraud_confirmed` or `not_fraud`; the same again changes nothing.
    The answer also says where the finding means nothing for the ledger.
    Raises UnknownInvestigation, FindingInvalid, InvestigationClosed, CaseUndecided, OutcomeRefused,
    FactsInvalid, UnknownOrder.
    """
    found = next((known for known in Finding if known.value == finding), None)
    if found is None:
        allowed = ", ".join(known.value for known in Finding)
        raise FindingInvalid(f"finding: must be one of {allowed}")
    with scope.store.writing(f"case-{case_id}") as tx:
        before = _known_investigation(tx, case_id)
        case = known_case(tx, case_id).case
        now_ms = scope.now_ms()
        if before.is_open:
            _require_verdict(case, now_ms)
        outcome = _outcome_of(scope, case, found)
        after = conclude_in(before, found, by, now_ms, outcome=outcome)
        if after is before:
            return _answer(before)
        detail = {"finding": found.value, "outcome": None if outcome is None else outcome.value}
        _keep_with_history(tx, scope, before, after, InvestigationAction.CONCLUDED, by, detail)
        record_outcome(tx, scope, case, outcome or OrderOutcomeKind.FINDING_WITHDRAWN, by=by)
        settle(tx, scope, case_id)
        return _answer(after)


def _require_verdict(case: ReviewCase, now_ms: int) -> None:
    if case.verdict is None:
        raise CaseUndecided(
            "This case has no verdict yet. Give it one before its investigation is concluded."
        )
    if case.verdict is Verdict.STOP and not case.is_stop_in_effect(now_ms):
        raise CaseUndecided("The stop of this order can still be undone. Conclude once it has taken effect.")


def _outcome_of(scope: CaseScope, case: ReviewCase, finding: Finding) -> OrderOutcomeKind | None:
    label = label_of(
        origin=case.origin,
        verdict=case.verdict,
        contact=case.contact_outcome,
        merchant_answer_upheld=finding is Finding.FRAUD_CONFIRMED,
        policy=scope.policy.review,
    )
    if finding is Finding.FRAUD_CONFIRMED and case.verdict is Verdict.RELEASED:
        # Nobody was asked to stop the order, so no stop request can be upheld.
        return OrderOutcomeKind.IDENTITY_MISUSE_UPHELD
    if label is None or label.is_high_risk is not (finding is Finding.FRAUD_CONFIRMED):
        return None
    return label.kind


def check_cases(scope: CaseScope, limit: int = 100) -> int:
    """Look at every case about whose order something is new, or whose invoice is to be looked at.

    Opens an investigation where the claim is disputed or unpaid for the policy's time, and settles.
    Returns how many messages were worked off. Raises StoreUnavailable.
    """
    with scope.store.reading() as tx:
        messages = waiting_messages(tx, (CHECK_CASE,), limit, due_at_ms=scope.now_ms())

    def check(message: WaitingMessage) -> None:
        with scope.store.reading() as tx:
            stored = case_about(tx, message.payload["order_id"])
        name = f"order-{message.payload['order_id']}" if stored is None else f"case-{stored.case.case_id}"
        with scope.store.writing(name) as tx:
            if take_message(tx, message) and stored is not None:
                _check(tx, scope, stored.case.case_id, message)

    return work_off_each(scope.store, messages, check, scope.now_ms())


def _check(tx: Transaction, scope: CaseScope, case_id: str, message: WaitingMessage) -> None:
    stored = known_case(tx, case_id)
    now_ms = scope.now_ms()
    try:
        record = order_record(tx, stored, now_ms, scope.policy.settlement_terms)
    except UnknownOrder:
        # Without its order nothing can be judged, now or later: the message must not come again and again.
        LOG.exception("case_without_order", extra={"case_id": case_id})
        return
    if message.payload["why"] == VERDICT and not _is_concluded(tx, stored.case):
        label_release(tx, scope, stored.case)
        label_stop_in_effect(tx, scope, stored.case)
        record = order_record(tx, stored, now_ms, scope.policy.settlement_terms)
    for trigger in _triggers(stored, record, scope.policy.investigation.unpaid_days):
        _trigger(tx, scope, case_id, trigger, by=SYSTEM, detail={"why": message.payload["why"]})
    if message.payload["why"] == WATCH:
        watch_on(tx, stored.case, record, message.payload["since_ms"], scope)
    try:
        settle(tx, scope, case_id)
    except FactsInvalid:
        # Nothing was posted; the row that corrects the facts brings the next message.
        LOG.exception("settlement_facts_invalid", extra={"case_id": case_id})


def _is_concluded(tx: Transaction, case: ReviewCase) -> bool:
    """Whether an investigation has found something since the verdict: that counts for more."""
    known = investigation_of(tx, case.case_id)
    concluded_at_ms = None if known is None else known.closed_at_ms
    return concluded_at_ms is not None and concluded_at_ms >= (case.closed_at_ms or 0)


def _triggers(stored: StoredCase, record: OrderRecord, unpaid_days: int) -> list[Trigger]:
    """What calls for an investigation; nothing does for an order that was refused, came back or is fraud."""
    is_refused = stored.case.origin is CaseOrigin.REVIEW_REQUESTED
    if is_refused or record.taken_back is not None or record.is_confirmed_fraud:
        return []
    triggers = []
    if record.is_disputed:
        triggers.append(Trigger.CUSTOMER_DISPUTED)
    if record.is_invoice_unpaid(unpaid_days):
        triggers.append(Trigger.INVOICE_UNPAID)
    return triggers


def investigation_answer(tx: Transaction, case_id: str) -> InvestigationAnswer | None:
    """The investigation of a case for the fraud team, None where it never had one."""
    known = investigation_of(tx, case_id)
    return None if known is None else _answer(known)


def open_investigations(scope: CaseScope, limit: int) -> list[InvestigationAnswer]:
    """The investigations that wait for a finding, the longest open first."""
    with scope.store.reading() as tx:
        waiting = investigations.open_investigations(tx, limit)
    return [_answer(known) for known in waiting]


def _trigger(
    tx: Transaction, scope: CaseScope, case_id: str, trigger: Trigger, *, by: str, detail: dict[str, Any]
) -> None:
    before = investigation_of(tx, case_id)
    after = open_investigation(
        before,
        case_id=case_id,
        trigger=trigger,
        merchant_answers=_merchant_answers(tx, case_id),
        now_ms=scope.now_ms(),
    )
    was_open = before is not None and before.is_open
    action = InvestigationAction.TRIGGER_NOTED if was_open else InvestigationAction.OPENED
    _keep_with_history(tx, scope, before, after, action, by, {"trigger": trigger.value, **detail})


def _merchant_answers(tx: Transaction, case_id: str) -> tuple[MerchantAnswer, ...]:
    return tuple(given for stored in stop_requests_of_case(tx, case_id) for given in stored.request.answers)


def _keep_with_history(
    tx: Transaction,
    scope: CaseScope,
    before: Investigation | None,
    after: Investigation,
    action: InvestigationAction,
    by: str,
    detail: dict[str, Any],
) -> None:
    if after is before:
        return
    keep_investigation(tx, after, version_before=None if before is None else before.version)
    append_history(tx, after.case_id, at_ms=scope.now_ms(), actor=by, action=action, detail=detail)


def _known_investigation(tx: Transaction, case_id: str) -> Investigation:
    known = investigation_of(tx, case_id)
    if known is None:
        raise UnknownInvestigation(f"there is no investigation of case {case_id}")
    return known


def _answer(known: Investigation) -> InvestigationAnswer:
    return InvestigationAnswer(
        case_id=known.case_id,
        state=known.state,
        trigger=known.trigger,
        noted_triggers=tuple(
            NotedTriggerAnswer(trigger=noted.trigger, noted_at=Instant(noted.noted_at_ms))
            for noted in known.noted_triggers
        ),
        opened_at=Instant(known.opened_at_ms),
        merchant_answers=tuple(
            MerchantAnswerNoted(
                kind=given.kind,
                carrier=given.carrier,
                tracking_number=given.tracking_number,
                note=given.note,
                answered_at=Instant(given.answered_at_ms),
            )
            for given in known.merchant_answers
        ),
        questions=tuple(
            QuestionAnswer(text=asked.text, asked_by=asked.asked_by, asked_at=Instant(asked.asked_at_ms))
            for asked in known.questions
        ),
        finding=known.finding,
        outcome=known.outcome,
        outcome_text=_outcome_text(known),
        closed_at=instant_or_none(known.closed_at_ms),
        closed_by=known.closed_by,
        version=known.version,
    )


def _outcome_text(known: Investigation) -> str | None:
    if known.is_open:
        return None
    if known.outcome is not None:
        return f"The finding stands in the ledger as {known.outcome.value}."
    return (
        "The finding adds nothing to the ledger: by itself it does not decide against the verdict of the"
        " case and what the customer said. What the case had added before is taken back."
    )
