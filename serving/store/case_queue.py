"""Review cases, their history and the screenings behind them, in SQL."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from serving.domain.case_stakes import CaseStakes
from serving.domain.errors import UnknownCase
from serving.domain.flag_reason import FlagReason
from serving.domain.review_case import CaseState, ReviewCase
from serving.store.decision_log import packed, unpacked
from serving.store.store import Transaction

SYSTEM = "system"
"""Who does in the history of a case what no person did."""


@dataclass(frozen=True, kw_only=True)
class StoredCase:
    """A case as it is kept. reasons: of the last screening that flagged it."""

    case: ReviewCase
    stakes: CaseStakes
    priority: int
    reasons: tuple[FlagReason, ...]


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """Who did what with a case, and when."""

    entry: int
    at_ms: int
    actor: str
    action: str
    detail: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Screening:
    """One look at an order after approval. record: probability, raw log-odds, reasons, as JSON values."""

    screening_id: str
    order_id: str
    as_of_ms: int
    trigger: str
    outcome: str
    model_name: str
    model_version: str
    feature_set_version: str
    policy_version: str
    features: tuple[float, ...]
    record: dict[str, Any]


class CaseMovedError(Exception):
    """Somebody else changed the case meanwhile; look again."""


_COLUMNS = "priority, record"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _CaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    case: ReviewCase
    stakes: CaseStakes
    reasons: tuple[FlagReason, ...]


_decode_case = msgspec.json.Decoder(_CaseRecord).decode


def _record(stored: StoredCase) -> str:
    kept = _CaseRecord(case=stored.case, stakes=stored.stakes, reasons=stored.reasons)
    return msgspec.json.encode(kept).decode()


def stored_case(priority: int, record: str) -> StoredCase:
    """A case by these two columns of its row."""
    kept = _decode_case(record)
    return StoredCase(case=kept.case, stakes=kept.stakes, priority=int(priority), reasons=kept.reasons)


def _stored(row: Sequence[Any]) -> StoredCase:
    return stored_case(row[0], row[1])


def insert_case(tx: Transaction, stored: StoredCase) -> bool:
    """Keep a new case; False where the order has one already."""
    case = stored.case
    return bool(
        tx.execute(
            "INSERT INTO review_cases (case_id, order_id, customer_id, merchant_id, state, priority, "
            "reviewer, version, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (order_id) DO NOTHING "
            "RETURNING case_id",
            (
                case.case_id,
                case.order_id,
                case.customer_id,
                case.merchant_id,
                case.state.value,
                stored.priority,
                case.reviewer,
                case.version,
                _record(stored),
            ),
        )
    )


def update_case(tx: Transaction, stored: StoredCase, *, version_before: int) -> None:
    """Keep a case's next state. Raises CaseMovedError unless it is still at the version it was read at."""
    case = stored.case
    written = tx.execute(
        "UPDATE review_cases SET state = ?, priority = ?, reviewer = ?, version = ?, record = ? "
        "WHERE case_id = ? AND version = ? RETURNING case_id",
        (
            case.state.value,
            stored.priority,
            case.reviewer,
            case.version,
            _record(stored),
            case.case_id,
            version_before,
        ),
    )
    if not written:
        raise CaseMovedError(f"case {case.case_id} was changed meanwhile")


def renew_priority(tx: Transaction, case_id: str, priority: int, *, version: int) -> None:
    """Keep the priority of a case, which time alone has changed: no step on it is refused for that.

    version: of the case that it was computed for; one that has changed since has its own priority.
    """
    tx.execute(
        "UPDATE review_cases SET priority = ? WHERE case_id = ? AND version = ?", (priority, case_id, version)
    )


def case_of(tx: Transaction, case_id: str) -> StoredCase | None:
    """One case by its id."""
    rows = tx.execute(f"SELECT {_COLUMNS} FROM review_cases WHERE case_id = ?", (case_id,))  # noqa: S608 - a constant
    return _stored(rows[0]) if rows else None


