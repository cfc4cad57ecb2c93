"""What a merchant is told of a stop request, or of its changed contact: webhook bodies and e-mails.

All of it in the merchant's language.

Nothing here names a person or says why the order was judged a risk.
"""

import hashlib
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec
from msgspec import UNSET

from data_contracts.instants import HOUR_MS, moment
from data_contracts.merchants import MERCHANTS
from serving.domain.case_stakes import CaseStakes
from serving.domain.local_forms import local_amount, local_instant
from serving.domain.merchant_texts import merchant_text
from serving.domain.policy import Policy
from serving.domain.stop_request import StopRequest, StopRequestState
from serving.domain.text_files import FALLBACK_LANGUAGE, text_language
from serving.requests.answer_fields import Instant, instant_or_none
from serving.requests.case_scope import CaseScope
from serving.requests.wire_form import encoded
from serving.stop_requests.stop_request_answers import (
    CONTACT_CHANGED,
    ChangedContactField,
    ContactChangedEvent,
    ContactChangedWebhook,
    ContactChangeNotice,
    StopRequestEvent,
    StopRequestNotice,
    StopRequestWebhook,
)
from serving.store.contact_changes import ContactChange, contact_change, contact_changes
from serving.store.deliveries import EMAIL, STOP_REQUEST_CREATED, WEBHOOK, enqueue
from serving.store.merchant_orders import number_of_order
from serving.store.outbox import CONTACT_CHANGED as CHANGED_KIND
from serving.store.outbox import WaitingMessage, take_message, waiting_messages, work_off_each
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


class _SentNotice(msgspec.Struct, frozen=True, kw_only=True):
    answer_url: str
    question: str | None = None


class _SentWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """What an e-mail in place of a webhook takes from it, also of one that an earlier release left."""

    type: str
    data: _SentNotice


@dataclass(frozen=True, kw_only=True)
class MerchantWords:
    """In which language and zone a merchant is written to, and by which name.

    name: its trading name, its id where the ledger does not know it.
    """

    name: str
    language: str
    zone: zoneinfo.ZoneInfo


