"""`decide()`: from what is known to the answer at checkout."""

from dataclasses import replace
from datetime import UTC, date, datetime

from serving.domain.decision import (
    AccountStanding,
    Applicant,
    CreditAssessment,
    Decision,
    Order,
    Outcome,
    Reason,
    RuleFailure,
    TechnicalFailure,
    most_decisive,
)
from serving.domain.policy import AlternativePolicy, Policy
from serving.domain.policy_rules import RuleInput, failed_rules, residence_of
from serving.domain.reasons import MAXIMUM_REASONS, adverse_reasons
from serving.domain.recourse import Case, recourse_of

CREDIT_LIMIT = "credit_limit"
SCORE_TOO_LOW = "score_below_cut_off"


def local_date(as_of: datetime, applicant: Applicant | None, policy: Policy) -> date:
    """The date at the customer's residence; the UTC date where no residence with us is known."""
    country = residence_of(applicant, policy)
    return as_of.astimezone(country.zone if country else UTC).date()


def decide(
    order: Order,
    applicant: Applicant | None,
    standing: AccountStanding | TechnicalFailure,
    assessment: CreditAssessment | TechnicalFailure,
    policy: Policy,
    *,
    as_of: datetime,
) -> Decision:
    """Decide one order.

    applicant: None when the customer is unknown to us.
    standing, assessment: a TechnicalFailure where history or model cannot be had; the answer is then
        `declined` if a knock-out rule failed all the same, else `unavailable`.
    as_of: the moment of decision, aware UTC.
    """
    decision = _decide_without_recourse(order, applicant, standing, assessment, policy, as_of)
    if decision.outcome is not Outcome.DECLINED:
        return decision
    case = Case(order=order, applicant=applicant, standing=standing)
    steps, mended = recourse_of(decision.failed_rules, case, policy, as_of)
    if mended is None:
        return replace(decision, recourse=steps)
    better = _decide_without_recourse(
        mended.order, mended.applicant, mended.standing, assessment, policy, as_of, details_are_plausible=True
    )
    is_sufficient = better.outcome is Outcome.APPROVED
    return replace(decision, recourse=tuple(replace(step, sufficient=is_sufficient) for step in steps))


def _decide_without_recourse(
    order: Order,
    applicant: Applicant | None,
    standing: AccountStanding | TechnicalFailure,
    assessment: CreditAssessment | TechnicalFailure,
    policy: Policy,
    as_of: datetime,
    *,
    details_are_plausible: bool = False,
) -> Decision:
    """The decision itself.

    details_are_plausible: take the order's details as corrected; what they will then say, only the
        customer knows.
    """
    known_standing = standing if isinstance(standing, AccountStanding) else None
    known_assessment = assessment if isinstance(assessment, CreditAssessment) else None
    failures = failed_rules(
        RuleInput(
            order=order,
            applicant=applicant,
            standing=known_standing,
            policy=policy,
            as_of=as_of,
            local_date=local_date(as_of, applicant, policy),
        )
    )
    if details_are_plausible:
        failures = tuple(failure for failure in failures if failure.code != "implausible_detail")
    technical = next((part for part in (standing, assessment) if isinstance(part, TechnicalFailure)), None)
    limit_cents = available_cents = None
    if known_standing is not None and known_assessment is not None:
        limit_cents = credit_limit_cents(known_assessment.score, known_standing.paid_invoice_count, policy)
        available_cents = max(limit_cents - known_standing.exposure_cents, 0)
    reasons = most_decisive(failures, MAXIMUM_REASONS)
    if failures:
        outcome = Outcome.DECLINED
    elif technical is not None or known_standing is None or known_assessment is None:
        outcome = Outcome.UNAVAILABLE
        code = technical.code if technical is not None else "service_incomplete"
        reasons = (Reason(code=code, group="technical"),)
    else:
        failures, reasons = _judge_credit(
            order, known_standing, known_assessment, policy, available_cents or 0
        )
        outcome = Outcome.DECLINED if failures else Outcome.APPROVED
    score = known_assessment.score if known_assessment else None
    return Decision(
        outcome=outcome,
        score=score,
        probability_of_default=known_assessment.probability_of_default if known_assessment else None,
        limit_cents=limit_cents,
        available_cents=available_cents,
        reasons=reasons,
        failed_rules=failures,
        alternatives=(() if outcome is Outcome.APPROVED else alternatives(order, score, failures, policy)),
        recourse=(),
        policy_version=policy.version,
        degraded=technical is not None,
    )


def _judge_credit(
    order: Order,
    standing: AccountStanding,
    assessment: CreditAssessment,
    policy: Policy,
    available_cents: int,
) -> tuple[tuple[RuleFailure, ...], tuple[Reason, ...]]:
    """Score and limit, once no knock-out rule failed."""
    failures: list[RuleFailure] = []
    reasons: list[Reason] = []
    if assessment.score < cut_off(standing.paid_invoice_count, policy):
        failures.append(RuleFailure(code=SCORE_TOO_LOW, group="score", field=None))
        reasons += adverse_reasons(assessment, standing)
    if order.amount_cents > available_cents:
        data = (("available_cents", available_cents), ("currency", order.currency))
        over = RuleFailure(code=CREDIT_LIMIT, group="limit", field="/amount_cents", data=data)
        failures.append(over)
        if len(reasons) < MAXIMUM_REASONS:
            reasons.append(Reason(code=over.code, group=over.group, field=over.field, data=over.data))
    return tuple(failures), tuple(reasons)


def cut_off(paid_invoice_count: int, policy: Policy) -> int:
    """The score that is needed for invoice."""
    is_known = paid_invoice_count >= policy.known_paid_invoices
    return policy.cut_off_known if is_known else policy.cut_off_stranger


def credit_limit_cents(score: int, paid_invoice_count: int, policy: Policy) -> int:
    """The customer's limit by score band and history; 0 below the first band."""
    limit = 0
    for band in policy.limits:
        if score >= band.from_points:
            if paid_invoice_count >= policy.established_paid_invoices:
                limit = band.established_cents
            elif paid_invoice_count >= policy.known_paid_invoices:
                limit = band.known_cents
            else:
                limit = band.stranger_cents
    return limit


def alternatives(
    order: Order, score: int | None, failures: tuple[RuleFailure, ...], policy: Policy
) -> tuple[str, ...]:
    """Other ways to pay this order, in the order of the policy."""
    failed_groups = {failure.group for failure in failures}
    return tuple(
        alternative.name
        for alternative in policy.alternatives
        if _is_offered(alternative, order, score, failed_groups)
    )


def _is_offered(
    alternative: AlternativePolicy, order: Order, score: int | None, failed_groups: set[str]
) -> bool:
    if alternative.refused_groups & failed_groups:
        return False
    if order.amount_cents < alternative.minimum_order_cents:
        return False
    if alternative.maximum_order_cents is not None and order.amount_cents > alternative.maximum_order_cents:
        return False
    return alternative.minimum_score is None or (score is not None and score >= alternative.minimum_score)
