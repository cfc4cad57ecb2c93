"""What challengers would have answered, and how far each of them has come, in SQL.

The ids of decisions (`dec_`) and of screenings (`scr_`) grow with time: after the prefix, the milliseconds
as eleven hexadecimal digits, then chance. So a span of time is a range of ids.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from serving.store.decision_log import unpacked
from serving.store.decision_search import first_id_at
from serving.store.store import Transaction

UNAVAILABLE = "unavailable"
"""The outcome of a challenger that failed."""


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
class ModelAnswer:
    """One model's answer.

    probability: None only where the model failed; outcome is then `unavailable`.
    points: None also for order risk, where points mean nothing.
    failed_rules, reasons: codes, the most decisive first.
    """

    outcome: str
    probability: float | None
    points: int | None
    failed_rules: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShadowDecision:
    """A challenger's answer beside the champion's, to the same inputs under the same policy.

    subject_id: of the decision or the screening. raw_log_odds: the challenger's, None where it failed.
    failure: why it failed, None where it did not.
    """

    model_name: str
    model_version: str
    subject_id: str
    order_id: str
    customer_id: str
    as_of_ms: int
    amount_cents: int
    currency: str
    policy_version: str
    champion_version: str
    champion: ModelAnswer
    challenger: ModelAnswer
    raw_log_odds: float | None
    failure: str | None = None


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


@dataclass(frozen=True, kw_only=True)
class WaitingScreening:
    """A screening that has no answer of the challenger yet."""

    screening_id: str
    order_id: str
    as_of_ms: int
    outcome: str
    model_version: str
    policy_version: str
    features: tuple[float, ...]
    probability: float
    reasons: tuple[str, ...]


class _Reason(msgspec.Struct):
    code: str


class _ScreeningRecord(msgspec.Struct):
    probability: float
    reasons: tuple[_Reason, ...]


class _Grounds(msgspec.Struct):
    failed_rules: tuple[str, ...]
    reasons: tuple[str, ...]


class _Record(msgspec.Struct):
    champion: _Grounds
    challenger: _Grounds
    failure: str | None


_screening_record = msgspec.json.Decoder(_ScreeningRecord).decode
_record = msgspec.json.Decoder(_Record).decode


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


def waiting_decisions(
    tx: Transaction, progress: ShadowProgress, *, feature_set_version: str, limit: int
) -> list[str]:
    """The first decisions after `answered_to` that the challenger can answer and has not answered.

    Not those that it made itself as champion, nor those without features or with those of another feature
    set: there is nothing that it could score.
    """
    rows = tx.execute(
        "SELECT made.decision_id FROM decisions AS made LEFT JOIN shadow_decisions AS given "
        "ON given.model_name = ? AND given.model_version = ? AND given.subject_id = made.decision_id "
        "WHERE made.decision_id > ? AND given.subject_id IS NULL AND made.model_name = ? "
        "AND made.model_version <> ? AND made.feature_set_version = ? AND made.features IS NOT NULL "
        "ORDER BY made.decision_id LIMIT ?",
        _waiting_parameters(progress, feature_set_version, limit),
    )
    return [str(row[0]) for row in rows]


def waiting_screenings(
    tx: Transaction, progress: ShadowProgress, *, feature_set_version: str, limit: int
) -> list[WaitingScreening]:
    """The same for screenings."""
    rows = tx.execute(
        "SELECT made.screening_id, made.order_id, made.as_of_ms, made.outcome, made.model_version, "
        "made.policy_version, made.features, made.record "
        "FROM screenings AS made LEFT JOIN shadow_decisions AS given "
        "ON given.model_name = ? AND given.model_version = ? AND given.subject_id = made.screening_id "
        "WHERE made.screening_id > ? AND given.subject_id IS NULL AND made.model_name = ? "
        "AND made.model_version <> ? AND made.feature_set_version = ? ORDER BY made.screening_id LIMIT ?",
        _waiting_parameters(progress, feature_set_version, limit),
    )
    waiting = []
    for row in rows:
        record = _screening_record(row[7])
        waiting.append(
            WaitingScreening(
                screening_id=row[0],
                order_id=row[1],
                as_of_ms=int(row[2]),
                outcome=row[3],
                model_version=row[4],
                policy_version=row[5],
                features=unpacked(bytes(row[6])),
                probability=record.probability,
                reasons=tuple(reason.code for reason in record.reasons),
            )
        )
    return waiting


def _waiting_parameters(progress: ShadowProgress, feature_set_version: str, limit: int) -> tuple[object, ...]:
    return (
        progress.model_name,
        progress.model_version,
        progress.answered_to,
        progress.model_name,
        progress.model_version,
        feature_set_version,
        limit,
    )


def append_shadow_decisions(tx: Transaction, decisions: Sequence[ShadowDecision]) -> int:
    """Keep answers of one challenger and count them; returns how many were new.

    One that another worker has kept stays as it is: each subject has one answer of each challenger.
    """
    new = [decision for decision in decisions if _inserted(tx, decision)]
    if new:
        tx.execute(
            "UPDATE shadow_progress SET answered = answered + ?, differing = differing + ?, "
            "failed = failed + ? WHERE model_name = ? AND model_version = ?",
            (
                len(new),
                sum(decision.challenger.outcome != decision.champion.outcome for decision in new),
                sum(decision.failure is not None for decision in new),
                new[0].model_name,
                new[0].model_version,
            ),
        )
    return len(new)


def _inserted(tx: Transaction, decision: ShadowDecision) -> bool:
    champion, challenger = decision.champion, decision.challenger
    return bool(
        tx.execute(
            "INSERT INTO shadow_decisions (model_name, model_version, subject_id, order_id, customer_id, "
            "as_of_ms, amount_cents, currency, policy_version, champion_version, champion_outcome, "
            "champion_probability, champion_points, outcome, raw_log_odds, probability, points, record) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (model_name, model_version, subject_id) DO NOTHING RETURNING subject_id",
            (
                decision.model_name,
                decision.model_version,
                decision.subject_id,
                decision.order_id,
                decision.customer_id,
                decision.as_of_ms,
                decision.amount_cents,
                decision.currency,
                decision.policy_version,
                decision.champion_version,
                champion.outcome,
                champion.probability,
                champion.points,
                challenger.outcome,
                decision.raw_log_odds,
                challenger.probability,
                challenger.points,
                msgspec.json.encode(
                    {
                        "champion": _grounds(champion),
                        "challenger": _grounds(challenger),
                        "failure": decision.failure,
                    }
                ).decode(),
            ),
        )
    )


def _grounds(answer: ModelAnswer) -> dict[str, tuple[str, ...]]:
    return {"failed_rules": answer.failed_rules, "reasons": answer.reasons}


def move_on(tx: Transaction, seen: ShadowProgress, answered_to: str) -> None:
    """Nothing waits any more up to `answered_to`; does nothing where somebody else has moved it since."""
    tx.execute(
        "UPDATE shadow_progress SET answered_to = ? WHERE model_name = ? AND model_version = ? "
        "AND answered_to = ?",
        (answered_to, seen.model_name, seen.model_version, seen.answered_to),
    )


def shadow_decisions_after(
    tx: Transaction, *, model_name: str, model_version: str, after: str, limit: int
) -> list[ShadowDecision]:
    """Answers of a challenger for subjects beyond an id, in the order of time: a range of the key."""
    rows = tx.execute(
        "SELECT subject_id, order_id, customer_id, as_of_ms, amount_cents, currency, policy_version, "
        "champion_version, champion_outcome, champion_probability, champion_points, outcome, raw_log_odds, "
        "probability, points, record FROM shadow_decisions WHERE model_name = ? AND model_version = ? "
        "AND subject_id > ? ORDER BY subject_id LIMIT ?",
        (model_name, model_version, after, limit),
    )
    return [_shadow_decision(model_name, model_version, row) for row in rows]


def _shadow_decision(model_name: str, model_version: str, row: Sequence[Any]) -> ShadowDecision:
    record = _record(row[15])
    return ShadowDecision(
        model_name=model_name,
        model_version=model_version,
        subject_id=row[0],
        order_id=row[1],
        customer_id=row[2],
        as_of_ms=int(row[3]),
        amount_cents=int(row[4]),
        currency=row[5],
        policy_version=row[6],
        champion_version=row[7],
        champion=ModelAnswer(
            outcome=row[8],
            probability=row[9],
            points=None if row[10] is None else int(row[10]),
            failed_rules=record.champion.failed_rules,
            reasons=record.champion.reasons,
        ),
        challenger=ModelAnswer(
            outcome=row[11],
            probability=row[13],
            points=None if row[14] is None else int(row[14]),
            failed_rules=record.challenger.failed_rules,
            reasons=record.challenger.reasons,
        ),
        raw_log_odds=row[12],
        failure=record.failure,
    )


@dataclass(frozen=True, kw_only=True)
class MadeInWindow:
    """Decisions or screenings of a window.

    own: made by the version itself. no_features: nothing that it could score; other_features: those of them
    that were made with another version of the features than it reads.
    """

    made: int
    own: int
    no_features: int
    other_features: int = 0

    @property
    def not_comparable(self) -> int:
        """Those that a version has no answer for."""
        return self.own + self.no_features

    @property
    def comparable(self) -> int:
        """Those that it can answer."""
        return self.made - self.not_comparable


_MADE_IN = {Subject.DECISION: ("decisions", "decision_id"), Subject.SCREENING: ("screenings", "screening_id")}
"""Table and key of what a challenger answers for."""


def answered_feature_set(
    tx: Transaction, subject: Subject, model_name: str, model_version: str
) -> str | None:
    """The version of the features that a challenger reads, by what it answered; None where it has not."""
    table, key = _MADE_IN[subject]
    rows = tx.execute(
        f"SELECT made.feature_set_version FROM shadow_decisions AS given JOIN {table} AS made "  # noqa: S608 - constants
        f"ON made.{key} = given.subject_id WHERE given.model_name = ? AND given.model_version = ? "
        "ORDER BY given.subject_id DESC LIMIT 1",
        (model_name, model_version),
    )
    return None if not rows or rows[0][0] is None else str(rows[0][0])


def made_since(
    tx: Transaction,
    subject: Subject,
    *,
    model_name: str,
    model_version: str,
    feature_set_version: str,
    after: str,
) -> MadeInWindow:
    """How many decisions or screenings there are beyond an id, and which a version cannot answer."""
    table, key = _MADE_IN[subject]
    rows = tx.execute(
        "SELECT count(*), "  # noqa: S608 - constants
        "coalesce(sum(CASE WHEN model_name = ? AND model_version = ? THEN 1 ELSE 0 END), 0), "
        "coalesce(sum(CASE WHEN model_name = ? AND feature_set_version = ? AND features IS NOT NULL "
        "THEN 0 ELSE 1 END), 0), "
        "coalesce(sum(CASE WHEN model_name = ? AND feature_set_version <> ? AND features IS NOT NULL "
        f"THEN 1 ELSE 0 END), 0) FROM {table} WHERE {key} > ?",
        (
            model_name,
            model_version,
            model_name,
            feature_set_version,
            model_name,
            feature_set_version,
            after,
        ),
    )
    made, own, no_features, other_features = (int(value) for value in rows[0])
    return MadeInWindow(made=made, own=own, no_features=no_features, other_features=other_features)
