"""What the use cases of an order answer, in the names that checkouts rely on."""

import enum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from serving.domain.decision import LimitBasis, Outcome
from serving.domain.decision_codes import REASON_GROUPS, RULE_CODES, RULE_GROUPS
from serving.domain.policy import ALTERNATIVE_NAMES
from serving.domain.reasons import MAXIMUM_REASONS, REASON_CODES, RECOURSE_CODES
from serving.domain.reservation import ReservationState
from serving.requests.answer_fields import Cents, InstantText, OwnNumber, one_of
from serving.store.api_keys import Caller, Role

NOTE_MAXIMUM = 2000

AlternativeName = Annotated[str, one_of(ALTERNATIVE_NAMES)]
ReservedUntil = Annotated[
    InstantText | None,
    Meta(description="when what it holds of the limit is free by itself; null where it holds nothing"),
]
FieldPointer = Annotated[
    str | None, Meta(description="JSON pointer into the order, or the field of the account; null for none")
]


class DecisionReason(msgspec.Struct, frozen=True, kw_only=True):
    """One main reason of the answer, worded for the customer."""

    code: Annotated[str, one_of(REASON_CODES)]
    group: Annotated[str, one_of(REASON_GROUPS)]
    field: FieldPointer
    text: str


class FailedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the policy that the order did not meet."""

    code: Annotated[str, one_of(RULE_CODES)]
    group: Annotated[str, one_of(RULE_GROUPS)]
    field: FieldPointer


class RecourseStep(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the customer can do; where it is sufficient, all of them together lead to approval."""

    code: Annotated[str, one_of(RECOURSE_CODES)]
    field: FieldPointer
    text: str
    sufficient: bool


