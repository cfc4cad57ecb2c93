"""Signatures of Standard Webhooks, so that merchants verify with a library they already have."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

# The signed text is "id.timestamp.body": a full stop in the id would let two messages share one text.
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]+")


def signed_headers(message_id: str, sent_at: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The three headers that sign one attempt. Raises ValueError where they could not be verified.

    message_id: the same for every attempt, so that a receiver can tell a repetition.
    sent_at: aware, of this attempt: receivers refuse what is more than five minutes old.
    body: the very bytes that are sent; UTF-8.
    secrets: one, or several while a secret is being replaced: a receiver that knows any one verifies.
    """
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError("a message id holds letters, digits, '_' and '-' only")
    if sent_at.tzinfo is None:
        raise ValueError("sent_at must be aware")
    if not secrets:
        raise ValueError("a message needs at least one secret")
    # The library overwrites the time zone instead of converting it.
    timestamp = sent_at.astimezone(UTC)
    text = body.decode("utf-8")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(timestamp.timestamp())),
        "webhook-signature": " ".join(
            Webhook(secret).sign(message_id, timestamp, text) for secret in secrets
        ),
    }
