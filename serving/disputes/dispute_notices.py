"""What a merchant is told of a dispute: webhook bodies and e-mails, in the merchant's language.

A notice is left in the outbox with the step that makes it true. It goes to the merchant's endpoint, and by
e-mail where the endpoint does not take it; a merchant without an account in the portal gets the e-mail in any
case. No text says anything about a person; what the customer wrote stands behind the link and in the API.
"""

import msgspec
from msgspec import UNSET

from data_contracts.instants import moment
from data_contracts.merchants import MERCHANTS
from serving.disputes.dispute_answers import DisputeEvent, DisputeNotice, DisputeWebhook
from serving.disputes.dispute_link import dispute_link
from serving.domain.dispute import Dispute, DisputeOutcome, DisputeState, OutcomeGround
from serving.domain.local_forms import local_amount, local_instant
from serving.domain.merchant_texts import merchant_text
from serving.requests.answer_fields import Instant, instant_or_none
from serving.requests.case_scope import CaseScope
from serving.requests.wire_form import encoded
from serving.stop_requests.merchant_notices import words_for
from serving.store.deliveries import EMAIL, WEBHOOK, Delivery, email_delivery_id, enqueue
from serving.store.disputes import dispute_of
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction
from serving.webhooks.mailbox import EmailMessageText

EVENT_TYPES = frozenset(event.value for event in DisputeEvent)
_NEED_ACTION = frozenset({DisputeEvent.OPENED.value, DisputeEvent.MORE_ASKED.value})


class _SentNotice(msgspec.Struct, frozen=True, kw_only=True):
    dispute_id: str
    subject: str
    text: str


class _SentWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """What an e-mail in place of a webhook takes from it."""

    data: _SentNotice


def tell_of_opening(tx: Transaction, scope: CaseScope, dispute: Dispute) -> None:
    """The merchant is asked to settle a dispute, and until when."""
    _tell(tx, scope, dispute, DisputeEvent.OPENED, code="email_dispute_opened")


def tell_of_step(tx: Transaction, scope: CaseScope, before: Dispute, after: Dispute) -> None:
    """What a step means to the merchant, where it means anything and the merchant may see the dispute."""
    if not after.is_shown_to_merchant:
        return
    if after.state is DisputeState.AWAITING_MERCHANT and before.state is not after.state:
        _tell(tx, scope, after, DisputeEvent.MORE_ASKED, code="email_dispute_question")
    if not after.is_closed or before.is_closed or after.outcome is None:
        return
    end = "no_answer" if after.ground is OutcomeGround.NO_ANSWER else after.outcome.value
    _tell(tx, scope, after, DisputeEvent.CLOSED, code=f"email_dispute_closed_{end}")
    charged_cents = _taken_off(after) - _taken_off(before)
    is_chargeback = after.outcome is DisputeOutcome.FOR_CUSTOMER and after.ground is not OutcomeGround.FRAUD
    if is_chargeback and charged_cents:
        _tell(
            tx,
            scope,
            after,
            DisputeEvent.CHARGEBACK_CREATED,
            code="email_chargeback",
            amount_cents=charged_cents,
        )


def fallback_text(tx: Transaction, webhook: Delivery) -> EmailMessageText | None:
    """What to write in place of a webhook about a dispute; None where it asks for what is over."""
    sent = msgspec.json.decode(webhook.body, type=_SentWebhook).data
    dispute = dispute_of(tx, sent.dispute_id)
    if dispute is None or (webhook.event_type in _NEED_ACTION and dispute.is_closed):
        return None
    return EmailMessageText(subject=sent.subject, body=sent.text)


def _taken_off(dispute: Dispute) -> int:
    return dispute.credited_cents + dispute.refunded_cents


def _tell(
    tx: Transaction,
    scope: CaseScope,
    dispute: Dispute,
    event: DisputeEvent,
    *,
    code: str,
    amount_cents: int | None = None,
) -> None:
    now_ms = scope.now_ms()
    link = dispute_link(tx, scope, dispute.dispute_id)
    shown_cents = dispute.disputed_cents if amount_cents is None else amount_cents
    question = dispute.questions[-1].text if event is DisputeEvent.MORE_ASKED else None
    language, text = _text(tx, scope, dispute, code, shown_cents, link, question)
    body = DisputeWebhook(
        type=event,
        timestamp=Instant(now_ms),
        data=DisputeNotice(
            dispute_id=dispute.dispute_id,
            order_id=dispute.order_id,
            merchant_order_number=dispute.merchant_order_number,
            state=dispute.state,
            reason=dispute.reason,
            amount_cents=shown_cents,
            currency=dispute.currency,
            answer_due_at=instant_or_none(dispute.due_at_ms),
            outcome=dispute.outcome,
            answer_url=link,
            language=language,
            subject=text.subject,
            text=text.body,
            question=UNSET if question is None else question,
        ),
    )
    # By the step, so that the same is not told twice and a later round is told anew.
    delivery_id = f"{dispute.dispute_id}-{event.value.replace('.', '-')}-{dispute.version}"
    merchant = standing_row(tx, MERCHANTS, dispute.merchant_id) or {}
    is_in_portal = bool(merchant.get("has_portal_account"))
    messages = []
    if merchant.get("endpoint_url") is not None or is_in_portal:
        messages.append((delivery_id, WEBHOOK, encoded(body).decode()))
    if not is_in_portal:
        # Under the id of the e-mail that would stand in for the webhook: it is sent once.
        messages.append((email_delivery_id(delivery_id), EMAIL, msgspec.json.encode(text).decode()))
    for message_id, channel, content in messages:
        enqueue(
            tx,
            delivery_id=message_id,
            merchant_id=dispute.merchant_id,
            stop_request_id=None,
            event_type=event.value,
            channel=channel,
            body=content,
            now_ms=now_ms,
        )


def _text(
    tx: Transaction,
    scope: CaseScope,
    dispute: Dispute,
    code: str,
    amount_cents: int | None,
    link: str,
    question: str | None,
) -> tuple[str, EmailMessageText]:
    words = words_for(tx, scope.policy, dispute.merchant_id)
    due = moment(dispute.due_at_ms or scope.now_ms()).astimezone(words.zone)
    values = {
        "provider_name": scope.policy.provider.name,
        "merchant_name": words.name,
        "order_id": dispute.order_name,
        "reason": merchant_text(f"dispute_reason.{dispute.reason.value}", words.language),
        "amount": (
            merchant_text("dispute_amount.whole_order", words.language)
            if amount_cents is None
            else local_amount(amount_cents, dispute.currency, words.language)
        ),
        "link": link,
        "deadline": local_instant(due, words.language),
        "question": question or "",
    }
    return words.language, EmailMessageText(
        subject=merchant_text(f"{code}.subject", words.language, **values),
        body=merchant_text(f"{code}.body", words.language, **values),
    )
