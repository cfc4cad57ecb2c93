"""What a merchant chooses and is told about topics."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from serving.domain.merchant_topics import Topic, TopicChannel
from serving.requests.answer_fields import Cents, Instant, OwnNumber, one_of
from serving.stop_requests.stop_request_answers import Webhook


class TopicChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By which channel a merchant wants to be told of a topic."""

    channel: Annotated[str, one_of(TopicChannel)]


class TopicAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A topic, by which channel the merchant is told of it, and whether it can be switched off."""

    topic: Topic
    about: str
    channel: TopicChannel
    can_be_switched_off: bool


class TopicList(msgspec.Struct, frozen=True, kw_only=True):
    """Every topic, as a merchant has chosen."""

    topics: tuple[TopicAnswer, ...]


class TopicNotice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened, by the row of the ledger that tells of it. text: in the merchant's language."""

    event_id: str
    order_id: str
    merchant_order_number: OwnNumber
    occurred_at: Instant
    language: str
    text: str
    invoice_id: str | UnsetType = UNSET
    new_amount_cents: Cents | UnsetType = UNSET
    currency: str | UnsetType = UNSET


class TopicWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A notice about a topic that a merchant chose, signed by Standard Webhooks."""

    type: Topic
    timestamp: Instant
    data: TopicNotice


class SettlementNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What was posted about an order, in one currency. text: in the merchant's language.

    period: the month of the note. amount_cents: what the lines come to for the merchant; negative: it pays.
    """

    settlement_id: str
    order_id: str
    merchant_order_number: OwnNumber
    period: str
    amount_cents: Cents
    currency: str
    occurred_at: Instant
    language: str
    text: str


class SettlementWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A notice about a settlement note that a merchant chose, signed by Standard Webhooks."""

    type: Literal["settlement.posted"]
    timestamp: Instant
    data: SettlementNotice


TOPIC_WEBHOOKS = (
    Webhook(
        name="topic",
        summary="What the merchant chose to be told of happened to one of its orders",
        body=TopicWebhook,
    ),
    Webhook(
        name="settlementPosted",
        summary="Lines about an order were posted to the settlement note of a merchant that wants to know",
        body=SettlementWebhook,
    ),
)
"""The webhooks that a merchant gets by its own choice; not sent by e-mail where its endpoint fails."""
