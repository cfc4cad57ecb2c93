"""How far each challenger has come, in SQL.

The ids of decisions (`dec_`) and of screenings (`scr_`) grow with time: after the prefix, the milliseconds
as eleven hexadecimal digits, then chance. So a span of time is a range of ids.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serving.store.decision_search import first_id_at
from serving.store.store import Transaction


class Subject(enum.Enum):
    """What a challenger answers for. value: the prefix of its ids."""

    DECISION = "dec_"
    SCREENING = "scr_"

    def first_id_at(self, instant_ms: int) -> str:
        """A bound below every id of this instant or later, and above every earlier one.

        >>> Subject.SCREENING.first_id_at(1_767_225_600_123)
        'scr_19b76daa87b'
        """
        return first_id_at(instant_ms, prefix=self.value)


@dataclass(frozen=True, kw_only=True)
class ShadowProgress:
    """How far a challenger has come.

    answers_from_ms: decisions made from then on are answered. answered_to: up to this id none waits.
    answered: rows; differing: those of them with another outcome; failed: where the challenger failed.
    problem: why it cannot answer now, None while it can.
    """

    model_name: str
    model_version: str
    answers_from_ms: int
    answered_to: str
    answered: int
    differing: int
    failed: int
    problem: str | None


def begin_shadow(
    tx: Transaction, *, model_name: str, model_version: str, subject: Subject, answers_from_ms: int
) -> None:
    """Let a challenger answer what is decided from an instant on; what it answered before stays."""
    tx.execute(
        "INSERT INTO shadow_progress (model_name, model_version, answers_from_ms, answered_to, answered, "
        "differing, failed) VALUES (?, ?, ?, ?, 0, 0, 0) ON CONFLICT (model_name, model_version) "
        "DO UPDATE SET answers_from_ms = excluded.answers_from_ms, answered_to = excluded.answered_to",
        (model_name, model_version, answers_from_ms, subject.first_id_at(answers_from_ms)),
    )


_PROGRESS_COLUMNS = (
    "model_name, model_version, answers_from_ms, answered_to, answered, differing, failed, problem"
)


def progress_of(tx: Transaction, model_name: str, model_version: str) -> ShadowProgress | None:
    """How far a challenger has come; None where it was never started."""
    rows = tx.execute(
        f"SELECT {_PROGRESS_COLUMNS} FROM shadow_progress WHERE model_name = ? AND model_version = ?",  # noqa: S608 - a constant
        (model_name, model_version),
    )
    return _progress(rows[0]) if rows else None


def all_progress(tx: Transaction) -> list[ShadowProgress]:
    """How far each challenger has come that was ever started."""
    rows = tx.execute(
        f"SELECT {_PROGRESS_COLUMNS} FROM shadow_progress ORDER BY model_name, model_version"  # noqa: S608 - a constant
    )
    return [_progress(row) for row in rows]


def _progress(row: Sequence[Any]) -> ShadowProgress:
    return ShadowProgress(
        model_name=row[0],
        model_version=row[1],
        answers_from_ms=int(row[2]),
        answered_to=row[3],
        answered=int(row[4]),
        differing=int(row[5]),
        failed=int(row[6]),
        problem=row[7],
    )


def note_problem(tx: Transaction, *, model_name: str, model_version: str, problem: str | None) -> None:
    """Write down why a challenger cannot answer now; None where it can again."""
    tx.execute(
        "UPDATE shadow_progress SET problem = ? WHERE model_name = ? AND model_version = ?",
        (problem, model_name, model_version),
    )


def move_on(tx: Transaction, seen: ShadowProgress, answered_to: str) -> None:
    """Nothing waits any more up to `answered_to`; does nothing where somebody else has moved it since."""
    tx.execute(
        "UPDATE shadow_progress SET answered_to = ? WHERE model_name = ? AND model_version = ? "
        "AND answered_to = ?",
        (answered_to, seen.model_name, seen.model_version, seen.answered_to),
    )
