"""Which problem document tells an error of the domain or of the store: the one place with status codes.

The use cases know no HTTP. Each error that they raise has one problem type, by its class.
"""

import logging
from collections.abc import Mapping

from serving.cases import case_outcomes, case_review
from serving.cases.possible_steps import StepInvalid
from serving.disputes import evidence, kept_step, ledger_effects, opening
from serving.domain import (
    dispute_steps,
    errors,
    evidence_file,
    goods_return,
    investigation,
    liability,
    merchant_answer,
    merchant_topics,
    review_case,
    stop_request,
)
from serving.domain.errors import FieldsInvalid, ParametersInvalid, RiskError, UnknownCase
from serving.domain.field_errors import FieldError, pointer
from serving.domain.verified_contacts import NoVerifiedContact
from serving.events import held_events
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.problem_details import (
    BODY_TOO_LARGE,
    BODY_TOO_SLOW,
    FORBIDDEN,
    HEADER_REPEATED,
    IDEMPOTENCY_KEY_INVALID,
    INVALID_BODY,
    INVALID_PARAMETERS,
    KEY_EXPIRED,
    STARTING,
    UNAUTHENTICATED,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
    ProblemType,
)
from serving.requests.route_declaration import DoorKind, RouteDeclaration
from serving.settlement import notes
from serving.stop_requests import answering, locked_stop_request, recalls, sending_again
from serving.store.errors import CommitUnknown, StoreUnavailable

LOG = logging.getLogger("bonitas.store")


def _missing(kind: str, what: str) -> ProblemType:
    return ProblemType(
        kind=kind,
        status=404,
        title="Not found",
        meaning=f"there is no such {what}, or it is not the caller's",
    )


def _conflict(
    kind: str, meaning: str, title: str = "The request conflicts with what is stored"
) -> ProblemType:
    return ProblemType(kind=kind, status=409, title=title, meaning=meaning)


