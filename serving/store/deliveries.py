"""Messages to merchants in SQL: what is due, who sends it, what came of it, and the secrets that sign it."""

import base64
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from data_contracts.merchants import MERCHANTS
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

STOP_REQUEST_CREATED = "stop_request.created"

SECRET_PREFIX = "whsec_"  # noqa: S105  the published prefix of Standard Webhooks, no secret
SECRET_BYTES = 32

WEBHOOK = "webhook"
EMAIL = "email"

WAITING = "waiting"
DELIVERED = "delivered"
GONE = "gone"
GIVEN_UP = "given_up"
DROPPED = "dropped"

# It goes into a signed header, a file name and an e-mail's Message-ID.
_DELIVERY_ID = re.compile(r"[A-Za-z0-9_-]{1,190}(-email)?")
_COLUMNS = (
    "delivery_id, merchant_id, stop_request_id, event_type, channel, body, state, created_at_ms, "
    "next_attempt_at_ms, attempts, sent_to"
)
_TURN = f"CASE WHEN channel = '{EMAIL}' THEN '{EMAIL}' ELSE merchant_id || ' ' || coalesce(sent_to, '') END"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One message on its way to a merchant.

    stop_request_id: None for a notice about the merchant's account itself.
    sent_to: a mailbox or endpoint that the merchant had before; None for where it is reached when it is sent.
    next_attempt_at_ms: None once nothing more is tried; while it is being sent, the end of the lease.
    attempts: that came to an end, since it was enqueued or last sent again by hand.
    """

    delivery_id: str
    merchant_id: str
    stop_request_id: str | None
    event_type: str
    channel: str
    body: str
    state: str
    created_at_ms: int
    next_attempt_at_ms: int | None
    attempts: int
    sent_to: str | None = None

    @property
    def turn(self) -> str:
        """Where it takes its turn: at the mail server, or at an endpoint of its merchant. As `_TURN`."""
        return EMAIL if self.channel == EMAIL else f"{self.merchant_id} {self.sent_to or ''}"


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt:
    """What came of one attempt. status: None where there was no HTTP answer."""

    attempt: int
    at_ms: int
    outcome: str
    status: int | None
    detail: str


def _delivery(row: Sequence[Any]) -> Delivery:
    return Delivery(
        delivery_id=row[0],
        merchant_id=row[1],
        stop_request_id=row[2],
        event_type=row[3],
        channel=row[4],
        body=row[5],
        state=row[6],
        created_at_ms=int(row[7]),
        next_attempt_at_ms=None if row[8] is None else int(row[8]),
        attempts=int(row[9]),
        sent_to=row[10],
    )


def email_delivery_id(delivery_id: str) -> str:
    """The id of the e-mail that goes out in place of a webhook: one for a webhook, for ever."""
    return f"{delivery_id}-email"


def enqueue(
    tx: Transaction,
    *,
    delivery_id: str,
    merchant_id: str,
    stop_request_id: str | None,
    event_type: str,
    channel: str,
    body: str,
    now_ms: int,
    sent_to: str | None = None,
) -> bool:
    """Leave a message to be sent at once; False, and nothing changes, where its id is known already.

    delivery_id: letters, digits, '_' and '-', else ValueError.
    body: of a webhook, what is sent, to the byte; of an e-mail, what `dispatch.email_payload` makes.
    """
    if not _DELIVERY_ID.fullmatch(delivery_id):
        raise ValueError("a delivery id holds at most 190 letters, digits, '_' and '-'")
    if channel not in {WEBHOOK, EMAIL}:
        raise ValueError(f"there is no channel {channel}")
    return bool(
        tx.execute(
            f"INSERT INTO deliveries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?) "  # noqa: S608 - a constant
            "ON CONFLICT (delivery_id) DO NOTHING RETURNING delivery_id",
            (
                delivery_id,
                merchant_id,
                stop_request_id,
                event_type,
                channel,
                body,
                WAITING,
                now_ms,
                now_ms,
                sent_to,
            ),
        )
    )


def due(
    tx: Transaction,
    now_ms: int,
    limit: int,
    *,
    of_one: int | None = None,
    not_in_turn: Collection[str] = (),
    only_in_turn: Collection[str] | None = None,
) -> list[Delivery]:
    """The messages whose next attempt is due, the most overdue first: one indexed read.

    of_one: at most so many of one `turn`, so that one that is long hides none of the others.
    not_in_turn: turns that are left out. only_in_turn: those that are looked at; None for all.
    """
    if only_in_turn is not None:
        wanted = sorted(set(only_in_turn) - set(not_in_turn))
        if not wanted:
            return []
        turns, asked = "WHERE turn IN", wanted
    else:
        turns, asked = "WHERE turn NOT IN", list(not_in_turn)
    left_out = f"{turns} ({', '.join('?' * len(asked))})" if asked else ""
    in_time = f"SELECT delivery_id, next_attempt_at_ms, {_TURN} AS turn FROM deliveries "  # noqa: S608 - constants
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM deliveries WHERE delivery_id IN ("  # noqa: S608 - constants
        "SELECT delivery_id FROM (SELECT delivery_id, next_attempt_at_ms, row_number() OVER "
        "(PARTITION BY turn ORDER BY next_attempt_at_ms, delivery_id) AS place "
        f"FROM ({in_time} WHERE next_attempt_at_ms <= ? AND channel IN (?, ?)) AS waiting {left_out}) "
        "AS placed "
        "WHERE place <= ? ORDER BY next_attempt_at_ms, delivery_id LIMIT ?) "
        "ORDER BY next_attempt_at_ms, delivery_id",
        # What goes by a channel that is not known here waits for the release that left it.
        (now_ms, WEBHOOK, EMAIL, *asked, limit if of_one is None else of_one, limit),
    )
    return [_delivery(row) for row in rows]


def lease(tx: Transaction, delivery_id: str, seen_next_attempt_at_ms: int, until_ms: int) -> bool:
    """Take a message for sending; False where another worker was faster.

    Nobody else sends it before `until_ms`; a worker that is killed meanwhile leaves it to others then.
    """
    return bool(
        tx.execute(
            "UPDATE deliveries SET next_attempt_at_ms = ? WHERE delivery_id = ? AND next_attempt_at_ms = ? "
            "RETURNING delivery_id",
            (until_ms, delivery_id, seen_next_attempt_at_ms),
        )
    )


def record_attempt(
    tx: Transaction, delivery_id: str, *, at_ms: int, outcome: str, status: int | None, detail: str
) -> Delivery:
    """Write down what came of an attempt; returns the message as it stands, held until the commit.

    Raises KeyError where there is no such message.
    """
    # First the update: it keeps others from counting to the same number.
    rows = tx.execute(
        f"UPDATE deliveries SET attempts = attempts + 1 WHERE delivery_id = ? RETURNING {_COLUMNS}",  # noqa: S608 - a constant
        (delivery_id,),
    )
    if not rows:
        raise KeyError(delivery_id)
    tx.execute(
        "INSERT INTO delivery_attempts (delivery_id, attempt, at_ms, outcome, status, detail) SELECT ?, "
        "coalesce(max(attempt), 0) + 1, ?, ?, ?, ? FROM delivery_attempts WHERE delivery_id = ?",
        (delivery_id, at_ms, outcome, status, detail, delivery_id),
    )
    return _delivery(rows[0])


def finish(tx: Transaction, delivery_id: str, state: str) -> None:
    """Try nothing more: the message is delivered, gone, given_up or dropped."""
    tx.execute(
        "UPDATE deliveries SET state = ?, next_attempt_at_ms = NULL WHERE delivery_id = ?",
        (state, delivery_id),
    )


def schedule(tx: Transaction, delivery_id: str, next_attempt_at_ms: int) -> None:
    """Try again at an instant."""
    tx.execute(
        "UPDATE deliveries SET next_attempt_at_ms = ? WHERE delivery_id = ?",
        (next_attempt_at_ms, delivery_id),
    )


def drop_waiting(tx: Transaction, stop_request_id: str, event_types: Collection[str] | None = None) -> None:
    """Send nothing more of what waits about a stop request: it was overtaken. event_types: None for all."""
    # One by one in the order in which workers lease them: they would wait for each other in a circle.
    for delivery in sorted(deliveries_of(tx, stop_request_id), key=lambda kept: kept.delivery_id):
        if delivery.state == WAITING and (event_types is None or delivery.event_type in event_types):
            tx.execute(
                "UPDATE deliveries SET state = ?, next_attempt_at_ms = NULL "
                "WHERE delivery_id = ? AND state = ?",
                (DROPPED, delivery.delivery_id, WAITING),
            )


def lock_name(tx: Transaction, delivery: Delivery) -> str:
    """What to hold while a notice is recorded: the lock of its case, as every step on the request does."""
    if delivery.stop_request_id is None:
        return f"delivery-{delivery.delivery_id}"
    rows = tx.execute(
        "SELECT case_id FROM stop_requests WHERE stop_request_id = ?", (delivery.stop_request_id,)
    )
    return f"case-{rows[0][0]}" if rows else delivery.stop_request_id


def resend(tx: Transaction, delivery_id: str, now_ms: int) -> bool:
    """By hand: try a finished message again, at once and with the whole schedule.

    False where there is none, or where it is waiting for its next attempt anyway.
    """
    return bool(
        tx.execute(
            "UPDATE deliveries SET state = ?, next_attempt_at_ms = ?, attempts = 0 "
            "WHERE delivery_id = ? AND state <> ? RETURNING delivery_id",
            (WAITING, now_ms, delivery_id, WAITING),
        )
    )


def delivery_of(tx: Transaction, delivery_id: str) -> Delivery | None:
    """One message by its id."""
    rows = tx.execute(f"SELECT {_COLUMNS} FROM deliveries WHERE delivery_id = ?", (delivery_id,))  # noqa: S608 - a constant
    return _delivery(rows[0]) if rows else None


def deliveries_of(tx: Transaction, stop_request_id: str) -> list[Delivery]:
    """Every message about a stop request, in the order in which they were enqueued."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM deliveries WHERE stop_request_id = ? ORDER BY created_at_ms, delivery_id",  # noqa: S608 - a constant
        (stop_request_id,),
    )
    return [_delivery(row) for row in rows]


