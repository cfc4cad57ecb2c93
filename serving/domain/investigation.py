"""An investigation: what happens to a case when the claim is disputed later, or stays unpaid.

    none -> open    open_investigation
    open -> open    open_investigation notes a further trigger; ask_merchant
    open -> closed  conclude
    closed -> open  open_investigation, by a trigger that the finding did not yet know of

A case has one investigation at a time. Every step raises `version` by one, so a store can refuse a step
on an investigation that has moved meanwhile. All instants are milliseconds since 1970-01-01 UTC.
"""

import enum
from dataclasses import dataclass, replace

from data_contracts.text_form import holds_control_signs, is_blank
from serving.domain.case_label import OrderOutcomeKind
from serving.domain.errors import RiskError
from serving.domain.merchant_answer import MerchantAnswer

MAXIMUM_QUESTION_CHARACTERS = 2_000


class InvestigationState(enum.Enum):
    """The closed list of states of an investigation."""

    OPEN = "open"
    CLOSED = "closed"


class Trigger(enum.Enum):
    """The closed list of what opens an investigation."""

    CUSTOMER_DISPUTED = "customer_disputed"
    INVOICE_UNPAID = "invoice_unpaid"
    BY_HAND = "by_hand"
    INVOICED_AFTER_STOP = "invoiced_after_stop"


class Finding(enum.Enum):
    """The closed list of what an investigation can find."""

    FRAUD_CONFIRMED = "fraud_confirmed"
    NOT_FRAUD = "not_fraud"


class InvestigationAction(enum.Enum):
    """What the history of a case can tell about its investigation, and what was posted and recorded."""

    OPENED = "investigation_opened"
    TRIGGER_NOTED = "investigation_trigger_noted"
    MERCHANT_ASKED = "merchant_asked"
    CONCLUDED = "investigation_concluded"
    OUTCOME_RECORDED = "outcome_recorded"
    SETTLED = "settled"
    INVOICE_WITHHELD = "invoice_withheld"


class UnknownInvestigation(RiskError):
    """The case was never investigated."""


class InvestigationClosed(RiskError):
    """The investigation has its finding and takes no such step."""


class CaseUndecided(RiskError):
    """A finding needs a verdict that stands: it says whether that was right."""


class QuestionInvalid(RiskError):
    """A question to the merchant cannot be sent as it is; the message names the rule."""


class FindingInvalid(RiskError):
    """What was sent as a finding is none."""


@dataclass(frozen=True, kw_only=True)
class InvestigationPolicy:
    """What the policy says about investigations. unpaid_days: past due, pauses left out."""

    unpaid_days: int


@dataclass(frozen=True, kw_only=True)
class NotedTrigger:
    """One thing that called for an investigation, and when it was first noted."""

    trigger: Trigger
    noted_at_ms: int


@dataclass(frozen=True, kw_only=True)
class MerchantQuestion:
    """What the merchant is asked beyond its answers to the stop request."""

    text: str
    asked_by: str
    asked_at_ms: int


@dataclass(frozen=True, kw_only=True)
class Investigation:
    """The investigation of one case.

    trigger, opened_at_ms: of the last opening. noted_triggers: all that were ever noted, each kind once.
    merchant_answers: what the merchant had answered by then.
    questions: of earlier openings too, in the order in which they were asked.
    finding, closed_at_ms, closed_by: None while it is open.
    outcome: what the finding means for the ledger; None while open, and where it means nothing.
    """

    case_id: str
    state: InvestigationState
    trigger: Trigger
    noted_triggers: tuple[NotedTrigger, ...]
    opened_at_ms: int
    merchant_answers: tuple[MerchantAnswer, ...]
    questions: tuple[MerchantQuestion, ...]
    finding: Finding | None
    outcome: OrderOutcomeKind | None
    closed_at_ms: int | None
    closed_by: str | None
    version: int

    @property
    def is_open(self) -> bool:
        """Whether a finding is still to be made."""
        return self.state is InvestigationState.OPEN

    def knows_of(self, trigger: Trigger) -> bool:
        """Whether a trigger of this kind was noted, in this opening or an earlier one."""
        return any(noted.trigger is trigger for noted in self.noted_triggers)