class ModelName(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model."""

    name: str
    version: str


class DecisionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer to an order. Fields that an earlier release did not know are absent in its answers."""

    decision_id: Annotated[str | None, Meta(description="null for an answer that is not kept")]
    order_id: str
    merchant_order_number: OwnNumber | UnsetType = UNSET
    outcome: Outcome
    score: Annotated[int, Meta(ge=100, le=999)] | None
    probability_of_default: Annotated[float, Meta(ge=0, le=1)] | None
    limit_cents: Annotated[int | None, Meta(description="null where no limit was computed")]
    available_cents: Annotated[int | None, Meta(description="what is left of the limit before this order")]
    limit_basis: (
        Annotated[
            LimitBasis | None,
            Meta(
                description="what bounds the limit; null where none was computed, or where the policy's "
                "limits do not grow with what was repaid"
            ),
        ]
        | UnsetType
    ) = UNSET
    reasons: Annotated[tuple[DecisionReason, ...], Meta(max_length=MAXIMUM_REASONS)]
    failed_rules: tuple[FailedRule, ...]
    alternatives: tuple[AlternativeName, ...]
    reserved_until: ReservedUntil | UnsetType = UNSET
    recourse: tuple[RecourseStep, ...]
    model: ModelName | None
    policy_version: str
    decided_at: InstantText
    degraded: bool


class MerchantDecisionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant's own key sees of the answer to an order."""

    decision_id: str | None
    order_id: str
    merchant_order_number: OwnNumber | UnsetType = UNSET
    outcome: Outcome
    alternatives: tuple[AlternativeName, ...]
    reserved_until: ReservedUntil | UnsetType = UNSET


def seen_by(caller: Caller, answer: DecisionAnswer) -> DecisionAnswer | MerchantDecisionAnswer:
    """The part of an answer that the caller may see: a merchant's key sees outcome and alternatives."""
    if caller.role is not Role.MERCHANT:
        return answer
    return MerchantDecisionAnswer(
        decision_id=answer.decision_id,
        order_id=answer.order_id,
        merchant_order_number=answer.merchant_order_number,
        outcome=answer.outcome,
        alternatives=answer.alternatives,
        reserved_until=answer.reserved_until,
    )


class OrderStateName(enum.StrEnum):
    """What an order holds: the state of its reservation, or that there is none."""

    NOT_RESERVED = "not_reserved"
    RESERVED = ReservationState.RESERVED.value
    CONFIRMED = ReservationState.CONFIRMED.value
    PARTLY_INVOICED = ReservationState.PARTLY_INVOICED.value
    INVOICED = ReservationState.INVOICED.value
    CANCELLED = ReservationState.CANCELLED.value
    RELEASED = ReservationState.RELEASED.value


class OrderState(msgspec.Struct, frozen=True, kw_only=True):
    """The newest decision about an order, and what it holds. An answer kept by an earlier release lacks when
    that ends.
    """

    order_id: str
    merchant_order_number: OwnNumber
    decision_id: str
    outcome: Outcome
    alternatives: tuple[AlternativeName, ...]
    state: OrderStateName
    reserved_cents: Annotated[
        Cents, Meta(description="what it holds of the limit now, beside its invoices; 0 where nothing")
    ]
    reserved_until: ReservedUntil | UnsetType = UNSET
    customer_id: str
    merchant_id: str
    decided_at: InstantText


class MerchantOrderState(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant's own key sees of an order."""

    order_id: str
    merchant_order_number: OwnNumber
    decision_id: str
    outcome: Outcome
    alternatives: tuple[AlternativeName, ...]
    reserved_until: ReservedUntil | UnsetType = UNSET


OrderedCents = Annotated[Cents, Meta(description="what the whole order comes to now, including VAT")]


class AmendedOrderState(OrderState, frozen=True, kw_only=True):
    """An order after an amendment, or as it was where that was not approved."""

    ordered_cents: OrderedCents
    judgement: Annotated[
        DecisionAnswer | None,
        Meta(
            description="the answer to the order as it would be, where a larger amount or another address "
            "was judged; null where nothing had to be. Not approved, it leaves the order as it was"
        ),
    ]


class MerchantAmendedOrderState(MerchantOrderState, frozen=True, kw_only=True):
    """What a merchant's own key sees of an order after an amendment."""

    ordered_cents: OrderedCents
    judgement: MerchantDecisionAnswer | None


class OrderParameters(msgspec.Struct, frozen=True, kw_only=True):
    """How the path names an order."""

    merchant_id: (
        Annotated[
            str,
            Meta(
                description="then the path names the order by this merchant's own number; a merchant key "
                "does so without it"
            ),
        ]
        | UnsetType
    ) = UNSET


class OrderViewParameters(OrderParameters, frozen=True, kw_only=True):
    """How the path names an order, and for whom it is shown."""

    customer_id: (
        Annotated[str, Meta(description="a key of the role `portal` names the customer it acts for")]
        | UnsetType
    ) = UNSET


class OwnInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice as its customer sees it."""

    invoice_id: str
    invoiced_cents: Annotated[Cents, Meta(description="credits taken off")]
    owed_cents: Cents
    issued_at: InstantText
    due_at: Annotated[
        InstantText | None,
        Meta(
            description="moved by the pauses that ended; null while a pause holds it back, or nothing is due"
        ),
    ]
    paused_since: InstantText | None


class OwnOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as its customer sees it."""

    order_id: str
    merchant_order_number: OwnNumber
    merchant_id: str
    customer_id: str
    decision_id: str
    outcome: Outcome
    currency: str
    reserved_cents: Annotated[Cents, Meta(description="what is held for it beside its invoices")]
    reserved_until: ReservedUntil
    owed_cents: Annotated[Cents, Meta(description="of all its invoices")]
    invoices: tuple[OwnInvoice, ...]


class ReviewRequestState(enum.StrEnum):
    """The one state of a refusal that a person shall look at."""

    REVIEW_REQUESTED = "review_requested"


class ReviewRequested(msgspec.Struct, frozen=True, kw_only=True):
    """A person will look at a refusal."""

    order_id: str
    merchant_order_number: OwnNumber
    decision_id: str
    state: ReviewRequestState


class ReviewRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the customer adds to the wish that a person looks at a refusal."""

    note: Annotated[str, Meta(max_length=NOTE_MAXIMUM)] | None = None
    customer_id: Annotated[
        str | None, Meta(description="for whom a key of the role `portal` acts; it needs one")
    ] = None
