"""What the use cases of disputes answer, to each side what it may see, and what merchants are sent."""

import enum
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from serving.domain.dispute import (
    MAXIMUM_TEXT_CHARACTERS,
    WAITS_FOR,
    Dispute,
    DisputeAction,
    DisputeOutcome,
    DisputeReason,
    DisputeState,
    OutcomeGround,
    Party,
)
from serving.domain.dispute_answer import DisputeAnswerKind
from serving.domain.evidence_file import MAXIMUM_NAME_CHARACTERS, EvidenceType
from serving.domain.merchant_answer import (
    MAXIMUM_CARRIER_CHARACTERS,
    MAXIMUM_NOTE_CHARACTERS,
    MAXIMUM_TRACKING_NUMBER_CHARACTERS,
)
from serving.requests.answer_fields import Cents, Instant, OwnNumber, instant_or_none, one_of
from serving.store.dispute_files import DisputeFile

LIST_MAXIMUM = 200
ReasonText = Annotated[str, one_of(reason.value for reason in DisputeReason)]
LongText = Annotated[str, Meta(max_length=MAXIMUM_TEXT_CHARACTERS)]
AskedAmount = Annotated[int, Meta(description="minor units; left out: the whole order", ge=1)]


class DisputeEvent(enum.StrEnum):
    """What a merchant is told of a dispute."""

    OPENED = "dispute.opened"
    MORE_ASKED = "dispute.more_asked"
    CLOSED = "dispute.closed"
    CHARGEBACK_CREATED = "chargeback.created"


class NewDispute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a customer disputes. police_report: the reference of a report, for `not_my_order`."""

    customer_id: str
    reason: ReasonText
    text: LongText | None = None
    amount_cents: AskedAmount | None = None
    police_report: str | None = None


class CustomerText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a customer says about a dispute of theirs."""

    customer_id: str
    text: LongText


class CustomerNamed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For which customer the portal acts."""

    customer_id: str


class DisputeAnswerBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the merchant answers. A shipment or replacement with tracking names carrier and number."""

    kind: Annotated[str, one_of(kind.value for kind in DisputeAnswerKind)]
    text: Annotated[str, Meta(max_length=MAXIMUM_NOTE_CHARACTERS)] | None = None
    carrier: Annotated[str, Meta(max_length=MAXIMUM_CARRIER_CHARACTERS)] | None = None
    tracking_number: Annotated[str, Meta(max_length=MAXIMUM_TRACKING_NUMBER_CHARACTERS)] | None = None


class GivenUpPart(enum.StrEnum):
    """How much the merchant gives up."""

    DISPUTED_PART = "disputed_part"
    WHOLE_ORDER = "whole_order"


class GiveInBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The merchant gives in: by what is disputed, or by the whole order."""

    part: Annotated[str, one_of(part.value for part in GivenUpPart)] = GivenUpPart.DISPUTED_PART.value


class DisputeListParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Which of a merchant's disputes. open: all that have not ended."""

    state: Annotated[str, one_of(["open", "closed"])] = "open"
    limit: Annotated[int, Meta(ge=1, le=LIST_MAXIMUM)] = LIST_MAXIMUM


class FileParameters(msgspec.Struct, frozen=True, kw_only=True):
    """name: of the file, without a path. customer_id: for whom the portal acts; a merchant leaves it out."""

    name: Annotated[str, Meta(max_length=MAXIMUM_NAME_CHARACTERS)] = ""
    customer_id: str = ""


class CustomerParameters(msgspec.Struct, frozen=True, kw_only=True):
    """customer_id: for whom the portal acts; a merchant leaves it out."""

    customer_id: str = ""


class DisputeFileAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was handed in. media_type: by its content."""

    file_id: str
    party: Party
    name: str
    media_type: EvidenceType
    size_bytes: int
    sha256: str
    added_at: Instant


class DisputeAnswerGiven(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of the merchant."""

    kind: DisputeAnswerKind
    text: str | None
    carrier: str | None
    tracking_number: str | None
    answered_at: Instant


class TextAt(msgspec.Struct, frozen=True, kw_only=True):
    """A text and when it was written."""

    text: str
    at: Instant


class ComplaintAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A complaint about the outcome. committee, referred_at: null unless it went to a committee."""

    text: str
    made_at: Instant
    due_at: Instant
    outcome_before: DisputeOutcome
    committee: str | None
    referred_at: Instant | None


class DisputeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What every side sees of a dispute.

    waits_for: whose turn it is, null once it has ended. due_at: until when; null where no time is set.
    amount_cents: what is disputed; null for the whole order. outcome, ground, decision: null before.
    """

    dispute_id: str
    order_id: str
    merchant_order_number: OwnNumber
    reason: DisputeReason
    text: str | None
    amount_cents: Cents | None
    currency: str
    state: DisputeState
    waits_for: Party | None
    opened_at: Instant
    due_at: Instant | None
    outcome: DisputeOutcome | None
    ground: OutcomeGround | None
    decision: str | None
    credited_cents: Cents
    refunded_cents: Cents
    closed_at: Instant | None
    files: tuple[DisputeFileAnswer, ...]


class MerchantDispute(DisputeAnswer, frozen=True, kw_only=True):
    """A dispute as its merchant sees it: what was answered and asked; nothing more about a person."""

    answer_due_at: Instant | None
    answers: tuple[DisputeAnswerGiven, ...]
    questions: tuple[TextAt, ...]


class CustomerDispute(DisputeAnswer, frozen=True, kw_only=True):
    """A dispute as its customer sees it."""

    customer_id: str
    police_report: str | None
    statements: tuple[TextAt, ...]
    questions: tuple[TextAt, ...]
    complaint: ComplaintAnswer | None


class DeskQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What the desk asked, and whom."""

    to: Party
    text: str
    asked_by: str
    asked_at: Instant


class DisputeHistoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what with a dispute."""

    at: Instant
    actor: str
    action: DisputeAction
    detail: dict[str, Any]


class DeskDispute(DisputeAnswer, frozen=True, kw_only=True):
    """A dispute as the service desk sees it: both sides, and nothing of the fraud team's.

    claimed_by: who works on it now, null where nobody does. invoiced_cents: what the order's invoices come to
    now, credits taken off: a decision gives at most that. version: raised by every change.
    """

    customer_id: str
    merchant_id: str
    merchant_name: str
    police_report: str | None
    policy_version: str
    answer_due_at: Instant | None
    answers: tuple[DisputeAnswerGiven, ...]
    statements: tuple[TextAt, ...]
    questions: tuple[DeskQuestion, ...]
    complaint: ComplaintAnswer | None
    invoiced_cents: Cents
    claimed_by: str | None
    decided_by: str | None
    is_overdue: bool
    version: int
    history: tuple[DisputeHistoryAnswer, ...]


class DeskSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the desk's queue."""

    dispute_id: str
    order_id: str
    merchant_id: str
    reason: DisputeReason
    state: DisputeState
    amount_cents: Cents | None
    currency: str
    opened_at: Instant
    due_at: Instant | None
    is_overdue: bool
    claimed_by: str | None


class DeskQueue(msgspec.Struct, frozen=True, kw_only=True):
    """The work items in the order of their due time. counts: of disputes in every state."""

    counts: dict[str, int]
    disputes: tuple[DeskSummary, ...]


