"""Use case: a merchant is told of a row of the ledger, where it asked to be told of such rows."""

import hashlib
from collections.abc import Mapping

from msgspec import UNSET

from data_contracts.orders import ORDERS
from serving.domain.local_forms import local_amount
from serving.domain.merchant_texts import merchant_text
from serving.domain.merchant_topics import Topic, TopicChannel
from serving.domain.policy import Policy
from serving.requests.answer_fields import Instant
from serving.requests.case_scope import CaseScope
from serving.requests.wire_form import encoded
from serving.stop_requests.merchant_notices import words_for
from serving.store.deliveries import EMAIL, WEBHOOK, enqueue
from serving.store.investigations import order_of_invoice
from serving.store.ledger_rows import LedgerRow, row_under
from serving.store.outbox import (
    MERCHANT_TOPIC,
    WaitingMessage,
    take_message,
    waiting_messages,
    work_off_each,
)
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction
from serving.store.topic_choices import chosen_channel
from serving.topics.topic_answers import SettlementWebhook, TopicNotice, TopicWebhook
from serving.webhooks.dispatch import email_payload
from serving.webhooks.mailbox import EmailMessageText


def tell_of_topics(scope: CaseScope, limit: int = 100) -> int:
    """Leave the notices of what happened and was chosen; returns how many messages were worked off.

    Raises StoreUnavailable.
    """
    with scope.store.reading() as tx:
        messages = waiting_messages(tx, (MERCHANT_TOPIC,), limit, due_at_ms=scope.now_ms())

    def tell(message: WaitingMessage) -> None:
        with scope.store.writing(f"topic-{message.payload['event_id']}") as tx:
            if take_message(tx, message):
                _tell(
                    tx,
                    scope.policy,
                    Topic(message.payload["topic"]),
                    message.payload["event_id"],
                    scope.now_ms(),
                )

    return work_off_each(scope.store, messages, tell, scope.now_ms())


def _tell(tx: Transaction, policy: Policy, topic: Topic, event_id: str, now_ms: int) -> None:
    row = row_under(tx, event_id)
    order = None if row is None else _order_of(tx, row)
    if row is None or order is None:
        return
    merchant_id = order["merchant_id"]
    channel = chosen_channel(tx, merchant_id, topic)
    if channel is TopicChannel.OFF:
        return
    words = words_for(tx, policy, merchant_id)
    new_cents: int | None = row.get("new_amount_cents")
    values = {
        "order_id": order.get("merchant_order_number") or order["order_id"],
        "invoice_id": row.get("invoice_id", ""),
        "amount": "" if new_cents is None else local_amount(new_cents, order["currency"], words.language),
        "merchant_name": words.name,
        "provider_name": policy.provider.name,
        "topic": topic.value,
    }
    happened = merchant_text(f"topic.{topic.value.replace('.', '_')}", words.language, **values)
    notice = TopicWebhook(
        type=topic,
        timestamp=Instant(now_ms),
        data=TopicNotice(
            event_id=event_id,
            order_id=order["order_id"],
            merchant_order_number=order.get("merchant_order_number"),
            occurred_at=Instant(row["occurred_at"]),
            language=words.language,
            text=happened,
            invoice_id=row.get("invoice_id", UNSET),
            new_amount_cents=UNSET if new_cents is None else new_cents,
            currency=UNSET if new_cents is None else order["currency"],
        ),
    )
    # Event ids hold signs that a delivery's id may not.
    leave_notice(tx, notice, channel, about=event_id, merchant_id=merchant_id, values=values, now_ms=now_ms)


def leave_notice(
    tx: Transaction,
    notice: TopicWebhook | SettlementWebhook,
    channel: TopicChannel,
    *,
    about: str,
    merchant_id: str,
    values: Mapping[str, str],
    now_ms: int,
) -> None:
    """Leave a notice to be sent by the channel that its merchant chose, once for what it is about.

    about: names it among all that merchants are told of. values: for the texts of an e-mail.
    """
    language = notice.data.language
    email = EmailMessageText(
        subject=merchant_text("email_topic.subject", language, **values),
        body=merchant_text("email_topic.body", language, happened=notice.data.text, **values),
    )
    enqueue(
        tx,
        delivery_id=f"topic_{hashlib.sha256(about.encode()).hexdigest()[:24]}",
        merchant_id=merchant_id,
        stop_request_id=None,
        event_type=values["topic"],
        channel=EMAIL if channel is TopicChannel.EMAIL else WEBHOOK,
        body=email_payload(email) if channel is TopicChannel.EMAIL else encoded(notice).decode(),
        now_ms=now_ms,
    )


def _order_of(tx: Transaction, row: LedgerRow) -> LedgerRow | None:
    """The order that a row is about; None where it is not in the ledger, as of one that waits."""
    order_id = row.get("order_id") or order_of_invoice(tx, row["invoice_id"])
    return None if order_id is None else standing_row(tx, ORDERS, order_id)
