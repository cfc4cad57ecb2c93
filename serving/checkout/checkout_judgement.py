"""From what a decision rests on to an answer, without store, clock or web.

Scoring, pre-check and replay share it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from data_contracts.instants import HOUR_MS, MINUTE_MS, moment, rfc3339
from serving.checkout.checkout_answers import (
    DecisionAnswer,
    DecisionReason,
    FailedRule,
    ModelName,
    RecourseStep,
)
from serving.checkout.decision_inputs import DecisionInputs, order_of
from serving.domain.alternatives import alternatives
from serving.domain.checkout_decision import decide
from serving.domain.credit_limit import without_limit_growth
from serving.domain.decision import (
    CreditAssessment,
    Decision,
    FeatureContribution,
    Outcome,
    Reason,
    TechnicalFailure,
)
from serving.domain.policy import Policy
from serving.domain.reasons import MAXIMUM_REASONS, reason_text, recourse_text
from serving.in_force.scorer import ReplayModel

SCORE_GROUP = "score"
NO_POLICY_VERSION = "none"
"""What stands for the version of a policy in an answer that was given without any."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The decision and the model's raw score, None when there was no model."""

    decision: Decision
    raw_log_odds: float | None


def judge(
    inputs: DecisionInputs,
    model: ReplayModel | None,
    policy: Policy,
    *,
    as_of_ms: int,
    technical_reason: str | None = None,
) -> Judgement:
    """Score and decide; a pure function of its arguments.

    model: the one in force, or the one that made a decision which is replayed; it reads the inputs' features.
    technical_reason: why there is no model, where there is none.
    """
    order = inputs.order
    as_of = moment(as_of_ms)

    def decided(assessment: CreditAssessment | TechnicalFailure) -> Decision:
        return decide(
            order,
            inputs.applicant,
            inputs.standing,
            assessment,
            policy,
            as_of=as_of,
            implausible_fields=inputs.implausible_fields,
            revision=inputs.revision,
            merchant_key=inputs.merchant_key,
        )

    if model is None:
        missing = TechnicalFailure(code="no_model", detail=technical_reason or "no model is in force")
        return Judgement(decision=decided(missing), raw_log_odds=None)
    scored = model.score(inputs.features)
    assessment = CreditAssessment(probability_of_default=scored.probability_of_default, score=scored.points)
    decision = decided(assessment)
    if any(failure.group == SCORE_GROUP for failure in decision.failed_rules):
        # Contributions cost many times the score itself, so only a refusal by score pays for them.
        explained = CreditAssessment(
            probability_of_default=scored.probability_of_default,
            score=scored.points,
            contributions=_contributions(model, inputs.features),
        )
        decision = decided(explained)
    return Judgement(decision=decision, raw_log_odds=scored.raw_log_odds)


def decided_without_limit_growth(
    inputs: DecisionInputs, decision: Decision, policy: Policy, *, as_of_ms: int
) -> Decision:
    """What the same score would have led to without the policy's [limit_growth].

    decision: the answer under the policy. Without a score nothing depends on limits: it stays as it is.
    A refusal by score names no contributions.
    """
    if decision.score is None or decision.probability_of_default is None:
        return decision
    assessment = CreditAssessment(
        probability_of_default=decision.probability_of_default, score=decision.score
    )
    return decide(
        inputs.order,
        inputs.applicant,
        inputs.standing,
        assessment,
        without_limit_growth(policy),
        as_of=moment(as_of_ms),
        merchant_key=inputs.merchant_key,
        implausible_fields=inputs.implausible_fields,
    )


def _contributions(model: ReplayModel, values: Sequence[float]) -> tuple[FeatureContribution, ...]:
    return tuple(
        FeatureContribution(
            feature=column.name,
            reason_code=column.reason_code,
            group=column.group,
            value=value,
            contribution=contribution,
        )
        for column, value, contribution in zip(
            model.columns, values, model.contributions(values), strict=True
        )
    )


def unavailable(order_row: Mapping[str, Any], policy: Policy | None, failure: TechnicalFailure) -> Decision:
    """The answer when not even the history can be read: no judgement about anyone.

    policy: names the other ways to pay; None where none can be read.
    """
    return Decision(
        outcome=Outcome.UNAVAILABLE,
        score=None,
        probability_of_default=None,
        limit_cents=None,
        available_cents=None,
        limit_basis=None,
        reasons=(Reason(code=failure.code, group="technical"),),
        failed_rules=(),
        alternatives=alternatives(order_of(order_row), None, (), policy),
        recourse=(),
        policy_version=NO_POLICY_VERSION if policy is None else policy.version,
        degraded=True,
    )


def reserved_until_ms(outcome: Outcome, policy: Policy, *, is_bounded_key: bool, as_of_ms: int) -> int | None:
    """Until when a decision reserves the order's amount while nobody confirms it; None where it does not.

    is_bounded_key: a merchant's own key asks, and the policy bounds these.
    """
    if outcome is not Outcome.APPROVED:
        return None
    held_ms = policy.reservation_hours_unconfirmed * HOUR_MS
    if is_bounded_key and policy.merchant_keys is not None:
        held_ms = min(held_ms, policy.merchant_keys.unconfirmed_minutes * MINUTE_MS)
    return as_of_ms + held_ms


def answer_to_checkout(
    decision: Decision,
    *,
    decision_id: str | None,
    order_id: str,
    merchant_order_number: str | None,
    model: tuple[str, str] | None,
    as_of_ms: int,
    reserved_until_ms: int | None,
    language: str,
) -> DecisionAnswer:
    """The whole answer, in the names that checkouts rely on.

    decision_id: None for an answer that is not kept. model: name and version.
    reserved_until_ms: None where the order holds nothing.
    language: of the texts; where we have no words in it, they are in English.
    """
    return DecisionAnswer(
        decision_id=decision_id,
        order_id=order_id,
        merchant_order_number=merchant_order_number,
        outcome=decision.outcome,
        score=decision.score,
        probability_of_default=decision.probability_of_default,
        limit_cents=decision.limit_cents,
        available_cents=decision.available_cents,
        limit_basis=decision.limit_basis,
        reasons=tuple(
            DecisionReason(
                code=reason.code,
                group=reason.group,
                field=reason.field,
                text=reason_text(reason, language),
            )
            for reason in decision.reasons[:MAXIMUM_REASONS]
        ),
        failed_rules=tuple(
            FailedRule(code=failure.code, group=failure.group, field=failure.field)
            for failure in decision.failed_rules
        ),
        alternatives=tuple(decision.alternatives),
        reserved_until=None if reserved_until_ms is None else rfc3339(reserved_until_ms),
        recourse=tuple(
            RecourseStep(
                code=step.code,
                field=step.field,
                text=recourse_text(step, language),
                sufficient=step.sufficient,
            )
            for step in decision.recourse
        ),
        model=None if model is None else ModelName(name=model[0], version=model[1]),
        policy_version=decision.policy_version,
        decided_at=rfc3339(as_of_ms),
        degraded=decision.degraded,
    )