def words_for(tx: Transaction, policy: Policy, merchant_id: str) -> MerchantWords:
    """How to write to a merchant, by the newest state of its account; one that is not known reads English."""
    merchant = standing_row(tx, MERCHANTS, merchant_id) or {}
    country = policy.countries.get(merchant.get("country", ""))
    return MerchantWords(
        name=merchant.get("name", merchant_id),
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
    email = _email(policy, request, event_type, stakes, words, link, now_ms, question)
    body = StopRequestWebhook(
        type=StopRequestEvent(event_type),
        timestamp=Instant(now_ms),
        data=StopRequestNotice(
            stop_request_id=request.stop_request_id,
            order_id=request.order_id,
            merchant_order_number=request.merchant_order_number,
            state=request.state,
            requested_at=Instant(request.requested_at_ms),
            answer_due_at=instant_or_none(request.answer_due_at_ms),
            answer_hours=policy.stop_requests.answer_hours,
            amount_cents=stakes.amount_cents,
            currency=stakes.currency,
            answer_url=link,
            language=words.language,
            text=email.body,
            question=UNSET if question is None else question,
        ),
    )
    suffix = event_type.rpartition(".")[2] + ("" if number == 1 else f"-{number}")
    enqueue(
        tx,
        delivery_id=f"{request.stop_request_id}-{suffix}",
        merchant_id=request.merchant_id,
        stop_request_id=request.stop_request_id,
        event_type=event_type,
        channel=WEBHOOK,
        body=encoded(body).decode(),
        now_ms=now_ms,
    )
    _tell_contacts_before(tx, policy, request, event_type, email, suffix=suffix, now_ms=now_ms)


def _tell_contacts_before(
    tx: Transaction,
    policy: Policy,
    request: StopRequest,
    event_type: str,
    text: EmailMessageText,
    *,
    suffix: str,
    now_ms: int,
) -> None:
    """Leave copies of a notice for the mailbox before a contact that changed a short while ago.

    Whoever moved the contact may not be the merchant. A copy starts no clock.
    """
    since_ms = now_ms - policy.stop_requests.contact_change_hours * HOUR_MS
    changes = contact_changes(tx, request.merchant_id, since_ms=since_ms)
    for number, mailbox in enumerate(dict.fromkeys(change.before.email for change in changes), start=1):
        enqueue(
            tx,
            delivery_id=f"{request.stop_request_id}-{suffix}-before-{number}",
            merchant_id=request.merchant_id,
            stop_request_id=request.stop_request_id,
            event_type=event_type,
            channel=EMAIL,
            body=msgspec.json.encode(text).decode(),
            now_ms=now_ms,
            sent_to=mailbox,
        )


def tell_of_contact_changes(scope: CaseScope, limit: int = 100) -> int:
    """Leave the notices of every change of a merchant's contact that was not told yet; returns how many
    messages were worked off. Raises StoreUnavailable.
    """
    with scope.store.reading() as tx:
        messages = waiting_messages(tx, (CHANGED_KIND,), limit, due_at_ms=scope.now_ms())

    def tell(message: WaitingMessage) -> None:
        with scope.store.writing(f"contact-{message.payload['event_id']}") as tx:
            change = contact_change(tx, message.payload["event_id"])
            if take_message(tx, message) and change is not None:
                tell_contact_before(tx, scope.policy, change, now_ms=scope.now_ms())

    return work_off_each(scope.store, messages, tell, scope.now_ms())


def tell_contact_before(tx: Transaction, policy: Policy, change: ContactChange, *, now_ms: int) -> None:
    """Leave the notices of a change of contact: to the endpoint and the mailbox that the merchant had before,
    in the language that it had before. The new contact is named only as far as its owner knows it again.
    """
    language = text_language(change.before.language)
    country = policy.countries.get(change.before.country)
    zone = country.zone if country else zoneinfo.ZoneInfo(policy.order_risk.default_time_zone)
    address, host = masked_email(change.after.email), endpoint_host(change.after.endpoint_url)
    lines = []
    if change.is_new_email:
        lines.append(merchant_text("contact.email", language, address=address))
    if change.is_new_endpoint:
        code = "contact.no_endpoint" if host is None else "contact.endpoint"
        lines.append(merchant_text(code, language, address=host or ""))
    values = {
        "provider_name": policy.provider.name,
        "customer_service": policy.provider.customer_service,
        "merchant_name": change.before.name,
        "time": local_instant(moment(change.at_ms).astimezone(zone), language),
        "hours": str(policy.stop_requests.contact_change_hours),
        "contact": "\n".join(lines),
    }
    text = EmailMessageText(
        subject=merchant_text("email_contact_changed.subject", language, **values),
        body=merchant_text("email_contact_changed.body", language, **values),
    )
    body = ContactChangedWebhook(
        type=ContactChangedEvent.CONTACT_CHANGED,
        timestamp=Instant(now_ms),
        data=ContactChangeNotice(
            merchant_id=change.merchant_id,
            changed_at=Instant(change.at_ms),
            email=address if change.is_new_email else None,
            endpoint_host=host if change.is_new_endpoint else None,
            changed=tuple(
                field
                for field, is_new in (
                    (ChangedContactField.EMAIL, change.is_new_email),
                    (ChangedContactField.ENDPOINT_URL, change.is_new_endpoint),
                )
                if is_new
            ),
            language=language,
            text=text.body,
        ),
    )
    # Event ids hold signs that a delivery's id may not.
    notice_id = f"contact_{hashlib.sha256(change.event_id.encode()).hexdigest()[:24]}"
    notices = [(EMAIL, "mailbox", msgspec.json.encode(text), change.before.email)]
    if change.before.endpoint_url is not None:
        notices.append((WEBHOOK, "endpoint", encoded(body), change.before.endpoint_url))
    for channel, where, content, sent_to in notices:
        enqueue(
            tx,
            delivery_id=f"{notice_id}-{where}",
            merchant_id=change.merchant_id,
            stop_request_id=None,
            event_type=CONTACT_CHANGED,
            channel=channel,
            body=content.decode(),
            now_ms=now_ms,
            sent_to=sent_to,
        )


def masked_email(address: str) -> str:
    """A mailbox as its owner knows it again, and nobody else learns it.

    >>> masked_email("orders@shop.example")
    'o…@shop.example'
    """
    name, _, domain = address.rpartition("@")
    return f"{name[:1]}…@{domain}"


def endpoint_host(url: str | None) -> str | None:
    """The host of an endpoint: user and path may hold a secret. None where there is no endpoint.

    >>> endpoint_host("https://shop:s3cret@hooks.shop.example:8443/in/s3cret?x=1")
    'hooks.shop.example:8443'
    """
    # Not parsed as a URL: what is none is only refused when something is sent there.
    return None if url is None else re.split(r"[/?#]", url.partition("://")[2])[0].rpartition("@")[2]


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
    sent = msgspec.json.decode(webhook_body, type=_SentWebhook)
    return _email(policy, request, sent.type, stakes, words, sent.data.answer_url, now_ms, sent.data.question)


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
    deadline = moment(due_at_ms).astimezone(words.zone)
    values = {
        "provider_name": policy.provider.name,
        "customer_service": policy.provider.customer_service,
        "merchant_name": words.name,
        "order_id": request.order_name,
        "amount": local_amount(stakes.amount_cents, stakes.currency, words.language),
        "link": link,
        "answer_hours": str(policy.stop_requests.answer_hours),
        "deadline": local_instant(deadline, words.language),
        "question": question or "",
    }
    code = _EMAIL_OF[event_type]
    return EmailMessageText(
        subject=merchant_text(f"{code}.subject", words.language, **values),
        body=merchant_text(f"{code}.body", words.language, **values),
    )
