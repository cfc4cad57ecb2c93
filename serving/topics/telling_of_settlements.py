"""Use case: a merchant is told what was posted to its settlement note, where it asked to be told of that."""

from typing import Any

from data_contracts.orders import ORDERS
from serving.domain.local_forms import local_amount
from serving.domain.merchant_texts import merchant_text
from serving.domain.merchant_topics import Topic, TopicChannel
from serving.requests.answer_fields import Instant
from serving.requests.case_scope import CaseScope
from serving.stop_requests.merchant_notices import words_for
from serving.store.outbox import (
    SETTLEMENT_POSTED,
    WaitingMessage,
    take_message,
    waiting_messages,
    work_off_each,
)
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction
from serving.store.topic_choices import chosen_channel
from serving.topics.telling import leave_notice
from serving.topics.topic_answers import SettlementNotice, SettlementWebhook

TOPIC = Topic.SETTLEMENT_POSTED


def tell_of_settlements(scope: CaseScope, limit: int = 100) -> int:
    """Leave the notices of settlements that were chosen; returns how many messages were worked off.

    Raises StoreUnavailable.
    """
    with scope.store.reading() as tx:
        messages = waiting_messages(tx, (SETTLEMENT_POSTED,), limit, due_at_ms=scope.now_ms())

    def tell(message: WaitingMessage) -> None:
        with scope.store.writing(f"topic-{message.message_id}") as tx:
            if take_message(tx, message):
                _tell(tx, scope, message.message_id, message.payload)

    return work_off_each(scope.store, messages, tell, scope.now_ms())


def _tell(tx: Transaction, scope: CaseScope, message_id: str, posted: dict[str, Any]) -> None:
    merchant_id: str = posted["merchant_id"]
    channel = chosen_channel(tx, merchant_id, TOPIC)
    if channel is TopicChannel.OFF:
        return
    words = words_for(tx, scope.policy, merchant_id)
    order = standing_row(tx, ORDERS, posted["order_id"]) or {}
    number = order.get("merchant_order_number")
    values = {
        "order_id": number or posted["order_id"],
        "settlement_id": posted["settlement_id"],
        "period": posted["period"],
        "amount": local_amount(posted["amount_cents"], posted["currency"], words.language),
        "merchant_name": words.name,
        "provider_name": scope.policy.provider.name,
        "topic": TOPIC.value,
    }
    now_ms = scope.now_ms()
    notice = SettlementWebhook(
        type="settlement.posted",
        timestamp=Instant(now_ms),
        data=SettlementNotice(
            settlement_id=posted["settlement_id"],
            order_id=posted["order_id"],
            merchant_order_number=number,
            period=posted["period"],
            amount_cents=posted["amount_cents"],
            currency=posted["currency"],
            occurred_at=Instant(posted["posted_at_ms"]),
            language=words.language,
            text=merchant_text("topic.settlement_posted", words.language, **values),
        ),
    )
    leave_notice(tx, notice, channel, about=message_id, merchant_id=merchant_id, values=values, now_ms=now_ms)
