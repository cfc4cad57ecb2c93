"""What a merchant can be told of, and by which channel: the topics, and which cannot be switched off."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from serving.domain.errors import FieldsInvalid, RiskError
from serving.domain.field_errors import FieldError, pointer


class Topic(enum.StrEnum):
    """What happens to a merchant's orders and account, by the type of the webhook that tells of it."""

    CONTACT_CHANGED = "merchant.contact_changed"
    STOP_REQUEST_CREATED = "stop_request.created"
    STOP_REQUEST_WITHDRAWN = "stop_request.withdrawn"
    STOP_REQUEST_EXPIRED = "stop_request.expired"
    INFORMATION_REQUESTED = "stop_request.information_requested"
    DISPUTE_OPENED = "dispute.opened"
    DISPUTE_MORE_ASKED = "dispute.more_asked"
    DISPUTE_CLOSED = "dispute.closed"
    CHARGEBACK_CREATED = "chargeback.created"
    ORDER_AMENDED = "order.amended"
    ORDER_CANCELLED = "order.cancelled"
    ORDER_RELEASED = "order.released"
    ORDER_RETURNED = "order.returned"
    INVOICE_PAUSED = "invoice.paused"
    INVOICE_RESUMED = "invoice.resumed"
    INVOICE_OVERDUE = "invoice.overdue"
    SETTLEMENT_POSTED = "settlement.posted"


class TopicChannel(enum.StrEnum):
    """How a merchant is told. WEBHOOK: at its endpoint; of what is mandatory by e-mail where that fails."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    OFF = "off"


OPTIONAL = frozenset(
    {
        Topic.ORDER_AMENDED,
        Topic.ORDER_CANCELLED,
        Topic.ORDER_RELEASED,
        Topic.ORDER_RETURNED,
        Topic.INVOICE_PAUSED,
        Topic.INVOICE_RESUMED,
        Topic.INVOICE_OVERDUE,
        Topic.SETTLEMENT_POSTED,
    }
)
"""A merchant is told of these only where it asked to be. The others ask it for something or cost it money."""

ABOUT: Mapping[Topic, str] = MappingProxyType(
    {
        Topic.CONTACT_CHANGED: "the merchant is reached elsewhere from now on; told to the contact before",
        Topic.STOP_REQUEST_CREATED: "the merchant is asked to stop an order",
        Topic.STOP_REQUEST_WITHDRAWN: "the order may go on",
        Topic.STOP_REQUEST_EXPIRED: "no answer came in time",
        Topic.INFORMATION_REQUESTED: "the team asks for more about an order",
        Topic.DISPUTE_OPENED: "a customer disputes an order, and the merchant is asked to settle it",
        Topic.DISPUTE_MORE_ASKED: "the service desk asks for more about a dispute",
        Topic.DISPUTE_CLOSED: "a dispute ended, and how",
        Topic.CHARGEBACK_CREATED: "what a customer was given back is charged to the merchant",
        Topic.ORDER_AMENDED: "an order comes to another amount",
        Topic.ORDER_CANCELLED: "an order will not be",
        Topic.ORDER_RELEASED: "what of an order is not invoiced will not be",
        Topic.ORDER_RETURNED: "an order came back",
        Topic.INVOICE_PAUSED: "a return or a dispute pauses an invoice",
        Topic.INVOICE_RESUMED: "a pause of an invoice ended",
        Topic.INVOICE_OVERDUE: "an invoice was not paid in time, and the first reminder went out",
        Topic.SETTLEMENT_POSTED: "lines about an order were posted to the merchant's settlement note",
    }
)


class UnknownTopic(RiskError):
    """There is no such topic."""


class TopicIsMandatory(RiskError):
    """What a merchant has to answer or to bear cannot be switched off."""


def topic_named(name: str) -> Topic:
    """The topic. Raises UnknownTopic."""
    try:
        return Topic(name)
    except ValueError as problem:
        raise UnknownTopic(f"there is no topic {name}") from problem


def channel_without_choice(topic: Topic) -> TopicChannel:
    """How a merchant is told that chose nothing."""
    return TopicChannel.OFF if topic in OPTIONAL else TopicChannel.WEBHOOK


def checked_choice(topic: str, channel: str) -> tuple[Topic, TopicChannel]:
    """What a merchant chose. Raises UnknownTopic, FieldsInvalid for a channel that is none, TopicIsMandatory.

    >>> checked_choice("stop_request.created", "email")[1].value
    'email'
    >>> checked_choice("stop_request.created", "off")
    Traceback (most recent call last):
    serving.domain.merchant_topics.TopicIsMandatory: stop_request.created cannot be switched off
    """
    named = topic_named(topic)
    if channel not in set(TopicChannel):
        detail = f"channel must be one of {', '.join(TopicChannel)}"
        raise FieldsInvalid([FieldError(pointer=pointer("channel"), detail=detail)])
    if channel == TopicChannel.OFF and named not in OPTIONAL:
        raise TopicIsMandatory(f"{named} cannot be switched off")
    return named, TopicChannel(channel)


_OF_ORDER_EVENTS: Mapping[str, Topic] = MappingProxyType(
    {
        "amended": Topic.ORDER_AMENDED,
        "cancelled": Topic.ORDER_CANCELLED,
        "released": Topic.ORDER_RELEASED,
        "returned": Topic.ORDER_RETURNED,
    }
)


def topic_of_row(contract_name: str, row: Mapping[str, Any]) -> Topic | None:
    """What a new row of the ledger tells a merchant of, None for nothing.

    >>> topic_of_row("order_events", {"kind": "amended"}).value
    'order.amended'
    >>> topic_of_row("invoice_pauses", {"ended_at": 5}).value, topic_of_row("orders", {})
    ('invoice.resumed', None)
    """
    match contract_name:
        case "order_events":
            return _OF_ORDER_EVENTS.get(row["kind"])
        case "invoice_pauses":
            return Topic.INVOICE_PAUSED if row.get("ended_at") is None else Topic.INVOICE_RESUMED
        case "invoice_charges" if row["kind"] == "reminder" and row["level"] == 1:
            return Topic.INVOICE_OVERDUE
        case _:
            return None