def attempts_of(tx: Transaction, delivery_id: str) -> list[DeliveryAttempt]:
    """Every attempt that came to an end, in order."""
    rows = tx.execute(
        "SELECT attempt, at_ms, outcome, status, detail FROM delivery_attempts WHERE delivery_id = ? "
        "ORDER BY attempt",
        (delivery_id,),
    )
    return [
        DeliveryAttempt(
            attempt=int(row[0]),
            at_ms=int(row[1]),
            outcome=row[2],
            status=None if row[3] is None else int(row[3]),
            detail=row[4],
        )
        for row in rows
    ]


def is_reached(tx: Transaction, stop_request_id: str) -> bool:
    """Whether the merchant was told of a stop request, by whichever channel; not by a copy to where it was
    reached before.
    """
    return bool(
        tx.execute(
            "SELECT 1 FROM deliveries JOIN delivery_attempts "
            "ON delivery_attempts.delivery_id = deliveries.delivery_id "
            "WHERE stop_request_id = ? AND event_type = ? AND outcome = ? AND sent_to IS NULL LIMIT 1",
            (stop_request_id, STOP_REQUEST_CREATED, DELIVERED),
        )
    )


def is_told(tx: Transaction, delivery_id: str) -> bool:
    """Whether one message was taken at least once."""
    return bool(
        tx.execute(
            "SELECT 1 FROM delivery_attempts WHERE delivery_id = ? AND outcome = ? LIMIT 1",
            (delivery_id, DELIVERED),
        )
    )


