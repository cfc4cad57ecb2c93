"""Stop requests, the recalls that follow from them, and keys that sign, in SQL."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from serving.domain.stop_request import RecallResult, StopRequest, StopRequestState
from serving.store.store import Transaction

SIGNING_KEY_BYTES = 32
NOT_REACHED_MS = 10**15
"""In the order of a list, the deadline of a request that has reached no merchant yet: after all others."""


@dataclass(frozen=True, kw_only=True)
class StoredStopRequest:
    """A stop request as it is kept."""

    request: StopRequest
    case_id: str
    version: int


@dataclass(frozen=True, kw_only=True)
class RecallTask:
    """A parcel that the provider recalls for the merchant. result, done_at_ms, done_by: None while open."""

    stop_request_id: str
    carrier: str
    tracking_number: str
    created_at_ms: int
    result: RecallResult | None
    done_at_ms: int | None
    done_by: str | None


class StopRequestMovedError(Exception):
    """Somebody else changed the stop request meanwhile; look again."""


_COLUMNS = "case_id, version, record"
_RECALL_COLUMNS = "stop_request_id, carrier, tracking_number, created_at_ms, result, done_at_ms, done_by"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def _record(stored: StoredStopRequest) -> str:
    return msgspec.json.encode({"request": stored.request}).decode()


def _stored(row: Sequence[Any]) -> StoredStopRequest:
    record = _decode(row[2])
    return StoredStopRequest(
        request=msgspec.convert(record["request"], StopRequest),
        case_id=row[0],
        version=int(row[1]),
    )


def _in_order(rows: Sequence[Sequence[Any]]) -> list[StoredStopRequest]:
    return sorted(
        (_stored(row) for row in rows),
        key=lambda stored: (stored.request.requested_at_ms, stored.request.stop_request_id),
    )


def insert_stop_request(tx: Transaction, stored: StoredStopRequest) -> None:
    """Keep a new stop request."""
    request = stored.request
    tx.execute(
        "INSERT INTO stop_requests (stop_request_id, case_id, order_id, merchant_id, state, "
        "answer_due_at_ms, version, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            request.stop_request_id,
            stored.case_id,
            request.order_id,
            request.merchant_id,
            request.state.value,
            request.answer_due_at_ms,
            stored.version,
            _record(stored),
        ),
    )


def update(tx: Transaction, stored: StoredStopRequest, *, version_before: int) -> None:
    """Keep a request's next state.

    Raises StopRequestMovedError unless it is still at the version it was read at.
    """
    request = stored.request
    written = tx.execute(
        "UPDATE stop_requests SET state = ?, answer_due_at_ms = ?, version = ?, record = ? "
        "WHERE stop_request_id = ? AND version = ? RETURNING stop_request_id",
        (
            request.state.value,
            request.answer_due_at_ms,
            stored.version,
            _record(stored),
            request.stop_request_id,
            version_before,
        ),
    )
    if not written:
        raise StopRequestMovedError(f"stop request {request.stop_request_id} was changed meanwhile")


def stop_request_of(tx: Transaction, stop_request_id: str) -> StoredStopRequest | None:
    """One stop request by its id."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM stop_requests WHERE stop_request_id = ?",  # noqa: S608 - a constant
        (stop_request_id,),
    )
    return _stored(rows[0]) if rows else None


def stop_requests_of_order(tx: Transaction, order_id: str) -> list[StoredStopRequest]:
    """All stop requests about an order, the earliest first."""
    return _in_order(
        tx.execute(f"SELECT {_COLUMNS} FROM stop_requests WHERE order_id = ?", (order_id,))  # noqa: S608 - a constant
    )


def stop_requests_of_case(tx: Transaction, case_id: str) -> list[StoredStopRequest]:
    """All stop requests of a case, the earliest first."""
    return _in_order(
        tx.execute(f"SELECT {_COLUMNS} FROM stop_requests WHERE case_id = ?", (case_id,))  # noqa: S608 - a constant
    )


