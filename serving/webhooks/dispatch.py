"""Use case: bring every waiting message to its merchant, at least once, by webhook or else by e-mail.

A message is leased, sent outside of any transaction, and what came of it is recorded. A worker that is
killed in between leaves the message to whoever looks after the lease: the merchant may then get it twice,
under the same id, but never not at all.
"""

import itertools
import logging
import queue
import smtplib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from data_contracts.instants import MINUTE_MS, moment
from data_contracts.merchants import MERCHANTS
from serving.domain.merchant_topics import TopicChannel
from serving.store.deliveries import (
    DELIVERED,
    DROPPED,
    EMAIL,
    GIVEN_UP,
    GONE,
    STOP_REQUEST_CREATED,
    WAITING,
    Delivery,
    current_secrets,
    delivery_of,
    due,
    email_delivery_id,
    end_endpoint,
    endpoint_has_ended,
    enqueue,
    finish,
    is_reached,
    is_told,
    lease,
    lock_name,
    overdue_webhooks,
    record_attempt,
    schedule,
    secrets_in_force,
)
from serving.store.standing_rows import standing_row
from serving.store.store import Store, Transaction
from serving.store.topic_choices import chosen_channel
from serving.webhooks.delivery import (
    TIMEOUT_SECONDS,
    DeliveryKind,
    DeliveryResult,
    send,
)
from serving.webhooks.endpoint_url import (
    EndpointRefusedError,
    EndpointUnresolvedError,
    Resolver,
    check_endpoint,
)
from serving.webhooks.mailbox import EmailMessageText, Mailbox
from serving.webhooks.retry_schedule import next_attempt_after_ms
from serving.webhooks.sending_places import AT_ONE_ENDPOINT, BEGUN_AT_ONCE, SendingPlaces, Standing
from serving.webhooks.signing import signed_headers

LOG = logging.getLogger("bonitas.webhooks")

FALLBACK_AFTER_MS = 15 * MINUTE_MS
LEASE_MS = 120_000
LOOKED_AT_ONCE = 256
LOOK_SECONDS = 0.1
END_WITHIN_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class DispatchScope:
    """What sending needs.

    timeout_seconds: for one webhook attempt. lease_ms: longer than any attempt takes, else ValueError.
    jitter: random in [0, 1).
    receivers_now_ms: the clock that a receiver verifies an attempt's timestamp by; None where it is `now_ms`.
        In a sandbox that is moved, and the receiver's is not.
    on_delivered: told of the first time that a merchant was reached about a stop request, with the
        instant, in the transaction that records it; that transaction holds the lock of its case.
    fallback_email: what an e-mail says in place of a webhook, None where none is needed any more.
    """

    store: Store
    now_ms: Callable[[], int]
    resolve: Resolver
    allow_private_addresses: bool
    jitter: Callable[[], float]
    mailbox: Mailbox
    on_delivered: Callable[[Transaction, str, int], None]
    fallback_email: Callable[[Transaction, Delivery], EmailMessageText | None]
    receivers_now_ms: Callable[[], int] | None = None
    timeout_seconds: float = TIMEOUT_SECONDS
    fallback_after_ms: int = FALLBACK_AFTER_MS
    lease_ms: int = LEASE_MS

    def __post_init__(self) -> None:
        if self.lease_ms <= self.timeout_seconds * 1_000:
            raise ValueError("a lease must outlast an attempt")