PROBLEM_OF: Mapping[type[Exception], ProblemType] = {
    NoPolicyInForce: ProblemType(
        kind="no-policy",
        status=503,
        title="No policy is in force",
        meaning="the policy in force cannot be read; nothing was changed",
    ),
    StoreUnavailable: ProblemType(
        kind="store-unavailable",
        status=503,
        title="The store is unavailable",
        meaning="the store did not answer, or was locked for too long; nothing was changed, now or later",
    ),
    CommitUnknown: ProblemType(
        kind="outcome-unknown",
        status=504,
        title="The outcome is not known",
        meaning="the database did not say whether it kept the change; the same request with the same "
        "Idempotency-Key tells",
    ),
    FieldsInvalid: INVALID_BODY,
    ParametersInvalid: INVALID_PARAMETERS,
    errors.NotAllowed: FORBIDDEN,
    errors.AskedTooOften: ProblemType(
        kind="too-many-questions",
        status=429,
        title="Asked too often",
        meaning="a merchant's key asked as often as the policy allows; Retry-After says how long to wait",
    ),
    errors.IdempotencyConflict: ProblemType(
        kind="idempotency-key-reused",
        status=422,
        title="The Idempotency-Key was used with another body",
        meaning="the Idempotency-Key came before, with another request",
    ),
    errors.OrderAlreadyConfirmed: _conflict(
        "order-confirmed",
        "a confirmed order cannot be scored again",
        "The order is confirmed and cannot be scored again",
    ),
    errors.OrderAlreadyClosed: _conflict(
        "order-closed",
        "the order is invoiced or cancelled and takes no further step",
        "The order is invoiced or cancelled",
    ),
    errors.OrderNotApproved: _conflict(
        "order-not-approved",
        "the order is not approved, or its reservation expired",
        "The order is not approved",
    ),
    errors.OrderNotConfirmed: _conflict(
        "order-not-confirmed",
        "the order is not confirmed: confirm it, then it holds its amount for longer",
        "The order is not confirmed",
    ),
    errors.OrderNotInvoiced: _conflict(
        "order-not-invoiced",
        "nothing of the order is invoiced that could be released, credited or returned: cancel it instead",
        "The order has no invoice",
    ),
    errors.OrderStopRequested: _conflict(
        "order-stop-requested",
        "the merchant was asked to stop the order: it is not to be shipped; where it has left already, the "
        "stop request is answered",
        "The order is to be stopped",
    ),
    errors.LiabilityNotAccepted: _conflict(
        "liability-not-accepted",
        "without carrier and tracking number liability passes to the merchant: `accept_liability` says that "
        "it ships all the same",
        "Liability would pass to the merchant",
    ),
    errors.CreditAboveInvoiced: _conflict(
        "credit-above-invoiced",
        "more would be credited than is invoiced, earlier credit notes taken off",
        "More would be credited than is invoiced",
    ),
    errors.OrderBelowInvoiced: _conflict(
        "order-below-invoiced",
        "more of the order is invoiced, credit notes taken off, than it would come to: a credit note "
        "comes first",
        "More of the order is invoiced",
    ),
    errors.ReturnAboveInvoiced: _conflict(
        "return-above-invoiced",
        "more would come back than is invoiced and neither credited nor announced already",
        "More would come back than is invoiced",
    ),
    goods_return.ReturnClosed: _conflict(
        "return-closed", "the goods are booked already, with other amounts", "The goods are booked"
    ),
    errors.OrderNumberTaken: _conflict(
        "order-number-taken",
        "the merchant's number stands for another of its orders",
        "The merchant's number belongs to another order",
    ),
    errors.OrderOfAnotherCustomer: _conflict(
        "order-id-taken",
        "the order id came before with another customer or merchant",
        "The order id belongs to another order",
    ),
    errors.NothingToReview: _conflict(
        "nothing-to-review", "the order was approved; a person has nothing to look at again"
    ),
    errors.UnknownOrder: _missing("unknown-order", "order"),
    errors.UnknownReturn: _missing("unknown-return", "return"),
    errors.UnknownDecision: _missing("unknown-decision", "decision"),
    errors.UnknownInvoice: _missing("unknown-invoice", "invoice"),
    held_events.UnknownHeldEvent: _missing("unknown-held-event", "row that waits"),
    held_events.EndInvalid: INVALID_BODY,
    held_events.NoSuchPage: INVALID_PARAMETERS,
    held_events.FilterInvalid: INVALID_PARAMETERS,
    UnknownCase: _missing("unknown-case", "case"),
    StepInvalid: INVALID_BODY,
    case_review.CaseMoved: _conflict(
        "case-moved", "somebody else changed the case at the same moment; look again"
    ),
    review_case.CaseHeldByAnother: _conflict(
        "case-held-by-another", "another reviewer holds the case, or gave the verdict that is to be undone"
    ),
    review_case.CaseClosed: _conflict("case-closed", "the case has its verdict and takes no such step"),
    review_case.CaseNotClosed: _conflict("case-not-closed", "only a closed case can be re-opened"),
    review_case.CaseNotHeld: _conflict("case-not-held", "nobody holds the case, so nobody can work on it"),
    review_case.NoContactUnderWay: _conflict(
        "no-contact-under-way", "an outcome came while the customer was not being contacted"
    ),
    review_case.ContactAlreadyUnderWay: _conflict(
        "contact-already-under-way", "the customer is being contacted already"
    ),
    NoVerifiedContact: _conflict(
        "no-verified-contact",
        "nothing by which the customer could be contacted was verified before the order",
    ),
    review_case.NoStopToTakeBack: _conflict(
        "no-stop-to-take-back", "the case has no verdict `stop` that could be undone or withdrawn"
    ),
    review_case.StopStillHeld: _conflict(
        "stop-still-held", "a stop that can still be undone is undone or withdrawn, not re-opened"
    ),
    review_case.UndoTooLate: _conflict(
        "undo-too-late", "the stop has taken effect and can no longer be undone"
    ),
    review_case.WithdrawalNotAllowed: _conflict(
        "withdrawal-not-allowed", "the policy does not let this role withdraw a stop"
    ),
    review_case.ReasonMissing: ProblemType(
        kind="reason-missing",
        status=422,
        title="A reason is needed",
        meaning="the reason is blank",
    ),
    investigation.UnknownInvestigation: _missing("unknown-investigation", "case or investigation"),
    investigation.QuestionInvalid: INVALID_BODY,
    investigation.FindingInvalid: INVALID_BODY,
    investigation.InvestigationClosed: _conflict(
        "investigation-closed", "the investigation has its finding and takes no such step"
    ),
    investigation.CaseUndecided: _conflict("case-undecided", "a finding needs a verdict that stands"),
    case_outcomes.OutcomeRefused: _conflict(
        "outcome-refused", "the ledger did not take the outcome; the detail names the rule"
    ),
    liability.FactsInvalid: _conflict(
        "facts-invalid", "the facts about the order cannot be true together; nothing was posted"
    ),
    notes.UnknownMerchant: _missing("unknown-merchant", "merchant"),
    merchant_topics.UnknownTopic: _missing("unknown-topic", "topic"),
    merchant_topics.TopicIsMandatory: _conflict(
        "topic-is-mandatory", "the topic cannot be switched off", "The topic is mandatory"
    ),
    locked_stop_request.UnknownStopRequest: _missing("unknown-stop-request", "stop request"),
    sending_again.UnknownDelivery: _missing("unknown-delivery", "notice to a merchant"),
    sending_again.NoticeOvertaken: _conflict(
        "notice-overtaken", "the notice says what is not so any more", "The notice is not true any more"
    ),
    recalls.RecallStepInvalid: ProblemType(
        kind="recall-step-invalid",
        status=422,
        title="The result cannot be recorded so",
        meaning="there is nothing to recall, or the recall was finished with another result",
    ),
    answering.AnswerContradicts: _conflict(
        "contradicting-answer",
        "the merchant answered before, and cannot take it back here",
        "The answer contradicts an earlier one",
    ),
    locked_stop_request.StopRequestMoved: _conflict(
        "stop-request-moved", "somebody else changed the stop request at the same moment; look again"
    ),
    stop_request.StopRequestWithdrawn: _conflict(
        "stop-request-withdrawn", "a withdrawn stop request takes no answer"
    ),
    merchant_answer.AnswerInvalid: INVALID_BODY,
    kept_step.UnknownDispute: _missing("unknown-dispute", "dispute"),
    kept_step.DisputeMoved: _conflict(
        "dispute-moved", "somebody else changed the dispute at the same moment; look again"
    ),
    ledger_effects.DisputeRowRefused: _conflict(
        "dispute-row-refused", "the ledger did not take what follows; the detail names the rule"
    ),
    opening.OrderDisputedBefore: _conflict(
        "order-disputed-before",
        "a dispute about the order is open, or was decided for the merchant: then complain about that",
        "The order was disputed before",
    ),
    dispute_steps.DisputeStepImpossible: _conflict(
        "dispute-step-impossible", "the dispute is in a state that takes no such step"
    ),
    dispute_steps.DisputeAnswerTooLate: _conflict(
        "dispute-answer-too-late", "the merchant's time is over: the dispute is decided for the customer"
    ),
    dispute_steps.DisputeHeldByAnother: _conflict(
        "dispute-held-by-another", "somebody else works on the dispute"
    ),
    dispute_steps.DisputeNotHeld: _conflict(
        "dispute-not-held", "who decides or asks claims the dispute first"
    ),
    dispute_steps.SecondLookBySamePerson: _conflict(
        "second-look-by-same-person", "a complaint is looked at by somebody else than who decided"
    ),
    dispute_steps.ComplaintTooLate: _conflict(
        "complaint-too-late", "the time to complain about the outcome is over"
    ),
    dispute_steps.ComplaintMadeBefore: _conflict(
        "complaint-made-before", "the outcome was complained about before"
    ),
    dispute_steps.OutcomeWorseForCustomer: _conflict(
        "outcome-worse-for-customer", "a complaint leaves the customer no worse off"
    ),
    evidence.UnknownDisputeFile: _missing("unknown-dispute-file", "file about the dispute"),
    evidence.EvidenceLost: ProblemType(
        kind="evidence-lost",
        status=410,
        title="The file is gone",
        meaning="the file is named, but its content is not in the service's home",
    ),
    evidence_file.EvidenceRefused: INVALID_BODY,
}
"""The problem type of each error that a route can raise."""

