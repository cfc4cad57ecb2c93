"""Disputes and what was done with each, in SQL."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from serving.domain.dispute import Dispute, DisputeAction, DisputeState
from serving.store.store import Transaction

_decode = msgspec.json.Decoder(Dispute).decode
_decode_detail = msgspec.json.Decoder(dict[str, Any]).decode


class DisputeMovedError(Exception):
    """Somebody else changed the dispute meanwhile; look again."""


@dataclass(frozen=True, kw_only=True)
class DisputeHistoryEntry:
    """Who did what with a dispute, and when."""

    entry: int
    at_ms: int
    actor: str
    action: str
    detail: dict[str, Any]


def insert_dispute(tx: Transaction, dispute: Dispute) -> None:
    """Keep a new dispute. The caller holds the lock of its customer, and has seen that none is open."""
    tx.execute(
        "INSERT INTO disputes (dispute_id, order_id, customer_id, merchant_id, state, opened_at_ms, "
        "due_at_ms, shown_to_merchant, version, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            dispute.dispute_id,
            dispute.order_id,
            dispute.customer_id,
            dispute.merchant_id,
            dispute.state.value,
            dispute.opened_at_ms,
            dispute.due_at_ms,
            int(dispute.is_shown_to_merchant),
            dispute.version,
            msgspec.json.encode(dispute).decode(),
        ),
    )


def update_dispute(tx: Transaction, dispute: Dispute, *, version_before: int) -> None:
    """Keep a dispute's next state. Raises DisputeMovedError unless it is at the version it was read at."""
    written = tx.execute(
        "UPDATE disputes SET state = ?, due_at_ms = ?, shown_to_merchant = ?, version = ?, record = ? "
        "WHERE dispute_id = ? AND version = ? RETURNING dispute_id",
        (
            dispute.state.value,
            dispute.due_at_ms,
            int(dispute.is_shown_to_merchant),
            dispute.version,
            msgspec.json.encode(dispute).decode(),
            dispute.dispute_id,
            version_before,
        ),
    )
    if not written:
        raise DisputeMovedError(f"dispute {dispute.dispute_id} was changed meanwhile")


def dispute_of(tx: Transaction, dispute_id: str) -> Dispute | None:
    """One dispute by its id."""
    rows = tx.execute("SELECT record FROM disputes WHERE dispute_id = ?", (dispute_id,))
    return _decode(rows[0][0]) if rows else None


def disputes_of_order(tx: Transaction, order_id: str) -> list[Dispute]:
    """All disputes about an order, the earliest first."""
    return _read(tx, "WHERE order_id = ? ORDER BY opened_at_ms, dispute_id", (order_id,))


def disputes_of_customer(tx: Transaction, customer_id: str) -> list[Dispute]:
    """All disputes of a customer, the latest first."""
    return _read(tx, "WHERE customer_id = ? ORDER BY opened_at_ms DESC, dispute_id DESC", (customer_id,))


def is_order_disputed(tx: Transaction, order_id: str) -> bool:
    """Whether a dispute about an order is open."""
    return bool(
        tx.execute(
            "SELECT 1 FROM disputes WHERE order_id = ? AND state <> ? LIMIT 1",
            (order_id, DisputeState.CLOSED.value),
        )
    )


def disputes_of_merchant(
    tx: Transaction, merchant_id: str, states: Collection[DisputeState], limit: int
) -> list[Dispute]:
    """A merchant's disputes that it may see, in some states, the most urgent first."""
    marks = ", ".join("?" * len(states))
    return _read(
        tx,
        f"WHERE merchant_id = ? AND shown_to_merchant = 1 AND state IN ({marks}) "
        "ORDER BY coalesce(due_at_ms, 9223372036854775807), dispute_id LIMIT ?",
        (merchant_id, *(state.value for state in states), limit),
    )


def disputes_in_order_of_due(tx: Transaction, states: Collection[DisputeState], limit: int) -> list[Dispute]:
    """The disputes in some states, the one that is due first before the others; those without a time last."""
    marks = ", ".join("?" * len(states))
    return _read(
        tx,
        f"WHERE state IN ({marks}) ORDER BY coalesce(due_at_ms, 9223372036854775807), dispute_id LIMIT ?",
        (*(state.value for state in states), limit),
    )


def closed_disputes(tx: Transaction, limit: int) -> list[Dispute]:
    """The disputes that have ended, the latest opened first: no time orders them any more."""
    return _read(
        tx,
        "WHERE state = ? ORDER BY opened_at_ms DESC, dispute_id DESC LIMIT ?",
        (DisputeState.CLOSED.value, limit),
    )


def disputes_due(
    tx: Transaction, states: Collection[DisputeState], now_ms: int, limit: int, *, after: str = ""
) -> list[Dispute]:
    """The disputes in some states whose time is over, by their ids from after one on."""
    marks = ", ".join("?" * len(states))
    return _read(
        tx,
        f"WHERE state IN ({marks}) AND due_at_ms <= ? AND dispute_id > ? ORDER BY dispute_id LIMIT ?",
        (*(state.value for state in states), now_ms, after, limit),
    )


def disputes_in_state(tx: Transaction, state: DisputeState, limit: int, *, after: str = "") -> list[Dispute]:
    """The disputes in a state, by their ids from after one on."""
    return _read(
        tx, "WHERE state = ? AND dispute_id > ? ORDER BY dispute_id LIMIT ?", (state.value, after, limit)
    )


def count_disputes_by_state(tx: Transaction) -> dict[str, int]:
    """How many disputes are in each state."""
    counted: dict[str, Any] = dict(tx.execute("SELECT state, count(*) FROM disputes GROUP BY state"))
    return {state.value: int(counted.get(state.value, 0)) for state in DisputeState}


def _read(tx: Transaction, where: str, parameters: Sequence[object]) -> list[Dispute]:
    return [_decode(record) for (record,) in tx.execute(f"SELECT record FROM disputes {where}", parameters)]  # noqa: S608 - conditions of this file


def append_dispute_history(
    tx: Transaction,
    dispute_id: str,
    *,
    at_ms: int,
    actor: str,
    action: DisputeAction,
    detail: dict[str, Any],
) -> None:
    """Note who did what, in the transaction that does it."""
    tx.execute(
        "INSERT INTO dispute_history (dispute_id, entry, at_ms, actor, action, detail) SELECT ?, "
        "coalesce(max(entry), 0) + 1, ?, ?, ?, ? FROM dispute_history WHERE dispute_id = ?",
        (dispute_id, at_ms, actor, action.value, msgspec.json.encode(detail).decode(), dispute_id),
    )


def dispute_history_of(tx: Transaction, dispute_id: str) -> list[DisputeHistoryEntry]:
    """Everything that was done with a dispute, in order."""
    return [
        DisputeHistoryEntry(
            entry=int(entry), at_ms=int(at_ms), actor=actor, action=action, detail=_decode_detail(detail)
        )
        for entry, at_ms, actor, action, detail in tx.execute(
            "SELECT entry, at_ms, actor, action, detail FROM dispute_history WHERE dispute_id = ? "
            "ORDER BY entry",
            (dispute_id,),
        )
    ]