class MerchantDisputes(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant's disputes, the most urgent first."""

    disputes: tuple[MerchantDispute, ...]


class CustomerDisputes(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's disputes, the latest first."""

    disputes: tuple[CustomerDispute, ...]


class DisputeNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What a notice about a dispute says.

    amount_cents: what is disputed, or charged back; null for the whole order. question: of
    `dispute.more_asked` only. subject, text: in the merchant's language, as its e-mail has them.
    """

    dispute_id: str
    order_id: str
    merchant_order_number: OwnNumber
    state: DisputeState
    reason: DisputeReason
    amount_cents: Cents | None
    currency: str
    answer_due_at: Instant | None
    outcome: DisputeOutcome | None
    answer_url: str
    language: str
    subject: str
    text: str
    question: str | UnsetType = UNSET


class DisputeWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A notice about a dispute, signed by Standard Webhooks."""

    type: DisputeEvent
    timestamp: Instant
    data: DisputeNotice


def merchant_dispute(dispute: Dispute, files: Sequence[DisputeFile]) -> MerchantDispute:
    """A dispute for its merchant, with the files that the merchant handed in."""
    return MerchantDispute(
        **_of_every_side(dispute, [file for file in files if file.party is Party.MERCHANT]),
        answer_due_at=instant_or_none(dispute.merchant_due_at_ms),
        answers=_answers(dispute),
        questions=_questions(dispute, Party.MERCHANT),
    )


def customer_dispute(dispute: Dispute, files: Sequence[DisputeFile]) -> CustomerDispute:
    """A dispute for its customer, with the files that the customer handed in."""
    return CustomerDispute(
        **_of_every_side(dispute, [file for file in files if file.party is Party.CUSTOMER]),
        customer_id=dispute.customer_id,
        police_report=dispute.police_report,
        statements=_statements(dispute),
        questions=_questions(dispute, Party.CUSTOMER),
        complaint=_complaint(dispute),
    )


def desk_dispute(
    dispute: Dispute,
    files: Sequence[DisputeFile],
    *,
    merchant_name: str,
    invoiced_cents: int,
    history: Sequence[DisputeHistoryAnswer],
    now_ms: int,
) -> DeskDispute:
    """A dispute for the service desk."""
    return DeskDispute(
        **_of_every_side(dispute, files),
        customer_id=dispute.customer_id,
        merchant_id=dispute.merchant_id,
        merchant_name=merchant_name,
        police_report=dispute.police_report,
        policy_version=dispute.policy_version,
        answer_due_at=instant_or_none(dispute.merchant_due_at_ms),
        answers=_answers(dispute),
        statements=_statements(dispute),
        questions=tuple(
            DeskQuestion(to=one.to, text=one.text, asked_by=one.asked_by, asked_at=Instant(one.asked_at_ms))
            for one in dispute.questions
        ),
        complaint=_complaint(dispute),
        invoiced_cents=invoiced_cents,
        claimed_by=dispute.claimed_by,
        decided_by=dispute.decided_by,
        is_overdue=dispute.has_passed(now_ms),
        version=dispute.version,
        history=tuple(history),
    )


def desk_summary(dispute: Dispute, now_ms: int) -> DeskSummary:
    """A dispute as a line of the queue."""
    return DeskSummary(
        dispute_id=dispute.dispute_id,
        order_id=dispute.order_id,
        merchant_id=dispute.merchant_id,
        reason=dispute.reason,
        state=dispute.state,
        amount_cents=dispute.disputed_cents,
        currency=dispute.currency,
        opened_at=Instant(dispute.opened_at_ms),
        due_at=instant_or_none(dispute.due_at_ms),
        is_overdue=dispute.has_passed(now_ms),
        claimed_by=dispute.claimed_by,
    )


def file_answer(file: DisputeFile) -> DisputeFileAnswer:
    """A file that was handed in."""
    return DisputeFileAnswer(
        file_id=file.file_id,
        party=file.party,
        name=file.name,
        media_type=EvidenceType(file.media_type),
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        added_at=Instant(file.added_at_ms),
    )


def _of_every_side(dispute: Dispute, files: Sequence[DisputeFile]) -> dict[str, Any]:
    return {
        "dispute_id": dispute.dispute_id,
        "order_id": dispute.order_id,
        "merchant_order_number": dispute.merchant_order_number,
        "reason": dispute.reason,
        "text": dispute.text,
        "amount_cents": dispute.disputed_cents,
        "currency": dispute.currency,
        "state": dispute.state,
        "waits_for": WAITS_FOR[dispute.state],
        "opened_at": Instant(dispute.opened_at_ms),
        "due_at": instant_or_none(dispute.due_at_ms),
        "outcome": dispute.outcome,
        "ground": dispute.ground,
        "decision": dispute.decision_text,
        "credited_cents": dispute.credited_cents,
        "refunded_cents": dispute.refunded_cents,
        "closed_at": instant_or_none(dispute.closed_at_ms),
        "files": tuple(file_answer(file) for file in files),
    }


def _answers(dispute: Dispute) -> tuple[DisputeAnswerGiven, ...]:
    return tuple(
        DisputeAnswerGiven(
            kind=given.kind,
            text=given.text,
            carrier=given.carrier,
            tracking_number=given.tracking_number,
            answered_at=Instant(given.answered_at_ms),
        )
        for given in dispute.answers
    )


def _statements(dispute: Dispute) -> tuple[TextAt, ...]:
    return tuple(TextAt(text=one.text, at=Instant(one.stated_at_ms)) for one in dispute.statements)


def _questions(dispute: Dispute, to: Party) -> tuple[TextAt, ...]:
    return tuple(
        TextAt(text=one.text, at=Instant(one.asked_at_ms)) for one in dispute.questions if one.to is to
    )


def _complaint(dispute: Dispute) -> ComplaintAnswer | None:
    made = dispute.complaint
    if made is None:
        return None
    return ComplaintAnswer(
        text=made.text,
        made_at=Instant(made.made_at_ms),
        due_at=Instant(made.due_at_ms),
        outcome_before=made.outcome_before,
        committee=made.committee,
        referred_at=instant_or_none(made.referred_at_ms),
    )
