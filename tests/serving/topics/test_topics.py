"""A merchant is told of what it chose to be told of, by the channel that it chose, and of nothing else."""

import json
from typing import Any

import pytest

from serving.domain.merchant_topics import OPTIONAL, Topic, TopicChannel, TopicIsMandatory, UnknownTopic
from serving.domain.text_files import LANGUAGES
from serving.store.deliveries import Delivery, due
from serving.store.store import Store
from serving.topics.choosing import choose, topics_of
from serving.topics.telling import tell_of_topics
from tests.builders import DAY, Row, a_charge, a_merchant, a_pause, a_row, an_invoice, an_order
from tests.serving.shadow_desk import START, ShadowDesk, a_shadow_desk

OF_ROWS = OPTIONAL - {Topic.SETTLEMENT_POSTED}
"""What a row of the ledger tells of."""


@pytest.fixture
def desk(store: Store, database_url: str) -> ShadowDesk:
    """Of merchant m1 the order o1, numbered 4711, with the invoice i1."""
    desk = a_shadow_desk(store, database_url)
    desk.customer("c1")
    desk.row("orders", an_order("o1", "c1", at=START - 9 * DAY, merchant_order_number="4711"))
    desk.row("invoices", an_invoice("i1", "c1", at=START - 8 * DAY))
    return desk


def happens(desk: ShadowDesk, topic: Topic) -> None:
    """A row of the ledger that is what a topic is about."""
    desk.now += 1_000
    if topic.startswith("order."):
        about: Row = {"order_id": "o1", "customer_id": "c1", "kind": topic.removeprefix("order.")}
        about |= {"new_amount_cents": 12_345} if topic is Topic.ORDER_AMENDED else {}
        desk.row("order_events", a_row("order_events", f"told {topic}", desk.now, None, **about))
    elif topic is Topic.INVOICE_OVERDUE:
        for level in (1, 2):
            desk.row("invoice_charges", a_charge("i1", "c1", at=desk.now, level=level))
    else:
        desk.row("invoice_pauses", a_pause("i1", "c1", started_at=START - DAY))
        if topic is Topic.INVOICE_RESUMED:
            desk.row("invoice_pauses", a_pause("i1", "c1", started_at=START - DAY, ended_at=desk.now))


def sent(desk: ShadowDesk) -> list[Delivery]:
    tell_of_topics(desk.scope().cases)
    assert tell_of_topics(desk.scope().cases) == 0
    with desk.store.reading() as tx:
        return due(tx, desk.now, 100)


@pytest.mark.parametrize("topic", sorted(OF_ROWS))
def test_what_was_chosen_is_told_once_and_what_was_not_is_not(desk: ShadowDesk, topic: Topic) -> None:
    happens(desk, topic)
    assert sent(desk) == []
    choose(desk.scope().cases, "m2", topic, TopicChannel.WEBHOOK, "other")
    others = sorted(OF_ROWS - {topic})
    for other in others:
        choose(desk.scope().cases, "m1", other, TopicChannel.OFF, "shop")
    choose(desk.scope().cases, "m1", topic, TopicChannel.WEBHOOK, "shop")
    desk.customer("c2")
    desk.row("orders", an_order("o2", "c2", at=START - 9 * DAY, event_id="order-o2"))
    happened = topic_of_another_order(desk, topic)
    (delivery,) = sent(desk)
    assert (delivery.merchant_id, delivery.event_type, delivery.channel) == ("m1", topic, "webhook")
    body = json.loads(delivery.body)
    assert body["type"] == topic
    assert body["data"]["order_id"] == "o2"
    assert body["data"]["event_id"] == happened
    assert body["data"]["text"]


def topic_of_another_order(desk: ShadowDesk, topic: Topic) -> str:
    """The same about order o2; the event_id of the row that tells of it."""
    desk.now += 1_000
    if topic.startswith("order."):
        about: Row = {"order_id": "o2", "customer_id": "c2", "kind": topic.removeprefix("order.")}
        about |= {"new_amount_cents": 12_345} if topic is Topic.ORDER_AMENDED else {}
        row = a_row("order_events", "again", desk.now, None, **about)
        desk.row("order_events", row)
        return str(row["event_id"])
    desk.row("invoices", an_invoice("i2", "c2", at=START - 8 * DAY, order_id="o2"))
    if topic is Topic.INVOICE_OVERDUE:
        row = a_charge("i2", "c2", at=desk.now)
        desk.row("invoice_charges", row)
        return str(row["event_id"])
    row = a_pause("i2", "c2", started_at=START - DAY)
    if topic is Topic.INVOICE_RESUMED:
        desk.row("invoice_pauses", row)
        row = a_pause("i2", "c2", started_at=START - DAY, ended_at=desk.now)
    desk.row("invoice_pauses", row)
    return str(row["event_id"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_by_e_mail_it_reads_in_the_merchants_language_what_happened_to_which_order(
    desk: ShadowDesk, language: str
) -> None:
    state = a_merchant(event_id=f"in {language}", at=START - DAY, language=language)
    desk.row("merchants", state)
    for topic in sorted(OF_ROWS):
        choose(desk.scope().cases, "m1", topic, TopicChannel.EMAIL, "shop")
    for topic in sorted(OF_ROWS - {Topic.INVOICE_PAUSED}):
        happens(desk, topic)
    mails = [json.loads(delivery.body) for delivery in sent(desk) if delivery.channel == "email"]
    assert len(mails) == len(OF_ROWS)
    for mail in mails:
        assert "4711" in mail["subject"]
        assert "Musterladen" in mail["body"]
        assert "{" not in mail["body"]
    assert len({mail["body"] for mail in mails}) == len(OF_ROWS)


def test_what_asks_a_merchant_for_something_goes_by_webhook_or_mail_and_is_never_off(
    desk: ShadowDesk,
) -> None:
    cases = desk.scope().cases
    for topic in Topic:
        if topic in OPTIONAL:
            continue
        with pytest.raises(TopicIsMandatory, match=topic):
            choose(cases, "m1", topic, TopicChannel.OFF, "shop")
        choose(cases, "m1", topic, TopicChannel.EMAIL, "shop")
    with pytest.raises(UnknownTopic):
        choose(cases, "m1", "order.forgotten", TopicChannel.EMAIL, "shop")
    told: dict[str, Any] = {answer.topic: answer for answer in topics_of(cases, "m1").topics}
    assert {topic for topic in Topic if told[topic].channel is TopicChannel.EMAIL} == set(Topic) - OPTIONAL
    assert {topic for topic in Topic if told[topic].can_be_switched_off} == OPTIONAL
    assert all(answer.channel is not TopicChannel.EMAIL for answer in topics_of(cases, "m2").topics)
