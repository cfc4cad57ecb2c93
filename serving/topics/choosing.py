"""Use case: a merchant chooses of what it is told, and by which channel."""

from serving.domain.merchant_topics import ABOUT, OPTIONAL, Topic, checked_choice
from serving.requests.case_scope import CaseScope
from serving.store.store import Transaction
from serving.store.topic_choices import choose_channel, chosen_channels
from serving.topics.topic_answers import TopicAnswer, TopicList


def topics_of(scope: CaseScope, merchant_id: str) -> TopicList:
    """Every topic, with how a merchant is told of it."""
    with scope.store.reading() as tx:
        return _list(tx, merchant_id)


def choose(scope: CaseScope, merchant_id: str, topic: str, channel: str, by: str) -> TopicList:
    """Tell a merchant of a topic by another channel from now on; by: who chose it.

    Raises UnknownTopic, FieldsInvalid, and TopicIsMandatory for what cannot be switched off.
    """
    named, by_channel = checked_choice(topic, channel)
    with scope.store.writing(f"topics-{merchant_id}") as tx:
        choose_channel(
            tx, merchant_id=merchant_id, topic=named, channel=by_channel, by=by, now_ms=scope.now_ms()
        )
        return _list(tx, merchant_id)


def _list(tx: Transaction, merchant_id: str) -> TopicList:
    chosen = chosen_channels(tx, merchant_id)
    return TopicList(
        topics=tuple(
            TopicAnswer(
                topic=topic,
                about=ABOUT[topic],
                channel=chosen[topic],
                can_be_switched_off=topic in OPTIONAL,
            )
            for topic in Topic
        )
    )
