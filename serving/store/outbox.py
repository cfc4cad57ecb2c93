"""The outbox: what a transaction leaves to be worked off after it, elsewhere; once done, it is gone."""

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from data_contracts.instants import DAY_MS, MINUTE_MS
from serving.store.errors import StoreUnavailable
from serving.store.store import Store, Transaction

LOG = logging.getLogger("bonitas.outbox")
POSTPONED_MS = MINUTE_MS

REQUEST_STOP = "request_stop"
FRAUD_CONFIRMED = "fraud_confirmed"
CHECK_CASE = "check_case"
CONTACT_CHANGED = "contact_changed"
DISPUTED_ORDER_INVOICED = "disputed_order_invoiced"
MERCHANT_TOPIC = "merchant_topic"
SETTLEMENT_POSTED = "settlement_posted"
IDENTITY_CLAIMED = "identity_claimed"
WATCH = "invoice_watch"
VERDICT = "verdict"

INVOICE_WATCH_MS = DAY_MS
"""How long after a case is closed its invoice is looked at for the first time."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def append_message(
    tx: Transaction, *, message_id: str, kind: str, payload: dict[str, Any], now_ms: int
) -> None:
    """Leave a message in the outbox: it is worked off after the transaction, elsewhere."""
    tx.execute(
        "INSERT INTO outbox (message_id, kind, payload, created_at_ms) VALUES (?, ?, ?, ?)",
        (message_id, kind, msgspec.json.encode(payload).decode(), now_ms),
    )


def tell_of_fraud(tx: Transaction, order_id: str, now_ms: int) -> None:
    """Leave a message that an order was confirmed as fraud: what is linked to it is looked at again."""
    append_message(
        tx,
        message_id=f"fraud-{order_id}-{secrets.token_hex(4)}",
        kind=FRAUD_CONFIRMED,
        payload={"order_id": order_id},
        now_ms=now_ms,
    )


def ask_for_stop_request(tx: Transaction, case_id: str, *, due_at_ms: int) -> None:
    """Leave a message that a merchant is to be asked, once the stop of a case cannot be undone any more."""
    append_message(
        tx,
        message_id=f"stop-{case_id}-{secrets.token_hex(4)}",
        kind=REQUEST_STOP,
        payload={"case_id": case_id},
        now_ms=due_at_ms,
    )


@dataclass(frozen=True, kw_only=True)
class WaitingMessage:
    """A message in the outbox."""

    created_at_ms: int
    message_id: str
    kind: str
    payload: dict[str, Any]


def waiting_messages(
    tx: Transaction, kinds: Sequence[str], limit: int, *, due_at_ms: int
) -> list[WaitingMessage]:
    """The messages of some kinds that wait longest.

    due_at_ms: those left for later than this, such as a stop that can still be undone, are not among them.
    """
    # One kind at a time is a stretch of the key: what others leave waiting costs nothing.
    rows = [
        row
        for kind in kinds
        for row in tx.execute(
            "SELECT created_at_ms, message_id, kind, payload FROM outbox "
            "WHERE kind = ? AND created_at_ms <= ? ORDER BY created_at_ms, message_id LIMIT ?",
            (kind, due_at_ms, limit),
        )
    ]
    waiting = [
        WaitingMessage(created_at_ms=int(row[0]), message_id=row[1], kind=row[2], payload=_decode(row[3]))
        for row in rows
    ]
    return sorted(waiting, key=lambda message: (message.created_at_ms, message.message_id))[:limit]


def take_message(tx: Transaction, message: WaitingMessage) -> bool:
    """Take a message out of the outbox with this transaction; False where another worker has."""
    return bool(
        tx.execute(
            "DELETE FROM outbox WHERE kind = ? AND created_at_ms = ? AND message_id = ? RETURNING message_id",
            (message.kind, message.created_at_ms, message.message_id),
        )
    )


def work_off_each(
    store: Store, messages: Sequence[WaitingMessage], work: Callable[[WaitingMessage], None], now_ms: int
) -> int:
    """Work off messages one by one; returns how many. One that fails is logged and tried again later.

    now_ms: the clock now, milliseconds. Raises StoreUnavailable: then none could be worked off.
    """
    for message in messages:
        try:
            work(message)
        except StoreUnavailable:
            raise
        except Exception:  # whatever is wrong with one message, the others must not wait behind it
            LOG.exception("message_postponed", extra={"kind": message.kind, "id": message.message_id})
            with store.writing(f"outbox-{message.message_id}") as tx:
                postpone_message(tx, message, now_ms + POSTPONED_MS)
    return len(messages)


def postpone_message(tx: Transaction, message: WaitingMessage, due_at_ms: int) -> None:
    """Let a message wait until later, so that one that cannot be worked off holds up none of the others."""
    tx.execute(
        "UPDATE outbox SET created_at_ms = ? WHERE kind = ? AND created_at_ms = ? AND message_id = ?",
        (due_at_ms, message.kind, message.created_at_ms, message.message_id),
    )


def ask_for_case_check(tx: Transaction, order_id: str, why: str, now_ms: int) -> None:
    """Leave a message that news came about an order that has a review case."""
    append_message(
        tx,
        message_id=f"check-{order_id}-{secrets.token_hex(4)}",
        kind=CHECK_CASE,
        payload={"order_id": order_id, "why": why},
        now_ms=now_ms,
    )


def tell_of_disputed_invoice(tx: Transaction, order_id: str, customer_id: str, now_ms: int) -> None:
    """Leave a message that an invoice came to an order with an open dispute: it is to be paused too."""
    append_message(
        tx,
        message_id=f"disputed-{order_id}-{secrets.token_hex(4)}",
        kind=DISPUTED_ORDER_INVOICED,
        payload={"order_id": order_id, "customer_id": customer_id},
        now_ms=now_ms,
    )


def ask_for_invoice_watch(tx: Transaction, order_id: str, *, since_ms: int, due_at_ms: int) -> None:
    """Leave a message that at `due_at_ms` the invoice of a closed case is to be looked at.

    since_ms: when the watch began.
    """
    append_message(
        tx,
        message_id=f"watch-{order_id}-{secrets.token_hex(4)}",
        kind=CHECK_CASE,
        payload={"order_id": order_id, "why": WATCH, "since_ms": since_ms},
        now_ms=due_at_ms,
    )


def watch_invoice(tx: Transaction, order_id: str, now_ms: int) -> None:
    """See to it that the invoice of a case that is being closed is looked at until it is paid.

    now_ms: when the case is closed; a watch ends where the case was closed again after it began.
    """
    ask_for_invoice_watch(tx, order_id, since_ms=now_ms, due_at_ms=now_ms + INVOICE_WATCH_MS)