def notices_of_account(tx: Transaction, merchant_id: str) -> list[Delivery]:
    """Every notice about a merchant's account itself, in the order in which they were enqueued."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM deliveries WHERE stop_request_id IS NULL AND merchant_id = ? "  # noqa: S608 - a constant
        "AND event_type LIKE ? ORDER BY created_at_ms, delivery_id",
        (merchant_id, "merchant.%"),
    )
    return [_delivery(row) for row in rows]


def overdue_webhooks(tx: Transaction, created_until_ms: int) -> list[Delivery]:
    """Webhooks that still wait, without an e-mail in their place; to a contact of before one goes anyway."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM deliveries WHERE next_attempt_at_ms IS NOT NULL AND channel = ? "  # noqa: S608 - a constant
        "AND sent_to IS NULL AND created_at_ms <= ? AND NOT EXISTS (SELECT 1 FROM deliveries AS others "
        "WHERE others.delivery_id = deliveries.delivery_id || '-email') "
        "ORDER BY created_at_ms, delivery_id",
        (WEBHOOK, created_until_ms),
    )
    return [_delivery(row) for row in rows]


def end_endpoint(tx: Transaction, merchant_id: str, ended_at_ms: int) -> None:
    """Send nothing more to the endpoint that a merchant had at an instant."""
    tx.execute(
        "INSERT INTO webhook_endpoints (merchant_id, ended_at_ms) VALUES (?, ?) "
        "ON CONFLICT (merchant_id) DO UPDATE SET ended_at_ms = excluded.ended_at_ms",
        (merchant_id, ended_at_ms),
    )


