"""The same Idempotency-Key and request get the same answer; with another request the key is refused."""

from typing import TypeVar

import msgspec

from serving.domain.errors import IdempotencyConflict
from serving.requests.wire_form import decoded, encoded
from serving.store.api_keys import Caller
from serving.store.idempotency import StoredAnswer, answer_under, keep_answer, request_sha256
from serving.store.store import Transaction

Answer = TypeVar("Answer")


def fingerprint(method_and_path: str, body: object) -> str:
    """Of a request: two bodies that mean the same have the same fingerprint."""
    return request_sha256(method_and_path, msgspec.json.encode(body, order="deterministic"))


def earlier_answer(
    tx: Transaction, answer: type[Answer], *, caller: Caller, key: str | None, request: str
) -> Answer | None:
    """What this request was answered before. Raises IdempotencyConflict when the key was another's.

    answer: its type, as it was kept.
    """
    if key is None:
        return None
    stored = answer_under(tx, caller=caller.name, key=key)
    if stored is None:
        return None
    if stored.request_sha256 != request:
        raise IdempotencyConflict("use a new Idempotency-Key for another request")
    return decoded(stored.answer, answer)


def remember_answer(
    tx: Transaction,
    answer: object,
    *,
    caller: Caller,
    key: str | None,
    request: str,
    now_ms: int,
) -> None:
    """Keep an answer under its key, in the transaction that it belongs to."""
    if key is not None:
        kept = StoredAnswer(request_sha256=request, status=200, answer=encoded(answer).decode())
        keep_answer(tx, caller=caller.name, key=key, answer=kept, now_ms=now_ms)