def open_investigation(
    known: Investigation | None,
    *,
    case_id: str,
    trigger: Trigger,
    merchant_answers: tuple[MerchantAnswer, ...],
    now_ms: int,
) -> Investigation:
    """The investigation of a case after a trigger: new, re-opened, or with the trigger noted.

    As it was where the trigger changes nothing: of a kind that is noted already, or after a confirmed
    fraud. A person who opens one by hand always can, also to correct a finding; so does each invoice that
    comes after the merchant had stopped the order.

    known: the case's investigation so far, None for a case that has none.
    """
    if known is None:
        return _opened(
            Investigation(
                case_id=case_id,
                state=InvestigationState.OPEN,
                trigger=trigger,
                noted_triggers=(),
                opened_at_ms=now_ms,
                merchant_answers=(),
                questions=(),
                finding=None,
                outcome=None,
                closed_at_ms=None,
                closed_by=None,
                version=0,
            ),
            trigger,
            merchant_answers,
            now_ms,
        )
    if known.is_open:
        return known if known.knows_of(trigger) else _noted(known, trigger, now_ms)
    is_news = known.finding is Finding.NOT_FRAUD and not known.knows_of(trigger)
    if trigger in {Trigger.BY_HAND, Trigger.INVOICED_AFTER_STOP} or is_news:
        return _opened(known, trigger, merchant_answers, now_ms)
    return known


def ask_merchant(investigation: Investigation, text: str, by: str, now_ms: int) -> Investigation:
    """The investigation with one more question; `questions[-1]` is what is to be sent.

    Raises InvestigationClosed, QuestionInvalid.
    """
    _require_open(investigation)
    stripped = text.strip()
    if is_blank(stripped):
        raise QuestionInvalid("question: is required")
    if holds_control_signs(stripped):
        raise QuestionInvalid("question: must hold no control characters")
    if len(stripped) > MAXIMUM_QUESTION_CHARACTERS:
        raise QuestionInvalid(f"question: must have at most {MAXIMUM_QUESTION_CHARACTERS} characters")
    question = MerchantQuestion(text=stripped, asked_by=by, asked_at_ms=now_ms)
    return replace(
        investigation, questions=(*investigation.questions, question), version=investigation.version + 1
    )


def conclude(
    investigation: Investigation, finding: Finding, by: str, now_ms: int, *, outcome: OrderOutcomeKind | None
) -> Investigation:
    """The investigation closed with its finding; the same finding again leaves it as it was.

    outcome: what the finding means for the ledger, None where nothing.

    Raises InvestigationClosed where it was closed with another finding.
    """
    if not investigation.is_open and investigation.finding is finding:
        return investigation
    _require_open(investigation)
    return replace(
        investigation,
        state=InvestigationState.CLOSED,
        finding=finding,
        outcome=outcome,
        closed_at_ms=now_ms,
        closed_by=by,
        version=investigation.version + 1,
    )


def _opened(
    before: Investigation, trigger: Trigger, merchant_answers: tuple[MerchantAnswer, ...], now_ms: int
) -> Investigation:
    noted = before if before.knows_of(trigger) else _noted(before, trigger, now_ms)
    return replace(
        noted,
        state=InvestigationState.OPEN,
        trigger=trigger,
        opened_at_ms=now_ms,
        merchant_answers=merchant_answers,
        finding=None,
        outcome=None,
        closed_at_ms=None,
        closed_by=None,
        version=before.version + 1,
    )


def _noted(investigation: Investigation, trigger: Trigger, now_ms: int) -> Investigation:
    noted = NotedTrigger(trigger=trigger, noted_at_ms=now_ms)
    return replace(
        investigation,
        noted_triggers=(*investigation.noted_triggers, noted),
        version=investigation.version + 1,
    )


def _require_open(investigation: Investigation) -> None:
    if not investigation.is_open:
        raise InvestigationClosed(
            "This investigation is closed. Open it again by hand if its finding is to be looked at again."
        )