def stop_requests_in_state(
    tx: Transaction,
    state: StopRequestState,
    *,
    merchant_id: str | None,
    limit: int,
    after: tuple[int, str] | None,
) -> list[StoredStopRequest]:
    """By when they are to be answered, then by id. merchant_id: None for all merchants' requests.

    after: deadline (NOT_REACHED_MS for none) and id of the one before; None from the beginning.
    """
    due = f"COALESCE(answer_due_at_ms, {NOT_REACHED_MS})"
    of_merchant = "" if merchant_id is None else "AND merchant_id = ? "
    beyond = "" if after is None else f"AND ({due}, stop_request_id) > (?, ?) "
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM stop_requests WHERE state = ? {of_merchant}{beyond}"  # noqa: S608 - constants
        f"ORDER BY {due}, stop_request_id LIMIT ?",
        (state.value, *([] if merchant_id is None else [merchant_id]), *(after or ()), limit),
    )
    return [_stored(row) for row in rows]


def due_for_expiry(tx: Transaction, now_ms: int, limit: int) -> list[StoredStopRequest]:
    """The requests that wait for an answer which is due, the longest overdue first: one indexed read."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM stop_requests WHERE state = ? AND answer_due_at_ms <= ? "  # noqa: S608 - a constant
        "ORDER BY answer_due_at_ms LIMIT ?",
        (StopRequestState.REQUESTED.value, now_ms, limit),
    )
    return [_stored(row) for row in rows]


def open_recall_task(
    tx: Transaction, *, stop_request_id: str, carrier: str, tracking_number: str, now_ms: int
) -> bool:
    """Keep a parcel to be recalled; False where the request has its task already."""
    return bool(
        tx.execute(
            "INSERT INTO recall_tasks (stop_request_id, carrier, tracking_number, created_at_ms) "
            "VALUES (?, ?, ?, ?) ON CONFLICT (stop_request_id) DO NOTHING RETURNING stop_request_id",
            (stop_request_id, carrier, tracking_number, now_ms),
        )
    )


def _task(row: Sequence[Any]) -> RecallTask:
    return RecallTask(
        stop_request_id=row[0],
        carrier=row[1],
        tracking_number=row[2],
        created_at_ms=int(row[3]),
        result=None if row[4] is None else RecallResult(row[4]),
        done_at_ms=None if row[5] is None else int(row[5]),
        done_by=row[6],
    )


def recall_task_of(tx: Transaction, stop_request_id: str) -> RecallTask | None:
    """The recall that followed from a stop request, None where none did."""
    rows = tx.execute(
        f"SELECT {_RECALL_COLUMNS} FROM recall_tasks WHERE stop_request_id = ?",  # noqa: S608 - a constant
        (stop_request_id,),
    )
    return _task(rows[0]) if rows else None


def open_recall_tasks(tx: Transaction, limit: int) -> list[RecallTask]:
    """The recalls that nobody has finished, the oldest first."""
    rows = tx.execute(
        f"SELECT {_RECALL_COLUMNS} FROM recall_tasks WHERE result IS NULL "  # noqa: S608 - a constant
        "ORDER BY created_at_ms, stop_request_id LIMIT ?",
        (limit,),
    )
    return [_task(row) for row in rows]


def finish_recall_task(
    tx: Transaction, stop_request_id: str, *, result: RecallResult, by: str, now_ms: int
) -> bool:
    """Note what came of a recall; False where there is none that is open."""
    return bool(
        tx.execute(
            "UPDATE recall_tasks SET result = ?, done_at_ms = ?, done_by = ? "
            "WHERE stop_request_id = ? AND result IS NULL RETURNING stop_request_id",
            (result.value, now_ms, by, stop_request_id),
        )
    )


def known_signing_key(tx: Transaction, name: str) -> bytes | None:
    """The key that signs one kind of thing, None where nothing was signed yet."""
    rows = tx.execute("SELECT secret FROM signing_keys WHERE name = ?", (name,))
    return bytes.fromhex(rows[0][0]) if rows else None


def signing_key(tx: Transaction, name: str, now_ms: int) -> bytes:
    """The key that signs one kind of thing, made when it is first needed; every caller gets the same."""
    known = known_signing_key(tx, name)
    if known is not None:
        return known
    made = tx.execute(
        "INSERT INTO signing_keys (name, secret, created_at_ms) VALUES (?, ?, ?) "
        "ON CONFLICT (name) DO NOTHING RETURNING secret",
        (name, secrets.token_hex(SIGNING_KEY_BYTES), now_ms),
    )
    if made:
        return bytes.fromhex(made[0][0])
    # Somebody else was faster, and has committed: the insert waited for that.
    rows = tx.execute("SELECT secret FROM signing_keys WHERE name = ?", (name,))
    return bytes.fromhex(rows[0][0])
