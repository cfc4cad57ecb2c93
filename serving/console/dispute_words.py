"""The words of disputes: every closed vocabulary that the service desk meets, in plain English."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from serving.console.case_words import Words, words_of
from serving.console.locale_forms import Locale
from serving.disputes.dispute_answers import DeskDispute, DisputeHistoryAnswer
from serving.domain.dispute import (
    DisputeAction,
    DisputeOutcome,
    DisputeReason,
    DisputeState,
    OutcomeGround,
    Party,
)
from serving.domain.dispute_answer import DisputeAnswerKind
from serving.domain.merchant_texts import merchant_text

REASON: Words = MappingProxyType(
    {reason.value: merchant_text(f"dispute_reason.{reason.value}", "en") for reason in DisputeReason}
)
ANSWER: Words = MappingProxyType(
    {kind.value: merchant_text(f"dispute_answer.{kind.value}", "en") for kind in DisputeAnswerKind}
)
STATE: Words = MappingProxyType(
    {
        DisputeState.OPENED.value: "Waiting for the merchant's answer",
        DisputeState.ANSWERED.value: "Answered, being settled",
        DisputeState.AWAITING_CUSTOMER.value: "Waiting for the customer",
        DisputeState.AWAITING_MERCHANT.value: "Waiting for the merchant",
        # To the desk it is one more place where a dispute waits; nothing there is the desk's to see.
        DisputeState.WITH_FRAUD_TEAM.value: "With another team",
        DisputeState.DECIDING.value: "To be decided",
        DisputeState.CLOSED.value: "Closed",
        DisputeState.COMPLAINT.value: "Complaint",
        DisputeState.REFERRED.value: "With a committee",
    }
)
OUTCOME: Words = MappingProxyType(
    {
        DisputeOutcome.FOR_CUSTOMER.value: "For the customer",
        DisputeOutcome.FOR_MERCHANT.value: "For the merchant",
        DisputeOutcome.SETTLED_BY_MERCHANT.value: "The merchant gave in",
        DisputeOutcome.WITHDRAWN.value: "Withdrawn by the customer",
    }
)
GROUND: Words = MappingProxyType(
    {
        OutcomeGround.NO_ANSWER.value: "No answer came in time",
        OutcomeGround.GAVE_IN.value: "The merchant gave in",
        OutcomeGround.WITHDRAWN.value: "The customer withdrew",
        OutcomeGround.FRAUD.value: "The customer did not place the order",
        OutcomeGround.DECIDED.value: "Decided by the service desk",
        OutcomeGround.SECOND_LOOK.value: "Decided by a second look",
        OutcomeGround.COMMITTEE.value: "Decided by a committee",
    }
)
PARTY: Words = MappingProxyType(
    {
        Party.CUSTOMER.value: "Customer",
        Party.MERCHANT.value: "Merchant",
        Party.SERVICE.value: "Service desk",
        Party.FRAUD_TEAM.value: "Another team",
        Party.COMMITTEE.value: "Committee",
    }
)
ACTION: Words = MappingProxyType(
    {
        DisputeAction.OPENED.value: "The customer opened the dispute",
        DisputeAction.ANSWERED.value: "The merchant answered",
        DisputeAction.STATED.value: "The customer said more",
        DisputeAction.GAVE_IN.value: "The merchant gave in",
        DisputeAction.WITHDRAWN.value: "The customer withdrew",
        DisputeAction.EXPIRED.value: "A deadline passed",
        DisputeAction.CLAIMED.value: "Claimed",
        DisputeAction.GIVEN_BACK.value: "Given back",
        DisputeAction.CUSTOMER_ASKED.value: "The customer was asked",
        DisputeAction.MERCHANT_ASKED.value: "The merchant was asked",
        DisputeAction.DECIDED.value: "Decided",
        DisputeAction.CASE_CONCLUDED.value: "Came from another team",
        DisputeAction.COMPLAINED.value: "The customer complained",
        DisputeAction.COMPLAINT_DECIDED.value: "The complaint was decided",
        DisputeAction.REFERRED.value: "Referred to a committee",
        DisputeAction.COMMITTEE_RESULT.value: "The committee's result was entered",
        DisputeAction.OVERDUE.value: "Overdue",
        DisputeAction.FILE_ADDED.value: "A file was handed in",
        DisputeAction.INVOICES_PAUSED.value: "Invoices were paused",
    }
)
FILE_TYPE: Words = MappingProxyType(
    {
        "application/pdf": "PDF",
        "image/png": "PNG picture",
        "image/jpeg": "JPEG picture",
        "text/plain; charset=utf-8": "Text",
    }
)
_TEXTS_SHOWN = ("text", "committee", "carrier", "tracking_number", "name")
"""Details of the history that are shown as they are. Nothing else is: the list is closed."""
_WORDS_SHOWN: Mapping[str, Words] = MappingProxyType(
    {"kind": ANSWER, "outcome": OUTCOME, "ground": GROUND, "party": PARTY}
)


def reason_words(reason: DisputeReason) -> str:
    """Why the customer disputes the order."""
    return words_of(REASON, reason.value)


def history_details(entry: DisputeHistoryAnswer, dispute: DeskDispute, locale: Locale) -> Sequence[str]:
    """What the timeline says of a step besides its name, one line for each."""
    lines = [
        words_of(known, str(entry.detail[key]))
        for key, known in _WORDS_SHOWN.items()
        if entry.detail.get(key)
    ]
    lines += [str(entry.detail[key]) for key in _TEXTS_SHOWN if entry.detail.get(key)]
    for key, title in (
        ("award_cents", "To the customer"),
        ("credited_cents", "Credited"),
        ("refunded_cents", "Paid back"),
    ):
        cents = entry.detail.get(key)
        if isinstance(cents, int) and cents:
            lines.append(f"{title}: {locale.amount(cents, dispute.currency)}")
    return lines
