"""What a merchant is told about a stop request: webhook bodies and e-mails, in the merchant's language.

Nothing here names a person or says why the order was judged a risk.
"""

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from data_contracts.merchants import MERCHANTS
from data_contracts.row_check import rfc3339
from serving.domain.merchant_texts import (
    FALLBACK_LANGUAGE,
    local_amount,
    local_deadline,
    merchant_text,
    text_language,
)
from serving.domain.policy import Policy
from serving.domain.stop_request import StopRequest, StopRequestState
from serving.store.case_queue import CaseStakes
from serving.store.deliveries import STOP_REQUEST_CREATED, WEBHOOK, enqueue
from serving.store.merchant_orders import number_of_order
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction
from serving.webhooks.mailbox import EmailMessageText

CREATED = STOP_REQUEST_CREATED
WITHDRAWN = "stop_request.withdrawn"
EXPIRED = "stop_request.expired"
INFORMATION_REQUESTED = "stop_request.information_requested"
LINK_PLACEHOLDER = "https://…/stop/…"

_EMAIL_OF: Mapping[str, str] = MappingProxyType(
    {
        CREATED: "email",
        WITHDRAWN: "email_withdrawn",
        EXPIRED: "email_expired",
        INFORMATION_REQUESTED: "email_question",
    }
)


@dataclass(frozen=True, kw_only=True)
class MerchantWords:
    """In which language and zone a merchant is written to."""

    language: str
    zone: zoneinfo.ZoneInfo


def words_for(tx: Transaction, policy: Policy, merchant_id: str) -> MerchantWords:
    """How to write to a merchant, by the newest state of its account; one that is not known reads English."""
    merchant = standing_row(tx, MERCHANTS, merchant_id) or {}
    country = policy.countries.get(merchant.get("country", ""))
    return MerchantWords(
        language=text_language(merchant.get("language", FALLBACK_LANGUAGE)),
        zone=country.zone if country else zoneinfo.ZoneInfo(policy.order_risk.default_time_zone),
    )


def tell_merchant(
    tx: Transaction,
    policy: Policy,
    request: StopRequest,
    event_type: str,
    *,
    stakes: CaseStakes,
    link: str,
    now_ms: int,
    question: str | None = None,
    number: int = 1,
) -> None:
    """Leave a notice in the outbox, with the transaction that makes it true.

    It goes to the merchant's endpoint; where that does not take it, by e-mail.

    stakes: amount and currency of the order. link: to the form. question: what the team asks, for
    `stop_request.information_requested`, and its number.
    """
    words = words_for(tx, policy, request.merchant_id)
    data: dict[str, Any] = {
        "stop_request_id": request.stop_request_id,
        "order_id": request.order_id,
        "merchant_order_number": request.merchant_order_number,
        "state": request.state.value,
        "requested_at": rfc3339(request.requested_at_ms),
        "answer_due_at": None if request.answer_due_at_ms is None else rfc3339(request.answer_due_at_ms),
        "answer_hours": policy.stop_requests.answer_hours,
        "amount_cents": stakes.amount_cents,
        "currency": stakes.currency,
        "answer_url": link,
        "language": words.language,
        "text": _email(policy, request, event_type, stakes, words, link, now_ms, question).body,
    }
    if question is not None:
        data["question"] = question
    body = {"type": event_type, "timestamp": rfc3339(now_ms), "data": data}
    suffix = event_type.rpartition(".")[2] + ("" if number == 1 else f"-{number}")
    enqueue(
        tx,
        delivery_id=f"{request.stop_request_id}-{suffix}",
        merchant_id=request.merchant_id,
        stop_request_id=request.stop_request_id,
        event_type=event_type,
        channel=WEBHOOK,
        body=msgspec.json.encode(body).decode(),
        now_ms=now_ms,
    )


def stop_request_preview(
    tx: Transaction, policy: Policy, *, order_id: str, merchant_id: str, stakes: CaseStakes, now_ms: int
) -> EmailMessageText:
    """What the merchant would read if it were asked now to stop an order; the link is a placeholder.

    The deadline counts from now; the real one counts from when the notice arrives.
    """
    request = StopRequest(
        stop_request_id="stp_preview",
        order_id=order_id,
        merchant_id=merchant_id,
        state=StopRequestState.REQUESTED,
        requested_at_ms=now_ms,
        first_delivered_at_ms=None,
        answer_due_at_ms=None,
        answers=(),
        merchant_order_number=number_of_order(tx, order_id),
    )
    words = words_for(tx, policy, merchant_id)
    return _email(policy, request, CREATED, stakes, words, LINK_PLACEHOLDER, now_ms, None)


def fallback_email(
    policy: Policy,
    request: StopRequest,
    webhook_body: str,
    *,
    stakes: CaseStakes,
    words: MerchantWords,
    now_ms: int,
) -> EmailMessageText:
    """The e-mail in place of a webhook that the merchant's endpoint did not take."""
    body = msgspec.json.decode(webhook_body, type=dict[str, Any])
    data = body["data"]
    return _email(
        policy, request, body["type"], stakes, words, data["answer_url"], now_ms, data.get("question")
    )


def _email(
    policy: Policy,
    request: StopRequest,
    event_type: str,
    stakes: CaseStakes,
    words: MerchantWords,
    link: str,
    now_ms: int,
    question: str | None,
) -> EmailMessageText:
    # Before it arrives no deadline is known, and none is named then.
    due_at_ms = request.answer_due_at_ms or now_ms
    deadline = datetime.fromtimestamp(due_at_ms / 1_000, UTC).astimezone(words.zone)
    values = {
        "provider_name": policy.provider.name,
        "customer_service": policy.provider.customer_service,
        "order_id": request.order_name,
        "amount": local_amount(stakes.amount_cents, stakes.currency, words.language),
        "link": link,
        "answer_hours": str(policy.stop_requests.answer_hours),
        "deadline": local_deadline(deadline, words.language),
        "question": question or "",
    }
    code = _EMAIL_OF[event_type]
    return EmailMessageText(
        subject=merchant_text(f"{code}.subject", words.language, **values),
        body=merchant_text(f"{code}.body", words.language, **values),
    )
