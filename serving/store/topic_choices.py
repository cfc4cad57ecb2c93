"""Which topics a merchant chose to be told of, by which channel; and that something happened to tell of."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from data_contracts.contract import Contract
from serving.domain.merchant_topics import Topic, TopicChannel, channel_without_choice, topic_of_row
from serving.domain.settlement import Account
from serving.store.outbox import MERCHANT_TOPIC, SETTLEMENT_POSTED, append_message
from serving.store.settlement_postings import StoredPosting
from serving.store.store import Transaction


def choose_channel(
    tx: Transaction, *, merchant_id: str, topic: Topic, channel: TopicChannel, by: str, now_ms: int
) -> None:
    """Keep by which channel a merchant is told of a topic. by: who chose."""
    tx.execute(
        "INSERT INTO merchant_topics (merchant_id, topic, channel, chosen_by, chosen_at_ms) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (merchant_id, topic) DO UPDATE SET channel = excluded.channel, "
        "chosen_by = excluded.chosen_by, chosen_at_ms = excluded.chosen_at_ms",
        (merchant_id, topic.value, channel.value, by, now_ms),
    )


def chosen_channels(tx: Transaction, merchant_id: str) -> dict[Topic, TopicChannel]:
    """By topic how a merchant is told of it; every topic, also where nothing was chosen."""
    rows = tx.execute("SELECT topic, channel FROM merchant_topics WHERE merchant_id = ?", (merchant_id,))
    # A newer release may know a topic that this one does not.
    chosen = {Topic(topic): TopicChannel(channel) for topic, channel in rows if topic in set(Topic)}
    return {topic: chosen.get(topic, channel_without_choice(topic)) for topic in Topic}


def chosen_channel(tx: Transaction, merchant_id: str, event_type: str) -> TopicChannel:
    """How a merchant is told of one topic; by webhook of a type that is no topic."""
    if event_type not in set(Topic):
        return TopicChannel.WEBHOOK
    rows = tx.execute(
        "SELECT channel FROM merchant_topics WHERE merchant_id = ? AND topic = ?", (merchant_id, event_type)
    )
    return TopicChannel(rows[0][0]) if rows else channel_without_choice(Topic(event_type))


def note_topic(tx: Transaction, contract: Contract, row: Mapping[str, Any], now_ms: int) -> None:
    """Leave a message where a new row is something that a merchant may have asked to be told of.

    Who it is, and whether it did, the worker finds out: the row's own transaction stays short.
    """
    topic = topic_of_row(contract.name, row)
    if topic is None or not _is_chosen_by_anybody(tx, topic):
        return
    append_message(
        tx,
        message_id=f"topic-{row['event_id']}",
        kind=MERCHANT_TOPIC,
        payload={"topic": topic.value, "event_id": row["event_id"]},
        now_ms=now_ms,
    )


def note_settlement(tx: Transaction, postings: Sequence[StoredPosting], now_ms: int) -> None:
    """Leave a message for each merchant and currency of one settlement, where anybody wants to be told.

    postings: both sides of all its lines. What comes to nothing is told too: lines stand in the note.
    """
    if not _is_chosen_by_anybody(tx, Topic.SETTLEMENT_POSTED):
        return
    to_merchant: defaultdict[tuple[str, str, str, str | None, str], int] = defaultdict(int)
    for posting in postings:
        if posting.account is Account.MERCHANT_PAYABLE:
            line = posting.settlement_id, posting.order_id, posting.merchant_id
            # What is owed to the merchant is a credit, and so negative on its account.
            to_merchant[*line, posting.period, posting.currency] -= posting.amount_cents
    for number, (about, amount_cents) in enumerate(to_merchant.items(), start=1):
        settlement_id, order_id, merchant_id, period, currency = about
        append_message(
            tx,
            message_id=f"{settlement_id}-posted-{number}",
            kind=SETTLEMENT_POSTED,
            payload={
                "settlement_id": settlement_id,
                "order_id": order_id,
                "merchant_id": merchant_id,
                "period": period,
                "amount_cents": amount_cents,
                "currency": currency,
                "posted_at_ms": now_ms,
            },
            now_ms=now_ms,
        )


def _is_chosen_by_anybody(tx: Transaction, topic: Topic) -> bool:
    return bool(
        tx.execute(
            "SELECT 1 FROM merchant_topics WHERE topic = ? AND channel <> ? LIMIT 1",
            (topic.value, TopicChannel.OFF.value),
        )
    )