class Dispatcher:
    """Sends what is due, each message in a thread of its own, and waits for none: for one thread to turn.

    Whoever hangs holds up only what is for him (`sending_places`). monotonic: a clock in seconds that only
    moves on.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._places = SendingPlaces()
        self._monotonic = monotonic
        self._attempts = itertools.count(1)
        self._came_back: queue.SimpleQueue[tuple[int, _Message, DeliveryResult]] = queue.SimpleQueue()

    @property
    def on_the_way(self) -> int:
        """How many messages are being sent now."""
        return len(self._places)

    def turn(self, scope: DispatchScope, limit: int = BEGUN_AT_ONCE) -> int:
        """Record what has come back and send at most `limit` more of what is due; how much was done.

        Raises StoreUnavailable, also for one message whose result could not be recorded: it is sent again
        after its lease.
        """
        problems: list[Exception] = []
        recorded = self._record_what_came_back(scope, problems)
        _raise_first(problems)
        started = self._send_what_is_due(scope, limit)
        if not recorded and not started and self.on_the_way:
            recorded = self._record_what_came_back(scope, problems, wait_seconds=LOOK_SECONDS)
            _raise_first(problems)
        return recorded + started

    def end(self, scope: DispatchScope, within_seconds: float = END_WITHIN_SECONDS) -> None:
        """Record what still comes back in time; what does not is sent again after its lease.

        Raises what the first of those raised that could not be recorded, once the others are.
        """
        until = time.monotonic() + within_seconds
        problems: list[Exception] = []
        while self.on_the_way and time.monotonic() < until:
            self._record_what_came_back(scope, problems, wait_seconds=LOOK_SECONDS)
        _raise_first(problems)

    def send_and_wait(self, scope: DispatchScope, limit: int) -> int:
        """Send at most `limit` of what is due, also of what comes due by it, and wait for every one.

        Returns how many attempts were recorded. Raises what the first of those raised that were not.
        """
        started = recorded = 0
        problems: list[Exception] = []
        while True:
            begun = self._send_what_is_due(scope, limit - started)
            started += begun
            if not begun and not self.on_the_way:
                break
            recorded += self._record_what_came_back(scope, problems, wait_seconds=LOOK_SECONDS)
        _raise_first(problems)
        return recorded

    def _send_what_is_due(self, scope: DispatchScope, limit: int) -> int:
        leased = _lease(scope, partial(self._in_turn, limit)) if limit > 0 else []
        if not leased:
            return 0
        for message in _prepared(scope, leased):
            attempt = next(self._attempts)
            # A thread that does not keep the process from ending: whoever hangs may hang on.
            threading.Thread(
                target=self._send,
                args=(scope, attempt, message),
                name=message.delivery.delivery_id,
                daemon=True,
            ).start()
            # Not before: a thread that the system refuses would hold its place for ever.
            self._places.begins(attempt, message.delivery.turn, self._monotonic())
        return len(leased)

    def _in_turn(self, limit: int, tx: Transaction, now_ms: int) -> list[Delivery]:
        """What is due and may be sent beside what is on its way, the most overdue first."""
        while True:
            now_s, learned = self._monotonic(), False
            is_for_all = self._places.room(now_s).is_left_for(Standing.UNTRIED)
            found = due(
                tx,
                now_ms,
                LOOKED_AT_ONCE,
                of_one=AT_ONE_ENDPOINT,
                not_in_turn=self._places.full_turns(),
                only_in_turn=None if is_for_all else self._places.answering_turns(),
            )
            for delivery in found:
                if delivery.attempts and self._places.did_not_answer_before(delivery.turn):
                    learned = True
            room = self._places.room(now_s)
            chosen: list[Delivery] = []
            for delivery in found:
                if len(chosen) < limit and room.take(delivery.turn):
                    chosen.append(delivery)
            # Those who hang must not hide who comes after them: each round knows more of them.
            if chosen or not learned or len(found) < LOOKED_AT_ONCE:
                return chosen

    def _send(self, scope: DispatchScope, attempt: int, message: "_Message") -> None:
        self._came_back.put((attempt, message, _send(scope, message)))

    def _record_what_came_back(
        self, scope: DispatchScope, problems: list[Exception], wait_seconds: float = 0.0
    ) -> int:
        """Record what is there, and wait for the first of it; how much. problems: takes what went wrong."""
        recorded = 0
        while True:
            try:
                attempt, message, result = self._came_back.get(
                    timeout=wait_seconds or None, block=wait_seconds > 0
                )
            except queue.Empty:
                return recorded
            wait_seconds = 0.0
            has_answered = (
                result.kind is not DeliveryKind.RETRY or result.status is not None or result.was_answered
            )
            self._places.comes_back(attempt, answered=has_answered)
            try:
                _record(scope, message, result)
                recorded += 1
            except Exception as problem:  # one message's trouble must not cost the others their record
                problems.append(problem)


def _raise_first(problems: Sequence[Exception]) -> None:
    if problems:
        raise problems[0]


def dispatch_due(scope: DispatchScope, limit: int = 50) -> int:
    """Send what is due, several at once, and wait for it; returns how many attempts were recorded.

    Raises StoreUnavailable.
    """
    return Dispatcher().send_and_wait(scope, limit)


def send_fallbacks(scope: DispatchScope) -> int:
    """Enqueue an e-mail for each notice that its webhook did not bring in time; returns how many.

    The next `dispatch_due` sends them. Raises StoreUnavailable.
    """
    written = 0
    with scope.store.reading() as tx:
        overdue = [
            (webhook, lock_name(tx, webhook))
            for webhook in overdue_webhooks(tx, scope.now_ms() - scope.fallback_after_ms)
        ]
    for webhook, lock in overdue:
        with scope.store.writing(lock) as tx:
            written += _enqueue_fallback(scope, tx, webhook, scope.now_ms())
    return written


def email_payload(text: EmailMessageText) -> str:
    """The `body` of a delivery by e-mail, for `deliveries.enqueue`."""
    return msgspec.json.encode(text).decode()


@dataclass(frozen=True, kw_only=True)
class _Message:
    """A leased message with all that sending it needs. endpoint_url: None where there is none in use."""

    delivery: Delivery
    started_at_ms: int
    lock: str
    is_known_merchant: bool
    email: str
    endpoint_url: str | None
    secrets: Sequence[str]


def _lease(scope: DispatchScope, in_turn: Callable[[Transaction, int], Sequence[Delivery]]) -> list[Delivery]:
    """What this worker may send now, of what is due and in turn."""
    now_ms = scope.now_ms()
    with scope.store.reading() as tx:
        waiting = in_turn(tx, now_ms)
    if not waiting:
        return []
    until_ms = now_ms + scope.lease_ms
    with scope.store.writing() as tx:
        # In one order for all workers: they would wait for each other in a circle.
        return [
            replace(delivery, next_attempt_at_ms=until_ms)
            for delivery in sorted(waiting, key=lambda delivery: delivery.delivery_id)
            if delivery.next_attempt_at_ms is not None
            and lease(tx, delivery.delivery_id, delivery.next_attempt_at_ms, until_ms)
        ]


def _prepared(scope: DispatchScope, leased: Sequence[Delivery]) -> list[_Message]:
    now_ms = scope.now_ms()
    with scope.store.reading() as tx:
        messages = [_looked_up(tx, delivery, now_ms) for delivery in leased]
    if any(message.endpoint_url is not None and not message.secrets for message in messages):
        with scope.store.writing() as tx:
            # As above: the secrets' locks in one order.
            messages = [
                replace(message, secrets=current_secrets(tx, message.delivery.merchant_id, now_ms))
                for message in sorted(messages, key=lambda message: message.delivery.merchant_id)
            ]
    return messages


def _looked_up(tx: Transaction, delivery: Delivery, now_ms: int) -> _Message:
    merchant: dict[str, Any] = standing_row(tx, MERCHANTS, delivery.merchant_id) or {}
    url: str | None = merchant.get("endpoint_url")
    is_by_email = chosen_channel(tx, delivery.merchant_id, delivery.event_type) is TopicChannel.EMAIL
    is_out_of_use = url is None or is_by_email or endpoint_has_ended(tx, delivery.merchant_id, url)
    in_use = None if is_out_of_use else url
    return _Message(
        delivery=delivery,
        started_at_ms=now_ms,
        lock=lock_name(tx, delivery),
        is_known_merchant=bool(merchant),
        email=delivery.sent_to or merchant.get("email", ""),
        endpoint_url=delivery.sent_to or in_use,
        secrets=secrets_in_force(tx, delivery.merchant_id, now_ms),
    )


def _send(scope: DispatchScope, message: _Message) -> DeliveryResult:
    """One attempt, in a thread without the store. Whatever happens is a result."""
    if not message.is_known_merchant:
        return _failed("the merchant is not known")
    try:
        if message.delivery.channel == EMAIL:
            return _send_email(scope, message)
        if message.endpoint_url is None:
            return DeliveryResult(kind=DeliveryKind.GONE, status=None, detail="no endpoint")
        return _send_webhook(scope, message, message.endpoint_url)
    except EndpointRefusedError as refusal:
        return _failed(refusal.rule.value)
    except EndpointUnresolvedError:
        # Without the name server's words: they may be about our own network.
        return _failed("the host cannot be resolved")
    except Exception as problem:  # a message that cannot be sent must not keep the others waiting
        LOG.exception("delivery %s failed", message.delivery.delivery_id)
        return _failed(type(problem).__name__)


def _send_webhook(scope: DispatchScope, message: _Message, url: str) -> DeliveryResult:
    endpoint = check_endpoint(
        url, resolve=scope.resolve, allow_private_addresses=scope.allow_private_addresses
    )
    body = message.delivery.body.encode()
    sent_at = moment((scope.receivers_now_ms or scope.now_ms)())
    headers = signed_headers(message.delivery.delivery_id, sent_at, body, message.secrets)
    return send(endpoint, headers, body, timeout_seconds=scope.timeout_seconds)


def _send_email(scope: DispatchScope, message: _Message) -> DeliveryResult:
    text = msgspec.json.decode(message.delivery.body, type=EmailMessageText)
    try:
        scope.mailbox.send(message.email, text.subject, text.body, message.delivery.delivery_id)
    except OSError as problem:
        LOG.warning("e-mail %s was not taken: %s", message.delivery.delivery_id, problem)
        failed = _failed(f"e-mail not taken: {type(problem).__name__}")
        # Refusing one address is an answer: the others need not wait as for a server that hangs.
        is_refusal = isinstance(problem, (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused))
        return replace(failed, was_answered=is_refusal)
    return DeliveryResult(kind=DeliveryKind.DELIVERED, status=None, detail="e-mail taken")


def _failed(detail: str) -> DeliveryResult:
    return DeliveryResult(kind=DeliveryKind.RETRY, status=None, detail=detail)


def _record(scope: DispatchScope, message: _Message, result: DeliveryResult) -> None:
    delivery_id, stop_request_id = message.delivery.delivery_id, message.delivery.stop_request_id
    with scope.store.writing(message.lock) as tx:
        now_ms = scope.now_ms()
        was_reached = stop_request_id is None or is_reached(tx, stop_request_id)
        stored = record_attempt(
            tx,
            delivery_id,
            at_ms=now_ms,
            outcome=result.kind.value,
            status=result.status,
            detail=result.detail,
        )
        if result.kind is DeliveryKind.DELIVERED:
            finish(tx, delivery_id, DELIVERED)
            is_request = stored.event_type == STOP_REQUEST_CREATED and stored.sent_to is None
            if stop_request_id is not None and is_request and not was_reached:
                scope.on_delivered(tx, stop_request_id, now_ms)
        elif result.kind is DeliveryKind.GONE:
            if message.endpoint_url is not None and stored.sent_to is None:
                # As of the look-up: the merchant may have named another endpoint since.
                end_endpoint(tx, stored.merchant_id, message.started_at_ms)
            if stored.state == WAITING:
                finish(tx, delivery_id, GONE)
                _enqueue_fallback(scope, tx, stored, now_ms)
        elif stored.next_attempt_at_ms == message.delivery.next_attempt_at_ms:
            # Not where the lease has ended: what comes next is then for the worker that has it now.
            _try_later(scope, tx, stored, result, now_ms)


def _try_later(
    scope: DispatchScope, tx: Transaction, delivery: Delivery, result: DeliveryResult, now_ms: int
) -> None:
    wait_ms = next_attempt_after_ms(delivery.attempts, result.retry_after_seconds, scope.jitter())
    if wait_ms is not None:
        schedule(tx, delivery.delivery_id, now_ms + wait_ms)
        return
    finish(tx, delivery.delivery_id, GIVEN_UP)
    LOG.error("delivery %s is given up: %s", delivery.delivery_id, result.detail)
    _enqueue_fallback(scope, tx, delivery, now_ms)


def _enqueue_fallback(scope: DispatchScope, tx: Transaction, webhook: Delivery, now_ms: int) -> bool:
    """One e-mail in place of a webhook, unless the merchant was reached or there is nothing to say."""
    if webhook.channel == EMAIL or webhook.sent_to is not None:
        return False
    email_id = email_delivery_id(webhook.delivery_id)
    now = delivery_of(tx, webhook.delivery_id)
    is_overtaken = now is None or now.state in {DELIVERED, DROPPED}
    if is_overtaken or is_told(tx, webhook.delivery_id) or delivery_of(tx, email_id) is not None:
        return False
    text = scope.fallback_email(tx, webhook)
    if text is None:
        return False
    return enqueue(
        tx,
        delivery_id=email_id,
        merchant_id=webhook.merchant_id,
        stop_request_id=webhook.stop_request_id,
        event_type=webhook.event_type,
        channel=EMAIL,
        body=email_payload(text),
        now_ms=now_ms,
    )
