"""The decision log: every answer with all that it rested on, and the messages that it caused."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from data_contracts.instants import MINUTE_MS
from serving.store.store import Row, Transaction

SETTLED_AFTER_MS = MINUTE_MS
"""A decision this old is committed, or never will be: nothing can still appear before it.

The id of a decision is from the clock of the host that made it, this age from the worker's: the clocks of the
service's hosts must agree within this span less the seconds that a commit takes. Say the worker's clock shows
12:05:00, so that everything up to 12:04:00 counts as settled and is worked off. A host whose clock is 90
seconds behind then keeps a decision dated 12:03:30: it is never looked at again, gets no challenger's answer
and is missing in the sums.
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class LoggedDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision as it is stored.

    features: the model's inputs, bit for bit, in the order of the feature set; None where no model took part.
    record: every other input (order, applicant, standing, assessment) and the answer, as JSON values. Of a
        decision about the amendment of an order that stands, `amendment` says until when the order held its
        part of the limit then (`reserved_until_ms`), and what of it was invoiced (`invoiced_cents`): so much
        less the standing's `reserved_cents` is than other orders held.
    """

    decision_id: str
    order_id: str
    customer_id: str
    merchant_id: str
    outcome: str
    as_of_ms: int
    model_name: str | None
    model_version: str | None
    feature_set_version: str | None
    policy_version: str
    features: tuple[float, ...] | None
    record: dict[str, Any]

    @property
    def is_about_amendment(self) -> bool:
        """Whether it was an order that stands which was judged, with another amount or address."""
        return "amendment" in self.record

    @property
    def merchant_order_number(self) -> str | None:
        """The merchant's own number of the order; None where it came without one."""
        number: str | None = self.record["order"].get("merchant_order_number")
        return number


def append_decision(tx: Transaction, decision: LoggedDecision) -> None:
    """Write a decision; it is never changed afterwards."""
    tx.execute(
        "INSERT INTO decisions (decision_id, order_id, customer_id, merchant_id, outcome, as_of_ms, "
        "model_name, model_version, feature_set_version, policy_version, features, record, amends) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            decision.decision_id,
            decision.order_id,
            decision.customer_id,
            decision.merchant_id,
            decision.outcome,
            decision.as_of_ms,
            decision.model_name,
            decision.model_version,
            decision.feature_set_version,
            decision.policy_version,
            None if decision.features is None else packed(decision.features),
            _encode(decision.record).decode(),
            int(decision.is_about_amendment),
        ),
    )


def packed(features: Sequence[float]) -> bytes:
    """Features as little-endian float64.

    >>> unpacked(packed([0.1, float("inf")]))
    (0.1, inf)
    """
    return struct.pack(f"<{len(features)}d", *features)


def unpacked(blob: bytes) -> tuple[float, ...]:
    """The features that `packed` wrote."""
    return struct.unpack(f"<{len(blob) // 8}d", blob)


_COLUMNS = (
    "decision_id, order_id, customer_id, merchant_id, outcome, as_of_ms, model_name, model_version, "
    "feature_set_version, policy_version, features, record"
)


def decision_of(tx: Transaction, decision_id: str) -> LoggedDecision | None:
    """One decision by its id."""
    rows = tx.execute(f"SELECT {_COLUMNS} FROM decisions WHERE decision_id = ?", (decision_id,))  # noqa: S608 - a constant
    return logged_decision(rows[0]) if rows else None


def decisions_about(tx: Transaction, order_id: str) -> list[LoggedDecision]:
    """All decisions about an order, the newest first."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM decisions WHERE order_id = ? ORDER BY as_of_ms DESC",  # noqa: S608 - a constant
        (order_id,),
    )
    return [logged_decision(row) for row in rows]


@dataclass(frozen=True, kw_only=True)
class LoggedOutcome:
    """A line of the log, as far as what follows from it needs it. position: its place in the log."""

    position: int
    decision_id: str
    order_id: str
    outcome: str
    as_of_ms: int


def outcomes_after(tx: Transaction, position: int, limit: int) -> list[LoggedOutcome]:
    """The lines after a place in the log, in their order; one that is still being written may be missing."""
    rows = tx.execute(
        "SELECT position, decision_id, order_id, outcome, as_of_ms FROM decisions WHERE position > ? "
        "ORDER BY position LIMIT ?",
        (position, limit),
    )
    return [
        LoggedOutcome(
            position=int(row[0]), decision_id=row[1], order_id=row[2], outcome=row[3], as_of_ms=int(row[4])
        )
        for row in rows
    ]


def last_position(tx: Transaction) -> int:
    """The place of the newest line; 0 in an empty log."""
    return int(tx.execute("SELECT coalesce(max(position), 0) FROM decisions")[0][0])


def has_judged(tx: Transaction) -> bool:
    """Whether any order was ever approved or declined, which nobody does without a policy."""
    return bool(tx.execute("SELECT 1 FROM decisions WHERE outcome <> 'unavailable' LIMIT 1"))


def is_decided(tx: Transaction, order_id: str) -> bool:
    """Whether any decision was made about an order."""
    return bool(tx.execute("SELECT 1 FROM decisions WHERE order_id = ? LIMIT 1", (order_id,)))


def newest_decisions(tx: Transaction, limit: int) -> list[LoggedDecision]:
    """The latest decisions, the newest first."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM decisions ORDER BY as_of_ms DESC LIMIT ?",  # noqa: S608 - a constant
        (limit,),
    )
    return [logged_decision(row) for row in rows]


def decision_rows(tx: Transaction, *, after: str, until: str, limit: int) -> list[Row]:
    """Decisions beyond one id and up to another, the oldest first, as `logged_decision` reads them."""
    return tx.execute(
        f"SELECT {_COLUMNS} FROM decisions WHERE decision_id > ? AND decision_id <= ? "  # noqa: S608 - a constant
        "ORDER BY decision_id LIMIT ?",
        (after, until, limit),
    )


def logged_decision(row: Sequence[Any]) -> LoggedDecision:
    """A decision from its row. Raises msgspec.MsgspecError or struct.error where the row is damaged."""
    return LoggedDecision(
        decision_id=row[0],
        order_id=row[1],
        customer_id=row[2],
        merchant_id=row[3],
        outcome=row[4],
        as_of_ms=int(row[5]),
        model_name=row[6],
        model_version=row[7],
        feature_set_version=row[8],
        policy_version=row[9],
        features=None if row[10] is None else unpacked(bytes(row[10])),
        record=_decode(row[11]),
    )


def request_review(tx: Transaction, *, decision_id: str, note: str, now_ms: int) -> bool:
    """Note that a person asks for a human to look again; False if that was asked before."""
    if tx.execute("SELECT 1 FROM review_requests WHERE decision_id = ?", (decision_id,)):
        return False
    tx.execute(
        "INSERT INTO review_requests (decision_id, requested_at_ms, note) VALUES (?, ?, ?)",
        (decision_id, now_ms, note),
    )
    return True