def endpoint_has_ended(tx: Transaction, merchant_id: str, endpoint_url: str) -> bool:
    """Whether a merchant's endpoint was ended; another URL that the merchant named later has not."""
    rows = tx.execute("SELECT ended_at_ms FROM webhook_endpoints WHERE merchant_id = ?", (merchant_id,))
    if not rows or rows[0][0] is None:
        return False
    merchant = standing_row(tx, MERCHANTS, merchant_id, recorded_until_ms=int(rows[0][0]))
    return merchant is not None and merchant.get("endpoint_url") == endpoint_url


def new_secret() -> str:
    """A new signing secret: `whsec_` and 32 random bytes in base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def secrets_in_force(tx: Transaction, merchant_id: str, now_ms: int) -> list[str]:
    """The secrets that sign a merchant's messages now, the newest first."""
    rows = tx.execute(
        "SELECT secret FROM webhook_secrets WHERE merchant_id = ? AND (ends_at_ms IS NULL OR ends_at_ms > ?) "
        "ORDER BY created_at_ms DESC",
        (merchant_id, now_ms),
    )
    return [str(secret) for (secret,) in rows]


def current_secrets(tx: Transaction, merchant_id: str, now_ms: int) -> list[str]:
    """The secrets that sign a merchant's messages now, the newest first; makes the first one."""
    known = secrets_in_force(tx, merchant_id, now_ms)
    if known:
        return known
    _lock_secrets(tx, merchant_id)
    return secrets_in_force(tx, merchant_id, now_ms) or [_add_secret(tx, merchant_id, now_ms)]


def rotate_secret(tx: Transaction, merchant_id: str, now_ms: int, overlap_ms: int) -> str:
    """A new secret for a merchant; those before it sign as well for `overlap_ms`, and no longer."""
    _lock_secrets(tx, merchant_id)
    tx.execute(
        "UPDATE webhook_secrets SET ends_at_ms = ? "
        "WHERE merchant_id = ? AND (ends_at_ms IS NULL OR ends_at_ms > ?)",
        (now_ms + overlap_ms, merchant_id, now_ms + overlap_ms),
    )
    return _add_secret(tx, merchant_id, now_ms)


def _lock_secrets(tx: Transaction, merchant_id: str) -> None:
    tx.lock(f"webhook-secrets-{merchant_id}")


def _add_secret(tx: Transaction, merchant_id: str, now_ms: int) -> str:
    secret = new_secret()
    # Two within a millisecond keep their order.
    ((last_ms,),) = tx.execute(
        "SELECT max(created_at_ms) FROM webhook_secrets WHERE merchant_id = ?", (merchant_id,)
    )
    tx.execute(
        "INSERT INTO webhook_secrets (merchant_id, created_at_ms, secret) VALUES (?, ?, ?)",
        (merchant_id, now_ms if last_ms is None else max(now_ms, int(last_ms) + 1), secret),
    )
    return secret