def known_case(tx: Transaction, case_id: str) -> StoredCase:
    """One case by its id. Raises UnknownCase."""
    stored = case_of(tx, case_id)
    if stored is None:
        raise UnknownCase(f"there is no case {case_id}")
    return stored


def case_about(tx: Transaction, order_id: str) -> StoredCase | None:
    """The case of an order."""
    rows = tx.execute(f"SELECT {_COLUMNS} FROM review_cases WHERE order_id = ?", (order_id,))  # noqa: S608 - a constant
    return _stored(rows[0]) if rows else None


def cases_in_order_of_work(tx: Transaction, state: CaseState, limit: int) -> list[StoredCase]:
    """The cases in a state, the one that loses most by waiting first: one indexed read."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM review_cases WHERE state = ? ORDER BY priority DESC, case_id DESC LIMIT ?",  # noqa: S608 - a constant
        (state.value, limit),
    )
    return [_stored(row) for row in rows]


def count_by_state(tx: Transaction) -> dict[str, int]:
    """How many cases are in each state."""
    counted: dict[str, Any] = dict(tx.execute("SELECT state, count(*) FROM review_cases GROUP BY state"))
    return {state.value: int(counted.get(state.value, 0)) for state in CaseState}


def append_history(
    tx: Transaction, case_id: str, *, at_ms: int, actor: str, action: enum.Enum, detail: dict[str, Any]
) -> None:
    """Note who did what, in the transaction that does it. action: of the case, or of what followed."""
    tx.execute(
        "INSERT INTO case_history (case_id, entry, at_ms, actor, action, detail) SELECT ?, "
        "coalesce(max(entry), 0) + 1, ?, ?, ?, ? FROM case_history WHERE case_id = ?",
        (case_id, at_ms, actor, action.value, msgspec.json.encode(detail).decode(), case_id),
    )


def history_of(tx: Transaction, case_id: str) -> list[HistoryEntry]:
    """Everything that was done with a case, in order."""
    rows = tx.execute(
        "SELECT entry, at_ms, actor, action, detail FROM case_history WHERE case_id = ? ORDER BY entry",
        (case_id,),
    )
    return [
        HistoryEntry(
            entry=int(row[0]), at_ms=int(row[1]), actor=row[2], action=row[3], detail=_decode(row[4])
        )
        for row in rows
    ]


def append_screening(tx: Transaction, screening: Screening) -> None:
    """Write a screening; it is never changed afterwards."""
    tx.execute(
        "INSERT INTO screenings (screening_id, order_id, as_of_ms, trigger, outcome, model_name, "
        "model_version, feature_set_version, policy_version, features, record) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            screening.screening_id,
            screening.order_id,
            screening.as_of_ms,
            screening.trigger,
            screening.outcome,
            screening.model_name,
            screening.model_version,
            screening.feature_set_version,
            screening.policy_version,
            packed(screening.features),
            msgspec.json.encode(screening.record).decode(),
        ),
    )


def screenings_of(tx: Transaction, order_id: str) -> list[Screening]:
    """All looks at an order, the latest first."""
    rows = tx.execute(
        "SELECT screening_id, order_id, as_of_ms, trigger, outcome, model_name, "
        "model_version, feature_set_version, policy_version, features, record FROM screenings "
        "WHERE order_id = ? ORDER BY as_of_ms DESC, screening_id DESC",
        (order_id,),
    )
    return [
        Screening(
            screening_id=row[0],
            order_id=row[1],
            as_of_ms=int(row[2]),
            trigger=row[3],
            outcome=row[4],
            model_name=row[5],
            model_version=row[6],
            feature_set_version=row[7],
            policy_version=row[8],
            features=unpacked(bytes(row[9])),
            record=_decode(row[10]),
        )
        for row in rows
    ]


def is_screened(tx: Transaction, order_id: str) -> bool:
    """Whether an order was looked at before: only what we approved is."""
    return bool(tx.execute("SELECT 1 FROM screenings WHERE order_id = ? LIMIT 1", (order_id,)))
