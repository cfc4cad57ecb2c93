"""What the use cases of the fraud team answer, and what they are sent."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from features.feature_sets import ORDER_RISK
from serving.cases.possible_steps import NOTE_MAXIMUM
from serving.domain.case_label import OrderOutcomeKind
from serving.domain.flag_reason import IDENTITY_CLAIM
from serving.domain.investigation import (
    MAXIMUM_QUESTION_CHARACTERS,
    Finding,
    InvestigationAction,
    InvestigationState,
    Trigger,
)
from serving.domain.liability import Bearer
from serving.domain.merchant_answer import AnswerKind
from serving.domain.review_case import (
    Action,
    CaseOrigin,
    CaseState,
    ContactOutcome,
    Verdict,
)
from serving.domain.settlement import Account, SettlementText
from serving.domain.stop_request import StopAction
from serving.requests.answer_fields import Cents, Instant, one_of
from serving.stop_requests.stop_request_answers import TeamStopRequest

CASES_MAXIMUM = 500
NOT_BLANK = r"\S"


class FlagReasonAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Why an order was flagged. usual: the value of an ordinary order, null where that is not known.

    contribution: what it adds to the log-odds of fraud.
    """

    code: Annotated[str, one_of({IDENTITY_CLAIM, *(feature.reason_code for feature in ORDER_RISK.features)})]
    group: str | UnsetType = UNSET
    feature: str | UnsetType = UNSET
    text: str
    unit: str | UnsetType = UNSET
    value: float | UnsetType | None = UNSET
    usual: float | UnsetType | None = UNSET
    contribution: float | UnsetType = UNSET


class CaseSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A case in the queue. left: the order was handed over; recallable: it can be called back after that."""

    case_id: str
    order_id: str
    customer_id: str
    merchant_id: str
    state: CaseState
    origin: CaseOrigin
    reviewer: str | None
    verdict: Verdict | None
    probability_of_fraud: Annotated[float, Meta(ge=0, le=1)]
    amount_cents: Cents
    currency: str
    saving_lost_per_hour_cents: int
    opened_at: Instant
    due_at: Instant
    handover_at: Instant
    left: bool
    recallable: bool
    is_overdue: bool
    reopened_count: int
    reasons: tuple[FlagReasonAnswer, ...]


class ScreeningModel(msgspec.Struct, frozen=True, kw_only=True):
    """The model that looked at an order."""

    name: str
    version: str


class ScreeningAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One look at an order after approval."""

    screening_id: str
    as_of: Instant
    trigger: str
    outcome: Annotated[str, one_of(["flagged", "clear"])]
    probability_of_fraud: float
    model: ScreeningModel
    policy_version: str


class CaseHistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what with a case, and when; detail: by action."""

    at: Instant
    actor: str
    action: Annotated[
        str, one_of(action.value for kind in (Action, StopAction, InvestigationAction) for action in kind)
    ]
    detail: dict[str, Any]


class CaseAnswer(CaseSummary, frozen=True, kw_only=True):
    """A case after a step. stop_takes_effect_at: null unless it was stopped."""

    contact_outcome: ContactOutcome | None
    stop_takes_effect_at: Instant | None
    screenings: tuple[ScreeningAnswer, ...]
    history: tuple[CaseHistoryEntry, ...]


class NotedTriggerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What called for an investigation, and when that was first noted."""

    trigger: Trigger
    noted_at: Instant


class MerchantAnswerNoted(msgspec.Struct, frozen=True, kw_only=True):
    """What the merchant had answered when the investigation was opened."""

    kind: AnswerKind
    carrier: str | None
    tracking_number: str | None
    note: str | None
    answered_at: Instant


class QuestionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the merchant was asked."""

    text: str
    asked_by: str
    asked_at: Instant


class InvestigationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An investigation. finding, outcome_text, closed_at, closed_by: null while it is open.

    outcome: what the finding means for the ledger; null too where it means nothing.
    """

    case_id: str
    state: InvestigationState
    trigger: Trigger
    noted_triggers: tuple[NotedTriggerAnswer, ...]
    opened_at: Instant
    merchant_answers: tuple[MerchantAnswerNoted, ...]
    questions: tuple[QuestionAnswer, ...]
    finding: Finding | None
    outcome: OrderOutcomeKind | None
    outcome_text: str | None
    closed_at: Instant | None
    closed_by: str | None
    version: int


class AskedQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """The question that the merchant was sent."""

    question: str
    asked_at: Instant


class PostingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a line: a debit is positive, a credit negative."""

    account: Account
    amount_cents: Cents


class SettlementLineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a settlement note. amount_cents: what the merchant receives; negative: what it pays.

    invoice_id: null for what is about the whole order.
    """

    text: SettlementText
    invoice_id: str | None
    amount_cents: Cents
    currency: str
    postings: tuple[PostingAnswer, ...]


class SettlementAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was posted at one time."""

    settlement_id: str
    posted_at: Instant
    lines: tuple[SettlementLineAnswer, ...]


class LiabilityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Who bears the loss of an order, what is demanded for it, and what was posted.

    bearer: null where the facts cannot be true together; `mistakes` then says how.
    """

    bearer: Bearer | None
    reasons: tuple[str, ...]
    lines: tuple[SettlementLineAnswer, ...]
    mistakes: tuple[str, ...]
    is_settled: bool
    settlements: tuple[SettlementAnswer, ...]


class WholeCase(CaseAnswer, frozen=True, kw_only=True):
    """Everything about a case, what followed from its verdict too. investigation: null without one."""

    stop_requests: tuple[TeamStopRequest, ...]
    investigation: InvestigationAnswer | None
    liability: LiabilityAnswer


class CaseQueue(msgspec.Struct, frozen=True, kw_only=True):
    """The cases in one state in the order of work, and how many there are in each state."""

    counts: dict[str, int]
    cases: tuple[CaseSummary, ...]


class QueueParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Which cases are listed, and how many at most."""

    state: CaseState = CaseState.OPEN
    limit: Annotated[int, Meta(ge=1, le=CASES_MAXIMUM)] = 50


class NoFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step that says it all by its name; the body can be left out."""


class CaseNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A note to a case."""

    note: Annotated[str, Meta(max_length=NOTE_MAXIMUM, pattern=NOT_BLANK)]


class ContactOutcomeGiven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the customer said."""

    outcome: Annotated[str, one_of(outcome.value for outcome in ContactOutcome)]


class ReopenReason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a closed case is opened again."""

    reason: Annotated[str, Meta(max_length=NOTE_MAXIMUM, pattern=NOT_BLANK)]


class InvestigationReason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a case is investigated."""

    reason: Annotated[str, Meta(pattern=NOT_BLANK)]


class MerchantQuestionText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the merchant is asked; white space around it does not count."""

    question: Annotated[str, Meta(max_length=MAXIMUM_QUESTION_CHARACTERS, pattern=NOT_BLANK)]


class InvestigationFinding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the investigation has found."""

    finding: Annotated[str, one_of(finding.value for finding in Finding)]
