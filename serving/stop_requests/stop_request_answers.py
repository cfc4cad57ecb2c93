"""What the use cases of stop requests answer, what a merchant answers, and what merchants are sent."""

import enum
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from serving.domain.answer_consequences import ConsequenceCode
from serving.domain.merchant_answer import (
    MAXIMUM_CARRIER_CHARACTERS,
    MAXIMUM_NOTE_CHARACTERS,
    MAXIMUM_TRACKING_NUMBER_CHARACTERS,
    AnswerKind,
)
from serving.domain.stop_request import RecallResult, StopRequestState
from serving.requests.answer_fields import Cents, Instant, OwnNumber, one_of
from serving.store.deliveries import DELIVERED, DROPPED, EMAIL, GIVEN_UP, GONE, WAITING, WEBHOOK
from serving.webhooks.delivery import DeliveryKind

CONTACT_CHANGED = "merchant.contact_changed"
STOP_REQUESTS_MAXIMUM = 500
"""Of one page."""


class StopRequestEvent(enum.StrEnum):
    """What a merchant is told of a stop request."""

    CREATED = "stop_request.created"
    WITHDRAWN = "stop_request.withdrawn"
    EXPIRED = "stop_request.expired"
    INFORMATION_REQUESTED = "stop_request.information_requested"


class StopAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the order stands, as the merchant says. A shipment with tracking names carrier and number."""

    kind: Annotated[str, one_of(kind.value for kind in AnswerKind)]
    carrier: Annotated[str, Meta(max_length=MAXIMUM_CARRIER_CHARACTERS)] | None = None
    tracking_number: Annotated[str, Meta(max_length=MAXIMUM_TRACKING_NUMBER_CHARACTERS)] | None = None
    note: Annotated[str, Meta(max_length=MAXIMUM_NOTE_CHARACTERS)] | None = None


class StopAnswerGiven(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of the merchant. late: it came after the request had expired."""

    kind: AnswerKind
    carrier: str | None
    tracking_number: str | None
    note: str | None
    answered_at: Instant
    late: bool


class StopConsequence(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from the answers, worded for the merchant."""

    code: ConsequenceCode
    text: str


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel that the provider recalls; result and done_at are null until it is known what came of it."""

    carrier: str
    tracking_number: str
    opened_at: Instant
    result: RecallResult | None
    done_at: Instant | None


class DeliveryAttemptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one attempt. status: null where there was no HTTP answer."""

    at: Instant
    outcome: DeliveryKind
    status: int | None
    detail: str


class DeliveryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A notice to a merchant. next_attempt_at: null once nothing more is tried."""

    delivery_id: str
    event_type: Annotated[str, one_of([*StopRequestEvent, CONTACT_CHANGED])]
    channel: Annotated[str, one_of([WEBHOOK, EMAIL])]
    is_copy_to_contact_before: bool
    state: Annotated[str, one_of([WAITING, DELIVERED, GONE, GIVEN_UP, DROPPED])]
    next_attempt_at: Instant | None
    attempts: tuple[DeliveryAttemptAnswer, ...]


class StopRequestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A stop request as its merchant sees it. answer_due_at: null until the notice has arrived."""

    stop_request_id: str
    order_id: str
    merchant_order_number: OwnNumber
    state: StopRequestState
    requested_at: Instant
    answer_due_at: Instant | None
    answers: tuple[StopAnswerGiven, ...]
    consequences: tuple[StopConsequence, ...]
    recall: Recall | None


class OpenRecall(Recall, frozen=True, kw_only=True):
    """A parcel to recall in the list of those that nobody has finished."""

    stop_request_id: str


class RecalledStopRequest(StopRequestAnswer, frozen=True, kw_only=True):
    """A stop request after the result of its recall."""

    case_id: str


class TeamStopRequest(RecalledStopRequest, frozen=True, kw_only=True):
    """A stop request as the fraud team sees it. first_delivered_at: null until a notice has arrived."""

    merchant_id: str
    first_delivered_at: Instant | None
    deliveries: tuple[DeliveryAnswer, ...]


class ListedStopRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A stop request in the list of its merchant's. answer_due_at: null until the notice has arrived."""

    stop_request_id: str
    order_id: str
    merchant_order_number: OwnNumber
    state: StopRequestState
    requested_at: Instant
    answer_due_at: Instant | None


class TeamListedStopRequest(ListedStopRequest, frozen=True, kw_only=True):
    """A stop request in the list of the fraud team."""

    case_id: str
    merchant_id: str


NextPage = Annotated[str | None, Meta(description="the parameter `after` of the next page; null on the last")]


class StopRequestList(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant's stop requests in one state, the first to be answered first."""

    stop_requests: tuple[ListedStopRequest, ...]
    next: NextPage


class TeamStopRequestList(msgspec.Struct, frozen=True, kw_only=True):
    """All stop requests in one state, the first to be answered first."""

    stop_requests: tuple[TeamListedStopRequest, ...]
    next: NextPage


class StopRequestParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Which stop requests are listed, and how many at most."""

    state: StopRequestState = StopRequestState.REQUESTED
    limit: Annotated[int, Meta(ge=1, le=STOP_REQUESTS_MAXIMUM)] = 50
    after: Annotated[str, Meta(description="`next` of the page before")] | UnsetType = UNSET


class RecallOutcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of a parcel that the provider recalled."""

    result: Annotated[str, one_of(result.value for result in RecallResult)]


class StopRequestNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What a notice about a stop request says. question: of `stop_request.information_requested` only."""

    stop_request_id: str
    order_id: str
    merchant_order_number: OwnNumber
    state: StopRequestState
    requested_at: Instant
    answer_due_at: Instant | None
    answer_hours: int
    amount_cents: Cents
    currency: str
    answer_url: str
    language: str
    text: str
    question: str | UnsetType = UNSET


class StopRequestWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A notice about a stop request, signed by Standard Webhooks."""

    type: StopRequestEvent
    timestamp: Instant
    data: StopRequestNotice


class ChangedContactField(enum.StrEnum):
    """What of a merchant's contact can change."""

    EMAIL = "email"
    ENDPOINT_URL = "endpoint_url"


class ContactChangeNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What the contact before is told. email, endpoint_host: of the new one, null where it did not change."""

    merchant_id: str
    changed_at: Instant
    email: str | None
    endpoint_host: str | None
    changed: tuple[ChangedContactField, ...]
    language: str
    text: str


class ContactChangedEvent(enum.StrEnum):
    """What the endpoint before is told once a merchant's contact changed."""

    CONTACT_CHANGED = CONTACT_CHANGED


class ContactChangedWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A notice to the endpoint that a merchant had before its contact changed."""

    type: ContactChangedEvent
    timestamp: Instant
    data: ContactChangeNotice


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """What we send to an endpoint of a merchant."""

    name: str
    summary: str
    body: type[msgspec.Struct]


WEBHOOKS = (
    Webhook(
        name="stopRequest",
        summary="The merchant is asked to stop an order, told that it may go on, or asked for more",
        body=StopRequestWebhook,
    ),
    Webhook(
        name="contactChanged",
        summary="The endpoint before is told that the merchant's contact changed",
        body=ContactChangedWebhook,
    ),
)
"""Every webhook; signed by Standard Webhooks, and sent again until it is taken or its time is over."""
