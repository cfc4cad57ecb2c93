"""What challengers would have answered, in SQL: what waits for an answer, and the answers that are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from serving.store.decision_log import unpacked
from serving.store.shadow_progress import ShadowProgress
from serving.store.store import Transaction

UNAVAILABLE = "unavailable"
"""The outcome of a challenger that failed."""


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