NAMES_A_FIELD = frozenset(
    {
        StepInvalid,
        held_events.EndInvalid,
        held_events.NoSuchPage,
        investigation.FindingInvalid,
        investigation.QuestionInvalid,
        recalls.RecallStepInvalid,
    }
)
"""Errors whose message begins with the field that they are about."""

_UNNAMED = _conflict("conflict", "the request conflicts with what is stored")
_TRY_AGAIN = {"Retry-After": "1"}


def problem_types_of(route: RouteDeclaration) -> tuple[ProblemType, ...]:
    """Every problem that a route can end with, by status: what its door says, and what its handler raises."""
    found: dict[ProblemType, None] = {HEADER_REPEATED: None}
    if route.is_idempotent:
        found[IDEMPOTENCY_KEY_INVALID] = None
        found[PROBLEM_OF[errors.IdempotencyConflict]] = None
    if route.door is DoorKind.API_KEY:
        found |= dict.fromkeys([UNAUTHENTICATED, KEY_EXPIRED, FORBIDDEN, STARTING])
        if not route.is_answered_without_store:
            found[PROBLEM_OF[StoreUnavailable]] = None
    if route.body_maximum_bytes:
        found |= dict.fromkeys([BODY_TOO_SLOW, BODY_TOO_LARGE])
    if route.body is not None:
        found |= dict.fromkeys([UNSUPPORTED_MEDIA_TYPE, INVALID_BODY])
    if route.query is not None:
        found[INVALID_PARAMETERS] = None
    if route.method == "POST":
        found[PROBLEM_OF[CommitUnknown]] = None
    found |= dict.fromkeys(PROBLEM_OF[error] for error in route.problems)
    return tuple(sorted(found, key=lambda problem: (problem.status, problem.kind)))


