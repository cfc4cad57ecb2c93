"""Idempotency keys: the same key and body get the same answer again."""

import hashlib

import msgspec

from serving.store.store import Transaction


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that was given under a key. status: HTTP status; answer: the body as it was sent."""

    request_sha256: str
    status: int
    answer: str


def request_sha256(method_and_path: str, body: bytes) -> str:
    """The fingerprint of a request."""
    return hashlib.sha256(method_and_path.encode() + b"\n" + body).hexdigest()


def answer_under(tx: Transaction, *, caller: str, key: str) -> StoredAnswer | None:
    """What this caller was answered under this key, None if nothing."""
    rows = tx.execute(
        "SELECT request_sha256, status, answer FROM idempotency_keys "
        "WHERE caller = ? AND idempotency_key = ?",
        (caller, key),
    )
    if not rows:
        return None
    return StoredAnswer(request_sha256=rows[0][0], status=int(rows[0][1]), answer=rows[0][2])


def keep_answer(tx: Transaction, *, caller: str, key: str, answer: StoredAnswer, now_ms: int) -> None:
    """Remember an answer, in the transaction that gave it."""
    tx.execute(
        "INSERT INTO idempotency_keys (caller, idempotency_key, request_sha256, status, answer, "
        "created_at_ms) VALUES (?, ?, ?, ?, ?, ?)",
        (caller, key, answer.request_sha256, answer.status, answer.answer, now_ms),
    )
