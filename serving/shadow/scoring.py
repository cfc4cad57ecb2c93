"""Use case: let a challenger answer for what the champion has decided, with no effect.

Works in the worker, from what was stored: the features bit for bit, the other inputs, and the policy of
that time. The checkout's path does nothing for it. A challenger answers in the world that the champion
made: an order that only the challenger would approve reserves nothing for the orders after it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from serving.checkout.checkout_judgement import judge
from serving.checkout.decision_inputs import DecisionInputs
from serving.domain.policy import Policy
from serving.domain.policy_reader import parse_policy
from serving.in_force.model_watch import ModelInForce
from serving.in_force.scorer import ChampionModel
from serving.screening.order_screening import fraud_reasons, is_flagged
from serving.store.decision_log import SETTLED_AFTER_MS, LoggedDecision, decision_of
from serving.store.order_links import order_rows
from serving.store.policies import policy_text
from serving.store.shadow_decisions import (
    UNAVAILABLE,
    ModelAnswer,
    ShadowDecision,
    WaitingScreening,
    append_shadow_decisions,
    waiting_decisions,
    waiting_screenings,
)
from serving.store.shadow_progress import ShadowProgress, Subject, move_on, note_problem, progress_of
from serving.store.store import Store, Transaction

LOG = logging.getLogger("bonitas.shadow")

ANSWERS_PER_WRITE = 50
"""So few that a checkout never waits long for the write, where the store has one writer."""
WRITES_PER_ROUND = 20


class PolicyNotKeptError(Exception):
    """The policy of a decision is not in the store."""


class OrderNotVisibleError(Exception):
    """The ledger has no row of an order from before the order was looked at."""


@dataclass(kw_only=True)
class ShadowScope:
    """What a shadow needs: the store, the clock, and what was read or said before.

    challenger: what stands under the alias now.
    """

    store: Store
    model_name: str
    challenger: Callable[[], ModelInForce]
    now_ms: Callable[[], int]
    texts: dict[str, str] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    said: set[tuple[str, str, str]] = field(default_factory=set)

    def read_policy(self, tx: Transaction, version: str) -> None:
        """Read the text of a policy once: it never changes."""
        if version not in self.texts:
            text = policy_text(tx, version)
            if text is not None:
                self.texts[version] = text

    def policy(self, version: str) -> Policy:
        """A policy whose text was read. Raises PolicyNotKeptError, PolicyInvalid."""
        if version not in self.policies:
            if version not in self.texts:
                raise PolicyNotKeptError(f"policy {version} was not kept")
            self.policies[version] = parse_policy(self.texts[version])
        return self.policies[version]

    def say_once(self, event: str, model: ChampionModel, **more: str) -> None:
        """Log something about a version once, however often it happens."""
        key = (event, model.name, model.version)
        if key not in self.said:
            self.said.add(key)
            LOG.warning(event, extra={"model": model.name, "version": model.version, **more})


@dataclass(frozen=True, kw_only=True)
class _OpenScreening:
    """A screening with the row of its order as it then stood, None where the ledger has none."""

    screening: WaitingScreening
    order_row: Mapping[str, Any] | None


_Asked = TypeVar("_Asked", LoggedDecision, _OpenScreening)


@dataclass(frozen=True)
class _Kind(Generic[_Asked]):
    """What is answered: how to find it, and how to answer for one of it."""

    subject: Subject
    waiting: Callable[[Transaction, ShadowProgress, ChampionModel], Sequence[_Asked]]
    policy_version: Callable[[_Asked], str]
    answer: Callable[[_Asked, ChampionModel, Policy], ShadowDecision]
    failed: Callable[[_Asked, ChampionModel, str], ShadowDecision]


def answer_checkouts(scope: ShadowScope) -> int:
    """Let the challenger answer checkout decisions that wait for it; returns how many it answered.

    Raises StoreUnavailable.
    """
    return _answer(scope, _CHECKOUTS)


def answer_screenings(scope: ShadowScope) -> int:
    """The same for screenings of approved orders."""
    return _answer(scope, _SCREENINGS)


def _answer(scope: ShadowScope, kind: "_Kind[_Asked]") -> int:
    challenger = scope.challenger()
    model = challenger.model
    if model is None:
        if challenger.version is not None:
            _note_problem(scope, challenger.version, challenger.technical_reason)
        return 0
    _note_problem(scope, model.version, None)
    done = 0
    for _ in range(WRITES_PER_ROUND):
        # Read before the snapshot: what is settled by then is in it.
        settled_to = kind.subject.first_id_at(scope.now_ms() - SETTLED_AFTER_MS)
        with scope.store.reading() as tx:
            progress = progress_of(tx, model.name, model.version)
            if progress is None:
                scope.say_once("shadow_was_not_started", model)
                break
            asked = kind.waiting(tx, progress, model)
            for one in asked:
                scope.read_policy(tx, kind.policy_version(one))
        answers = [_one(scope, kind, one, model) for one in asked]
        is_all = len(asked) < ANSWERS_PER_WRITE
        answered_to = settled_to if is_all else min(settled_to, answers[-1].subject_id)
        if not answers and answered_to <= progress.answered_to:
            break
        with scope.store.writing(f"shadow-{model.name}") as tx:
            new = append_shadow_decisions(tx, answers)
            if answered_to > progress.answered_to:
                move_on(tx, progress, answered_to)
        done += new
        # Where nothing was new, another worker is at it: two would do the same work twice.
        if is_all or not new:
            break
    return done


def _note_problem(scope: ShadowScope, version: str, problem: str | None) -> None:
    """Let the metrics and the analyst know why a challenger answers nothing; written only where it is new."""
    with scope.store.reading() as tx:
        progress = progress_of(tx, scope.model_name, version)
    if progress is not None and progress.problem != problem:
        with scope.store.writing(f"shadow-{scope.model_name}") as tx:
            note_problem(tx, model_name=scope.model_name, model_version=version, problem=problem)


def _one(scope: ShadowScope, kind: "_Kind[_Asked]", asked: _Asked, model: ChampionModel) -> ShadowDecision:
    try:
        return kind.answer(asked, model, scope.policy(kind.policy_version(asked)))
    except Exception as problem:  # a challenger may fail in any way; that it does is a finding, and no more
        failure = f"{type(problem).__name__}: {problem}"
        scope.say_once("shadow_failed", model, reason=failure)
        return kind.failed(asked, model, failure)


def _decisions(tx: Transaction, progress: ShadowProgress, model: ChampionModel) -> Sequence[LoggedDecision]:
    ids = waiting_decisions(
        tx, progress, feature_set_version=model.version_under_terms, limit=ANSWERS_PER_WRITE
    )
    found = (decision_of(tx, decision_id) for decision_id in ids)
    return [decision for decision in found if decision is not None]


def _answer_for_decision(asked: LoggedDecision, model: ChampionModel, policy: Policy) -> ShadowDecision:
    inputs = DecisionInputs.restored(asked.record, asked.features)
    judgement = judge(inputs, model, policy, as_of_ms=asked.as_of_ms, technical_reason=None)
    decision = judgement.decision
    return _beside_champion(
        asked,
        model,
        ModelAnswer(
            outcome=decision.outcome.value,
            probability=decision.probability_of_default,
            points=decision.score,
            failed_rules=tuple(failure.code for failure in decision.failed_rules),
            reasons=tuple(reason.code for reason in decision.reasons),
        ),
        raw_log_odds=judgement.raw_log_odds,
    )


def _beside_champion(
    asked: LoggedDecision,
    model: ChampionModel,
    challenger: ModelAnswer,
    *,
    raw_log_odds: float | None = None,
    failure: str | None = None,
) -> ShadowDecision:
    answer, order = asked.record["answer"], asked.record["order"]
    return ShadowDecision(
        model_name=model.name,
        model_version=model.version,
        subject_id=asked.decision_id,
        order_id=asked.order_id,
        customer_id=asked.customer_id,
        as_of_ms=asked.as_of_ms,
        amount_cents=order["amount_cents"],
        currency=order["currency"],
        policy_version=asked.policy_version,
        champion_version=str(asked.model_version),
        champion=ModelAnswer(
            outcome=asked.outcome,
            probability=answer["probability_of_default"],
            points=answer["score"],
            failed_rules=tuple(failure["code"] for failure in answer["failed_rules"]),
            reasons=tuple(reason["code"] for reason in answer["reasons"]),
        ),
        challenger=challenger,
        raw_log_odds=raw_log_odds,
        failure=failure,
    )


_NO_ANSWER = ModelAnswer(outcome=UNAVAILABLE, probability=None, points=None, failed_rules=(), reasons=())

_CHECKOUTS: _Kind[LoggedDecision] = _Kind(
    Subject.DECISION,
    _decisions,
    lambda asked: asked.policy_version,
    _answer_for_decision,
    lambda asked, model, failure: _beside_champion(asked, model, _NO_ANSWER, failure=failure),
)


def _screenings(tx: Transaction, progress: ShadowProgress, model: ChampionModel) -> Sequence[_OpenScreening]:
    found = waiting_screenings(
        tx, progress, feature_set_version=model.version_under_terms, limit=ANSWERS_PER_WRITE
    )
    return [_with_order(tx, screening) for screening in found]


def _with_order(tx: Transaction, screening: WaitingScreening) -> _OpenScreening:
    known = [row for row in order_rows(tx, screening.order_id) if row["recorded_at"] < screening.as_of_ms]
    return _OpenScreening(screening=screening, order_row=known[-1] if known else None)


def _answer_for_screening(asked: _OpenScreening, model: ChampionModel, policy: Policy) -> ShadowDecision:
    if asked.order_row is None:
        raise OrderNotVisibleError(f"order {asked.screening.order_id} was not in the ledger then")
    values = asked.screening.features
    scored = model.score(values)
    flagged = is_flagged(scored.probability_of_default, policy)
    reasons = fraud_reasons(model, values) if flagged else []
    challenger = ModelAnswer(
        outcome="flagged" if flagged else "clear",
        probability=scored.probability_of_default,
        points=None,
        failed_rules=(),
        reasons=tuple(reason.code for reason in reasons),
    )
    return _beside_screening(asked, model, challenger, raw_log_odds=scored.raw_log_odds)


def _beside_screening(
    asked: _OpenScreening,
    model: ChampionModel,
    challenger: ModelAnswer,
    *,
    raw_log_odds: float | None = None,
    failure: str | None = None,
) -> ShadowDecision:
    screening = asked.screening
    # An order that the ledger does not know is nobody's and worth nothing; its answer is always a failure.
    order = asked.order_row or {"customer_id": "", "amount_cents": 0, "currency": ""}
    return ShadowDecision(
        model_name=model.name,
        model_version=model.version,
        subject_id=screening.screening_id,
        order_id=screening.order_id,
        customer_id=order["customer_id"],
        as_of_ms=screening.as_of_ms,
        amount_cents=order["amount_cents"],
        currency=order["currency"],
        policy_version=screening.policy_version,
        champion_version=screening.model_version,
        champion=ModelAnswer(
            outcome=screening.outcome,
            probability=screening.probability,
            points=None,
            failed_rules=(),
            reasons=screening.reasons,
        ),
        challenger=challenger,
        raw_log_odds=raw_log_odds,
        failure=failure,
    )


_SCREENINGS: _Kind[_OpenScreening] = _Kind(
    Subject.SCREENING,
    _screenings,
    lambda asked: asked.screening.policy_version,
    _answer_for_screening,
    lambda asked, model, failure: _beside_screening(asked, model, _NO_ANSWER, failure=failure),
)
