"""What a merchant chooses and is told about topics."""

from typing import Annotated

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


TOPIC_WEBHOOKS = (
    Webhook(
        name="topic",
        summary="What the merchant chose to be told of happened to one of its orders",
        body=TopicWebhook,
    ),
)
"""The webhooks that a merchant gets by its own choice; not sent by e-mail where its endpoint fails."""