def problem_of(error: RiskError) -> ProblemError:
    """The problem document of a domain error."""
    match error:
        case FieldsInvalid():
            return ProblemError(
                PROBLEM_OF[type(error)], errors=error.errors, errors_not_listed=error.not_listed
            )
        case merchant_answer.AnswerInvalid():
            return ProblemError(
                INVALID_BODY,
                errors=[
                    FieldError(pointer=pointer(mistake.field), detail=f"{mistake.field} {mistake.rule}")
                    for mistake in error.mistakes
                ],
            )
        case errors.NotAllowed():
            return ProblemError(FORBIDDEN, detail=str(error), errors=error.errors)
        case errors.AskedTooOften():
            return ProblemError(
                PROBLEM_OF[type(error)],
                detail=str(error),
                headers={"Retry-After": str(error.retry_after_s)},
            )
        case _:
            pass
    problem = PROBLEM_OF.get(type(error), _UNNAMED)
    field, colon, rule = str(error).partition(": ")
    if type(error) in NAMES_A_FIELD and colon and field.isidentifier():
        # What is wrong is a field that was sent, whatever else the error may stand for.
        named = INVALID_PARAMETERS if problem is INVALID_PARAMETERS else INVALID_BODY
        return ProblemError(named, errors=[FieldError(pointer=pointer(field), detail=f"{field} {rule}")])
    detail = str(error) or None
    if problem.status == 404:
        detail = detail or "there is no such thing"
    return ProblemError(problem, detail=detail)


def problem_of_any(error: Exception) -> ProblemError | None:
    """The problem document of an error of a handler or of the door; None for one that nobody expects."""
    match error:
        case ProblemError():
            return error
        case RiskError():
            return problem_of(error)
        case RecursionError():
            # What can just be decoded may be too deep for what comes after.
            return ProblemError(
                INVALID_BODY, errors=[FieldError(pointer="", detail="the body is nested too deeply")]
            )
        case NoPolicyInForce():
            return _without_change(NoPolicyInForce)
        case StoreUnavailable():
            return _without_change(StoreUnavailable)
        case CommitUnknown():
            LOG.error("commit_unknown", extra={"reason": str(error)})
            return ProblemError(
                PROBLEM_OF[CommitUnknown],
                detail="it may have been done or not: the same request again, with the same Idempotency-Key, "
                "tells",
                headers=_TRY_AGAIN,
            )
        case _:
            return None


def _without_change(error: type[StoreUnavailable]) -> ProblemError:
    return ProblemError(PROBLEM_OF[error], detail="nothing was changed; try again", headers=_TRY_AGAIN)
